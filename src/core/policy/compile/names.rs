//! The names that a policy may use, and the problems found while it uses them.

use crate::policy::Inventory;
use crate::policy::document::PolicyDocument;
use crate::policy::spelling::closest;
use crate::policy::subject::flaw;
use crate::problem::{Path, Problem};
use crate::tool::Kind;
use std::collections::BTreeSet;

/// What exists, and what was found wrong so far.
pub(super) struct Names<'a> {
    roles: BTreeSet<&'a str>,
    inventory: &'a Inventory,
    /// The rule that is being compiled.
    rule: Option<String>,
    problems: Vec<Problem>,
}

impl<'a> Names<'a> {
    pub fn new(document: &'a PolicyDocument, inventory: &'a Inventory) -> Self {
        let roles = document.roles.keys().map(String::as_str).collect();
        Self { roles, inventory, rule: None, problems: Vec::new() }
    }

    /// Problems from here on are in the rule `id`, until the next call.
    pub fn enter(&mut self, id: Option<&str>) {
        self.rule = id.filter(|id| !id.is_empty()).map(str::to_owned);
    }

    pub fn report(&mut self, problem: Problem) {
        self.problems.push(match &self.rule {
            Some(rule) => problem.in_rule(rule),
            None => problem,
        });
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// A list that is there must name something: an empty one would match nothing.
    pub fn not_empty<T>(&mut self, path: &Path, list: Option<&[T]>) {
        if list.is_some_and(<[T]>::is_empty) {
            self.report(
                Problem::new(path.clone(), "an empty list matches nothing").hint("list something, or remove the key"),
            );
        }
    }

    /// Names that only tokens know: users, tenants, agents.
    pub fn foreign(&mut self, path: &Path, names: Option<&[String]>) {
        self.not_empty(path, names);
        for (position, name) in names.into_iter().flatten().enumerate() {
            if name.trim().is_empty() {
                self.report(Problem::new(path.then(position), "an empty name matches nobody").hint("remove it"));
            }
        }
    }

    pub fn roles(&mut self, path: &Path, roles: Option<&[String]>) {
        self.not_empty(path, roles);
        for (position, role) in roles.into_iter().flatten().enumerate() {
            let known = self.roles.clone();
            self.known(&path.then(position), "role", role, known, "declare it under `roles`");
        }
    }

    pub fn endpoints(&mut self, path: &Path, endpoints: Option<&[String]>) {
        self.not_empty(path, endpoints);
        for (position, endpoint) in endpoints.into_iter().flatten().enumerate() {
            let inventory = self.inventory;
            let known = inventory.endpoints.iter().map(String::as_str);
            self.known(&path.then(position), "endpoint", endpoint, known, "add it to upstreams.yaml");
        }
    }

    pub fn upstreams(&mut self, path: &Path, upstreams: &[String]) {
        self.not_empty(path, Some(upstreams));
        for (position, upstream) in upstreams.iter().enumerate() {
            self.upstream(&path.then(position), upstream);
        }
    }

    pub fn tools(&mut self, path: &Path, patterns: Option<&[String]>) {
        self.patterns(path, patterns, Kind::Tool);
    }

    pub fn prompts(&mut self, path: &Path, patterns: Option<&[String]>) {
        self.patterns(path, patterns, Kind::Prompt);
    }

    pub fn resources(&mut self, path: &Path, patterns: Option<&[String]>) {
        self.patterns(path, patterns, Kind::Resource);
    }

    fn patterns(&mut self, path: &Path, patterns: Option<&[String]>, kind: Kind) {
        self.not_empty(path, patterns);
        for (position, pattern) in patterns.into_iter().flatten().enumerate() {
            self.pattern(&path.then(position), pattern, kind);
        }
    }

    /// A pattern over `upstream.tool`.
    pub fn tool(&mut self, path: &Path, pattern: &str) {
        self.pattern(path, pattern, Kind::Tool);
    }

    /// A pattern over `upstream.tool`, `upstream.prompt` or `upstream.uri`.
    fn pattern(&mut self, path: &Path, pattern: &str, kind: Kind) {
        if let Some((message, hint)) = flaw(kind, pattern) {
            return self.report(Problem::new(path.clone(), message).hint(hint));
        }
        let upstream = pattern.split('.').next().unwrap_or_default();
        self.upstream(path, upstream);
    }

    fn upstream(&mut self, path: &Path, upstream: &str) {
        if !upstream.contains(['*', '?']) {
            let inventory = self.inventory;
            let known = inventory.upstreams.iter().map(String::as_str);
            self.known(path, "upstream", upstream, known, "add it to upstreams.yaml");
        }
    }

    /// A scope that another includes.
    pub fn scope<'k>(&mut self, path: &Path, scope: &str, known: impl IntoIterator<Item = &'k str> + Clone) {
        self.known(path, "scope", scope, known, "give it an entry under `scopes`");
    }

    fn known<'k>(
        &mut self,
        path: &Path,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'k str> + Clone,
        otherwise: &str,
    ) {
        if known.clone().into_iter().any(|known| known == name) {
            return;
        }
        let hint = match closest(name, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => otherwise.to_owned(),
        };
        self.report(Problem::new(path.clone(), format!("there is no {what} `{name}`")).hint(hint));
    }
}
