//! That a resource has changed is told to those who asked for it and may read it.

use super::{ID, POLICY, ask, developer, heard, listen, row, setup, touch, viewer};
use crate::support::events::Events;
use crate::support::gateway::Gateway;
use crate::support::journal;
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::{Value, json};

fn updated(uri: &str) -> (String, Option<String>) {
    ("resources/updated".to_owned(), Some(uri.to_owned()))
}

fn wants(uris: &[&str]) -> Value {
    json!({"resourceSubscriptions": uris})
}

#[tokio::test]
async fn who_may_read_a_resource_hears_that_it_has_changed() {
    for family in ["modern", "legacy"] {
        let upstream = Server::news(family).await;
        let gateway = setup(&[("one", upstream.url())]).start().await;
        let both = wants(&["news://watched", "news://secret"]);
        let (honoured, mut developers) = listen(&gateway, "one", &developer(), wants(&["news://secret"])).await;
        assert_eq!(honoured, wants(&["news://secret"]), "{family}");
        let (honoured, mut viewers) = listen(&gateway, "one", &viewer(), both).await;
        assert_eq!(honoured, wants(&["news://watched"]), "{family}");
        for uri in ["news://secret", "news://watched", "news://other"] {
            touch(&gateway, "one", "touch", uri).await;
        }
        assert_eq!(heard(&mut developers).await, updated("news://secret"), "{family}");
        assert_eq!(heard(&mut viewers).await, updated("news://watched"), "{family}");
        touch(&gateway, "one", "touch", "news://secret").await;
        assert_eq!(heard(&mut developers).await, updated("news://secret"), "{family}");
    }
}

#[tokio::test]
async fn resources_of_several_upstreams_are_heard_of_on_one_stream() {
    let (modern, legacy) = (Server::news("modern").await, Server::news("legacy").await);
    let gateway = setup(&[("one", modern.url()), ("two", legacy.url())]).start().await;
    super::lists::until_listening(&gateway, "two").await;
    let (_, mut lists) = listen(&gateway, "work", &developer(), json!({"resourcesListChanged": true})).await;
    super::change(&gateway, "work", "two.change", "resource", "news://two").await;
    assert_eq!(super::list(&mut lists).await, "resources/list_changed");
    let wanted = wants(&["news://two", "news://unknown", "news://watched"]);
    let (honoured, mut events) = listen(&gateway, "work", &developer(), wanted).await;
    assert_eq!(honoured, wants(&["news://two", "news://watched"]));
    touch(&gateway, "work", "two.touch", "news://two").await;
    assert_eq!(heard(&mut events).await, updated("news://two"));
    // The second's resource of this name is not the one that clients read here.
    touch(&gateway, "work", "two.touch", "news://watched").await;
    touch(&gateway, "work", "one.touch", "news://watched").await;
    assert_eq!(heard(&mut events).await, updated("news://watched"));
    touch(&gateway, "work", "two.touch", "news://two").await;
    assert_eq!(heard(&mut events).await, updated("news://two"));
}

