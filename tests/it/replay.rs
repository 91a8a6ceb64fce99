//! Bodies on their way to the upstream: whole, exact, once. The proxy reads each body before it judges it and then has
//! to play it again, which its library does not do by itself (`server/replay.rs`); this is the proof that it does.

use crate::support::gateway::{Gateway, Setup, legacy, modern_call};
use crate::support::http::{Connection, Request, Response, VERSIONS, Version};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.echo", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

/// Sizes around which buffers of the library end, and some beyond.
const SIZES: [usize; 6] = [1_300, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 200_000, 900_000];

/// What becomes of a body between client and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing: a modern client, a modern upstream, the tool's own name.
    None,
    /// It grows by what a modern upstream demands of each request and a legacy client does not send.
    Grows,
    /// It shrinks by the upstream's name, which an endpoint of several upstreams puts before the tool's.
    Shrinks,
}

async fn recorder() -> Upstream {
    let echo = json!({"name": "echo", "inputSchema": {"type": "object", "properties": {"value": {}}}});
    Upstream::start(Speaks::Modern, vec![echo]).await
}

/// A gateway whose upstreams `one` and `two` are both `upstream`, reached over `version`.
async fn gateway(upstream: &Upstream, version: Version) -> Gateway {
    let http = if version == Version::Http1 { "http1" } else { "http2" };
    let setup = Setup::new(&[("one", upstream.url()), ("two", upstream.url())], POLICY);
    setup.upstream("one", "http", json!(http)).upstream("two", "http", json!(http)).start().await
}

/// A call of exactly `size` bytes, spelled as no serialiser spells it.
fn odd_call(tool: &str, meta: &str, size: usize) -> String {
    let body = |padding: &str| {
        format!(
            r#"{{ "params" : {{"arguments":{{"value":"{padding}","n" : 1.50E+1, "big":123456789012345678901234567890,
 "text":"\u0041\/é"}},"name":"{tool}"{meta}}},"id": "a\u0062c","method":"tools/call" ,"jsonrpc":"2.0"}}"#
        )
    };
    body(&"x".repeat(size - body("").len()))
}

