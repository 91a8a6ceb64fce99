//! Asks each upstream in the background what it offers: at the start, when its lists run out, when it says that they have
//! changed, and when it is back.
//!
//! An upstream that does not answer keeps what it last showed, and so does each of its lists.

use crate::catalogue::listening::Listening;
use crate::catalogue::{Catalogue, now};
use crate::config::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Pools;
use crate::upstream::client::Client;
use crate::upstream::discover::{Shown, discover};
use crate::upstream::pool::Pool;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How soon an upstream that failed is asked again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How soon an upstream is asked again because its lists ran out, whatever it says of them.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// How soon an upstream is asked again because it says that its lists have changed. One that says so all the time must
/// not keep us busy.
const SETTLE: Duration = Duration::from_millis(500);
/// How often it is looked for what a person has accepted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The background work that keeps the catalogue.
pub struct Discovery {
    client: Arc<Client>,
    catalogue: Arc<Catalogue>,
    metrics: Arc<Metrics>,
    running: Mutex<Running>,
    asked: watch::Sender<BTreeSet<String>>,
}

#[derive(Default)]
struct Running {
    upstreams: BTreeMap<String, Followed>,
    snapshot: Option<Arc<Snapshot>>,
}

/// An upstream that is asked.
struct Followed {
    pool: Arc<Pool>,
    tasks: [AbortHandle; 3],
}

impl Discovery {
    /// No upstream is asked yet.
    pub fn new(client: Arc<Client>, catalogue: Arc<Catalogue>, metrics: Arc<Metrics>) -> Arc<Self> {
        let discovery = Self { client, catalogue, metrics, running: Mutex::default(), asked: watch::Sender::default() };
        let discovery = Arc::new(discovery);
        tokio::spawn(Self::follow_pins(Arc::downgrade(&discovery)));
        discovery
    }

    /// Asks the upstreams of `pools`, which are those of `snapshot`, from now on, and no others. What goes on for an
    /// unchanged upstream goes on; one that changed keeps what it last showed until it has shown more, so that no call
    /// fails for the change alone.
    pub fn follow(self: &Arc<Self>, snapshot: &Arc<Snapshot>, pools: &Pools) {
        let mut running = self.running.lock();
        running.snapshot = Some(Arc::clone(snapshot));
        running.upstreams.retain(|name, Followed { pool, tasks }| {
            let kept = pools.0.get(name).is_some_and(|wanted| Arc::ptr_eq(wanted, pool));
            if !kept {
                tasks.iter().for_each(AbortHandle::abort);
                pool.health().iter().for_each(|(replica, _)| self.metrics.forget_replica(name, &replica.to_string()));
            }
            if !pools.0.contains_key(name) {
                self.catalogue.forget(name);
                self.metrics.not_listening(name);
            }
            kept
        });
        for (name, pool) in &pools.0 {
            running.upstreams.entry(name.clone()).or_insert_with(|| {
                let health = tokio::spawn(Pool::watch(Arc::downgrade(pool)));
                let lists = tokio::spawn(Arc::clone(self).watch(Arc::clone(pool)));
                let news = tokio::spawn(self.listening(pool).run());
                let tasks = [health.abort_handle(), lists.abort_handle(), news.abort_handle()];
                Followed { pool: Arc::clone(pool), tasks }
            });
        }
        self.catalogue.warn_of_clashes(&snapshot.routes);
    }

    fn listening(&self, pool: &Arc<Pool>) -> Listening {
        let (client, catalogue) = (Arc::clone(&self.client), Arc::clone(&self.catalogue));
        Listening { client, catalogue, metrics: Arc::clone(&self.metrics), pool: Arc::clone(pool) }
    }

    /// Waits until each upstream that is followed now was asked once, whether it answered or not.
    pub async fn first_round(&self) {
        let wanted: BTreeSet<_> = self.running.lock().upstreams.keys().cloned().collect();
        // The sender is ours and lives, so this can't fail.
        let _ = self.asked.subscribe().wait_for(|asked| asked.is_superset(&wanted)).await;
    }

