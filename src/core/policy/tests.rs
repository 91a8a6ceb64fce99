//! What holds for every policy and every request: the compiled policy against the naive one of `reference`, and the
//! properties that operators rely on.

mod again;
mod kinds;
mod reference;
mod scopes;

use crate::policy::document::{
    AccessDocument, ArgumentDocument, Effect, Level, PolicyDocument, RoleDocument, RuleDocument, ScopeDocument,
    ToolDocument,
};
use crate::policy::{
    AccessRequest, Arguments, CallArguments, Context, Decision, Inventory, PolicySet, decide, explain,
};
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::tool::{Class, Kind, Severity, ToolName};
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::sample::{select, subsequence};
use reference::{CONDITIONS, Case, PATTERN};
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
const AMBIGUOUS: [&str; 7] = [
    "file:///srv/../etc/passwd",
    "file:///srv/%2e%2e/etc",
    "file:////etc/passwd",
    "FILE:///etc/passwd",
    "file:///%65tc/passwd",
    "file:///srv/a\\b",
    "memo://1.file:///etc/x",
];
const ARGUMENTS: [&str; 12] = [
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

fn inventory() -> Inventory {
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

fn rule() -> impl Strategy<Value = RuleDocument> {
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

fn policy() -> impl Strategy<Value = PolicyDocument> {
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

fn case() -> impl Strategy<Value = Case> {
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

fn compile(document: &PolicyDocument) -> PolicySet {
    PolicySet::compile(document, &inventory()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Asks `policy` about `case`.
fn ask<T>(policy: &PolicySet, case: &Case, answer: impl FnOnce(&PolicySet, &AccessRequest<'_>, Timestamp) -> T) -> T {
    let roles = policy.roles(&case.principal);
    let context = Context { endpoint: case.endpoint, method: case.kind.method(), protocol: "2026-07-28", client: None };
    let arguments = CallArguments::new(case.arguments.unwrap_or_default().as_bytes());
    let request = AccessRequest {
        principal: &case.principal,
        roles: &roles,
        kind: case.kind,
        tool: &case.tool,
        arguments: case.arguments.map_or(Arguments::Any, |_| Arguments::Of(&arguments)),
        context: &context,
    };
    answer(policy, &request, Timestamp::from_secs(1_700_000_000))
}

fn decision(document: &PolicyDocument, case: &Case) -> Decision {
    ask(&compile(document), case, decide)
}

/// How many requests each random policy is asked about.
const REQUESTS: usize = 50;

/// So many pairs of policy and request; `make test` sets a million.
fn pairs() -> ProptestConfig {
    let pairs = std::env::var("PORTCULLIS_PAIRS").map_or(35_000, |pairs| pairs.parse().unwrap());
    ProptestConfig { cases: (pairs / REQUESTS).try_into().unwrap(), failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(pairs())]

    #[test]
    fn the_compiled_policy_decides_as_the_naive_one(
        document in policy(),
        cases in proptest::collection::vec(case(), REQUESTS),
    ) {
        let policy = compile(&document);
        for case in cases {
            let decision = ask(&policy, &case, decide);
            prop_assert_eq!((decision.effect, decision.rule.to_string()), reference::decide(&document, &case));
            prop_assert_eq!(&decision.scopes, &reference::lacking(&document, &case));
            let allows = decision.effect == Effect::Allow && decision.scopes.is_empty();
            prop_assert_eq!(decision.permit().is_some(), allows);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 700, failure_persistence: None, ..Default::default() })]


    #[test]
    fn an_explanation_is_of_the_same_decision(document in policy(), case in case()) {
        let policy = compile(&document);
        let (decision, explanation) = (ask(&policy, &case, decide), ask(&policy, &case, explain));
        prop_assert_eq!(decision.effect, explanation.effect);
        prop_assert_eq!(&*decision.rule, &explanation.rule);
        let first = explanation.examined.iter().find(|examined| examined.matched);
        prop_assert_eq!(first.map_or("default", |examined| &examined.id), &*decision.rule);
        prop_assert_eq!(decision.scopes.is_empty(), decision.effect == Effect::Deny || explanation.lacking.is_empty());
        prop_assert_eq!(explanation.examined.len(), document.rules.len() + document.access.len());
    }

    #[test]
    fn case_103_the_order_of_rules_does_not_matter(document in policy(), case in case(), turn in 0..8_usize) {
        let before = decision(&document, &case);
        let mut turned = document.clone();
        turned.rules.reverse();
        let turn = turn.min(turned.rules.len());
        turned.rules.rotate_left(turn);
        prop_assert_eq!(&decision(&turned, &case), &before);
        turned.access.reverse();
        prop_assert_eq!(decision(&turned, &case).effect, before.effect);
    }

    #[test]
    fn a_tool_that_some_call_may_use_is_visible(document in policy(), case in case()) {
        let policy = compile(&document);
        let visible = ask(&policy, &Case { arguments: None, ..case.clone() }, decide).effect != Effect::Deny;
        for arguments in ARGUMENTS {
            let call = ask(&policy, &Case { arguments: Some(arguments), ..case.clone() }, decide);
            prop_assert!(visible || call.effect == Effect::Deny, "{arguments}: {call:?}");
        }
    }

    #[test]
    fn a_further_deny_rule_never_opens_anything(document in policy(), case in case(), extra in rule()) {
        let before = decision(&document, &case).effect;
        let mut stricter = document;
        stricter.rules.push(RuleDocument { id: "extra".into(), effect: Effect::Deny, ..extra });
        let after = decision(&stricter, &case).effect;
        prop_assert!(after == before || after == Effect::Deny);
    }

    #[test]
    fn case_104_without_a_declared_role_access_gives_nothing(document in policy(), case in case()) {
        let document = PolicyDocument { rules: Vec::new(), ..document };
        let mut case = case;
        case.principal.roles = ["admin".to_owned(), "Viewer".to_owned(), "*".to_owned()].into();
        let decision = decision(&document, &case);
        prop_assert_eq!((decision.effect, &*decision.rule), (Effect::Deny, "default"));
    }
}

fn principal(roles: &[&str]) -> Principal {
    Principal { roles: roles.iter().map(|role| (*role).to_owned()).collect(), ..Principal::new("i", "ada") }
}

/// A case that a policy is asked about, and what it must say.
fn check(document: serde_json::Value, roles: &[&str], tool: &str, arguments: Option<&'static str>, expected: &str) {
    let mut document = document;
    document["version"] = json!(1);
    document["roles"] = json!({ "viewer": {}, "oncall": { "inherits": ["viewer"] } });
    let document: PolicyDocument = serde_json::from_value(document).unwrap();
    let principal = principal(roles);
    let case = Case { principal, kind: Kind::Tool, tool: ToolName::parse(tool).unwrap(), arguments, endpoint: "work" };
    let decision = decision(&document, &case);
    assert_eq!(format!("{} {}", decision.effect.as_str(), decision.rule), expected, "{document:#?}\n{case:?}");
}

#[test]
fn case_104_an_empty_policy_denies() {
    let case = |roles: &[&str]| check(json!({}), roles, "crm.get_user", Some("{}"), "deny default");
    case(&[]);
    case(&["oncall"]);
    case(&["admin"]);
}

#[test]
fn a_destructive_tool_is_denied_unless_something_speaks_of_it() {
    let access = |level| json!({ "access": [{ "roles": ["viewer"], "upstreams": ["*"], "level": level }] });
    for (level, expected) in [
        ("read", "deny default"),
        ("write", "deny default"),
        ("destroy", "allow access[0]"),
        ("disabled", "deny access[0]"),
    ] {
        check(access(level), &["oncall"], "crm.delete_user", Some("{}"), expected);
    }
    let rule = json!({ "rules": [{ "id": "d", "effect": "allow", "classes": ["destructive"] }] });
    check(rule, &[], "crm.anything_unclassified", Some("{}"), "allow d");
}

#[test]
fn case_90_a_pattern_says_which_tools_it_means() {
    let rule = json!({ "rules": [{ "id": "r", "effect": "allow", "tools": ["crm.read_?"] }] });
    for (tool, expected) in [
        ("crm.read_a", "allow r"),
        ("crm.read_file_and_delete", "deny default"),
        ("crm.Read_a", "deny default"),
        ("crm.read_a ", "deny default"),
        ("crm.r\u{435}ad_a", "deny default"),
        ("xcrm.read_a", "deny default"),
    ] {
        check(rule.clone(), &[], tool, Some("{}"), expected);
    }
}

#[test]
fn a_false_constraint_outweighs_one_that_fails() {
    let rule = |effect| {
        json!({ "rules": [
            { "id": "r", "effect": effect, "tools": ["*.*"], "args": { "a": { "equals": 1 }, "b": { "equals": 1 } } },
        ] })
    };
    for (arguments, deny, allow) in [
        (r#"{"a":1,"b":1}"#, "deny r", "allow r"),
        (r#"{"a":1}"#, "deny r", "deny default"),
        (r#"{"a":2}"#, "deny default", "deny default"),
        (r#"{"b":2}"#, "deny default", "deny default"),
        ("{}", "deny r", "deny default"),
        (r#"{"a":1,"b":1,"b":1}"#, "deny r", "deny default"),
    ] {
        check(rule("deny"), &[], "crm.a", Some(arguments), deny);
        check(rule("allow"), &[], "crm.a", Some(arguments), allow);
    }
}

#[test]
fn an_explanation_reads_well_and_serialises() {
    let document = json!({
        "version": 1,
        "roles": { "viewer": {} },
        "tools": [{ "match": "files.read", "class": "read" }],
        "access": [{ "roles": ["viewer"], "upstreams": ["files"], "level": "read" }],
        "rules": [
            { "id": "docs", "effect": "review", "tools": ["files.read"], "approvers": ["viewer"], "ttl": "15m",
              "args": { "p": { "type": "path", "prefix": "/srv/docs/" } } },
            { "id": "big", "effect": "deny", "when": "args.n > 5" },
        ],
    });
    let policy = compile(&serde_json::from_value(document).unwrap());
    let principal = principal(&["viewer"]);
    let tool = ToolName::new("files", "read");
    let mut case =
        Case { principal, kind: Kind::Tool, tool, arguments: Some(r#"{"n":1,"p":"/srv/docs/a"}"#), endpoint: "work" };
    let text = ask(&policy, &case, explain).to_string();
    let expected = "review by docs\n  tool   files.read (read, low)\n  roles  viewer\n  agree  viewer\n  open   15m\n\
                    - deny   big        it is not true that args.n > 5\n\
                    + review docs       all that it states is true\n\
                    + allow  access[0]  all that it states is true\n";
    assert_eq!(text, expected);
    case.arguments = Some(r#"{"p":7}"#);
    let value = serde_json::to_value(ask(&policy, &case, explain)).unwrap();
    assert_eq!(value["effect"], "deny");
    assert_eq!(
        value["examined"][0]["reason"],
        "the condition args.n > 5 can't be judged: there is no `n`; a deny rule then matches"
    );
    assert_eq!(value["examined"][1]["reason"], "the argument `p` is not text; a review rule then matches");
}

#[test]
fn a_decision_changed_by_hand_permits_nothing() {
    let document = PolicyDocument { version: 1, ..Default::default() };
    let case = Case {
        principal: principal(&["viewer"]),
        kind: Kind::Tool,
        tool: ToolName::new("files", "read"),
        arguments: Some("{}"),
        endpoint: "work",
    };
    let mut decision = decision(&document, &case);
    decision.effect = Effect::Allow;
    assert_eq!(decision.permit(), None);
}

#[test]
fn a_policy_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<PolicySet>();
    shared::<CallArguments<'static>>();
    shared::<Decision>();
}
