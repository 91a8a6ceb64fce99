//! Random bodies through the pure stages, and random arguments through the demo's policy. No gateway runs.

use crate::support::peers::repository;
use portcullis_core::jsonrpc::{self, Limits};
use portcullis_core::mcp::headers::McpHeaders;
use portcullis_core::mcp::{Body, classify};
use portcullis_core::policy::document::{Effect, PolicyDocument};
use portcullis_core::policy::{AccessRequest, Arguments, CallArguments, Context, Inventory, PolicySet, decide};
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Kind, ToolName};
use proptest::prelude::*;
use serde_json::Map;
use std::collections::BTreeSet;

/// Pieces that messages are made of, and some that they must not be made of.
const PIECES: [&str; 33] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u0061",
    "\\ud800",
    "\u{feff}",
    "\u{0}",
    " ",
    "null",
    "true",
    "1",
    "-0",
    "\"jsonrpc\":\"2.0\"",
    "\"id\":1",
    "\"method\":\"tools/call\"",
    "\"method\":\"initialize\"",
    "\"method\":\"notifications/x\"",
    "\"params\":{",
    "\"name\":\"a\"",
    "\"arguments\":{}",
    "\"arguments\":[",
    "\"_meta\":{",
    "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"",
    "\"io.modelcontextprotocol/clientCapabilities\":{}",
    "\"progressToken\":{}",
    "\"result\":{",
    "\"error\":{",
    "\"Method\":1",
];

const HEADERS: [(&str, &str); 8] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-protocol-version", "2025-11-25"),
    ("mcp-protocol-version", "2099-01-01"),
    ("mcp-method", "tools/call"),
    ("mcp-name", "a"),
    ("mcp-name", "=?base64?YQ==?="),
    ("mcp-name", "=?base64?***?="),
    ("mcp-param-a", "\u{e9}"),
];

/// What is accepted is JSON in every other reader's eyes, and names the tool that they would run.
fn check(body: &[u8], lines: &[(&str, &str)]) {
    let limits = Limits::default();
    let Ok(headers) = McpHeaders::read(lines.iter().map(|(name, value)| (*name, value.as_bytes()))) else { return };
    let Ok(frame) = jsonrpc::parse(body, &limits) else { return };
    let value: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert!(value.is_object());
    let Ok(message) = classify(body, &frame, &headers) else { return };
    if let Body::Ask(call) = message.body {
        assert_eq!(value["method"], "tools/call");
        assert_eq!(value["params"]["name"], call.name.as_str());
        assert_eq!(value["params"].get("arguments").is_some(), call.arguments.is_some());
    }
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_the_stages_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes, &[]);
    }

    #[test]
    fn no_message_of_odd_pieces_is_read_otherwise_than_by_others(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
        lines in prop::collection::vec(prop::sample::select(&HEADERS[..]), 0..4),
    ) {
        check(pieces.concat().as_bytes(), &lines);
    }

    /// Members in any order, some of them twice or odd: much of it is accepted, and then read alike.
    #[test]
    fn no_message_of_odd_members_is_read_otherwise_than_by_others(
        members in prop::sample::subsequence(vec![
            r#""jsonrpc":"2.0""#, r#""id":"a""#, r#""id":7"#, r#""method":"tools/call""#, r#""\u006dethod":"tools/list""#,
            r#""params":{"name":"a","arguments":{"x":[1e3]}}"#, r#""params":{"\u006eame":"b"}"#, r#""x":null"#, r#""PARAMS":{}"#,
        ], 3..7).prop_shuffle(),
        lines in prop::collection::vec(prop::sample::select(&HEADERS[..2]), 0..2),
    ) {
        check(format!("{{{}}}", members.join(",")).as_bytes(), &lines);
    }
}
