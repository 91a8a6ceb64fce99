//! Upstreams that speak 2025-11-25 and know their callers by session alone: whose session it is, and what becomes of it.

use crate::support::gateway::{Gateway, Setup, legacy, modern_call};
use crate::support::http::Response;
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
limits: [{ per: [user], rate: 6000/m, burst: 6000, concurrency: 40 }]
"#;

/// The sessions that a server has opened and not forgotten.
type Known = Arc<Mutex<BTreeSet<String>>>;

/// A server that gives each handshake a session of its own and answers `lost` to those it does not know.
async fn server(lost: u16) -> (Upstream, Known) {
    let tool = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Legacy, vec![tool]).await;
    let known = Known::default();
    let (sessions, count, usual, url) = (known.clone(), AtomicUsize::new(0), upstream.answers(), upstream.url());
    upstream.behave(move |seen| {
        if is(seen, "initialize") {
            let session = format!("{url}-{}", count.fetch_add(1, Ordering::SeqCst));
            sessions.lock().unwrap().insert(session.clone());
            let mut answer = usual(seen);
            answer.headers.retain(|(name, _)| name != "mcp-session-id");
            answer.headers.push(("mcp-session-id".into(), session));
            return Some(answer);
        }
        let session = seen.header("mcp-session-id")?;
        if seen.method == "DELETE" {
            sessions.lock().unwrap().remove(session);
            return Some(Answer::nothing(200));
        }
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
        (!sessions.lock().unwrap().contains(session)).then(|| Answer { status: lost, ..Answer::json(error) })
    });
    (upstream, known)
}

fn before(servers: &[&Upstream]) -> Setup {
    let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
    let setup = Setup::new(&[("old", String::new())], POLICY).replicas("old", &urls);
    setup.upstream("old", "refresh", json!("1h")).upstream("old", "health_interval", json!("1h"))
}

/// Starts it and waits until the tools are known.
async fn start(setup: Setup) -> Gateway {
    let gateway = setup.start().await;
    let found = async || (gateway.readiness().await["upstreams"]["old"]["tools"] == 1).then_some(());
    wait_until("the tools are known", PATIENCE, found).await;
    gateway
}

fn is(seen: &Seen, method: &str) -> bool {
    seen.json()["method"] == method
}

async fn call(gateway: &Gateway, user: &str) -> Response {
    gateway.modern_call("old", &token(user, &["tester"]), "echo", &json!({})).await
}

async fn expect(gateway: &Gateway, user: &str, status: u16) {
    let response = call(gateway, user).await;
    assert_eq!(response.status, status, "{}", response.text());
}

fn session(seen: &Seen) -> String {
    seen.header("mcp-session-id").unwrap().to_owned()
}

