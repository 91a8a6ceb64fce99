//! Our own small HTTP client over pingora's connector, for what is not proxied: the catalogue, sessions of older servers.
//!
//! It builds peers with the same function as the proxy, so that TLS, timeouts and addresses follow one set of rules. It
//! follows no redirect, decompresses nothing, and retries nothing.

use crate::config::document::upstreams::HttpVersion;
use crate::config::snapshot::Upstream;
use crate::upstream::answer::Answer;
use crate::upstream::pool::{Choice, Pool};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use pingora::utils::tls::{WrappedX509, parse_x509};
use pingora::{Error, ErrorType};
use portcullis_core::reject::Rejection;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long an idle connection to an upstream is kept. Shorter than the five seconds after which Node's and uvicorn's
/// servers close theirs, since a call that meets the closing may not be sent again.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// How it is found out that the other end of a silent connection is gone.
const PROBE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    count: 3,
    #[cfg(target_os = "linux")]
    user_timeout: Duration::ZERO,
};

/// How many replicas a request may be offered to, if connecting fails.
pub const ATTEMPTS: usize = 3;

/// Sessions that are closed at once, over all upstreams.
const FAREWELLS: usize = 8;

/// The largest answer to the closing of a session, in bytes.
const FAREWELL: usize = 64 << 10;

/// The header by which an upstream knows that a request came through the gateway.
pub const GATEWAY_AUTH: HeaderName = HeaderName::from_static("x-gateway-auth");

/// Why an upstream gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// None of its replicas is known or left to try.
    #[error("no replica can be reached")]
    NoReplica,
    /// Connecting failed; nothing was sent.
    #[error("connecting failed")]
    Connect,
    /// The exchange broke off.
    #[error("the exchange broke off")]
    Broken,
    /// It took too long.
    #[error("it took too long")]
    Timeout,
    /// The answer is larger than it may be.
    #[error("the answer is too large")]
    TooLarge,
}

/// Sends requests to upstreams over connections of its own.
pub struct Client {
    connector: Connector,
    farewells: Semaphore,
}

impl Client {
    /// A client without connections.
    pub fn new() -> Self {
        Self { connector: Connector::new(None), farewells: Semaphore::new(FAREWELLS) }
    }

    /// Posts `body` to a replica, or to another where it can't connect, and reads at most `limit` bytes of answer.
    ///
    /// # Errors
    /// Any [`Failure`]; the pool is told of it.
    pub async fn post_any(
        &self,
        pool: &Pool,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        limit: usize,
    ) -> Result<(Choice, Answer), Failure> {
        let mut last = Failure::NoReplica;
        for choice in pool.offers() {
            match self.post(pool, &choice, headers, body.clone(), limit).await {
                Err(Failure::Connect) => last = Failure::Connect,
                result => return result.map(|answer| (choice, answer)),
            }
        }
        Err(last)
    }

    /// Posts `body` to the MCP endpoint behind `choice` and reads at most `limit` bytes of answer.
    ///
    /// # Errors
    /// Any [`Failure`]; the pool is told of it.
    pub async fn post(
        &self,
        pool: &Pool,
        choice: &Choice,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let header = request(pool, choice, Method::POST, headers, body.len()).map_err(|error| failure(&error));
        let result = self.exchange(pool, choice, header?, body, limit).await;
        match result {
            Ok(_) => pool.succeeded(choice.address),
            // It answers, if too much.
            Err(Failure::TooLarge) => {}
            Err(_) => pool.failed(choice.address),
        }
        result
    }

    /// Tells the replica `choice` that the session in `headers` is over. Whether it listens does not matter to us.
    pub async fn delete(&self, pool: &Pool, choice: &Choice, headers: &[(HeaderName, HeaderValue)]) {
        let Ok(_permit) = self.farewells.acquire().await else { return };
        let Ok(header) = request(pool, choice, Method::DELETE, headers, 0) else { return };
        if let Err(failure) = self.exchange(pool, choice, header, Bytes::new(), FAREWELL).await {
            tracing::debug!(upstream = pool.upstream.name, %failure, "a session could not be closed");
        }
    }

