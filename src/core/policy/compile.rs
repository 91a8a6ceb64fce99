//! From `policy.yaml` as written to the compiled policy, or to everything that is wrong with it.
//!
//! `limits` and `redaction` are compiled by `core::limit` and `core::redact`, which check what is theirs; the roles and
//! tools that they name are checked here, with all others.

mod closure;
mod names;
mod roles;
mod rules;
mod scopes;

use crate::glob::Glob;
use crate::job::Terms;
use crate::policy::Inventory;
use crate::policy::compile::names::Names;
use crate::policy::document::{AccessDocument, Effect, Level, OperatorsDocument, PolicyDocument, ToolDocument};
use crate::policy::operators::Operators;
use crate::policy::preview::Previews;
use crate::policy::rule::Rule;
use crate::policy::set::PolicySet;
use crate::problem::{Path, Problem};
use crate::tool::{Class, Mode, Severity, Traits};

/// The version of the format that this code reads.
const VERSION: u32 = 1;

/// The most tries of a job.
const MOST_ATTEMPTS: u32 = 20;

impl PolicySet {
    /// Compiles `document`, whose names must be in `inventory` or in itself. Reports all problems at once.
    pub fn compile(document: &PolicyDocument, inventory: &Inventory) -> Result<Self, Vec<Problem>> {
        let mut names = Names::new(document, inventory);
        check_version(document, &mut names);
        let roles = roles::compile(&document.roles, &mut names);
        let tools = compile_tools(&document.tools, &mut names);
        let mut compiled = compile_access(&document.access, &mut names);
        compiled.extend(rules::compile(&document.rules, &mut names));
        check_previews(&document.tools, &tools, &mut names);
        let scopes = scopes::compile(&document.scopes, &mut names);
        check_limits_and_redaction(document, &mut names);
        let operators = compile_operators(&document.operators, &mut names);
        let problems = names.into_problems();
        if problems.is_empty() {
            Ok(Self::new(roles, tools, compiled, scopes, &inventory.upstreams)
                .with_operators(operators)
                .with_previews(Previews::new(&document.tools)))
        } else {
            Err(problems)
        }
    }
}

fn check_version(document: &PolicyDocument, names: &mut Names<'_>) {
    if document.version != VERSION {
        let problem = Problem::new(Path::root().then("version"), format!("version {} is unknown", document.version));
        names.report(problem.hint(format!("write `version: {VERSION}`")));
    }
}

fn compile_tools(documents: &[ToolDocument], names: &mut Names<'_>) -> Vec<(Glob, Traits)> {
    let mut tools = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        names.tool(&Path::root().then("tools").then(position).then("match"), &document.pattern);
        let severity = document.severity.unwrap_or(match document.class {
            Class::Read => Severity::Low,
            Class::Write => Severity::Medium,
            Class::Destructive => Severity::High,
        });
        let at = Path::root().then("tools").then(position).then("attempts");
        let (class, pii, job) = (document.class, document.pii, document.mode == Some(Mode::Job));
        let traits = Traits { class, severity, pii, classified: true, job, tries: tries(document, at, names) };
        tools.push((Glob::new(&document.pattern), traits));
    }
    tools
}

/// How often a job of the tool may be tried.
fn tries(document: &ToolDocument, at: Path, names: &mut Names<'_>) -> Terms {
    let attempts = document.attempts.unwrap_or(Terms::DEFAULT.attempts);
    if !(1..=MOST_ATTEMPTS).contains(&attempts) {
        let problem = Problem::new(at, "a job can't be tried so often");
        names.report(problem.hint(format!("write 1 to {MOST_ATTEMPTS}, or remove the key")));
    }
    Terms { idempotent: document.idempotent, attempts }
}

/// A preview is a tool by name that reads: it is called before anybody has agreed to anything.
fn check_previews(documents: &[ToolDocument], tools: &[(Glob, Traits)], names: &mut Names<'_>) {
    for (position, document) in documents.iter().enumerate() {
        let at = Path::root().then("tools").then(position);
        let Some(preview) = &document.dry_run else {
            if document.dry_run_required {
                let problem = Problem::new(at.then("dry_run_required"), "no preview is named that could be required");
                names.report(problem.hint("name a read-only tool with `dry_run`"));
            }
            continue;
        };
        let at = at.then("dry_run");
        names.tool(&at, preview);
        let class = tools.iter().find(|(glob, _)| glob.matches(preview)).map(|(_, traits)| traits.class);
        if preview.contains(['*', '?']) {
            names.report(Problem::new(at, "a preview is one tool").hint("write its whole name"));
        } else if class != Some(Class::Read) {
            let message = "a preview must not change anything, and policy does not say that this tool only reads";
            names.report(Problem::new(at, message).hint("give that tool an entry with `class: read`"));
        }
    }
}

fn compile_access(documents: &[AccessDocument], names: &mut Names<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        let path = Path::root().then("access").then(position);
        names.roles(&path.then("roles"), Some(&document.roles));
        names.upstreams(&path.then("upstreams"), &document.upstreams);
        rules.push(access_rule(position, document));
    }
    rules
}

fn access_rule(position: usize, document: &AccessDocument) -> Rule {
    let (effect, classes) = match document.level {
        Level::Disabled => (Effect::Deny, None),
        Level::Read => (Effect::Allow, Some(vec![Class::Read])),
        Level::Write => (Effect::Allow, Some(vec![Class::Read, Class::Write])),
        Level::Destroy => (Effect::Allow, None),
    };
    Rule {
        access: Some(position),
        roles: Some(document.roles.iter().cloned().collect()),
        upstreams: Some(document.upstreams.iter().map(Glob::new).collect()),
        classes,
        ..Rule::new(format!("access[{position}]"), effect)
    }
}

fn compile_operators(document: &OperatorsDocument, names: &mut Names<'_>) -> Operators {
    let path = Path::root().then("operators");
    names.roles(&path.then("read"), document.read.as_deref());
    names.roles(&path.then("manage"), document.manage.as_deref());
    Operators::new(document)
}

fn check_limits_and_redaction(document: &PolicyDocument, names: &mut Names<'_>) {
    let limits = document.limits.iter().map(|limit| (&limit.tools, &limit.roles)).enumerate();
    let limits = limits.map(|(position, used)| (Path::root().then("limits").then(position), used));
    let redaction = document.redaction.iter().map(|entry| (&entry.tools, &entry.roles)).enumerate();
    let redaction = redaction.map(|(position, used)| (Path::root().then("redaction").then(position), used));
    for (path, (tools, roles)) in limits.chain(redaction) {
        names.tools(&path.then("tools"), tools.as_deref());
        names.roles(&path.then("roles"), roles.as_deref());
    }
}

#[cfg(test)]
mod tests;
