//! The demo's policy as a table: every role and every tool, with the decision and the rule that made it.
//!
//! Reviewers read a change of `policy.yaml` as a change of `tests/snapshots/policy_matrix.txt`. After a change that is
//! meant, write it anew with `UPDATE=1`.

use portcullis_core::glob::Glob;
use portcullis_core::policy::document::PolicyDocument;
use portcullis_core::policy::{AccessRequest, Arguments, CallArguments, Context, Inventory, PolicySet, decide};
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Kind, ToolName};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The tools of the demo's two backends.
const TOOLS: [&str; 15] = [
    "calculator.convert_units",
    "calculator.exact_calculate",
    "calculator.statistics",
    "ops.check_leave_balance",
    "ops.create_crm_update_dry_run",
    "ops.execute_crm_update",
    "ops.get_employee_profile",
    "ops.get_invoice_status",
    "ops.get_service",
    "ops.list_services",
    "ops.restart_service",
    "ops.run_budget_variance_report",
    "ops.scale_service",
    "ops.simulate_incident",
    "ops.trigger_workflow",
];

const ENDPOINTS: [&str; 3] = ["calculator", "ops", "all"];

/// Calls whose arguments or endpoint matter: the tool, the endpoint, the arguments.
const CALLS: [(&str, &str, &str); 15] = [
    ("calculator.exact_calculate", "calculator", r#"{}"#),
    ("calculator.exact_calculate", "calculator", r#"{"precision":100}"#),
    ("calculator.exact_calculate", "calculator", r#"{"precision":101}"#),
    ("calculator.exact_calculate", "calculator", r#"{"precision":"50"}"#),
    ("ops.scale_service", "ops", r#"{"replicas":0}"#),
    ("ops.scale_service", "ops", r#"{"replicas":1}"#),
    ("ops.scale_service", "ops", r#"{"replicas":10}"#),
    ("ops.scale_service", "ops", r#"{"replicas":11}"#),
    ("ops.scale_service", "ops", r#"{"replicas":50}"#),
    ("ops.scale_service", "ops", r#"{"replicas":51}"#),
    ("ops.scale_service", "ops", r#"{"replicas":"3"}"#),
    ("ops.scale_service", "ops", r#"{"replicas":9007199254740993}"#),
    ("ops.scale_service", "ops", r#"{"replicas":3,"replicas":99}"#),
    ("ops.scale_service", "ops", r#"{}"#),
    ("ops.simulate_incident", "all", r#"{}"#),
];

/// Not declared, so it must grant nothing.
const UNKNOWN_ROLE: &str = "admin";

struct Row {
    role: String,
    tool: &'static str,
    endpoint: &'static str,
    arguments: &'static str,
    effect: &'static str,
    rule: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn document() -> PolicyDocument {
    let text = std::fs::read_to_string(root().join("policy.yaml")).expect("policy.yaml can be read");
    serde_saphyr::from_str(&text).expect("policy.yaml has the shape of a policy")
}

fn compile(document: &PolicyDocument) -> PolicySet {
    let upstreams = TOOLS.iter().filter_map(|tool| tool.split_once('.')).map(|(upstream, _)| upstream.to_owned());
    let endpoints = ENDPOINTS.map(str::to_owned).into();
    let inventory = Inventory { upstreams: upstreams.collect(), endpoints };
    PolicySet::compile(document, &inventory).unwrap_or_else(|problems| panic!("policy.yaml: {problems:#?}"))
}

fn principal(role: Option<&str>) -> Principal {
    Principal {
        issuer: "dev".to_owned(),
        subject: "ada".to_owned(),
        tenant: None,
        agent: None,
        roles: role.map(str::to_owned).into_iter().collect(),
        scopes: BTreeSet::new(),
        claims: serde_json::Map::new(),
        expires_at: None,
    }
}

/// `arguments` is `None` for any.
fn ask(
    policy: &PolicySet,
    role: Option<&str>,
    tool: &'static str,
    endpoint: &'static str,
    arguments: Option<&'static str>,
) -> Row {
    let principal = principal(role);
    let roles = policy.roles(&principal);
    let name = ToolName::parse(tool).expect("a tool has an upstream");
    let context = Context { endpoint, method: "tools/call", protocol: "2026-07-28", client: None };
    let call = CallArguments::new(arguments.unwrap_or_default().as_bytes());
    let request = AccessRequest {
        principal: &principal,
        roles: &roles,
        kind: Kind::Tool,
        tool: &name,
        arguments: arguments.map_or(Arguments::Any, |_| Arguments::Of(&call)),
        context: &context,
    };
    let decision = decide(policy, &request, Timestamp::from_secs(1_700_000_000));
    let role = role.unwrap_or("(none)").to_owned();
    let arguments = arguments.unwrap_or("(any)");
    Row { role, tool, endpoint, arguments, effect: decision.effect.as_str(), rule: decision.rule.to_string() }
}

fn rows(policy: &PolicySet) -> Vec<Row> {
    let known = policy.known_roles().map(Some);
    let roles: Vec<Option<&str>> = [None, Some(UNKNOWN_ROLE)].into_iter().chain(known).collect();
    let mut rows = Vec::new();
    for tool in TOOLS {
        let endpoint =
            ENDPOINTS.into_iter().find(|endpoint| tool.split_once('.').is_some_and(|(of, _)| of == *endpoint));
        let endpoint = endpoint.expect("each upstream has an endpoint of its own");
        rows.extend(roles.iter().map(|role| ask(policy, *role, tool, endpoint, None)));
        for (_, endpoint, arguments) in CALLS.iter().filter(|(of, ..)| *of == tool) {
            rows.extend(roles.iter().map(|role| ask(policy, *role, tool, endpoint, Some(*arguments))));
        }
    }
    rows
}

fn table(rows: &[Row]) -> String {
    let header = ["tool", "endpoint", "arguments", "role", "effect", "rule"].map(str::to_owned);
    let cells =
        |row: &Row| [row.tool, row.endpoint, row.arguments, &row.role, row.effect, &row.rule].map(str::to_owned);
    let lines: Vec<[String; 6]> = [header].into_iter().chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let print = |line: &[String; 6]| {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(print).collect()
}

#[test]
fn the_policy_matrix_is_as_reviewed() {
    let table = table(&rows(&compile(&document())));
    let path = root().join("tests/snapshots/policy_matrix.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &table).expect("the matrix can be written");
        return;
    }
    let reviewed = std::fs::read_to_string(&path).expect("the matrix can be read");
    for (position, (now, before)) in table.lines().zip(reviewed.lines()).enumerate() {
        assert_eq!(now, before, "line {}; if it is meant, run the tests with UPDATE=1", position + 1);
    }
    assert_eq!(table, reviewed, "rows came or went; if it is meant, run the tests with UPDATE=1");
}

#[test]
fn the_policy_matrix_covers_roles_tools_and_rules() {
    let document = document();
    let rows = rows(&compile(&document));
    for role in document.roles.keys() {
        for tool in TOOLS {
            let covered = rows.iter().any(|row| row.role == *role && row.tool == tool && row.arguments == "(any)");
            assert!(covered, "no row for role {role} and tool {tool}");
        }
    }
    for entry in &document.tools {
        let pattern = Glob::new(&entry.pattern);
        assert!(
            TOOLS.iter().any(|tool| pattern.matches(tool)),
            "policy.yaml describes {pattern}, which is no tool here"
        );
    }
    for rule in &document.rules {
        assert!(rows.iter().any(|row| row.rule == rule.id), "no row shows what the rule {} does", rule.id);
    }
    for (tool, ..) in CALLS {
        assert!(TOOLS.contains(&tool), "{tool} is no tool here");
    }
}

#[test]
fn every_demo_tool_is_classified_and_nobody_without_a_role_may_use_one() {
    let policy = compile(&document());
    for tool in TOOLS {
        assert!(policy.traits(&ToolName::parse(tool).unwrap()).classified, "{tool} has no entry in policy.yaml");
    }
    for row in rows(&policy).iter().filter(|row| row.role == "(none)" || row.role == UNKNOWN_ROLE) {
        assert_eq!(row.effect, "deny", "{} is open to role {}", row.tool, row.role);
    }
}