    /// Sends a request to a replica and gives the answer as soon as its header is here, to be read piece by piece. Each
    /// piece may take `silence`; for ever where that is `None`.
    ///
    /// # Errors
    /// Any [`Failure`]; the pool is told of it.
    pub async fn open(
        &self,
        pool: &Pool,
        choice: &Choice,
        ask: Ask<'_>,
        silence: Option<Duration>,
    ) -> Result<Stream, Failure> {
        let header = request(pool, choice, ask.method, ask.headers, ask.body.len()).map_err(|error| failure(&error));
        let (header, peer) = (header?, pool.peer(choice));
        let begun = tokio::time::timeout(pool.upstream.timeout, self.begin(&peer, header, ask.body, pool));
        let begun = begun.await.unwrap_or_else(|_| Err(Error::new(ErrorType::ReadTimedout)));
        match begun {
            Ok((mut session, status, headers)) => {
                pool.succeeded(choice.address);
                session.set_read_timeout(silence);
                Ok(Stream { session: Some(session), peer, status, headers })
            }
            Err(error) => {
                pool.failed(choice.address);
                Err(failure(&error))
            }
        }
    }

    /// Posts `body` to a replica, or to another where it can't connect; the answer is read piece by piece, as [`Client::open`]
    /// gives it, and each piece may take for ever.
    ///
    /// # Errors
    /// Any [`Failure`]; the pool is told of it.
    pub async fn open_any(
        &self,
        pool: &Pool,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<(Choice, Stream), Failure> {
        let mut last = Failure::NoReplica;
        for choice in pool.offers() {
            let ask = Ask { method: Method::POST, headers, body: body.clone() };
            match self.open(pool, &choice, ask, None).await {
                Err(Failure::Connect) => last = Failure::Connect,
                result => return result.map(|stream| (choice, stream)),
            }
        }
        Err(last)
    }

    /// Gives the connection of a stream that ended back, to be used again.
    pub async fn close(&self, mut stream: Stream) {
        if let Some(session) = stream.session.take() {
            self.connector.release_http_session(session, &stream.peer, Some(KEEP_IDLE)).await;
        }
    }

    async fn exchange(
        &self,
        pool: &Pool,
        choice: &Choice,
        header: RequestHeader,
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let exchange = self.attempt(pool, choice, header, body, limit);
        match tokio::time::timeout(pool.upstream.timeout, exchange).await {
            Ok(result) => result.map_err(|error| failure(&error)),
            Err(_) => Err(Failure::Timeout),
        }
    }

    async fn attempt(
        &self,
        pool: &Pool,
        choice: &Choice,
        header: RequestHeader,
        body: Bytes,
        limit: usize,
    ) -> pingora::Result<Answer> {
        let peer = pool.peer(choice);
        let (mut session, status, headers) = self.begin(&peer, header, body, pool).await?;
        let body = read_body(&mut session, limit).await?;
        self.connector.release_http_session(session, &peer, Some(KEEP_IDLE)).await;
        Ok(Answer { status, headers, body })
    }

    /// Sends the request and reads the answer's header.
    async fn begin(
        &self,
        peer: &HttpPeer,
        header: RequestHeader,
        body: Bytes,
        pool: &Pool,
    ) -> pingora::Result<(HttpSession, u16, HeaderMap)> {
        let (mut session, _) = self.connector.get_http_session(peer).await?;
        session.set_read_timeout(Some(pool.upstream.timeout));
        session.write_request_header(Box::new(header)).await?;
        if !body.is_empty() {
            session.write_request_body(body, true).await?;
        }
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let head = session.response_header().map(|head| (head.status.as_u16(), head.headers.clone()));
        let (status, headers) = head.ok_or_else(|| Error::new(ErrorType::InvalidHTTPHeader))?;
        Ok((session, status, headers))
    }
}

/// What it means for the call.
impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Self::UpstreamTimeout,
            Failure::TooLarge => Self::ResponseTooLarge,
            Failure::NoReplica | Failure::Connect | Failure::Broken => Self::UpstreamUnavailable,
        }
    }
}

