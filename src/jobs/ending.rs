//! How a try of a job ended: what the record and the store are told of it, and telling the store.

use super::{keep, keeper, tries};
use crate::pipeline::{Gateway, clock};
use crate::store::work::jobs::Changed;
use portcullis_core::audit::{Outcome, Termination};
use portcullis_core::job::{Ending, Job, Refusal, State, backoff};
use portcullis_core::reject::Rejection;
use std::time::{Duration, Instant};

/// The pause between two tries to write down how a job ended.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a job waits that was sealed with another key.
const OTHER_KEY: &str = "sealed_with_another_key";
/// How long such a job waits to be taken again. Another gateway may have the key.
const OTHER_KEY_PAUSE: Duration = Duration::from_secs(10);

/// Why a job is left to a person whose tool may not run twice any more.
const NOT_IDEMPOTENT: &str = "not_idempotent_any_more";

/// Why a try came to nothing.
pub(super) enum Trouble {
    /// It must not be tried again.
    Final(Rejection),
    /// Nothing left for the upstream.
    Unsent(Rejection),
    /// The call may have run.
    Unknown(Rejection),
    /// Its owner or an operator has ended the job.
    Cancelled,
    /// The job is not this worker's any more: its lease ran out, and it was taken for lost.
    Taken,
}

/// What is told of how a try ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told<'a> {
    /// To the record.
    pub outcome: Outcome,
    /// To the record.
    pub rejection: Option<&'a Rejection>,
    /// To the store; nothing where the job is not this worker's.
    pub ending: Option<Ending<'a>>,
}

impl Trouble {
    /// What it means that a step of the worker with the job was answered by `changed`, which is no success.
    pub(super) fn of(changed: &Changed) -> Self {
        let cancelled = State::Cancelled.as_str();
        match changed {
            Changed::Refused(Refusal::Stands(state)) if *state == cancelled => Self::Cancelled,
            _ => Self::Taken,
        }
    }

    /// What is told of it, where the store knew or not that the call may have been `sent`, and the upstream had `answered` or
    /// not.
    pub(super) fn told(&self, sent: bool, answered: bool) -> Told<'_> {
        let (outcome, rejection, ending) = match self {
            Self::Final(rejection) => {
                let outcome = if answered { Outcome::Failed } else { Outcome::Refused };
                (outcome, Some(rejection), Some(Ending::Failed(rejection.row().label)))
            }
            Self::Unknown(rejection) if sent => {
                (Outcome::Unknown, Some(rejection), Some(Ending::Unknown(rejection.row().label)))
            }
            Self::Unsent(rejection) | Self::Unknown(rejection) => {
                (Outcome::Failed, Some(rejection), Some(Ending::Unsent(rejection.row().label)))
            }
            Self::Cancelled => (Outcome::Cancelled, Some(&Rejection::Cancelled), None),
            Self::Taken if sent => (Outcome::Unknown, None, None),
            Self::Taken => (Outcome::Refused, Some(&Rejection::WorkUnavailable), None),
        };
        Told { outcome, rejection, ending }
    }
}

/// Puts a job back that this gateway can't open: it is no try, and another gateway, or this one with its key again, can.
pub(super) async fn unopened(gateway: &Gateway, job: &Job, lease: Duration) {
    tracing::error!(job = %job.id, "a job was sealed with another key; put the `digest_key` back that it was made with");
    let known = job.reason.as_deref() == Some(OTHER_KEY);
    if let Some(next) = finish(gateway, job, Ending::Postponed(OTHER_KEY), None, lease).await
        && !known
    {
        keeper::record(gateway, &next, Outcome::Refused, Termination::Refused);
    }
}

/// Leaves a job to a person that may have run, and whose tool may not run twice by now; whether it is such a one.
pub(super) async fn unsure(gateway: &Gateway, job: &Job, lease: Duration) -> bool {
    if !job.may_have_run || tries(gateway, job).idempotent {
        return false;
    }
    if let Some(next) = finish(gateway, job, Ending::Unknown(NOT_IDEMPOTENT), None, lease).await {
        keeper::record(gateway, &next, Outcome::Unknown, Termination::Lost);
    }
    true
}

/// Has the store know how the try ended; the job as it is then. Where the store fails, again and again while the lease lasts;
/// after that the job counts as one whose worker is lost.
pub(super) async fn finish(
    gateway: &Gateway,
    job: &Job,
    ending: Ending<'_>,
    answer: Option<&str>,
    lease: Duration,
) -> Option<Job> {
    let (keep, pause) = (keep(gateway), pause(job, ending));
    let until = Instant::now() + lease;
    while Instant::now() < until {
        let step = |now: &Job| now.under(tries(gateway, job)).finish(job.fence, ending, clock::now(), pause, keep);
        match gateway.jobs.step(&job.id, answer, step).await {
            Ok(Changed::To(job, _)) => {
                let (state, reason) = (job.state.as_str(), job.reason.as_deref());
                tracing::info!(job = %job.id, tool = %job.tool.full(), state, reason, "a job's try ended");
                return Some(*job);
            }
            Ok(_) => {
                tracing::warn!(job = %job.id, "a job's end came too late, and is not taken");
                return None;
            }
            Err(error) => tracing::error!(job = %job.id, %error, "how a job ended could not be written down yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}

fn pause(job: &Job, ending: Ending<'_>) -> Duration {
    if ending == Ending::Postponed(OTHER_KEY) { OTHER_KEY_PAUSE } else { backoff(job.attempts, rand::random()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_whose_job_was_taken_away_is_not_told_as_one_that_was_cancelled() {
        let sent = Trouble::Taken.told(true, false);
        assert_eq!(sent, Told { outcome: Outcome::Unknown, rejection: None, ending: None });
        assert_eq!(Termination::of(sent.outcome, sent.rejection), Termination::Lost);
        assert_eq!(Trouble::Taken.told(false, false).outcome, Outcome::Refused, "nothing left for the upstream");
        assert_eq!(Trouble::Cancelled.told(true, false).outcome, Outcome::Cancelled);
        assert!(matches!(Trouble::of(&Changed::Refused(Refusal::Stands("cancelled"))), Trouble::Cancelled));
        for other in [Changed::Refused(Refusal::Lost), Changed::Refused(Refusal::Stands("queued")), Changed::Unknown] {
            assert!(matches!(Trouble::of(&other), Trouble::Taken), "{other:?}");
        }
    }

    #[test]
    fn a_try_counts_as_run_where_it_may_have() {
        let cut = Trouble::Unknown(Rejection::ShuttingDown);
        assert_eq!(cut.told(true, false).outcome, Outcome::Unknown);
        let unsent = cut.told(false, false);
        assert_eq!((unsent.outcome, matches!(unsent.ending, Some(Ending::Unsent(_)))), (Outcome::Failed, true));
    }
}
