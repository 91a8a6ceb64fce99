//! Policies and requests made at random, alike enough to meet.

use super::reference::{CONDITIONS, Case, PATTERN};
use crate::policy::Inventory;
use crate::policy::document::{
    AccessDocument, ArgumentDocument, Effect, Level, PolicyDocument, RoleDocument, RuleDocument, ScopeDocument,
    ToolDocument,
};
use crate::principal::Principal;
use crate::tool::{Class, Kind, Severity, ToolName};
use proptest::option;
use proptest::prelude::{Just, Strategy};
use proptest::sample::{select, subsequence};
use serde_json::json;
use std::collections::BTreeMap;

const ROLES: [&str; 3] = ["viewer", "developer", "oncall"];
const PATTERNS: [&str; 8] = ["crm.get_user", "crm.*", "*.delete_*", "files.read", "*.*", "f*.re?d", "crm.get_*", "c*"];
const TOOLS: [&str; 6] =
    ["crm.get_user", "crm.delete_user", "files.read", "files.write", "other.get_user", "crm.Get_user"];
const RESOURCE_PATTERNS: [&str; 8] = [
    "crm.*",
    "*.*",
    "crm.file:///srv/*",
    "*.file:///etc/*",
    "files.file:///etc/passwd",
    "f?les.users://ada@*",
    "crm.file:///srv/%2e%2e/etc",
    "*.FILE:///srv/a b",
];
const URIS: [&str; 7] = [
    "file:///srv/a",
    "file:///srv/a%20b",
    "file:///Etc/passwd",
    "file:///etc/passwd",
    "file:///etc/passwd?x=1",
    "users://ada%40example.com",
    "users://ADA@x",
];
/// As `reference` knows: which of the URIs can be read in two ways.
pub(super) const AMBIGUOUS: [&str; 7] = [
    "file:///srv/../etc/passwd",
    "file:///srv/%2e%2e/etc",
    "file:////etc/passwd",
    "FILE:///etc/passwd",
    "file:///%65tc/passwd",
    "file:///srv/a\\b",
    "memo://1.file:///etc/x",
];
pub(super) const ARGUMENTS: [&str; 12] = [
    "{}",
    "",
    r#"{"n":3}"#,
    r#"{"n":7,"p":"/srv/a"}"#,
    r#"{"n":"7","p":["/srv/a"]}"#,
    r#"{"n":9007199254740993,"p":"/etc"}"#,
    r#"{"n":null,"p":null}"#,
    r#"{"n":7,"n":3}"#,
    r#"{"n":5.5,"p":"/srv/abc"}"#,
    r#"{"n":1e400}"#,
    "[]",
    "{",
];

pub(super) fn inventory() -> Inventory {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Inventory { upstreams: set(&["crm", "files"]), endpoints: set(&["work", "all"]) }
}

fn some_of(names: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let chosen = subsequence(names, 1..=names.len());
    option::weighted(0.3, chosen.prop_map(|names| names.into_iter().map(str::to_owned).collect()))
}

fn constraint() -> impl Strategy<Value = (String, ArgumentDocument)> {
    let constraints = [
        ("n", json!({ "min": 5 })),
        ("n", json!({ "max": 5.5 })),
        ("n", json!({ "equals": 7 })),
        ("p", json!({ "equals": "/srv/a" })),
        ("p", json!({ "prefix": "/srv" })),
        ("p", json!({ "max_len": 6 })),
        ("n", json!({ "one_of": [7, 5.5] })),
        ("n", json!({ "min": 4, "one_of": [3, 7] })),
        ("p", json!({ "one_of": ["/srv/a", "/etc", null] })),
        ("p", json!({ "pattern": PATTERN })),
        ("p", json!({ "type": "path", "prefix": "/srv/" })),
    ];
    let read =
        |(name, document): (&str, serde_json::Value)| (name.to_owned(), serde_json::from_value(document).unwrap());
    select(constraints.map(read).to_vec())
}

