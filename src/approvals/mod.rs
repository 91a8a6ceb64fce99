//! Where people decide: the desk keeps what they are asked in the store, puts what they say into the record of calls before it
//! counts, and tells those who wait. What may become of an approval is said in `core::approval`; who may see one is asked
//! here, how people reach the desk is the business of `admin`.

mod announce;
pub mod crash;
mod deciding;
mod sweep;

pub use announce::Receiver;
pub use deciding::{DeskError, Person};

use crate::secrets::Secret;
use crate::secrets::seal::Seal;
use crate::store::journal::Journal;
use crate::store::work::approvals::{Opened, Selection};
use crate::store::work::{Work, WorkError};
use crate::telemetry::metrics::Metrics;
use announce::Announcer;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use portcullis_core::approval::{
    Approval, Closing, Expected, Redeemed, Redemption, Refusal, State, carry_on, redeem, withdraw,
};
use portcullis_core::principal::RoleSet;
use portcullis_core::time::Timestamp;
use sha2::Sha256;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// What the seal of the state that a client keeps is for.
const PURPOSE: &str = "approval";

/// The desk of a process.
pub struct Desk {
    work: Work,
    journal: Journal,
    metrics: Arc<Metrics>,
    /// Makes digests: the same in all processes that share the store, and after a restart.
    key: Secret<Vec<u8>>,
    /// Seals what clients keep; the same again.
    seal: Seal,
    changes: watch::Sender<u64>,
    announcer: Announcer,
    receiver: Mutex<Option<Arc<Receiver>>>,
}

/// Why an approval can't be redeemed.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// It is not to be had.
    #[error("the approval can't be redeemed: {0:?}")]
    Refused(Refusal),
    /// The store can't be asked.
    #[error(transparent)]
    Store(#[from] WorkError),
}

impl Desk {
    /// A desk over `work`.
    ///
    /// # Errors
    /// The store can't be used.
    pub async fn open(work: Work, journal: Journal, metrics: Arc<Metrics>) -> Result<Arc<Self>, WorkError> {
        let key = work.key("approvals", rand::random()).await?;
        let seal = Seal::new(key.expose())
            .ok_or(WorkError::Row { table: "portcullis_work_keys", reason: "the key makes no cipher".into() })?;
        let announcer = Announcer::new(Arc::clone(&metrics));
        let (changes, receiver) = (watch::Sender::default(), Mutex::default());
        let desk = Arc::new(Self { work, journal, metrics, key, seal, changes, announcer, receiver });
        tokio::spawn(sweep::run(Arc::downgrade(&desk)));
        Ok(desk)
    }

    /// Tells `receiver` of new approvals from now on.
    pub fn follow(&self, receiver: Option<Receiver>) {
        *self.receiver.lock() = receiver.map(Arc::new);
    }

