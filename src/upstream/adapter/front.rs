//! The side of an adapter that speaks Streamable HTTP, to the gateway alone.
//!
//! It does as a server of either era does: sessions begin with `initialize`, have a stream of their own (GET) and end with
//! DELETE; modern requests have none. An answer is JSON where nothing came before it, and a stream where something did.

use crate::config::snapshot::Upstream;
use crate::upstream::adapter::PRINCIPAL;
use crate::upstream::adapter::answer;
use crate::upstream::adapter::conversation::{Answered, Conversation, Over};
use crate::upstream::adapter::keep::{Keep, Refusal, Session};
use crate::upstream::adapter::message;
use crate::upstream::adapter::process::LINE;
use crate::upstream::client::GATEWAY_AUTH;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::ListenerExt;
use axum::{Router, body::Body};
use portcullis_core::jsonrpc::{self, Answer, Frame, Kind, Limits};
use portcullis_core::mcp::META_VERSION;
use portcullis_core::mcp::rewrite;
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::Era;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The path of the MCP endpoint, behind the secret one.
pub const MCP: &str = "/mcp";
/// The path of the health check, behind the secret one.
pub const HEALTH: &str = "/health";

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What goes on to a server that is asked over HTTP.
const PASSED_ON: [HeaderName; 4] = [
    GATEWAY_AUTH,
    HeaderName::from_static("x-user-id"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
];

const INVALID_REQUEST: i64 = -32600;
const INTERNAL_ERROR: i64 = -32603;
/// What servers of the legacy era say where the request does not fit their sessions.
const BAD_SESSION: i64 = -32000;
const NO_SESSION: i64 = -32001;

/// The front of one adapter.
pub struct Front {
    keep: Arc<Keep>,
    /// Of the first segment of the path. What is compared is digests, so that time tells nothing of the secret.
    secret: [u8; 32],
    patience: Duration,
    /// How often a stream that may be silent for long shows that it lives: before the gateway's patience with it ends.
    pulse: Duration,
}

/// A request that can't be served: the status and the error's code and text.
struct Refused(StatusCode, i64, String);

impl Front {
    /// A front under the path `secret`.
    pub fn new(keep: Arc<Keep>, secret: &str, upstream: &Upstream) -> Self {
        let pulse = (upstream.timeout / 3).clamp(Duration::from_millis(100), Duration::from_secs(15));
        Self { keep, secret: Sha256::digest(secret).into(), patience: upstream.connect_timeout, pulse }
    }

    /// Serves until the adapter ends.
    pub async fn serve(self, listener: TcpListener, ending: CancellationToken) {
        // A small answer must not wait for a full segment.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let routes = Router::new().fallback(any(dispatch)).with_state(Arc::new(self));
        tokio::select! {
            served = axum::serve(listener, routes) => {
                if let Err(error) = served {
                    tracing::error!(%error, "an adapter ended");
                }
            }
            () = ending.cancelled() => {}
        }
    }

    /// What of the path comes after the secret; `None` for strangers.
    fn place<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = path.strip_prefix('/')?;
        let (secret, place) = path.split_at_checked(path.find('/')?)?;
        let digest: [u8; 32] = Sha256::digest(secret).into();
        (digest == self.secret).then_some(place)
    }

    async fn post(&self, headers: &HeaderMap, body: Body) -> Result<Response, Refused> {
        let body = to_bytes(body, LINE).await.map_err(|_| {
            Refused(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "The message is larger than 32 MiB".into())
        })?;
        let frame = jsonrpc::parse(&body, &Limits::ANSWER).map_err(|_| {
            Refused(StatusCode::BAD_REQUEST, INVALID_REQUEST, "The body is no message of JSON-RPC".into())
        })?;
        match frame.kind {
            Kind::Request => self.request(headers, &body, &frame).await,
            Kind::Notification => self.notification(headers, &body, &frame).await,
            Kind::Response => {
                let session = self.session(headers)?;
                gone(session.conversation.reply(&body, &frame, passed_on(headers)).await)?;
                Ok(StatusCode::ACCEPTED.into_response())
            }
        }
    }

    async fn request(&self, headers: &HeaderMap, body: &[u8], frame: &Frame) -> Result<Response, Refused> {
        let modern = frame.meta.as_ref().is_some_and(|meta| meta.value(META_VERSION).is_some());
        let (conversation, session) = match (modern, frame.method.as_str()) {
            (true, _) => (self.keep.of_caller(caller(headers)).await.map_err(refused)?, None),
            (false, "initialize") => return self.initialize(headers, body, frame).await,
            (false, _) => {
                let session = self.session(headers)?;
                (Arc::clone(&session.conversation), Some(session.number))
            }
        };
        let asked = gone(conversation.ask(session, body, frame, passed_on(headers)).await)?;
        let era = if modern { Era::Modern } else { Era::Legacy };
        let keep = Arc::clone(&self.keep);
        Ok(answer::of(asked, era, self.pulse, move || keep.works()).await)
    }

    /// Notifications of modern clients name no revision, and go where their requests went.
    async fn notification(&self, headers: &HeaderMap, body: &[u8], frame: &Frame) -> Result<Response, Refused> {
        let version = headers.get(PROTOCOL_VERSION).and_then(|version| Version::parse(version.to_str().ok()?));
        let (conversation, session) = if version.is_some_and(|version| version.era() == Era::Modern) {
            (self.keep.caller(caller(headers)), None)
        } else {
            let session = self.session(headers)?;
            (Some(Arc::clone(&session.conversation)), Some(session.number))
        };
        if let Some(conversation) = conversation {
            gone(conversation.notify(session, body, frame, passed_on(headers)).await)?;
        }
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// Begins a session. Where all share one process, that process knows of one handshake, the adapter's own.
    async fn initialize(&self, headers: &HeaderMap, body: &[u8], frame: &Frame) -> Result<Response, Refused> {
        let conversation = self.keep.for_session(passed_on(headers)).await.map_err(refused)?;
        let text = if self.keep.is_shared() {
            let greeted = conversation.hello.get_or_try_init(|| greet(&conversation)).await;
            let hello = match &greeted {
                Ok(hello) => hello.as_slice(),
                Err(Unfriendly::Refused(answer)) => answer,
                Err(Unfriendly::Over) => return Err(broken()),
            };
            message::answered(hello, &read(hello)?, &message::Original::of(body, frame))
        } else {
            // Nobody else would end it, if this is dropped before the session begins.
            let guard = Unclaimed(Some(Arc::clone(&conversation)));
            let hello = hello(&conversation, body, frame, passed_on(headers)).await;
            let hello = hello.map_err(|Over| broken())?;
            guard.keep(matches!(read(&hello)?, Answer::Result { .. }));
            hello
        };
        self.keep.works();
        let mut response = answer::json(StatusCode::OK, text.clone());
        if matches!(read(&text)?, Answer::Result { .. }) {
            let id = format!("{:032x}", rand::random::<u128>());
            self.keep.remember(&id, &conversation, caller(headers));
            let id = HeaderValue::from_str(&id).map_err(|_| broken())?;
            response.headers_mut().insert(SESSION_ID, id);
        }
        Ok(response)
    }

    fn session(&self, headers: &HeaderMap) -> Result<Arc<Session>, Refused> {
        let id = headers.get(SESSION_ID).and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, BAD_SESSION, "A session is needed".into()))?;
        // MCP 2025-11-25 "Session Management": so the gateway begins another.
        self.keep
            .session(id, caller(headers))
            .ok_or_else(|| Refused(StatusCode::NOT_FOUND, NO_SESSION, "There is no such session".into()))
    }

    fn stream(&self, headers: &HeaderMap) -> Result<Response, Refused> {
        let session = self.session(headers)?;
        Ok(answer::stream(session.conversation.listen(session.number), self.pulse))
    }

    fn forget(&self, headers: &HeaderMap) -> Result<Response, Refused> {
        let id = headers.get(SESSION_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let status = if self.keep.forget(id, caller(headers)) { StatusCode::OK } else { StatusCode::NOT_FOUND };
        Ok(status.into_response())
    }
}

