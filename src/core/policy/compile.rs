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
use crate::policy::Inventory;
use crate::policy::compile::names::Names;
use crate::policy::document::{AccessDocument, Effect, Level, PolicyDocument, ToolDocument};
use crate::policy::rule::Rule;
use crate::policy::set::PolicySet;
use crate::problem::{Path, Problem};
use crate::tool::{Class, Severity, Traits};

/// The version of the format that this code reads.
const VERSION: u32 = 1;

impl PolicySet {
    /// Compiles `document`, whose names must be in `inventory` or in itself. Reports all problems at once.
    pub fn compile(document: &PolicyDocument, inventory: &Inventory) -> Result<Self, Vec<Problem>> {
        let mut names = Names::new(document, inventory);
        check_version(document, &mut names);
        let roles = roles::compile(&document.roles, &mut names);
        let tools = compile_tools(&document.tools, &mut names);
        let mut compiled = compile_access(&document.access, &mut names);
        compiled.extend(rules::compile(&document.rules, &mut names));
        let scopes = scopes::compile(&document.scopes, &mut names);
        check_limits_and_redaction(document, &mut names);
        let problems = names.into_problems();
        if problems.is_empty() {
            Ok(Self::new(roles, tools, compiled, scopes, &inventory.upstreams))
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
        let traits = Traits { class: document.class, severity, pii: document.pii, classified: true };
        tools.push((Glob::new(&document.pattern), traits));
    }
    tools
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
