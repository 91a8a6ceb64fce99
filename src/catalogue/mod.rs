//! The catalogue: what upstreams were last seen to offer, less what is not trusted.
//!
//! `discovery` asks upstreams, again and again; what they show is compared here with what is pinned, and becomes the
//! catalogue that requests are judged by. It is replaced as a whole; who wants to know of changes is told.

mod clashes;
pub mod discovery;
mod listening;
pub mod personal;

use crate::catalogue::clashes::Clashes;
use crate::config::snapshot::Upstream;
use crate::store::journal::Journal;
use crate::store::pins::{Acceptance, News, Offer, Pins, title};
use crate::telemetry::metrics::Metrics;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::catalog::{Canonical, Catalog, PinKind, UpstreamCatalog, changes};
use portcullis_core::route::Routes;
use portcullis_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use uuid::Uuid;

/// What of an upstream's name reaches the record, in bytes.
const NAME: usize = 256;

/// The catalogue of a process.
pub struct Catalogue {
    current: Arc<ArcSwap<Catalog>>,
    changes: watch::Sender<u64>,
    pins: Pins,
    journal: Journal,
    metrics: Arc<Metrics>,
    clashes: Mutex<Clashes>,
}

impl Catalogue {
    /// One that holds nothing yet.
    pub fn new(pins: Pins, journal: Journal, metrics: Arc<Metrics>) -> Arc<Self> {
        let (current, clashes) = (Arc::default(), Mutex::default());
        Arc::new(Self { current, changes: watch::Sender::default(), pins, journal, metrics, clashes })
    }

    /// What upstreams offer now, and whatever they offer later.
    pub fn current(&self) -> Arc<ArcSwap<Catalog>> {
        Arc::clone(&self.current)
    }

    /// The number of the last change that a client could see: [`UpstreamCatalog::generation`] says of what.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Compares what `upstream` shows with what is pinned, and writes down what is new.
    async fn compare(&self, upstream: &Upstream, shown: &UpstreamCatalog, revision: &str) {
        for (kind, definitions) in definitions(shown) {
            for news in self.pins.take(&offer(upstream, kind, definitions)).await.news {
                self.report(&upstream.name, kind, &news, revision);
            }
        }
    }

    /// A definition is in quarantine since now: the log and the audit say so, once.
    fn report(&self, upstream: &str, kind: PinKind, news: &News, revision: &str) {
        let differences = changes(&news.pinned, &news.found);
        let fields: BTreeSet<_> = differences.iter().map(|change| change.field()).collect();
        let fields = fields.into_iter().collect::<Vec<_>>().join(", ");
        let name = title(upstream, kind, &news.name);
        tracing::warn!(
            upstream,
            kind = kind.as_str(),
            name,
            changed = fields,
            "a definition is not the one that was pinned, and is held back; look at it with `portcullis catalogue diff`"
        );
        let at = now();
        let entry = Entry {
            request_id: Uuid::now_v7().to_string(),
            upstream: Some(upstream.to_owned()),
            tool: Some(name.chars().take(NAME).collect()),
            revision: revision.to_owned(),
            outcome: Some(Outcome::Refused),
            termination: Some(Termination::Refused),
            error: Some("quarantined"),
            detail: Some(format!("the {} changed: {fields}", kind.as_str())),
            ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), at)
        };
        self.journal.submit(&entry);
    }

    /// Puts what people have accepted into the record; whether all of it is there.
    async fn record_acceptances(&self, revision: &str) -> bool {
        let Ok(unrecorded) = self.pins.unrecorded().await else { return false };
        for acceptance in unrecorded {
            let entry = accepted(&acceptance, revision);
            // At least once: where the mark fails, it is there a second time.
            let written = self.journal.record(&entry).await;
            if written.is_err() || self.pins.recorded(&acceptance).await.is_err() {
                return false;
            }
            let Acceptance { upstream, kind, name, who, .. } = acceptance;
            let name = title(&upstream, kind, &name);
            tracing::info!(upstream, kind = kind.as_str(), name, who, "a definition that was held back was accepted");
        }
        true
    }

    /// Replaces what is known of `upstream` by `shown`, less what is not trusted. Callers take turns.
    fn publish(&self, upstream: &Upstream, mut shown: UpstreamCatalog) {
        self.hold(upstream, &mut shown);
        let (name, number) = (&upstream.name, *self.changes.borrow() + 1);
        let catalog = self.current.load();
        let before = catalog.upstreams.get(name);
        let next = if upstream.per_user {
            // What its callers are shown may have changed.
            shown.held_from_some = self.pins.quarantined(name);
            shown.after(None, number)
        } else {
            shown.after(before.map(|before| &**before), number)
        };
        // Whoever listens to it, or sends what it can take, needs to know as well in which era it speaks and of what.
        let same = |before: &Arc<UpstreamCatalog>| {
            let said = (before.era, &before.about.capabilities) == (next.era, &next.about.capabilities);
            said && before.generation == next.generation
        };
        let changed = !before.is_some_and(same);
        self.metrics.catalogued(name, next.tools.count());
        self.metrics.quarantined(name, next.held());
        if let Some(before) = before {
            tell_of_return(name, before, &next);
        }
        let mut catalog = Catalog::clone(&catalog);
        catalog.upstreams.insert(name.clone(), Arc::new(next));
        self.replace(catalog, changed);
    }

    /// Forgets `upstream`. Callers take turns with [`Catalogue::publish`].
    fn forget(&self, upstream: &str) {
        let mut catalog = Catalog::clone(&self.current.load());
        catalog.upstreams.remove(upstream);
        self.metrics.forget_upstream(upstream);
        self.replace(catalog, true);
    }

    fn replace(&self, catalog: Catalog, changed: bool) {
        self.current.store(Arc::new(catalog));
        if changed {
            self.changes.send_modify(|number| *number += 1);
        }
    }

    /// Judges what is known of `upstream` again, where a person has changed what is pinned.
    fn judge_again(&self, upstream: &Upstream) {
        let known = self.current.load().upstreams.get(&upstream.name).cloned();
        if let Some(known) = known {
            self.publish(upstream, UpstreamCatalog::clone(&known));
        }
    }

    /// Holds back what is not trusted.
    fn hold(&self, upstream: &Upstream, shown: &mut UpstreamCatalog) {
        let judged = definitions(shown)
            .into_iter()
            .map(|(kind, definitions)| (kind, self.pins.judge(&offer(upstream, kind, definitions)).held));
        let mut held: BTreeMap<_, _> = judged.collect();
        let mut of = |kind| held.remove(&kind).unwrap_or_default();
        let (tools, prompts, instructions) = (of(PinKind::Tool), of(PinKind::Prompt), of(PinKind::Instructions));
        shown.tools.hold(tools);
        shown.prompts.hold(prompts);
        shown.about.instructions_held = !instructions.is_empty();
    }

    /// Says which URIs of `routes` more than one upstream has, each once.
    fn warn_of_clashes(&self, routes: &Routes) {
        self.clashes.lock().warn(&self.current.load(), routes);
    }
}

