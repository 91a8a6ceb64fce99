//! That a list has changed is told to those for whom it has.

use super::{change, developer, list, listen, setup, viewer};
use crate::support::gateway::{Gateway, modern};
use crate::support::peers::{Client, Server};
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::upstream::{Answer, Body, Speaks, Upstream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ALL: &str = r#"{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;

fn all() -> Value {
    serde_json::from_str(ALL).unwrap()
}

/// Waits until the gateway hears the upstream `name`, so that what it says from then on is heard.
pub async fn until_listening(gateway: &Gateway, name: &str) {
    let line = format!("portcullis_upstream_listening{{upstream=\"{name}\"}} 1");
    wait_until("the upstream is listened to", PATIENCE, async || gateway.metrics().await.contains(&line).then_some(()))
        .await;
}

#[tokio::test]
async fn each_list_tells_of_its_changes_alone() {
    for family in ["modern", "legacy"] {
        let upstream = Server::news(family).await;
        let gateway = setup(&[("one", upstream.url())]).start().await;
        until_listening(&gateway, "one").await;
        let (honoured, mut events) = listen(&gateway, "one", &developer(), all()).await;
        assert_eq!(honoured, all(), "{family}");
        let filter = json!({"promptsListChanged": true});
        let (honoured, mut prompts) = listen(&gateway, "one", &developer(), filter.clone()).await;
        assert_eq!(honoured, filter);
        for (kind, name) in [("tool", "open-one"), ("prompt", "more"), ("resource", "news://more")] {
            // There, and gone again.
            for _ in 0..2 {
                change(&gateway, "one", "change", kind, name).await;
                assert_eq!(list(&mut events).await, format!("{kind}s/list_changed"), "{family}");
                // Read at once, since two changes that a stream has not told of are told of as one.
                if kind == "prompt" {
                    assert_eq!(list(&mut prompts).await, "prompts/list_changed");
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_hears_of_what_they_may_not_see() {
    let upstream = Server::news("modern").await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    until_listening(&gateway, "one").await;
    let (_, mut developers) = listen(&gateway, "one", &developer(), all()).await;
    let (_, mut viewers) = listen(&gateway, "one", &viewer(), all()).await;
    change(&gateway, "one", "change", "tool", "admin-reset").await;
    assert_eq!(list(&mut developers).await, "tools/list_changed");
    change(&gateway, "one", "change", "prompt", "more").await;
    assert_eq!(list(&mut developers).await, "prompts/list_changed");
    // The first thing that the viewer hears of is the prompt.
    assert_eq!(list(&mut viewers).await, "prompts/list_changed");
    change(&gateway, "one", "change", "tool", "open-door").await;
    assert_eq!(list(&mut viewers).await, "tools/list_changed");
    let shown = gateway.send(&modern("one", "tools/list", json!({})).bearer(&viewer())).await.message();
    assert_eq!(shown["result"]["tools"].as_array().unwrap().len(), 1, "{shown}");
}

#[tokio::test]
async fn a_change_of_policy_is_heard_by_those_whom_it_concerns() {
    let upstream = Server::news("modern").await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    let (_, mut viewers) = listen(&gateway, "one", &viewer(), all()).await;
    let (_, mut developers) = listen(&gateway, "one", &developer(), all()).await;
    let policy = super::POLICY.replace(r#"tools: ["*.open*"]"#, r#"tools: ["*.open*", "*.touch"]"#);
    std::fs::write(gateway.dir().join("policy.yaml"), &policy).unwrap();
    assert_eq!(list(&mut viewers).await, "tools/list_changed");
    // And back, with something for developers.
    let policy = super::POLICY
        .replace("access: [", "access: []\nunused: [")
        .replace("unused: [{ roles: [developer], upstreams: [\"*\"], level: read }]\n", "");
    std::fs::write(gateway.dir().join("policy.yaml"), &policy).unwrap();
    assert_eq!(list(&mut viewers).await, "tools/list_changed");
    let mut lost = [list(&mut developers).await, list(&mut developers).await, list(&mut developers).await];
    lost.sort();
    assert_eq!(lost, ["prompts/list_changed", "resources/list_changed", "tools/list_changed"]);
}

#[tokio::test]
async fn an_endpoint_of_several_upstreams_tells_of_each() {
    let (modern, legacy) = (Server::news("modern").await, Server::news("legacy").await);
    let gateway = setup(&[("one", modern.url()), ("two", legacy.url())]).start().await;
    until_listening(&gateway, "one").await;
    until_listening(&gateway, "two").await;
    let (_, mut events) = listen(&gateway, "work", &developer(), all()).await;
    for tool in ["one.change", "two.change"] {
        change(&gateway, "work", tool, "tool", "more").await;
        assert_eq!(list(&mut events).await, "tools/list_changed", "{tool}");
    }
    // Both have it now, under one name: nothing new to see.
    change(&gateway, "work", "one.change", "resource", "news://shared").await;
    assert_eq!(list(&mut events).await, "resources/list_changed");
}

#[tokio::test]
async fn what_changed_while_an_upstream_was_away_is_heard_when_it_is_back() {
    let mut upstream = Upstream::start(Speaks::Modern, Vec::new()).await;
    let (usual, tools) = (upstream.answers(), Arc::new(AtomicUsize::new(1)));
    let count = Arc::clone(&tools);
    upstream.behave(move |seen| match seen.json()["method"].as_str()? {
        "server/discover" => Some(Answer::result(&json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": true}},
            "ttlMs": 0, "cacheScope": "public",
        }))),
        "tools/list" => {
            let tool = |number| json!({"name": format!("open-{number}"), "inputSchema": {"type": "object"}});
            let tools: Vec<_> = (0..count.load(Ordering::SeqCst)).map(tool).collect();
            Some(Answer::result(&json!({"tools": tools, "ttlMs": 0, "cacheScope": "public"})))
        }
        "subscriptions/listen" => {
            let params = json!({"notifications": {"toolsListChanged": true}});
            let first =
                json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params});
            let pieces = [format!("data: {first}\n\n"), ":\n\n".to_owned()];
            Some(Answer::new(200, "text/event-stream", Body::Gated(pieces.map(String::into_bytes).to_vec())))
        }
        _ => Some(usual(seen)),
    });
    upstream.release();
    let setup = setup(&[("one", upstream.url())]).upstream("one", "health_interval", json!("100ms"));
    let gateway = setup.start().await;
    until_listening(&gateway, "one").await;
    let (_, mut events) = listen(&gateway, "one", &viewer(), all()).await;
    upstream.stop().await;
    let lost = "portcullis_upstream_listening{upstream=\"one\"} 0";
    wait_until("it is not heard", PATIENCE, async || gateway.metrics().await.contains(lost).then_some(())).await;
    tools.store(2, Ordering::SeqCst);
    upstream.release();
    upstream.resume().await;
    assert_eq!(list(&mut events).await, "tools/list_changed");
    until_listening(&gateway, "one").await;
}

/// Older clients hear of the same on the stream of their session.
#[tokio::test]
async fn an_older_client_hears_of_what_it_may_see() {
    for family in ["modern", "legacy"] {
        let upstream = Server::news(family).await;
        let gateway = setup(&[("one", upstream.url())]).start().await;
        until_listening(&gateway, "one").await;
        let filter = json!({"resourceSubscriptions": ["news://watched"]});
        let mut client = Client::TypeScript("legacy").listen(gateway.endpoint("one"), &viewer(), &filter);
        said(&mut client, "listening").await;
        // Its stream begins when it begins: what it is told first may have happened a little later.
        let news = |client: &Process, what: &str| client.lines().iter().filter(|line| line.contains(what)).count();
        wait_until("the resource is heard of", PATIENCE, async || {
            super::touch(&gateway, "one", "touch", "news://watched").await;
            super::touch(&gateway, "one", "touch", "news://secret").await;
            (news(&client, "notifications/resources/updated") > 0).then_some(())
        })
        .await;
        change(&gateway, "one", "change", "tool", "admin-reset").await;
        change(&gateway, "one", "change", "prompt", "more").await;
        client.line("a prompt", |line| line.contains("notifications/prompts/list_changed").then_some(())).await;
        change(&gateway, "one", "change", "tool", "open-door").await;
        client.line("a tool", |line| line.contains("notifications/tools/list_changed").then_some(())).await;
        assert_eq!(news(&client, "notifications/tools/list_changed"), 1, "{:?}", client.lines());
        assert_eq!(news(&client, "secret"), 0, "{:?}", client.lines());
    }
}

#[tokio::test]
async fn clients_of_the_sdks_hear_it() {
    let upstream = Server::news("modern").await;
    let mut gateway = setup(&[("one", upstream.url())]).start().await;
    until_listening(&gateway, "one").await;
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["news://watched", "news://secret"]});
    let honoured = json!({"toolsListChanged": true, "resourceSubscriptions": ["news://watched"]});
    let start = |client: Client| client.listen(gateway.endpoint("one"), &viewer(), &filter);
    let mut clients = [
        (start(Client::TypeScript("modern")), "notifications/tools/list_changed", "notifications/resources/updated"),
        (start(Client::Python("2026-07-28")), "ToolsListChanged", "ResourceUpdated"),
    ];
    for (client, ..) in &mut clients {
        assert_eq!(said(client, "listening").await, honoured);
    }
    change(&gateway, "one", "change", "tool", "open-door").await;
    super::touch(&gateway, "one", "touch", "news://secret").await;
    super::touch(&gateway, "one", "touch", "news://watched").await;
    for (client, lists, resources) in &mut clients {
        client.line(lists, |line| line.contains(*lists).then_some(())).await;
        client.line(resources, |line| line.contains(*resources).then_some(())).await;
    }
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    for (client, ..) in &mut clients {
        assert_eq!(said(client, "closed").await, "graceful");
        assert!(client.lines().iter().all(|line| !line.contains("secret")), "{:?}", client.lines());
    }
}

/// The first `what` that a client says.
async fn said(client: &mut Process, what: &str) -> Value {
    client.line(what, |line| serde_json::from_str::<Value>(line).ok()?.get(what).cloned()).await
}

/// The lists are as they were, and that they will change is new.
#[tokio::test]
async fn an_upstream_that_begins_to_tell_of_its_lists_is_heard() {
    let upstream =
        Upstream::start(Speaks::Modern, vec![json!({"name": "echo", "inputSchema": {"type": "object"}})]).await;
    let setup = setup(&[("one", upstream.url())]).upstream("one", "refresh", json!("1s"));
    let gateway = setup.start().await;
    let usual = upstream.answers();
    upstream.behave(move |seen| match seen.json()["method"].as_str()? {
        "server/discover" => {
            let mut answer = usual(seen);
            answer.body.replace(r#""tools":{}"#, r#""tools":{"listChanged":true}"#);
            Some(answer)
        }
        "subscriptions/listen" => {
            let params = json!({"notifications": {"toolsListChanged": true}});
            let first =
                json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params});
            let pieces = vec![format!("data: {first}\n\n").into_bytes(), b":\n\n".to_vec()];
            Some(Answer::new(200, "text/event-stream", Body::Begun(pieces)))
        }
        _ => None,
    });
    until_listening(&gateway, "one").await;
}
