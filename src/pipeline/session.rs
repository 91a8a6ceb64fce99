//! The sessions that clients of 2025-11-25 and earlier open with the gateway.
//!
//! A session's id is a seal: it says what the session is, opens for its principal at its endpoint alone, and is no proof of
//! who calls. It is never an upstream's own id. What lives here beside it is what an open stream or an open question needs
//! and a seal can't hold; a gateway that has lost it, or another replica, takes the session up again from its id.

pub mod carry;
pub mod kept;
pub mod line;
pub mod questions;
pub mod reach;
pub mod running;
pub mod said;
pub mod standing;
pub mod wishes;

use crate::pipeline::{Live, clock};
use crate::telemetry::metrics::Metrics;
use crate::upstream::session::{Owner, Sessions};
use kept::Keep;
use parking_lot::Mutex;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::Version;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use questions::Questions;
use running::Running;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;
use wishes::Wishes;

/// Sessions that are held; beyond it, one goes, and comes back from its id: of those that nobody uses, where there are such,
/// and of them the one that was not used for longest.
const KEPT: usize = 10_000;
/// The same for the sessions of one principal.
const KEPT_EACH: usize = 1_000;
/// How long a session is held that nobody uses.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How often it is looked for such.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long a session's id is good from the day on that it was given: ended ones need not be remembered for ever.
const LASTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Ended sessions of one principal whose ids are remembered, so that they do not come back. Nobody's are forgotten for
/// another's.
const ENDED_EACH: usize = 1_000;

/// What the seal of a session's id is for.
const PURPOSE: &str = "session";

/// The session of a client.
pub struct ClientSession {
    /// Its number; what its id is made from, and not its id.
    pub id: Uuid,
    /// The revision that its handshake ended in.
    pub version: Version,
    /// What its client can be asked for.
    pub capabilities: Capabilities,
    /// Who its sessions with upstreams belong to.
    pub owner: Owner,
    /// What its client was asked.
    pub questions: Questions,
    /// Its calls that run.
    pub running: Running,
    /// Its calls whose streams ended before they were answered.
    pub keep: Keep,
    /// What its client wants of every session with an upstream.
    pub wishes: Wishes,
    /// When its id is good no more.
    late: Timestamp,
    principal: Vec<u8>,
    used: Mutex<Instant>,
    /// Whether its client waits for news.
    listens: AtomicBool,
    turns: watch::Sender<Turns>,
}

impl std::fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientSession({})", self.id)
    }
}

/// How a session goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turns {
    /// Grows whenever a session with an upstream is opened or a call's stream ends unanswered.
    pub count: u64,
    /// It has ended.
    pub ended: bool,
}

/// The right to be the one stream of news of a session, until it is dropped.
pub struct Listening(Arc<ClientSession>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listens.store(false, Ordering::Release);
    }
}

impl ClientSession {
    fn new(principal: &Principal, id: Uuid, version: Version, capabilities: Capabilities, late: Timestamp) -> Self {
        Self {
            id,
            late,
            version,
            capabilities,
            owner: Owner::client(principal, id, capabilities, version),
            questions: Questions::default(),
            running: Running::default(),
            keep: Keep::default(),
            wishes: Wishes::default(),
            principal: principal.identity(),
            used: Mutex::new(Instant::now()),
            listens: AtomicBool::new(false),
            turns: watch::Sender::default(),
        }
    }

    /// What its id says.
    fn text(&self) -> Vec<u8> {
        let late = self.late.millis().to_be_bytes();
        [self.id.as_bytes(), &late[..], self.version.as_str().as_bytes(), &[self.capabilities.bits()]].concat()
    }

    fn read(principal: &Principal, text: &[u8], now: Timestamp) -> Option<Self> {
        let (id, rest) = text.split_first_chunk()?;
        let (late, rest) = rest.split_first_chunk()?;
        let late = Timestamp::from_millis(i64::from_be_bytes(*late));
        let (bits, version) = rest.split_last()?;
        let version = Version::parse(std::str::from_utf8(version).ok()?)?;
        let session = Self::new(principal, Uuid::from_bytes(*id), version, Capabilities::from_bits(*bits), late);
        (now < late).then_some(session)
    }

