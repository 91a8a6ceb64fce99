//! What a policy is refused for. Each case is one fault in an otherwise good policy.

use super::*;
use serde_json::{Value, json};

fn inventory() -> Inventory {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Inventory { upstreams: set(&["crm", "files"]), endpoints: set(&["work", "files"]) }
}

fn compile(document: Value) -> Result<PolicySet, Vec<Problem>> {
    PolicySet::compile(&serde_json::from_value(document).unwrap(), &inventory())
}

/// A policy with nothing wrong in it but `rule`.
fn with_rule(mut rule: Value) -> Value {
    let rule = rule.as_object_mut().unwrap();
    for (key, value) in [("id", json!("r")), ("effect", json!("review"))] {
        rule.entry(key).or_insert(value);
    }
    json!({ "version": 1, "roles": { "viewer": {}, "oncall": { "inherits": ["viewer"] } }, "rules": [rule] })
}

/// `path: message (hint)` of each problem.
fn problems(document: Value) -> Vec<String> {
    let problems = compile(document).err().unwrap_or_default();
    let line = |problem: &Problem| {
        format!("{}: {} ({})", problem.path, problem.message, problem.hint.as_deref().unwrap_or_default())
    };
    problems.iter().map(line).collect()
}

#[test]
fn a_rule_with_a_fault_is_refused_where_it_is() {
    for (rule, path, words) in [
        (json!({ "id": "" }), "rules[0].id", "empty"),
        (json!({ "id": "default" }), "rules[0].id", "without a rule"),
        (json!({ "id": "access[0]" }), "rules[0].id", "without a rule"),
        (json!({ "tools": [] }), "rules[0].tools", "empty list"),
        (json!({ "tools": ["get"] }), "rules[0].tools[0]", "`upstream.tool`"),
        (json!({ "tools": ["*"] }), "rules[0].tools[0]", "`*.*`"),
        (json!({ "tools": ["crm.get", "cmr.get_*"] }), "rules[0].tools[1]", "did you mean `crm`?"),
        (json!({ "tools": ["Crm.get"] }), "rules[0].tools[0]", "did you mean `crm`?"),
        (json!({ "tools": ["crm."] }), "rules[0].tools[0]", "matches no tool"),
        (json!({ "prompts": [] }), "rules[0].prompts", "empty list"),
        (json!({ "prompts": ["summarise"] }), "rules[0].prompts[0]", "`upstream.prompt`"),
        (json!({ "resources": ["*"] }), "rules[0].resources[0]", "`*.*`"),
        (json!({ "resources": ["file:///srv/a.txt"] }), "rules[0].resources[0]", "names no upstream"),
        (json!({ "resources": ["cmr.file:///srv/*"] }), "rules[0].resources[0]", "did you mean `crm`?"),
        (json!({ "classes": [] }), "rules[0].classes", "empty list"),
        (json!({ "endpoints": ["play"] }), "rules[0].endpoints[0]", "no endpoint `play`"),
        (json!({ "roles": [] }), "rules[0].roles", "empty list"),
        (json!({ "roles": ["veiwer"] }), "rules[0].roles[0]", "did you mean `viewer`?"),
        (json!({ "roles": ["Viewer"] }), "rules[0].roles[0]", "did you mean `viewer`?"),
        (json!({ "roles": ["*"] }), "rules[0].roles[0]", "no role `*`"),
        (json!({ "users": [" "] }), "rules[0].users[0]", "empty name"),
        (json!({ "tenants": [] }), "rules[0].tenants", "empty list"),
        (json!({ "agents": [] }), "rules[0].agents", "empty list"),
        (json!({ "approvers": ["boss"] }), "rules[0].approvers[0]", "no role `boss`"),
        (json!({ "effect": "deny", "approvers": ["oncall"] }), "rules[0].approvers", "means nothing"),
        (json!({ "effect": "deny", "ttl": "15m" }), "rules[0].ttl", "means nothing"),
        (json!({ "ttl": "0s" }), "rules[0].ttl", "at once"),
        (json!({ "severity": "low", "min_severity": "low" }), "rules[0].severity", "write either"),
        (json!({ "min_severity": "high", "max_severity": "low" }), "rules[0].min_severity", "swap"),
        (json!({ "effect": "allow", "roles": ["viewer"] }), "rules[0]", "allows every tool"),
        (json!({ "effect": "allow", "min_severity": "low" }), "rules[0].min_severity", "everything worse"),
        (json!({ "args": { "path": {} } }), "rules[0].args.path", "nothing is stated"),
        (json!({ "args": { "n": { "type": "path", "min": 1 } } }), "rules[0].args.n", "text and a number"),
        (json!({ "args": { "a": { "pattern": "(" } } }), "rules[0].args.a.pattern", "unclosed group"),
        (json!({ "when": "args.n >" }), "rules[0].when", "line 1, column 9"),
        (json!({ "when": "args.a &&\n  arg.b" }), "rules[0].when", "line 2, column 3: there is no variable `arg`"),
    ] {
        let found = problems(with_rule(rule.clone()));
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{path}: ")) && found[0].contains(words),
            "{rule}: {found:?}"
        );
        assert_eq!(compile(with_rule(rule.clone())).unwrap_err()[0].rule.is_some(), rule["id"] != "", "{rule}");
    }
}

