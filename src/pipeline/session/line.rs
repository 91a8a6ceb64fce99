//! What passes between a client and an upstream on a stream beside the answer: the upstream's questions, under ids of the
//! gateway's own, news, and the ids of events. What may not pass is refused here, and the upstream is told.

use crate::pipeline::record::Aside;
use crate::pipeline::reply::{rpc_refusal, rpc_response};
use crate::pipeline::session::ClientSession;
use crate::pipeline::session::questions::{Asker, PATIENCE, Question, Silence};
use crate::pipeline::session::standing::Audience;
use crate::secrets::seal::Seal;
use crate::upstream::session::Session;
use bytes::Bytes;
use portcullis_core::jsonrpc::{self, Object, Span};
use portcullis_core::reject::{Era, Rejection};
use serde_json::json;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Refusals that may be on their way to the upstream at once; beyond it, it is told nothing.
const REFUSALS: usize = 4;
/// The longest id of an event that is passed on, in bytes.
const EVENT_ID: usize = 1024;
/// What the seal of an event's id is for.
const EVENT: &str = "event";

/// The number of the stream of news.
pub const STANDING: u64 = 0;

/// The edit by which a message gets another id.
pub type Renaming = (Span, Vec<u8>);

/// A stream between a client and an upstream of an older revision.
pub struct Line {
    upstream: Arc<Session>,
    client: Option<Client>,
    aside: Aside,
    refusals: Arc<Semaphore>,
}

/// The client's end of a line, where it has a session.
struct Client {
    session: Weak<ClientSession>,
    audience: Audience,
    silence: Silence,
    ids: Option<EventIds>,
}

impl Line {
    /// A line on which nobody can be asked.
    pub fn new(upstream: Arc<Session>, aside: Aside) -> Self {
        Self { upstream, client: None, aside, refusals: Arc::new(Semaphore::new(REFUSALS)) }
    }

    /// The same to the client of `session`, whose events have ids of `ids`, where they may be told.
    #[must_use]
    pub fn towards(mut self, session: &Arc<ClientSession>, audience: Audience, ids: Option<EventIds>) -> Self {
        let (session, silence) = (Arc::downgrade(session), Silence::default());
        self.client = Some(Client { session, audience, silence, ids });
        self
    }

    /// The upstream's session is another one now.
    pub fn reopened(&mut self, upstream: Arc<Session>) {
        self.upstream = upstream;
    }

    /// How long it may be silent.
    pub fn silence(&self) -> Option<Silence> {
        self.client.as_ref().map(|client| client.silence.clone())
    }

    /// Whether the client knows from where on it could take the stream up again.
    pub fn resumes(&self) -> bool {
        self.client.as_ref().and_then(|client| client.ids.as_ref()).is_some_and(|ids| ids.given)
    }

    /// The id of an event as the client gets it, for `id` of the upstream.
    pub fn event_id(&mut self, id: &str) -> Option<String> {
        self.client.as_mut()?.ids.as_mut()?.give(id)
    }

    /// The upstream asks for `method`: how the question is renamed on its way to the client, `None` where it does not
    /// reach it. Whoever sends it on says so by [`Line::put`].
    pub fn ask(&mut self, id: Span, method: &str, params: Option<&Object>, message: &[u8]) -> Option<Renaming> {
        let raw = id.of(message);
        match self.open(raw, method, params, message) {
            Ok(ours) => Some((id, ours)),
            Err(rejection) => {
                self.refuse(raw, method, &rejection);
                None
            }
        }
    }

    /// What was asked under the upstream's raw id `raw` goes to the client, or must not because of `refused`: then it is
    /// closed, and the upstream told so.
    pub fn put(&mut self, raw: &[u8], method: &str, refused: Option<&Rejection>) {
        let Some(rejection) = refused else {
            return self.aside.asked(method, &self.upstream.pool().upstream.name);
        };
        if let Some(session) = self.client.as_ref().and_then(|client| client.session.upgrade()) {
            session.questions.withdraw(&self.upstream, raw);
        }
        self.refuse(raw, method, rejection);
    }

