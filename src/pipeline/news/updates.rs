//! The resources that one listener hears of: an ear for each upstream that has some of them, open in the listener's own
//! name, since what an upstream tells one caller is not for another.
//!
//! Where the resources of an upstream become others, a new ear is open before the old one is closed. Where an ear was
//! deaf for a while, each of its resources counts as changed.

use crate::pipeline::news::listener::Listener;
use crate::pipeline::record::Aside;
use crate::pipeline::{Gateway, Live};
use crate::upstream::listen::{EVENT, Ear, Heard};
use crate::upstream::pool::Pool;
use portcullis_core::catalog::Catalog;
use portcullis_core::mcp::news::{Interests, News};
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::ToolName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// News that wait for a slow listener, before upstreams have to wait too.
const AHEAD: usize = 64;

/// The resources of a listener.
pub(super) struct Updates {
    heard: mpsc::Receiver<(u64, Heard)>,
    sender: mpsc::Sender<(u64, Heard)>,
    /// By upstream.
    ears: BTreeMap<String, Open>,
    /// The number of the last ear.
    last: u64,
    aside: Aside,
}

/// What an upstream is listened to for.
struct Open {
    pool: Arc<Pool>,
    era: Era,
    /// What it was asked for.
    asked: BTreeSet<String>,
    /// What of it the upstream tells of, once that is known.
    uris: BTreeSet<String>,
    ear: Running,
    /// The one before, until the new one hears.
    before: Option<Running>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was not heard yet whether it works.
    New,
    /// It hears, or the one before it does.
    Hears,
    /// It does not, or did not a while ago.
    Deaf,
}

/// A task that listens, until this is dropped.
pub(super) struct Running {
    pub number: u64,
    pub task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Updates {
    /// Nothing yet, for a listener beside whose request `aside` writes.
    pub fn new(aside: Aside) -> Self {
        let (sender, heard) = mpsc::channel(AHEAD);
        Self { heard, sender, ears: BTreeMap::new(), last: 0, aside }
    }

    /// Listens for those of `uris` that `listener` may read, each where it is by `catalog`, and for no other.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] where the endpoint is gone.
    pub fn aim(
        &mut self,
        gateway: &Gateway,
        live: &Live,
        listener: &Listener,
        catalog: &Catalog,
        uris: &BTreeSet<String>,
    ) -> Result<(), Rejection> {
        let endpoint = listener.endpoint(live)?;
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in uris.iter().filter_map(|uri| listener.readable(live, catalog, &endpoint, uri)) {
            wanted.entry(name.upstream).or_default().insert(name.tool);
        }
        self.ears.retain(|upstream, _| wanted.contains_key(upstream));
        for (upstream, uris) in wanted {
            let shown = catalog.upstreams.get(&upstream).filter(|shown| shown.about.offers().subscribe);
            let (Some(pool), Some(shown)) = (live.pools.0.get(&upstream), shown) else {
                self.ears.remove(&upstream);
                continue;
            };
            self.listen(gateway, listener, upstream, Target { pool: Arc::clone(pool), era: shown.era, uris });
        }
        Ok(())
    }

    fn listen(&mut self, gateway: &Gateway, listener: &Listener, upstream: String, target: Target) {
        let Target { pool, era, uris } = target;
        let Some(caller) = listener.shown().cloned() else { return };
        let before = self.ears.remove(&upstream);
        if let Some(open) = &before
            && Arc::ptr_eq(&open.pool, &pool)
            && open.era == era
            && open.uris.is_subset(&uris)
            && uris.is_subset(&open.asked)
        {
            self.ears.extend(before.map(|open| (upstream, open)));
            return;
        }
        self.last += 1;
        let interests = Interests { updates: uris.clone(), ..Interests::default() };
        let ear = Ear {
            client: Arc::clone(&gateway.client),
            pool: Arc::clone(&pool),
            era,
            interests,
            caller: Some(caller),
            headers: listener.headers(),
            event: EVENT,
        };
        let task = tokio::spawn(ear.listen(self.last, self.sender.clone())).abort_handle();
        let ear = Running { number: self.last, task };
        // Of two that were not heard yet, the second alone counts.
        let (state, before) = match before {
            None => (State::New, None),
            Some(Open { state: State::Hears, ear, before, .. }) => (State::Hears, Some(before.unwrap_or(ear))),
            Some(Open { state, .. }) => (state, None),
        };
        self.ears.insert(upstream, Open { pool, era, asked: uris.clone(), uris, ear, before, state });
    }

    /// Waits until each ear was heard once, and closes those that don't hear: the resources that are heard of.
    pub async fn settle(&mut self) -> BTreeSet<String> {
        while self.ears.values().any(|open| open.state == State::New) {
            match self.heard.recv().await {
                Some((number, heard)) => drop(self.take(number, heard)),
                None => break,
            }
        }
        self.hearing()
    }

    /// Closes the ears that don't hear: the resources that are heard of.
    pub fn hearing(&mut self) -> BTreeSet<String> {
        self.ears.retain(|_, open| open.state == State::Hears);
        self.ears.values().flat_map(|open| open.uris.iter().cloned()).collect()
    }

    /// What is heard next; never where nothing is listened for.
    pub async fn next(&mut self) -> (u64, Heard) {
        match self.heard.recv().await {
            Some(heard) => heard,
            // We hold a sender.
            None => std::future::pending().await,
        }
    }

    /// The resources that changed by what the ear of this number heard, each with the one that was subscribed to.
    pub fn take(&mut self, number: u64, heard: Heard) -> Vec<(ToolName, String)> {
        let is_it =
            |open: &Open| open.ear.number == number || open.before.as_ref().is_some_and(|ear| ear.number == number);
        let Some((upstream, open)) = self.ears.iter_mut().find(|(_, open)| is_it(open)) else { return Vec::new() };
        let named = |uri: &str, holder: &str| (ToolName::new(upstream, uri), holder.to_owned());
        match heard {
            Heard::News(News::Updated(uri)) => {
                let interests = Interests { updates: open.uris.clone(), ..Interests::default() };
                interests.holder_of(&uri).map(|holder| named(&uri, holder)).into_iter().collect()
            }
            Heard::Asked(method) => {
                self.aside.refused_outside(&method, upstream, &Rejection::MethodNotFound { era: open.era });
                Vec::new()
            }
            Heard::News(_) | Heard::Task { .. } => Vec::new(),
            Heard::Lost => {
                // Where the one before still hears, nothing is missed yet.
                if open.before.as_ref().is_none_or(|before| before.number == number) {
                    (open.before, open.state) = (None, State::Deaf);
                }
                Vec::new()
            }
            Heard::Begun(honoured) => {
                open.before = None;
                match std::mem::replace(&mut open.state, State::Hears) {
                    State::New => open.uris = honoured.updates,
                    State::Hears => {}
                    State::Deaf => return honoured.updates.iter().map(|uri| named(uri, uri)).collect(),
                }
                Vec::new()
            }
        }
    }
}

/// What is to be listened to for what.
struct Target {
    pool: Arc<Pool>,
    era: Era,
    uris: BTreeSet<String>,
}
