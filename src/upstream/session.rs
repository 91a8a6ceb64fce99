//! Sessions with upstreams that speak 2025-11-25 or earlier: opened when a caller first needs one, and one for each
//! caller, since an upstream may keep what one caller did from another by nothing else.
//!
//! A session belongs to one definition of an upstream: a changed one is another server for all we know. What is not used
//! any more is closed with DELETE, as soon as no call holds it.

mod kept;
mod owner;

pub use owner::Owner;

use crate::upstream::Pools;
use crate::upstream::answer::Answer;
use crate::upstream::caller::Caller;
use crate::upstream::client::{Ask, Client, Failure, Stream};
use crate::upstream::pool::{Choice, Pool};
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, Method};
use kept::{Kept, Key, close_idle, make_room};
use parking_lot::Mutex;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::Era;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};

/// The largest answer to a handshake, in bytes.
const HANDSHAKE: usize = 256 << 10;
/// How long it is believed of an upstream that it keeps none.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// The codes of errors by which a server says that it knows no such handshake: no such request, method or parameters, no
/// such header, no such revision (JSON-RPC 2.0 section 5.1; MCP 2026-07-28 "Error Codes").
const NO_HANDSHAKE: [i64; 5] = [-32600, -32601, -32602, -32020, -32022];
/// How often it is looked for sessions that nobody uses.
const LOOK_EVERY: Duration = Duration::from_secs(30);

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The largest answer to a message that is no call, in bytes.
const SMALL: usize = 256 << 10;

/// A session with a replica of an upstream. It is closed when nobody holds it any more.
pub struct Session {
    /// The replica that knows it.
    pub replica: Choice,
    /// Whether the upstream takes `logging/setLevel`.
    pub logs: bool,
    id: Option<HeaderValue>,
    version: HeaderValue,
    caller: Option<Caller>,
    attended: AtomicBool,
    /// Whether its first stream of news is open, or none is to be had. It closes with the session.
    heard: watch::Sender<bool>,
    pool: Arc<Pool>,
    client: Arc<Client>,
}

impl Session {
    /// The upstream.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Sends a message that is no call: a notification, the answer to a question, a request of little weight.
    ///
    /// # Errors
    /// Any [`Failure`].
    pub async fn post(&self, message: Bytes) -> Result<Answer, Failure> {
        self.client.post(&self.pool, &self.replica, &self.headers(), message, SMALL).await
    }

    /// Sends a call and gives the answer to be read piece by piece, however long its pieces take.
    ///
    /// # Errors
    /// Any [`Failure`].
    pub async fn call(&self, headers: &[(HeaderName, HeaderValue)], message: Bytes) -> Result<Stream, Failure> {
        let headers: Vec<_> = headers.iter().cloned().chain(self.headers()).collect();
        let ask = Ask { method: Method::POST, headers: &headers, body: message };
        self.client.open(&self.pool, &self.replica, ask, None).await
    }

    /// Waits for what the upstream says by itself, or, from the event `last` on, for what is left of the stream that it
    /// was part of (MCP 2025-11-25 "Listening for Messages", "Resumability and Redelivery").
    ///
    /// # Errors
    /// Any [`Failure`].
    pub async fn listen(&self, last: Option<&str>) -> Result<Stream, Failure> {
        let mut headers = self.headers();
        headers.push((ACCEPT, HeaderValue::from_static("text/event-stream")));
        if let Some(last) = last {
            headers.push((LAST_EVENT_ID, HeaderValue::from_str(last).map_err(|_| Failure::Broken)?));
        }
        let ask = Ask { method: Method::GET, headers: &headers, body: Bytes::new() };
        self.client.open(&self.pool, &self.replica, ask, None).await
    }

    /// Gives the connection of a stream that was read to its end back.
    pub async fn done_with(&self, stream: Stream) {
        self.client.close(stream).await;
    }

    /// Whether nobody attends to what the upstream says outside of calls; from now on somebody does.
    pub fn is_unattended(&self) -> bool {
        !self.attended.swap(true, Ordering::Relaxed)
    }

    /// Waits until the session has ended. It may end meanwhile: the future does not hold it.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut heard = self.heard.subscribe();
        async move { while heard.changed().await.is_ok() {} }
    }

    /// The upstream has said whether it has more to say than answers, so that nothing it says from now on is lost.
    pub fn heard(&self) {
        self.heard.send_replace(true);
    }

    /// Waits for that, and not for longer than `limit`.
    pub async fn until_heard(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.heard.subscribe().wait_for(|heard| *heard)).await;
    }

    /// The header fields that every message of the session needs.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let version = (PROTOCOL_VERSION, self.version.clone());
        let id = self.id.clone().map(|id| (SESSION_ID, id));
        let caller = self.caller.iter().flat_map(|caller| caller.headers(&self.pool));
        std::iter::once(version).chain(id).chain(caller).collect()
    }

    /// Whether the upstream gave it an id, and so can forget it.
    pub fn has_id(&self) -> bool {
        self.id.is_some()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (true, Ok(runtime)) = (self.has_id(), Handle::try_current()) else { return };
        let (client, pool, replica) = (Arc::clone(&self.client), Arc::clone(&self.pool), self.replica.clone());
        let headers = self.headers();
        runtime.spawn(async move { client.delete(&pool, &replica, &headers).await });
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The upstream gave no answer.
    #[error("the handshake failed: {0}")]
    Failure(#[from] Failure),
    /// It gave one that is none.
    #[error("the handshake was answered with HTTP {status}, {problem}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        problem: &'static str,
        /// Whether it says that the upstream knows no handshakes, whoever asks. That it refuses this one says nothing of
        /// others.
        knows_none: bool,
    },
}

