//! The `rules` of a policy.

use crate::approval::Demand;
use crate::policy::compile::names::Names;
use crate::policy::condition::{Condition, Language};
use crate::policy::constraint::Constraint;
use crate::policy::decision::DEFAULT_RULE;
use crate::policy::document::{Effect, RuleDocument};
use crate::policy::rule::{Review, Rule};
use crate::policy::subject::Subject;
use crate::problem::{Path, Problem};
use crate::tool::Severity;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The most people that a rule can ask to agree.
const MOST_PEOPLE: u32 = 16;

/// The longest that a call waits for a decision: clients wait for an answer about as long (MCP's SDKs for a minute).
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// All rules; those with problems among them, which `names` then holds.
pub(super) fn compile(documents: &[RuleDocument], names: &mut Names<'_>) -> Vec<Rule> {
    let language = Language::default();
    let mut seen = BTreeMap::new();
    let mut rules = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        let path = Path::root().then("rules").then(position);
        names.enter(Some(&document.id));
        check_id(&path, document, &mut seen, position, names);
        check_names(&path, document, names);
        check_sense(&path, document, names);
        rules.push(compile_rule(&path, document, &language, names));
    }
    names.enter(None);
    rules
}

fn check_id<'a>(
    path: &Path,
    document: &'a RuleDocument,
    seen: &mut BTreeMap<&'a str, usize>,
    position: usize,
    names: &mut Names<'_>,
) {
    let id = document.id.as_str();
    let problem = |message: String| Problem::new(path.then("id"), message).hint("choose an id of its own");
    if id.trim().is_empty() || id.chars().any(char::is_control) {
        names.report(problem("a rule's id is empty or holds a control character".to_owned()));
    } else if id == DEFAULT_RULE || id.starts_with("access[") {
        names.report(problem(format!("`{id}` is an id that decisions without a rule have")));
    } else if let Some(first) = seen.insert(id, position) {
        names.report(problem(format!("`{id}` is the id of rules[{first}] too")));
    }
}

fn check_names(path: &Path, document: &RuleDocument, names: &mut Names<'_>) {
    names.tools(&path.then("tools"), document.tools.as_deref());
    names.prompts(&path.then("prompts"), document.prompts.as_deref());
    names.resources(&path.then("resources"), document.resources.as_deref());
    names.not_empty(&path.then("classes"), document.classes.as_deref());
    names.endpoints(&path.then("endpoints"), document.endpoints.as_deref());
    names.roles(&path.then("roles"), document.roles.as_deref());
    names.foreign(&path.then("users"), document.users.as_deref());
    names.foreign(&path.then("tenants"), document.tenants.as_deref());
    names.foreign(&path.then("agents"), document.agents.as_deref());
    names.roles(&path.then("approvers"), document.approvers.as_deref());
}

/// What contradicts itself, or says more than its author is likely to mean.
fn check_sense(path: &Path, document: &RuleDocument, names: &mut Names<'_>) {
    check_review(path, document, names);
    let bounded = document.min_severity.is_some() || document.max_severity.is_some();
    if document.severity.is_some() && bounded {
        let message = "`severity` is exact, so min_severity and max_severity mean nothing beside it";
        names.report(Problem::new(path.then("severity"), message).hint("write either"));
    }
    if severities(document).is_some_and(|range| range.is_empty()) {
        let message = "no severity is both at least min_severity and at most max_severity";
        names.report(Problem::new(path.then("min_severity"), message).hint("swap them"));
    }
    if document.effect == Effect::Allow {
        check_allow(path, document, names);
    }
}

/// What is for those who are asked.
fn check_review(path: &Path, document: &RuleDocument, names: &mut Names<'_>) {
    let keys = [
        ("approvers", document.approvers.is_some()),
        ("ttl", document.ttl.is_some()),
        ("quorum", document.quorum.is_some()),
        ("wait", document.wait.is_some()),
        ("reason", document.reason.is_some()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, stated)| *stated && document.effect != Effect::Review) {
        let message = format!("`{key}` means nothing in a rule whose effect is {}", document.effect.as_str());
        names.report(Problem::new(path.then(key), message).hint("remove it, or write `effect: review`"));
    }
    if document.ttl.is_some_and(|ttl| ttl.0.is_zero()) {
        names
            .report(Problem::new(path.then("ttl"), "an approval would close at once").hint("write a time such as 15m"));
    }
    if document.quorum.is_some_and(|quorum| !(1..=MOST_PEOPLE).contains(&quorum)) {
        let message = "so many people can't agree";
        names.report(Problem::new(path.then("quorum"), message).hint(format!("write 1 to {MOST_PEOPLE}")));
    }
    if document.wait.is_some_and(|wait| wait.0 > LONGEST_WAIT) {
        let message = "clients give up on calls that wait so long";
        names.report(Problem::new(path.then("wait"), message).hint("write 1m or less; the approval stays open longer"));
    }
}

