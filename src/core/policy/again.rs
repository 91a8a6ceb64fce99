//! Deciding once more about a call of which only a record is left: what the record does not hold may matter, and then
//! there is no answer rather than a guess.

use crate::policy::decision::Decision;
use crate::policy::document::Effect;
use crate::policy::request::{AccessRequest, Facts};
use crate::policy::rule::Rule;
use crate::policy::set::PolicySet;
use crate::policy::verdict::{Truth, Verdict};
use crate::time::Timestamp;

/// What a record does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// The arguments as they were sent.
    Arguments,
    /// The claims of the token.
    Claims,
}

/// What `policy` says of `request`, of which the record lacks `gaps`; what stands in their place is not looked at.
///
/// # Errors
/// The gap that the answer depends on.
pub fn decide_again(
    policy: &PolicySet,
    request: &AccessRequest<'_>,
    gaps: &[Gap],
    now: Timestamp,
) -> Result<Decision, Gap> {
    let facts = policy.facts(request, now);
    let mut doubts: Vec<(Effect, Gap)> = Vec::new();
    let mut matching: Vec<&Rule> = Vec::new();
    for rule in policy.rules() {
        let first = matching.first().map(|first| first.effect);
        if first.is_some_and(|first| first != Effect::Review || rule.effect != Effect::Review) {
            break;
        }
        match rule.gap(gaps) {
            None if matches!(rule.judge(&facts), Verdict::Match(_)) => matching.push(rule),
            Some(gap) if rule.may_match(&facts) => doubts.push((rule.effect, gap)),
            _ => {}
        }
    }
    // A rule of the same effect decides the same, whether it matches or not; who must agree is not asked here.
    let mut matching = matching.into_iter();
    let first = matching.next();
    let effect = first.map_or(Effect::Deny, |rule| rule.effect);
    match doubts.into_iter().find(|(other, _)| *other != effect) {
        Some((_, gap)) => Err(gap),
        None => Ok(policy.decided_by(first, matching, &facts)),
    }
}

impl Rule {
    /// Which of `gaps` it asks about.
    fn gap(&self, gaps: &[Gap]) -> Option<Gap> {
        let condition = self.condition.as_ref();
        let reads_arguments = !self.constraints.is_empty() || condition.is_some_and(|it| it.reads_arguments());
        let asks = |gap: &&Gap| match gap {
            Gap::Arguments => reads_arguments,
            Gap::Claims => condition.is_some_and(|condition| condition.reads_claims()),
        };
        gaps.iter().find(asks).copied()
    }

    /// Whether nothing that it states of names, traits and caller is false.
    fn may_match(&self, facts: &Facts<'_>) -> bool {
        let subject = self.subject.judge(self.effect, facts);
        let is_false = match subject {
            Truth::False(_) => true,
            Truth::Fault(_) => self.effect == Effect::Allow,
            Truth::True | Truth::Unknown => false,
        };
        !is_false && self.mismatch(facts).is_none()
    }
}
