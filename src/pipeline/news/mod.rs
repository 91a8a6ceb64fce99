//! News for one caller: that what it may see of an endpoint's lists has changed, and that resources have which it may
//! read.
//!
//! Nothing of an upstream's is passed on here but how a task is. That a list has changed is worked out from the caller's own projection of
//! it, whenever the catalogue or the configuration changes: so nobody hears of what they may not see, and a change of
//! policy is heard as well. That a resource has changed is asked of its upstream (`updates`) and judged anew each time. How
//! a task is (`tasks`) is told as it would be answered.
//!
//! [`Watch`] is that, for whoever has a stream to a client. `subscribe` is the stream of 2026-07-28.

mod listener;
mod projection;
mod subscribe;
mod tasks;
mod updates;

pub use listener::Listener;
pub use subscribe::subscribe;

use crate::pipeline::{Gateway, Live};
use portcullis_core::catalog::{Catalog, Generation};
use portcullis_core::mcp::news::{Interests, News};
use portcullis_core::redact::Counts;
use portcullis_core::reject::Rejection;
use portcullis_core::tool::ToolName;
use projection::Projection;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tasks::TaskNews;
pub use tasks::Wanted;
use tokio::sync::watch;
use updates::Updates;

/// How long changes are gathered before it is worked out what they mean: they seldom come alone.
const SETTLE: Duration = Duration::from_millis(50);
/// How long upstreams may take to say which resources they tell of, before those that have not are left out.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches for one listener.
pub struct Watch {
    gateway: Arc<Gateway>,
    listener: Listener,
    /// Which lists, and which resources.
    interests: Interests,
    known: Projection,
    /// Of which catalogue that is.
    generation: Generation,
    /// What the upstreams offer it.
    catalog: Arc<Catalog>,
    updates: Updates,
    tasks: TaskNews,
    changes: Changes,
}

/// What may change what the listener sees.
struct Changes {
    configuration: watch::Receiver<u64>,
    catalogue: watch::Receiver<u64>,
    /// Whether the configuration has changed, and that was not looked at yet.
    renewed: bool,
    /// The same for anything.
    stale: bool,
}

impl Watch {
    /// Watches for `listener` from now on for those of `wanted` and `tasks` that it may know of and that an upstream tells
    /// of: [`Watch::interests`].
    ///
    /// # Errors
    /// [`Rejection::NotFound`] where the endpoint is gone, [`Rejection::Unauthenticated`] where the listener's token is not
    /// accepted any more.
    pub async fn begin(
        gateway: &Arc<Gateway>,
        listener: Listener,
        wanted: &Interests,
        tasks: Wanted,
    ) -> Result<Self, Rejection> {
        let changes = Changes {
            configuration: gateway.renewals.subscribe(),
            catalogue: gateway.catalog_changes.clone(),
            renewed: false,
            stale: false,
        };
        let interests = Interests { updates: BTreeSet::new(), tasks: BTreeSet::new(), ..wanted.clone() };
        let (known, generation, updates) =
            (Projection::default(), Generation::default(), Updates::new(listener.aside().clone()));
        let (own, catalog, tasks) =
            (Arc::clone(gateway), Arc::default(), TaskNews::new(tasks, listener.aside().clone()));
        let mut watch = Self { gateway: own, listener, interests, known, generation, catalog, updates, tasks, changes };
        watch.changes.catalogue.mark_unchanged();
        let live = gateway.live.load_full();
        // The listener was known to an earlier configuration, perhaps.
        watch.listener.renew(&live).await?;
        watch.generation = watch.generation(&live)?;
        watch.catalog = watch.listener.catalog(gateway, &live).await?;
        watch.known = watch.project(&live)?;
        watch.updates.aim(gateway, &live, &watch.listener, &watch.catalog, &wanted.updates)?;
        watch.tasks.aim(gateway, &live, &watch.listener, &watch.catalog)?;
        // Whether in time or not: what does not hear by now is left out.
        let settled = async { tokio::join!(watch.updates.settle(), watch.tasks.settle()) };
        let _ = tokio::time::timeout(PATIENCE, settled).await;
        (watch.interests.updates, watch.interests.tasks) = (watch.updates.hearing(), watch.tasks.hearing());
        Ok(watch)
    }

