//! Upstreams that show each user something else: what one caller is shown, may call and is checked by is that caller's own.

use crate::support::gateway::{BINARY, Gateway, Setup, modern};
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
rules: [{ id: not-for-dan, effect: deny, users: [dan], tools: ["*.whoami"] }]
"#;

fn setup(upstreams: &[(&str, String)]) -> Setup {
    let mut setup = Setup::new(upstreams, POLICY);
    for (name, _) in upstreams {
        setup = setup.upstream(name, "catalogue", json!("per_user"));
    }
    setup
}

fn bearer(user: &str) -> String {
    token(user, &["tester"])
}

async fn ask(gateway: &Gateway, endpoint: &str, user: &str, method: &str, params: Value) -> Value {
    let name = params["uri"].as_str().or(params["name"].as_str()).map(str::to_owned);
    let request = modern(endpoint, method, params).bearer(&bearer(user));
    let request = name.into_iter().fold(request, |request, name| request.header("mcp-name", &name));
    gateway.send(&request).await.message()
}

/// What the list of `key` names for `user`.
async fn listed(gateway: &Gateway, endpoint: &str, user: &str, key: &str, name: &str) -> Vec<String> {
    let answer = ask(gateway, endpoint, user, &format!("{key}/list"), json!({})).await;
    let items = answer["result"][key].as_array().unwrap_or_else(|| panic!("{answer}"));
    items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

async fn tools(gateway: &Gateway, endpoint: &str, user: &str) -> Vec<String> {
    listed(gateway, endpoint, user, "tools", "name").await
}

async fn call(gateway: &Gateway, user: &str, tool: &str, arguments: Value) -> Value {
    gateway.modern_call("crm", &bearer(user), tool, &arguments).await.message()
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_has_lists_of_their_own_and_is_checked_by_them() {
    for family in ["modern", "legacy"] {
        let upstream = Server::users(family).await;
        let gateway = setup(&[("crm", upstream.url())]).upstream("crm", "pinning", json!("off")).start().await;
        for user in ["ana", "ben", "ana"] {
            let own = format!("only-{user}");
            assert_eq!(tools(&gateway, "crm", user).await, ["note", &own, "whoami"], "{family}");
            assert_eq!(listed(&gateway, "crm", user, "prompts", "name").await, [own.as_str()]);
            assert_eq!(listed(&gateway, "crm", user, "resources", "uri").await, [format!("user://{user}")]);
            assert_eq!(text(&call(&gateway, user, "whoami", json!({})).await), user, "{family}");
            let folder = format!("{user}-work");
            let wrote = call(&gateway, user, "note", json!({"folder": folder})).await;
            assert_eq!(text(&wrote), format!("{user} wrote into {folder}"));
        }
        assert_eq!(tools(&gateway, "crm", "dan").await, ["note", "only-dan"], "policy filters what is a caller's own");
        let other = call(&gateway, "ana", "note", json!({"folder": "ben-work"})).await;
        assert_eq!(other["error"]["code"], -32602, "{other}");
        let row = gateway.ended_call(|call| call["error"] == "invalid_arguments").await;
        assert_eq!((&row["subject"], &row["outcome"]), (&json!("ana"), &json!("refused")), "the gateway refused it");
        let other = call(&gateway, "ana", "only-ben", json!({})).await;
        assert_eq!(other["error"]["message"], "Unknown tool: only-ben", "{family}");
        let prompt = ask(&gateway, "crm", "ana", "prompts/get", json!({"name": "only-ben"})).await;
        assert_eq!(prompt["error"]["code"], -32602, "{prompt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_others_each_caller_has_their_own_too() {
    let (crm, shared) = (Server::users("legacy").await, Server::typescript("json").await);
    let upstreams = [("crm", crm.url()), ("shared", shared.url())];
    let gateway = Setup::new(&upstreams, POLICY).upstream("crm", "catalogue", json!("per_user")).start().await;
    for user in ["ana", "ben"] {
        let all = tools(&gateway, "work", user).await;
        let of_crm: Vec<_> = all.iter().filter(|tool| tool.starts_with("crm.only-")).collect();
        assert_eq!(of_crm, [&format!("crm.only-{user}")]);
        assert!(all.iter().any(|tool| tool.starts_with("shared.")), "{all:?}");
        let read = ask(&gateway, "work", user, "resources/read", json!({"uri": format!("user://{user}")})).await;
        assert_eq!(read["result"]["contents"][0]["text"], user, "{read}");
    }
    let read = ask(&gateway, "work", "ana", "resources/read", json!({"uri": "user://ben"})).await;
    assert_eq!(read["error"]["code"], -32602, "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_without_rights_is_shown_stands_in_nobodys_way() {
    let upstream = Server::users("modern").await;
    let gateway = setup(&[("crm", upstream.url())]).start().await;
    let request = modern("crm", "tools/list", json!({})).bearer(&token("nora", &["stranger"]));
    assert_eq!(gateway.send(&request).await.message()["result"]["tools"], json!([]));
    assert_eq!(tools(&gateway, "crm", "dan").await, ["note", "only-dan"]);
    assert_eq!(text(&call(&gateway, "dan", "note", json!({"folder": "dan-work"})).await), "dan wrote into dan-work");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_another_was_shown_first_is_not_offered_until_it_is_accepted() {
    let upstream = Server::users("modern").await;
    let gateway = setup(&[("crm", upstream.url())]).upstream("crm", "refresh", json!("200ms")).start().await;
    assert_eq!(tools(&gateway, "crm", "ana").await, ["note", "only-ana", "whoami"]);
    assert_eq!(tools(&gateway, "crm", "ben").await, ["only-ben", "whoami"]);
    let refused = call(&gateway, "ben", "note", json!({"folder": "ben-work"})).await;
    assert_eq!(refused["error"]["message"], "Unknown tool: note");
    gateway.ended_call(|call| call["error"] == "quarantined" && call["subject"] == "ben").await;
    assert_eq!(text(&call(&gateway, "ana", "note", json!({"folder": "ana-work"})).await), "ana wrote into ana-work");
    wait_until("operators see it", PATIENCE, async || {
        (gateway.readiness().await["upstreams"]["crm"]["quarantined"] == 1).then_some(())
    })
    .await;
    // A third definition does not take the place of the one that a person can look at.
    assert_eq!(tools(&gateway, "crm", "cyd").await, ["only-cyd", "whoami"]);
    let found = |call: &serde_json::Map<String, Value>| call["error"] == "quarantined" && call["method"].is_null();
    assert_eq!(gateway.ended_calls(1, found).await.len(), 1, "the change is in the audit once");
    let accept = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["catalogue", "accept", "--config"]).arg(gateway.dir().join("gateway.yaml")).args(arguments);
        let output = command.current_dir(gateway.dir()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    accept(&["--upstream", "crm", "--all"]);
    wait_until("the other has it now", PATIENCE, async || {
        (tools(&gateway, "crm", "ben").await == ["note", "only-ben", "whoami"]).then_some(())
    })
    .await;
    assert_eq!(text(&call(&gateway, "ben", "note", json!({"folder": "ben-work"})).await), "ben wrote into ben-work");
    assert_eq!(tools(&gateway, "crm", "ana").await, ["only-ana", "whoami"]);
}

/// Of whom an upstream was asked for tools.
fn asked(upstream: &Upstream) -> Vec<Option<String>> {
    let lists = upstream.seen().into_iter().filter(|seen| seen.json()["method"] == "tools/list");
    lists.map(|seen| seen.header("x-user-id").map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_without_need_and_lists_are_kept() {
    let upstream = Upstream::start(Speaks::Modern, Vec::new()).await;
    let (usual, down) = (upstream.answers(), Arc::new(AtomicBool::new(false)));
    let fails = Arc::clone(&down);
    upstream.behave(move |seen: &Seen| match seen.json()["method"].as_str()? {
        "tools/list" if fails.load(Ordering::SeqCst) => Some(Answer::result(&json!({"oops": 1}))),
        "tools/list" => Some(Answer::result(&json!({
            "tools": [{"name": "get", "inputSchema": {"type": "object"}}, {"name": "whoami", "inputSchema": {"type": "object"}}],
        }))),
        _ => Some(usual(seen)),
    });
    let gateway = setup(&[("crm", upstream.url())]).upstream("crm", "refresh", json!("10s")).start().await;
    assert_eq!(asked(&upstream), [], "nothing is asked for that nobody wants");
    let denied = call(&gateway, "dan", "whoami", json!({})).await;
    assert_eq!(denied["error"]["message"], "Unknown tool: whoami");
    assert_eq!(asked(&upstream), [], "a refused call leaves no byte upstream");
    assert_eq!(call(&gateway, "ana", "get", json!({})).await["error"], Value::Null);
    assert_eq!(tools(&gateway, "crm", "ana").await, ["get", "whoami"]);
    assert_eq!(asked(&upstream), [Some("ana".to_owned())]);
    // What can't be had any more is not there, and what was known of one is not for another.
    down.store(true, Ordering::SeqCst);
    assert!(tools(&gateway, "crm", "ben").await.is_empty());
    assert_eq!(asked(&upstream).last().unwrap().as_deref(), Some("ben"));
    wait_until("the list has run out", PATIENCE, async || tools(&gateway, "crm", "ana").await.is_empty().then_some(()))
        .await;
    let calls = upstream.calls().len();
    let refused = gateway.modern_call("crm", &bearer("ana"), "get", &json!({})).await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    assert_eq!(upstream.calls().len(), calls);
    down.store(false, Ordering::SeqCst);
    wait_until("it is there again", PATIENCE, async || {
        (tools(&gateway, "crm", "ana").await == ["get", "whoami"]).then_some(())
    })
    .await;
}
