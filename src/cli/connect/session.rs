//! Revisions with a handshake: the session that it opens, and how it is opened anew when the server has forgotten it
//! (MCP 2025-11-25 "Session Management").

use super::exchange::{Answer, Channel, End, SESSION_ID};
use super::message::{self, Message};
use super::refusal::Refusal;
use bytes::Bytes;
use parking_lot::Mutex;
use portcullis_core::mcp::rewrite::{set_text, splice};
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::Era;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The header that names the revision.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The id of our own handshakes; each is alone in its exchange.
const OUR_ID: &str = "portcullis-connect-initialize";

const READY: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// How long the closing of a session may take: a client that leaves does not wait for long.
const FAREWELL: Duration = Duration::from_millis(1500);

/// A session, or what is known of a server that has none.
#[derive(Debug)]
pub struct Session {
    id: Option<HeaderValue>,
    /// The revision that the handshake ended in.
    version: String,
    /// Cancelled when another takes its place, and at the end.
    pub over: CancellationToken,
}

impl Session {
    /// What every request within it carries.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = &self.id {
            headers.insert(SESSION_ID, id.clone());
        }
        // A handshake that ends in a revision without handshakes says nothing about headers.
        let modern = Version::parse(&self.version).is_some_and(|version| version.era() == Era::Modern);
        if let Some(version) = HeaderValue::from_str(&self.version).ok().filter(|_| !modern) {
            headers.insert(PROTOCOL_VERSION, version);
        }
        headers
    }

    /// Whether `refusal` says that the server does not know this session.
    pub fn is_lost(&self, refusal: &Refusal) -> Option<Lost> {
        self.id.as_ref()?;
        match refusal.status {
            // A method or a tool that is not there is another matter.
            404 if !refusal.spoken || !matches!(refusal.code, -32602 | -32601) => Some(Lost::Unknown),
            400 if refusal.text().to_ascii_lowercase().contains("session") => Some(Lost::Perhaps),
            _ => None,
        }
    }

    /// Closes it.
    pub async fn close(&self, channel: &Channel) {
        self.over.cancel();
        if self.id.is_none() {
            return;
        }
        let closed = tokio::time::timeout(FAREWELL, channel.http.delete(&self.headers(), FAREWELL)).await;
        let status = closed.ok().and_then(Result::ok).map(|response| response.status().as_u16());
        tracing::debug!(status, "the session is closed");
    }
}

/// How sure it is that a request met a session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// 404 says so, and so the request did not run.
    Unknown,
    /// 400 and its words, as of the reference server, say so, which proves nothing of the request.
    Perhaps,
}

struct Known {
    /// The client's `initialize`.
    hello: Message,
    session: Arc<Session>,
    /// Whether the client has said `notifications/initialized`.
    ready: bool,
}

/// The session there is, if any.
#[derive(Default)]
pub struct Sessions {
    known: Mutex<Option<Known>>,
    /// Held during a handshake of our own, so that all who lost a session share one.
    renewing: tokio::sync::Mutex<()>,
}

impl Sessions {
    /// The session.
    pub fn current(&self) -> Option<Arc<Session>> {
        self.known.lock().as_ref().map(|known| known.session.clone())
    }

    /// Keeps the session that `answer` to the client's `hello` opens; gives the one that it replaces.
    pub fn open(&self, hello: &Message, answer: &Answer) -> Option<Arc<Session>> {
        let session = Arc::new(agreed(answer)?);
        tracing::info!(revision = session.version, session = session.id.is_some(), "connected");
        let known = Known { hello: hello.clone(), session, ready: false };
        self.known.lock().replace(known).map(|known| known.session)
    }

    /// Notes that the client has said `notifications/initialized`; gives the session.
    pub fn ready(&self) -> Option<Arc<Session>> {
        let mut known = self.known.lock();
        let known = known.as_mut()?;
        known.ready = true;
        Some(known.session.clone())
    }