fn handshakes(upstream: &Upstream) -> usize {
    upstream.seen().iter().filter(|seen| is(seen, "initialize")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_principal_has_one_session_of_its_own() {
    let (upstream, _) = server(404).await;
    let gateway = start(before(&[&upstream])).await;
    let before = handshakes(&upstream);
    let responses = futures::future::join_all((0..8).map(|_| call(&gateway, "ana"))).await;
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    assert_eq!(handshakes(&upstream), before + 1, "calls that come at once share one handshake");
    let of_ana: BTreeSet<_> = upstream.calls().iter().map(session).collect();
    assert_eq!(of_ana.len(), 1);
    for claims in [
        Claims::new("bob", &["tester"]),
        Claims::new("ana", &["tester"]).with("tid", json!("other-tenant")),
        Claims::new("ana", &["tester"]).with("azp", json!("other-agent")),
    ] {
        let before: BTreeSet<_> = upstream.calls().iter().map(session).collect();
        let response = gateway.modern_call("old", &claims.sign(), "echo", &json!({})).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(!before.contains(&session(upstream.calls().last().unwrap())), "{claims:?}");
    }
}

/// The discovery's own session is closed when it has what it came for.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_needed_any_more_is_closed() {
    let (upstream, known) = server(404).await;
    let gateway = start(before(&[&upstream])).await;
    wait_until("no session is open", PATIENCE, async || known.lock().unwrap().is_empty().then_some(())).await;
    let farewell = upstream.seen().into_iter().find(|seen| seen.method == "DELETE").unwrap();
    assert!(farewell.body.is_empty() && farewell.header("x-gateway-auth").is_some(), "{farewell:?}");
    expect(&gateway, "ana", 200).await;
    assert_eq!(known.lock().unwrap().len(), 1);
}

/// 404 says that the call was not taken, so it may be sent once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_upstream_forgot_is_opened_anew() {
    let (upstream, known) = server(404).await;
    let gateway = start(before(&[&upstream])).await;
    expect(&gateway, "ana", 200).await;
    known.lock().unwrap().clear();
    let (calls, opened) = (upstream.calls().len(), handshakes(&upstream));
    let responses = futures::future::join_all((0..4).map(|_| call(&gateway, "ana"))).await;
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    assert_eq!(handshakes(&upstream), opened + 1);
    let known = known.lock().unwrap().clone();
    let taken = upstream.calls().iter().skip(calls).filter(|seen| known.contains(&session(seen))).count();
    assert_eq!(taken, 4, "each call was taken once");
    let rows = gateway.ended_calls(5, |row| row["tool"] == "old.echo").await;
    assert!(rows.iter().all(|row| row["outcome"] == "ok"), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_forgets_every_session_is_asked_twice_and_no_more() {
    let (upstream, _) = server(404).await;
    let gateway = start(before(&[&upstream])).await;
    upstream.answer(Answer { status: 404, ..Answer::json("{}") });
    expect(&gateway, "ana", 502).await;
    assert_eq!(upstream.calls().len(), 2);
    upstream.answer(Answer::text("fine"));
    expect(&gateway, "ana", 200).await;
}

/// Some servers say 400, the reference server among them; it proves nothing of the call, so the call is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_answered_with_400_fails_and_the_next_opens_a_session() {
    let (upstream, known) = server(400).await;
    let gateway = start(before(&[&upstream])).await;
    expect(&gateway, "ana", 200).await;
    known.lock().unwrap().clear();
    let calls = upstream.calls().len();
    expect(&gateway, "ana", 502).await;
    assert_eq!(upstream.calls().len(), calls + 1);
    expect(&gateway, "ana", 200).await;
}

/// It speaks of the call, where it answers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_with_400_is_answered_and_its_session_stays() {
    let (upstream, known) = server(404).await;
    let gateway = start(before(&[&upstream])).await;
    expect(&gateway, "ana", 200).await;
    let (opened, refusal) =
        (handshakes(&upstream), r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"no such city"}}"#);
    upstream.answer(Answer { status: 400, ..Answer::json(refusal) });
    let response = call(&gateway, "ana").await;
    assert_eq!((response.status, &response.message()["error"]["message"]), (400, &json!("no such city")));
    let ours = legacy("old", "tools/call", json!({"name": "echo", "arguments": {}})).bearer(&token("ana", &["tester"]));
    let response = gateway.send(&ours).await;
    assert_eq!((response.status, &response.message()["error"]["code"]), (200, &json!(-32602)));
    let session = gateway.legacy_session("old", &token("bob", &["tester"])).await;
    for _ in 0..2 {
        let mut within = legacy("old", "tools/call", json!({"name": "echo", "arguments": {}}));
        within.headers.extend(session.clone());
        let response = gateway.send(&within).await;
        assert_eq!(
            (response.status, &response.message()["error"]["code"]),
            (200, &json!(-32602)),
            "{}",
            response.text()
        );
    }
    upstream.answer(Answer::text("fine"));
    expect(&gateway, "ana", 200).await;
    assert_eq!(handshakes(&upstream), opened + 1, "bob's");
    assert_eq!(known.lock().unwrap().len(), 2);
    let row = gateway.ended_call(|row| row["outcome"] == "tool_error").await;
    assert_eq!(row["tool"], "old.echo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_replica_dies_is_opened_at_another() {
    let ((mut one, _), (two, _)) = (server(404).await, server(404).await);
    let gateway = start(before(&[&one, &two])).await;
    // Until a caller is bound to the first.
    let users: Vec<_> = (0..8).map(|number| format!("user-{number}")).collect();
    for user in &users {
        expect(&gateway, user, 200).await;
    }
    assert!(!one.calls().is_empty() && !two.calls().is_empty(), "sessions are spread");
    one.stop().await;
    for user in &users {
        expect(&gateway, user, 200).await;
    }
    assert_eq!(one.calls().len() + two.calls().len(), 16, "each call was sent once");
}

