//! Which limits apply to a call, and by what they count. No counter is here: `store::limits` holds them.

use crate::glob::Glob;
use crate::policy::document::{Dimension, LimitDocument};
use crate::policy::subject::{Subject, flaw};
use crate::principal::RoleSet;
use crate::problem::{Path, Problem};
use crate::tool::{Kind, ToolName};
use crate::units::Rate;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The compiled `limits` of a policy.
#[derive(Debug, Default)]
pub struct LimitSet(Vec<Limit>);

/// What limits ask about a call.
#[derive(Debug, Clone, Copy)]
pub struct LimitSubject<'a> {
    /// The caller's issuer; a subject means nothing without it.
    pub issuer: &'a str,
    /// The caller.
    pub subject: &'a str,
    /// The client that acts for the caller.
    pub agent: Option<&'a str>,
    /// The caller's tenant.
    pub tenant: Option<&'a str>,
    /// The caller's roles, inherited ones included.
    pub roles: &'a RoleSet,
    /// What is called, fetched or read; `None` for a request that does none of it, such as a list. Limits that name
    /// something do not speak of such a request, all others do.
    pub named: Option<(Kind, &'a ToolName)>,
    /// The endpoint through which the call came.
    pub endpoint: &'a str,
}

/// One budget that a call draws on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The limit's position in the policy, from 0: what an operator is told.
    pub index: usize,
    /// The limit, across reloads: what its counters are filed under.
    pub limit: LimitId,
    /// Which of the limit's budgets.
    pub key: BudgetKey,
    /// How often.
    pub rate: Option<Allowance>,
    /// How many at the same time; at least 1.
    pub concurrency: Option<u32>,
}

/// How often: a rate, and how many may come at once before it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Calls in a length of time.
    pub rate: Rate,
    /// Calls at once; at least 1.
    pub burst: u32,
}

/// A limit's name for its counters: a digest of what it counts and by what, not of how much. So a reload that changes
/// nothing, moves limits about or only changes their numbers finds the counters where they were, and refills nobody.
///
/// Among limits that count the same thing the order of their rates tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitId([u8; 16]);

impl LimitId {
    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Which of a limit's budgets: the values of its dimensions, each with its length before it, so that no two
/// combinations read the same, whatever bytes a subject or a tenant holds. A missing tenant is a value of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey(String);

impl BudgetKey {
    /// The values, written out.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug)]
struct Limit {
    id: LimitId,
    per: BTreeSet<Dimension>,
    subject: Subject,
    roles: Option<Vec<String>>,
    rate: Option<Allowance>,
    concurrency: Option<u32>,
}

impl LimitSet {
    /// Compiles; reports every problem, not the first alone.
    pub fn compile(documents: &[LimitDocument]) -> Result<Self, Vec<Problem>> {
        let problems: Vec<Problem> =
            documents.iter().enumerate().flat_map(|(index, document)| check(index, document)).collect();
        if problems.is_empty() {
            Ok(Self(documents.iter().zip(ids(documents)).map(compile).collect()))
        } else {
            Err(problems)
        }
    }

    /// The budgets that a call of `subject` draws on, in the order of the policy. All must have room for it.
    pub fn applicable<'a>(&'a self, subject: &'a LimitSubject<'a>) -> impl Iterator<Item = Budget> + 'a {
        let applies = move |(_, limit): &(usize, &Limit)| limit.applies(subject);
        self.0.iter().enumerate().filter(applies).map(|(index, limit)| Budget {
            index,
            limit: limit.id,
            key: limit.key(subject),
            rate: limit.rate,
            concurrency: limit.concurrency,
        })
    }
}

impl Limit {
    fn applies(&self, subject: &LimitSubject<'_>) -> bool {
        self.subject.covers(false, subject.named)
            && self.roles.as_ref().is_none_or(|roles| subject.roles.contains_any(roles))
    }

    fn key(&self, subject: &LimitSubject<'_>) -> BudgetKey {
        let mut key = String::new();
        for dimension in &self.per {
            match dimension {
                Dimension::User => {
                    push_part(&mut key, Some(subject.issuer));
                    push_part(&mut key, Some(subject.subject));
                }
                Dimension::Agent => push_part(&mut key, subject.agent),
                Dimension::Tenant => push_part(&mut key, subject.tenant),
                // Not resources and prompts: a URI is the caller's to write, and must not get a budget for it.
                Dimension::Tool => {
                    let tool = subject.named.filter(|(kind, _)| *kind == Kind::Tool).map(|(_, tool)| tool);
                    push_part(&mut key, tool.map(|tool| tool.upstream.as_str()));
                    push_part(&mut key, tool.map(|tool| tool.tool.as_str()));
                }
                Dimension::Endpoint => push_part(&mut key, Some(subject.endpoint)),
            }
        }
        BudgetKey(key)
    }
}

/// `5:alice`, or `-` for what is missing. The dimensions of a limit are fixed, so the parts need no names.
fn push_part(key: &mut String, part: Option<&str>) {
    match part {
        Some(part) => {
            key.push_str(&part.len().to_string());
            key.push(':');
            key.push_str(part);
        }
        None => key.push('-'),
    }
}

