//! What holds for every policy and every request: the compiled policy against the naive one of `reference`, and the
//! properties that operators rely on.

mod again;
mod kinds;
mod random;
mod reference;
mod scopes;

use crate::policy::document::{Effect, PolicyDocument, RuleDocument};
use crate::policy::{AccessRequest, Arguments, CallArguments, Context, Decision, PolicySet, decide, explain};
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::tool::{Kind, ToolName};
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use random::{ARGUMENTS, case, inventory, policy, rule};
use reference::Case;
use serde_json::json;

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
            let asking = if decision.effect == Effect::Review { reference::reviews(&document, &case) } else { Vec::new() };
            let demands: Vec<String> = decision.demands.iter().map(|demand| demand.rule.clone()).collect();
            prop_assert_eq!(demands, asking);
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
