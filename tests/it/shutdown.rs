//! SIGTERM: nothing new begins, what runs may end, and what outlives the drain is told so. The record is whole in each
//! case.

use crate::support::gateway::{Gateway, Setup, modern_call};
use crate::support::http::{Connection, Request, Response, VERSIONS, Version};
use crate::support::journal;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body, Speaks, Upstream};
use serde_json::{Map, Value, json};
use std::io;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.echo", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

const PROGRESS: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"resultType":"complete"}}"#;

/// An upstream each of whose answers waits for a `release`, in two pieces.
async fn upstream(kind: &str, pieces: [String; 2]) -> Upstream {
    let echo = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, vec![echo]).await;
    upstream.answer(Answer::new(200, kind, Body::Gated(pieces.map(String::into_bytes).to_vec())));
    upstream
}

async fn slow() -> Upstream {
    let (first, second) = RESULT.split_at(20);
    upstream("application/json", [first.to_owned(), second.to_owned()]).await
}

async fn streaming() -> Upstream {
    upstream("text/event-stream", [PROGRESS, RESULT].map(|data| format!("data: {data}\n\n"))).await
}

async fn gateway(slow: &Upstream, streaming: &Upstream, drain: &str) -> Gateway {
    let upstreams = [("slow", slow.url()), ("stream", streaming.url())];
    Setup::new(&upstreams, POLICY).with("drain", json!(drain)).start().await
}

fn call(endpoint: &str) -> Request {
    modern_call(endpoint, "echo", &json!({})).bearer(&token("ana", &["tester"]))
}

/// Calls `endpoint` in the background, over each version.
fn begin(gateway: &Gateway, endpoint: &str) -> Vec<JoinHandle<io::Result<Response>>> {
    let one = |version| {
        let (authority, request) = (gateway.authority().to_owned(), call(endpoint));
        tokio::spawn(async move { Connection::open(&authority, version).await.exchange(&request).await })
    };
    VERSIONS.map(one).into()
}

async fn at_upstream(upstream: &Upstream, count: usize) {
    wait_until("the calls are at the upstream", PATIENCE, async || (upstream.calls().len() == count).then_some(()))
        .await;
}

/// Connections that have been used and wait for the next request.
async fn idle(gateway: &Gateway) -> (raw::Connection, Connection) {
    let mut first = raw::Connection::open(gateway.authority()).await;
    first.send(&Request::get("/healthz").to_http1(gateway.authority())).await.unwrap();
    assert_eq!(first.read_response().await.unwrap().status, 200);
    let mut second = Connection::open(gateway.authority(), Version::Http2).await;
    assert_eq!(second.exchange(&Request::get("/healthz")).await.unwrap().status, 200);
    (first, second)
}

/// A stream over HTTP/1.1 whose head is here.
async fn open_stream(gateway: &Gateway) -> raw::Connection {
    let mut connection = raw::Connection::open(gateway.authority()).await;
    connection.send(&call("stream").to_http1(gateway.authority())).await.unwrap();
    assert_eq!(connection.read_response_head().await.unwrap().0, 200);
    connection
}

/// The same over HTTP/2.
async fn open_stream_http2(gateway: &Gateway) -> h2::RecvStream {
    let Connection::Http2(sender, authority) = Connection::open(gateway.authority(), Version::Http2).await else {
        panic!("not HTTP/2")
    };
    let request = call("stream");
    let (answer, mut upload) = sender.ready().await.unwrap().send_request(request.to_http2(&authority), false).unwrap();
    upload.send_data(request.body.into(), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

async fn journaled(gateway: &Gateway) -> Vec<Map<String, Value>> {
    journal::calls(&gateway.ready.journal).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_may_end_and_nothing_else_begins() {
    let (slow, streaming) = (slow().await, streaming().await);
    let mut gateway = gateway(&slow, &streaming, "120s").await;
    let (mut idle, mut idle_http2) = idle(&gateway).await;
    let calls = [begin(&gateway, "slow"), begin(&gateway, "stream")];
    at_upstream(&slow, 2).await;
    at_upstream(&streaming, 2).await;
    gateway.process.signal("-TERM");
    timeout(PATIENCE, idle.closed()).await.expect("an idle connection is closed");
    wait_until("an idle HTTP/2 connection is closed", PATIENCE, async || {
        idle_http2.exchange(&Request::get("/healthz")).await.err()
    })
    .await;
    wait_until("nothing is accepted", PATIENCE, async || TcpStream::connect(gateway.authority()).await.err()).await;
    for upstream in [&slow, &streaming] {
        (0..4).for_each(|_| upstream.release());
    }
    for call in calls.into_iter().flatten() {
        let response = timeout(PATIENCE, call).await.unwrap().unwrap().unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.message()["result"]["resultType"], "complete");
    }
    assert!(gateway.process.end().await, "it ends well");
    let calls = journaled(&gateway).await;
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call["outcome"] == "ok" && call["status"] == 200), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_the_drain_is_told_and_recorded() {
    let (slow, streaming) = (slow().await, streaming().await);
    let mut gateway = gateway(&slow, &streaming, "300ms").await;
    // This one never comes as far as an upstream: half of its body is missing.
    let mut half = raw::Connection::open(gateway.authority()).await;
    let request = call("slow").to_http1(gateway.authority());
    half.send(&request[..request.len() - 5]).await.unwrap();
    let calls = begin(&gateway, "slow");
    at_upstream(&slow, 2).await;
    let (mut stream, mut stream_http2) = (open_stream(&gateway).await, open_stream_http2(&gateway).await);
    gateway.process.signal("-TERM");
    for call in calls {
        let response = timeout(PATIENCE, call).await.unwrap().unwrap().unwrap();
        assert_eq!(response.status, 503, "{}", response.text());
        assert_eq!(response.message()["error"]["code"], -31503);
    }
    let last = stream.read_chunk().await.unwrap().expect("a last event");
    assert!(String::from_utf8_lossy(&last).contains("-31503"));
    assert_eq!(stream.read_chunk().await.expect("a proper end"), None);
    let last = stream_http2.data().await.expect("a last event").unwrap();
    assert!(String::from_utf8_lossy(&last).contains("-31503"));
    assert!(stream_http2.data().await.is_none() && stream_http2.is_end_stream(), "a proper end");
    timeout(PATIENCE, half.closed()).await.expect("the connection is closed");
    assert!(gateway.process.end().await, "it ends well");
    let calls = journaled(&gateway).await;
    assert_eq!(calls.len(), 5);
    let (sent, unsent): (Vec<_>, Vec<_>) = calls.iter().partition(|call| !call["tool"].is_null());
    assert!(sent.iter().all(|call| call["outcome"] == "failed" && call["error"] == "shutting_down"), "{sent:?}");
    assert!(unsent.len() == 1 && unsent[0]["outcome"] == "unknown", "{unsent:?}");
}