fn compile((document, id): (&LimitDocument, LimitId)) -> Limit {
    Limit {
        id,
        per: document.per.iter().copied().collect(),
        subject: Subject::new(document.tools.as_deref(), document.prompts.as_deref(), document.resources.as_deref()),
        roles: document.roles.clone(),
        rate: document.rate.map(|rate| Allowance { rate, burst: document.burst.unwrap_or(rate.events) }),
        concurrency: document.concurrency,
    }
}

fn ids(documents: &[LimitDocument]) -> Vec<LimitId> {
    let scopes: Vec<String> = documents.iter().map(scope).collect();
    let ranks: Vec<_> = documents.iter().enumerate().map(|(index, document)| (rank(document), index)).collect();
    let id = |(scope, rank): (&String, &(Rank, usize))| {
        let before = scopes.iter().zip(&ranks).filter(|(other, earlier)| *other == scope && *earlier < rank).count();
        let digest = Sha256::digest(format!("{scope}#{before}"));
        LimitId(std::array::from_fn(|position| digest.get(position).copied().unwrap_or_default()))
    };
    scopes.iter().zip(&ranks).map(id).collect()
}

/// What a limit counts and by what. As JSON, because it reads one way only.
fn scope(document: &LimitDocument) -> String {
    fn sorted(names: &Option<Vec<String>>) -> Option<BTreeSet<&String>> {
        names.as_ref().map(|names| names.iter().collect())
    }
    let per: BTreeSet<_> = document.per.iter().collect();
    let named = [&document.tools, &document.prompts, &document.resources].map(sorted);
    serde_json::json!([per, named, sorted(&document.roles)]).to_string()
}

type Rank = (Option<std::time::Duration>, Option<u32>, Option<u32>, Option<u32>);

fn rank(document: &LimitDocument) -> Rank {
    let (period, events) = document.rate.map(|rate| (rate.period, rate.events)).unzip();
    (period, events, document.burst, document.concurrency)
}

fn check(index: usize, document: &LimitDocument) -> Vec<Problem> {
    let at = Path::root().then("limits").then(index);
    let mut problems = check_numbers(&at, document);
    let mut seen = BTreeSet::new();
    for (position, dimension) in document.per.iter().enumerate() {
        if !seen.insert(dimension) {
            problems.push(
                Problem::new(at.then("per").then(position), "is there twice")
                    .hint("name each dimension once; their order does not matter"),
            );
        }
    }
    problems.extend(check_scope(&at, document));
    problems
}

fn check_numbers(at: &Path, document: &LimitDocument) -> Vec<Problem> {
    let mut problems = Vec::new();
    if document.rate.is_none() && document.concurrency.is_none() {
        problems.push(
            Problem::new(at.clone(), "limits nothing").hint("add a `rate` such as 600/m, a `concurrency`, or both"),
        );
    }
    if document.burst.is_some() && document.rate.is_none() {
        problems.push(
            Problem::new(at.then("burst"), "means nothing without a rate")
                .hint("add a `rate` such as 600/m, or remove `burst`"),
        );
    }
    let numbers = [
        ("rate", document.rate.map(|rate| rate.events)),
        ("burst", document.burst),
        ("concurrency", document.concurrency),
    ];
    for (name, _) in numbers.iter().filter(|(_, number)| *number == Some(0)) {
        problems.push(
            Problem::new(at.then(*name), "is 0, so no call could ever pass")
                .hint("write at least 1; to forbid calls, write a rule with `effect: deny`"),
        );
    }
    problems
}

/// A limit that can never apply would look like protection and be none.
fn check_scope(at: &Path, document: &LimitDocument) -> Vec<Problem> {
    let mut problems = Vec::new();
    let LimitDocument { tools, prompts, resources, roles, .. } = document;
    for (name, names) in [("tools", tools), ("prompts", prompts), ("resources", resources), ("roles", roles)] {
        if names.as_ref().is_some_and(Vec::is_empty) {
            problems.push(
                Problem::new(at.then(name), "is empty, so the limit applies to nothing")
                    .hint(format!("name some, or leave `{name}` out for all")),
            );
        }
    }
    for (position, tool) in tools.iter().flatten().enumerate() {
        if Glob::new(tool).is_literal() && ToolName::parse(tool).is_none() {
            problems.push(
                Problem::new(at.then("tools").then(position), format!("`{tool}` is not the name of a tool"))
                    .hint("write `upstream.tool`, or a glob over the whole of it such as `etl.*`"),
            );
        }
    }
    for (key, kind, patterns) in [("prompts", Kind::Prompt, prompts), ("resources", Kind::Resource, resources)] {
        for (position, pattern) in patterns.iter().flatten().enumerate() {
            let flaw = flaw(kind, pattern);
            problems.extend(flaw.map(|(message, hint)| Problem::new(at.then(key).then(position), message).hint(hint)));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