    fn open(&self, raw: &[u8], method: &str, params: Option<&Object>, message: &[u8]) -> Result<Vec<u8>, Rejection> {
        let unknown = Rejection::MethodNotFound { era: Era::Legacy };
        let client = self.client.as_ref().ok_or_else(|| unknown.clone())?;
        let session = client.session.upgrade().ok_or_else(|| unknown.clone())?;
        let member = |key: &str| params.and_then(|params| params.value(key));
        let mode = member("mode").and_then(|mode| jsonrpc::string(mode.of(message)));
        let with_tools = method == "sampling/createMessage" && (member("tools").or(member("toolChoice"))).is_some();
        let takes = session.capabilities;
        let odd_mode = member("mode").is_some() && mode.is_none();
        if session.has_ended()
            || odd_mode
            || !takes.takes(method, mode.as_deref())
            || with_tools && !takes.sampling_tools
        {
            return Err(unknown);
        }
        let asker = Asker::Upstream { session: Arc::clone(&self.upstream), id: Bytes::copy_from_slice(raw) };
        let (until, waiting) = (Instant::now() + PATIENCE, Some(client.silence.ask()));
        let question = Question { method: method.to_owned(), asker, until, waiting };
        session.questions.put(question).ok_or(Rejection::TooManyAtOnce)
    }

    /// Tells the upstream that nobody will answer. A sign of life it gets from us.
    fn refuse(&mut self, raw: &[u8], method: &str, rejection: &Rejection) {
        let answer = if method == "ping" {
            rpc_response(Some(raw), "result", &json!({}))
        } else {
            self.aside.refused(method, &self.upstream.pool().upstream.name, rejection);
            rpc_refusal(Some(raw), rejection)
        };
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        let upstream = Arc::clone(&self.upstream);
        tokio::spawn(async move {
            if let Err(failure) = upstream.post(answer).await {
                tracing::debug!(upstream = upstream.pool().upstream.name, %failure, "a question could not be refused");
            }
            drop(permit);
        });
    }

    /// The upstream does not wait for an answer any more: how that is renamed, `None` where the client was not asked.
    pub fn withdraw(&self, params: Option<&Object>, message: &[u8]) -> Option<Renaming> {
        let session = self.client.as_ref()?.session.upgrade()?;
        let id = params?.value("requestId")?;
        session.questions.withdraw(&self.upstream, id.of(message)).map(|ours| (id, ours))
    }

    /// Closes what was asked on it and is open: the raw ids that the upstream gave it.
    pub fn withdraw_all(&self) -> Vec<Bytes> {
        let of = |client: &Client| Some(client.session.upgrade()?.questions.withdraw_all(&client.silence));
        self.client.as_ref().and_then(of).unwrap_or_default()
    }

    /// Whether a notification is for the client.
    pub fn hears(&self, method: &str, params: Option<&Object>, message: &[u8]) -> bool {
        let heard = |client: &Client| {
            let session = client.session.upgrade()?;
            Some(client.audience.hears(&session, &self.upstream, method, params, message))
        };
        self.client.as_ref().and_then(heard).unwrap_or(false)
    }
}

/// The ids of a stream's events: the upstream's own, sealed for the session, with the number of the stream that they are
/// part of (MCP 2025-11-25 "Resumability and Redelivery": ids are those of one stream).
pub struct EventIds {
    seal: Seal,
    session: Uuid,
    stream: u64,
    given: bool,
}

impl EventIds {
    /// The ids of the stream `stream` of `session`.
    pub fn new(seal: &Seal, session: &ClientSession, stream: u64) -> Self {
        Self { seal: seal.clone(), session: session.id, stream, given: false }
    }

    fn give(&mut self, id: &str) -> Option<String> {
        if id.is_empty() || id.len() > EVENT_ID {
            return None;
        }
        let text = [&self.stream.to_be_bytes()[..], id.as_bytes()].concat();
        let sealed = self.seal.seal(EVENT, &[self.session.as_bytes()], &text)?;
        self.given = true;
        Some(sealed)
    }

    /// The number of the stream that the event `sealed` of `session` is part of, and the upstream's own id.
    pub fn open(seal: &Seal, session: &ClientSession, sealed: &str) -> Option<(u64, String)> {
        let text = seal.open(EVENT, &[session.id.as_bytes()], sealed)?;
        let (stream, id) = text.split_first_chunk()?;
        Some((u64::from_be_bytes(*stream), String::from_utf8(id.to_vec()).ok()?))
    }
}