/// An allow rule speaks of the tools it allows: else it would reach destructive ones that nobody thought of.
fn check_allow(path: &Path, document: &RuleDocument, names: &mut Names<'_>) {
    let names_none = document.tools.is_none() && document.prompts.is_none() && document.resources.is_none();
    if names_none && document.classes.is_none() && severities(document).is_none() {
        let message = "this rule allows every tool, destructive and unclassified ones too";
        let hint = "say which with `tools`, `prompts`, `resources`, `classes` or `max_severity`; \
                    `tools: [\"*.*\"]` means all tools";
        names.report(Problem::new(path.clone(), message).hint(hint));
    }
    if let (Some(min), None) = (document.min_severity, document.max_severity) {
        let message = format!("this rule allows severity {} and everything worse", min.as_str());
        let hint = "write `severity`, or `max_severity` too";
        names.report(Problem::new(path.then("min_severity"), message).hint(hint));
    }
}

fn severities(document: &RuleDocument) -> Option<RangeInclusive<Severity>> {
    match (document.severity, document.min_severity, document.max_severity) {
        (Some(exact), _, _) => Some(exact..=exact),
        (None, None, None) => None,
        (None, min, max) => Some(min.unwrap_or(Severity::Low)..=max.unwrap_or(Severity::Critical)),
    }
}

fn compile_rule(path: &Path, document: &RuleDocument, language: &Language, names: &mut Names<'_>) -> Rule {
    Rule {
        subject: Subject::new(document.tools.as_deref(), document.prompts.as_deref(), document.resources.as_deref()),
        classes: document.classes.clone(),
        severities: severities(document),
        endpoints: set(&document.endpoints),
        roles: set(&document.roles),
        users: set(&document.users),
        tenants: set(&document.tenants),
        agents: set(&document.agents),
        constraints: compile_constraints(path, document, names),
        condition: compile_condition(path, document, language, names),
        review: (document.effect == Effect::Review).then(|| compile_review(document)),
        ..Rule::new(document.id.as_str(), document.effect)
    }
}

fn compile_review(document: &RuleDocument) -> Review {
    let demand = Demand {
        rule: document.id.clone(),
        why: document.reason.clone(),
        approvers: document.approvers.clone().unwrap_or_default(),
        quorum: document.quorum.unwrap_or(1),
    };
    let (ttl, wait) = (document.ttl.map(|ttl| ttl.0), document.wait.map(|wait| wait.0));
    Review { demand: Arc::new(demand), ttl, wait }
}

fn set(names: &Option<Vec<String>>) -> Option<BTreeSet<String>> {
    names.as_ref().map(|names| names.iter().cloned().collect())
}

fn compile_constraints(path: &Path, document: &RuleDocument, names: &mut Names<'_>) -> Vec<Constraint> {
    let mut constraints = Vec::new();
    for (name, constraint) in &document.args {
        let path = path.then("args").then(name.as_str());
        let flaws = match Constraint::compile(name, constraint) {
            Ok(constraint) => {
                constraints.push(constraint);
                continue;
            }
            Err(flaws) => flaws,
        };
        for flaw in flaws {
            let path = flaw.key.map_or(path.clone(), |key| path.then(key));
            let problem = Problem::new(path, flaw.message);
            names.report(match flaw.hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
    }
    constraints
}

fn compile_condition(
    path: &Path,
    document: &RuleDocument,
    language: &Language,
    names: &mut Names<'_>,
) -> Option<Condition> {
    match Condition::compile(document.when.as_ref()?, language) {
        Ok(condition) => Some(condition),
        Err(messages) => {
            for message in messages {
                let hint = "conditions are CEL over args, principal, tool and request; see the policy reference";
                names.report(Problem::new(path.then("when"), message).hint(hint));
            }
            None
        }
    }
}
