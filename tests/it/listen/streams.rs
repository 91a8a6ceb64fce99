//! How a stream begins, lives and ends.

use super::{ask, developer, last, list, listen, row, setup, viewer};
use crate::support::events::Events;
use crate::support::gateway::{Gateway, Setup};
use crate::support::http::fetch;
use crate::support::journal;
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

fn tools() -> Value {
    json!({"toolsListChanged": true})
}

async fn recorder() -> Upstream {
    Upstream::start(Speaks::Modern, vec![json!({"name": "echo", "inputSchema": {"type": "object"}})]).await
}

async fn started(change: impl FnOnce(Setup) -> Setup) -> (Gateway, Upstream) {
    let upstream = recorder().await;
    let gateway = change(setup(&[("one", upstream.url())])).start().await;
    (gateway, upstream)
}

/// How many streams are open, as operators see it.
async fn until_open(gateway: &Gateway, count: usize) {
    let line = format!("portcullis_streams_open {count}\n");
    wait_until("so many streams are open", PATIENCE, async || gateway.metrics().await.contains(&line).then_some(()))
        .await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_by_signs_of_life() {
    // An hour of silence, with one sign of life each 15 seconds.
    let hour = 3600 / 15;
    let upstream = Server::news("modern").await;
    let setup = setup(&[("one", upstream.url())]).with("edge", json!({"stream_silence": "10ms"}));
    let gateway = setup.start().await;
    super::lists::until_listening(&gateway, "one").await;
    let (_, mut events) = listen(&gateway, "one", &developer(), tools()).await;
    events.until_comments(hour + 1).await;
    super::change(&gateway, "one", "change", "tool", "more").await;
    assert_eq!(list(&mut events).await, "tools/list_changed");
}

#[tokio::test]
async fn a_stream_is_one_row_of_the_record() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let (_, events) = listen(&gateway, "one", &developer(), tools()).await;
    until_open(&gateway, 1).await;
    drop(events);
    let row = row(&gateway).await;
    assert_eq!(row["outcome"], "cancelled");
    assert_eq!(row["detail"], "the client left");
    assert_eq!(row["subject"], "dev");
    assert_eq!(row["arguments"], tools().to_string());
    assert!(row["bytes_out"].as_i64().unwrap() > 0, "{row:?}");
    let rows = journal::entries(&gateway.ready.journal).await;
    let rows: Vec<_> = rows.iter().filter(|row| row["method"] == "subscriptions/listen").collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["kind"], "event");
    until_open(&gateway, 0).await;
    let metrics = gateway.metrics().await;
    assert!(
        !metrics.contains(r#"portcullis_call_duration_seconds_count{endpoint="one",upstream="none"}"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_process_s_end_is_the_stream_s_end() {
    let (mut gateway, _upstream) = started(|setup| setup.with("drain", json!("30s"))).await;
    let (_, mut events) = listen(&gateway, "one", &developer(), tools()).await;
    let journal = gateway.ready.journal.clone();
    gateway.process.signal("-TERM");
    last(&mut events).await;
    assert!(gateway.process.end().await);
    let rows = journal::calls(&journal).await;
    let row = rows.iter().find(|row| row["method"] == "subscriptions/listen").unwrap();
    assert_eq!((row["outcome"].as_str(), row["detail"].as_str()), (Some("ok"), Some("the gateway ended")));
}

#[tokio::test]
async fn a_stream_takes_no_place_among_calls() {
    let (gateway, _upstream) = started(|setup| setup.with("edge", json!({"calls": 1}))).await;
    let (_, _first) = listen(&gateway, "one", &developer(), tools()).await;
    let (_, _second) = listen(&gateway, "one", &developer(), tools()).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let skew = |mut setup: Setup| {
        setup.gateway["identity"]["issuers"][0]["clock_skew"] = "0s".into();
        setup
    };
    let (gateway, _upstream) = started(skew).await;
    // On a machine that is very busy a token may end before it is looked at: then the next one.
    let (token, mut events) = wait_until("a token is good for a while", PATIENCE, async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let token = Claims::new("dev", &["developer"]).with("exp", json!(now + 3)).sign();
        let events = Events::open(gateway.authority(), &ask("one", &token, tools())).await;
        (events.status == 200).then_some((token, events))
    })
    .await;
    assert_eq!(events.next().await.unwrap()["method"], "notifications/subscriptions/acknowledged");
    last(&mut events).await;
    let row = gateway.ended_call(|call| call["detail"] == "the token expired").await;
    assert_eq!((&row["method"], &row["outcome"]), (&json!("subscriptions/listen"), &json!("ok")));
    assert_eq!(gateway.send(&ask("one", &token, tools())).await.status, 401);
}

