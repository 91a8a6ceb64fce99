//! What a client wants of every session with an upstream: which log messages, and news of which resources. A session that
//! is opened later, or again, is told of it.

use crate::pipeline::session::ClientSession;
use crate::upstream::pool::Pool;
use crate::upstream::session::Session;
use bytes::Bytes;
use parking_lot::Mutex;
use portcullis_core::mcp::level::Level;
use portcullis_core::reject::Rejection;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// Resources that a client may want news of in one session.
const RESOURCES: usize = 1_000;

/// What a client wants.
#[derive(Default)]
pub struct Wishes(Mutex<All>);

#[derive(Default)]
struct All {
    level: Option<String>,
    /// The upstream's name and the resource's URI.
    resources: BTreeSet<(String, String)>,
    /// The sessions that know, by the pool's number.
    told: HashMap<u64, Weak<Session>>,
}

impl Wishes {
    /// Log messages are wanted from `level` on. Gives `false` where there is no such level.
    pub fn log_from(&self, level: &str) -> bool {
        let known = Level::parse(level).is_some();
        if known {
            self.0.lock().level = Some(level.to_owned());
        }
        known
    }

    /// From which level on log messages are wanted, where the client said so.
    pub fn level(&self) -> Option<String> {
        self.0.lock().level.clone()
    }

    /// News of the resource `uri` of `upstream` are wanted: whether they were not before. `None` where there are too many.
    pub fn add(&self, upstream: &str, uri: &str) -> Option<bool> {
        let key = (upstream.to_owned(), uri.to_owned());
        let mut all = self.0.lock();
        if all.resources.len() >= RESOURCES && !all.resources.contains(&key) {
            return None;
        }
        Some(all.resources.insert(key))
    }

    /// News of the resource `uri` of `upstream` are not wanted any more.
    pub fn remove(&self, upstream: &str, uri: &str) {
        self.0.lock().resources.remove(&(upstream.to_owned(), uri.to_owned()));
    }

    /// Whether news of the resource `uri` of `upstream` are wanted.
    pub fn wants(&self, upstream: &str, uri: &str) -> bool {
        self.0.lock().resources.contains(&(upstream.to_owned(), uri.to_owned()))
    }

    /// The resources of which news are wanted, of those upstreams that `of` says.
    pub fn resources(&self, of: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let all = self.0.lock();
        all.resources.iter().filter(|(upstream, _)| of(upstream)).map(|(_, uri)| uri.clone()).collect()
    }

    /// What `session` must still be told; nothing where it was asked for before.
    pub fn untold(&self, session: &Arc<Session>) -> Vec<Bytes> {
        let pool: &Pool = session.pool();
        let name = pool.upstream.name.as_str();
        let mut all = self.0.lock();
        let known = all.told.insert(pool.id, Arc::downgrade(session));
        if known.is_some_and(|known| known.as_ptr() == Arc::as_ptr(session)) {
            return Vec::new();
        }
        let level = all.level.as_deref().filter(|_| session.logs).map(set_level);
        let resources = all.resources.iter().filter(|(upstream, _)| upstream == name);
        let resources = resources.map(|(_, uri)| request("resources/subscribe", &json!({ "uri": uri })));
        level.into_iter().chain(resources).collect()
    }
}

/// A wish for news of a resource that its upstream has not agreed to yet. Where it is dropped before, nothing is wished for;
/// until then, news of it are: the first may come before the upstream's word.
pub struct Wish {
    client: Weak<ClientSession>,
    upstream: String,
    uri: String,
}

impl Wish {
    /// The wish of `client` for news of the resource `uri` of `upstream`; `None` where it is one already.
    ///
    /// # Errors
    /// [`Rejection::InvalidParams`] where there are too many.
    pub fn of(client: &Arc<ClientSession>, upstream: &str, uri: &str) -> Result<Option<Self>, Rejection> {
        let too_many = || Rejection::InvalidParams("the session has too many subscriptions".into());
        let is_new = client.wishes.add(upstream, uri).ok_or_else(too_many)?;
        let (upstream, uri) = (upstream.to_owned(), uri.to_owned());
        Ok(is_new.then(|| Self { client: Arc::downgrade(client), upstream, uri }))
    }

    /// It stays until its client takes it back.
    pub fn granted(mut self) {
        self.client = Weak::new();
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        if let Some(client) = self.client.upgrade() {
            client.wishes.remove(&self.upstream, &self.uri);
            client.turn();
        }
    }
}

/// The request by which an upstream is told of the level `level`.
pub fn set_level(level: &str) -> Bytes {
    request("logging/setLevel", &json!({ "level": level }))
}

fn request(method: &str, params: &Value) -> Bytes {
    json!({ "jsonrpc": "2.0", "id": Uuid::new_v4().to_string(), "method": method, "params": params }).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_remembered_and_bounded() {
        let wishes = Wishes::default();
        assert!(!wishes.log_from("loud") && wishes.level().is_none());
        assert!(wishes.log_from("warning") && wishes.level().as_deref() == Some("warning"));
        for number in 0..RESOURCES {
            assert_eq!(wishes.add("files", &format!("file:///{number}")), Some(true));
        }
        assert_eq!((wishes.add("files", "file:///more"), wishes.add("files", "file:///7")), (None, Some(false)));
        assert!(wishes.wants("files", "file:///7") && !wishes.wants("crm", "file:///7"));
        wishes.remove("files", "file:///7");
        assert!(!wishes.wants("files", "file:///7"));
    }
}
