//! What is taken from a session while it lasts: by a policy that changes, by an upstream that refuses another caller, forgets
//! a session or is too slow. Nobody else's session suffers by it, and whoever waits is told.

use super::stage::{
    Client, POLICY, answers, before, done, elicitation, event, gated, is, listened, policy, script, seen, server,
    start, streamed,
};
use crate::support::gateway::{Setup, legacy};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn log(data: &str) -> String {
    event(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": data}}))
}

fn is_news(seen: &Seen) -> bool {
    seen.method == "GET" && seen.path == "/mcp"
}

/// Waits until the stream of news of the upstream's session `session` is closed by the gateway.
async fn closed(upstream: &Upstream, session: &str) {
    wait_until("its stream of news is closed", PATIENCE, async || {
        let of_it = |seen: &Seen| is_news(seen) && seen.header("mcp-session-id") == Some(session);
        upstream.seen().iter().any(|seen| of_it(seen) && seen.abandoned).then_some(())
    })
    .await;
}

/// An upstream of both families refuses one caller a session. Others keep theirs, and get new ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_gets_no_session_takes_nobody_s() {
    let upstream =
        Upstream::start(Speaks::Modern, vec![json!({"name": "echo", "inputSchema": {"type": "object"}})]).await;
    let (usual, count) = (upstream.answers(), AtomicUsize::new(0));
    upstream.behave(move |seen| {
        if !is(seen, "initialize") {
            return Some(usual(seen));
        }
        if seen.header("x-user-id") == Some("bob") {
            return Some(Answer::nothing(403));
        }
        let mut answer = Answer::json(
            r#"{"jsonrpc":"2.0","id":$ID,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"both","version":"1"}}}"#,
        );
        answer.headers.push(("mcp-session-id".into(), format!("s-{}", count.fetch_add(1, Ordering::SeqCst))));
        Some(answer)
    });
    let gateway = Arc::new(start(Setup::new(&[("old", upstream.url())], POLICY)).await);
    let call = async |client: &Client| {
        assert!(client.call(&json!(1)).await.whole().await["result"].is_object());
        upstream.calls().pop().unwrap().header("mcp-session-id").map(str::to_owned)
    };
    let (ana, bob) = (Client::open(&gateway, "ana").await, Client::open(&gateway, "bob").await);
    let own = call(&ana).await;
    assert!(own.is_some());
    assert_eq!(call(&bob).await, None, "it is served in newer words");
    assert_eq!(call(&ana).await, own);
    let later = call(&Client::open(&gateway, "cyd").await).await;
    assert!(later.is_some() && later != own);
}

/// Where a caller may not use anything of an upstream any more, it hears nothing of it either, and is asked nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_takes_an_upstream_away_ends_its_news() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let events = vec![event(&elicitation(0)), event(&elicitation(1)), log("more")];
        is_news(seen).then(|| gated(events))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = client.listen(None).await;
    client.call(&json!(1)).await.whole().await;
    let session = listened(&upstream, 1).await[0].header("mcp-session-id").unwrap().to_owned();
    upstream.release();
    assert_eq!(news.message().await["method"], "elicitation/create");
    let none = POLICY.replace("rules:", "rules:\n  - { id: no-more, effect: deny, tools: [\"old.*\"] }");
    policy(&gateway, &none).await;
    closed(&upstream, &session).await;
    // What is allowed again is heard again.
    policy(&gateway, POLICY).await;
    listened(&upstream, 2).await;
    upstream.release();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|method| method != "elicitation/create") {
        heard.push(news.message().await["method"].as_str().unwrap().to_owned());
    }
    assert_eq!(heard.iter().filter(|method| *method != "notifications/tools/list_changed").count(), 1, "{heard:?}");
}

/// That it may be read once somebody has agreed is not enough to be told of what happens to it.
#[tokio::test(flavor = "multi_thread")]
async fn news_are_of_what_may_be_read_now() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let updated =
            json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "test://watched"}});
        is_news(seen).then(|| gated(vec![event(&updated), event(&updated), log("last")]))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = client.listen(None).await;
    assert!(
        client.request("resources/subscribe", json!({"uri": "test://watched"})).await.message()["result"].is_object()
    );
    listened(&upstream, 1).await;
    upstream.release();
    assert_eq!(news.message().await["params"]["uri"], "test://watched");
    let reviewed = "rules:\n  - { id: ask, effect: review, resources: [\"old.test://watched\"], approvers: [other] }";
    policy(&gateway, &POLICY.replace("rules:", reviewed)).await;
    (0..2).for_each(|_| upstream.release());
    assert_eq!(news.message().await["params"]["data"], "last");
}

