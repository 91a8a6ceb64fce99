//! What runs, and how far the process's end has come, so that nothing is cut off that could have ended by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How far the process's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has not begun.
    Serving,
    /// No connection is taken or kept; calls that run may end.
    Ending,
    /// Calls that still run are answered that the process ends.
    Cutting,
    /// Whatever still runs is dropped.
    Gone,
}

/// Counts calls and connections, and says when they must end. Clones share it.
#[derive(Clone)]
pub struct Drain(Arc<State>);

struct State {
    calls: Arc<Tally>,
    connections: Arc<Tally>,
    phase: watch::Sender<Phase>,
}

#[derive(Default)]
struct Tally {
    count: AtomicUsize,
    changed: Notify,
}

/// A call or a connection that is there, until it is dropped.
pub struct Running(Arc<Tally>);

impl Default for Drain {
    fn default() -> Self {
        let phase = watch::Sender::new(Phase::Serving);
        Self(Arc::new(State { calls: Arc::default(), connections: Arc::default(), phase }))
    }
}

impl Drain {
    /// A call begins.
    pub fn begin(&self) -> Running {
        Running::one_of(&self.0.calls)
    }

    /// A connection begins.
    pub fn connect(&self) -> Running {
        Running::one_of(&self.0.connections)
    }

    /// Whether the process is about to end: connections must not be kept.
    pub fn is_ending(&self) -> bool {
        *self.0.phase.borrow() > Phase::Serving
    }

    /// From now on it is `phase`.
    pub fn enter(&self, phase: Phase) {
        self.0.phase.send_replace(phase);
    }

    /// Waits until the process's end has come as far as `phase`.
    pub async fn reached(&self, phase: Phase) {
        // An error would mean that nobody can enter a phase any more, which `self` could.
        let _ = self.0.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Waits until no call runs, but no longer than `patience`; whether none runs.
    pub async fn calls_ended(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.0.calls.none_left()).await.is_ok()
    }

    /// Waits until no connection is open, but no longer than `patience`; whether none is.
    pub async fn connections_ended(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.0.connections.none_left()).await.is_ok()
    }
}

impl Tally {
    async fn none_left(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Running {
    fn one_of(tally: &Arc<Tally>) -> Self {
        tally.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(tally))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}