#[tokio::test]
async fn policy_is_asked_again_when_a_resource_changes() {
    let upstream = Server::news("modern").await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    let wanted = json!({"promptsListChanged": true, "resourceSubscriptions": ["news://watched"]});
    let (_, mut events) = listen(&gateway, "one", &viewer(), wanted).await;
    let write = |policy: String| std::fs::write(gateway.dir().join("policy.yaml"), policy).unwrap();
    let without = POLICY.replace(r#"resources: ["*.news://watched*"]"#, r#"resources: ["*.news://none"]"#);
    write(without.replace(r#"prompts: ["*.*"]"#, r#"prompts: ["*.none"]"#));
    // The change is live.
    assert_eq!(super::list(&mut events).await, "prompts/list_changed");
    touch(&gateway, "one", "touch", "news://watched").await;
    write(POLICY.to_owned());
    assert_eq!(super::list(&mut events).await, "prompts/list_changed");
    touch(&gateway, "one", "touch", "news://watched").await;
    assert_eq!(heard(&mut events).await, updated("news://watched"));
}

/// An upstream that says that its resources can be subscribed to, and holds each stream open after these pieces.
async fn recorder(pieces: Vec<String>) -> Upstream {
    let upstream = Upstream::start(Speaks::Modern, Vec::new()).await;
    upstream.behave(telling(pieces));
    upstream
}

fn telling(pieces: Vec<String>) -> impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static {
    move |seen: &Seen| match seen.json()["method"].as_str()? {
        "server/discover" => Some(Answer::result(&json!({
            "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "public",
            "capabilities": {"resources": {"subscribe": true}},
        }))),
        "resources/list" => Some(Answer::result(&json!({"resources": [], "ttlMs": 0, "cacheScope": "public"}))),
        "subscriptions/listen" => {
            let mut pieces: Vec<_> = pieces.iter().map(|data| format!("data: {data}\n\n").into_bytes()).collect();
            // One more, which nobody releases.
            pieces.push(b":\n\n".to_vec());
            Some(Answer::new(200, "text/event-stream", Body::Gated(pieces)))
        }
        _ => None,
    }
}

fn acknowledged(uris: &[&str]) -> String {
    let params = json!({"notifications": wants(uris)});
    json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params}).to_string()
}

fn update(uri: &str) -> String {
    json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri, "x": "said"}})
        .to_string()
}

/// The requests to listen that reached `upstream`, once there are `count`.
async fn asked(upstream: &Upstream, count: usize) -> Vec<Seen> {
    wait_until("the upstream is asked to listen", PATIENCE, async || {
        let seen = upstream.seen().into_iter().filter(|seen| seen.json()["method"] == "subscriptions/listen");
        Some(seen.collect::<Vec<_>>()).filter(|seen| seen.len() >= count)
    })
    .await
}

/// Listens, while `upstream` lets the first of its pieces go.
async fn listen_gated(gateway: &Gateway, upstream: &Upstream, filter: Value) -> (Value, Events) {
    let count = asked(upstream, 0).await.len();
    let release = async {
        asked(upstream, count + 1).await;
        upstream.release();
    };
    let token = developer();
    tokio::join!(listen(gateway, "one", &token, filter), release).0
}

#[tokio::test]
async fn an_upstream_hears_who_listens_and_no_credential_of_theirs() {
    let upstream = recorder(vec![acknowledged(&["a:b"]), update("a:b")]).await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    let (honoured, mut events) = listen_gated(&gateway, &upstream, wants(&["a:b", "c:d"])).await;
    // What the upstream does not honour is not said to be.
    assert_eq!(honoured, wants(&["a:b"]));
    let seen = asked(&upstream, 1).await.remove(0);
    assert_eq!(seen.header("x-user-id"), Some("dev"));
    assert_eq!(seen.header("x-gateway-auth"), Some(crate::support::gateway::GATEWAY_SECRET));
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("mcp-method"), Some("subscriptions/listen"));
    assert_eq!(seen.json()["params"]["notifications"], wants(&["a:b", "c:d"]));
    assert_ne!(seen.json()["id"], ID);
    upstream.release();
    let message = events.next().await.unwrap();
    // Nothing of the upstream's but the name.
    assert_eq!(super::of_this(message), json!({"uri": "a:b"}));
    drop(events);
    wait_until("the upstream's stream is closed", PATIENCE, async || {
        asked(&upstream, 1).await[0].abandoned.then_some(())
    })
    .await;
    assert_eq!(row(&gateway).await["outcome"], "cancelled");
    // The intent was written before the upstream was asked.
    let rows = journal::entries(&gateway.ready.journal).await;
    let kinds = rows.iter().filter(|row| row["method"] == "subscriptions/listen").map(|row| row["kind"].clone());
    assert_eq!(kinds.collect::<Vec<_>>(), ["intent", "outcome"]);
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_told_whatever_an_upstream_says() {
    let said = [
        update("other:b"),
        update("a:bc"),
        update("news://secret"),
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}).to_string(),
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}})
            .to_string(),
        json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}}).to_string(),
        update("a:b/part"),
    ];
    let upstream = recorder([vec![acknowledged(&["a:b", "news://secret"])], said.to_vec()].concat()).await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]});
    let (_, mut events) = listen_gated(&gateway, &upstream, wanted).await;
    said.iter().for_each(|_| upstream.release());
    // A part of what was asked for is the first thing that is told.
    assert_eq!(heard(&mut events).await, updated("a:b/part"));
}

