//! Streams that end before their call is answered, and are taken up again (MCP 2025-11-25 "Resumability and Redelivery",
//! SEP-1699).

use super::stage::{
    Client, able, before, done, event, event_with_id, gated, is, script, seen, server, start, streamed,
};
use crate::support::gateway::Setup;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Seen, Upstream};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const PRIMING: &str = "id: up-1\nretry: 50\ndata: \n\n";

/// A server that ends the stream of a call after its first event, and answers whoever comes back with that event's id.
async fn polling() -> Upstream {
    let upstream = server().await;
    let called = Mutex::new(None::<Value>);
    script(&upstream, move |seen: &Seen| {
        if is(seen, "tools/call") {
            *called.lock().unwrap() = Some(done(seen));
            return Some(streamed(vec![PRIMING.into()]));
        }
        let back = seen.method == "GET" && seen.header("last-event-id") == Some("up-1");
        let mut answer = called.lock().unwrap().clone().filter(|_| back)?;
        answer["result"]["content"][0]["text"] = json!("done for ana@example.com");
        let news =
            json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "soon"}});
        Some(streamed(vec![event_with_id("up-2", &news), event_with_id("up-3", &answer)]))
    });
    upstream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_on_the_stream_that_takes_its_own_up() {
    let upstream = polling().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut call = client.call(&json!(9)).await;
    let first = call.next().await.unwrap();
    assert_eq!((first.data.as_str(), first.retry.as_deref()), ("", Some("50")));
    let id = first.id.unwrap();
    assert!(!id.contains("up-1"), "the upstream's ids are its own: {id}");
    assert!(call.next().await.is_none(), "it ends without a word of failure");

    let running = gateway.calls().await.into_iter().find(|row| row["tool"] == "old.echo").unwrap();
    assert!(running["outcome"].is_null(), "the call runs");
    // Nobody else's.
    let other = Client::open(&gateway, "ana").await;
    assert_eq!(other.listen(Some(&id)).await.status, 400);
    for odd in ["up-1", "", "x", "AAAA"] {
        assert_eq!(client.listen(Some(odd)).await.status, 400, "{odd}");
    }

    let mut rest = client.listen(Some(&id)).await;
    assert_eq!(rest.message().await["params"]["data"], "soon");
    let answer = rest.message().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["content"][0]["text"]),
        (&json!(9), &json!("done for [REDACTED:EMAIL]"))
    );
    assert!(rest.next().await.is_none());
    let row = gateway.ended_call(|row| row["tool"] == "old.echo").await;
    assert_eq!(row["outcome"], "ok");
    assert!(row["redactions"].to_string().contains("email"), "one row tells of all of it: {row:?}");
    assert_eq!(client.listen(Some(&id)).await.status, 400, "nothing is left of it");
    assert_eq!(upstream.calls().len(), 1);
}

