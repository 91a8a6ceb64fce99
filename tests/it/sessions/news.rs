//! The stream of news of a session, and what is asked for in one: whose news come, and that no others do.

use super::stage::{
    Client, Event, POLICY, answers, before, done, elicitation, event, gated, is, listened, script, seen, server, start,
    streamed,
};
use crate::support::events::Events;
use crate::support::gateway::{Gateway, Setup, modern, modern_call};
use crate::support::http::Request;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use std::sync::Arc;

fn note(method: &str, params: Value) -> String {
    event(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

fn updated(uri: &str) -> String {
    note("notifications/resources/updated", json!({"uri": uri}))
}

/// A server that answers a GET with `events`, each after a release.
async fn talking(events: Vec<String>) -> Upstream {
    let upstream = server().await;
    script(&upstream, move |seen| (seen.method == "GET" && seen.path == "/mcp").then(|| gated(events.clone())));
    upstream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_one_stream_of_news_until_it_ends() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let (client, other) = (Client::open(&gateway, "ana").await, Client::open(&gateway, "bob").await);
    let mut stream = client.listen(None).await;
    assert_eq!(stream.status, 200);
    assert_eq!(client.listen(None).await.status, 409, "a second stream would share its messages");
    assert_eq!(other.listen(None).await.status, 200);
    assert!(upstream.seen().iter().all(|seen| seen.method != "GET" || seen.path != "/mcp"), "nothing is opened for it");
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("portcullis_client_sessions 2"), "{metrics}");

    client.end().await;
    assert!(stream.next().await.is_none());
    let row =
        gateway.ended_call(|row| row["subject"] == "ana" && row["method"] == "GET" && row["outcome"] == "ok").await;
    assert!(row["detail"].as_str().is_some_and(|detail| detail.contains("the session ended")), "{row:?}");
    assert_eq!(client.listen(None).await.status, 404);
    assert_eq!(client.request("ping", json!({})).await.status, 404);
    gateway.ended_call(|row| row["subject"] == "ana" && row["error"] == "already_listening").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_opened_again_when_it_was_lost() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    for _ in 0..3 {
        let stream = client.listen(None).await;
        assert_eq!(stream.status, 200);
        drop(stream);
        // The gateway hears of it a moment later.
        wait_until("the place is free", PATIENCE, async || {
            let again = client.listen(None).await;
            (again.status == 200).then_some(())
        })
        .await;
        wait_until("and again", PATIENCE, async || {
            gateway.calls().await.iter().all(|row| row["method"] != "GET" || !row["outcome"].is_null()).then_some(())
        })
        .await;
    }
}

/// A server may ask by this stream what a call needs, and forgets what it says while nobody listens.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_listened_to_before_it_is_called() {
    let upstream = talking(vec![event(&elicitation(0))]).await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = client.listen(None).await;
    client.call(&json!(1)).await.whole().await;
    let verbs: Vec<_> = upstream.seen().iter().filter(|seen| seen.path == "/mcp").map(order).collect();
    let place = |verb: &str| verbs.iter().position(|seen| seen == verb).unwrap();
    assert!(place("GET") < place("tools/call"), "{verbs:?}");
    upstream.release();
    assert_eq!(news.message().await["method"], "elicitation/create");
}

/// The stream on which a newer client's news of an older server come is nobody's to be asked on.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_among_the_news_of_a_resource_is_refused() {
    let upstream = talking(vec![event(&elicitation(7)), updated("test://watched")]).await;
    let gateway = before(&upstream).await;
    let wanted = json!({"notifications": {"resourceSubscriptions": ["test://watched"]}});
    let listen = modern("old", "subscriptions/listen", wanted).bearer(&token("ana", &["tester"]));
    let mut news = Events::open(gateway.authority(), &listen).await;
    assert_eq!(news.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    (0..2).for_each(|_| upstream.release());
    assert_eq!(news.next().await.unwrap()["method"], "notifications/resources/updated");
    assert!(matches!(answers(&upstream).as_slice(), [told] if told["id"] == 7 && told["error"]["code"] == -32601));
    let row = gateway.ended_call(|row| row["method"] == "elicitation/create").await;
    assert_eq!((&row["outcome"], &row["subject"]), (&json!("refused"), &json!("ana")));
}

/// What `seen` is, in one word.
fn order(seen: &Seen) -> String {
    if seen.method == "POST" {
        seen.json()["method"].as_str().unwrap_or("answer").to_owned()
    } else {
        seen.method.clone()
    }
}

