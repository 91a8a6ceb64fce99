//! What an upstream asks a client: it reaches the client that can be asked and nobody else, and so does the answer.

use super::stage::{
    Client, POLICY, able, answers, before, done, elicitation, event, gated, is, script, seen, server, start, streamed,
};
use crate::support::gateway::{LEGACY, Setup, modern_call};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reaches_the_client_and_its_answer_the_upstream_once() {
    let upstream = server().await;
    script(&upstream, |seen| is(seen, "tools/call").then(|| gated(vec![event(&elicitation(0)), event(&done(seen))])));
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let (same_user, stranger) = (Client::open(&gateway, "ana").await, Client::open(&gateway, "bob").await);
    upstream.release();
    let mut call = client.call(&json!(5)).await;
    let question = call.message().await;
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "ask [REDACTED:EMAIL]", "it is redacted as an answer is: {question}");
    let id = question["id"].clone();
    assert!(id.as_str().is_some_and(|id| id.len() == 32), "it is one of ours: {id}");

    let accept = json!({"action": "accept", "content": {"secret-of-the-user": 1}});
    for other in [&same_user, &stranger] {
        assert_eq!(other.answer(&id, &accept).await.status, 202);
    }
    for guess in [json!(0), json!("0"), json!("00000000000000000000000000000000"), json!(-1)] {
        assert_eq!(client.answer(&guess, &accept).await.status, 202);
    }
    let mut without = client.message(&json!({"jsonrpc": "2.0", "id": id, "result": accept}));
    without = without.without("mcp-session-id");
    assert_eq!(gateway.send(&without).await.status, 400, "no session, no question");
    assert!(answers(&upstream).is_empty(), "none of these answers anything");

    assert_eq!(client.answer(&id, &accept).await.status, 202);
    assert_eq!(answers(&upstream), [json!({"jsonrpc": "2.0", "id": 0, "result": accept})]);
    assert_eq!(client.answer(&id, &accept).await.status, 202);
    assert_eq!(answers(&upstream).len(), 1, "a question has one answer");
    upstream.release();
    assert_eq!(call.message().await["id"], 5);
    assert!(call.next().await.is_none());

    let rows = gateway.ended_calls(2, |row| row["method"] == "elicitation/create" && row["outcome"] == "ok").await;
    assert!(rows.iter().all(|row| row["upstream"] == "old" && row["subject"] == "ana"), "{rows:?}");
    assert_eq!(rows[0]["detail"], "the client was asked");
    assert!(rows[1]["detail"].as_str().is_some_and(|detail| detail.starts_with("session ")), "{rows:?}");
    let refused = gateway.ended_calls(7, |row| row["error"] == "unknown_question").await;
    assert!(refused.iter().all(|row| row["outcome"] == "refused"), "{refused:?}");
    let rows = format!("{:?}", gateway.calls().await);
    assert!(!rows.contains("secret-of-the-user"), "what was answered is not kept");
    let tool = gateway.ended_call(|row| row["tool"] == "old.echo").await;
    assert_eq!(tool["outcome"], "ok");
    assert!(tool["redactions"].to_string().contains("email"), "{tool:?}");
}

/// A second call of the same session has questions of its own, under the same ids upstream.
#[tokio::test(flavor = "multi_thread")]
async fn equal_ids_of_several_calls_are_told_apart() {
    let upstream = server().await;
    script(&upstream, |seen| {
        is(seen, "tools/call").then(|| streamed(vec![event(&elicitation(0)), event(&done(seen))]))
    });
    let gateway = Arc::new(before(&upstream).await);
    let (ana, bob) = (Client::open(&gateway, "ana").await, Client::open(&gateway, "bob").await);
    let (mut one, mut two) = tokio::join!(async { ana.call(&json!(1)).await }, async { bob.call(&json!(1)).await });
    let (first, second) = (one.message().await["id"].clone(), two.message().await["id"].clone());
    assert_ne!(first, second);
    assert!(one.message().await["result"].is_object() && two.message().await["result"].is_object());
    assert_eq!(bob.answer(&second, &json!({"of": "bob"})).await.status, 202);
    assert_eq!(ana.answer(&first, &json!({"of": "ana"})).await.status, 202);
    let posted: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.json()["result"].is_object()).collect();
    let sessions: BTreeSet<_> = posted.iter().map(|seen| seen.header("mcp-session-id").unwrap()).collect();
    assert_eq!(sessions.len(), 2, "each answer goes to the session that asked");
}

