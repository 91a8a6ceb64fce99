//! What a session is: whose, in which revision, and what its client can take back.

use super::stage::{Client, able, before, event, gated, is, script, seen, server};
use crate::support::events::Events;
use crate::support::gateway::{LEGACY, legacy};
use crate::support::http::Request;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_takes_back_its_own_calls_alone() {
    let upstream = server().await;
    let hello =
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "here"}});
    let count = AtomicUsize::new(0);
    script(&upstream, move |seen| {
        let silent = || Answer::new(200, "text/event-stream", Body::Silent);
        let told = || gated(vec![event(&hello), String::new()]);
        is(seen, "tools/call").then(|| if count.fetch_add(1, Ordering::SeqCst) == 0 { silent() } else { told() })
    });
    let gateway = Arc::new(before(&upstream).await);
    let (client, other) = (Client::open(&gateway, "ana").await, Client::open(&gateway, "ana").await);
    let theirs = tokio::spawn(async move { other.call(&json!("b")).await.status });
    seen(&upstream, "tools/call", 1).await;
    upstream.release();
    let mut mine = client.call(&json!("a")).await;
    assert_eq!(mine.message().await["method"], "notifications/message");

    let cancel = |id: &str| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, "reason": "enough"}});
    assert_eq!(client.say(&cancel("b")).await.status, 202);
    assert!(!upstream.seen().iter().any(|seen| is(seen, "notifications/cancelled")), "it is another session's");
    assert_eq!(client.say(&cancel("a")).await.status, 202);
    let told = seen(&upstream, "notifications/cancelled", 1).await;
    let call = upstream
        .calls()
        .into_iter()
        .find(|call| call.header("mcp-session-id") == told[0].header("mcp-session-id"))
        .unwrap();
    assert_eq!(told[0].json()["params"], json!({"requestId": call.json()["id"], "reason": "enough"}));
    assert!(mine.next().await.is_none(), "nothing more comes, and nobody waits");
    assert!(!theirs.is_finished());
    theirs.abort();
    let row = gateway.ended_call(|row| row["tool"] == "old.echo" && row["error"] == "cancelled").await;
    assert_eq!(row["outcome"], "cancelled");
    let row = gateway.ended_call(|row| row["method"] == "notifications/cancelled" && row["upstream"] == "old").await;
    assert_eq!(row["outcome"], "ok");
}

/// The upstream goes on: what it was asked is not taken back by a connection that breaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_nothing_back() {
    let upstream = server().await;
    let hello =
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "here"}});
    script(&upstream, move |seen| is(seen, "tools/call").then(|| gated(vec![event(&hello), String::new()])));
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    upstream.release();
    let mut call = client.call(&json!(1)).await;
    call.message().await;
    drop(call);
    let row = gateway.ended_call(|row| row["tool"] == "old.echo").await;
    assert_eq!(row["outcome"], "cancelled");
    assert!(!upstream.seen().iter().any(|seen| is(seen, "notifications/cancelled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_principal_s_and_of_one_revision() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    for version in ["2025-03-26", "2025-06-18", LEGACY] {
        let client = Client::with(&gateway, "ana", able(), version).await;
        let ping = client.message(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
        assert_eq!(gateway.send(&ping).await.status, 200);
        assert_eq!(
            gateway.send(&ping.clone().without("mcp-protocol-version")).await.status,
            200,
            "the session knows it"
        );
        for other in ["2025-03-26", "2025-06-18", LEGACY].into_iter().filter(|other| *other != version) {
            let response = gateway.send(&ping.clone().header("mcp-protocol-version", other)).await;
            assert_eq!((response.status, &response.message()["error"]["code"]), (400, &json!(-32600)), "{other}");
        }
        assert_eq!(gateway.send(&ping.clone().bearer(&token("bob", &["tester"]))).await.status, 404);
        let mut elsewhere = ping.clone();
        elsewhere.path = "/work/mcp".into();
        assert_eq!(gateway.send(&elsewhere).await.status, 404, "it is of one endpoint");
    }
    let rows = gateway.ended_calls(6, |row| row["error"] == "unknown_session").await;
    assert!(rows.iter().all(|row| row["outcome"] == "refused"));
}

/// Tools without a session, as ever: a session is needed for what needs memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_needs_no_session() {
    let upstream = server().await;
    let gateway = before(&upstream).await;
    let call = legacy("old", "tools/call", json!({"name": "echo", "arguments": {}})).bearer(&token("ana", &["tester"]));
    let response = gateway.send(&call).await;
    assert_eq!(response.message()["result"]["content"][0]["text"], "fine", "{}", response.text());
    for method in ["resources/subscribe", "resources/unsubscribe", "logging/setLevel"] {
        let request =
            legacy("old", method, json!({"uri": "test://x", "level": "info"})).bearer(&token("ana", &["tester"]));
        assert_eq!(gateway.send(&request).await.status, 400, "{method}");
    }
    assert_eq!(upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_huge_or_odd_bodies_are_refused_before_anybody_sees_them() {
    let upstream = server().await;
    script(&upstream, |seen| {
        is(seen, "tools/call")
            .then(|| gated(vec![event(&super::stage::elicitation(0)), event(&super::stage::done(seen))]))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    upstream.release();
    let mut call = client.call(&json!(1)).await;
    let id = call.message().await["id"].clone();
    let post = |body: Vec<u8>| client.in_session(Request::post("/old/mcp", body));
    let huge = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"x":"{}"}}}}"#, "y".repeat(2 << 20));
    assert_eq!(gateway.send(&post(huge.into_bytes())).await.status, 413);
    for odd in [
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}},"error":{{}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}},"id":{id}}}"#),
        format!(r#"[{{"jsonrpc":"2.0","id":{id},"result":{{}}}}]"#),
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#.to_owned(),
    ] {
        assert_eq!(gateway.send(&post(odd.clone().into_bytes())).await.status, 400, "{odd}");
    }
    assert!(super::stage::answers(&upstream).is_empty());
    assert_eq!(client.answer(&id, &json!({"action": "cancel"})).await.status, 202);
    upstream.release();
    assert!(call.message().await["result"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlives_the_process_is_told_so_by_its_last_event() {
    let upstream = server().await;
    let hello =
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "here"}});
    script(&upstream, move |seen| is(seen, "tools/call").then(|| gated(vec![event(&hello), String::new()])));
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}});
    upstream.release();
    let mut events = Events::open(gateway.authority(), &client.message(&call)).await;
    assert_eq!(events.next().await.unwrap()["params"]["data"], "here");
    gateway.process.signal("-TERM");
    let last = events.next().await.expect("a last event");
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!(1), &json!(-31503)), "{last}");
    assert_eq!(events.next().await, None);
    let row = gateway.ended_call(|row| row["method"] == "tools/call").await;
    assert_eq!((&row["outcome"], &row["error"]), (&json!("failed"), &json!("shutting_down")), "{row:?}");
}

/// The upstream is reached by the calls of a session that ends, and not after it.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_ends_those_with_upstreams() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    client.call(&json!(1)).await.whole().await;
    let session = upstream.calls()[0].header("mcp-session-id").unwrap().to_owned();
    client.end().await;
    wait_until("the upstream is told", PATIENCE, async || {
        let told = upstream
            .seen()
            .into_iter()
            .any(|seen| seen.method == "DELETE" && seen.header("mcp-session-id") == Some(&session));
        told.then_some(())
    })
    .await;
}
