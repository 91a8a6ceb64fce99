//! The lists of upstreams that show each caller lists of their own (`catalogue: per_user`): asked for as the caller when
//! that caller first needs them, and kept for that caller alone.
//!
//! They last until the upstream is asked again in the background what it is, which happens when `refresh` runs out, when
//! it says that its lists have changed, and when a person accepts a definition. A list that can't be had then is not
//! known: what a caller was once shown is not what they may see now. What is pinned is pinned for all callers.

use crate::catalogue::discovery::SHORTEST;
use crate::catalogue::{Catalogue, now};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Pools;
use crate::upstream::caller::Caller;
use crate::upstream::client::{Client, Failure};
use crate::upstream::discover::{Asker, DiscoveryError, Shown, discover_for};
use crate::upstream::pool::Pool;
use crate::upstream::session::{Owner, Sessions};
use futures::future::join_all;
use parking_lot::Mutex;
use portcullis_core::catalog::{Catalog, UpstreamCatalog};
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Era;
use portcullis_core::tool::{Kind, ToolName};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Callers of an upstream whose lists are kept; beyond it, those go that were not used for longest.
const KEPT: usize = 2_000;
/// Callers whose lists are asked for at once, of each upstream.
const AT_ONCE: usize = 8;
/// How long it is believed that a list can't be had.
const FAILED: Duration = Duration::from_secs(1);

/// The lists of all callers.
pub struct Personal {
    client: Arc<Client>,
    sessions: Arc<Sessions>,
    catalogue: Arc<Catalogue>,
    metrics: Arc<Metrics>,
    upstreams: Mutex<Upstreams>,
}

/// By the number of the pool.
type Upstreams = HashMap<u64, Arc<Callers>>;

/// The callers of one upstream.
struct Callers {
    asking: Semaphore,
    /// By what tells one from another.
    kept: Mutex<HashMap<Vec<u8>, Kept>>,
    /// What anybody was shown last, for its definitions that were read.
    read: Mutex<Option<Arc<UpstreamCatalog>>>,
}

struct Kept {
    /// Whoever holds it asks; the others wait.
    lists: Arc<tokio::sync::Mutex<Option<Lists>>>,
    used: Instant,
}

/// The lists of one caller.
#[derive(Clone)]
struct Lists {
    catalog: Arc<UpstreamCatalog>,
    until: Instant,
    /// The configuration by which it was judged what of them the caller may know.
    revision: Arc<str>,
}

/// Who asks, and what of a list they may know. What they may not is neither kept nor pinned: the definition that somebody
/// without rights is shown must not stand in the way of those who have them.
pub struct Asking<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// By which configuration.
    pub revision: &'a str,
    /// Whether policy lets them know of it.
    pub sees: &'a (dyn Fn(Kind, &ToolName) -> bool + Send + Sync),
}

impl Personal {
    /// Of nobody yet.
    pub fn new(
        client: &Arc<Client>,
        sessions: &Arc<Sessions>,
        catalogue: &Arc<Catalogue>,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let (client, sessions) = (Arc::clone(client), Arc::clone(sessions));
        let (catalogue, metrics) = (Arc::clone(catalogue), Arc::clone(metrics));
        Arc::new(Self { client, sessions, catalogue, metrics, upstreams: Mutex::default() })
    }

    /// Keeps the lists of the upstreams of `pools` from now on, and no others.
    pub fn follow(&self, pools: &Pools) {
        let mut upstreams = self.upstreams.lock();
        upstreams.retain(|id, _| pools.0.values().any(|pool| pool.id == *id));
        for pool in pools.0.values().filter(|pool| pool.upstream.per_user) {
            upstreams.entry(pool.id).or_default();
        }
    }

    /// The catalogue as whoever asks has it, as far as it is of `members`, which are names of upstreams. Waits for no
    /// longer than a call to them may take.
    pub async fn catalog(&self, pools: &Pools, members: &[String], asking: &Asking<'_>) -> Arc<Catalog> {
        let shared = self.catalogue.current.load_full();
        let personal = members.iter().filter_map(|name| pools.0.get(name)).filter(|pool| pool.upstream.per_user);
        let asked: Vec<_> = personal.map(|pool| self.of(pool, asking)).collect();
        if asked.is_empty() {
            return shared;
        }
        let found = join_all(asked).await;
        let mut own = Catalog::clone(&self.catalogue.current.load());
        own.upstreams.extend(found.into_iter().flatten().map(|(name, lists)| (name.to_owned(), lists)));
        Arc::new(own)
    }