    /// Whether somebody holds it, besides those who keep it: a stream, a call, a question that waits for a person.
    fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// It is used now.
    pub fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    /// Whether it has ended, or was let go of.
    pub fn has_ended(&self) -> bool {
        self.turns.borrow().ended
    }

    /// Checks what `MCP-Protocol-Version` says of a message that is part of it (MCP 2025-06-18 "Protocol Version Header":
    /// the revision that was agreed on).
    ///
    /// # Errors
    /// [`Rejection::InvalidRequest`].
    pub fn check_version(&self, header: Option<&str>) -> Result<(), Rejection> {
        match header {
            Some(version) if version != self.version.as_str() => {
                Err(Rejection::InvalidRequest("MCP-Protocol-Version is not what the session agreed on"))
            }
            _ => Ok(()),
        }
    }

    /// Something happened that a stream of news may wait for.
    pub fn turn(&self) {
        self.turns.send_modify(|turns| turns.count += 1);
    }

    /// How it goes on from now.
    pub fn turns(&self) -> watch::Receiver<Turns> {
        self.turns.subscribe()
    }

    /// Begins to wait for news.
    ///
    /// # Errors
    /// [`Rejection::AlreadyListening`] where its client does so already (MCP 2025-11-25 "Listening for Messages": no
    /// message goes over more than one stream).
    pub fn listen(self: &Arc<Self>) -> Result<Listening, Rejection> {
        match self.listens.swap(true, Ordering::AcqRel) {
            false => Ok(Listening(Arc::clone(self))),
            true => Err(Rejection::AlreadyListening),
        }
    }

    /// Whether its client waits for news now.
    pub fn is_listening(&self) -> bool {
        self.listens.load(Ordering::Acquire)
    }

    /// What it holds goes, and whoever waits for it hears of it.
    fn close(&self) {
        self.questions.clear();
        self.keep.clear();
        self.turns.send_modify(|turns| turns.ended = true);
    }
}

/// All sessions of clients.
pub struct ClientSessions {
    upstream: Arc<Sessions>,
    store: Mutex<Store>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Store {
    open: HashMap<Uuid, Arc<ClientSession>>,
    /// Those of each principal that have ended and whose ids are not late, in the order in which they did.
    ended: HashMap<Vec<u8>, VecDeque<(Uuid, Timestamp)>>,
    /// None is opened any more.
    closed: bool,
}

impl ClientSessions {
    /// None yet. When one ends, its sessions with upstreams end among those of `upstream`.
    pub fn new(upstream: Arc<Sessions>, metrics: Arc<Metrics>) -> Self {
        Self { upstream, store: Mutex::default(), metrics }
    }

    /// Opens a session of `principal` at `endpoint`; its id.
    ///
    /// # Errors
    /// [`Rejection::Internal`] where it can't be sealed.
    pub fn open(
        &self,
        live: &Live,
        principal: &Principal,
        endpoint: &str,
        version: Version,
        capabilities: Capabilities,
    ) -> Result<String, Rejection> {
        let late = clock::now().plus(LASTS);
        let session = ClientSession::new(principal, Uuid::new_v4(), version, capabilities, late);
        let bound: [&[u8]; 2] = [&principal.identity(), endpoint.as_bytes()];
        let id = live.seal.seal(PURPOSE, &bound, &session.text()).ok_or(Rejection::Internal)?;
        self.hold(Arc::new(session));
        Ok(id)
    }

    /// The session with the id `id` of `principal` at `endpoint`.
    ///
    /// # Errors
    /// [`Rejection::UnknownSession`].
    pub fn find(
        &self,
        live: &Live,
        principal: &Principal,
        endpoint: &str,
        id: &str,
    ) -> Result<Arc<ClientSession>, Rejection> {
        let bound: [&[u8]; 2] = [&principal.identity(), endpoint.as_bytes()];
        let text = live.seal.open(PURPOSE, &bound, id).ok_or(Rejection::UnknownSession)?;
        let session = ClientSession::read(principal, &text, clock::now()).ok_or(Rejection::UnknownSession)?;
        let store = self.store.lock();
        if store.has_ended(&session) {
            return Err(Rejection::UnknownSession);
        }
        if let Some(open) = store.open.get(&session.id) {
            open.touch();
            return Ok(Arc::clone(open));
        }
        drop(store);
        Ok(self.hold(Arc::new(session)))
    }

