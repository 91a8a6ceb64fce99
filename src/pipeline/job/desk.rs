//! The jobs as the rest of the process sees them: handed in, looked at, ended and put back. What may follow what is said in
//! `core::job`; who may ask is for those who ask here to find out.

use super::call::Call;
use crate::config::snapshot::Gateway as Settings;
use crate::pipeline::clock;
use crate::secrets::Secret;
use crate::secrets::seal::Seal;
use crate::store::work::jobs::{Changed, Enqueued, Kept};
use crate::store::work::{Work, WorkError};
use crate::telemetry::metrics::Metrics;
use hmac::{Hmac, KeyInit, Mac};
use portcullis_core::job::{Job, JobId, Owner, Refusal};
use portcullis_core::reject::Rejection;
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The key of the store that calls and answers are sealed with.
const KEY: &str = "jobs";
/// What the seal of a call is for.
const CALL: &str = "job call";
/// What the seal of an answer is for.
const ANSWER: &str = "job answer";

/// The jobs.
pub struct JobDesk {
    /// Where they are kept.
    pub work: Work,
    /// What is counted of them.
    pub metrics: Arc<Metrics>,
    seal: Seal,
    digests: Secret<Vec<u8>>,
    /// Tells workers that there may be something to do.
    pub wake: Notify,
    /// Tells workers that a job was ended while it ran.
    ended: tokio::sync::broadcast::Sender<JobId>,
}

/// Ends of running jobs that a slow worker may be behind. It looks at the store too, so that none is missed for ever.
const BEHIND: usize = 256;

impl JobDesk {
    /// The jobs in `work`. What is sealed there can be opened by gateways with the same `digest_key` and the same store; where
    /// no `digest_key` is given, by all with the same store.
    ///
    /// # Errors
    /// The store gives no key.
    pub async fn open(work: Work, settings: &Settings, metrics: Arc<Metrics>) -> Result<Self, WorkError> {
        let shared = work.key(KEY, rand::random()).await?;
        let given: &[u8] = if settings.digest_key_stays { settings.digest_key.expose() } else { b"" };
        let secret = |label: &[u8]| keyed(shared.expose(), &[label, given]);
        let (sealing, digests) = (secret(b"portcullis jobs seal"), Secret::new(secret(b"portcullis jobs digest")));
        let reason = || WorkError::Row { table: "portcullis_work_keys", reason: "no cipher takes it".into() };
        let seal = Seal::new(&sealing).ok_or_else(reason)?;
        let ended = tokio::sync::broadcast::Sender::new(BEHIND);
        Ok(Self { work, metrics, seal, digests, wake: Notify::new(), ended })
    }

    /// A keyed digest of `parts`, in hex.
    pub fn digest(&self, parts: &[&[u8]]) -> String {
        hex::encode(keyed(self.digests.expose(), parts))
    }

    /// Keeps `job`, which is of `call`, unless that has one, or its user has `most` open ones; the job of the call, whether it is
    /// new or not.
    ///
    /// # Errors
    /// [`Rejection::JobConflict`], [`Rejection::TooManyJobs`] or [`Rejection::WorkUnavailable`].
    pub async fn enqueue(&self, job: Job, call: &Call, most: u32) -> Result<Job, Rejection> {
        let sealed = serde_json::to_vec(call).ok();
        let sealed = sealed.and_then(|call| self.seal.seal_long(CALL, &[job.id.as_str().as_bytes()], &call));
        let sealed = sealed.ok_or(Rejection::Internal)?;
        match self.work.enqueue(&job, &sealed, most).await.map_err(unavailable)? {
            Enqueued::New => {
                self.metrics.job_became(job.state.as_str());
                self.wake.notify_one();
                Ok(job)
            }
            Enqueued::Found(found) => Ok(*found),
            Enqueued::Conflict => Err(Rejection::JobConflict),
            Enqueued::Full => Err(Rejection::TooManyJobs),
        }
    }

    /// The job of the call of `owner` that is named `key`, or has this `digest` where it has no name, if there is one.
    ///
    /// # Errors
    /// [`Rejection::JobConflict`] where the name is that of another call, or [`Rejection::WorkUnavailable`].
    pub async fn of_call(&self, owner: &Owner, key: Option<&str>, digest: &str) -> Result<Option<Job>, Rejection> {
        match self.work.job_of_call(&owner.key(), key, digest).await.map_err(unavailable)? {
            Some(found) if found.digest != digest => Err(Rejection::JobConflict),
            found => Ok(found),
        }
    }

