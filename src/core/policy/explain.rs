//! Why a decision is what it is, for operators. Never for callers: it names rules.

use crate::approval::Demand;
use crate::glob::Glob;
use crate::policy::decision::Decision;
use crate::policy::document::Effect;
use crate::policy::request::{AccessRequest, Facts};
use crate::policy::rule::Rule;
use crate::policy::set::PolicySet;
use crate::policy::verdict::{Cause, Grounds, Verdict};
use crate::time::Timestamp;
use crate::tool::{Class, Kind, Severity};
use crate::units::Span;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// What happens to the call.
    pub effect: Effect,
    /// The rule that decided.
    pub rule: String,
    /// For review: what each review rule that matches wants of people. All of them must be met.
    pub demands: Vec<Demand>,
    /// For review: how long an approval stays open.
    pub ttl: Option<Span>,
    /// What was asked for.
    pub kind: Kind,
    /// The tool, as `upstream.tool`; a prompt or a resource in the same way.
    pub tool: String,
    /// What policy says it does.
    pub class: Class,
    /// What policy says of its severity.
    pub severity: Severity,
    /// Whether its answers hold personal data.
    pub pii: bool,
    /// Whether policy classifies it at all.
    pub classified: bool,
    /// The caller's roles, inherited ones included.
    pub roles: Vec<String>,
    /// The OAuth scopes that are needed.
    pub scopes: Vec<String>,
    /// Those of them that the caller lacks: where there are any, the call does not run and nobody is asked to agree.
    pub lacking: Vec<String>,
    /// Every rule and entry of `access`, in the order in which they are asked: the first that matched decided.
    pub examined: Vec<Examined>,
}

/// A rule, and whether it matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Examined {
    /// Its id.
    pub id: String,
    /// What it does where it matches.
    pub effect: Effect,
    /// Whether it matched.
    pub matched: bool,
    /// Why, or the first thing that did not match.
    pub reason: String,
}

/// What [`decide`](crate::policy::decide) says, and why.
pub fn explain(policy: &PolicySet, request: &AccessRequest<'_>, now: Timestamp) -> Explanation {
    let facts = policy.facts(request, now);
    let (needed, lacking) = policy.needs(&facts);
    let words = |scopes: Vec<&str>| scopes.into_iter().map(str::to_owned).collect();
    let Decision { effect, rule, demands, ttl, tool, .. } = policy.decide(&facts);
    Explanation {
        effect,
        rule: rule.to_string(),
        demands: demands.iter().map(|demand| Demand::clone(demand)).collect(),
        ttl: ttl.map(Span),
        kind: request.kind,
        tool: facts.name.clone(),
        class: tool.class,
        severity: tool.severity,
        pii: tool.pii,
        classified: tool.classified,
        roles: request.roles.iter().map(str::to_owned).collect(),
        scopes: words(needed),
        lacking: words(lacking),
        examined: policy.rules().iter().map(|rule| examine(rule, &facts)).collect(),
    }
}

fn examine(rule: &Rule, facts: &Facts<'_>) -> Examined {
    let (matched, reason) = match rule.judge(facts) {
        Verdict::Match(Grounds::Stated) => (true, "all that it states is true".to_owned()),
        Verdict::Match(Grounds::Possible) => (true, "it may match, depending on the arguments".to_owned()),
        Verdict::Match(Grounds::Fault(cause)) => {
            (true, format!("{}; a {} rule then matches", words(rule, &cause, facts), rule.effect.as_str()))
        }
        Verdict::Miss(cause) => (false, words(rule, &cause, facts)),
    };
    Examined { id: rule.id.to_string(), effect: rule.effect, matched, reason }
}