    /// Ends `session`: its id is unknown from now on.
    pub fn end(&self, session: &ClientSession) {
        let mut store = self.store.lock();
        store.open.remove(&session.id);
        store.end(session, clock::now());
        self.metrics.client_sessions(store.open.len());
        drop(store);
        self.leave(session);
    }

    /// Holds `session`, or gives the one of the same id that came first.
    fn hold(&self, session: Arc<ClientSession>) -> Arc<ClientSession> {
        let mut store = self.store.lock();
        let gone = store.make_room(&session, KEPT, KEPT_EACH);
        let held = if store.closed {
            session.close();
            session
        } else {
            Arc::clone(store.open.entry(session.id).or_insert(session))
        };
        self.metrics.client_sessions(store.open.len());
        drop(store);
        if let Some(gone) = gone {
            self.leave(&gone);
        }
        held
    }

    /// Lets go of all sessions, and of the calls in them that wait for their clients.
    pub fn close(&self) {
        let mut store = self.store.lock();
        store.closed = true;
        let gone = std::mem::take(&mut store.open);
        drop(store);
        gone.values().for_each(|session| self.leave(session));
    }

    fn leave(&self, session: &ClientSession) {
        session.close();
        self.upstream.end(&session.owner);
    }

    /// Lets go of what nobody uses, again and again.
    pub async fn watch(sessions: Weak<Self>) {
        while let Some(sessions) = sessions.upgrade() {
            sessions.let_go(Instant::now());
            drop(sessions);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn let_go(&self, now: Instant) {
        let idle = |session: &Arc<ClientSession>| {
            !session.is_in_use() && now.saturating_duration_since(*session.used.lock()) >= IDLE
        };
        let mut store = self.store.lock();
        store.forget_late(clock::now());
        let gone: Vec<_> = store.open.extract_if(|_, session| idle(session)).map(|(_, gone)| gone).collect();
        let stay: Vec<_> = store.open.values().cloned().collect();
        self.metrics.client_sessions(store.open.len());
        drop(store);
        gone.iter().for_each(|session| self.leave(session));
        for session in stay {
            session.questions.let_go(now);
            session.keep.let_go(now);
        }
    }
}

impl Store {
    /// Takes a session out, where there would be too many with `session`: of its principal, or of all.
    fn make_room(&mut self, session: &ClientSession, most: usize, each: usize) -> Option<Arc<ClientSession>> {
        if self.open.contains_key(&session.id) {
            return None;
        }
        let of_it = |open: &&Arc<ClientSession>| open.principal == session.principal;
        let first = |open: &&Arc<ClientSession>| (open.is_in_use(), *open.used.lock());
        let gone = if self.open.values().filter(of_it).count() >= each {
            self.open.values().filter(of_it).min_by_key(first)?.id
        } else if self.open.len() >= most {
            self.open.values().min_by_key(first)?.id
        } else {
            return None;
        };
        self.open.remove(&gone)
    }

    fn has_ended(&self, session: &ClientSession) -> bool {
        let of_it = self.ended.get(&session.principal);
        of_it.is_some_and(|ended| ended.iter().any(|(id, _)| *id == session.id))
    }

    /// Remembers that `session` has ended.
    fn end(&mut self, session: &ClientSession, now: Timestamp) {
        if self.has_ended(session) || session.late <= now {
            return;
        }
        let ended = self.ended.entry(session.principal.clone()).or_default();
        ended.push_back((session.id, session.late));
        if ended.len() > ENDED_EACH {
            ended.pop_front();
        }
    }

    /// Forgets the ended sessions whose ids would not be taken any more.
    fn forget_late(&mut self, now: Timestamp) {
        self.ended.retain(|_, ended| {
            ended.retain(|(_, late)| now < *late);
            !ended.is_empty()
        });
    }
}

#[cfg(test)]
mod tests;