/// News come from the session's own sessions with upstreams, and those that are meant for it alone.
#[tokio::test(flavor = "multi_thread")]
async fn news_are_passed_on_where_they_are_for_the_client() {
    let upstream = talking(vec![
        note("notifications/message", json!({"level": "info", "data": "mail to ana@example.com"})),
        note("notifications/tools/list_changed", json!({})),
        note("notifications/progress", json!({"progressToken": "not-mine", "progress": 1})),
        updated("test://watched"),
        updated("test://other"),
        updated("test://hidden"),
        note("notifications/secret", json!({})),
        event(&elicitation(0)),
        note("notifications/message", json!({"level": "info", "data": "last"})),
    ])
    .await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = client.listen(None).await;
    for (uri, is_there) in [("test://watched", true), ("test://gone", true), ("test://hidden", false)] {
        let answer = client.request("resources/subscribe", json!({"uri": uri})).await.message();
        assert_eq!(answer["result"].is_object(), is_there, "{uri}: {answer}");
    }
    assert!(
        client.request("resources/unsubscribe", json!({"uri": "test://gone"})).await.message()["result"].is_object()
    );
    let subscribed: Vec<_> = seen(&upstream, "resources/subscribe", 2)
        .await
        .iter()
        .map(|seen| seen.json()["params"]["uri"].clone())
        .collect();
    assert_eq!(subscribed, ["test://watched", "test://gone"], "what is forbidden is not asked for");
    listened(&upstream, 1).await;
    (0..9).for_each(|_| upstream.release());

    let first = news.message().await;
    assert_eq!(
        (&first["method"], &first["params"]["data"]),
        (&json!("notifications/message"), &json!("mail to [REDACTED:EMAIL]"))
    );
    assert_eq!(news.message().await["params"], json!({"uri": "test://watched"}));
    let question = news.message().await;
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(client.answer(&question["id"], &json!({"action": "decline"})).await.status, 202);
    assert_eq!(answers(&upstream), [json!({"jsonrpc": "2.0", "id": 0, "result": {"action": "decline"}})]);
    assert_eq!(news.message().await["params"]["data"], "last");
    let row = gateway.ended_call(|row| row["method"] == "resources/subscribe" && row["outcome"] == "refused").await;
    assert_eq!(row["rule"], "not-that");
}

/// Nothing of one session comes on the stream of another, of the same principal or not.
#[tokio::test(flavor = "multi_thread")]
async fn each_stream_has_the_news_of_its_own_session() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let of = seen.header("mcp-session-id")?.to_owned();
        (seen.method == "GET" && seen.path == "/mcp")
            .then(|| gated(vec![note("notifications/message", json!({"level": "info", "data": of}))]))
    });
    let gateway = Arc::new(before(&upstream).await);
    let mut told = Vec::new();
    for user in ["ana", "ana", "bob"] {
        let client = Client::open(&gateway, user).await;
        let mut stream = client.listen(None).await;
        client.call(&json!(1)).await.whole().await;
        let own = upstream.calls().last().unwrap().header("mcp-session-id").unwrap().to_owned();
        listened(&upstream, told.len() + 1).await;
        upstream.release();
        assert_eq!(stream.message().await["params"]["data"], own.as_str());
        told.push(own);
        drop(stream);
    }
    let unique: std::collections::BTreeSet<_> = told.iter().collect();
    assert_eq!(unique.len(), 3);
}

/// A stream of the upstream's that breaks is taken up where it broke.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_s_stream_that_breaks_is_opened_again() {
    let upstream = server().await;
    script(&upstream, |seen| {
        let data = if seen.header("last-event-id") == Some("e-1") { "two" } else { "one" };
        let message =
            json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": data}});
        (seen.method == "GET" && seen.path == "/mcp").then(|| streamed(vec![format!("id: e-1\ndata: {message}\n\n")]))
    });
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut stream = client.listen(None).await;
    client.call(&json!(1)).await.whole().await;
    let first: Event = stream.next().await.unwrap();
    assert_eq!(first.json()["params"]["data"], "one");
    let id = first.id.unwrap();
    assert!(!id.contains("e-1"), "ids are sealed: {id}");
    assert_eq!(stream.message().await["params"]["data"], "two");
    drop(stream);
    // And by the client, under the id that it knows.
    let taken = |seen: &crate::support::upstream::Seen| seen.header("last-event-id") == Some("e-1");
    let before = upstream.seen().iter().filter(|seen| taken(seen)).count();
    let again = wait_until("the stream is free again", PATIENCE, async || {
        let again = client.listen(Some(&id)).await;
        (again.status == 200).then_some(again)
    })
    .await;
    wait_until("it is taken up", PATIENCE, async || {
        (upstream.seen().iter().filter(|seen| taken(seen)).count() > before).then_some(())
    })
    .await;
    drop(again);
}

