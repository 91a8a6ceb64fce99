//! What policy says of prompts and resources, and how it reads a URI.

use super::{ask, compile, principal};
use crate::policy::document::{Effect, PolicyDocument};
use crate::policy::tests::reference::Case;
use crate::policy::{decide, explain};
use crate::tool::{Kind, ToolName};
use serde_json::{Value, json};

fn document(parts: Value) -> PolicyDocument {
    let mut document = parts;
    document["version"] = json!(1);
    document["roles"] = json!({ "viewer": {} });
    serde_json::from_value(document).unwrap()
}

fn case(kind: Kind, name: &str) -> Case {
    let tool = ToolName::parse(name).unwrap();
    Case { principal: principal(&["viewer"]), kind, tool, arguments: Some("{}"), endpoint: "work" }
}

/// The effect, and the rule that is named for it.
fn said(document: &PolicyDocument, kind: Kind, name: &str) -> String {
    let decision = ask(&compile(document), &case(kind, name), decide);
    format!("{} {}", decision.effect.as_str(), decision.rule)
}

#[test]
fn a_level_of_access_opens_prompts_and_resources_too() {
    let access = |level| document(json!({ "access": [{ "roles": ["viewer"], "upstreams": ["crm"], "level": level }] }));
    for (level, expected) in [
        ("read", "allow access[0]"),
        ("write", "allow access[0]"),
        ("destroy", "allow access[0]"),
        ("disabled", "deny access[0]"),
    ] {
        assert_eq!(said(&access(level), Kind::Prompt, "crm.summarise"), expected, "{level}");
        assert_eq!(said(&access(level), Kind::Resource, "crm.memo://1"), expected, "{level}");
        assert_eq!(said(&access(level), Kind::Resource, "files.memo://1"), "deny default", "{level}");
    }
    assert_eq!(said(&access("read"), Kind::Tool, "crm.get_user"), "deny default", "a tool is what `tools` says it is");
}

#[test]
fn a_rule_speaks_of_the_kinds_that_it_selects() {
    let rule =
        |key: &str, pattern: &str| document(json!({ "rules": [{ "id": "r", "effect": "allow", key: [pattern] }] }));
    for (key, pattern, allowed) in [
        ("tools", "*.*", Kind::Tool),
        ("prompts", "*.*", Kind::Prompt),
        ("resources", "*.*", Kind::Resource),
        ("tools", "crm.memo", Kind::Tool),
        ("prompts", "crm.m*", Kind::Prompt),
        ("resources", "crm.memo", Kind::Resource),
    ] {
        for kind in Kind::ALL {
            let expected = if kind == allowed { "allow r" } else { "deny default" };
            assert_eq!(said(&rule(key, pattern), kind, "crm.memo"), expected, "{key}: {pattern}, asked of a {kind:?}");
        }
    }
    let all = document(json!({
        "access": [{ "roles": ["viewer"], "upstreams": ["*"], "level": "destroy" }],
        "rules": [{ "id": "nobody", "effect": "deny", "users": ["ada"] }],
    }));
    let severe = document(json!({ "rules": [{ "id": "low", "effect": "allow", "max_severity": "low" }] }));
    for kind in Kind::ALL {
        assert_eq!(said(&all, kind, "crm.memo"), "deny nobody", "a rule without selectors speaks of every kind");
        let expected = if kind == Kind::Tool { "deny default" } else { "allow low" };
        assert_eq!(said(&severe, kind, "crm.memo"), expected);
    }
}