/// Whoever can't be asked is not asked, and the upstream need not wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_did_not_declare_is_refused_in_its_place() {
    let upstream = server().await;
    let question =
        |id: i64, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    script(&upstream, move |seen| {
        let all = vec![
            event(&question(0, "sampling/createMessage", json!({"messages": [], "maxTokens": 1, "tools": []}))),
            event(&question(
                1,
                "elicitation/create",
                json!({"mode": "url", "url": "https://x.example", "elicitationId": "1"}),
            )),
            event(&question(2, "elicitation/create", json!({"mode": 7}))),
            event(&question(3, "tools/call", json!({"name": "x"}))),
            event(&question(4, "no/such", json!({}))),
            event(&question(5, "ping", json!({}))),
            event(&done(seen)),
        ];
        is(seen, "tools/call").then(|| streamed(all))
    });
    let gateway = Arc::new(before(&upstream).await);
    let able = Client::open(&gateway, "ana").await;
    let unable = Client::with(&gateway, "ana", json!({}), LEGACY).await;
    for (client, passed) in [(&able, vec!["ping"]), (&unable, vec!["ping"])] {
        let mut call = client.call(&json!(1)).await;
        let mut methods = Vec::new();
        while let Some(event) = call.next().await {
            let message = event.json();
            methods.extend(message["method"].as_str().map(str::to_owned));
        }
        assert_eq!(methods, passed);
    }
    let refused = wait_until("the refusals have come", PATIENCE, async || {
        let refused: Vec<_> =
            answers(&upstream).into_iter().filter(|answer| answer["error"]["code"] == -32601).collect();
        // Some may be left out where too many are on their way.
        (refused.len() >= 8).then_some(refused)
    })
    .await;
    assert!(refused.iter().all(|answer| answer["id"].as_i64().is_some_and(|id| id < 5)), "{refused:?}");
    let rows = gateway.ended_calls(10, |row| row["error"] == "method_not_found").await;
    assert!(rows.iter().all(|row| row["outcome"] == "refused" && row["upstream"] == "old"), "{rows:?}");
}

