//! The keys of an issuer that publishes them: when to fetch, how long to trust, who waits. How to fetch is `fetch`'s
//! business.
//!
//! - A set is fresh for up to ten minutes; then it is asked for again in the background while the old one still serves.
//! - A set that can't be renewed serves for a day, then no more: an issuer may have revoked a key in the meantime.
//! - An unknown `kid` may be a new key: it causes at most one fetch in ten seconds, whoever sends how many.
//! - At any time at most one fetch is under way for an issuer; those who need it wait for the same one, which ends
//!   within five seconds.
//!
//! No clock is read here: `at` is an argument, so that a day passes in a test without waiting.

use super::fetch::{FetchError, Fetched, Fetcher, Source};
use super::keys::KeySet;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// After this time without a successful fetch, a set is no longer trusted.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// The least time between fetches that unknown keys cause.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);

/// The least time between a failed fetch and the next, while old keys serve.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

/// The same, while there are no keys.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// The keys that hold now.
#[derive(Clone)]
pub(super) struct InForce {
    /// The keys.
    pub keys: Arc<KeySet>,
    /// Changes whenever the keys do.
    pub generation: u64,
    /// When they arrived.
    pub arrived: Instant,
}

/// The keys of one issuer that publishes them.
pub(super) struct RemoteKeys {
    source: Source,
    fetcher: Arc<Fetcher>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<InForce>,
    fresh_for: Duration,
    generation: u64,
    /// The fetch under way; closed when it has ended, in whatever way.
    flight: Option<watch::Receiver<()>>,
    /// When the newest fetch failed, unless one succeeded since.
    failed: Option<Instant>,
    /// When an unknown key last caused a fetch.
    asked: Option<Instant>,
}

impl State {
    fn usable(&self, at: Instant) -> Option<InForce> {
        self.held.clone().filter(|held| at.saturating_duration_since(held.arrived) < MAX_STALE)
    }

    fn under_way(&self) -> Option<watch::Receiver<()>> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }

    fn is_stale(&self, at: Instant) -> bool {
        self.held.as_ref().is_some_and(|held| at.saturating_duration_since(held.arrived) >= self.fresh_for)
    }
}

/// Whether `pause` has not yet passed since `since`.
fn within(pause: Duration, since: Option<Instant>, at: Instant) -> bool {
    since.is_some_and(|since| at.saturating_duration_since(since) < pause)
}

impl RemoteKeys {
    /// Without keys yet: the first token causes the first fetch.
    pub fn new(source: Source, fetcher: Arc<Fetcher>) -> Self {
        Self { source, fetcher, state: Mutex::default() }
    }

    /// Where the keys come from.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The keys at hand. Causes a fetch in the background where they are stale; never waits.
    pub fn at_hand(self: &Arc<Self>, at: Instant) -> Option<InForce> {
        self.look(&mut self.state.lock(), at)
    }

    fn look(self: &Arc<Self>, state: &mut MutexGuard<'_, State>, at: Instant) -> Option<InForce> {
        let usable = state.usable(at)?;
        if state.is_stale(at) && state.under_way().is_none() && !within(RENEWAL_PAUSE, state.failed, at) {
            self.fetch(state, at);
        }
        Some(usable)
    }

    /// The keys at hand, or else those that a fetch brings. None where it brings none, or one failed just now.
    pub async fn obtain(self: &Arc<Self>, at: Instant) -> Option<InForce> {
        let flight = {
            let mut state = self.state.lock();
            if let Some(usable) = self.look(&mut state, at) {
                return Some(usable);
            }
            match state.under_way() {
                Some(flight) => flight,
                None if within(FAILURE_PAUSE, state.failed, at) => return None,
                None => self.fetch(&mut state, at),
            }
        };
        land(flight).await;
        self.at_hand(at)
    }

    /// Other keys than `known`, in which a key was missing, where a fetch may bring some. None at once where one was
    /// made just now.
    pub async fn renew(self: &Arc<Self>, known: &InForce, at: Instant) -> Option<InForce> {
        // A set that arrived after the token did is as new as can be.
        if known.arrived >= at {
            return None;
        }
        let is_news = |keys: &InForce| keys.generation != known.generation;
        let flight = {
            let mut state = self.state.lock();
            if let Some(news) = state.usable(at).filter(is_news) {
                return Some(news);
            }
            match state.under_way() {
                Some(flight) => flight,
                None if within(UNKNOWN_KEY_PAUSE, state.asked, at) => return None,
                None => {
                    state.asked = Some(at);
                    self.fetch(&mut state, at)
                }
            }
        };
        land(flight).await;
        self.state.lock().usable(at).filter(is_news)
    }

    /// Starts a fetch in a task of its own: a caller that goes away does not end it.
    fn fetch(self: &Arc<Self>, state: &mut State, at: Instant) -> watch::Receiver<()> {
        let (landing, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let remote = Arc::clone(self);
        tokio::spawn(async move {
            let begun = Instant::now();
            let outcome = remote.fetcher.keys(&remote.source).await;
            remote.settle(outcome, at + begun.elapsed());
            drop(landing);
        });
        flight
    }

    fn settle(&self, outcome: Result<Fetched, FetchError>, at: Instant) {
        let mut state = self.state.lock();
        match outcome {
            Ok(fetched) => {
                state.failed = None;
                state.fresh_for = fetched.fresh_for;
                let known = state.held.take().filter(|held| held.keys.is_same(&fetched.keys));
                state.held = Some(match known {
                    Some(known) => InForce { arrived: at, ..known },
                    None => {
                        state.generation += 1;
                        tracing::info!(source = ?self.source, keys = fetched.keys.len(), "issuer's keys have changed");
                        InForce { keys: Arc::new(fetched.keys), generation: state.generation, arrived: at }
                    }
                });
            }
            Err(error) => {
                state.failed = Some(at);
                tracing::warn!(source = ?self.source, %error, held = state.held.is_some(), "issuer's keys can't be had");
            }
        }
    }
}

async fn land(mut flight: watch::Receiver<()>) {
    while flight.changed().await.is_ok() {}
}
