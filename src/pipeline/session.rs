//! The sessions that clients of 2025-11-25 and earlier open with the gateway.
//!
//! A session's id is a seal: it says what the session is, opens for its principal at its endpoint alone, and is no proof of
//! who calls. It is never an upstream's own id. What lives here beside it is what an open stream or an open question needs
//! and a seal can't hold; a gateway that has lost it, or another replica, takes the session up again from its id.

use crate::pipeline::Live;
use crate::upstream::session::{Owner, Sessions};
use parking_lot::Mutex;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::Version;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Sessions that are held; beyond it, the one goes that was not used for longest, and comes back from its id.
const KEPT: usize = 10_000;
/// How long a session is held that nobody uses.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How often it is looked for such.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Ended sessions whose ids are remembered, so that they do not come back.
const ENDED: usize = 100_000;

/// What the seal of a session's id is for.
const PURPOSE: &str = "session";

/// The session of a client.
#[derive(Debug)]
pub struct ClientSession {
    /// Its number; what its id is made from, and not its id.
    pub id: Uuid,
    /// The revision that its handshake ended in.
    pub version: Version,
    /// What its client can be asked for.
    pub capabilities: Capabilities,
    /// Who its sessions with upstreams belong to.
    pub owner: Owner,
    used: Mutex<Instant>,
}

impl ClientSession {
    fn new(id: Uuid, version: Version, capabilities: Capabilities) -> Self {
        let owner = Owner::client(id, capabilities);
        Self { id, version, capabilities, owner, used: Mutex::new(Instant::now()) }
    }

    /// What its id says.
    fn text(&self) -> Vec<u8> {
        [self.id.as_bytes(), self.version.as_str().as_bytes(), &[self.capabilities.bits()]].concat()
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (id, rest) = text.split_at_checked(16)?;
        let (bits, version) = rest.split_last()?;
        let version = Version::parse(std::str::from_utf8(version).ok()?)?;
        Some(Self::new(Uuid::from_slice(id).ok()?, version, Capabilities::from_bits(*bits)))
    }

    /// It is used now.
    pub fn touch(&self) {
        *self.used.lock() = Instant::now();
    }
}

/// All sessions of clients.
pub struct ClientSessions {
    upstream: Arc<Sessions>,
    store: Mutex<Store>,
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
    pub fn new(upstream: Arc<Sessions>) -> Self {
        Self { upstream, store: Mutex::default() }
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
        let session = ClientSession::new(Uuid::new_v4(), version, capabilities);
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
        let session = ClientSession::read(&text).ok_or(Rejection::UnknownSession)?;
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
        drop(store);
        self.upstream.end(&session.owner);
    }

    /// Holds `session`, or gives the one of the same id that came first.
    fn hold(&self, session: Arc<ClientSession>) -> Arc<ClientSession> {
        let mut store = self.store.lock();
        let oldest = |store: &Store| store.open.values().min_by_key(|open| *open.used.lock()).cloned();
        let gone = if store.open.len() >= KEPT { oldest(&store) } else { None };
        if let Some(gone) = &gone {
            store.open.remove(&gone.id);
        }
        let held = Arc::clone(store.open.entry(session.id).or_insert(session));
        drop(store);
        if let Some(gone) = gone {
            self.upstream.end(&gone.owner);
        }
        held
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
        let gone: Vec<_> =
            self.store.lock().open.extract_if(|_, session| idle(session)).map(|(_, gone)| gone).collect();
        gone.iter().for_each(|session| self.upstream.end(&session.owner));
    }
}
