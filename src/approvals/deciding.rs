//! What people say, and what of it is put into the record of calls: before it counts, so that no decision takes effect that
//! is not there to be read.

use super::{Desk, now};
use crate::store::journal::JournalError;
use crate::store::journal::deed::Deed;
use crate::store::work::WorkError;
use portcullis_core::approval::{Approval, Closing, Refusal, State, Verdict, Voter, vote, withdraw};
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::policy::PolicySet;
use portcullis_core::principal::{Principal, RoleSet};
use portcullis_core::time::Timestamp;
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

/// What of a reason is kept, in characters.
const REASON: usize = 500;

/// How often a decision is made anew that another one came before.
const TRIES: usize = 16;

/// Somebody who decides.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// With which roles, inherited ones included.
    pub roles: &'a RoleSet,
    /// The policy that holds now.
    pub policy: &'a PolicySet,
    /// Whether they may see all approvals of their tenant.
    pub sees_all: bool,
    /// Whether they may take back any of them.
    pub manages: bool,
    /// The revision of the configuration that says so.
    pub revision: &'a str,
    /// From which address.
    pub client: Option<IpAddr>,
}

impl Person<'_> {
    /// Whether they may know of `approval`: they asked for it, may decide on it, or look after the tenant.
    pub fn sees(&self, approval: &Approval) -> bool {
        let same_tenant = self.principal.tenant == approval.requester.tenant;
        same_tenant
            && (self.sees_all || self.manages || self.asked(approval) || self.voter(approval).is_asked(approval))
    }

    /// Whether they could decide on `approval`, were it pending.
    pub fn may_decide(&self, approval: &Approval) -> bool {
        self.voter(approval).is_asked(approval) && !approval.requester.may_be(self.principal)
    }

    /// Whether they asked for it.
    pub fn asked(&self, approval: &Approval) -> bool {
        approval.requester.is(self.principal)
    }

    fn voter(&self, approval: &Approval) -> Voter<'_> {
        let live = approval.terms.demands.iter().filter_map(|demand| self.policy.demand(&demand.rule)).collect();
        Voter { principal: self.principal, roles: self.roles, live }
    }
}

/// Why a decision is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It may not be.
    #[error("{}", words(*.0))]
    Refused(Refusal),
    /// It can't be put into the record.
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    /// It can't be kept.
    #[error(transparent)]
    Store(#[from] WorkError),
}

/// A refusal for the one who decides.
fn words(refusal: Refusal) -> String {
    match refusal {
        Refusal::Unknown => "There is no such approval".into(),
        Refusal::OwnRequest => "Nobody decides on a call of their own".into(),
        Refusal::NotApprover => "Your roles are not among those that may decide on this".into(),
        Refusal::Voted => "You have decided on this already".into(),
        Refusal::State(state) => format!("This approval is {} already", state.as_str()),
        Refusal::Mismatch | Refusal::ApproversLost => "This approval is void".into(),
    }
}

impl Desk {
    /// What `person` may know of as the approval `id`.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], or the store can't be asked.
    pub async fn show(&self, person: Person<'_>, id: &str) -> Result<Approval, DeskError> {
        let found = self.find(id).await?;
        found.filter(|approval| person.sees(approval)).ok_or(DeskError::Refused(Refusal::Unknown))
    }

    /// Takes the verdict of `person` on the approval `id`; how it stands then.
    ///
    /// # Errors
    /// They may not, it is decided, or it can't be recorded or kept.
    pub async fn decide(
        &self,
        person: Person<'_>,
        id: &str,
        verdict: Verdict,
        reason: Option<&str>,
    ) -> Result<Approval, DeskError> {
        let reason = kept(reason);
        self.change(person, id, verdict.as_str(), reason.as_deref(), |approval, now| {
            vote(approval, person.voter(approval), verdict, reason.clone(), now)
        })
        .await
    }

    /// Takes the approval `id` back, as its requester or whoever manages may; how it stands then.
    ///
    /// # Errors
    /// They may not, it is closed, or it can't be recorded or kept.
    pub async fn withdraw(&self, person: Person<'_>, id: &str, reason: Option<&str>) -> Result<Approval, DeskError> {
        let reason = kept(reason);
        self.change(person, id, "withdraw", reason.as_deref(), |approval, now| {
            if !person.asked(approval) && !person.manages {
                return Err(Refusal::NotApprover);
            }
            let subject = Some(person.principal.subject.clone());
            withdraw(approval, Closing { subject, reason: reason.clone(), at: now }, now)
        })
        .await
    }

