//! OAuth scopes: what a token must have been granted beside what policy allows its holder.

use crate::policy::document::Effect;
use crate::policy::request::Facts;
use crate::policy::subject::Subject;
use crate::policy::verdict::Truth;
use crate::principal::Principal;
use crate::tool::Class;
use std::collections::{BTreeMap, BTreeSet};

/// The compiled `scopes` of a policy.
#[derive(Debug, Default)]
pub(super) struct ScopeSet {
    /// In the order of the document.
    pub entries: Vec<Entry>,
    /// Each scope with all that it includes.
    pub includes: BTreeMap<String, BTreeSet<String>>,
}

/// A scope, and what it is needed for.
#[derive(Debug)]
pub(super) struct Entry {
    pub scope: String,
    pub subject: Subject,
    pub classes: Option<Vec<Class>>,
    pub endpoints: Option<BTreeSet<String>>,
    pub initial: bool,
}

impl ScopeSet {
    /// The scopes that what is asked for needs, in the order of the document.
    pub fn needed(&self, facts: &Facts<'_>) -> Vec<&str> {
        unique(self.entries.iter().filter(|entry| entry.is_needed(facts)))
    }

    /// The scopes that may be needed for something that `upstreams` offer at `endpoint`, or that stand for such ones.
    pub fn supported(&self, endpoint: &str, upstreams: &[String]) -> Vec<&str> {
        let needed: BTreeSet<&str> =
            self.concerning(endpoint, upstreams).iter().map(|entry| entry.scope.as_str()).collect();
        let stands_for =
            |scope: &str| self.includes.get(scope).into_iter().flatten().any(|it| needed.contains(it.as_str()));
        unique(self.entries.iter().filter(|entry| needed.contains(entry.scope.as_str()) || stands_for(&entry.scope)))
    }

    /// Those that a client should ask for before anything else.
    pub fn initial(&self, endpoint: &str, upstreams: &[String]) -> Vec<&str> {
        unique(self.concerning(endpoint, upstreams).into_iter().filter(|entry| entry.initial))
    }

    /// Whether a token of `principal` has `scope`, or one that stands for it.
    pub fn holds(&self, principal: &Principal, scope: &str) -> bool {
        let includes = |held: &String| self.includes.get(held).is_some_and(|included| included.contains(scope));
        principal.scopes.contains(scope) || principal.scopes.iter().any(includes)
    }

    fn concerning(&self, endpoint: &str, upstreams: &[String]) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.concerns(endpoint, upstreams)).collect()
    }
}

impl Entry {
    fn is_needed(&self, facts: &Facts<'_>) -> bool {
        // A URI that can be read in two ways needs what either reading needs.
        let speaks = || matches!(self.subject.judge(Effect::Deny, facts), Truth::True | Truth::Fault(_));
        self.is_for_something()
            && self.is_at(facts.request.context.endpoint)
            && self.classes.as_ref().is_none_or(|classes| classes.contains(&facts.traits.class))
            && speaks()
    }

    fn concerns(&self, endpoint: &str, upstreams: &[String]) -> bool {
        let concerns = |upstream: &String| self.subject.concerns(upstream);
        self.is_for_something() && self.is_at(endpoint) && upstreams.iter().any(concerns)
    }

    fn is_for_something(&self) -> bool {
        self.classes.is_some() || !self.subject.is_everything()
    }

    fn is_at(&self, endpoint: &str) -> bool {
        self.endpoints.as_ref().is_none_or(|endpoints| endpoints.contains(endpoint))
    }
}

fn unique<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<&'a str> {
    let mut scopes: Vec<&str> = Vec::new();
    for entry in entries {
        if !scopes.contains(&entry.scope.as_str()) {
            scopes.push(&entry.scope);
        }
    }
    scopes
}
