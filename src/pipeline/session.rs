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

use crate::pipeline::Live;
use crate::telemetry::metrics::Metrics;
use crate::upstream::session::{Owner, Sessions};
use kept::Keep;
use parking_lot::Mutex;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::Version;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use questions::Questions;
use running::Running;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;
use wishes::Wishes;

/// Sessions that are held; beyond it, the one goes that was not used for longest, and comes back from its id.
const KEPT: usize = 10_000;
/// The same for the sessions of one principal.
const KEPT_EACH: usize = 1_000;
/// How long a session is held that nobody uses.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How often it is looked for such.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Ended sessions whose ids are remembered, so that they do not come back.
const ENDED: usize = 100_000;

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
    fn new(principal: &Principal, id: Uuid, version: Version, capabilities: Capabilities) -> Self {
        Self {
            id,
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
        [self.id.as_bytes(), self.version.as_str().as_bytes(), &[self.capabilities.bits()]].concat()
    }

    fn read(principal: &Principal, text: &[u8]) -> Option<Self> {
        let (id, rest) = text.split_at_checked(16)?;
        let (bits, version) = rest.split_last()?;
        let version = Version::parse(std::str::from_utf8(version).ok()?)?;
        Some(Self::new(principal, Uuid::from_slice(id).ok()?, version, Capabilities::from_bits(*bits)))
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
    ended: HashSet<Uuid>,
    /// The same in the order in which they ended.
    order: VecDeque<Uuid>,
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
        let session = ClientSession::new(principal, Uuid::new_v4(), version, capabilities);
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
        let session = ClientSession::read(principal, &text).ok_or(Rejection::UnknownSession)?;
        let store = self.store.lock();
        if store.ended.contains(&session.id) {
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
        if store.ended.insert(session.id) {
            store.order.push_back(session.id);
        }
        if store.order.len() > ENDED
            && let Some(oldest) = store.order.pop_front()
        {
            store.ended.remove(&oldest);
        }
        self.metrics.client_sessions(store.open.len());
        drop(store);
        self.leave(session);
    }

    /// Holds `session`, or gives the one of the same id that came first.
    fn hold(&self, session: Arc<ClientSession>) -> Arc<ClientSession> {
        let mut store = self.store.lock();
        let gone = store.make_room(&session);
        let held = Arc::clone(store.open.entry(session.id).or_insert(session));
        self.metrics.client_sessions(store.open.len());
        drop(store);
        if let Some(gone) = gone {
            self.leave(&gone);
        }
        held
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
            // Somebody who holds it uses it: a stream, a call.
            Arc::strong_count(session) == 1 && now.saturating_duration_since(*session.used.lock()) >= IDLE
        };
        let mut store = self.store.lock();
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
    fn make_room(&mut self, session: &ClientSession) -> Option<Arc<ClientSession>> {
        if self.open.contains_key(&session.id) {
            return None;
        }
        let of_it = |open: &&Arc<ClientSession>| open.principal == session.principal;
        let oldest = |open: &Arc<ClientSession>| *open.used.lock();
        let gone = if self.open.values().filter(of_it).count() >= KEPT_EACH {
            self.open.values().filter(of_it).min_by_key(|open| oldest(open)).map(|open| open.id)
        } else if self.open.len() >= KEPT {
            self.open.values().min_by_key(|open| oldest(open)).map(|open| open.id)
        } else {
            None
        };
        self.open.remove(&gone?)
    }
}