    async fn change(
        &self,
        person: Person<'_>,
        id: &str,
        word: &'static str,
        reason: Option<&str>,
        next: impl Fn(&Approval, Timestamp) -> Result<Approval, Refusal>,
    ) -> Result<Approval, DeskError> {
        // What was about to be done is in the record before it is; what came of it, after. Where the store fails, nobody can say.
        let mut begun: Option<Deed> = None;
        for _ in 0..TRIES {
            let approval = self.show(person, id).await?;
            let now = now();
            let next = match next(&approval, now) {
                Ok(next) => next,
                Err(refusal) => {
                    match begun {
                        Some(deed) => deed.refused(label(refusal)),
                        None => self.journal.submit(&refused(entry(person, &approval, word, reason, now), refusal)),
                    }
                    return Err(DeskError::Refused(refusal));
                }
            };
            let deed = match begun.take() {
                Some(deed) => deed,
                None => Deed::begin(&self.journal, entry(person, &approval, word, reason, now)).await?,
            };
            if self.work.change_approval(&next, now).await? {
                deed.done();
                self.tell(&next, now);
                return Ok(next);
            }
            begun = Some(deed);
        }
        if let Some(deed) = begun {
            deed.refused("approval_contended");
        }
        Err(DeskError::Refused(Refusal::State(State::Pending)))
    }

    /// Lets those know who wait, and those who count.
    fn tell(&self, approval: &Approval, now: Timestamp) {
        if approval.state != State::Pending {
            self.metrics.approval_became(approval.state);
        }
        if matches!(approval.state, State::Approved | State::Denied) {
            let after = now.millis().saturating_sub(approval.created.millis());
            self.metrics.approval_decided(Duration::from_millis(u64::try_from(after).unwrap_or_default()));
        }
        self.changed();
    }
}

fn refused(entry: Entry, refusal: Refusal) -> Entry {
    let (outcome, termination) = (Some(Outcome::Refused), Some(Termination::Refused));
    Entry { outcome, termination, error: Some(label(refusal)), ..entry }
}

/// The label of a refusal in the record.
const fn label(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown_approval",
        Refusal::OwnRequest => "own_request",
        Refusal::NotApprover => "not_approver",
        Refusal::Voted => "already_voted",
        Refusal::State(_) => "approval_closed",
        Refusal::Mismatch => "approval_mismatch",
        Refusal::ApproversLost => "approvers_lost",
    }
}

fn kept(reason: Option<&str>) -> Option<String> {
    let reason: String = reason?.trim().chars().take(REASON).collect();
    (!reason.is_empty()).then_some(reason)
}

/// What `person` says of `approval`, for the record.
fn entry(person: Person<'_>, approval: &Approval, word: &'static str, reason: Option<&str>, at: Timestamp) -> Entry {
    let principal = person.principal;
    Entry {
        issuer: Some(principal.issuer.clone()),
        subject: Some(principal.subject.clone()),
        tenant: principal.tenant.clone(),
        agent: principal.agent.clone(),
        roles: serde_json::to_string(&principal.roles).ok(),
        client: person.client,
        revision: person.revision.to_owned(),
        detail: reason.map(str::to_owned),
        ..about(approval, word, at)
    }
}

fn about(approval: &Approval, word: &'static str, at: Timestamp) -> Entry {
    Entry {
        request_id: Uuid::now_v7().to_string(),
        method: Some(format!("approvals/{word}")),
        endpoint: Some(approval.matter.endpoint.clone()),
        upstream: Some(approval.matter.upstream.clone()),
        tool: Some(approval.matter.tool.clone()),
        class: Some(approval.matter.class),
        rule: Some(approval.terms.rule().to_owned()),
        approval_id: Some(approval.id.clone()),
        ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), at)
    }
}

/// That the time of `approval` was over, for the record.
pub(super) fn expired(approval: &Approval, at: Timestamp) -> Entry {
    closed(approval, "expire", None, at)
}

/// That `approval` was taken back by the gateway itself, for the record.
pub(super) fn voided(approval: &Approval, reason: &str, at: Timestamp) -> Entry {
    closed(approval, "void", Some(reason.to_owned()), at)
}

fn closed(approval: &Approval, word: &'static str, detail: Option<String>, at: Timestamp) -> Entry {
    let (outcome, termination) = (Some(Outcome::Ok), Some(Termination::Complete));
    Entry { revision: approval.terms.revision.clone(), detail, outcome, termination, ..about(approval, word, at) }
}