    /// A session instead of `lost`, by the client's own `initialize`. What the client never learns of it is that it is
    /// another one, so it must be like the first.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn renew(&self, channel: &Channel, lost: &Arc<Session>) -> Result<Renewed, Refusal> {
        let _one_at_a_time = self.renewing.lock().await;
        let (hello, ready) = match self.known.lock().as_ref() {
            Some(known) if Arc::ptr_eq(&known.session, lost) => (known.hello.clone(), known.ready),
            Some(known) => return Ok(Renewed { session: known.session.clone(), follow: false }),
            None => return Err(over("and there is none to take its place")),
        };
        lost.over.cancel();
        let body = hello.frame.id.map(|id| splice(&hello.body, vec![set_text(id, OUR_ID)])).unwrap_or_default();
        let id = format!("\"{OUR_ID}\"");
        let end = channel.ask(&HeaderMap::new(), body.into(), id.as_bytes(), Some(channel.timeout)).await;
        let answer = match end {
            End::Answered(answer) => *answer,
            End::Refused(refusal) => return Err(refusal),
            End::Broken { failure, .. } => return Err(Refusal::of(&failure, &channel.http)),
        };
        let Some(session) = agreed(&answer) else { return Err(over("and the server opens no other")) };
        if session.version != lost.version {
            return Err(over("and the server now speaks another revision: restart the client"));
        }
        let session = Arc::new(session);
        if ready {
            channel.tell(&session.headers(), Bytes::from_static(READY)).await?;
        }
        let mut known = self.known.lock();
        if let Some(known) = known.as_mut().filter(|known| Arc::ptr_eq(&known.session, lost)) {
            known.session = session.clone();
            tracing::info!("the server had forgotten the session; it was opened anew");
        }
        Ok(Renewed { session, follow: ready })
    }
}

/// The session that there is now.
pub struct Renewed {
    /// It.
    pub session: Arc<Session>,
    /// Whether nobody listens to its stream yet.
    pub follow: bool,
}

/// The session ended, `and` what follows.
pub fn over(and: &str) -> Refusal {
    Refusal::new(-31404, format!("the session with the server ended, {and}"))
}

fn agreed(answer: &Answer) -> Option<Session> {
    let result: Value = serde_json::from_slice(message::outcome(&answer.line).result?).ok()?;
    let version = result.get("protocolVersion")?.as_str()?.to_owned();
    // MCP 2025-11-25 "Session Management": visible ASCII alone.
    let visible = |id: &HeaderValue| id.as_bytes().iter().all(u8::is_ascii_graphic);
    let mut id = answer.session.clone().filter(|id| visible(id) && !id.is_empty());
    if let Some(id) = &mut id {
        id.set_sensitive(true);
    }
    Some(Session { id, version, over: CancellationToken::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: Option<&'static str>, version: &str) -> Session {
        let id = id.map(HeaderValue::from_static);
        Session { id, version: version.into(), over: CancellationToken::new() }
    }

    fn refusal(status: u16, code: Option<i64>, text: &str) -> Refusal {
        let mut refusal = Refusal::new(code.unwrap_or_default(), text);
        (refusal.status, refusal.spoken) = (status, code.is_some());
        refusal
    }

    #[test]
    fn only_a_404_proves_that_a_session_is_unknown() {
        let held = session(Some("s1"), "2025-11-25");
        assert_eq!(held.is_lost(&refusal(404, None, "")), Some(Lost::Unknown));
        assert_eq!(held.is_lost(&refusal(404, Some(-32001), "Session not found")), Some(Lost::Unknown));
        assert_eq!(held.is_lost(&refusal(404, Some(-32601), "Method not found")), None);
        assert_eq!(held.is_lost(&refusal(400, Some(-32000), "No valid Session ID")), Some(Lost::Perhaps));
        assert_eq!(held.is_lost(&refusal(400, Some(-32602), "Bad argument")), None);
        assert_eq!(held.is_lost(&refusal(500, None, "session")), None);
        assert_eq!(session(None, "2025-11-25").is_lost(&refusal(404, None, "")), None);
    }

    #[test]
    fn a_session_says_its_revision_unless_it_can_not_have_one() {
        assert_eq!(session(Some("s1"), "2025-06-18").headers()[PROTOCOL_VERSION], "2025-06-18");
        assert_eq!(session(Some("s1"), "2025-06-18").headers()[SESSION_ID], "s1");
        assert!(session(None, "2026-07-28").headers().is_empty());
        assert!(session(None, "a\nb").headers().is_empty());
    }
}