/// The row of the record that says that a person has accepted a definition.
fn accepted(acceptance: &Acceptance, revision: &str) -> Entry {
    let Acceptance { at, who, upstream, kind, name, before, after, .. } = acceptance;
    let (call, kind_name) = (Uuid::now_v7(), kind.as_str());
    Entry {
        request_id: Uuid::now_v7().to_string(),
        subject: Some(who.clone()),
        upstream: Some(upstream.clone()),
        tool: Some(title(upstream, *kind, name).chars().take(NAME).collect()),
        revision: revision.to_owned(),
        outcome: Some(Outcome::Ok),
        detail: Some(format!("accepted at {at}: the {kind_name} {before} became {after}")),
        ..Entry::new(Uuid::now_v7(), call, now())
    }
}

/// What `upstream` offers of one kind, to all callers or to one of them. Its own words are the same for all.
fn offer<'a>(upstream: &'a Upstream, kind: PinKind, definitions: BTreeMap<&'a str, Canonical>) -> Offer<'a> {
    let personal = upstream.per_user && kind != PinKind::Instructions;
    Offer { upstream: &upstream.name, kind, definitions, pinning: upstream.pinning, personal }
}

/// What is pinned of `shown`, by kind and name. A list that was never given says nothing of what is gone.
fn definitions(shown: &UpstreamCatalog) -> Vec<(PinKind, BTreeMap<&str, Canonical>)> {
    let mut all = vec![(PinKind::Instructions, BTreeMap::from([("", shown.about.canonical())]))];
    if shown.tools.is_known() {
        let tools = shown.tools.all().map(|(name, tool)| (name.as_str(), tool.canonical.clone()));
        all.push((PinKind::Tool, tools.collect()));
    }
    if shown.prompts.is_known() {
        let prompts = shown.prompts.all().map(|(name, prompt)| (name.as_str(), prompt.canonical.clone()));
        all.push((PinKind::Prompt, prompts.collect()));
    }
    all
}

/// Says what is trusted again, because it is as it was or because a person has accepted it.
fn tell_of_return(upstream: &str, before: &UpstreamCatalog, now: &UpstreamCatalog) {
    let lists = [(before.tools.held(), now.tools.held()), (before.prompts.held(), now.prompts.held())];
    for name in lists.into_iter().flat_map(|(before, now)| before.difference(now)) {
        tracing::info!(upstream, name, "a definition that was held back is not held back any more");
    }
}

/// The clock's time.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(0).plus(since)
}