/// What a client wants is wanted of a session that is opened later, and of one that is opened again.
#[tokio::test(flavor = "multi_thread")]
async fn wishes_are_told_to_each_session_with_an_upstream() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    assert_eq!(client.request("logging/setLevel", json!({"level": "loud"})).await.message()["error"]["code"], -32602);
    assert_eq!(client.request("logging/setLevel", json!({"level": "warning"})).await.message()["result"], json!({}));
    assert!(!upstream.seen().iter().any(|seen| is(seen, "logging/setLevel")), "no session is open yet");
    client.request("resources/subscribe", json!({"uri": "test://watched"})).await;
    let told = seen(&upstream, "logging/setLevel", 1).await;
    assert_eq!(told[0].json()["params"]["level"], "warning");
    client.request("logging/setLevel", json!({"level": "error"})).await;
    assert_eq!(seen(&upstream, "logging/setLevel", 2).await[1].json()["params"]["level"], "error");

    // The upstream forgets the session.
    let forgotten = told[0].header("mcp-session-id").unwrap().to_owned();
    script(&upstream, move |seen| {
        (seen.method == "POST" && seen.header("mcp-session-id") == Some(&forgotten)).then(|| Answer::nothing(404))
    });
    client.call(&json!(1)).await.whole().await;
    let again = seen(&upstream, "logging/setLevel", 3).await[2].clone();
    assert_eq!(again.json()["params"]["level"], "error");
    let subscribed = seen(&upstream, "resources/subscribe", 2).await[1].clone();
    assert_eq!(subscribed.header("mcp-session-id"), again.header("mcp-session-id"));
    let row = gateway.ended_call(|row| row["method"] == "logging/setLevel" && row["upstream"] == "old").await;
    assert_eq!(row["outcome"], "ok");
    let without =
        client.message(&json!({"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": {"level": "info"}}));
    assert_eq!(gateway.send(&without.without("mcp-session-id")).await.status, 400, "a level is of a session");
}

/// Where roots change, upstreams that may ask for them hear of it; what an upstream would not know is not passed on.
#[tokio::test(flavor = "multi_thread")]
async fn roots_that_change_are_told_to_open_sessions() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    let client = Client::open(&gateway, "ana").await;
    assert_eq!(client.say(&changed).await.status, 202);
    client.call(&json!(1)).await.whole().await;
    for message in [
        changed,
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}),
    ] {
        assert_eq!(client.say(&message).await.status, 202);
    }
    let silent = Client::with(&gateway, "bob", json!({"roots": {}}), "2025-11-25").await;
    silent.call(&json!(1)).await.whole().await;
    assert_eq!(silent.say(&json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})).await.status, 202);
    let told: Vec<_> =
        upstream.seen().into_iter().filter(|seen| is(seen, "notifications/roots/list_changed")).collect();
    assert_eq!(told.len(), 1);
    assert!(!upstream.seen().iter().any(|seen| is(seen, "notifications/progress")));
}

/// The caller's own lists, whatever an upstream says.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_policy_is_news() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let mut stream = client.listen(None).await;
    let policy = POLICY.replace("rules:", "rules:\n  - { id: no-more, effect: deny, tools: [\"old.*\"] }");
    // The watch has begun once something was heard; a policy that changes before it would not be news.
    let file = gateway.dir().join("policy.yaml");
    let told = async {
        let message = stream.message().await;
        assert_eq!(message, json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    };
    let changes = async {
        for round in 0.. {
            let text = if round % 2 == 0 { &policy } else { POLICY };
            let revision = gateway.readiness().await["revision"].clone();
            std::fs::write(&file, text).unwrap();
            let now = async || (gateway.readiness().await["revision"] != revision).then_some(());
            wait_until("the policy is live", PATIENCE, now).await;
        }
    };
    tokio::select! {
        () = told => {}
        () = changes => {}
    }
}

