//! The way to upstreams: their replicas (`pool`), our own small client for what is not proxied (`client`) and what it is
//! told (`answer`), the list of their tools (`discover`), their news (`listen`), the sessions that older servers want
//! (`session`), what they are shown of callers (`caller`), and what stands before those that do not speak Streamable
//! HTTP (`adapter`).

pub mod adapter;
pub mod answer;
pub mod caller;
pub mod client;
pub mod discover;
pub mod listen;
pub mod pool;
pub mod session;

use crate::config::snapshot::{Snapshot, Upstream};
use adapter::{AdapterError, Adapters};
use http::HeaderValue;
use pool::Pool;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What Portcullis says of itself, a JSON object: as a client to upstreams, as a server to clients.
pub const CLIENT_INFO: &[u8] =
    concat!(r#"{"name":"portcullis","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#).as_bytes();

/// The pools of all upstreams, by name.
#[derive(Default, Clone)]
pub struct Pools(pub BTreeMap<String, Arc<Pool>>);

impl Pools {
    /// The pools of `snapshot`: those of `earlier` whose definition has not changed, new ones for the others. An adapter is
    /// started where an upstream needs one, and ends with its pool.
    ///
    /// # Errors
    /// An adapter can't be started.
    pub fn of(snapshot: &Snapshot, earlier: &Self, adapters: &Adapters) -> Result<Self, AdapterError> {
        let gateway_auth = snapshot.gateway.gateway_secret.as_ref().and_then(|secret| {
            let mut value = HeaderValue::from_str(secret.expose()).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let pool = |(name, upstream): (&String, &Arc<Upstream>)| {
            let unchanged = |pool: &&Arc<Pool>| pool.defined() == upstream && pool.gateway_auth == gateway_auth;
            if let Some(kept) = earlier.0.get(name).filter(unchanged) {
                return Ok((name.clone(), Arc::clone(kept)));
            }
            let pool = match adapter::start(upstream, adapters)? {
                Some((adapter, reached)) => Pool::new(reached, gateway_auth.clone(), Some(adapter)),
                None => Pool::new(Arc::clone(upstream), gateway_auth.clone(), None),
            };
            Ok((name.clone(), pool))
        };
        Ok(Self(snapshot.upstreams.iter().map(pool).collect::<Result<_, _>>()?))
    }

    /// Waits until each pool knows its replicas, or could not learn them: before that it has none to send a call to.
    pub async fn ready(&self) {
        futures::future::join_all(self.0.values().map(|pool| pool.ready())).await;
    }
}
