//! Looks after jobs whose worker is lost, that have waited for too long, or whose time is over.

use super::{Phase, keep, tries, until};
use crate::pipeline::job::waiting;
use crate::pipeline::{Gateway, clock};
use crate::store::work::WorkError;
use crate::store::work::jobs::Changed;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::job::{Job, Refusal, State, backoff};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(5);

/// Looks again and again, three times in a lease.
pub async fn run(gateway: Arc<Gateway>, lease: Duration, mut phases: watch::Receiver<Phase>) {
    let every = (lease / 3).min(LONGEST);
    let mut decisions = gateway.desk.changes();
    let mut next = Instant::now();
    loop {
        if let Err(error) = follow(&gateway).await {
            tracing::error!(%error, "what people decided can't be told to the jobs that wait for it");
        }
        if next <= Instant::now() {
            if let Err(error) = look(&gateway).await {
                tracing::error!(%error, "the jobs can't be looked after");
            }
            next = Instant::now() + every;
        }
        tokio::select! {
            () = until(&mut phases, Phase::Ending) => return,
            // An error would mean that there is no desk any more, which the gateway has.
            _ = decisions.changed() => {}
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

/// Lets the jobs go on, or end, whose people have decided.
async fn follow(gateway: &Gateway) -> Result<(), WorkError> {
    let (jobs, keep) = (&gateway.jobs, keep(gateway));
    for job in jobs.work.decided_jobs(clock::now()).await? {
        let approval = match job.approval() {
            Some(id) => gateway.desk.find(id).await?,
            None => None,
        };
        let step = |job: &Job| {
            let next = waiting::next(job, approval.as_ref(), clock::now(), keep);
            next.ok_or(Refusal::Stands(job.state.as_str()))
        };
        // Where somebody was faster, it is theirs to tell; where another job of the same call is open, it waits for that.
        if let Changed::To(next, _) = jobs.step(&job.id, None, step).await? {
            match next.state {
                State::Queued { .. } => jobs.wake.notify_one(),
                _ => {
                    let reason = next.reason.as_deref().unwrap_or_default();
                    tracing::info!(job = %next.id, tool = %next.tool.full(), reason, "a job gets no approval");
                    record(gateway, &next, Outcome::Refused, Termination::Refused);
                }
            }
        }
    }
    Ok(())
}

async fn look(gateway: &Gateway) -> Result<(), WorkError> {
    let (work, now, keep) = (&gateway.jobs.work, clock::now(), keep(gateway));
    for job in work.overdue_jobs(now).await? {
        let next = match job.state {
            State::Running { .. } => {
                job.under(tries(gateway, &job)).overrun(now, backoff(job.attempts, rand::random()), keep)
            }
            _ => job.expire(now, keep.ended),
        };
        let Ok(next) = next else { continue };
        // Where somebody was faster, it is theirs to tell.
        if work.change_job(&next, None).await? {
            told(gateway, job.state, &next);
        }
    }
    work.forget_jobs(now).await?;
    make_room(gateway).await?;
    gateway.metrics.jobs(&work.count_jobs().await?);
    Ok(())
}

/// Drops the oldest results while all of them take more than they may.
async fn make_room(gateway: &Gateway) -> Result<(), WorkError> {
    let work = &gateway.jobs.work;
    let most = gateway.live.load().snapshot.gateway.jobs.keep_bytes.0;
    let (mut held, mut dropped) = (work.result_bytes().await?, 0);
    while held > most {
        let oldest = work.oldest_results().await?;
        let before = dropped;
        for (job, bytes) in oldest {
            if held <= most {
                break;
            }
            let Ok(next) = job.drop_result(clock::now()) else { continue };
            // Where somebody was faster, it is gone or newer.
            if work.drop_result(&next).await? {
                (held, dropped) = (held.saturating_sub(bytes), dropped + 1);
            }
        }
        if dropped == before {
            break;
        }
    }
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "results of jobs were dropped before their time; `jobs.keep_bytes` has no room for all"
        );
    }
    gateway.metrics.job_results(held, dropped);
    Ok(())
}

/// Tells operators what became of a job without a call, which was as `was`.
fn told(gateway: &Gateway, was: State, job: &Job) {
    let (state, reason) = (job.state.as_str(), job.reason.as_deref().unwrap_or_default());
    tracing::warn!(job = %job.id, tool = %job.tool.full(), state, reason, "a job was looked after");
    gateway.metrics.job_became(state);
    if matches!(job.state, State::Queued { .. }) {
        gateway.jobs.wake.notify_one();
    }
    let (outcome, termination) = match was {
        State::Running { sent: true, .. } => (Outcome::Unknown, Termination::Lost),
        // Nothing left for the upstream.
        State::Running { .. } => (Outcome::Failed, Termination::Lost),
        _ => (Outcome::Refused, Termination::Timeout),
    };
    record(gateway, job, outcome, termination);
}

/// Puts what became of a job without a call into the record.
pub(super) fn record(gateway: &Gateway, job: &Job, outcome: Outcome, termination: Termination) {
    let (state, reason) = (job.state.as_str(), job.reason.as_deref().unwrap_or_default());
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
        outcome: Some(outcome),
        termination: Some(termination),
        detail: Some(format!("the job became {state}: {reason}")),
        ..Entry::new(id, id, clock::now())
    };
    gateway.journal.submit(&entry);
}