const SEVERITIES: [Severity; 4] = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
const CLASSES: [Class; 3] = [Class::Read, Class::Write, Class::Destructive];

/// Exactly, at least, at most.
type Severities = (Option<Severity>, Option<Severity>, Option<Severity>);

fn severities() -> impl Strategy<Value = Severities> {
    let one = || select(SEVERITIES.to_vec());
    option::weighted(0.3, (0..4_u8, one(), one())).prop_map(|chosen| match chosen {
        None => (None, None, None),
        Some((0, exact, _)) => (Some(exact), None, None),
        Some((1, min, _)) => (None, Some(min), None),
        Some((2, max, _)) => (None, None, Some(max)),
        Some((_, one, other)) => (None, Some(one.min(other)), Some(one.max(other))),
    })
}

pub(super) fn rule() -> impl Strategy<Value = RuleDocument> {
    let who = (some_of(&ROLES), some_of(&["ada", "bob"]), some_of(&["acme", "zeta"]), some_of(&["cli"]));
    let classes = option::weighted(0.3, subsequence(CLASSES.to_vec(), 1..=3));
    let about = (some_of(&PATTERNS[..7]), some_of(&PATTERNS[..7]), some_of(&RESOURCE_PATTERNS));
    let what = (about, classes, severities(), some_of(&["work", "all"]));
    let conditions = (
        option::weighted(0.4, constraint()),
        option::weighted(0.3, select(CONDITIONS.map(|(source, ..)| source.to_owned()).to_vec())),
    );
    let effect = select(vec![Effect::Allow, Effect::Allow, Effect::Review, Effect::Deny]);
    (effect, who, what, conditions).prop_map(|(effect, who, what, (constraint, when))| {
        let ((tools, prompts, resources), classes, (severity, mut min_severity, max_severity), endpoints) = what;
        if effect == Effect::Allow && max_severity.is_none() {
            min_severity = None;
        }
        let names_none = tools.is_none() && prompts.is_none() && resources.is_none();
        let says_none = names_none && classes.is_none() && severity.is_none() && max_severity.is_none();
        let all = (effect == Effect::Allow && says_none).then(|| vec!["*.*".to_owned()]);
        RuleDocument {
            id: String::new(),
            effect,
            tools: tools.or(all),
            prompts,
            resources,
            classes,
            severity,
            min_severity,
            max_severity,
            endpoints,
            roles: who.0,
            users: who.1,
            tenants: who.2,
            agents: who.3,
            args: constraint.into_iter().collect(),
            when,
            approvers: None,
            ttl: None,
            quorum: None,
            wait: None,
            reason: None,
        }
    })
}

fn access() -> impl Strategy<Value = AccessDocument> {
    let levels = select(vec![Level::Disabled, Level::Read, Level::Write, Level::Destroy]);
    let upstreams = subsequence(vec!["crm", "files", "*", "o*"], 1..=2);
    (subsequence(ROLES.to_vec(), 1..=2), upstreams, levels).prop_map(|(roles, upstreams, level)| AccessDocument {
        roles: roles.into_iter().map(str::to_owned).collect(),
        upstreams: upstreams.into_iter().map(str::to_owned).collect(),
        level,
    })
}

fn tool() -> impl Strategy<Value = ToolDocument> {
    (select(PATTERNS[..7].to_vec()), select(CLASSES.to_vec()), option::of(select(SEVERITIES.to_vec()))).prop_map(
        |(pattern, class, severity)| ToolDocument {
            pattern: pattern.to_owned(),
            class,
            severity,
            pii: false,
            mode: None,
            idempotent: false,
            attempts: None,
            dry_run: None,
            dry_run_required: false,
        },
    )
}

const SCOPES: [&str; 3] = ["s:read", "s:write", "s:admin"];

