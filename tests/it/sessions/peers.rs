//! Real clients that are asked back by real servers, through the gateway.

use super::stage::{POLICY, start_any};
use crate::support::gateway::Setup;
use crate::support::peers::{Server, ask};
use crate::support::tokens::token;
use serde_json::{Value, json};

/// Each client, what it is started with, and whether it can wait for notifications.
const CLIENTS: [(&str, &str); 3] = [("asked.mjs", "legacy"), ("asked.mjs", "v1"), ("asked.py", "legacy")];

fn text(result: &Value) -> String {
    result["ok"]["content"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_asked_by_the_reference_server() {
    let server = Server::legacy().await;
    let gateway = start_any(Setup::new(&[("old", server.url())], POLICY)).await;
    let script = json!([
        {"call": "trigger-elicitation-request"},
        {"call": "trigger-sampling-request", "arguments": {"prompt": "say so", "maxTokens": 10}},
        {"call": "get-roots-list"},
    ]);
    let asked = CLIENTS.map(async |(client, mode)| {
        let said = ask(client, gateway.endpoint("old"), mode, &token("ana", &["tester"]), &script).await;
        let results = &said["results"];
        assert!(text(&results[0]).contains("Ada"), "{client} {mode}: {said}");
        assert!(text(&results[1]).contains("so be it"), "{client} {mode}: {said}");
        assert!(text(&results[2]).contains("file:///work"), "{client} {mode}: {said}");
        for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
            assert!(said["asked"].as_array().unwrap().contains(&json!(method)), "{client} {mode}: {said}");
        }
    });
    futures::future::join_all(asked).await;
    let answered = gateway.ended_calls(9, |row| row["upstream"] == "old" && row["method"] != "tools/call").await;
    assert!(answered.iter().all(|row| row["outcome"] == "ok"), "{answered:?}");
}

/// One that speaks both families, and keeps sessions of the older.
#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_asked_by_a_server_of_both_families() {
    let server = Server::conformance(&[]).await;
    let gateway = start_any(Setup::new(&[("old", server.url())], POLICY)).await;
    let script = json!([
        {"call": "test_elicitation", "arguments": {"message": "who?"}},
        {"call": "test_sampling", "arguments": {"prompt": "say so"}},
    ]);
    for (client, mode) in CLIENTS {
        let said = ask(client, gateway.endpoint("old"), mode, &token("ana", &["tester"]), &script).await;
        assert!(text(&said["results"][1]).contains("so be it"), "{client} {mode}: {said}");
        assert_eq!(said["asked"], json!(["elicitation/create", "sampling/createMessage"]), "{client} {mode}: {said}");
    }
}

/// Log messages and changes of a resource come on the stream of news.
#[tokio::test(flavor = "multi_thread")]
async fn news_of_the_reference_server_reach_its_clients() {
    let server = Server::legacy().await;
    let gateway = start_any(Setup::new(&[("old", server.url())], POLICY)).await;
    let script = json!([
        {"level": "debug"},
        {"subscribe": "demo://resource/dynamic/text/1"},
        {"call": "toggle-simulated-logging"},
        {"call": "toggle-subscriber-updates"},
        {"until": "notifications/message"},
        {"until": "notifications/resources/updated"},
    ]);
    for mode in ["legacy", "v1"] {
        let said = ask("asked.mjs", gateway.endpoint("old"), mode, &token("ana", &["tester"]), &script).await;
        let failed: Vec<_> =
            said["results"].as_array().unwrap().iter().filter(|result| !result["error"].is_null()).collect();
        assert!(failed.is_empty(), "{mode}: {said}");
    }
}
