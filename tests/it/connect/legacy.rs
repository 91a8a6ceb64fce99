//! What the bridge does for clients of 2025-11-25 and earlier: the handshake, the session, its stream, and requests that go
//! the other way.

use super::{Bridge, call, hello, request};
use crate::support::gateway::LEGACY;
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The sessions that a server has opened and not forgotten.
type Known = Arc<Mutex<BTreeSet<String>>>;

/// A server that gives each handshake a session of its own and answers `lost` to those it does not know.
async fn server(lost: u16) -> (Upstream, Known) {
    let upstream = Upstream::start(Speaks::Legacy, vec![]).await;
    let known = Known::default();
    let (sessions, count, usual) = (known.clone(), AtomicUsize::new(1), upstream.answers());
    upstream.behave(move |seen| {
        if is(seen, "initialize") {
            let session = format!("session-{}", count.fetch_add(1, Ordering::SeqCst));
            sessions.lock().unwrap().insert(session.clone());
            let mut answer = usual(seen);
            answer.headers.retain(|(name, _)| name != "mcp-session-id");
            answer.headers.push(("mcp-session-id".into(), session));
            return Some(answer);
        }
        let session = seen.header("mcp-session-id").unwrap_or_default();
        if seen.method == "DELETE" {
            sessions.lock().unwrap().remove(session);
            return Some(Answer::nothing(200));
        }
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
        (!sessions.lock().unwrap().contains(session)).then(|| Answer { status: lost, ..Answer::json(error) })
    });
    (upstream, known)
}

fn is(seen: &Seen, method: &str) -> bool {
    seen.json()["method"] == method
}

/// Verb, or method of JSON-RPC, and session of each request, in the order of the verbs' arrival.
fn told(upstream: &Upstream) -> Vec<String> {
    let tell = |seen: &Seen| {
        let what = seen.json()["method"].as_str().unwrap_or(&seen.method).to_owned();
        format!("{what} {}", seen.header("mcp-session-id").unwrap_or("-"))
    };
    upstream.seen().iter().map(tell).collect()
}

async fn until_told(upstream: &Upstream, what: &str) {
    let found = async || told(upstream).iter().any(|told| told == what).then_some(());
    wait_until(&format!("{what}: {:?}", told(upstream)), PATIENCE, found).await;
}

