//! What can become of an approval: each change as a function of the record, the event and the time.

use super::record::{Approval, Closing, Demand, State, Verdict, Vote};
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
        let tenant = self.principal.tenant == approval.requester.tenant;
        tenant && approval.terms.demands.iter().any(|demand| demand.asks(self.roles))
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
    if approval.requester.may_be(principal) {
        return Err(Refusal::OwnRequest);
    }
    if !voter.is_asked(approval) {
        return Err(Refusal::NotApprover);
    }
    open(approval, State::Pending, now)?;
    if approval.votes.iter().any(|vote| vote.subject == principal.subject) {
        return Err(Refusal::Voted);
    }
    let mut next = approval.clone();
    next.votes.push(Vote {
        issuer: principal.issuer.clone(),
        subject: principal.subject.clone(),
        roles: principal.roles.iter().cloned().collect(),
        rules: next
            .terms
            .demands
            .iter()
            .filter(|demand| demand.asks(voter.roles))
            .map(|demand| demand.rule.clone())
            .collect(),
        verdict,
        reason,
        at: now,
    });
    next.state = match verdict {
        Verdict::Deny => State::Denied,
        Verdict::Approve if next.is_agreed() => State::Approved,
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

/// What is true of the call that wants to redeem an approval, and of the rules that ask for one, now.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The digest of the call, as of [`Approval::digest`].
    pub digest: &'a str,
    /// Who calls.
    pub principal: &'a Principal,
    /// What each rule wants that asks for it.
    pub demands: &'a [Arc<Demand>],
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
        let rules = self.next.terms.demands.into_iter().map(|demand| demand.rule).collect();
        taken.then(|| Redeemed { id: self.next.id.into(), rules })
    }
}

/// An approval that was redeemed: good for one permit. Made by [`Redemption::settled`] alone.
///
/// ```compile_fail,E0451
/// let forged = portcullis_core::approval::Redeemed { id: "mine".into(), rules: Vec::new().into() };
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Redeemed {
    id: Arc<str>,
    rules: Arc<[String]>,
}

impl Redeemed {
    /// The id of the approval.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The rules that asked for it.
    pub fn rules(&self) -> &Arc<[String]> {
        &self.rules
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
    let was_asked = |demand: &Arc<Demand>| approval.terms.demands.iter().any(|asked| asked.rule == demand.rule);
    if approval.digest != expected.digest || expected.demands.is_empty() || !expected.demands.iter().all(was_asked) {
        return Err(Refusal::Mismatch);
    }
    open(approval, State::Approved, now)?;
    let counts = |vote: &&Vote| vote.verdict == Verdict::Approve && vote.subject != requester.subject;
    let voters: Vec<RoleSet> = approval.votes.iter().filter(counts).map(|vote| roles(&vote.roles)).collect();
    let is_met = |demand: &Arc<Demand>| demand.is_met(voters.iter().filter(|roles| demand.asks(roles)).count());
    if !expected.demands.iter().all(is_met) {
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