impl SessionError {
    /// Whether the upstream says that it opens sessions for nobody.
    pub fn is_of_all(&self) -> bool {
        matches!(self, Self::Refused { knows_none: true, .. })
    }
}

/// All sessions.
pub struct Sessions {
    client: Arc<Client>,
    store: Mutex<Store>,
    /// How many upstreams are being told something.
    telling: watch::Sender<usize>,
}

#[derive(Default)]
struct Store {
    /// The pools whose sessions are kept. A call that began before the configuration changed may still come with
    /// another; its session is its own and ends with it.
    pools: BTreeSet<u64>,
    kept: HashMap<Key, Kept<Session>>,
    /// Since when it is known of a pool that its upstream keeps no sessions.
    without: HashMap<u64, Instant>,
}

impl Sessions {
    /// None yet; they are opened with `client`.
    pub fn new(client: Arc<Client>) -> Self {
        Self { client, store: Mutex::default(), telling: watch::Sender::new(0) }
    }

    /// The session of `owner` with the upstream of `pool`. Callers that come at once share one handshake, and none
    /// waits for longer than a call may take.
    ///
    /// # Errors
    /// Why it can't be opened.
    pub async fn of(&self, pool: &Arc<Pool>, owner: &Owner) -> Result<Arc<Session>, SessionError> {
        let session = self.keep(pool, owner);
        let shake = || async {
            let caller = owner.caller.clone();
            let (session, _) = shake(&self.client, pool, owner.capabilities, owner.version, caller).await?;
            Ok::<_, SessionError>(Arc::new(session))
        };
        let opened = session.get_or_try_init(shake);
        match tokio::time::timeout(pool.upstream.timeout, opened).await {
            Ok(opened) => opened.cloned(),
            Err(_) => Err(Failure::Timeout.into()),
        }
    }

    /// The place of a session, taken by none yet, or by one whose replica is well or has no better.
    fn keep(&self, pool: &Pool, owner: &Owner) -> Arc<OnceCell<Arc<Session>>> {
        let (key, now) = (Key { pool: pool.id, owner: owner.clone() }, Instant::now());
        let mut store = self.store.lock();
        if !store.pools.contains(&pool.id) {
            return Arc::default();
        }
        if !store.kept.contains_key(&key) {
            make_room(&mut store.kept, owner);
        }
        let kept = store.kept.entry(key).or_insert_with(|| Kept { session: Arc::default(), used: now });
        kept.used = now;
        if kept.session.get().is_some_and(|session| pool.shuns(session.replica.address)) {
            kept.session = Arc::default();
        }
        Arc::clone(&kept.session)
    }

    /// The session that `owner` has with the upstream of `pool` now, where there is one.
    pub fn open_one(&self, pool: &Pool, owner: &Owner) -> Option<Arc<Session>> {
        let key = Key { pool: pool.id, owner: owner.clone() };
        self.store.lock().kept.get(&key).and_then(|kept| kept.session.get().cloned())
    }

    /// Forgets all sessions of `owner`.
    pub fn end(&self, owner: &Owner) {
        self.store.lock().kept.retain(|key, _| key.owner != *owner);
    }

    /// Forgets `session` of `owner`: the upstream does not know it any more.
    pub fn forget(&self, session: &Arc<Session>, owner: &Owner) {
        let key = Key { pool: session.pool.id, owner: owner.clone() };
        let mut store = self.store.lock();
        let is_it = |kept: &Kept<Session>| kept.session.get().is_some_and(|kept| Arc::ptr_eq(kept, session));
        if store.kept.get(&key).is_some_and(is_it) {
            store.kept.remove(&key);
        }
    }