fn echo(id: i64) -> Value {
    request(id, "tools/call", call("echo", json!({"message": "hi"})))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_and_closed_at_the_end() {
    let (upstream, known) = server(404).await;
    let mut bridge = Bridge::legacy(&upstream.url(), &[]).await;
    assert_eq!(bridge.ask(&echo(1)).await["result"]["content"][0]["text"], "fine");
    until_told(&upstream, "GET session-1").await;
    let seen = upstream.seen();
    assert!(seen[0].header("mcp-session-id").is_none() && seen[0].header("mcp-protocol-version").is_none());
    assert!(seen[1..].iter().all(|seen| seen.header("mcp-protocol-version") == Some(LEGACY)));
    assert!(seen.iter().all(|seen| seen.header("mcp-method").is_none() && seen.header("mcp-name").is_none()));
    let log = bridge.log();
    assert!(!log.contains("session-1"), "{log}");
    bridge.end().await;
    assert!(known.lock().unwrap().is_empty(), "{:?}", told(&upstream));
    assert_eq!(upstream.seen().iter().filter(|seen| seen.method == "GET").count(), 1, "405: there is no stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_closes_the_session_too() {
    let (upstream, known) = server(404).await;
    let mut bridge = Bridge::legacy(&upstream.url(), &[]).await;
    bridge.ask(&echo(1)).await;
    bridge.process.signal("-TERM");
    assert!(bridge.process.end().await);
    assert!(known.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_before_the_handshake_that_it_came_after() {
    let upstream = Upstream::start(Speaks::Legacy, vec![]).await;
    let answer = json!({"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": LEGACY, "capabilities": {}}});
    let pieces = vec![answer.to_string().into_bytes()];
    upstream.behave(move |seen| {
        let body = Body::Gated(pieces.clone());
        is(seen, "initialize").then(|| Answer::new(200, "application/json", body))
    });
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    bridge.send(&hello());
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    bridge.send(&echo(1));
    wait_until("the handshake began", PATIENCE, async || (upstream.seen().len() == 1).then_some(())).await;
    upstream.release();
    bridge.answer(1).await;
    let told: Vec<_> = told(&upstream).into_iter().filter(|told| told != "GET -").collect();
    assert_eq!(told, ["initialize -", "notifications/initialized -", "tools/call -"]);
    bridge.end().await;
}

/// 404 proves that a call did not run, so it is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_forgot_is_opened_anew_unseen() {
    let (upstream, known) = server(404).await;
    let mut bridge = Bridge::legacy(&upstream.url(), &[]).await;
    until_told(&upstream, "GET session-1").await;
    known.lock().unwrap().clear();
    for id in 1..=5 {
        bridge.send(&echo(id));
    }
    for id in 1..=5 {
        assert_eq!(bridge.answer(id).await["result"]["content"][0]["text"], "fine");
    }
    until_told(&upstream, "GET session-2").await;
    let told = told(&upstream);
    let count = |what: &str| told.iter().filter(|told| *told == what).count();
    assert_eq!((count("initialize -"), count("notifications/initialized session-2")), (2, 1), "{told:?}");
    assert_eq!(count("tools/call session-2"), 5, "each ran once: {told:?}");
    let hellos: Vec<_> = upstream.seen().iter().filter(|seen| is(seen, "initialize")).map(Seen::json).collect();
    assert_eq!(hellos[0]["params"], hellos[1]["params"]);
    assert_eq!(bridge.messages().len(), 6, "the client saw one handshake and five answers");
    bridge.end().await;
}

/// 400 proves nothing, so the client must decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_have_run_is_not_sent_again() {
    let (upstream, known) = server(400).await;
    let mut bridge = Bridge::legacy(&upstream.url(), &[]).await;
    bridge.ask(&echo(1)).await;
    until_told(&upstream, "GET session-1").await;
    known.lock().unwrap().clear();
    let answer = bridge.ask(&echo(2)).await;
    assert_eq!(answer["error"]["code"], -31404);
    assert!(answer["error"]["message"].as_str().unwrap().contains("not sent again"), "{answer}");
    assert_eq!(upstream.calls().len(), 2);
    until_told(&upstream, "GET session-2").await;
    assert_eq!(bridge.ask(&echo(3)).await["result"]["content"][0]["text"], "fine");
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_opens_no_other_session_is_not_asked_for_ever() {
    let (upstream, _) = server(404).await;
    let mut bridge = Bridge::legacy(&upstream.url(), &[]).await;
    until_told(&upstream, "GET session-1").await;
    upstream.behave(|_| Some(Answer { status: 404, ..Answer::json("{}") }));
    let before = upstream.seen().len();
    let answer = bridge.ask(&echo(1)).await;
    assert_eq!(answer["error"]["code"], -31404, "{answer}");
    assert_eq!(told(&upstream)[before..], ["tools/call session-1", "initialize -"]);
    bridge.end().await;
}

fn event(id: &str, data: &str) -> String {
    format!("id: {id}\nretry: 50\ndata: {data}\n\n")
}

fn stream(text: &str) -> Answer {
    Answer::new(200, "text/event-stream", Body::Whole(text.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_says_by_itself_is_taken_up_where_it_broke_off() {
    let (upstream, _) = server(404).await;
    let usual = upstream.answers();
    upstream.behave(move |seen| match (seen.method.as_str(), seen.header("last-event-id")) {
        ("GET", None) => Some(stream(&event("a", r#"{"jsonrpc":"2.0","method":"notifications/one"}"#))),
        ("GET", Some("a")) => Some(stream(&event("b", r#"{"jsonrpc":"2.0","method":"notifications/two"}"#))),
        ("GET", Some("b")) => Some(Answer::new(200, "text/event-stream", Body::Silent)),
        _ => Some(usual(seen)),
    });
    let bridge = Bridge::legacy(&upstream.url(), &[]).await;
    for method in ["notifications/one", "notifications/two"] {
        bridge.message(method, |message| message["method"] == method).await;
    }
    let waiting = async || upstream.seen().iter().any(|seen| seen.header("last-event-id") == Some("b")).then_some(());
    wait_until("the stream is open again", PATIENCE, waiting).await;
    bridge.end().await;
}

/// MCP 2025-11-25 "Sending Messages to the Server": a server may close the stream of a call and be asked for it later.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_fetched_when_its_stream_broke_off() {
    let (upstream, _) = server(404).await;
    let usual = upstream.answers();
    upstream.behave(move |seen| match (seen.method.as_str(), seen.header("last-event-id")) {
        ("POST", _) if is(seen, "tools/call") => Some(stream(&event("p", ""))),
        ("GET", None) => Some(Answer::nothing(405)),
        ("GET", Some("p")) => Some(stream(&event("q", r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#))),
        ("GET", Some("q")) => Some(stream(&event("r", r#"{"result":{"late":true},"id":1,"jsonrpc":"2.0"}"#))),
        _ => Some(usual(seen)),
    });
    let mut bridge = Bridge::legacy(&upstream.url(), &[]).await;
    assert_eq!(bridge.ask(&echo(1)).await["result"]["late"], true);
    assert!(bridge.messages().iter().any(|message| message["method"] == "notifications/progress"));
    assert_eq!(upstream.calls().len(), 1);
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_is_told_to_the_server_and_left() {
    let (upstream, _) = server(404).await;
    upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let mut bridge = Bridge::legacy(&upstream.url(), &[]).await;
    bridge.send(&echo(1));
    wait_until("the call is there", PATIENCE, async || (upstream.calls().len() == 1).then_some(())).await;
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    until_told(&upstream, "notifications/cancelled session-1").await;
    wait_until("the call was left", PATIENCE, async || upstream.calls()[0].abandoned.then_some(())).await;
    bridge.end().await;
}

/// The reference server asks for roots when the client is ready, and for more within calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_ask_the_client() {
    let server = Server::legacy().await;
    let mut bridge = Bridge::legacy(&server.url(), &[]).await;
    let roots = bridge.message("request for roots", |message| message["method"] == "roots/list").await;
    let root = json!({"roots": [{"uri": "file:///home", "name": "mine"}]});
    bridge.send(&json!({"jsonrpc": "2.0", "id": roots["id"], "result": root}));
    bridge.send(&request(1, "tools/call", call("trigger-sampling-request", json!({"prompt": "hi", "maxTokens": 9}))));
    let sampling = bridge.message("sampling", |message| message["method"] == "sampling/createMessage").await;
    let said = json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "as I see it"}});
    bridge.send(&json!({"jsonrpc": "2.0", "id": sampling["id"], "result": said}));
    let answer = bridge.answer(1).await;
    assert!(answer.to_string().contains("as I see it"), "{answer}");
    bridge.send(&request(2, "tools/call", call("trigger-elicitation-request", json!({}))));
    let asked = bridge.message("elicitation", |message| message["method"] == "elicitation/create").await;
    bridge.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}}));
    let answer = bridge.answer(2).await;
    assert!(answer.to_string().contains("decline"), "{answer}");
    bridge.end().await;
}