fn odd_request(change: Change, session: &[(String, String)], size: usize) -> Request {
    let (endpoint, tool) = if change == Change::Shrinks { ("work", "one.echo") } else { ("one", "echo") };
    let mut request = if change == Change::Grows {
        legacy(endpoint, "tools/call", json!({}))
    } else {
        modern_call(endpoint, tool, &json!({}))
    };
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let meta = if change == Change::Grows { String::new() } else { format!(r#","_meta":{}"#, body["params"]["_meta"]) };
    request.body = odd_call(tool, &meta, size).into_bytes();
    if change == Change::Grows {
        request.headers.extend(session.to_vec());
        return request;
    }
    request.bearer(&token("ana", &["tester"]))
}

/// What of `sent` must have arrived; `None` where only a part of it is known.
fn expected(change: Change, sent: &[u8]) -> Option<Vec<u8>> {
    match change {
        Change::None => Some(sent.to_vec()),
        Change::Shrinks => Some(String::from_utf8_lossy(sent).replace(r#""one.echo""#, r#""echo""#).into_bytes()),
        Change::Grows => None,
    }
}

fn check(change: Change, sent: &[u8], seen: &Seen) {
    let length = seen.header("content-length").map(|length| length.parse::<usize>().unwrap());
    assert_eq!(length.unwrap_or(seen.body.len()), seen.body.len(), "{change:?}: content-length");
    assert_eq!(seen.header("transfer-encoding"), None, "{change:?}");
    assert_eq!(seen.header("mcp-name"), Some("echo"), "{change:?}");
    if let Some(expected) = expected(change, sent) {
        assert_eq!(seen.body.len(), expected.len(), "{change:?}");
        assert_eq!(Sha256::digest(&seen.body), Sha256::digest(&expected), "{change:?}");
        return;
    }
    let (sent, arrived) = (String::from_utf8_lossy(sent), String::from_utf8_lossy(&seen.body));
    let arguments = &sent[sent.find(r#"{"value""#).unwrap()..=sent.find("}").unwrap()];
    assert!(arrived.contains(arguments), "{change:?}: the arguments are not as they were sent");
    assert!(arrived.len() > sent.len());
    assert_eq!(seen.json()["id"], "abc");
    assert_eq!(seen.json()["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
}

async fn every_body_arrives(up: Version) {
    let upstream = recorder().await;
    let gateway = gateway(&upstream, up).await;
    let session = gateway.legacy_session("one", &token("ana", &["tester"])).await;
    for down in VERSIONS {
        let mut connection = Connection::open(gateway.authority(), down).await;
        for change in [Change::None, Change::Grows, Change::Shrinks] {
            for size in SIZES {
                let request = odd_request(change, &session, size);
                let before = upstream.calls().len();
                let response = connection.exchange(&request).await;
                let response = response.unwrap_or_else(|error| panic!("{down:?} {up:?} {change:?} {size}: {error}"));
                assert_eq!(response.status, 200, "{down:?} {up:?} {change:?} {size}: {}", response.text());
                assert_eq!(response.message()["id"], "abc");
                let calls = upstream.calls();
                assert_eq!(calls.len(), before + 1, "{down:?} {up:?} {change:?} {size}");
                assert_eq!(calls[before].version, up);
                check(change, &request.body, &calls[before]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_reaches_an_http1_upstream_whole() {
    every_body_arrives(Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_reaches_an_http2_upstream_whole() {
    every_body_arrives(Version::Http2).await;
}

/// The instrument itself, with no gateway between.
#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_keeps_every_byte() {
    let upstream = recorder().await;
    let url = upstream.url();
    for version in VERSIONS {
        let mut connection = Connection::open(crate::support::gateway::authority(&url), version).await;
        for size in SIZES {
            let mut request = odd_request(Change::None, &[], size);
            request.path = "/mcp".into();
            let response = connection.exchange(&request).await.unwrap();
            assert_eq!((response.status, &response.message()["id"]), (200, &json!("abc")));
            let calls = upstream.calls();
            let seen = calls.last().unwrap();
            assert_eq!((seen.version, seen.abandoned), (version, false));
            check(Change::None, &request.body, seen);
        }
    }
    let connections: Vec<_> = upstream.calls().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [vec![1; SIZES.len()], vec![2; SIZES.len()]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let upstream = recorder().await;
    let gateway = gateway(&upstream, Version::Http1).await;
    let mut connection = Connection::open(gateway.authority(), Version::Http1).await;
    let token = token("ana", &["tester"]);
    let good = modern_call("one", "echo", &json!({"value": 1})).bearer(&token);
    let refused = modern_call("one", "no_such_tool", &json!({})).bearer(&token);
    for request in [&good, &refused, &good, &refused, &good] {
        assert_eq!(connection.exchange(request).await.unwrap().status, 200);
    }
    let connections: Vec<_> = upstream.calls().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 3);
    assert!(connections.iter().all(|number| *number == connections[0]), "{connections:?}");
}

async fn a_client_leaves(up: Version) {
    let upstream = recorder().await;
    upstream.answer(Answer { status: 200, headers: Vec::new(), body: Body::Silent });
    let gateway = gateway(&upstream, up).await;
    let request = modern_call("one", "echo", &json!({"value": 1})).bearer(&token("ana", &["tester"]));
    let authority = gateway.authority().to_owned();
    let client = tokio::spawn(async move {
        let mut connection = Connection::open(&authority, Version::Http1).await;
        connection.exchange(&request).await
    });
    wait_until("the call is at the upstream", PATIENCE, async || upstream.calls().pop()).await;
    client.abort();
    wait_until("the upstream is left too", PATIENCE, async || upstream.calls().pop().filter(|seen| seen.abandoned))
        .await;
    let call = gateway.ended_call(|call| call["tool"] == "one.echo").await;
    assert_eq!(call["outcome"], "cancelled", "{call:?}");
    assert_eq!(upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_cancels_its_call_over_http1() {
    a_client_leaves(Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_cancels_its_call_over_http2() {
    a_client_leaves(Version::Http2).await;
}

fn assert_unavailable(response: &Response) {
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(response.message()["error"]["code"], -31502, "{}", response.text());
    assert_eq!(response.message()["id"], 1);
}

/// The upstream may have run the call: nobody but the client may send it again (MCP 2026-07-28, changelog 9).
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_upstream_dropped_is_not_sent_again() {
    let upstream = recorder().await;
    let gateway = gateway(&upstream, Version::Http1).await;
    let token = token("ana", &["tester"]);
    let call = async |number: u32| gateway.modern_call("one", &token, "echo", &json!({"value": number})).await;
    let dropped = Answer { status: 200, headers: Vec::new(), body: Body::Closed };
    upstream.answer(dropped.clone());
    assert_unavailable(&call(1).await);
    upstream.answer(Answer::text("fine"));
    assert_eq!(call(2).await.status, 200);
    // Now on a connection that was used before, where the library would gladly try another one.
    upstream.answer(dropped);
    assert_unavailable(&call(3).await);
    let values: Vec<_> =
        upstream.calls().iter().map(|seen| seen.json()["params"]["arguments"]["value"].clone()).collect();
    assert_eq!(values, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_call_reaches_a_legacy_upstream_in_a_session() {
    let echo = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Legacy, vec![echo]).await;
    let gateway = gateway(&upstream, Version::Http1).await;
    let response = gateway.modern_call("one", &token("ana", &["tester"]), "echo", &json!({"value": 1})).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.message()["result"]["resultType"], "complete");
    let seen = upstream.calls().pop().unwrap();
    assert_eq!(seen.header("mcp-session-id"), Some("recorded-session"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(seen.json()["params"]["arguments"], json!({"value": 1}));
    let methods: Vec<_> = upstream.seen().iter().map(|seen| seen.json()["method"].clone()).collect();
    assert!(
        methods.contains(&json!("initialize")) && methods.contains(&json!("notifications/initialized")),
        "{methods:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_the_client_before_the_next_one_is_there() {
    let upstream = recorder().await;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"resultType":"complete"}}"#;
    let pieces = [progress, result].map(|data| format!("event: message\ndata: {data}\n\n").into_bytes());
    upstream.answer(Answer::new(200, "text/event-stream", Body::Gated(pieces.to_vec())));
    let gateway = gateway(&upstream, Version::Http1).await;
    let mut connection = raw::Connection::open(gateway.authority()).await;
    let mut request = modern_call("one", "echo", &json!({"value": 1})).bearer(&token("ana", &["tester"]));
    request.headers.push(("host".into(), gateway.authority().to_owned()));
    connection.send(&request.to_http1(gateway.authority())).await.unwrap();
    upstream.release();
    let (status, headers) = connection.read_response_head().await.unwrap();
    assert_eq!(status, 200);
    assert!(headers.contains(&("content-type".into(), "text/event-stream".into())), "{headers:?}");
    let first = connection.read_chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("notifications/progress"));
    upstream.release();
    let mut rest = Vec::new();
    while let Some(chunk) = connection.read_chunk().await.unwrap() {
        rest.extend(chunk);
    }
    assert!(String::from_utf8_lossy(&rest).contains(r#""result""#));
}