    /// Whether the user of `owner` may have a job more: of `open` ones, and of `kept` ones in all.
    ///
    /// # Errors
    /// [`Rejection::TooManyJobs`] or [`Rejection::WorkUnavailable`].
    pub async fn check_room(&self, owner: &Owner, open: u32, kept: u32) -> Result<(), Rejection> {
        let (have_open, have) = self.work.jobs_of(&owner.person()).await.map_err(unavailable)?;
        if have_open < u64::from(open) && have < u64::from(kept) { Ok(()) } else { Err(Rejection::TooManyJobs) }
    }

    /// The job `id`, if there is one.
    ///
    /// # Errors
    /// [`Rejection::WorkUnavailable`].
    pub async fn find(&self, id: &JobId) -> Result<Option<Kept>, Rejection> {
        self.work.job(id).await.map_err(unavailable)
    }

    /// The call of a job; `None` where it was sealed with another key.
    pub fn call(&self, kept: &Kept) -> Option<Call> {
        let text = self.seal.open_long(CALL, &[kept.job.id.as_str().as_bytes()], &kept.call)?;
        serde_json::from_slice(&text).ok()
    }

    /// What the upstream answered; `None` where it did not, or it was sealed with another key.
    pub fn answer(&self, kept: &Kept) -> Option<Vec<u8>> {
        self.seal.open_long(ANSWER, &[kept.job.id.as_str().as_bytes()], kept.answer.as_deref()?)
    }

    /// `answer` of the job `id`, as it is kept.
    pub fn sealed_answer(&self, id: &JobId, answer: &[u8]) -> Option<String> {
        self.seal.seal_long(ANSWER, &[id.as_str().as_bytes()], answer)
    }

    /// Changes a job as `step` says, and keeps the sealed `answer`, if any.
    ///
    /// # Errors
    /// The store does not do it.
    pub async fn step(
        &self,
        id: &JobId,
        answer: Option<&str>,
        step: impl Fn(&Job) -> Result<Job, Refusal>,
    ) -> Result<Changed, WorkError> {
        let changed = self.work.step_job(id, answer, step).await?;
        if let Changed::To(job, was) = &changed
            && *was != job.state.as_str()
        {
            self.metrics.job_became(job.state.as_str());
        }
        Ok(changed)
    }

    /// Ends the job `id`, of which the end is kept for `keep`: one that waits never runs, and what is known of one that runs
    /// is thrown away.
    ///
    /// # Errors
    /// The store does not do it.
    pub async fn cancel(&self, id: &JobId, keep: Duration) -> Result<Changed, WorkError> {
        let changed = self.step(id, None, |job| job.cancel(clock::now(), keep)).await?;
        if let Changed::To(..) = &changed {
            // Where nobody runs it, nobody listens.
            let _ = self.ended.send(id.clone());
        }
        Ok(changed)
    }

    /// Puts the job `id` back that was given up or left to a person.
    ///
    /// # Errors
    /// The store does not do it.
    pub async fn requeue(&self, id: &JobId, keep: Duration) -> Result<Changed, WorkError> {
        let changed = self.step(id, None, |job| job.requeue(clock::now(), keep)).await?;
        self.wake.notify_one();
        Ok(changed)
    }

    /// Waits until the job `id` is ended by somebody of this process.
    pub fn ended(&self, id: &JobId) -> impl Future<Output = ()> + Send + use<> {
        let (mut ended, id) = (self.ended.subscribe(), id.clone());
        async move {
            while let Ok(other) = ended.recv().await {
                if other == id {
                    return;
                }
            }
            std::future::pending::<()>().await;
        }
    }
}

/// What it means for a request that the store does not answer.
pub fn unavailable(error: WorkError) -> Rejection {
    tracing::error!(%error, "the store of jobs can't be used");
    Rejection::WorkUnavailable
}

/// Each part with its length before it, so that no two lists of parts read the same.
fn keyed(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length (RFC 2104 section 2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}