#[tokio::test]
async fn a_stream_ends_with_the_trust_in_its_issuer_or_its_endpoint() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let (_, mut first) = listen(&gateway, "one", &developer(), tools()).await;
    let mut upstreams: Value =
        serde_json::from_slice(&std::fs::read(gateway.dir().join("upstreams.yaml")).unwrap()).unwrap();
    upstreams["endpoints"].as_object_mut().unwrap().remove("one");
    let (_, mut second) = listen(&gateway, "work", &developer(), tools()).await;
    gateway.replace_upstreams(&upstreams);
    last(&mut first).await;
    assert_eq!(row(&gateway).await["detail"], "the endpoint is gone");
    let file = gateway.dir().join("gateway.yaml");
    let mut settings: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    settings["identity"]["issuers"][0]["secret"] = "another secret, of which nobody has seen a token".into();
    std::fs::write(&file, settings.to_string()).unwrap();
    last(&mut second).await;
    let ended = gateway.ended_call(|call| call["detail"] == "the token is not accepted any more").await;
    assert_eq!(ended["outcome"], "ok");
}

#[tokio::test]
async fn a_caller_has_so_many_streams_and_others_have_theirs() {
    let (gateway, _upstream) = started(|setup| setup.with("edge", json!({"streams": 3}))).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(listen(&gateway, "one", &developer(), tools()).await.1);
    }
    let refused = gateway.send(&ask("work", &developer(), tools())).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    listen(&gateway, "one", &viewer(), tools()).await;
    open.pop();
    until_open(&gateway, 2).await;
    listen(&gateway, "one", &developer(), tools()).await;
}

#[tokio::test]
async fn what_can_t_be_listened_for_is_refused_and_leaves_nothing() {
    let (gateway, upstream) = started(|setup| setup).await;
    let before = upstream.seen().len();
    let many: Vec<_> = (0..1001).map(|number| format!("a:{number}")).collect();
    let rows = [
        json!([]),
        json!("all"),
        json!(null),
        json!({"toolsListChanged": "yes"}),
        json!({"resourceSubscriptions": "a:b"}),
        json!({"resourceSubscriptions": [1]}),
        json!({"resourceSubscriptions": ["a\nb"]}),
        json!({"resourceSubscriptions": many}),
        json!({"taskIds": [null]}),
    ];
    for filter in &rows {
        let refused = gateway.send(&ask("one", &developer(), filter.clone())).await;
        assert_eq!((refused.status, &refused.message()["error"]["code"]), (400, &json!(-32602)), "{filter}");
    }
    let undeclared = gateway.send(&ask("one", &developer(), json!({"taskIds": ["x"]}))).await;
    assert_eq!((undeclared.status, &undeclared.message()["error"]["code"]), (400, &json!(-32021)));
    let stranger = fetch(gateway.authority(), &ask("one", "nothing", tools())).await;
    assert_eq!(stranger.status, 401);
    let refused = gateway.ended_calls(rows.len() + 2, |call| call["outcome"] == "refused").await;
    assert_eq!(refused.len(), rows.len() + 2);
    assert!(upstream.seen()[before..].iter().all(|seen| seen.json()["method"] != "subscriptions/listen"));
    until_open(&gateway, 0).await;
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_and_streams_do_not_mix() {
    let (gateway, _upstream) = started(|setup| setup).await;
    for id in [json!(7), json!("7"), json!("a\"b\u{e9}")] {
        let mut request = ask("one", &token("dev", &["developer"]), tools());
        let mut message: Value = serde_json::from_slice(&request.body).unwrap();
        message["id"] = id.clone();
        request.body = message.to_string().into_bytes();
        let mut events = Events::open(gateway.authority(), &request).await;
        let first = events.next().await.unwrap();
        assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id);
        assert!(events.headers.iter().any(|(name, value)| name == "content-type" && value == "text/event-stream"));
    }
}