fn scope() -> impl Strategy<Value = ScopeDocument> {
    let about = (some_of(&PATTERNS[..7]), some_of(&PATTERNS[..7]), some_of(&RESOURCE_PATTERNS));
    let what = (option::weighted(0.3, subsequence(CLASSES.to_vec(), 1..=3)), some_of(&["work", "all"]));
    (select(SCOPES.to_vec()), about, what).prop_map(|(scope, (tools, prompts, resources), (classes, endpoints))| {
        let scope = scope.to_owned();
        let none = tools.is_none() && prompts.is_none() && resources.is_none() && classes.is_none();
        // An entry for nothing includes: what it includes has an entry, since it is the same scope's.
        let (includes, endpoints) = if none { (vec![scope.clone()], None) } else { (Vec::new(), endpoints) };
        ScopeDocument { scope, tools, prompts, resources, classes, endpoints, includes, initial: false }
    })
}

/// Entries, and between those that are there: admin stands for write, write for read.
fn scopes() -> impl Strategy<Value = Vec<ScopeDocument>> {
    proptest::collection::vec(scope(), 0..4).prop_map(|mut entries| {
        let declared: Vec<String> = entries.iter().map(|entry| entry.scope.clone()).collect();
        for entry in &mut entries {
            let below = match entry.scope.as_str() {
                "s:admin" => "s:write",
                "s:write" => "s:read",
                _ => continue,
            };
            if declared.iter().any(|scope| scope == below) {
                entry.includes.push(below.to_owned());
            }
        }
        entries
    })
}

pub(super) fn policy() -> impl Strategy<Value = PolicyDocument> {
    let inherits = (subsequence(vec!["viewer"], 0..=1), subsequence(vec!["viewer", "developer"], 0..=2));
    let lists = (
        proptest::collection::vec(tool(), 0..4),
        proptest::collection::vec(access(), 0..3),
        proptest::collection::vec(rule(), 0..8),
        scopes(),
    );
    (inherits, lists).prop_map(|((developer, oncall), (tools, access, mut rules, scopes))| {
        let role = |inherits: Vec<&str>| RoleDocument { inherits: inherits.into_iter().map(str::to_owned).collect() };
        let roles = [("viewer", vec![]), ("developer", developer), ("oncall", oncall)];
        let roles = roles.map(|(name, inherits)| (name.to_owned(), role(inherits)));
        for (position, rule) in rules.iter_mut().enumerate() {
            rule.id = format!("r{}", (position * 7) % 11);
        }
        PolicyDocument { version: 1, roles: BTreeMap::from(roles), tools, access, rules, scopes, ..Default::default() }
    })
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let roles = subsequence(vec!["viewer", "developer", "oncall", "admin", "Viewer"], 0..=2);
    let scopes = subsequence(SCOPES.to_vec(), 0..=2);
    let roles = (roles, scopes);
    let who = (roles, select(vec!["ada", "bob"]), option::of(select(vec!["acme", "zeta"])), option::of(Just("cli")));
    let arguments = option::weighted(0.8, select(ARGUMENTS.to_vec()));
    (who, asked(), arguments, select(vec!["work", "all"])).prop_map(|(who, (kind, tool), arguments, endpoint)| {
        let ((roles, scopes), subject, tenant, agent) = who;
        let principal = Principal {
            tenant: tenant.map(str::to_owned),
            agent: agent.map(str::to_owned),
            roles: roles.into_iter().map(str::to_owned).collect(),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            ..Principal::new("https://idp.example", subject)
        };
        Case { principal, kind, tool, arguments, endpoint }
    })
}

/// Tools and prompts by name, resources by URI.
fn asked() -> impl Strategy<Value = (Kind, ToolName)> {
    let uris: Vec<&str> = URIS.into_iter().chain(AMBIGUOUS).collect();
    let resource = (select(vec!["crm", "files", "other"]), select(uris));
    (select(vec![Kind::Tool, Kind::Prompt, Kind::Resource]), select(TOOLS.to_vec()), resource).prop_map(
        |(kind, name, (upstream, uri))| match kind {
            Kind::Resource => (kind, ToolName::new(upstream, uri)),
            Kind::Tool | Kind::Prompt => (kind, ToolName::parse(name).unwrap()),
        },
    )
}
