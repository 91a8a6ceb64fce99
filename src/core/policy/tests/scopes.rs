//! What tokens need beside what policy allows.

use super::{ask, principal};
use crate::policy::document::PolicyDocument;
use crate::policy::tests::reference::Case;
use crate::policy::{Decision, Inventory, PolicySet, decide, explain};
use crate::tool::{Kind, ToolName};
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "version": 1,
        "roles": { "viewer": {}, "writer": {} },
        "tools": [
            { "match": "crm.get_*", "class": "read" },
            { "match": "crm.update_*", "class": "write" },
        ],
        "access": [
            { "roles": ["viewer"], "upstreams": ["crm"], "level": "read" },
            { "roles": ["writer"], "upstreams": ["*"], "level": "write" },
        ],
        "rules": [{ "id": "agree", "effect": "review", "tools": ["crm.update_price"] }],
        "scopes": [
            { "scope": "mcp:read", "classes": ["read"], "initial": true },
            { "scope": "mcp:write", "classes": ["write", "destructive"], "includes": ["mcp:read"] },
            { "scope": "crm:prices", "tools": ["crm.*price*"], "resources": ["crm.price:*"] },
            { "scope": "mcp:all", "includes": ["mcp:write", "crm:prices"] },
            { "scope": "files", "tools": ["files.*"], "endpoints": ["all"] },
        ],
    })
}

fn compile(document: Value) -> Result<PolicySet, Vec<String>> {
    let document: PolicyDocument = serde_json::from_value(document).unwrap();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let inventory = Inventory { upstreams: set(&["crm", "files"]), endpoints: set(&["work", "all"]) };
    let line = |problem: crate::problem::Problem| format!("{}: {}", problem.path, problem.message);
    PolicySet::compile(&document, &inventory).map_err(|problems| problems.into_iter().map(line).collect())
}

fn case(role: &str, scopes: &[&str], kind: Kind, name: &str) -> Case {
    let mut principal = principal(&[role]);
    principal.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Case { principal, kind, tool: ToolName::parse(name).unwrap(), arguments: Some("{}"), endpoint: "work" }
}

fn decision(role: &str, scopes: &[&str], kind: Kind, name: &str) -> Decision {
    ask(&compile(document()).unwrap(), &case(role, scopes, kind, name), decide)
}

#[test]
fn a_token_needs_the_scopes_of_what_it_is_used_for() {
    for (role, scopes, name, expected) in [
        ("viewer", &["mcp:read"][..], "crm.get_user", "allow"),
        ("viewer", &[], "crm.get_user", "allow, needs mcp:read"),
        ("viewer", &["MCP:READ", "mcp:rea", "mcp:read "], "crm.get_user", "allow, needs mcp:read"),
        ("viewer", &["mcp:write"], "crm.get_user", "allow"),
        ("viewer", &["mcp:all"], "crm.get_price", "allow"),
        ("viewer", &["mcp:read"], "crm.get_price", "allow, needs mcp:read crm:prices"),
        ("writer", &["mcp:read", "crm:prices"], "crm.update_user", "allow, needs mcp:write"),
        ("writer", &[], "crm.update_price", "review, needs mcp:write crm:prices"),
        ("writer", &["mcp:all"], "crm.update_price", "review"),
        // Whom policy denies is not told what to ask for.
        ("viewer", &[], "crm.update_user", "deny"),
        ("viewer", &["mcp:all"], "crm.update_user", "deny"),
        ("nobody", &[], "crm.get_user", "deny"),
    ] {
        let decision = decision(role, scopes, Kind::Tool, name);
        let needs =
            if decision.scopes.is_empty() { String::new() } else { format!(", needs {}", decision.scopes.join(" ")) };
        assert_eq!(format!("{}{needs}", decision.effect.as_str()), expected, "{role} {scopes:?} {name}");
        assert_eq!(decision.permit().is_some(), expected == "allow", "{role} {scopes:?} {name}");
    }
}

