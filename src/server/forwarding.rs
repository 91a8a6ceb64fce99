//! A call on its way to an upstream: the replica it is offered to, the session it is part of, and what is tried when
//! either is gone. It sends nothing itself; that nothing is sent twice is decided here.

use crate::pipeline::forward::{self, Farewell, PreparedCall};
use crate::server::answer::{self, Answer};
use crate::server::drain::Drain;
use crate::server::replay::{self, Home};
use crate::server::reply::Head;
use crate::upstream::client::ATTEMPTS;
use crate::upstream::pool::{Choice, Pool};
use crate::upstream::session::{Owner, Session, Sessions};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use portcullis_core::policy::Permit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A call on its way.
pub struct Forwarding {
    pool: Arc<Pool>,
    session: Option<Arc<Session>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    length: usize,
    /// Where the wrapper leaves the client's session.
    pub home: Home,
    tried: Vec<SocketAddr>,
    choice: Option<Choice>,
    owner: Owner,
    /// What its upstream is told where nobody waits for it any more.
    farewell: Option<Farewell>,
    /// Its session was lost before the upstream took the call; with another, it may be offered once more.
    reopen: bool,
    reopened: bool,
    _permit: Permit,
}

impl Forwarding {
    /// Puts the wrapper in the place of the client's `session`, so that `call` can be proxied.
    pub fn start(call: PreparedCall, head: Head, session: &mut Box<ServerSession>, drain: Drain) -> Self {
        let deadline = Instant::now() + call.pool.upstream.timeout;
        let length = call.body.len();
        let home = replay::swap_in(
            session,
            call.body,
            Answer::new(call.filter, head, deadline, call.expires, call.admission),
            drain,
        );
        Self {
            pool: call.pool,
            session: call.session,
            headers: call.headers,
            length,
            home,
            tried: Vec::new(),
            choice: None,
            owner: call.owner,
            farewell: call.farewell,
            reopen: false,
            reopened: false,
            _permit: call.permit,
        }
    }

    /// The peer to offer the call to now.
    ///
    /// # Errors
    /// No replica is left, or none gives a session.
    pub async fn next(&mut self, sessions: &Sessions) -> Result<Box<HttpPeer>> {
        if self.reopen {
            let session = sessions.of(&self.pool, &self.owner).await;
            let session = session.map_err(|error| answer::error(&forward::no_session(&self.pool, &error)))?;
            (self.session, self.reopen, self.reopened) = (Some(session), false, true);
        }
        let choice = match &self.session {
            Some(session) => Some(session.replica.clone()),
            None => self.pool.select(&self.tried),
        };
        let choice = choice.ok_or_else(|| Error::new_up(ErrorType::ConnectError))?;
        let peer = self.pool.peer(&choice);
        self.tried.push(choice.address);
        self.choice = Some(choice);
        Ok(Box::new(peer))
    }

    /// The header for the upstream, written anew: nothing of the client's is in it but what `forward` took over.
    ///
    /// # Errors
    /// No replica was chosen, or a field can't be written.
    pub fn header(&self) -> Result<RequestHeader> {
        let Some(choice) = &self.choice else { return Error::e_explain(ErrorType::InternalError, "no replica chosen") };
        let path = self.pool.upstream.path.as_bytes();
        let mut request = RequestHeader::build(http::Method::POST, path, Some(self.headers.len() + 7))?;
        request.insert_header("host", choice.authority.as_str())?;
        request.insert_header("content-type", "application/json")?;
        request.insert_header("accept", "application/json, text/event-stream")?;
        request.insert_header("accept-encoding", "identity")?;
        request.insert_header("content-length", self.length)?;
        for (name, value) in &self.headers {
            request.insert_header(name.clone(), value.clone())?;
        }
        for (name, value) in self.session.iter().flat_map(|session| session.headers()) {
            request.insert_header(name, value)?;
        }
        Ok(request)
    }

    /// Connecting failed, so nothing was sent: whether to offer the call to another replica.
    pub fn connect_failed(&mut self, sessions: &Sessions) -> bool {
        if let Some(choice) = self.choice.take() {
            self.pool.failed(choice.address);
        }
        if self.session.is_some() {
            return self.lose_session(sessions);
        }
        self.tried.len() < ATTEMPTS && self.pool.select(&self.tried).is_some()
    }

    /// The upstream answers with 404.
    ///
    /// # Errors
    /// Where that says that it did not take the call because it does not know the session, and the call is to be offered
    /// once more with another (MCP 2025-11-25 "Session Management": 404 for a request with a session id says nothing
    /// else).
    pub fn not_found(&mut self, sessions: &Sessions) -> Result<()> {
        let has_id = self.session.as_ref().is_some_and(|session| session.has_id());
        if has_id && self.lose_session(sessions) {
            return Err(Error::explain(ErrorType::HTTPStatus(404), "the session is lost").into_up());
        }
        Ok(())
    }

    /// Forgets the session; whether another may be opened for the call.
    fn lose_session(&mut self, sessions: &Sessions) -> bool {
        self.forget_session(sessions);
        self.reopen = !self.reopened;
        self.reopen
    }

    /// Forgets the session, so that the caller's next call opens another.
    pub fn forget_session(&self, sessions: &Sessions) {
        if let Some(session) = &self.session {
            sessions.forget(session, &self.owner);
        }
    }

    /// The client has left, which may mean that it takes the call back.
    pub fn abandoned(&mut self, sessions: &Sessions) {
        if self.farewell.as_ref().is_some_and(|farewell| farewell.on_leaving) {
            self.take_back(sessions);
        }
    }

    /// Nobody waits for the answer: the upstream is told so, where it would not know.
    pub fn take_back(&mut self, sessions: &Sessions) {
        if let (Some(session), Some(farewell)) = (self.session.clone(), self.farewell.take()) {
            sessions.tell(session, vec![farewell.message]);
        }
    }

    /// Whether the call is to be offered once more with another session.
    pub fn wants_session(&self) -> bool {
        self.reopen
    }

    /// The replica failed the call, by its own fault.
    pub fn failed(&self) {
        if let Some(choice) = &self.choice {
            self.pool.failed(choice.address);
        }
    }

    /// The upstream does not take what its catalogue says that it takes: its lists are asked for at once.
    pub fn ask_again(&self) {
        self.pool.ask_again();
    }

    /// The replica answered.
    pub fn succeeded(&self) {
        if let Some(choice) = &self.choice {
            self.pool.succeeded(choice.address);
        }
    }
}