/// An upstream of 2026-07-28 that keeps no sessions is reached in its own words.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_without_sessions_is_called_as_ever() {
    let tool = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, vec![tool]).await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    for _ in 0..2 {
        assert!(client.call(&json!(1)).await.whole().await["result"].is_object());
    }
    let hellos = upstream.seen().iter().filter(|seen| is(seen, "initialize")).count();
    assert_eq!(hellos, 1, "it is asked for a session once, and not before every call");
    assert!(upstream.calls().iter().all(|call| call.header("mcp-method") == Some("tools/call")));
}

/// One that speaks both is spoken to in the client's own revision, in which nothing needs a bridge.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_of_both_families_is_spoken_to_in_the_client_s() {
    let tool = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, vec![tool]).await;
    let usual = upstream.answers();
    upstream.behave(move |seen| {
        let mut answer = Answer::json(r#"{"jsonrpc":"2.0","id":$ID,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"both","version":"1"}}}"#);
        answer.headers.push(("mcp-session-id".into(), "of-both".into()));
        if is(seen, "tools/call") && seen.header("mcp-session-id").is_some() {
            return Some(streamed(vec![event(&elicitation(3)), event(&done(seen))]));
        }
        Some(if is(seen, "initialize") { answer } else { usual(seen) })
    });
    let gateway = Arc::new(start(Setup::new(&[("old", upstream.url())], POLICY)).await);
    let client = Client::open(&gateway, "ana").await;
    let mut call = client.call(&json!(1)).await;
    assert_eq!(call.message().await["method"], "elicitation/create");
    assert!(call.message().await["result"].is_object());
    let modern = modern_call("old", "echo", &json!({})).bearer(&token("ana", &["tester"]));
    assert_eq!(gateway.send(&modern).await.status, 200);
    let calls = upstream.calls();
    assert_eq!(calls[0].header("mcp-session-id"), Some("of-both"));
    assert_eq!(calls[1].header("mcp-method"), Some("tools/call"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_news_needs_a_session_of_its_caller() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    let get = client.in_session(Request::get("/old/mcp"));
    let of_bob = get.clone().bearer(&token("bob", &["tester"]));
    assert_eq!(gateway.send(&of_bob).await.status, 404);
    assert_eq!(gateway.send(&get.clone().without("authorization")).await.status, 401);
    assert_eq!(gateway.send(&get.clone().header("mcp-protocol-version", "2025-03-26")).await.status, 400);
    assert_eq!(gateway.send(&get.without("mcp-session-id")).await.status, 405);
    let row = gateway.ended_call(|row| row["error"] == "unknown_session").await;
    assert_eq!((&row["subject"], &row["outcome"]), (&json!("bob"), &json!("refused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_of_news_is_kept_open_by_signs_of_life() {
    // An hour of silence, with one sign of life each 15 seconds.
    let hour = 3600 / 15;
    let upstream = talking(vec![note("notifications/message", json!({"level": "info", "data": "at last"}))]).await;
    let setup = Setup::new(&[("old", upstream.url())], POLICY).with("edge", json!({"stream_silence": "10ms"}));
    let gateway = Arc::new(start(setup).await);
    let client = Client::open(&gateway, "ana").await;
    let mut news = news(&gateway, &client).await;
    client.call(&json!(1)).await.whole().await;
    listened(&upstream, 1).await;
    news.until_comments(hour + 1).await;
    upstream.release();
    assert_eq!(news.next().await.unwrap()["params"]["data"], "at last");
}

/// The stream of news of `client`, of which it is known whether it ends as it should.
async fn news(gateway: &Gateway, client: &Client) -> Events {
    let request = client.in_session(Request::get("/old/mcp").header("accept", "text/event-stream"));
    let events = Events::open(gateway.authority(), &request).await;
    assert_eq!(events.status, 200);
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_news_ends_with_the_process() {
    let upstream = server().await;
    let gateway = Arc::new(before(&upstream).await);
    let client = Client::open(&gateway, "ana").await;
    client.call(&json!(1)).await.whole().await;
    let mut stream = news(&gateway, &client).await;
    let all = listened(&upstream, 1).await;
    assert_eq!(all[0].header("x-user-id"), Some("ana"), "the upstream knows whose news they are");
    gateway.process.signal("-TERM");
    // Its revision knows no last message; the stream ends as a stream does.
    assert_eq!(stream.next().await, None);
    let row = gateway.ended_call(|row| row["method"] == "GET").await;
    assert_eq!((&row["outcome"], &row["detail"]), (&json!("ok"), &json!("the gateway ended")));
}
