//! What can become of an approval: each change as a function of the record, the event and the time.

use super::record::{Approval, Closing, State, Verdict, Vote};
use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use std::sync::Arc;

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Whoever asks may not know of it.
    Unknown,
    /// They asked for it themselves.
    OwnRequest,
    /// They hold no role that may decide.
    NotApprover,
    /// They have voted.
    Voted,
    /// It is closed, or not decided yet.
    State(State),
    /// The call is not the one that was agreed to.
    Mismatch,
    /// Those who agreed may not any more, or too few of them.
    ApproversLost,
}

/// Somebody who decides.
#[derive(Debug, Clone, Copy)]
pub struct Voter<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// With which roles, inherited ones included, under the live policy.
    pub roles: &'a RoleSet,
}

impl Voter<'_> {
    /// Whether they are among those who are asked: of the tenant of the requester, and in a role that may decide.
    pub fn is_asked(&self, approval: &Approval) -> bool {
        self.principal.tenant == approval.requester.tenant && self.roles.contains_any(&approval.terms.approvers)
    }
}

/// The record with what `voter` says.
///
/// # Errors
/// They may not, or it is decided.
pub fn vote(
    approval: &Approval,
    voter: Voter<'_>,
    verdict: Verdict,
    reason: Option<String>,
    now: Timestamp,
) -> Result<Approval, Refusal> {
    let principal = voter.principal;
    if principal.tenant != approval.requester.tenant {
        return Err(Refusal::Unknown);
    }
    if approval.requester.is(principal) {
        return Err(Refusal::OwnRequest);
    }
    if !voter.is_asked(approval) {
        return Err(Refusal::NotApprover);
    }
    open(approval, State::Pending, now)?;
    if approval.votes.iter().any(|vote| vote.issuer == principal.issuer && vote.subject == principal.subject) {
        return Err(Refusal::Voted);
    }
    let mut next = approval.clone();
    next.votes.push(Vote {
        issuer: principal.issuer.clone(),
        subject: principal.subject.clone(),
        roles: principal.roles.iter().cloned().collect(),
        verdict,
        reason,
        at: now,
    });
    let enough = usize::try_from(next.terms.quorum.max(1)).unwrap_or(usize::MAX);
    next.state = match verdict {
        Verdict::Deny => State::Denied,
        Verdict::Approve if next.agreed() >= enough => State::Approved,
        Verdict::Approve => State::Pending,
    };
    Ok(next)
}

/// The record, taken back. Whether `closing` may do that is the caller's business.
///
/// # Errors
/// It is closed.
pub fn withdraw(approval: &Approval, closing: Closing, now: Timestamp) -> Result<Approval, Refusal> {
    match approval.state_at(now) {
        state if state.is_open() => {
            Ok(Approval { state: State::Withdrawn, closing: Some(closing), ..approval.clone() })
        }
        state => Err(Refusal::State(state)),
    }
}

/// The record, whose time is over; `None` where it is not, or it was closed before.
pub fn expire(approval: &Approval, now: Timestamp) -> Option<Approval> {
    let over = approval.state.is_open() && approval.state_at(now) == State::Expired;
    over.then(|| Approval { state: State::Expired, ..approval.clone() })
}

/// What is true of the call that wants to redeem an approval, and of the rule that asks for one, now.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The digest of the call, as of [`Approval::digest`].
    pub digest: &'a str,
    /// Who calls.
    pub principal: &'a Principal,
    /// The rule that wants the approval.
    pub rule: &'a str,
    /// The roles whose members may decide.
    pub approvers: &'a [String],
    /// How many must agree.
    pub quorum: u32,
}

/// A redemption on its way to the store. Nothing is permitted by it before the store has taken it.
#[derive(Debug)]
#[must_use]
pub struct Redemption {
    next: Approval,
}

impl Redemption {
    /// The record as it is to be kept.
    pub fn next(&self) -> &Approval {
        &self.next
    }

    /// What is to be had for it: something, if the store has `taken` the record as the first and only one.
    pub fn settled(self, taken: bool) -> Option<Redeemed> {
        taken.then(|| Redeemed { id: self.next.id.into(), rule: self.next.terms.rule.into() })
    }
}

/// An approval that was redeemed: good for one permit. Made by [`Redemption::settled`] alone.
///
/// ```compile_fail,E0451
/// let forged = portcullis_core::approval::Redeemed { id: "mine".into(), rule: "any".into() };
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Redeemed {
    id: Arc<str>,
    rule: Arc<str>,
}

impl Redeemed {
    /// The id of the approval.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The rule that asked for it.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }
}

/// The record, redeemed by the call with the id `call`. `roles` says which roles, with all that they include under the live
/// policy, the roles of a token stand for.
///
/// # Errors
/// It may not be: it is not approved, the call is another, or too few of those who agreed could do so now.
pub fn redeem(
    approval: &Approval,
    expected: Expected<'_>,
    roles: impl Fn(&[String]) -> RoleSet,
    call: &str,
    now: Timestamp,
) -> Result<Redemption, Refusal> {
    let requester = &approval.requester;
    if !requester.is(expected.principal) || requester.tenant != expected.principal.tenant {
        return Err(Refusal::Unknown);
    }
    if approval.digest != expected.digest || approval.terms.rule != expected.rule {
        return Err(Refusal::Mismatch);
    }
    open(approval, State::Approved, now)?;
    let may = |vote: &&Vote| {
        vote.verdict == Verdict::Approve
            && !(vote.issuer == requester.issuer && vote.subject == requester.subject)
            && roles(&vote.roles).contains_any(expected.approvers)
    };
    let agreed = approval.votes.iter().filter(may).count();
    if agreed < usize::try_from(expected.quorum.max(1)).unwrap_or(usize::MAX) {
        return Err(Refusal::ApproversLost);
    }
    let next = Approval { state: State::Redeemed, call: Some(call.to_owned()), ..approval.clone() };
    Ok(Redemption { next })
}

fn open(approval: &Approval, wanted: State, now: Timestamp) -> Result<(), Refusal> {
    match approval.state_at(now) {
        state if state == wanted => Ok(()),
        state => Err(Refusal::State(state)),
    }
}