    /// A keyed digest of `parts`, each told from the next.
    pub fn digest(&self, parts: &[&[u8]]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose()).ok()?;
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Some(hex::encode(mac.finalize().into_bytes()))
    }

    /// Seals what a client keeps, `bound` to what it is for.
    pub fn seal(&self, bound: &[&[u8]], text: &[u8]) -> Option<String> {
        self.seal.seal(PURPOSE, bound, text)
    }

    /// What was sealed for the same.
    pub fn unseal(&self, bound: &[&[u8]], sealed: &str) -> Option<Vec<u8>> {
        self.seal.open(PURPOSE, bound, sealed)
    }

    /// Counts the changes of approvals: who waits for one looks again when it moves.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The approval with this id.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn find(&self, id: &str) -> Result<Option<Approval>, WorkError> {
        self.work.approval(id).await
    }

    /// The last approval for the call with this digest.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn last(&self, digest: &str) -> Result<Option<Approval>, WorkError> {
        self.work.last_approval_of(digest).await
    }

    /// At most `most` approvals, newest first.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn list(&self, selection: &Selection, most: u32) -> Result<Vec<Approval>, WorkError> {
        self.work.approvals(selection, most).await
    }

    /// Asks people for `approval`, which is new; its requester may have `most` pending ones. `link` is where they decide.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn ask(&self, approval: &Approval, most: u32, link: &str) -> Result<Opened, WorkError> {
        let opened = self.open_or_find(approval, most).await?;
        if matches!(opened, Opened::New) {
            self.metrics.approval_opened();
            self.changed();
            if let Some(receiver) = self.receiver.lock().clone() {
                self.announcer.tell(receiver, approval, link);
            }
        }
        Ok(opened)
    }

    async fn open_or_find(&self, approval: &Approval, most: u32) -> Result<Opened, WorkError> {
        let opened = self.work.open_approval(approval, most).await?;
        if let Opened::Found(found) = &opened
            && self.expire(found, approval.created).await?
        {
            return self.work.open_approval(approval, most).await;
        }
        Ok(opened)
    }

    /// Closes `approval` where its time is over at `now`: whether it is.
    async fn expire(&self, approval: &Approval, now: Timestamp) -> Result<bool, WorkError> {
        let Some(next) = portcullis_core::approval::expire(approval, now) else { return Ok(false) };
        if self.work.change_approval(&next, now).await? {
            self.metrics.approval_became(State::Expired);
            self.journal.submit(&deciding::expired(&next, now));
            self.changed();
        }
        Ok(true)
    }

    /// Waits until `approval` is decided, but at most `longest`; as it is then.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn wait(&self, mut approval: Approval, longest: Duration) -> Result<Approval, WorkError> {
        let until = Instant::now() + longest;
        let mut changes = self.changes.subscribe();
        while approval.state_at(now()) == State::Pending {
            match tokio::time::timeout_at(until.into(), changes.changed()).await {
                Ok(Ok(())) => {}
                _ => break,
            }
            approval = self.find(&approval.id).await?.unwrap_or(approval);
        }
        Ok(approval)
    }

    /// Redeems `approval` by the call with the id `call`, once and for all.
    ///
    /// # Errors
    /// It can't be: as it is, or because another call was faster.
    pub async fn redeem(
        &self,
        approval: &Approval,
        expected: Expected<'_>,
        roles: impl Fn(&[String]) -> RoleSet,
        call: &str,
    ) -> Result<Redeemed, RedeemError> {
        let now = now();
        let redemption = redeem(approval, expected, roles, call, now).map_err(RedeemError::Refused)?;
        crash::here("redeem.before");
        let redeemed = self.settle(redemption, now).await?;
        crash::here("redeem.after");
        redeemed.ok_or(RedeemError::Refused(Refusal::State(State::Redeemed)))
    }

    /// Lets the call with the id `call` go on by `approval`, which brings what the call with the id `asked` was asked.
    ///
    /// # Errors
    /// It can't be: as it is, or because another call was faster.
    pub async fn carry_on(
        &self,
        approval: &Approval,
        expected: Expected<'_>,
        roles: impl Fn(&[String]) -> RoleSet,
        (asked, call): (&str, &str),
    ) -> Result<Redeemed, RedeemError> {
        let next = carry_on(approval, expected, roles, (asked, call)).map_err(RedeemError::Refused)?;
        let taken = self.work.change_approval(next.next(), now()).await?;
        next.settled(taken).ok_or(RedeemError::Refused(Refusal::State(State::Redeemed)))
    }

    async fn settle(&self, redemption: Redemption, now: Timestamp) -> Result<Option<Redeemed>, WorkError> {
        let taken = self.work.change_approval(redemption.next(), now).await?;
        if taken {
            self.metrics.approval_became(State::Redeemed);
            self.changed();
        }
        Ok(redemption.settled(taken))
    }

    /// Takes `approval` back because of `reason`; nobody asked for that.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn void(&self, approval: &Approval, reason: &str) -> Result<(), WorkError> {
        let now = now();
        let closing = Closing { subject: None, reason: Some(reason.to_owned()), at: now };
        if let Ok(next) = withdraw(approval, closing, now)
            && self.work.change_approval(&next, now).await?
        {
            self.metrics.approval_became(State::Withdrawn);
            self.journal.submit(&deciding::voided(&next, reason, now));
            self.changed();
        }
        Ok(())
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// The time of day.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(0).plus(since)
}
