//! What the bridge does for clients of 2026-07-28.

use super::{Bridge, call, modern};
use crate::support::gateway::MODERN;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body, Speaks, Upstream};
use serde_json::{Value, json};

fn tool(name: &str, kind: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object", "properties": {
        "region": {"type": kind, "x-mcp-header": "Region"},
    }}})
}

fn go(id: i64) -> Value {
    modern(id, "tools/call", call("gö", json!({"region": "eu"})))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_the_headers_that_its_body_asks_for() {
    let upstream = Upstream::start(Speaks::Modern, vec![tool("gö", "string"), tool("bad", "number")]).await;
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    bridge.ask(&modern(1, "server/discover", json!({}))).await;
    let list = bridge.ask(&modern(2, "tools/list", json!({}))).await;
    let names: Vec<_> = list["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["gö"], "a tool that no client over HTTP may use is left out");
    bridge.ask(&go(3)).await;
    bridge.ask(&modern(4, "resources/read", json!({"uri": "file:///a b"}))).await;
    let headers = |name: &str| -> Vec<_> {
        upstream.seen().iter().map(|seen| seen.header(name).unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(headers("mcp-protocol-version"), [MODERN; 4]);
    assert_eq!(headers("mcp-method"), ["server/discover", "tools/list", "tools/call", "resources/read"]);
    assert_eq!(headers("mcp-name"), ["-", "-", "=?base64?Z8O2?=", "file:///a b"]);
    assert_eq!(headers("mcp-param-region"), ["-", "-", "eu", "-"]);
    assert_eq!(headers("mcp-session-id"), ["-"; 4]);
    assert!(upstream.seen().iter().all(|seen| seen.header("accept") == Some("application/json, text/event-stream")));
    bridge.end().await;
}

/// The client called without having listed.
#[tokio::test(flavor = "multi_thread")]
async fn tools_are_listed_once_where_headers_do_not_fit() {
    let upstream = Upstream::start(Speaks::Modern, vec![tool("gö", "string")]).await;
    let mismatch = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32020,"message":"Header mismatch"}}"#;
    let refuse = || Answer { status: 400, ..Answer::json(mismatch) };
    upstream.behave(move |seen| {
        let call = seen.json()["method"] == "tools/call";
        (call && seen.header("mcp-param-region").is_none()).then(refuse)
    });
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    assert_eq!(bridge.ask(&go(1)).await["result"]["content"][0]["text"], "fine");
    assert_eq!(bridge.ask(&go(2)).await["result"]["content"][0]["text"], "fine");
    let methods: Vec<_> = upstream.seen().iter().map(|seen| seen.json()["method"].clone()).collect();
    assert_eq!(methods, ["tools/call", "tools/list", "tools/call", "tools/call"]);
    assert_eq!(bridge.messages().len(), 2, "the client sees nothing of it");
    upstream.behave(move |seen| (seen.json()["method"] == "tools/call").then(refuse));
    assert_eq!(bridge.ask(&go(3)).await["error"]["code"], -32020);
    assert_eq!(upstream.calls().len(), 4, "nothing was learned, so the call was not sent again");
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_is_left_and_nothing_is_posted() {
    let upstream = Upstream::start(Speaks::Modern, vec![]).await;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let pieces = vec![format!("data: {progress}\n\n").into_bytes(), b"data: {}\n\n".to_vec()];
    upstream.answer(Answer::new(200, "text/event-stream", Body::Gated(pieces)));
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    bridge.send(&go(1));
    upstream.release();
    bridge.message("progress", |message| message["method"] == "notifications/progress").await;
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    wait_until("the call was left", PATIENCE, async || upstream.calls()[0].abandoned.then_some(())).await;
    bridge.ask(&modern(2, "tools/list", json!({}))).await;
    let methods: Vec<_> = upstream.seen().iter().map(|seen| seen.json()["method"].clone()).collect();
    assert_eq!(methods, ["tools/call", "tools/list"]);
    assert!(bridge.messages().iter().all(|message| message["id"] != 1));
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_lasts_until_the_client_leaves() {
    let upstream = Upstream::start(Speaks::Modern, vec![]).await;
    let event = |method: &str| {
        let params = json!({"_meta": {"io.modelcontextprotocol/subscriptionId": 1}});
        format!("event: message\r\ndata: {}\r\n\r\n", json!({"jsonrpc": "2.0", "method": method, "params": params}))
    };
    let pieces = ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"].map(event);
    let pieces: Vec<_> = pieces.into_iter().chain([": alive\n\n".to_owned()]).map(String::into_bytes).collect();
    upstream.behave(move |seen| {
        let body = Body::Gated(pieces.clone());
        (seen.json()["method"] == "subscriptions/listen").then(|| Answer::new(200, "text/event-stream", body))
    });
    upstream.answer(Answer::new(200, "application/json", Body::Silent));
    // It may be silent for longer than answers may.
    let mut bridge = Bridge::to(&upstream.url(), &["--timeout", "6s"]);
    bridge.send(&modern(1, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})));
    upstream.release();
    bridge.message("acknowledgement", |message| message["method"] == "notifications/subscriptions/acknowledged").await;
    assert_eq!(bridge.ask(&go(2)).await["error"]["code"], -31504);
    upstream.release();
    bridge.message("news", |message| message["method"] == "notifications/tools/list_changed").await;
    assert_eq!(bridge.messages().len(), 3);
    bridge.end().await;
    wait_until("the stream was left", PATIENCE, async || upstream.seen()[0].abandoned.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_side_by_side() {
    let upstream = Upstream::start(Speaks::Modern, vec![]).await;
    upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    bridge.send(&go(1));
    wait_until("the call is there", PATIENCE, async || (upstream.calls().len() == 1).then_some(())).await;
    upstream.answer(Answer::text("fine"));
    let answers: Vec<_> = (2..52).map(|id| bridge.send(&go(id))).collect();
    for id in (2..).take(answers.len()) {
        assert_eq!(bridge.answer(id).await["result"]["content"][0]["text"], "fine");
    }
    bridge.process.signal("-TERM");
    assert!(bridge.process.end().await);
}
