//! Shipping: copies of the journal's rows go to other places (`journal.sinks`). The journal stays the truth; what is here
//! only reads it.
//!
//! Each sink has a task of its own, and its own place in the journal, kept beside it (`book`). A task reads the rows behind
//! its place, hands them over in order, and moves its place when the sink has them: so each row arrives at least once, what
//! was not handed over is handed over later, whether the sink or the gateway was down, and no call and no other sink waits.
//! Rows that a sink refuses for what they are, are set aside with the reason, and the others move on.
//!
//! The journal removes no row that a sink has not taken.

mod book;
pub mod copies;
mod file;
mod http;
mod otlp;
pub mod postgres;
pub mod resend;
mod shipper;
mod sink;
mod standing;
mod webhook;

use crate::config::snapshot::Sink;
use crate::store::journal::Journal;
use crate::telemetry::metrics::Metrics;
use parking_lot::Mutex;
use shipper::{Shipper, Wish};
use standing::Standing;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The sinks of a process.
pub struct Ships {
    path: PathBuf,
    journal: Journal,
    metrics: Arc<Metrics>,
    begun: AtomicU64,
    running: Mutex<BTreeMap<String, Ship>>,
}

/// A sink that is served.
struct Ship {
    settings: Arc<Sink>,
    journal: Journal,
    /// As what it is known to the journal: another one for each task, lest the end of one be taken for that of the next.
    receiver: Arc<str>,
    standing: Arc<Mutex<Standing>>,
    wish: watch::Sender<Wish>,
    task: JoinHandle<()>,
}

impl Ship {
    /// Waits for the end of its task, however it ends; then nothing is kept for it any more.
    async fn ended(self) {
        let _ = self.task.await;
        self.journal.released(&self.receiver);
    }
}

impl Ships {
    /// Serves `sinks` with the journal at `path`.
    pub fn serve(sinks: &[Arc<Sink>], path: &Path, journal: &Journal, metrics: &Arc<Metrics>) -> Arc<Self> {
        let (journal, metrics) = (journal.clone(), Arc::clone(metrics));
        let begun = AtomicU64::new(0);
        let ships = Self { path: path.to_owned(), journal, metrics, begun, running: Mutex::default() };
        ships.follow(sinks);
        Arc::new(ships)
    }

    /// Serves `sinks` from now on, and no others. What has not changed goes on as it was.
    pub fn follow(&self, sinks: &[Arc<Sink>]) {
        let mut running = self.running.lock();
        let before = std::mem::take(&mut *running);
        let mut leaving = BTreeMap::new();
        for (name, ship) in before {
            if sinks.contains(&ship.settings) {
                running.insert(name, ship);
            } else {
                ship.wish.send_replace(Wish::Stop);
                leaving.insert(name, ship);
            }
        }
        for sink in sinks {
            if !running.contains_key(&sink.name) {
                let ship = self.start(sink, leaving.remove(&sink.name));
                running.insert(sink.name.clone(), ship);
            }
        }
        for (name, ship) in leaving {
            let metrics = Arc::clone(&self.metrics);
            tokio::spawn(async move {
                ship.ended().await;
                metrics.forget_sink(&name);
            });
        }
    }

    /// Serves `sink` once the task `before` it has ended.
    fn start(&self, sink: &Arc<Sink>, before: Option<Ship>) -> Ship {
        let standing = Arc::<Mutex<Standing>>::default();
        let (wish, wished) = watch::channel(Wish::Go);
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let receiver: Arc<str> = format!("{}#{number}", sink.name).into();
        // Nothing is removed before it is known where the sink stands.
        self.journal.taken(&receiver, 0);
        let shipper = Shipper {
            settings: Arc::clone(sink),
            path: self.path.clone(),
            journal: self.journal.clone(),
            receiver: Arc::clone(&receiver),
            metrics: Arc::clone(&self.metrics),
            standing: Arc::clone(&standing),
            wish: wished,
        };
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.ended().await;
            }
            shipper.run().await;
        });
        Ship { settings: Arc::clone(sink), journal: self.journal.clone(), receiver, standing, wish, task }
    }

    /// How each sink is, in words for an operator.
    pub fn states(&self) -> BTreeMap<String, String> {
        self.running.lock().iter().map(|(name, ship)| (name.clone(), ship.standing.lock().to_string())).collect()
    }

    /// Lets each sink take what is left, for at most `patience`, and ends. What is not taken by then is taken by the next
    /// process. To be called when nothing is written any more.
    pub async fn stop(&self, patience: Duration) {
        let ships: Vec<Ship> = std::mem::take(&mut *self.running.lock()).into_values().collect();
        for ship in &ships {
            ship.wish.send_replace(Wish::Finish);
        }
        let deadline = tokio::time::Instant::now() + patience;
        for mut ship in ships {
            if tokio::time::timeout_at(deadline, &mut ship.task).await.is_err() {
                ship.wish.send_replace(Wish::Stop);
                ship.task.abort();
            }
        }
    }
}