/// A client that loses its connection does not take its call back.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_is_taken_up_while_its_call_runs() {
    let upstream = server().await;
    let called = Mutex::new(None::<Value>);
    script(&upstream, move |seen: &Seen| {
        if is(seen, "tools/call") {
            *called.lock().unwrap() = Some(done(seen));
            return Some(gated(vec![PRIMING.into(), event(&json!({"jsonrpc": "2.0", "method": "x"}))]));
        }
        let back = seen.method == "GET" && seen.header("last-event-id") == Some("up-1");
        let answer = called.lock().unwrap().clone().filter(|_| back)?;
        Some(streamed(vec![event(&answer)]))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    upstream.release();
    let mut call = client.call(&json!(1)).await;
    let id = call.next().await.unwrap().id.unwrap();
    // It comes back while the gateway has not noticed yet, and after it has.
    let mut rest = client.listen(Some(&id)).await;
    assert!(rest.message().await["result"].is_object());
    assert!(!upstream.seen().iter().any(|seen| is(seen, "notifications/cancelled")));
    drop(call);
    let row = gateway.ended_call(|row| row["tool"] == "old.echo").await;
    assert_eq!(row["outcome"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_kept_can_be_taken_back_and_ends_with_its_session() {
    let upstream = polling().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut ids = Vec::new();
    for number in [1, 2] {
        let mut call = client.call(&json!(number)).await;
        ids.push(call.next().await.unwrap().id.unwrap());
        assert!(call.next().await.is_none());
    }
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(client.say(&cancel).await.status, 202);
    let told = seen(&upstream, "notifications/cancelled", 1).await;
    assert_eq!(told[0].json()["params"]["requestId"], upstream.calls()[0].json()["id"]);
    assert_eq!(client.listen(Some(&ids[0])).await.status, 400);
    client.end().await;
    let rows = gateway.ended_calls(2, |row| row["tool"] == "old.echo").await;
    assert!(rows.iter().all(|row| row["outcome"] == "cancelled"), "{rows:?}");
}

/// The record is whole: nothing is left to be found unknown at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_kept_end_with_the_process() {
    let upstream = polling().await;
    let mut gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut call = client.call(&json!(1)).await;
    call.next().await.unwrap();
    assert!(call.next().await.is_none());
    drop((call, client));
    let gateway = Arc::get_mut(&mut gateway).unwrap();
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    let row = gateway.ended_call(|row| row["tool"] == "old.echo").await;
    assert_eq!(row["outcome"], "cancelled");
}

/// More calls wait than are kept: the oldest goes.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_are_kept_than_may_be() {
    let upstream = polling().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut first = None;
    for number in 0..17 {
        let mut call = client.call(&json!(number)).await;
        let id = call.next().await.unwrap().id.unwrap();
        assert!(call.next().await.is_none());
        first.get_or_insert(id);
    }
    assert_eq!(client.listen(first.as_deref()).await.status, 400);
    gateway.ended_call(|row| row["outcome"] == "cancelled").await;
    let open = gateway.calls().await.into_iter().filter(|row| row["tool"] == "old.echo" && row["outcome"].is_null());
    assert_eq!(open.count(), 16);
}

/// Where nobody could take the stream up again, its end is the call's.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_ids_that_ends_too_soon_is_a_failure() {
    let upstream = server().await;
    script(&upstream, |seen| is(seen, "tools/call").then(|| streamed(vec![": hello\n\n".into()])));
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let answer = client.call(&json!(3)).await.message().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(3), &json!(-31502)));
    let row = gateway.ended_call(|row| row["tool"] == "old.echo").await;
    assert_eq!((&row["outcome"], &row["error"]), (&json!("failed"), &json!("upstream_unavailable")));
}

/// Of several upstreams an id does not say whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn before_several_upstreams_no_ids_are_given() {
    let (one, two) = (polling().await, server().await);
    let gateway = Arc::new(start(Setup::new(&[("old", one.url()), ("new", two.url())], super::stage::POLICY)).await);
    let mut client = Client::with(&gateway, "ana", able(), "2025-11-25").await;
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let mut open = client.message(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}));
    open.path = "/work/mcp".into();
    let response = gateway.send(&open.without("mcp-session-id")).await;
    let session = response.header("mcp-session-id").unwrap().to_owned();
    client
        .headers
        .iter_mut()
        .filter(|(name, _)| name == "mcp-session-id")
        .for_each(|(_, value)| value.clone_from(&session));
    let mut call = client.message(
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "old.echo", "arguments": {}}}),
    );
    call.path = "/work/mcp".into();
    let response = gateway.send(&call).await;
    assert!(!response.text().contains("id: ") && response.message()["error"].is_object(), "{}", response.text());
}

/// An upstream that forgot what it was doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_upstream_does_not_know_any_more_ends_its_call() {
    let upstream = server().await;
    script(&upstream, |seen: &Seen| {
        if is(seen, "tools/call") {
            return Some(streamed(vec![PRIMING.into()]));
        }
        (seen.method == "GET" && seen.header("last-event-id").is_some()).then(|| Answer::nothing(400))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut call = client.call(&json!(4)).await;
    let id = call.next().await.unwrap().id.unwrap();
    assert!(call.next().await.is_none());
    let answer = client.listen(Some(&id)).await.message().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(4), &json!(-31502)));
    wait_until("the call has ended", PATIENCE, async || {
        gateway.calls().await.into_iter().find(|row| row["tool"] == "old.echo" && row["outcome"] == "failed")
    })
    .await;
}