#[test]
fn prompts_and_resources_need_scopes_too_however_a_uri_is_written() {
    for (kind, name, expected) in [
        (Kind::Prompt, "crm.summarise", "mcp:read"),
        (Kind::Prompt, "crm.price", "mcp:read"),
        (Kind::Resource, "crm.memo:1", "mcp:read"),
        (Kind::Resource, "crm.price:1", "mcp:read crm:prices"),
        (Kind::Resource, "crm.PRICE:1", "mcp:read crm:prices"),
        (Kind::Resource, "crm.pric%65:1", "mcp:read crm:prices"),
        (Kind::Resource, "crm.x://../1", "mcp:read crm:prices"),
    ] {
        assert_eq!(decision("viewer", &[], kind, name).scopes.join(" "), expected, "{name}");
    }
}

#[test]
fn clients_are_told_the_scopes_of_their_endpoint_alone() {
    let policy = compile(document()).unwrap();
    let crm = ["crm".to_owned()];
    assert_eq!(policy.scopes("work", &crm), ["mcp:read", "mcp:write", "crm:prices", "mcp:all"]);
    let files = ["files".to_owned()];
    assert_eq!(policy.scopes("work", &files), ["mcp:read", "mcp:write", "mcp:all"]);
    assert_eq!(policy.scopes("all", &files), ["mcp:read", "mcp:write", "mcp:all", "files"]);
    assert_eq!(policy.initial_scopes("work", &crm), ["mcp:read"]);
    assert!(PolicySet::default().scopes("work", &crm).is_empty());
}

#[test]
fn an_explanation_names_what_is_needed_and_what_lacks() {
    let policy = compile(document()).unwrap();
    let explanation = ask(&policy, &case("viewer", &["mcp:read"], Kind::Tool, "crm.get_price"), explain);
    assert!(explanation.to_string().contains("\n  needs  mcp:read, crm:prices (lacks crm:prices)\n"), "{explanation}");
    let explanation = ask(&policy, &case("viewer", &["mcp:all"], Kind::Tool, "crm.get_price"), explain);
    assert!(explanation.to_string().contains("\n  needs  mcp:read, crm:prices\n"), "{explanation}");
}

#[test]
fn a_scope_with_a_fault_is_refused_where_it_is() {
    for (entry, expected) in [
        (json!({ "scope": "a b", "classes": ["read"] }), "scopes[0].scope: this is not a scope"),
        (json!({ "scope": "a\"", "classes": ["read"] }), "scopes[0].scope: this is not a scope"),
        (json!({ "scope": "", "classes": ["read"] }), "scopes[0].scope: this is not a scope"),
        (json!({ "scope": "é", "classes": ["read"] }), "scopes[0].scope: this is not a scope"),
        (json!({ "scope": "offline_access", "classes": ["read"] }), "scopes[0].scope: this scope lets a client renew"),
        (json!({ "scope": "a" }), "scopes[0]: this scope is needed for nothing"),
        (json!({ "scope": "a", "includes": ["a"], "initial": true }), "scopes[0].initial: `initial` means nothing"),
        (json!({ "scope": "a", "includes": ["a"], "endpoints": ["all"] }), "scopes[0].endpoints: `endpoints` means"),
        (json!({ "scope": "a", "includes": ["b"] }), "scopes[0].includes[0]: there is no scope `b`"),
        (json!({ "scope": "a", "classes": [] }), "scopes[0].classes: an empty list"),
        (json!({ "scope": "a", "tools": ["cmr.x"] }), "scopes[0].tools[0]: there is no upstream `cmr`"),
        (json!({ "scope": "a", "prompts": ["x"] }), "scopes[0].prompts[0]: `x` names no upstream"),
        (json!({ "scope": "a", "resources": ["x"] }), "scopes[0].resources[0]: `x` names no upstream"),
        (
            json!({ "scope": "a", "tools": ["*.*"], "endpoints": ["wrok"] }),
            "scopes[0].endpoints[0]: there is no endpoint",
        ),
    ] {
        let mut document = document();
        document["scopes"] = json!([entry]);
        let found = compile(document).unwrap_err();
        assert!(found.len() == 1 && found[0].starts_with(expected), "{entry}: {found:?}");
    }
}
