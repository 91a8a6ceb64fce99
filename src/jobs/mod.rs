//! The workers that run jobs: each takes one that is due, runs it, and says how it ended; another looks after those whose
//! worker is lost and those whose time is over. What may follow what is said in `core::job`, and a job's call passes the
//! stages of `pipeline` like any other.

mod attempt;
mod ending;
mod keeper;

use crate::pipeline::{Gateway, clock};
use portcullis_core::job::{Job, Keep, Terms};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often a worker looks for what other gateways have handed in, or what has become due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The pause after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How far the end of the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Not begun.
    Working,
    /// No job is taken any more.
    Ending,
    /// Jobs that run are left.
    Cutting,
}

/// The workers of a process.
pub struct Workers {
    phase: watch::Sender<Phase>,
    running: JoinSet<()>,
}

impl Workers {
    /// Starts as many as are configured.
    pub fn start(gateway: &Arc<Gateway>) -> Self {
        let jobs = gateway.live.load().snapshot.gateway.jobs.clone();
        let (phase, _) = watch::channel(Phase::Working);
        let mut running = JoinSet::new();
        for _ in 0..jobs.workers {
            running.spawn(work(Arc::clone(gateway), jobs.lease.0, phase.subscribe()));
        }
        running.spawn(keeper::run(Arc::clone(gateway), jobs.lease.0, phase.subscribe()));
        Self { phase, running }
    }

    /// Ends: takes no more jobs, and leaves those that still run after `patience` to whoever starts next.
    pub async fn stop(mut self, patience: Duration) {
        self.phase.send_replace(Phase::Ending);
        let ended = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, ended).await.is_ok() {
            return;
        }
        tracing::warn!("jobs still run after {patience:?} and are left");
        self.phase.send_replace(Phase::Cutting);
        let ended = async { while self.running.join_next().await.is_some() {} };
        // What does not end now is aborted, and its lease runs out.
        let _ = tokio::time::timeout(patience.max(PAUSE), ended).await;
    }
}

/// How long ends are kept, as configured now.
fn keep(gateway: &Gateway) -> Keep {
    let live = gateway.live.load();
    let jobs = &live.snapshot.gateway.jobs;
    Keep { ended: jobs.ttl.0, dead: jobs.keep_dead.0 }
}

/// What policy says now of how often the tool of `job` may be tried.
fn tries(gateway: &Gateway, job: &Job) -> Terms {
    gateway.live.load().snapshot.policy.traits(&job.tool.full()).tries
}

/// Waits until the end of the process has come to `phase`.
async fn until(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    // Where nobody can say so any more, it has.
    let _ = phases.wait_for(|now| *now >= phase).await;
}

async fn work(gateway: Arc<Gateway>, lease: Duration, mut phases: watch::Receiver<Phase>) {
    while *phases.borrow_and_update() == Phase::Working {
        let (turn, jitter) = (rand::rng().random_range(0..8), rand::rng().random_range(0.5..1.5));
        let pause = match gateway.jobs.work.take_job(clock::now(), lease, turn).await {
            Ok(Some(kept)) => {
                gateway.metrics.job_became(kept.job.state.as_str());
                attempt::run(&gateway, kept, lease, &mut phases).await;
                continue;
            }
            Ok(None) => LOOK_EVERY.mul_f64(jitter),
            Err(error) => {
                tracing::error!(%error, "no job can be taken");
                PAUSE
            }
        };
        tokio::select! {
            () = until(&mut phases, Phase::Ending) => return,
            () = gateway.jobs.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
