//! What a decision says, and the permission that follows from it.

use crate::approval::Redeemed;
use crate::job::Job;
use crate::policy::document::Effect;
use crate::policy::rule::Rule;
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
    /// For review: the roles whose members may agree. Empty where the rule names none.
    pub approvers: Arc<[String]>,
    /// For review: how long an approval stays open, where the rule says.
    pub ttl: Option<Duration>,
    /// For review: how many people must agree.
    pub quorum: u32,
    /// For review: how long the call waits for a decision, where the rule says.
    pub wait: Option<Duration>,
    /// For review: why, where the rule says.
    pub why: Option<Arc<str>>,
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
    /// The decision of `rule`; `None` where no rule matched.
    pub(super) fn new(rule: Option<&Rule>, tool: Traits) -> Self {
        let Some(rule) = rule else { return Self::refusal(tool) };
        Self {
            effect: rule.effect,
            rule: Arc::clone(&rule.id),
            approvers: Arc::clone(&rule.approvers),
            ttl: rule.ttl,
            quorum: rule.quorum,
            wait: rule.wait,
            why: rule.why.clone(),
            tool,
            scopes: Vec::new(),
            allows: rule.effect == Effect::Allow,
        }
    }

    /// The same for a token that lacks one of the scopes that are `needed`.
    pub(super) fn short_of(self, needed: &[&str]) -> Self {
        let scopes = needed.iter().map(|scope| (*scope).to_owned()).collect();
        Self { scopes, allows: false, ..self }
    }

    fn refusal(tool: Traits) -> Self {
        let approvers = Arc::from(Vec::new());
        let rule = Arc::from(DEFAULT_RULE);
        Self {
            effect: Effect::Deny,
            rule,
            approvers,
            ttl: None,
            quorum: 1,
            wait: None,
            why: None,
            tool,
            scopes: Vec::new(),
            allows: false,
        }
    }

    /// What becomes of the call, in a word: the effect, or `scope` where nothing but scopes of the token stand in its way.
    pub fn word(&self) -> &'static str {
        if self.scopes.is_empty() { self.effect.as_str() } else { "scope" }
    }

    /// The permission to forward the call, where policy allows it and the token has the scopes.
    pub fn permit(&self) -> Option<Permit> {
        self.allows.then(|| self.grant(None))
    }

    /// Whether a person must agree, and nothing else stands in the way.
    pub fn needs_review(&self) -> bool {
        self.effect == Effect::Review && self.scopes.is_empty()
    }

    /// The permission that an approval stands for, where this decision asks for one by the same rule.
    pub fn permit_by(&self, redeemed: Redeemed) -> Option<Permit> {
        let asked = self.needs_review() && *redeemed.rule() == self.rule;
        asked.then(|| self.grant(Some(Arc::clone(redeemed.id()))))
    }

    /// The permission to go on with a call that is under way: as if it came now, but that what a person agreed to by the same
    /// rule, they need not agree to again.
    pub fn permit_again(&self, earlier: &Permit) -> Option<Permit> {
        let agreed = self.needs_review() && earlier.rule == self.rule;
        let approval = earlier.approval.as_ref().filter(|_| agreed);
        self.permit().or_else(|| approval.map(|id| self.grant(Some(Arc::clone(id)))))
    }

    /// The permission to run a job: as if its call came now, but that what a person agreed to by the same rule before it became
    /// one, they need not agree to again.
    pub fn permit_job(&self, job: &Job) -> Option<Permit> {
        let approval = job.approval().filter(|_| self.needs_review() && job.rule() == &*self.rule);
        self.permit().or_else(|| approval.map(|id| self.grant(Some(id.into()))))
    }

    /// The permission to ask about a task that a call began, or to take it back. Whoever may make the call if a person agrees may
    /// do that without: the person was asked before the call.
    pub fn permit_about_task(&self) -> Option<Permit> {
        self.permit().or_else(|| self.needs_review().then(|| self.grant(None)))
    }

    fn grant(&self, approval: Option<Arc<str>>) -> Permit {
        Permit { rule: Arc::clone(&self.rule), tool: self.tool, approval }
    }
}

/// The permission to forward one call. It comes of an allowing decision, or of one that wants a review and the approval that
/// came of that. It can't be made by hand:
///
/// ```compile_fail,E0451
/// use portcullis_core::policy::Permit;
/// use portcullis_core::tool::Traits;
/// let tool = Traits::READS;
/// let forged = Permit { rule: "mine".into(), tool, approval: None };
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
    approval: Option<Arc<str>>,
}

impl Permit {
    /// The id of the approval that it was had for, where people had to agree.
    pub fn approval(&self) -> Option<&str> {
        self.approval.as_deref()
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