fn words(rule: &Rule, cause: &Cause, facts: &Facts<'_>) -> String {
    let argument =
        |at: &usize| rule.constraints.get(*at).map(|constraint| constraint.name.as_str()).unwrap_or_default();
    let when = rule.condition.as_ref().map(|condition| condition.source()).unwrap_or_default();
    match cause {
        Cause::Kind => format!("it speaks of {}s alone", list_with(rule.subject.kinds().map(Kind::as_str), "s and ")),
        Cause::Name => {
            let kind = facts.request.kind;
            format!("the {} is none of {}", kind.as_str(), list(rule.subject.patterns(kind)))
        }
        Cause::Uri(fault) => format!("the URI {fault}"),
        Cause::Upstream => format!("the upstream is none of {}", globs(rule.upstreams.as_deref())),
        Cause::Class => {
            let classes = rule.classes.iter().flatten().map(|class| class.as_str());
            format!("the class is {}, not {}", facts.traits.class.as_str(), list(classes))
        }
        Cause::Severity => {
            let wanted = rule.severities.as_ref().map(|range| (range.start().as_str(), range.end().as_str()));
            let (low, high) = wanted.unwrap_or_default();
            format!("the severity is {}, not from {low} to {high}", facts.traits.severity.as_str())
        }
        Cause::Endpoint => format!("the endpoint is none of {}", list(rule.endpoints.iter().flatten())),
        Cause::Roles => format!("the caller has none of the roles {}", list(rule.roles.iter().flatten())),
        Cause::User => format!("the caller is none of {}", list(rule.users.iter().flatten())),
        Cause::Tenant => format!("the tenant is none of {}", list(rule.tenants.iter().flatten())),
        Cause::Agent => format!("the agent is none of {}", list(rule.agents.iter().flatten())),
        Cause::UnknownArguments => "it depends on the arguments, which are not known".to_owned(),
        Cause::Argument(at, test) => {
            let wanted = rule.constraints.get(*at).map(|constraint| constraint.describe(*test)).unwrap_or_default();
            format!("it is not true that the argument `{}` {wanted}", argument(at))
        }
        Cause::ArgumentFault(at, fault) => format!("the argument `{}` {fault}", argument(at)),
        Cause::Condition => format!("it is not true that {when}"),
        Cause::ConditionFault(fault) => format!("the condition {when} can't be judged: {fault}"),
    }
}

fn globs(globs: Option<&[Glob]>) -> String {
    list(globs.into_iter().flatten().map(Glob::as_str))
}

fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    list_with(names, ", ")
}

fn list_with<T: AsRef<str>>(names: impl IntoIterator<Item = T>, between: &str) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(between)
}

/// For a terminal: the decision, what it was about, and a line for each rule.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} by {}", self.effect.as_str(), self.rule)?;
        let classified = if self.classified { "" } else { ", not classified by policy" };
        let pii = if self.pii { ", personal data" } else { "" };
        let traits = format!("{}, {}{pii}{classified}", self.class.as_str(), self.severity.as_str());
        writeln!(f, "  {:<6} {} ({traits})", self.kind.as_str(), self.tool)?;
        writeln!(f, "  roles  {}", if self.roles.is_empty() { "none".to_owned() } else { self.roles.join(", ") })?;
        if !self.scopes.is_empty() {
            let lacking =
                if self.lacking.is_empty() { String::new() } else { format!(" (lacks {})", self.lacking.join(", ")) };
            writeln!(f, "  needs  {}{lacking}", self.scopes.join(", "))?;
        }
        for Demand { rule, approvers, quorum, .. } in &self.demands {
            let who = if approvers.is_empty() { "nobody may".to_owned() } else { approvers.join(", ") };
            let many = if *quorum > 1 { format!(", {quorum} of them") } else { String::new() };
            let by = if self.demands.len() > 1 { format!(" (by {rule})") } else { String::new() };
            writeln!(f, "  agree  {who}{many}{by}")?;
        }
        if let Some(ttl) = self.ttl {
            writeln!(f, "  open   {ttl}")?;
        }
        let width = self.examined.iter().map(|examined| examined.id.chars().count()).max().unwrap_or(0);
        for Examined { id, effect, matched, reason } in &self.examined {
            let mark = if *matched { '+' } else { '-' };
            writeln!(f, "{mark} {:<6} {id:<width$}  {reason}", effect.as_str())?;
        }
        Ok(())
    }
}
