//! The compiled policy, and the decision.

use crate::approval::Demand;
use crate::glob::Glob;
use crate::policy::decision::Decision;
use crate::policy::document::Effect;
use crate::policy::index::Index;
use crate::policy::operators::Operators;
use crate::policy::preview::{Preview, Previews};
use crate::policy::request::{AccessRequest, Facts};
use crate::policy::rule::Rule;
use crate::policy::scope::ScopeSet;
use crate::policy::verdict::Verdict;
use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use crate::tool::{Class, Kind, Severity, ToolName, Traits};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a tool is of which policy says nothing.
const UNCLASSIFIED: Traits =
    Traits { class: Class::Destructive, severity: Severity::High, classified: false, ..Traits::READS };

/// The compiled policy: immutable, cheap to ask. The default one denies everything.
#[derive(Debug, Default)]
pub struct PolicySet {
    /// Each declared role with all that it includes, itself among them.
    roles: BTreeMap<String, BTreeSet<String>>,
    /// In the order of the document: the first that matches describes the tool.
    tools: Vec<(Glob, Traits)>,
    /// In the order in which they are asked.
    rules: Vec<Rule>,
    scopes: ScopeSet,
    operators: Operators,
    index: Index,
    previews: Previews,
}

impl PolicySet {
    pub(super) fn new(
        roles: BTreeMap<String, BTreeSet<String>>,
        tools: Vec<(Glob, Traits)>,
        mut rules: Vec<Rule>,
        scopes: ScopeSet,
        upstreams: &BTreeSet<String>,
    ) -> Self {
        rules.sort_by_cached_key(Rule::precedence);
        let index = Index::new(&rules, upstreams);
        Self { roles, tools, rules, scopes, operators: Operators::default(), index, previews: Previews::default() }
    }

    pub(super) fn with_operators(self, operators: Operators) -> Self {
        Self { operators, ..self }
    }

    pub(super) fn with_previews(self, previews: Previews) -> Self {
        Self { previews, ..self }
    }

    /// What shows people what a call of `tool` would do, where policy names something.
    pub fn preview(&self, tool: &ToolName) -> Option<&Preview> {
        self.previews.of(tool)
    }

    /// Who may look at the gateway, and change what it holds.
    pub const fn operators(&self) -> &Operators {
        &self.operators
    }

    /// What policy says `tool` is: the first entry of `tools` that matches, or the strictest class.
    pub fn traits(&self, tool: &ToolName) -> Traits {
        self.traits_of(&tool.to_string())
    }

    fn traits_of(&self, name: &str) -> Traits {
        self.tools.iter().find(|(glob, _)| glob.matches(name)).map_or(UNCLASSIFIED, |(_, traits)| *traits)
    }

    /// The principal's roles that policy declares, with all that they include. A role that policy does not declare
    /// grants nothing.
    pub fn roles(&self, principal: &Principal) -> RoleSet {
        self.closure(&principal.roles)
    }

    /// The same for `roles` as a token names them.
    pub fn closure<'a>(&self, roles: impl IntoIterator<Item = &'a String>) -> RoleSet {
        roles.into_iter().filter_map(|role| self.roles.get(role)).flatten().cloned().collect()
    }

    /// The declared roles, in order.
    pub fn known_roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// The ids of its rules and entries of `access`, in the order in which they are asked.
    pub fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.id)
    }

    /// What the review rule `id` wants of people; `None` where there is no such rule.
    pub fn demand(&self, id: &str) -> Option<Arc<Demand>> {
        let rule = self.rules.iter().find(|rule| *rule.id == *id)?;
        rule.review.as_ref().map(|review| Arc::clone(&review.demand))
    }

    /// The OAuth scopes that something at `endpoint`, which shows `upstreams`, may need, or that stand for such ones: what a
    /// client could ask for.
    pub fn scopes(&self, endpoint: &str, upstreams: &[String]) -> Vec<&str> {
        self.scopes.supported(endpoint, upstreams)
    }

    /// Those of [`PolicySet::scopes`] that a client should ask for before anything else.
    pub fn initial_scopes(&self, endpoint: &str, upstreams: &[String]) -> Vec<&str> {
        self.scopes.initial(endpoint, upstreams)
    }

    /// The scopes that are needed, and those of them that the caller's token lacks.
    pub(super) fn needs(&self, facts: &Facts<'_>) -> (Vec<&str>, Vec<&str>) {
        let needed = self.scopes.needed(facts);
        let lacking = needed.iter().filter(|scope| !self.scopes.holds(facts.request.principal, scope));
        (needed.clone(), lacking.copied().collect())
    }

    pub(super) fn facts<'a>(&self, request: &'a AccessRequest<'a>, now: Timestamp) -> Facts<'a> {
        let name = request.tool.to_string();
        let traits = match request.kind {
            Kind::Tool => self.traits_of(&name),
            Kind::Prompt | Kind::Resource => Traits::READS,
        };
        Facts::new(request, name, traits, now)
    }

    /// All rules, in the order in which they are asked.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(super) fn decide(&self, facts: &Facts<'_>) -> Decision {
        let (kind, thing) = (facts.request.kind, facts.request.tool);
        match self.index.candidates(kind, thing, &facts.name) {
            Some(positions) => self.decide_by(positions.filter_map(|position| self.rules.get(position)), facts),
            None => self.decide_by(self.rules.iter(), facts),
        }
    }

    /// Asks `rules`, which are in the order of precedence: up to the first that matches and, where that wants a review, all
    /// others that may want one.
    fn decide_by<'a>(&self, mut rules: impl Iterator<Item = &'a Rule>, facts: &Facts<'_>) -> Decision {
        let matches = |rule: &&Rule| matches!(rule.judge(facts), Verdict::Match(_));
        let first = rules.find(matches);
        let reviews = first.is_some_and(|rule| rule.effect == Effect::Review);
        let others = rules.take_while(|rule| reviews && rule.effect == Effect::Review).filter(matches);
        self.decided_by(first, others, facts)
    }

    /// The decision of `first`, the first rule that matches, of the other review rules that do, and of the scopes.
    pub(super) fn decided_by<'a>(
        &self,
        first: Option<&Rule>,
        others: impl IntoIterator<Item = &'a Rule>,
        facts: &Facts<'_>,
    ) -> Decision {
        let decision = Decision::new(first, others, facts.traits);
        if decision.effect == Effect::Deny {
            return decision;
        }
        match self.needs(facts) {
            (_, lacking) if lacking.is_empty() => decision,
            (needed, _) => decision.short_of(&needed),
        }
    }
}

/// What policy says of `request` at `now`. Always an answer, always the same one for the same question.
pub fn decide(policy: &PolicySet, request: &AccessRequest<'_>, now: Timestamp) -> Decision {
    policy.decide(&policy.facts(request, now))
}
