//! What a decision says, and the permission that follows from it.

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
        Self { effect: Effect::Deny, rule, approvers, ttl: None, tool, scopes: Vec::new(), allows: false }
    }

    /// What becomes of the call, in a word: the effect, or `scope` where nothing but scopes of the token stand in its way.
    pub fn word(&self) -> &'static str {
        if self.scopes.is_empty() { self.effect.as_str() } else { "scope" }
    }

    /// The permission to forward the call, where policy allows it and the token has the scopes.
    pub fn permit(&self) -> Option<Permit> {
        self.allows.then(|| Permit { rule: Arc::clone(&self.rule), tool: self.tool })
    }
}

/// The permission to forward one call. It can't be made by hand:
///
/// ```compile_fail,E0451
/// use portcullis_core::policy::Permit;
/// use portcullis_core::tool::{Class, Severity, Traits};
/// let tool = Traits { class: Class::Read, severity: Severity::Low, pii: false, classified: true };
/// let forged = Permit { rule: "mine".into(), tool };
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
}

impl Permit {
    /// The id of the rule that allowed the call.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What policy says the tool is.
    pub fn tool(&self) -> Traits {
        self.tool
    }
}