#[test]
fn the_kind_is_known_to_conditions() {
    let document = document(json!({ "rules": [
        { "id": "prompts", "effect": "allow", "max_severity": "low", "when": "tool.kind == 'prompt' && tool.class == 'read'" },
        { "id": "with-name", "effect": "deny", "when": "tool.kind == 'prompt' && args.name == 'x'" },
    ] }));
    assert_eq!(said(&document, Kind::Prompt, "crm.memo"), "deny with-name", "a missing argument is a fault");
    assert_eq!(said(&document, Kind::Resource, "crm.memo:1"), "deny default");
    let mut named = case(Kind::Prompt, "crm.memo");
    named.arguments = Some(r#"{"name":"y"}"#);
    assert_eq!(ask(&compile(&document), &named, decide).effect, Effect::Allow);
}

#[test]
fn no_spelling_of_a_uri_slips_into_an_allowed_prefix() {
    let allow =
        document(json!({ "rules": [{ "id": "r", "effect": "allow", "resources": ["crm.file:///srv/docs/*"] }] }));
    for (uri, expected) in [
        ("crm.file:///srv/docs/a/b.txt", "allow r"),
        ("crm.file:///srv/docs/{name}", "allow r"),
        ("files.file:///srv/docs/a", "deny default"),
        ("crm.x.file:///srv/docs/a", "deny default"),
        ("crm.file:///srv/Docs/a", "deny default"),
        ("crm.file:///srv/docs/../../etc/passwd", "deny default"),
        ("crm.file:///srv/docs/%2e%2e/%2E%2e/etc/passwd", "deny default"),
        ("crm.file:///srv/docs/..%2f..%2fetc/passwd", "deny default"),
        ("crm.file:///srv/docs/%252e%252e/etc", "deny default"),
        ("crm.file:///srv/docs/..\\..\\etc", "deny default"),
        ("crm.file:///srv/docs/a\0.txt", "deny default"),
        ("crm.file:///srv/docs/\u{ff0e}\u{ff0e}/etc", "deny default"),
        ("crm.file:///srv/docs//etc", "deny default"),
    ] {
        assert_eq!(said(&allow, Kind::Resource, uri), expected, "{uri:?}");
    }
}

#[test]
fn a_uri_that_is_named_exactly_or_by_its_upstream_alone_may_be_odd() {
    let odd = "crm.repo://acme%2Fportal/..";
    for (pattern, expected) in [
        ("crm.*", "allow r"),
        ("*.*", "allow r"),
        (odd, "allow r"),
        ("crm.repo://*", "deny default"),
        ("crm.**", "deny default"),
        ("files.*", "deny default"),
    ] {
        let allow = document(json!({ "rules": [{ "id": "r", "effect": "allow", "resources": [pattern] }] }));
        assert_eq!(said(&allow, Kind::Resource, odd), expected, "{pattern}");
    }
}

#[test]
fn no_spelling_of_a_uri_escapes_a_rule_that_forbids_it() {
    for effect in ["deny", "review"] {
        let document = document(json!({
            "access": [{ "roles": ["viewer"], "upstreams": ["*"], "level": "read" }],
            "rules": [
                { "id": "etc", "effect": effect, "resources": ["crm.file:///etc/*", "crm.users://root@*"] },
                { "id": "one", "effect": effect, "resources": ["crm.memo://secret"] },
            ],
        }));
        for (uri, rule) in [
            ("crm.file:///etc/passwd", "etc"),
            ("crm.FILE:///etc/passwd", "etc"),
            ("crm.file:///ETC/passwd", "etc"),
            ("crm.file:///%65tc/passwd", "etc"),
            ("crm.file:////etc/passwd", "etc"),
            ("crm.file:/etc/passwd", "etc"),
            ("crm.file://localhost/etc/passwd", "etc"),
            ("crm.file:///srv/../etc/passwd", "etc"),
            ("crm./etc/passwd", "etc"),
            ("crm.users://root%40x", "etc"),
            ("crm.memo://SECRET", "one"),
            ("crm.memo://secret?x=1", "one"),
            ("crm.memo://secret#x", "one"),
        ] {
            assert_eq!(said(&document, Kind::Resource, uri), format!("{effect} {rule}"), "{uri}");
        }
        for uri in ["files.file:///etc/passwd", "crm.file:///srv/a", "crm.memo://secrets", "files./etc/passwd"] {
            assert_eq!(said(&document, Kind::Resource, uri), "allow access[0]", "{uri}");
        }
    }
}

#[test]
fn a_condition_on_the_name_does_not_guess_what_an_odd_uri_means() {
    let when = "tool.kind == 'resource' && tool.name.startsWith('crm.file:///srv/')";
    let document = |effect| {
        document(json!({
            "access": [{ "roles": ["viewer"], "upstreams": ["files"], "level": "read" }],
            "rules": [{ "id": "r", "effect": effect, "max_severity": "low", "when": when }],
        }))
    };
    assert_eq!(said(&document("allow"), Kind::Resource, "crm.file:///srv/a"), "allow r");
    assert_eq!(said(&document("allow"), Kind::Resource, "crm.file:///srv/../etc"), "deny default");
    assert_eq!(said(&document("deny"), Kind::Resource, "files.file:///srv/../etc"), "deny r");
    assert_eq!(said(&document("allow"), Kind::Prompt, "crm.file:///srv/../etc"), "deny default");
}

#[test]
fn an_explanation_says_what_was_asked_for() {
    let document = document(json!({ "rules": [
        { "id": "a", "effect": "allow", "tools": ["*.*"], "prompts": ["*.*"] },
        { "id": "b", "effect": "allow", "resources": ["crm.memo://1", "crm.memo://2"] },
        { "id": "c", "effect": "review", "resources": ["crm.memo://*"] },
    ] }));
    let explanation = ask(&compile(&document), &case(Kind::Resource, "crm.memo://3/.."), explain);
    let expected = "review by c\n  resource crm.memo://3/.. (read, low)\n  roles  viewer\n  agree  nobody may\n\
                    + review c  the URI holds `.` or `..`; a review rule then matches\n\
                    - allow  a  it speaks of tools and prompts alone\n\
                    - allow  b  the URI holds `.` or `..`\n";
    assert_eq!(explanation.to_string(), expected);
    assert_eq!(serde_json::to_value(explanation).unwrap()["kind"], "resource");
    let explanation = ask(&compile(&document), &case(Kind::Resource, "crm.memo:3"), explain);
    assert_eq!(explanation.examined[2].reason, "the resource is none of crm.memo://1, crm.memo://2");
}