/// A session is not a thing of the upstream's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_not_follow_its_upstream_to_another_address() {
    let ((one, known), (two, known_there)) = (server(404).await, server(404).await);
    let setup = before(&[&one]);
    let mut upstreams = setup.upstreams.clone();
    let gateway = start(setup).await;
    expect(&gateway, "ana", 200).await;

    // A call that runs keeps its session until it ends.
    let answer = r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"late"}}"#;
    one.answer(Answer::new(200, "application/json", Body::Gated(vec![answer.into()])));
    let reload = async {
        wait_until("the call runs", PATIENCE, async || (one.calls().len() == 2).then_some(())).await;
        upstreams["upstreams"]["old"]["urls"] = json!([two.url()]);
        gateway.replace_upstreams(&upstreams);
        let moved = async || {
            expect(&gateway, "bob", 200).await;
            (!two.calls().is_empty()).then_some(())
        };
        one.answer(Answer::text("fine"));
        wait_until("calls go to the new address", PATIENCE, moved).await;
        assert!(known.lock().unwrap().contains(&session(&one.calls()[1])), "the running call's session is open");
        one.release();
    };
    tokio::join!(call(&gateway, "ana"), reload);
    wait_until("the old sessions are closed", PATIENCE, async || known.lock().unwrap().is_empty().then_some(())).await;
    expect(&gateway, "ana", 200).await;
    assert!(two.calls().iter().all(|seen| known_there.lock().unwrap().contains(&session(seen))));
}

/// Clients of one principal share its session, and number their requests alike.
#[tokio::test(flavor = "multi_thread")]
async fn calls_with_the_same_id_do_not_get_each_others_answers() {
    let server = Server::legacy().await;
    let gateway = Setup::new(&[("old", server.url())], POLICY).start().await;
    let found = async || gateway.readiness().await["upstreams"]["old"]["tools"].as_u64();
    wait_until("the tools are known", PATIENCE, found).await;
    let ana = token("ana", &["tester"]);
    let calls = [0.9, 0.6, 0.3].map(async |seconds| {
        let arguments = json!({"duration": seconds, "steps": 1});
        let tool = "trigger-long-running-operation";
        let modern = gateway.modern_call("old", &ana, tool, &arguments);
        let qualified = format!("old.{tool}");
        let plain = gateway.rest_invoke(&ana, &qualified, &arguments);
        let (modern, plain) = tokio::join!(modern, plain);
        let (message, plain) = (modern.message(), plain.message());
        let said = format!("Duration: {seconds} seconds");
        assert_eq!(message["id"], 1);
        for result in [&message["result"], &plain] {
            assert!(result["content"][0]["text"].as_str().is_some_and(|text| text.contains(&said)), "{said}: {result}");
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_own_id_in_every_answer() {
    let (upstream, _) = server(404).await;
    let gateway = start(before(&[&upstream])).await;
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-31000,"message":"no"}}"#;
    let event = |seen: &Seen| format!(r#"{{"jsonrpc":"2.0","result":{{"content":[]}},"id":{}}}"#, seen.json()["id"]);
    for id in [json!(7), json!("a \"b\""), json!(0)] {
        for streamed in [false, true] {
            let mut request = modern_call("old", "echo", &json!({})).bearer(&token("ana", &["tester"]));
            let mut body: Value = serde_json::from_slice(&request.body).unwrap();
            body["id"] = id.clone();
            request.body = body.to_string().into_bytes();
            upstream.answer(Answer::json(error));
            if streamed {
                upstream.behave(move |seen| is(seen, "tools/call").then(|| Answer::events(&[event(seen)], 5)));
            } else {
                upstream.behave(|_| None);
            }
            let response = gateway.send(&request).await;
            assert_eq!(response.message()["id"], id, "{}", response.text());
            assert_eq!(response.message()["result"].is_object(), streamed, "{}", response.text());
        }
    }
    let ids: BTreeSet<_> = upstream.calls().iter().map(|seen| seen.json()["id"].to_string()).collect();
    assert_eq!(ids.len(), upstream.calls().len(), "the upstream sees no id twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_hangs_is_given_up_by_all_who_wait_for_it_at_once() {
    let (upstream, _) = server(404).await;
    let gateway = start(before(&[&upstream]).upstream("old", "timeout", json!("1s"))).await;
    upstream.behave(|seen| is(seen, "initialize").then(|| Answer::new(200, "application/json", Body::Silent)));
    let start = Instant::now();
    let responses = futures::future::join_all((0..10).map(|_| call(&gateway, "ana"))).await;
    assert!(responses.iter().all(|response| response.status == 504), "{responses:?}");
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    assert!(upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_must_end_in_a_revision_that_has_handshakes() {
    let (upstream, _) = server(404).await;
    let gateway = start(before(&[&upstream])).await;
    for version in ["2026-07-28", "2099-01-01", "", "1\\r\\nx: y"] {
        let answer =
            format!(r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{version}","capabilities":{{}}}}}}"#);
        upstream.behave(move |seen| is(seen, "initialize").then(|| Answer::json(&answer)));
        expect(&gateway, "ana", 502).await;
    }
    assert!(upstream.calls().is_empty());
}