async fn dispatch(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(place) = front.place(parts.uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    let result = match (place, &parts.method) {
        (MCP, &Method::POST) => front.post(&parts.headers, body).await,
        (MCP, &Method::GET) => front.stream(&parts.headers),
        (MCP, &Method::DELETE) => front.forget(&parts.headers),
        (HEALTH, &Method::GET) => {
            let well = front.keep.is_well(front.patience).await;
            return if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }.into_response();
        }
        (MCP | HEALTH, _) => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    result.unwrap_or_else(|Refused(status, code, text)| answer::json(status, message::error(b"", code, &text)))
}

/// A conversation that belongs to nobody yet. It ends with this value, unless it is kept.
struct Unclaimed(Option<Arc<Conversation>>);

impl Unclaimed {
    fn keep(mut self, keep: bool) {
        if keep {
            self.0 = None;
        }
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(conversation) = &self.0 {
            conversation.end();
        }
    }
}

/// The answer to a handshake, in a revision that the gateway speaks. What the server says before it is for nobody.
async fn hello(
    conversation: &Arc<Conversation>,
    body: &[u8],
    frame: &Frame,
    headers: HeaderMap,
) -> Result<Vec<u8>, Over> {
    let mut asked = conversation.ask(None, body, frame, headers).await?;
    let Answered { message, .. } = asked.answer().await?;
    match jsonrpc::answer(&message, &Limits::ANSWER) {
        Ok(answer) => Ok(message::of_known_revision(&message, &answer)),
        Err(_) => Err(Over),
    }
}

/// Why a process that sessions share can't serve them.
enum Unfriendly {
    /// It is gone.
    Over,
    /// It answered the handshake with this error.
    Refused(Vec<u8>),
}

impl From<Over> for Unfriendly {
    fn from(Over: Over) -> Self {
        Self::Over
    }
}

/// The adapter's own handshake with a process that sessions share: it offers nothing, since nobody could be asked. A
/// process that refuses it is ended: the error is of this moment, and the next session gets another process.
async fn greet(conversation: &Arc<Conversation>) -> Result<Vec<u8>, Unfriendly> {
    let version = jsonrpc::quote(Version::LATEST_LEGACY.as_str());
    let params: [(&str, &[u8]); 3] =
        [("protocolVersion", &version), ("capabilities", b"{}"), ("clientInfo", crate::upstream::CLIENT_INFO)];
    let body = rewrite::request(b"0", "initialize", &params, Version::LATEST_LEGACY, crate::upstream::CLIENT_INFO);
    let frame = jsonrpc::parse(&body, &Limits::ANSWER).map_err(|_| Over)?;
    let hello = hello(conversation, &body, &frame, HeaderMap::new()).await?;
    if !matches!(jsonrpc::answer(&hello, &Limits::ANSWER), Ok(Answer::Result { .. })) {
        conversation.end();
        return Err(Unfriendly::Refused(hello));
    }
    conversation.greeted().await?;
    Ok(hello)
}

fn read(text: &[u8]) -> Result<Answer, Refused> {
    jsonrpc::answer(text, &Limits::ANSWER).map_err(|_| broken())
}

fn caller(headers: &HeaderMap) -> &str {
    headers.get(PRINCIPAL).and_then(|caller| caller.to_str().ok()).unwrap_or_default()
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    PASSED_ON.into_iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

fn gone<T>(result: Result<T, Over>) -> Result<T, Refused> {
    result.map_err(|Over| broken())
}

fn broken() -> Refused {
    Refused(StatusCode::BAD_GATEWAY, INTERNAL_ERROR, Over.to_string())
}

fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::NoModern => Refused(StatusCode::BAD_REQUEST, BAD_SESSION, refusal.to_string()),
        other => {
            tracing::warn!(error = %other, "an upstream can't be asked");
            Refused(StatusCode::SERVICE_UNAVAILABLE, INTERNAL_ERROR, "The server can't be asked now".into())
        }
    }
}
