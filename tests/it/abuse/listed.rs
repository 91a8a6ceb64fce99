//! Every caller against every tool of the demo's policy, with odd arguments: lists and calls agree. No gateway runs.

use crate::support::peers::repository;
use portcullis_core::policy::document::{Effect, PolicyDocument};
use portcullis_core::policy::{AccessRequest, Arguments, CallArguments, Context, Inventory, PolicySet, decide};
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Kind, ToolName};
use serde_json::Map;
use std::collections::BTreeSet;

fn policy() -> PolicySet {
    let text = std::fs::read_to_string(repository().join("policy.yaml")).unwrap();
    let document: PolicyDocument = serde_saphyr::from_str(&text).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let inventory =
        Inventory { upstreams: names(&["calculator", "ops"]), endpoints: names(&["calculator", "ops", "all"]) };
    PolicySet::compile(&document, &inventory).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// What a caller with `roles` may do with `tool`; with any arguments where none are given.
fn effect(policy: &PolicySet, roles: &[&str], tool: &str, endpoint: &str, arguments: Option<&str>) -> Effect {
    let principal = Principal {
        issuer: "dev".into(),
        subject: "someone".into(),
        tenant: None,
        agent: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        scopes: BTreeSet::new(),
        claims: Map::new(),
        expires_at: None,
    };
    let call = CallArguments::new(arguments.unwrap_or_default().as_bytes());
    let request = AccessRequest {
        principal: &principal,
        roles: &policy.roles(&principal),
        kind: Kind::Tool,
        tool: &ToolName::parse(tool).unwrap(),
        arguments: if arguments.is_some() { Arguments::Of(&call) } else { Arguments::Any },
        context: &Context { endpoint, method: "tools/call", protocol: "2026-07-28", client: None },
    };
    decide(policy, &request, Timestamp::from_secs(1_800_000_000)).effect
}

const ARGUMENTS: [&str; 12] = [
    "{}",
    "null",
    "[]",
    "{",
    r#"{"precision":5}"#,
    r#"{"precision":500}"#,
    r#"{"precision":"5"}"#,
    r#"{"replicas":3}"#,
    r#"{"replicas":30}"#,
    r#"{"replicas":99}"#,
    r#"{"replicas":[3]}"#,
    r#"{"replicas":3,"replicas":99}"#,
];

const TOOLS: [&str; 9] = [
    "calculator.exact_calculate",
    "calculator.statistics",
    "ops.get_service",
    "ops.get_employee_profile",
    "ops.scale_service",
    "ops.restart_service",
    "ops.simulate_incident",
    "ops.execute_crm_update",
    "ops.nowhere",
];

/// 93: what is not listed can't be called, whatever it is called with.
#[test]
fn what_no_list_shows_no_call_reaches() {
    let policy = policy();
    for roles in [&[][..], &["viewer"], &["developer"], &["oncall"], &["admin"], &["viewer", "oncall"]] {
        for tool in TOOLS {
            for endpoint in ["calculator", "ops", "all", "mcp"] {
                let listed = effect(&policy, roles, tool, endpoint, None) != Effect::Deny;
                let callable =
                    |arguments: &&str| effect(&policy, roles, tool, endpoint, Some(arguments)) != Effect::Deny;
                let reached = ARGUMENTS.iter().find(|arguments| callable(arguments));
                assert!(listed || reached.is_none(), "{roles:?} {tool} {endpoint} {reached:?}");
            }
        }
    }
}