/// A session that is lost is not listened to beside the one that takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_lost_is_left() {
    let upstream = server().await;
    let lost = Arc::new(AtomicBool::new(false));
    let is_lost = Arc::clone(&lost);
    script(&upstream, move |seen| {
        if is_news(seen) {
            return Some(gated(vec![log("here")]));
        }
        (is(seen, "tools/call") && is_lost.swap(false, Ordering::SeqCst)).then(|| Answer::nothing(400))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = client.listen(None).await;
    client.call(&json!(1)).await.whole().await;
    let first = listened(&upstream, 1).await[0].header("mcp-session-id").unwrap().to_owned();
    lost.store(true, Ordering::SeqCst);
    assert_eq!(client.call(&json!(2)).await.whole().await["error"]["code"], -31502);
    client.call(&json!(3)).await.whole().await;
    let second = listened(&upstream, 2).await[1].header("mcp-session-id").unwrap().to_owned();
    assert_ne!(first, second);
    closed(&upstream, &first).await;
    wait_until("it is ended", PATIENCE, async || {
        let ends = |seen: &Seen| seen.method == "DELETE" && seen.header("mcp-session-id") == Some(&first);
        upstream.seen().iter().any(ends).then_some(())
    })
    .await;
    upstream.release();
    assert_eq!(news.message().await["params"]["data"], "here");
}

/// One event that may not be passed on is no reason to be deaf to the next.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_withheld_is_left_out_and_its_question_refused() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let mut blocked = elicitation(0);
        blocked["params"]["message"] = json!("is 4111 1111 1111 1111 yours?");
        let card = log("4111 1111 1111 1111");
        is_news(seen).then(|| gated(vec![event(&blocked), card, log("after")]))
    });
    let block = POLICY.replace("redaction:", "redaction:\n  - { detect: [card], action: block }");
    let gateway = Arc::new(start(Setup::new(&[("old", upstream.url())], &block)).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = client.listen(None).await;
    client.call(&json!(1)).await.whole().await;
    listened(&upstream, 1).await;
    (0..3).for_each(|_| upstream.release());
    assert_eq!(news.message().await["params"]["data"], "after");
    let told = wait_until("the upstream is told", PATIENCE, async || answers(&upstream).pop()).await;
    assert!(told["id"] == 0 && told["error"].is_object(), "{told}");
    let row = gateway.ended_call(|row| row["method"] == "elicitation/create").await;
    assert_eq!((&row["outcome"], &row["error"]), (&json!("refused"), &json!("response_blocked")));
    let row = gateway.ended_call(|row| row["method"] == "notifications/message").await;
    assert_eq!((&row["outcome"], &row["error"]), (&json!("failed"), &json!("response_blocked")));
    assert_eq!((&row["termination"], &row["subject"]), (&json!("stopped"), &json!("ana")));
}

/// What the gateway gives up, the upstream need not go on with: neither with the call nor with what it asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_is_taken_back() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let mut blocked = done(seen);
        blocked["result"]["content"][0]["text"] = json!("4111 1111 1111 1111");
        is(seen, "tools/call").then(|| streamed(vec![event(&elicitation(4)), event(&blocked)]))
    });
    let block = POLICY.replace("redaction:", "redaction:\n  - { detect: [card], action: block }");
    let setup = Setup::new(&[("old", upstream.url())], &block).upstream("old", "timeout", json!("2s"));
    let gateway = Arc::new(start(setup).await);
    let client = Client::open(&gateway, "ana").await;
    let mut call = client.call(&json!(1)).await;
    let question = call.message().await;
    assert!(call.message().await["error"].is_object());
    let taken_back = async |count: usize| {
        let told = seen(&upstream, "notifications/cancelled", count).await;
        assert_eq!(told.last().unwrap().json()["params"]["requestId"], upstream.calls().last().unwrap().json()["id"]);
    };
    taken_back(1).await;
    assert!(matches!(answers(&upstream).as_slice(), [told] if told["id"] == 4 && told["error"].is_object()));
    assert_eq!(client.answer(&question["id"], &json!({})).await.status, 202);
    assert_eq!(answers(&upstream).len(), 1, "it has no other");

    // One that is too slow, in a session or not.
    script(&upstream, |seen| is(seen, "tools/call").then(|| Answer::new(200, "text/event-stream", Body::Silent)));
    assert_eq!(client.call(&json!(2)).await.whole().await["error"]["code"], -31504);
    taken_back(2).await;
    let params = json!({"name": "echo", "arguments": {}});
    let without = legacy("old", "tools/call", params).bearer(&token("ana", &["tester"]));
    assert_eq!(gateway.send(&without).await.message()["error"]["code"], -31504);
    taken_back(3).await;
}

/// A client hears of what its upstream agreed to tell of.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_refused_is_none() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let updated =
            json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "test://no"}});
        let refusal = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"not this one"}}"#;
        if is_news(seen) {
            return Some(gated(vec![event(&updated), log("last")]));
        }
        is(seen, "resources/subscribe").then(|| Answer::json(refusal))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = client.listen(None).await;
    let refused = client.request("resources/subscribe", json!({"uri": "test://no"})).await.message();
    assert_eq!(refused["error"]["message"], "not this one");
    listened(&upstream, 1).await;
    (0..2).for_each(|_| upstream.release());
    assert_eq!(news.message().await["params"]["data"], "last");
}
