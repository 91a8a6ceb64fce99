//! Looks after jobs whose worker is lost, that have waited for too long, or whose time is over.

use super::{Phase, keep, until};
use crate::pipeline::{Gateway, clock};
use crate::store::work::WorkError;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::job::{Job, State, backoff};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(5);

/// Looks again and again, three times in a lease.
pub async fn run(gateway: Arc<Gateway>, lease: Duration, mut phases: watch::Receiver<Phase>) {
    let every = (lease / 3).min(LONGEST);
    loop {
        if let Err(error) = look(&gateway).await {
            tracing::error!(%error, "the jobs can't be looked after");
        }
        tokio::select! {
            () = until(&mut phases, Phase::Ending) => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn look(gateway: &Gateway) -> Result<(), WorkError> {
    let (work, now, keep) = (&gateway.jobs.work, clock::now(), keep(gateway));
    for job in work.overdue_jobs(now).await? {
        let next = match job.state {
            State::Running { .. } => job.overrun(now, backoff(job.attempts, rand::random()), keep),
            _ => job.expire(now, keep.ended),
        };
        let Ok(next) = next else { continue };
        // Where somebody was faster, it is theirs to tell.
        if work.change_job(&next, None).await? {
            told(gateway, &next);
        }
    }
    work.forget_jobs(now).await?;
    gateway.metrics.jobs(&work.count_jobs().await?);
    Ok(())
}

/// Tells operators what became of a job without a call.
fn told(gateway: &Gateway, job: &Job) {
    let (state, reason) = (job.state.as_str(), job.reason.as_deref().unwrap_or_default());
    tracing::warn!(job = %job.id, tool = %job.tool.full(), state, reason, "a job was looked after");
    gateway.metrics.job_became(state);
    if matches!(job.state, State::Queued { .. }) {
        gateway.jobs.wake.notify_one();
    }
    let id = Uuid::now_v7();
    let entry = Entry {
        issuer: Some(job.owner.issuer.clone()),
        subject: Some(job.owner.subject.clone()),
        tenant: job.owner.tenant.clone(),
        agent: job.owner.agent.clone(),
        endpoint: Some(job.endpoint.clone()),
        upstream: Some(job.tool.upstream.clone()),
        tool: Some(job.tool.full().to_string()),
        revision: gateway.live.load().snapshot.revision.clone(),
        approval_id: job.approval().map(str::to_owned),
        job_id: Some(job.id.to_string()),
        outcome: Some(Outcome::Unknown),
        termination: Some(Termination::Lost),
        detail: Some(format!("the job became {state}: {reason}")),
        ..Entry::new(id, id, clock::now())
    };
    gateway.journal.submit(&entry);
}