/// What is asked of a replica.
pub struct Ask<'a> {
    /// The HTTP method.
    pub method: Method,
    /// The header's fields, but for host and framing.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body; may be empty.
    pub body: Bytes,
}

/// An answer that is read piece by piece. Where it is dropped before its end, its connection is closed, by which an
/// upstream of 2026-07-28 knows that nobody waits (MCP 2026-07-28 "Cancellation").
pub struct Stream {
    /// `None` once it is given back.
    session: Option<HttpSession>,
    peer: HttpPeer,
    /// The HTTP status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
}

impl Stream {
    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`Failure::Timeout`] or [`Failure::Broken`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match &mut self.session {
            Some(session) => session.read_response_body().await.map_err(|error| failure(&error)),
            None => Ok(None),
        }
    }
}

async fn read_body(session: &mut HttpSession, limit: usize) -> pingora::Result<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = session.read_response_body().await? {
        if body.len() + chunk.len() > limit {
            return Error::e_explain(ErrorType::Custom(TOO_LARGE), "answer over the limit");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

const TOO_LARGE: &str = "AnswerTooLarge";

fn failure(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::SocketError => Failure::Connect,
        ErrorType::Custom(TOO_LARGE) => Failure::TooLarge,
        _ => Failure::Broken,
    }
}

fn request(
    pool: &Pool,
    choice: &Choice,
    method: Method,
    headers: &[(HeaderName, HeaderValue)],
    length: usize,
) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build(method, pool.upstream.path.as_bytes(), Some(headers.len() + 6))?;
    request.insert_header("host", choice.authority.as_str())?;
    request.insert_header("content-type", "application/json")?;
    request.insert_header("accept", "application/json, text/event-stream")?;
    request.insert_header("accept-encoding", "identity")?;
    request.insert_header("content-length", length)?;
    if let Some(secret) = &pool.gateway_auth {
        request.insert_header(GATEWAY_AUTH, secret.clone())?;
    }
    for (name, value) in headers {
        request.insert_header(name.clone(), value.clone())?;
    }
    Ok(request)
}

/// The peer for a request to a replica: the one place that says how upstreams are connected to. Connections are shared
/// by peers of one `group` alone: pingora's pool knows them by address and name, not by certificate authority or
/// protocol.
pub fn peer(upstream: &Upstream, ca: Option<&Arc<CaType>>, group: u64, replica: &Choice) -> HttpPeer {
    let mut peer = HttpPeer::new(replica.address, upstream.tls, replica.host.clone());
    peer.group_key = group;
    let options = &mut peer.options;
    options.connection_timeout = Some(upstream.connect_timeout);
    options.total_connection_timeout = Some(upstream.connect_timeout * 2);
    options.read_timeout = Some(upstream.timeout);
    options.write_timeout = Some(upstream.timeout);
    options.idle_timeout = Some(KEEP_IDLE);
    // Streams of news may be silent for as long as nothing happens, and must not outlive their other end for that.
    options.tcp_keepalive = Some(PROBE);
    options.h2_ping_interval = Some(PROBE.idle);
    options.max_h2_streams = 100;
    options.alpn = match (upstream.http, upstream.tls) {
        (HttpVersion::Http1, _) | (HttpVersion::Auto, false) => ALPN::H1,
        (HttpVersion::Http2, _) => ALPN::H2,
        (HttpVersion::Auto, true) => ALPN::H2H1,
    };
    options.ca = ca.cloned();
    peer
}

/// The certificates of a PEM file, as pingora takes them; `None` where there is not one that can be a root.
pub fn certificates(pem: &[u8]) -> Option<Arc<CaType>> {
    let mut roots = RootCertStore::empty();
    let usable = |der: &CertificateDer<'_>| roots.add(der.clone().into_owned()).is_ok();
    let usable: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .filter({
            let mut usable = usable;
            move |der| usable(der)
        })
        .collect();
    let wrap = |der: CertificateDer<'_>| WrappedX509::new(der.to_vec(), parse_x509);
    (!usable.is_empty()).then(|| usable.into_iter().map(wrap).collect())
}
