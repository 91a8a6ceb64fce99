//! What a decision says, and the permission that follows from it.

use crate::approval::{Demand, Redeemed, approvers};
use crate::job::Job;
use crate::policy::document::Effect;
use crate::policy::rule::{Review, Rule};
use crate::tool::Traits;
use std::sync::Arc;
use std::time::Duration;

/// The rule id of a decision that no rule made.
pub(super) const DEFAULT_RULE: &str = "default";

impl Effect {
    /// The name in policy, audit and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Review => "review",
            Self::Deny => "deny",
        }
    }
}

/// What policy says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What policy says of the call, whatever scopes it needs. What is not denied may be shown in lists: the client can ask
    /// for the scopes.
    pub effect: Effect,
    /// The id of the rule that decided: that of a rule, `access[n]` for an entry of `access`, or `default` where
    /// nothing matched.
    pub rule: Arc<str>,
    /// For review: what each review rule that matches wants of people, that of `rule` first. All of them must agree: a call
    /// that two rules are about is no less than what either is about.
    pub demands: Vec<Arc<Demand>>,
    /// For review: how long an approval stays open, the shortest that a rule says.
    pub ttl: Option<Duration>,
    /// For review: how long the call waits for a decision, the longest that a rule says.
    pub wait: Option<Duration>,
    /// What policy says the tool is.
    pub tool: Traits,
    /// All OAuth scopes that are needed, where policy does not deny and the caller's token lacks one of them: no permit then,
    /// and no review. Empty otherwise.
    pub scopes: Vec<String>,
    /// Private, so that only the policy makes decisions: the fields above are for reading, and changing them grants
    /// nothing.
    allows: bool,
}

impl Decision {
    /// The decision of `rule`, the first that matched, or of none; `others` are the review rules that matched beside it.
    pub(super) fn new<'a>(rule: Option<&Rule>, others: impl IntoIterator<Item = &'a Rule>, tool: Traits) -> Self {
        let Some(rule) = rule else { return Self::refusal(tool) };
        let mut decision = Self::bare(rule.effect, Arc::clone(&rule.id), tool);
        if let Some(review) = &rule.review {
            decision.demand(review);
            others.into_iter().filter_map(|other| other.review.as_ref()).for_each(|review| decision.demand(review));
        }
        decision
    }

    fn demand(&mut self, review: &Review) {
        self.demands.push(Arc::clone(&review.demand));
        self.ttl = self.ttl.into_iter().chain(review.ttl).min();
        self.wait = self.wait.max(review.wait);
    }

    /// The same for a token that lacks one of the scopes that are `needed`.
    pub(super) fn short_of(self, needed: &[&str]) -> Self {
        let scopes = needed.iter().map(|scope| (*scope).to_owned()).collect();
        Self { scopes, allows: false, ..self }
    }

    fn refusal(tool: Traits) -> Self {
        Self::bare(Effect::Deny, Arc::from(DEFAULT_RULE), tool)
    }

    fn bare(effect: Effect, rule: Arc<str>, tool: Traits) -> Self {
        let allows = effect == Effect::Allow;
        Self { effect, rule, demands: Vec::new(), ttl: None, wait: None, tool, scopes: Vec::new(), allows }
    }

    /// What becomes of the call, in a word: the effect, or `scope` where nothing but scopes of the token stand in its way.
    pub fn word(&self) -> &'static str {
        if self.scopes.is_empty() { self.effect.as_str() } else { "scope" }
    }

    /// For review: the roles whose members may agree under one rule or another.
    pub fn approvers(&self) -> Vec<String> {
        approvers(self.demands.iter().map(AsRef::as_ref))
    }

    /// The permission to forward the call, where policy allows it and the token has the scopes.
    pub fn permit(&self) -> Option<Permit> {
        self.allows.then(|| self.grant(None))
    }

    /// Whether a person must agree, and nothing else stands in the way.
    pub fn needs_review(&self) -> bool {
        self.effect == Effect::Review && self.scopes.is_empty()
    }

    /// The permission that an approval stands for, where it was asked for by all rules by which this decision wants one.
    pub fn permit_by(&self, redeemed: Redeemed) -> Option<Permit> {
        self.is_met_by(&redeemed).then(|| self.grant(Some(redeemed)))
    }

    /// The permission to go on with a call that is under way: as if it came now, but that what people agreed to by the same
    /// rules, they need not agree to again.
    pub fn permit_again(&self, earlier: &Permit) -> Option<Permit> {
        let redeemed = earlier.redeemed.as_ref().filter(|redeemed| self.is_met_by(redeemed));
        self.permit().or_else(|| redeemed.map(|redeemed| self.grant(Some(redeemed.again()))))
    }

    /// The permission to run a job: as if its call came now, but that what people agreed to by the same rules before it became
    /// one, they need not agree to again, as long as what the job has `redeemed` stands.
    pub fn permit_job(&self, job: &Job, redeemed: Redeemed) -> Option<Permit> {
        let agreed = job.approval() == Some(redeemed.id()) && self.is_met_by(&redeemed);
        self.permit().or_else(|| agreed.then(|| self.grant(Some(redeemed))))
    }

    /// Whether people are all that is wanting, and have agreed by all rules that want it.
    fn is_met_by(&self, redeemed: &Redeemed) -> bool {
        self.needs_review()
            && !self.demands.is_empty()
            && self.demands.iter().all(|demand| redeemed.rules().contains(&demand.rule))
    }

    /// The permission to ask about a task that a call began, or to take it back. Whoever may make the call if a person agrees may
    /// do that without: the person was asked before the call.
    pub fn permit_about_task(&self) -> Option<Permit> {
        self.permit().or_else(|| self.needs_review().then(|| self.grant(None)))
    }

    fn grant(&self, redeemed: Option<Redeemed>) -> Permit {
        Permit { rule: Arc::clone(&self.rule), tool: self.tool, redeemed }
    }
}

/// The permission to forward one call. It comes of an allowing decision, or of one that wants a review and the approval that
/// came of that. It can't be made by hand:
///
/// ```compile_fail,E0451
/// use portcullis_core::policy::Permit;
/// use portcullis_core::tool::Traits;
/// let tool = Traits::READS;
/// let forged = Permit { rule: "mine".into(), tool, redeemed: None };
/// ```
///
/// and it can't be copied: who is handed one can use it once.
///
/// ```compile_fail,E0599
/// fn twice(permit: portcullis_core::policy::Permit) {
///     let copy = permit.clone();
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    rule: Arc<str>,
    tool: Traits,
    redeemed: Option<Redeemed>,
}

impl Permit {
    /// The id of the approval that it was had for, where people had to agree.
    pub fn approval(&self) -> Option<&str> {
        self.redeemed.as_ref().map(Redeemed::id)
    }

    /// The id of the rule that allowed the call.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What policy says the tool is.
    pub fn tool(&self) -> Traits {
        self.tool
    }
}