#[tokio::test]
async fn a_part_whose_name_may_not_be_seen_is_told_as_the_whole() {
    let secret = format!("a:b/{}", crate::support::gateway::GATEWAY_SECRET);
    let upstream = recorder(vec![acknowledged(&["a:b"]), update(&secret), update("a:b/ada@example.com")]).await;
    let mut setup = setup(&[("one", upstream.url())]);
    setup.policy.push_str("redaction: [{ detect: [email], action: mask }]\n");
    let gateway = setup.start().await;
    let (_, mut events) = listen_gated(&gateway, &upstream, wants(&["a:b"])).await;
    for _ in 0..2 {
        upstream.release();
        assert_eq!(heard(&mut events).await, updated("a:b"));
    }
}

#[tokio::test]
async fn after_a_gap_each_resource_counts_as_changed() {
    let mut upstream = recorder(vec![acknowledged(&["a:b", "c:d"])]).await;
    let mut setup = setup(&[("one", upstream.url())]);
    setup = setup.upstream("one", "health_interval", json!("100ms"));
    let gateway = setup.start().await;
    let wanted = json!({"resourceSubscriptions": ["a:b", "c:d"], "toolsListChanged": true});
    let (honoured, mut events) = listen_gated(&gateway, &upstream, wanted.clone()).await;
    assert_eq!(honoured, wanted);
    upstream.stop().await;
    upstream.resume().await;
    asked(&upstream, 2).await;
    upstream.release();
    let mut told = [heard(&mut events).await, heard(&mut events).await];
    told.sort();
    assert_eq!(told, [updated("a:b"), updated("c:d")]);
}

#[tokio::test]
async fn an_upstream_that_can_t_be_heard_is_not_said_to_be() {
    let mut upstream = recorder(Vec::new()).await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    upstream.behave(|seen| (seen.json()["method"] == "subscriptions/listen").then(|| Answer::nothing(405)));
    let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]});
    let honoured = json!({"toolsListChanged": true});
    assert_eq!(listen(&gateway, "one", &developer(), wanted.clone()).await.0, honoured);
    upstream.stop().await;
    assert_eq!(listen(&gateway, "one", &developer(), wanted).await.0, honoured);
    // Where nothing is left, there is nothing to wait for.
    let mut events = Events::open(gateway.authority(), &ask("one", &developer(), wants(&["a:b"]))).await;
    assert_eq!(super::of_this(events.next().await.unwrap())["notifications"], json!({}));
    super::last(&mut events).await;
}

#[tokio::test]
async fn an_older_upstream_hears_from_the_handshake_on_who_listens() {
    let upstream = Upstream::start(Speaks::Legacy, Vec::new()).await;
    upstream.behave(|seen| {
        let greeted = seen.json()["method"] == "initialize";
        greeted.then(|| {
            Answer::result(&json!({
                "protocolVersion": "2025-11-25", "capabilities": {"resources": {"subscribe": true}},
                "serverInfo": {"name": "recorder", "version": "1"},
            }))
        })
    });
    let gateway = setup(&[("one", upstream.url())]).start().await;
    // It has no stream to listen to, so nothing is honoured.
    let (honoured, _events) = listen(&gateway, "one", &developer(), wants(&["a:b"])).await;
    assert_eq!(honoured, json!({}));
    let seen = upstream.seen();
    let as_whom = |seen: &&Seen| seen.header("x-user-id").map(str::to_owned);
    let greetings: Vec<_> = seen.iter().filter(|seen| seen.json()["method"] == "initialize").collect();
    assert_eq!(as_whom(greetings.last().unwrap()).as_deref(), Some("dev"), "{greetings:?}");
    let stream = seen.iter().rfind(|seen| seen.method == "GET" && seen.path == "/mcp").unwrap();
    assert_eq!(as_whom(&stream).as_deref(), Some("dev"));
}