#[test]
fn a_fault_outside_the_rules_is_refused_where_it_is() {
    for (part, path, words) in [
        (json!({ "version": 2 }), "version", "write `version: 1`"),
        (json!({ "version": 0 }), "version", "version 0 is unknown"),
        (json!({ "roles": { "a": { "inherits": ["b"] } } }), "roles.a.inherits[0]", "no role `b`"),
        (json!({ "roles": { "a": { "inherits": ["a"] } } }), "roles.a.inherits", "circle: `a`"),
        (
            json!({ "roles": { "c": { "inherits": ["b"] }, "b": { "inherits": ["a"] }, "a": { "inherits": ["b"] } } }),
            "roles.a.inherits",
            "circle: `a`, `b`",
        ),
        (json!({ "tools": [{ "match": "get", "class": "read" }] }), "tools[0].match", "names no upstream"),
        (json!({ "tools": [{ "match": "file.get", "class": "read" }] }), "tools[0].match", "did you mean `files`?"),
        (
            json!({ "access": [{ "roles": ["a"], "upstreams": ["*"], "level": "read" }] }),
            "access[0].roles[0]",
            "no role `a`",
        ),
        (
            json!({ "roles": { "a": {} }, "access": [{ "roles": ["a"], "upstreams": ["x"], "level": "read" }] }),
            "access[0].upstreams[0]",
            "no upstream `x`",
        ),
        (
            json!({ "roles": { "a": {} }, "access": [{ "roles": ["a"], "upstreams": [], "level": "read" }] }),
            "access[0].upstreams",
            "empty list",
        ),
        (
            json!({ "limits": [{ "per": ["user"], "rate": "1/s", "roles": ["a"] }] }),
            "limits[0].roles[0]",
            "no role `a`",
        ),
        (
            json!({ "limits": [{ "per": ["user"], "rate": "1/s", "tools": ["x.y"] }] }),
            "limits[0].tools[0]",
            "no upstream",
        ),
        (json!({ "redaction": [{ "action": "mask", "roles": ["a"] }] }), "redaction[0].roles[0]", "no role `a`"),
        (json!({ "redaction": [{ "action": "mask", "tools": ["y"] }] }), "redaction[0].tools[0]", "names no upstream"),
    ] {
        let mut document = part.clone();
        document.as_object_mut().unwrap().entry("version").or_insert(json!(1));
        let found = problems(document);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{path}: ")) && found[0].contains(words),
            "{part}: {found:?}"
        );
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems(json!({
        "version": 3,
        "roles": { "a": { "inherits": ["nobody"] } },
        "rules": [
            { "id": "one", "effect": "allow", "tools": ["crm.*"], "when": "x == 1", "args": { "a": {} } },
            { "id": "one", "effect": "deny", "roles": ["b"] },
        ],
        "limits": [{ "per": [], "roles": ["c"] }],
    }));
    let paths: Vec<&str> = found.iter().map(|line| line.split(':').next().unwrap()).collect();
    let expected = [
        "version",
        "roles.a.inherits[0]",
        "rules[0].args.a",
        "rules[0].when",
        "rules[1].id",
        "rules[1].roles[0]",
        "limits[0].roles[0]",
    ];
    assert_eq!(paths, expected, "{found:#?}");
}

#[test]
fn a_role_includes_what_it_inherits_and_nothing_undeclared() {
    let policy = compile(json!({
        "version": 1,
        "roles": { "viewer": {}, "developer": { "inherits": ["viewer"] }, "oncall": { "inherits": ["developer"] } },
    }));
    let policy = policy.unwrap();
    assert_eq!(policy.known_roles().collect::<Vec<_>>(), ["developer", "oncall", "viewer"]);
    for (role, expected) in [
        ("viewer", "viewer"),
        ("developer", "developer viewer"),
        ("oncall", "developer oncall viewer"),
        ("Oncall", ""),
        ("admin", ""),
        ("*", ""),
    ] {
        let principal = crate::principal::Principal {
            roles: [role.to_owned()].into(),
            ..crate::principal::Principal::new("i", "s")
        };
        assert_eq!(policy.roles(&principal).iter().collect::<Vec<_>>().join(" "), expected, "{role}");
    }
}

#[test]
fn the_first_entry_that_matches_says_what_a_tool_is() {
    let policy = compile(json!({ "version": 1, "tools": [
        { "match": "crm.get_secret", "class": "read", "severity": "critical", "pii": true },
        { "match": "crm.get_*", "class": "read" },
        { "match": "crm.set_*", "class": "write" },
        { "match": "*.delete_*", "class": "destructive" },
        { "match": "crm.delete_draft", "class": "read" },
    ] }));
    let policy = policy.unwrap();
    for (tool, class, severity, pii, classified) in [
        ("crm.get_secret", Class::Read, Severity::Critical, true, true),
        ("crm.get_user", Class::Read, Severity::Low, false, true),
        ("crm.set_user", Class::Write, Severity::Medium, false, true),
        ("crm.delete_draft", Class::Destructive, Severity::High, false, true),
        ("crm.Get_user", Class::Destructive, Severity::High, false, false),
        ("files.get_user", Class::Destructive, Severity::High, false, false),
    ] {
        let expected = Traits { class, severity, pii, classified, ..Traits::READS };
        assert_eq!(policy.traits(&crate::tool::ToolName::parse(tool).unwrap()), expected, "{tool}");
    }
}
