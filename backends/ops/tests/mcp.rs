//! The operations desk over a real loopback socket: every tool, what changes and what stays, personal data in both forms
//! of an answer, and slow work that reports and stops.

#![cfg(test)]

#[path = "../../server/tests/client/mod.rs"]
mod client;

use std::time::Duration;

use client::{Client, LEGACY, MODERN, call_body, headers, request_body};
use portcullis_ops::{Options, serve};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

async fn start(secret: Option<&str>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let options = Options { gateway_secret: secret.map(str::to_owned) };
    tokio::spawn(async move { serve(listener, options).await });
    client
}

/// Asks until the run with this id is in `state`.
async fn run_reaches(client: &Client, run_id: &str, state: &str) -> Value {
    let asked = async {
        loop {
            let history = client.call("list_workflow_runs", json!({})).await;
            let runs = history["runs"].as_array().unwrap();
            if let Some(run) = runs.iter().find(|run| run["run_id"] == run_id && run["state"] == state) {
                return run.clone();
            }
        }
    };
    timeout(Duration::from_secs(20), asked).await.unwrap()
}

#[tokio::test]
async fn health_is_open_and_mcp_wants_the_secret() {
    let mut client = start(Some("s3cret")).await;
    assert_eq!(client.send("GET", "/health", &[], "").await.body, r#"{"status":"ok"}"#);
    let body = request_body(MODERN, "tools/list", json!({}));
    let refused = client.post(MODERN, &body).await;
    assert!(refused.status == 401 && refused.head.contains("www-authenticate: x-gateway-auth"), "{refused:?}");
    client.secret = Some("s3cret");
    assert_eq!(client.post(MODERN, &body).await.status, 200);
}

#[tokio::test]
async fn every_tool_is_described_bounded_and_honest_about_what_it_does() {
    let client = start(None).await;
    let tools = client.tools(MODERN).await;
    let hints: Vec<(&str, bool, bool)> = tools
        .iter()
        .map(|tool| {
            let hint = |name: &str| tool["annotations"][name].as_bool().unwrap();
            (tool["name"].as_str().unwrap(), hint("readOnlyHint"), hint("destructiveHint"))
        })
        .collect();
    let expected = [
        ("check_leave_balance", true, false),
        ("create_crm_update_dry_run", true, false),
        ("execute_crm_update", false, true),
        ("get_customer", true, false),
        ("get_employee_profile", true, false),
        ("get_invoice_status", true, false),
        ("get_service", true, false),
        ("list_services", true, false),
        ("list_workflow_runs", true, false),
        ("restart_service", false, true),
        ("run_budget_variance_report", true, false),
        ("scale_service", false, false),
        ("simulate_incident", false, true),
        ("trigger_workflow", false, false),
    ];
    assert_eq!(hints, expected);
    for tool in &tools {
        assert!(tool["description"].as_str().unwrap().len() > 50, "{tool}");
        for (name, property) in tool["inputSchema"]["properties"].as_object().unwrap() {
            let described = property["description"].is_string() || property["$ref"].is_string();
            assert!(described, "{} {name}: {property}", tool["name"]);
        }
    }
}

#[tokio::test]
async fn legacy_clients_call_without_a_session() {
    let client = start(None).await;
    for version in LEGACY {
        let params =
            json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        let reply = client.post(version, &request_body(version, "initialize", params)).await;
        assert_eq!(reply.message()["result"]["protocolVersion"], version);
        let result = client.call_raw(version, "get_service", r#"{"name":"billing"}"#).await;
        assert_eq!(result["structuredContent"]["replicas"], 3);
    }
}

#[tokio::test]
async fn an_incident_shows_until_the_restart() {
    let client = start(None).await;
    let broken = client.call("simulate_incident", json!({ "service": "tracking", "kind": "outage" })).await;
    assert_eq!((&broken["health"], &broken["incident"]["id"]), (&json!("down"), &json!("INC-0001")));
    let again = client.fail("simulate_incident", json!({ "service": "tracking", "kind": "latency" })).await;
    assert!(again.contains("INC-0001"), "{again}");
    assert_eq!(client.call("get_service", json!({ "name": "tracking" })).await, broken);
    let restarted = client.call("restart_service", json!({ "service": "tracking" })).await;
    assert_eq!((&restarted["restarts"], &restarted["resolved"]["id"]), (&json!(1), &json!("INC-0001")));
    let shown = client.call("get_service", json!({ "name": "tracking" })).await;
    assert_eq!((&shown["health"], &shown["restarts"]), (&json!("healthy"), &json!(1)));
    assert!(shown.get("incident").is_none(), "{shown}");
    let next = client.call("simulate_incident", json!({ "service": "billing", "kind": "errors" })).await;
    assert_eq!((&next["health"], &next["incident"]["id"]), (&json!("degraded"), &json!("INC-0002")));
}

#[tokio::test]
async fn scaling_shows_in_the_list_and_keeps_to_its_bounds() {
    let client = start(None).await;
    let scaled = client.call("scale_service", json!({ "service": "billing", "replicas": 9 })).await;
    assert_eq!(scaled, json!({ "service": "billing", "before": 3, "after": 9 }));
    let listing = client.call("list_services", json!({})).await;
    let services = listing["services"].as_array().unwrap();
    assert_eq!(services.len(), 5);
    assert!(services.iter().any(|service| service["name"] == "billing" && service["replicas"] == 9), "{listing}");
    for replicas in [0, 51] {
        let problem = client.fail("scale_service", json!({ "service": "billing", "replicas": replicas })).await;
        assert!(problem.contains("from 1 to 50"), "{problem}");
    }
    assert!(client.fail("scale_service", json!({ "service": "billing", "replicas": -1 })).await.contains("invalid"));
}

#[tokio::test]
async fn personal_data_is_in_the_text_and_in_the_structure_alike() {
    let client = start(None).await;
    let profile = client.call_raw(MODERN, "get_employee_profile", r#"{"employee_id":"E-1001"}"#).await;
    let structured = &profile["structuredContent"];
    assert_eq!(structured["email"], "mira.aebischer@example.com");
    assert_eq!(structured["ahv"], "756.9217.0769.85");
    assert_eq!(structured["salary"], json!({ "amount": "164000.00", "currency": "CHF" }));
    assert!(structured.get("ssn").is_none() && structured.get("leave").is_none(), "{structured}");
    let text: Value = serde_json::from_str(profile["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(&text, structured);
    let american = client.call("get_employee_profile", json!({ "employee_id": "E-1003" })).await;
    assert_eq!(american["ssn"], "219-09-9999");
    let invoice = client.call("get_invoice_status", json!({ "invoice_id": "INV-2026-0041" })).await;
    assert_eq!(invoice["card"]["number"], "4111 1111 1111 1111");
    assert_eq!(invoice["iban"], "CH93 0076 2011 6238 5295 7");
    let leave = client.call("check_leave_balance", json!({ "employee_id": "E-1001" })).await;
    assert_eq!((&leave["entitled"], &leave["remaining"]), (&json!(27), &json!(10)));
}

#[tokio::test]
async fn an_answer_with_a_personal_field_left_out_still_fits_its_schema() {
    let client = start(None).await;
    for tool in client.tools(MODERN).await {
        let named = ["get_employee_profile", "get_invoice_status", "get_customer"].map(Value::from);
        if named.contains(&tool["name"]) {
            assert!(!tool["outputSchema"].to_string().contains("\"required\""), "{tool}");
        }
    }
}

#[tokio::test]
async fn the_budget_report_is_long_text() {
    let client = start(None).await;
    let arguments = r#"{"department":"engineering","quarter":"2026-Q1"}"#;
    let result = client.call_raw(MODERN, "run_budget_variance_report", arguments).await;
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.len() > 2_500 && text.contains("mira.aebischer@example.com"), "{text}");
    assert!(result.get("structuredContent").is_none(), "{result}");
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_the_update_does_what_it_said() {
    let client = start(None).await;
    let arguments = json!({ "customer_id": "C-2002", "fields": { "tier": "gold", "phone": null, "vip": true } });
    let before = client.call("get_customer", json!({ "customer_id": "C-2002" })).await;
    let preview = client.call("create_crm_update_dry_run", arguments.clone()).await;
    assert_eq!(preview["applied"], false);
    assert_eq!(preview["changes"].as_array().unwrap().len(), 3);
    assert_eq!(preview["changes"][1], json!({ "field": "tier", "before": "silver", "after": "gold" }));
    assert_eq!(client.call("get_customer", json!({ "customer_id": "C-2002" })).await, before);
    let done = client.call("execute_crm_update", arguments.clone()).await;
    assert_eq!((&done["applied"], &done["changes"]), (&json!(true), &preview["changes"]));
    let after = client.call("get_customer", json!({ "customer_id": "C-2002" })).await;
    assert_eq!((&after["fields"]["tier"], &after["fields"]["vip"]), (&json!("gold"), &json!(true)));
    assert!(after["fields"].get("phone").is_none(), "{after}");
    assert_eq!(client.call("execute_crm_update", arguments).await["changes"], json!([]));
    let refused = json!({ "customer_id": "C-2002", "fields": { "tier": "bronze", "id": "C-1" } });
    assert!(client.fail("execute_crm_update", refused).await.contains("cannot be changed"));
    assert_eq!(client.call("get_customer", json!({ "customer_id": "C-2002" })).await, after);
}

#[tokio::test]
async fn unknown_ids_are_told_so_in_plain_words() {
    let client = start(None).await;
    let cases = [
        ("get_service", json!({ "name": "ledger" }), "there is no service \"ledger\""),
        ("restart_service", json!({ "service": "" }), "there is no service \"\""),
        ("simulate_incident", json!({ "service": "x\n", "kind": "errors" }), "\"x\\n\""),
        ("get_employee_profile", json!({ "employee_id": "E-9999" }), "there is no employee"),
        ("check_leave_balance", json!({ "employee_id": "e-1001" }), "there is no employee"),
        ("get_invoice_status", json!({ "invoice_id": "INV-1" }), "there is no invoice"),
        ("get_customer", json!({ "customer_id": "C-1" }), "there is no customer"),
        ("create_crm_update_dry_run", json!({ "customer_id": "C-1", "fields": { "a": 1 } }), "there is no customer"),
        (
            "run_budget_variance_report",
            json!({ "department": "legal", "quarter": "2026-Q1" }),
            "there is no department",
        ),
        ("run_budget_variance_report", json!({ "department": "sales", "quarter": "2031-Q1" }), "no figures"),
        ("trigger_workflow", json!({ "workflow": "mine_coins" }), "unknown variant"),
        ("trigger_workflow", json!({ "workflow": "export_payroll", "seconds": 61 }), "at most 60"),
    ];
    for (tool, arguments, expected) in cases {
        let problem = client.fail(tool, arguments).await;
        assert!(problem.contains(expected), "{tool}: {problem}");
    }
}

#[tokio::test]
async fn a_workflow_reports_its_progress_to_who_asked_in_both_eras() {
    let client = start(None).await;
    for version in ["2025-06-18", MODERN] {
        let arguments = r#"{"workflow":"rebuild_search_index","seconds":1}"#;
        let reply = client.post(version, &call_body(version, "trigger_workflow", arguments, Some("tok"))).await;
        assert!(reply.content_type.starts_with("text/event-stream"), "{reply:?}");
        let messages = reply.messages();
        let progress: Vec<&Value> =
            messages.iter().filter(|message| message["method"] == "notifications/progress").collect();
        assert_eq!(progress.len(), 10, "{messages:?}");
        assert!(progress.iter().all(|message| message["params"]["progressToken"] == "tok"), "{messages:?}");
        assert_eq!(progress[9]["params"]["progress"], json!(10.0));
        assert_eq!(reply.message()["result"]["structuredContent"]["state"], "finished");
    }
}

#[tokio::test]
async fn without_a_progress_token_the_answer_is_plain_json() {
    let client = start(None).await;
    let body = call_body(MODERN, "trigger_workflow", r#"{"workflow":"export_payroll","seconds":0}"#, None);
    let reply = client.post(MODERN, &body).await;
    assert_eq!(reply.content_type, "application/json");
    let run_id = reply.message()["result"]["structuredContent"]["run_id"].clone();
    let run = run_reaches(&client, run_id.as_str().unwrap(), "finished").await;
    assert_eq!(run["steps"], 10);
}

#[tokio::test]
async fn a_workflow_stops_when_its_caller_leaves() {
    let client = start(None).await;
    let mut number = 0;
    for version in ["2025-11-25", MODERN] {
        for token in [None, Some("tok")] {
            number += 1;
            let run_id = format!("RUN-{number:04}");
            let arguments = r#"{"workflow":"purge_old_logs","seconds":5}"#;
            let body = call_body(version, "trigger_workflow", arguments, token);
            let headers = headers(version, &body);
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut stream = client.open("POST", "/mcp", &headers, &body).await;
            run_reaches(&client, &run_id, "running").await;
            if token.is_some() {
                let mut first = [0; 512];
                assert!(stream.read(&mut first).await.unwrap() > 0);
            }
            drop(stream);
            let run = run_reaches(&client, &run_id, "abandoned").await;
            assert!(run["steps"].as_u64().unwrap() < 10, "{version} {token:?}: {run}");
        }
    }
}
