//! What can become of an approval: each change as a function of the record, the event and the time.

use super::record::{Approval, Closing, Demand, Matter, State, Verdict, Vote};
use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use std::sync::Arc;

/// What stands for the arguments of a call that was never made.
const NOT_KEPT: &str = "[not kept]";

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
#[derive(Debug, Clone)]
pub struct Voter<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// With which roles, inherited ones included, under the live policy.
    pub roles: &'a RoleSet,
    /// What the rules of the approval want now, those that there are yet.
    pub live: Vec<Arc<Demand>>,
}

impl Voter<'_> {
    /// Whether they are among those who are asked: of the tenant of the requester, in a role that could decide when it was
    /// asked for, and in one that can now. Whom policy takes that from is out at once.
    pub fn is_asked(&self, approval: &Approval) -> bool {
        let tenant = self.principal.tenant == approval.requester.tenant;
        tenant && approval.terms.demands.iter().any(|demand| self.may_meet(demand))
    }

    /// Whether they may decide by the rule of `asked`.
    fn may_meet(&self, asked: &Demand) -> bool {
        let now = self.live.iter().find(|demand| demand.rule == asked.rule);
        asked.asks(self.roles) && now.is_some_and(|demand| demand.asks(self.roles))
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
    let spoken_for = approval.terms.demands.iter().filter(|demand| voter.may_meet(demand));
    let mut next = approval.clone();
    next.votes.push(Vote {
        issuer: principal.issuer.clone(),
        subject: principal.subject.clone(),
        roles: principal.roles.iter().cloned().collect(),
        rules: spoken_for.map(|demand| demand.rule.clone()).collect(),
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
            let unused = unused(approval, State::Withdrawn);
            Ok(Approval { closing: Some(closing), ..unused })
        }
        state => Err(Refusal::State(state)),
    }
}

/// The record, whose time is over; `None` where it is not, or it was closed before.
pub fn expire(approval: &Approval, now: Timestamp) -> Option<Approval> {
    let over = approval.state.is_open() && approval.state_at(now) == State::Expired;
    over.then(|| unused(approval, State::Expired))
}

/// The record, closed as `state` without a call. What people were to read is not kept: it is as long as a caller likes, and
/// asking and taking back costs nothing. The record of calls has the arguments, as far as it keeps any.
fn unused(approval: &Approval, state: State) -> Approval {
    let matter = Matter { arguments: NOT_KEPT.to_owned(), answers: None, preview: None, ..approval.matter.clone() };
    Approval { state, matter, ..approval.clone() }
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

/// An approval that was redeemed: good for one permit. Made by [`Redemption::settled`] alone, and by [`stands`] for a call that
/// has redeemed one and has yet to be made.
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
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The rules that asked for it.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// The same for the same call once more, which policy has looked at again.
    pub(crate) fn again(&self) -> Self {
        Self { id: Arc::clone(&self.id), rules: Arc::clone(&self.rules) }
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
    check_call(approval, expected)?;
    open(approval, State::Approved, now)?;
    check_votes(approval, expected, roles)?;
    let next = Approval { state: State::Redeemed, call: Some(call.to_owned()), ..approval.clone() };
    Ok(Redemption { next })
}

/// The record of an approval that the call with the id `asked` was let through by, in the middle of which its upstream asked
/// for something: now the call with the id `call` brings that, and is the same in all else. It goes on by what people agreed
/// to, as if it were redeemed now; what `asked` was asked is answered by that, and can't be answered again.
///
/// # Errors
/// As [`redeem`]; [`Refusal::State`] too where `asked` was not let through by it last.
pub fn carry_on(
    approval: &Approval,
    expected: Expected<'_>,
    roles: impl Fn(&[String]) -> RoleSet,
    (asked, call): (&str, &str),
) -> Result<Redemption, Refusal> {
    check_call(approval, expected)?;
    if approval.state != State::Redeemed || approval.call.as_deref() != Some(asked) {
        return Err(Refusal::State(State::Redeemed));
    }
    check_votes(approval, expected, roles)?;
    Ok(Redemption { next: Approval { call: Some(call.to_owned()), ..approval.clone() } })
}

/// Whether the call that has redeemed `approval` may still be made for it: all is looked at as when it was redeemed.
///
/// # Errors
/// It may not be: it was not redeemed, the call is another, or too few of those who agreed could do so now.
pub fn stands(
    approval: &Approval,
    expected: Expected<'_>,
    roles: impl Fn(&[String]) -> RoleSet,
) -> Result<Redeemed, Refusal> {
    check_call(approval, expected)?;
    if approval.state != State::Redeemed {
        return Err(Refusal::State(approval.state));
    }
    check_votes(approval, expected, roles)?;
    let rules = approval.terms.demands.iter().map(|demand| demand.rule.clone()).collect();
    Ok(Redeemed { id: approval.id.as_str().into(), rules })
}

fn check_call(approval: &Approval, expected: Expected<'_>) -> Result<(), Refusal> {
    let requester = &approval.requester;
    if !requester.is(expected.principal) || requester.tenant != expected.principal.tenant {
        return Err(Refusal::Unknown);
    }
    let was_asked = |demand: &Arc<Demand>| approval.terms.demands.iter().any(|asked| asked.rule == demand.rule);
    if approval.digest != expected.digest || expected.demands.is_empty() || !expected.demands.iter().all(was_asked) {
        return Err(Refusal::Mismatch);
    }
    Ok(())
}

fn check_votes(
    approval: &Approval,
    expected: Expected<'_>,
    roles: impl Fn(&[String]) -> RoleSet,
) -> Result<(), Refusal> {
    let requester = &approval.requester;
    let counts = |vote: &&Vote| vote.verdict == Verdict::Approve && vote.subject != requester.subject;
    let voters: Vec<RoleSet> = approval.votes.iter().filter(counts).map(|vote| roles(&vote.roles)).collect();
    let is_met = |demand: &Arc<Demand>| demand.is_met(voters.iter().filter(|roles| demand.asks(roles)).count());
    if expected.demands.iter().all(is_met) { Ok(()) } else { Err(Refusal::ApproversLost) }
}

fn open(approval: &Approval, wanted: State, now: Timestamp) -> Result<(), Refusal> {
    match approval.state_at(now) {
        state if state == wanted => Ok(()),
        state => Err(Refusal::State(state)),
    }
}