    /// Tells the upstream of `session` `messages`, on which nothing depends, one after the other. Nobody waits for it.
    pub fn tell(&self, session: Arc<Session>, messages: Vec<Bytes>) {
        let telling = self.telling.clone();
        telling.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            for message in messages {
                if let Err(failure) = session.post(message).await {
                    tracing::debug!(upstream = session.pool().upstream.name, %failure, "an upstream could not be told");
                    break;
                }
            }
            telling.send_modify(|count| *count -= 1);
        });
    }

    /// Waits until upstreams know what they are being told, but no longer than `patience`.
    pub async fn told(&self, patience: Duration) {
        let mut telling = self.telling.subscribe();
        let none_left = telling.wait_for(|count| *count == 0);
        if tokio::time::timeout(patience, none_left).await.is_err() {
            tracing::warn!("upstreams do not take what they are told of calls that ended");
        }
    }

    /// Whether the upstream of `pool`, which speaks newer revisions, is known to keep no sessions of older ones.
    pub fn keeps_none(&self, pool: &Pool) -> bool {
        let store = self.store.lock();
        store.without.get(&pool.id).is_some_and(|since| since.elapsed() < ASK_AGAIN)
    }

    /// The upstream of `pool` keeps no sessions, as far as is known now.
    pub fn note_none(&self, pool: &Pool) {
        self.store.lock().without.insert(pool.id, Instant::now());
    }

    /// Keeps the sessions with the upstreams of `pools` from now on, and closes all others.
    pub fn follow(&self, pools: &Pools) {
        let mut store = self.store.lock();
        let Store { pools: live, kept, without } = &mut *store;
        *live = pools.0.values().map(|pool| pool.id).collect();
        without.retain(|pool, _| live.contains(pool));
        kept.retain(|key, _| live.contains(&key.pool));
    }

    /// Closes all, each as soon as no call holds it.
    pub fn close(&self) {
        let mut store = self.store.lock();
        store.pools.clear();
        store.kept.clear();
    }

    /// Closes what nobody uses, again and again.
    pub async fn watch(sessions: Weak<Self>) {
        while let Some(sessions) = sessions.upgrade() {
            close_idle(&mut sessions.store.lock().kept, Instant::now());
            drop(sessions);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Shakes hands with a replica in the name of `caller`, who can be asked for nothing.
///
/// # Errors
/// Why it failed.
pub async fn open(client: &Arc<Client>, pool: &Arc<Pool>, caller: Option<Caller>) -> Result<Session, SessionError> {
    let shaken = shake(client, pool, Capabilities::default(), Version::LATEST_LEGACY, caller);
    shaken.await.map(|(session, _)| session)
}

/// The same in nobody's name, for who can be asked for `capabilities`, with what the upstream says of itself: the result
/// of its `initialize`.
///
/// # Errors
/// Why it failed.
pub async fn begin(
    client: &Arc<Client>,
    pool: &Arc<Pool>,
    capabilities: Capabilities,
) -> Result<(Session, Value), SessionError> {
    shake(client, pool, capabilities, Version::LATEST_LEGACY, None).await
}

async fn shake(
    client: &Arc<Client>,
    pool: &Arc<Pool>,
    capabilities: Capabilities,
    version: Version,
    caller: Option<Caller>,
) -> Result<(Session, Value), SessionError> {
    let capabilities: Value = serde_json::from_slice(&capabilities.write()).unwrap_or_default();
    let hello = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": version.as_str(),
            "capabilities": capabilities,
            "clientInfo": { "name": "portcullis", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let headers: Vec<_> = caller.iter().flat_map(|caller| caller.headers(pool)).collect();
    let (replica, answer) = client.post_any(pool, &headers, hello.to_string().into(), HANDSHAKE).await?;
    let (version, about) = agreed(&answer)?;
    let id = answer.headers.get(SESSION_ID).cloned();
    let logs = about.pointer("/capabilities/logging").is_some_and(Value::is_object);
    let (attended, heard) = (AtomicBool::new(false), watch::Sender::new(false));
    let (pool, client) = (Arc::clone(pool), Arc::clone(client));
    let session = Session { replica, logs, id, version, caller, attended, heard, pool, client };
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    session
        .client
        .post(&session.pool, &session.replica, &session.headers(), ready.to_string().into(), HANDSHAKE)
        .await?;
    Ok((session, about))
}

/// The revision that a handshake ends in, one that we speak and that has handshakes; and the whole result.
fn agreed(answer: &Answer) -> Result<(HeaderValue, Value), SessionError> {
    let knows_none = knows_none(answer);
    let refused = |problem| SessionError::Refused { status: answer.status, problem, knows_none };
    let response = answer.response(b"0").ok_or(refused("without a JSON-RPC response"))?;
    let mut response: Value = serde_json::from_slice(&response).map_err(|_| refused("without a JSON-RPC response"))?;
    let result = response.get_mut("result").map(Value::take).unwrap_or_default();
    let version = result.get("protocolVersion").and_then(Value::as_str).ok_or(refused("without a version"))?;
    match Version::parse(version) {
        Some(version) if version.era() == Era::Legacy => Ok((HeaderValue::from_static(version.as_str()), result)),
        _ => Err(refused("with a revision that is not spoken here")),
    }
}

/// Whether a handshake that was answered so, and ended in no session, would end so for everybody: there is no such thing
/// there, or none that ends in a revision that has handshakes. That somebody may not, or nobody can now, is not that.
fn knows_none(answer: &Answer) -> bool {
    let said: Option<Value> = match answer.status {
        404 | 405 => return true,
        200 => answer.response(b"0").and_then(|said| serde_json::from_slice(&said).ok()),
        400 => serde_json::from_slice(&answer.body).ok(),
        _ => None,
    };
    said.is_some_and(|said| match said.pointer("/error/code").map(Value::as_i64) {
        Some(code) => code.is_some_and(|code| NO_HANDSHAKE.contains(&code)),
        None => said.get("result").is_some(),
    })
}

#[cfg(test)]
mod tests;