/// A modern caller and one without a session share sessions upstream in which nobody can be asked.
#[tokio::test(flavor = "multi_thread")]
async fn callers_without_a_session_are_asked_nothing() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let events = vec![
            event(&elicitation(0)),
            event(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})),
            event(&done(seen)),
        ];
        is(seen, "tools/call").then(|| streamed(events))
    });
    let gateway = before(&upstream).await;
    let response = gateway.send(&modern_call("old", "echo", &json!({})).bearer(&token("ana", &["tester"]))).await;
    assert_eq!(response.messages().len(), 1, "{}", response.text());
    let declared: Vec<_> = seen(&upstream, "initialize", 2).await;
    assert_eq!(declared.last().unwrap().json()["params"]["capabilities"], json!({}), "nothing is declared for it");
    wait_until("both are answered", PATIENCE, async || (answers(&upstream).len() == 2).then_some(())).await;
    for answer in answers(&upstream) {
        let expected =
            if answer["id"] == 0 { answer["error"]["code"] == -32601 } else { answer["result"] == json!({}) };
        assert!(expected, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_questions_is_bounded() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let mut events: Vec<_> = (0..500).map(|id| event(&elicitation(id))).collect();
        events.push(event(&done(seen)));
        is(seen, "tools/call").then(|| streamed(events))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut call = client.call(&json!(1)).await;
    let mut asked = 0;
    let answer = loop {
        let message = call.message().await;
        if message["method"].is_null() {
            break message;
        }
        asked += 1;
    };
    assert_eq!((asked, &answer["id"]), (64, &json!(1)));
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains(r#"portcullis_questions_total{method="elicitation/create",outcome="refused"} 436"#),
        "{metrics}"
    );
    // All of them were written before the end of the call.
    gateway.ended_call(|row| row["tool"] == "old.echo").await;
    let rows: Vec<_> = gateway.calls().await.into_iter().filter(|row| row["error"] == "too_many_at_once").collect();
    let (sums, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row["method"] == "journal/summary");
    assert_eq!(rows.len(), 16, "what is beyond that is counted");
    let put: Vec<_> = gateway.calls().await.into_iter().filter(|row| row["detail"] == "the client was asked").collect();
    assert_eq!(put.len(), 16, "and so is what reaches the client");
    // And summed up when the call is over.
    assert!(sums.len() <= 1);
    let said = |row: &serde_json::Map<_, Value>, count: &str| {
        row["subject"] == "ana" && row["detail"].as_str().is_some_and(|detail| detail.starts_with(count))
    };
    gateway.ended_call(|row| said(row, "420 refused questions are not recorded one by one")).await;
    gateway.ended_call(|row| said(row, "48 questions to the client are not recorded one by one")).await;
}

/// The upstream changes its mind: its client is told so under the id that it knows, and its answer goes nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_taken_back_is_closed() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let cancel =
            |id: i64| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
        let events = vec![event(&elicitation(0)), event(&cancel(3)), event(&cancel(0)), event(&done(seen))];
        is(seen, "tools/call").then(|| streamed(events))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut call = client.call(&json!(1)).await;
    let id = call.message().await["id"].clone();
    let cancelled = call.message().await;
    assert_eq!((&cancelled["method"], &cancelled["params"]["requestId"]), (&json!("notifications/cancelled"), &id));
    assert!(call.message().await["result"].is_object());
    assert_eq!(client.answer(&id, &json!({})).await.status, 202);
    assert!(answers(&upstream).is_empty());
}

/// The answer belongs to a call that holds its caller's only place.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_needs_no_place_of_its_own_and_may_take_longer_than_a_call() {
    let upstream = server().await;
    script(&upstream, |seen| is(seen, "tools/call").then(|| gated(vec![event(&elicitation(0)), event(&done(seen))])));
    let policy = format!("{POLICY}limits: [{{ per: [user], rate: 6000/m, burst: 6000, concurrency: 1 }}]\n");
    let setup = Setup::new(&[("old", upstream.url())], &policy).upstream("old", "timeout", json!("3s"));
    let gateway = Arc::new(start(setup).await);
    let client = Client::open(&gateway, "ana").await;
    upstream.release();
    let mut call = client.call(&json!(1)).await;
    let id = call.message().await["id"].clone();
    // Longer than the upstream's timeout.
    let began = std::time::Instant::now();
    wait_until("a person has thought", PATIENCE, async || (began.elapsed().as_millis() > 4000).then_some(())).await;
    assert_eq!(client.answer(&id, &json!({})).await.status, 202);
    upstream.release();
    assert!(call.message().await["result"].is_object());
    // And when nobody is asked, its silence is what it ever was.
    let mut silent = client.call(&json!(2)).await;
    upstream.release();
    let question = silent.message().await;
    assert_eq!(client.answer(&question["id"], &json!({})).await.status, 202);
    assert_eq!(silent.message().await["error"]["code"], -31504);
}

/// What is sent to a client of an older revision is what that revision knows.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_told_which_revision_the_client_speaks() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = Client::with(&gateway, "ana", able(), version).await;
        assert_eq!(client.call(&json!(1)).await.whole().await["result"]["content"][0]["text"], "fine");
        let hello = seen(&upstream, "initialize", 1).await.pop().unwrap().json();
        assert_eq!(hello["params"]["protocolVersion"], version);
        assert_eq!(hello["params"]["capabilities"], able());
    }
}