    /// What was redacted of the news so far.
    pub fn redactions(&self) -> &Counts {
        self.tasks.redactions()
    }

    /// What is watched for.
    pub fn interests(&self) -> &Interests {
        &self.interests
    }

    /// What the upstreams offer the listener, as of the last news.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Watches for changes of these resources from now on, in place of those before. Which of them may be read, and
    /// where they are, is looked at now and whenever something changes.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] where the endpoint is gone.
    pub fn follow(&mut self, uris: BTreeSet<String>) -> Result<(), Rejection> {
        self.interests.updates = uris;
        let live = self.gateway.live.load_full();
        self.updates.aim(&self.gateway, &live, &self.listener, &self.catalog, &self.interests.updates)
    }

    /// The next news, never none. Where the future is dropped, nothing is lost.
    ///
    /// # Errors
    /// Why the listener may hear nothing any more.
    pub async fn next(&mut self) -> Result<BTreeSet<News>, Rejection> {
        loop {
            let news = if self.changes.stale {
                // Not all listeners at the same time.
                tokio::time::sleep(SETTLE.mul_f64(rand::random_range(1.0..=3.0))).await;
                self.look().await?
            } else {
                self.wait().await
            };
            if !news.is_empty() {
                return Ok(news);
            }
        }
    }

    /// Waits for something to happen: the news in it.
    async fn wait(&mut self) -> BTreeSet<News> {
        let Changes { configuration, catalogue, renewed, stale } = &mut self.changes;
        tokio::select! {
            // The gateway keeps the senders, and we the gateway: neither fails.
            _ = configuration.changed() => (*renewed, *stale) = (true, true),
            _ = catalogue.changed() => *stale = true,
            (number, heard) = self.updates.next() => {
                let changed = self.updates.take(number, heard);
                let live = self.gateway.live.load();
                return changed.into_iter().filter_map(|(name, holder)| self.told(&live, name, holder)).collect();
            }
            (number, heard) = self.tasks.next() => {
                let live = self.gateway.live.load_full();
                return self.tasks.take(&live, &self.listener, &self.catalog, number, heard).into_iter().collect();
            }
        }
        BTreeSet::new()
    }

    /// Looks at what has changed: the news in it.
    async fn look(&mut self) -> Result<BTreeSet<News>, Rejection> {
        let (configuration, catalogue) = (&mut self.changes.configuration, &mut self.changes.catalogue);
        self.changes.renewed |= configuration.has_changed().unwrap_or(false);
        configuration.mark_unchanged();
        catalogue.mark_unchanged();
        let live = self.gateway.live.load_full();
        if self.changes.renewed {
            self.listener.renew(&live).await?;
        }
        let generation = self.generation(&live)?;
        let same = generation == self.generation && !self.changes.renewed;
        self.catalog = self.listener.catalog(&self.gateway, &live).await?;
        let now = if same { self.known } else { self.project(&live)? };
        self.updates.aim(&self.gateway, &live, &self.listener, &self.catalog, &self.interests.updates)?;
        self.tasks.aim(&self.gateway, &live, &self.listener, &self.catalog)?;
        (self.changes.renewed, self.changes.stale, self.generation) = (false, false, generation);
        Ok(std::mem::replace(&mut self.known, now).news(now))
    }

    /// When the lists of the endpoint last changed.
    fn generation(&self, live: &Live) -> Result<Generation, Rejection> {
        Ok(self.gateway.catalog.load().generation(&*self.listener.endpoint(live)?))
    }

    fn project(&self, live: &Live) -> Result<Projection, Rejection> {
        let endpoint = self.listener.endpoint(live)?;
        Ok(Projection::of(live, &self.catalog, &endpoint, &self.listener.viewer(), &self.interests))
    }

    /// What is told of a change of `name`, which belongs to the resource `holder` that was subscribed to. A part is named
    /// where its name, which is its upstream's word, may be seen.
    fn told(&self, live: &Live, name: ToolName, holder: String) -> Option<News> {
        if !self.listener.may_read(live, &name) {
            return None;
        }
        let shown = name.tool == holder || self.listener.may_see(live, &name.tool);
        Some(News::Updated(if shown { name.tool } else { holder }))
    }
}