    /// The lists of whoever asks; `None` where nothing is known of the upstream yet.
    async fn of<'a>(&self, pool: &'a Arc<Pool>, asking: &Asking<'_>) -> Option<(&'a str, Arc<UpstreamCatalog>)> {
        let name = pool.upstream.name.as_str();
        let shared = self.catalogue.current.load().upstreams.get(name).cloned()?;
        // An earlier configuration's, whose callers are not kept any more.
        let callers = self.upstreams.lock().get(&pool.id).cloned().unwrap_or_default();
        let place = callers.place(asking.principal.identity());
        let asked = async {
            let mut lists = place.lock().await;
            match lists.as_ref().filter(|lists| lists.last(&shared, asking.revision)) {
                Some(lists) => Arc::clone(&lists.catalog),
                None => {
                    let fresh = self.ask(pool, &callers, asking, &shared).await;
                    Arc::clone(&lists.insert(fresh).catalog)
                }
            }
        };
        let asked = tokio::time::timeout(pool.upstream.timeout, asked).await;
        Some((name, asked.unwrap_or(shared)))
    }

    async fn ask(
        &self,
        pool: &Arc<Pool>,
        callers: &Callers,
        asking: &Asking<'_>,
        shared: &Arc<UpstreamCatalog>,
    ) -> Lists {
        let (upstream, revision) = (&pool.upstream.name, Arc::from(asking.revision));
        let warn = |error: &DiscoveryError| {
            tracing::warn!(upstream, %error, "a caller's lists can't be had from the upstream");
            self.metrics.catalogue_failed(upstream);
        };
        // It is never closed.
        let _turn = callers.asking.acquire().await;
        let shown = match self.shown(pool, callers, asking.principal, shared).await {
            Ok(shown) => shown,
            Err(error) => {
                warn(&error);
                return Lists { catalog: Arc::clone(shared), until: Instant::now() + FAILED, revision };
            }
        };
        shown.failed.iter().for_each(warn);
        let lasts = match (&shown.failed, shown.ttl.filter(|ttl| !ttl.is_zero())) {
            (Some(_), _) => FAILED,
            (None, Some(ttl)) => ttl.max(SHORTEST).min(pool.upstream.refresh),
            (None, None) => pool.upstream.refresh,
        };
        let mut catalog = shown.catalog;
        catalog.retain(|kind, name| (asking.sees)(kind, &ToolName::new(upstream, name)));
        self.catalogue.compare(&pool.upstream, &catalog, asking.revision).await;
        self.catalogue.hold(&pool.upstream, &mut catalog);
        catalog.fresh_until = shown.ttl.map(|_| now().plus(lasts));
        catalog.generation = shared.generation;
        let catalog = Arc::new(catalog);
        *callers.read.lock() = Some(Arc::clone(&catalog));
        Lists { catalog, until: Instant::now() + lasts, revision }
    }

    async fn shown(
        &self,
        pool: &Arc<Pool>,
        callers: &Callers,
        principal: &Principal,
        shared: &UpstreamCatalog,
    ) -> Result<Shown, DiscoveryError> {
        // Whoever can't be named must not be asked for as nobody.
        let caller = Caller::of(principal).ok_or(Failure::Broken)?;
        let read = callers.read.lock().clone();
        let asker = |session, user| Asker { session, user, about: &shared.about, read: read.as_deref() };
        if shared.era == Era::Modern {
            let fields = caller.headers(pool).collect();
            return discover_for(&self.client, pool, asker(None, fields)).await;
        }
        // There are servers that show some tools only to clients that can do what those ask of them.
        let owner = Owner::principal(principal, Capabilities::ALL);
        let session = self.sessions.of(pool, &owner).await?;
        let shown = discover_for(&self.client, pool, asker(Some(Arc::clone(&session)), Vec::new())).await?;
        if shown.failed.is_none() {
            return Ok(shown);
        }
        // Perhaps the upstream does not know the session any more. Lists may be asked for twice.
        self.sessions.forget(&session, &owner);
        let session = self.sessions.of(pool, &owner).await?;
        discover_for(&self.client, pool, asker(Some(session), Vec::new())).await
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self { asking: Semaphore::new(AT_ONCE), kept: Mutex::default(), read: Mutex::default() }
    }
}

impl Callers {
    /// The place for the lists of `who`, taken or not.
    fn place(&self, who: Vec<u8>) -> Arc<tokio::sync::Mutex<Option<Lists>>> {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT && !kept.contains_key(&who) {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.used).map(|(who, _)| who.clone());
            oldest.map(|oldest| kept.remove(&oldest));
        }
        let place = kept.entry(who).or_insert_with(|| Kept { lists: Arc::default(), used: now });
        place.used = now;
        Arc::clone(&place.lists)
    }
}

impl Lists {
    /// Whether they are as good as new by the configuration `revision`, where `shared` is what is known of the upstream.
    fn last(&self, shared: &UpstreamCatalog, revision: &str) -> bool {
        self.catalog.generation == shared.generation && Instant::now() < self.until && *self.revision == *revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_has_one_place_and_the_one_goes_that_was_not_used_for_longest() {
        let callers = Callers::default();
        let name = |number: usize| number.to_be_bytes().to_vec();
        let first = callers.place(name(0));
        (1..KEPT).for_each(|number| drop(callers.place(name(number))));
        assert!(Arc::ptr_eq(&first, &callers.place(name(0))));
        drop(callers.place(name(KEPT)));
        assert!(Arc::ptr_eq(&first, &callers.place(name(0))), "it was used last");
        let kept = callers.kept.lock();
        assert_eq!((kept.len(), kept.contains_key(&name(1))), (KEPT, false));
    }

    #[tokio::test]
    async fn lists_last_for_their_time_and_until_the_upstream_is_asked_again() {
        let shared = UpstreamCatalog::new(Era::Modern).after(None, 3);
        let lists = |catalog: &UpstreamCatalog, left: Duration| Lists {
            catalog: Arc::new(catalog.clone()),
            until: Instant::now() + left,
            revision: Arc::from("one"),
        };
        let hour = Duration::from_secs(3600);
        assert!(lists(&shared, hour).last(&shared, "one"));
        assert!(!lists(&shared, Duration::ZERO).last(&shared, "one"));
        assert!(!lists(&shared, hour).last(&shared.clone().after(None, 4), "one"));
        assert!(!lists(&shared, hour).last(&shared, "two"));
    }
}
