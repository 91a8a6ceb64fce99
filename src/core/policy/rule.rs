//! A compiled rule, and whether it matches. Entries of `access` are rules too.

use crate::approval::Demand;
use crate::glob::Glob;
use crate::policy::condition::Condition;
use crate::policy::constraint::Constraint;
use crate::policy::document::Effect;
use crate::policy::request::{Arguments, Facts};
use crate::policy::subject::Subject;
use crate::policy::verdict::{Cause, Fault, Grounds, Truth, Verdict};
use crate::tool::{Class, Severity};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::iter;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A rule. What is `None` was not stated and does not matter.
#[derive(Debug)]
pub(super) struct Rule {
    pub id: Arc<str>,
    pub effect: Effect,
    /// For an entry of `access`, its position.
    pub access: Option<usize>,
    pub subject: Subject,
    pub upstreams: Option<Vec<Glob>>,
    pub classes: Option<Vec<Class>>,
    pub severities: Option<RangeInclusive<Severity>>,
    pub endpoints: Option<BTreeSet<String>>,
    pub roles: Option<BTreeSet<String>>,
    pub users: Option<BTreeSet<String>>,
    pub tenants: Option<BTreeSet<String>>,
    pub agents: Option<BTreeSet<String>>,
    pub constraints: Vec<Constraint>,
    pub condition: Option<Condition>,
    /// For a review rule.
    pub review: Option<Review>,
}

/// What a review rule wants.
#[derive(Debug)]
pub(super) struct Review {
    pub demand: Arc<Demand>,
    pub ttl: Option<Duration>,
    pub wait: Option<Duration>,
}

impl Rule {
    /// A rule that states nothing.
    pub fn new(id: impl Into<Arc<str>>, effect: Effect) -> Self {
        Self {
            id: id.into(),
            effect,
            access: None,
            subject: Subject::default(),
            upstreams: None,
            classes: None,
            severities: None,
            endpoints: None,
            roles: None,
            users: None,
            tenants: None,
            agents: None,
            constraints: Vec::new(),
            condition: None,
            review: None,
        }
    }

    /// The order in which rules are asked: the first that matches decides. Deny before review before allow; among
    /// equals the rule that names itself before an entry of `access`, then by id. The order in the file has no part.
    pub fn precedence(&self) -> impl Ord + use<> {
        (Reverse(self.effect), self.access, Arc::clone(&self.id))
    }

    /// Whether it may match something that `upstream` offers. May err on the side of yes.
    pub fn concerns(&self, upstream: &str) -> bool {
        self.subject.concerns(upstream)
            && self.upstreams.as_ref().is_none_or(|upstreams| upstreams.iter().any(|glob| glob.matches(upstream)))
    }

    /// What it says of the request. Cheap parts first; arguments are not read where another part is false.
    pub fn judge(&self, facts: &Facts<'_>) -> Verdict {
        let subject = match self.subject.judge(self.effect, facts) {
            Truth::False(cause) => return Verdict::Miss(cause),
            subject => subject,
        };
        match self.mismatch(facts) {
            Some(cause) => Verdict::Miss(cause),
            None => self.judge_conditions(subject, facts),
        }
    }

    /// The first thing that it states of traits and caller and that is false.
    pub fn mismatch(&self, facts: &Facts<'_>) -> Option<Cause> {
        let (request, traits) = (facts.request, facts.traits);
        let principal = request.principal;
        miss(&self.upstreams, |globs| any_matches(globs, &request.tool.upstream), Cause::Upstream)
            .or_else(|| miss(&self.classes, |classes| classes.contains(&traits.class), Cause::Class))
            .or_else(|| miss(&self.severities, |range| range.contains(&traits.severity), Cause::Severity))
            .or_else(|| miss(&self.roles, |roles| request.roles.contains_any(roles), Cause::Roles))
            .or_else(|| miss(&self.endpoints, |names| names.contains(request.context.endpoint), Cause::Endpoint))
            .or_else(|| miss(&self.users, |names| names.contains(&principal.subject), Cause::User))
            .or_else(|| miss(&self.tenants, |names| lists(names, &principal.tenant), Cause::Tenant))
            .or_else(|| miss(&self.agents, |names| lists(names, &principal.agent), Cause::Agent))
    }

    fn judge_conditions(&self, subject: Truth, facts: &Facts<'_>) -> Verdict {
        let constraints =
            self.constraints.iter().enumerate().map(|(at, constraint)| judge_constraint(at, constraint, facts));
        let condition = self.condition.iter().map(|condition| judge_condition(condition, facts));
        let mut doubt = None;
        for truth in iter::once(subject).chain(constraints).chain(condition) {
            match (truth, self.effect) {
                (Truth::True, _) => {}
                (Truth::False(cause), _) | (Truth::Fault(cause), Effect::Allow) => return Verdict::Miss(cause),
                (Truth::Unknown, Effect::Deny) => return Verdict::Miss(Cause::UnknownArguments),
                (Truth::Unknown, _) => doubt = doubt.or(Some(Grounds::Possible)),
                (Truth::Fault(cause), _) => doubt = doubt.or(Some(Grounds::Fault(cause))),
            }
        }
        Verdict::Match(doubt.unwrap_or(Grounds::Stated))
    }
}

fn judge_constraint(at: usize, constraint: &Constraint, facts: &Facts<'_>) -> Truth {
    let Arguments::Of(arguments) = facts.request.arguments else { return Truth::Unknown };
    let Ok(members) = arguments.members() else { return Truth::Fault(Cause::ArgumentFault(at, Fault::Unreadable)) };
    match constraint.judge(members) {
        Ok(None) => Truth::True,
        Ok(Some(test)) => Truth::False(Cause::Argument(at, test)),
        Err(fault) => Truth::Fault(Cause::ArgumentFault(at, fault)),
    }
}

fn judge_condition(condition: &Condition, facts: &Facts<'_>) -> Truth {
    if condition.reads_arguments() && matches!(facts.request.arguments, Arguments::Any) {
        return Truth::Unknown;
    }
    match condition.judge(facts) {
        Ok(true) => Truth::True,
        Ok(false) => Truth::False(Cause::Condition),
        Err(fault) => Truth::Fault(Cause::ConditionFault(fault)),
    }
}

/// `cause` where something is stated and does not hold.
fn miss<T>(stated: &Option<T>, holds: impl FnOnce(&T) -> bool, cause: Cause) -> Option<Cause> {
    stated.as_ref().filter(|stated| !holds(stated)).map(|_| cause)
}

fn any_matches(globs: &[Glob], text: &str) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

fn lists(names: &BTreeSet<String>, name: &Option<String>) -> bool {
    name.as_ref().is_some_and(|name| names.contains(name))
}