    async fn watch(self: Arc<Self>, pool: Arc<Pool>) {
        let name = &pool.upstream.name;
        let mut news = pool.news();
        let mut retry = RETRY.0;
        loop {
            news.mark_unchanged();
            let (found, ttl) = self.ask(&pool).await;
            let pause = if found { lasting(ttl, pool.upstream.refresh) } else { retry };
            retry = if found { RETRY.0 } else { (retry * 2).min(RETRY.1) };
            self.asked.send_modify(|asked| {
                asked.insert(name.clone());
            });
            let asked_at = Instant::now();
            // A replica that is back may be another version, with other tools. The pool keeps the sender, so `changed`
            // does not fail.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = news.changed() => tokio::time::sleep_until(asked_at + SETTLE.min(pause)).await,
            }
        }
    }

    /// Asks once: whether all lists could be had, and how long they last.
    async fn ask(&self, pool: &Arc<Pool>) -> (bool, Option<Duration>) {
        let name = &pool.upstream.name;
        pool.ready().await;
        let before = self.catalogue.current.load().upstreams.get(name).cloned();
        match discover(&self.client, pool, before.as_deref()).await {
            Ok(shown) => {
                if let Some(error) = &shown.failed {
                    tracing::warn!(upstream = name, %error, "a list of the upstream can't be had; asking again soon");
                    self.metrics.catalogue_failed(name);
                }
                let (found, ttl) = (shown.failed.is_none(), shown.ttl);
                self.take(pool, shown).await;
                (found, ttl)
            }
            Err(error) => {
                tracing::warn!(upstream = name, %error, "the upstream can't be asked what it offers; asking again soon");
                self.metrics.catalogue_failed(name);
                (false, None)
            }
        }
    }

    async fn take(&self, pool: &Arc<Pool>, mut shown: Shown) {
        let upstream = &pool.upstream;
        let revision = self.running.lock().snapshot.as_ref().map(|snapshot| snapshot.revision.clone());
        self.catalogue.compare(upstream, &shown.catalog, &revision.unwrap_or_default()).await;
        shown.catalog.fresh_until = shown.ttl.map(|ttl| now().plus(ttl));
        // What is not followed any more must not come back.
        let running = self.running.lock();
        if running.upstreams.get(&upstream.name).is_some_and(|followed| Arc::ptr_eq(&followed.pool, pool)) {
            self.catalogue.publish(upstream, shown.catalog);
            if let Some(snapshot) = &running.snapshot {
                self.catalogue.warn_of_clashes(&snapshot.routes);
            }
        }
    }

    /// Looks for what a person has accepted, again and again.
    async fn follow_pins(discovery: Weak<Self>) {
        // What was accepted while no gateway ran.
        let mut recorded = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(discovery) = discovery.upgrade() else { return };
            let changed = discovery.catalogue.pins.follow().await;
            if changed || !recorded {
                let snapshot = discovery.running.lock().snapshot.clone();
                let revision = snapshot.map(|snapshot| snapshot.revision.clone()).unwrap_or_default();
                recorded = discovery.catalogue.record_acceptances(&revision).await;
            }
            if changed {
                let running = discovery.running.lock();
                running
                    .upstreams
                    .values()
                    .for_each(|followed| discovery.catalogue.judge_again(&followed.pool.upstream));
            }
        }
    }
}

/// How long to wait before an upstream whose lists last for `ttl` is asked again. One that wants none to be kept says
/// nothing of how often they change, and is asked as often as one that is silent.
fn lasting(ttl: Option<Duration>, refresh: Duration) -> Duration {
    let pause = ttl.filter(|ttl| !ttl.is_zero()).map_or(refresh, |ttl| ttl.max(SHORTEST).min(refresh));
    // Not all at the same time.
    pause.mul_f64(rand::random_range(0.9..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_kept_as_long_as_it_lasts_within_reason() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        for (ttl, refresh, expected) in [
            (None, minute, minute),
            (Some(Duration::ZERO), minute, minute),
            (Some(second * 5), minute, second * 5),
            (Some(second / 10), minute, second),
            (Some(Duration::MAX), minute, minute),
            (Some(second * 5), second / 10, second / 10),
        ] {
            let pause = lasting(ttl, refresh);
            assert!(pause <= expected && pause >= expected.mul_f64(0.89), "{ttl:?} {refresh:?} {pause:?}");
        }
    }
}
