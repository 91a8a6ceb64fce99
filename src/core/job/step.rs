//! The transitions of a job.

use super::{Job, RESULT_DROPPED, State};
use crate::time::Timestamp;
use std::time::Duration;

/// The first pause before a job is tried again.
const FIRST: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST: Duration = Duration::from_mins(5);

/// How long jobs are kept once they have come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Where there is nothing left to do.
    pub ended: Duration,
    /// Where an operator may put it back.
    pub dead: Duration,
}

/// Why a transition is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It stands elsewhere: somebody else was first.
    #[error("the job is {0}")]
    Stands(&'static str),
    /// Its time has not come.
    #[error("the job's time has not come")]
    Early,
    /// Another worker has it by now, or may.
    #[error("the job is another worker's")]
    Lost,
}

/// How a worker's try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<'a> {
    /// The upstream answered, and the answer is kept.
    Done,
    /// It must not be tried again; why.
    Failed(&'a str),
    /// Nothing left for the upstream; why.
    Unsent(&'a str),
    /// The call may have run, and there is no answer; why.
    Unknown(&'a str),
    /// There was no room for it to run now: not even a try.
    Postponed(&'a str),
}

/// The pause before try number `attempts` plus one: doubled each time, and shortened by up to a half as `jitter` (0 to 1)
/// says, so that what failed together does not come back together.
pub fn backoff(attempts: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

impl Job {
    /// People have agreed: it may be run from `now` on, and is kept for `keep`.
    ///
    /// # Errors
    /// [`Refusal::Stands`].
    pub fn release(&self, now: Timestamp, keep: Duration) -> Result<Self, Refusal> {
        self.waits()?;
        Ok(Self { expires: now.plus(keep), note: None, ..self.next(now, State::Queued { due: now }) })
    }

    /// There will be no approval for it, because of `reason`; `note` is what its owner is told beside that.
    ///
    /// # Errors
    /// [`Refusal::Stands`].
    pub fn refuse(&self, reason: &str, note: Option<String>, now: Timestamp, keep: Duration) -> Result<Self, Refusal> {
        self.waits()?;
        Ok(Self { reason: Some(reason.to_owned()), note, ..self.ended(now, State::Failed, keep) })
    }

    fn waits(&self) -> Result<(), Refusal> {
        let waits = matches!(self.state, State::Waiting { .. });
        if waits { Ok(()) } else { Err(Refusal::Stands(self.state.as_str())) }
    }

    /// A worker takes it until `now` plus `lease`.
    ///
    /// # Errors
    /// [`Refusal::Stands`] or [`Refusal::Early`].
    pub fn lease(&self, now: Timestamp, lease: Duration) -> Result<Self, Refusal> {
        let State::Queued { due } = self.state else { return Err(Refusal::Stands(self.state.as_str())) };
        if now < due {
            return Err(Refusal::Early);
        }
        let mut next = self.next(now, State::Running { until: now.plus(lease), sent: false });
        next.attempts += 1;
        next.fence += 1;
        Ok(next)
    }

    /// The worker with `fence` still lives, and keeps it until `now` plus `lease`.
    ///
    /// # Errors
    /// [`Refusal::Stands`] or [`Refusal::Lost`].
    pub fn renew(&self, fence: u64, now: Timestamp, lease: Duration) -> Result<Self, Refusal> {
        let sent = self.held(fence, now)?;
        Ok(self.next(now, State::Running { until: now.plus(lease), sent }))
    }

    /// The worker with `fence` is about to send the call.
    ///
    /// # Errors
    /// [`Refusal::Stands`] or [`Refusal::Lost`]: then it must not be sent.
    pub fn send(&self, fence: u64, now: Timestamp, lease: Duration) -> Result<Self, Refusal> {
        if self.held(fence, now)? {
            return Err(Refusal::Lost);
        }
        Ok(self.next(now, State::Running { until: now.plus(lease), sent: true }))
    }

    /// The try of the worker with `fence` ended so; `pause` is for a next try, `keep` is how long the end is kept.
    ///
    /// # Errors
    /// [`Refusal::Stands`] or [`Refusal::Lost`].
    pub fn finish(
        &self,
        fence: u64,
        ending: Ending<'_>,
        now: Timestamp,
        pause: Duration,
        keep: Keep,
    ) -> Result<Self, Refusal> {
        self.held(fence, now)?;
        let due = now.plus(pause);
        let (mut next, reason) = match ending {
            Ending::Done => (self.ended(now, State::Done, keep.ended), None),
            Ending::Failed(why) => (self.ended(now, State::Failed, keep.ended), Some(why)),
            Ending::Unsent(why) => (self.again(now, due, keep.dead), Some(why)),
            Ending::Unknown(why) => (self.unsure(now, due, keep.dead), Some(why)),
            Ending::Postponed(why) => {
                let mut next = self.next(now, State::Queued { due });
                next.attempts = next.attempts.saturating_sub(1);
                (next, Some(why))
            }
        };
        next.reason = reason.map(str::to_owned);
        Ok(next)
    }

    /// Its worker has said nothing for longer than the lease: it is lost, or as good as lost.
    ///
    /// # Errors
    /// [`Refusal::Stands`] or [`Refusal::Early`].
    pub fn overrun(&self, now: Timestamp, pause: Duration, keep: Keep) -> Result<Self, Refusal> {
        let State::Running { until, sent } = self.state else { return Err(Refusal::Stands(self.state.as_str())) };
        if now < until {
            return Err(Refusal::Early);
        }
        let due = now.plus(pause);
        let mut next = if sent { self.unsure(now, due, keep.dead) } else { self.again(now, due, keep.dead) };
        next.reason = Some("worker_lost".into());
        Ok(next)
    }

    /// It has waited for longer than it is kept.
    ///
    /// # Errors
    /// [`Refusal::Stands`] or [`Refusal::Early`].
    pub fn expire(&self, now: Timestamp, keep: Duration) -> Result<Self, Refusal> {
        match self.state {
            State::Queued { .. } if now < self.expires => Err(Refusal::Early),
            State::Queued { .. } => {
                let mut next = self.ended(now, State::Failed, keep);
                next.reason = Some("expired".into());
                Ok(next)
            }
            state => Err(Refusal::Stands(state.as_str())),
        }
    }

    /// Its owner or an operator ends it. A call that has left is not called back by that.
    ///
    /// # Errors
    /// [`Refusal::Stands`] where it has ended.
    pub fn cancel(&self, now: Timestamp, keep: Duration) -> Result<Self, Refusal> {
        if self.state.is_open() {
            Ok(self.ended(now, State::Cancelled, keep))
        } else {
            Err(Refusal::Stands(self.state.as_str()))
        }
    }

    /// What came of it is thrown away before its time, to make room for newer results.
    ///
    /// # Errors
    /// [`Refusal::Stands`] where nothing came of it.
    pub fn drop_result(&self, now: Timestamp) -> Result<Self, Refusal> {
        match self.state {
            State::Done => Ok(Self { reason: Some(RESULT_DROPPED.into()), ..self.next(now, State::Done) }),
            state => Err(Refusal::Stands(state.as_str())),
        }
    }

    /// An operator puts it back: it is tried as if for the first time. Where it may have run, an approval of its call is spent:
    /// people agreed to it once, and it runs again only where policy wants nobody to agree.
    ///
    /// # Errors
    /// [`Refusal::Stands`] where it is neither a dead letter nor left to a person.
    pub fn requeue(&self, now: Timestamp, keep: Duration) -> Result<Self, Refusal> {
        match self.state {
            State::Dead | State::NeedsReview => {
                let mut next = self.next(now, State::Queued { due: now });
                (next.attempts, next.reason, next.expires) = (0, None, now.plus(keep));
                if self.may_have_run {
                    (next.may_have_run, next.approval) = (false, None);
                }
                Ok(next)
            }
            state => Err(Refusal::Stands(state.as_str())),
        }
    }

    /// Whether the worker with `fence` has it, and whether it has sent the call. A lease that has run out is nobody's,
    /// whether or not that was seen yet.
    fn held(&self, fence: u64, now: Timestamp) -> Result<bool, Refusal> {
        match self.state {
            State::Running { .. } if self.fence != fence => Err(Refusal::Lost),
            State::Running { until, .. } if until <= now => Err(Refusal::Lost),
            State::Running { sent, .. } => Ok(sent),
            _ if self.fence != fence => Err(Refusal::Lost),
            state => Err(Refusal::Stands(state.as_str())),
        }
    }

    /// What follows where it may have run.
    fn unsure(&self, now: Timestamp, due: Timestamp, keep: Duration) -> Self {
        let next =
            if self.terms.idempotent { self.again(now, due, keep) } else { self.ended(now, State::NeedsReview, keep) };
        Self { may_have_run: true, ..next }
    }

    fn again(&self, now: Timestamp, due: Timestamp, keep: Duration) -> Self {
        if self.attempts < self.terms.attempts {
            self.next(now, State::Queued { due })
        } else {
            self.ended(now, State::Dead, keep)
        }
    }

    fn ended(&self, now: Timestamp, state: State, keep: Duration) -> Self {
        Self { expires: now.plus(keep), reason: None, note: None, ..self.next(now, state) }
    }

    fn next(&self, now: Timestamp, state: State) -> Self {
        Self { version: self.version + 1, updated: now, state, ..self.clone() }
    }
}
