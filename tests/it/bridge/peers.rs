//! Real clients of one era that are asked back by real servers of the other, through the gateway.

use super::stage::{POLICY, UPSTREAM};
use crate::support::gateway::{Gateway, Setup};
use crate::support::peers::{Server, ask};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};

const MODERN: [(&str, &str); 2] = [("asked.mjs", "modern"), ("asked.py", "2026-07-28")];
const LEGACY: [(&str, &str); 3] = [("asked.mjs", "legacy"), ("asked.mjs", "v1"), ("asked.py", "legacy")];

async fn before(server: &Server) -> Gateway {
    let gateway = Setup::new(&[(UPSTREAM, server.url())], POLICY).start().await;
    let found = async || gateway.readiness().await["upstreams"][UPSTREAM]["tools"].as_u64();
    wait_until("the tools are known", PATIENCE, found).await;
    gateway
}

fn text(result: &Value) -> String {
    result["ok"]["content"].to_string()
}

fn asked(said: &Value) -> Vec<&str> {
    let mut asked: Vec<_> = said["asked"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    asked.sort_unstable();
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn modern_clients_are_asked_by_the_reference_server() {
    let server = Server::legacy().await;
    let gateway = before(&server).await;
    let script = json!([
        {"call": "trigger-elicitation-request"},
        {"call": "trigger-sampling-request", "arguments": {"prompt": "say so", "maxTokens": 10}},
        {"call": "echo", "arguments": {"message": "hi"}},
        {"call": "get-roots-list"},
    ]);
    for (client, mode) in MODERN {
        let said = ask(client, gateway.endpoint(UPSTREAM), mode, &token("ana", &["tester"]), &script).await;
        let results = &said["results"];
        assert!(text(&results[0]).contains("Ada"), "{client} {mode}: {said}");
        assert!(text(&results[1]).contains("so be it"), "{client} {mode}: {said}");
        assert!(text(&results[2]).contains("Echo: hi"), "{client} {mode}: {said}");
        // It asks for roots outside of the call, where nobody can be asked, and gets on without.
        assert!(text(&results[3]).contains("roots"), "{client} {mode}: {said}");
        assert_eq!(asked(&said), ["elicitation/create", "sampling/createMessage"], "{client} {mode}: {said}");
    }
    let calls = gateway.ended_calls(8, |row| row["outcome"].is_string() && row["protocol"] == "2026-07-28").await;
    assert!(calls.iter().all(|row| row["outcome"] == "ok"), "{calls:?}");
}

/// Tools of the suite's own names, from a server that refuses the other era as servers do.
#[tokio::test(flavor = "multi_thread")]
async fn modern_clients_are_asked_by_an_older_server() {
    let server = Server::conformance(&["--legacy-only"]).await;
    let gateway = before(&server).await;
    let script = json!([
        {"call": "test_elicitation", "arguments": {"message": "who?"}},
        {"call": "test_sampling", "arguments": {"prompt": "say so"}},
        {"call": "test_tool_with_progress"},
    ]);
    for (client, mode) in MODERN {
        let said = ask(client, gateway.endpoint(UPSTREAM), mode, &token("ana", &["tester"]), &script).await;
        assert!(text(&said["results"][1]).contains("so be it"), "{client} {mode}: {said}");
        assert!(said["results"][2]["ok"].is_object(), "{client} {mode}: {said}");
        assert_eq!(asked(&said), ["elicitation/create", "sampling/createMessage"], "{client} {mode}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_clients_are_asked_by_a_modern_server() {
    let server = Server::conformance(&["--modern-only"]).await;
    let gateway = before(&server).await;
    let script = json!([
        {"call": "test_input_required_result_elicitation"},
        {"call": "test_input_required_result_sampling"},
        {"call": "test_input_required_result_list_roots"},
        {"call": "test_input_required_result_request_state"},
        {"call": "test_input_required_result_multiple_inputs"},
        {"call": "test_input_required_result_multi_round"},
        {"call": "test_simple_text"},
    ]);
    for (client, mode) in LEGACY {
        let said = ask(client, gateway.endpoint(UPSTREAM), mode, &token("ana", &["tester"]), &script).await;
        let results = said["results"].as_array().unwrap();
        for (result, operation) in results.iter().zip(script.as_array().unwrap()) {
            assert!(
                result["ok"]["content"].is_array() && result["ok"]["isError"] != true,
                "{client} {mode} {operation}: {said}"
            );
        }
        let kinds: std::collections::BTreeSet<_> = asked(&said).into_iter().collect();
        assert_eq!(kinds.len(), 3, "{client} {mode}: {said}");
    }
    let calls = gateway.ended_calls(21, |row| row["method"] == "tools/call").await;
    assert!(calls.iter().all(|row| row["outcome"] == "ok"), "{calls:?}");
}
