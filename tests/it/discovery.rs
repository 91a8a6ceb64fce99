//! What upstreams offer, as the gateway learns it: at the start, again and again, after their return, after a reload.

use crate::support::gateway::GATEWAY_SECRET;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use crate::upstreams::{
    EJECTION, ana, before, body_of, call, expect, names, recorder, tool, until_named, until_well, well,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

fn list(tools: &[Value], cursor: Option<&str>) -> Answer {
    let mut result = json!({"tools": tools, "ttlMs": 0, "cacheScope": "public"});
    if let Some(cursor) = cursor {
        result["nextCursor"] = cursor.into();
    }
    Answer::result(&result)
}

fn is(seen: &Seen, method: &str) -> bool {
    seen.json()["method"] == method
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_at_the_start_appears_when_it_is_up() {
    let mut one = recorder().await;
    one.stop().await;
    let gateway = before(&[&one]).start().await;
    until_well(&gateway, 0).await;
    assert!(names(&gateway, "one").await.is_empty());
    let failed = async || gateway.log().iter().filter(|line| line["error"].is_string()).nth(3).map(drop);
    wait_until("discovery has waited for longer and longer", PATIENCE, failed).await;
    one.resume().await;
    until_named(&gateway, "one", &["echo"]).await;
    expect(&gateway, 200).await;
    let discovery = one.seen().into_iter().find(|seen| is(seen, "server/discover")).unwrap();
    assert_eq!(discovery.header("x-gateway-auth"), Some(GATEWAY_SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_comes_back_is_asked_what_it_offers_now() {
    let mut one = recorder().await;
    let gateway = before(&[&one]).upstream("one", "refresh", json!("1h")).start().await;
    until_named(&gateway, "one", &["echo"]).await;
    one.stop().await;
    until_well(&gateway, 0).await;
    assert_eq!(names(&gateway, "one").await, ["echo"], "it keeps what it last showed");
    one.behave(|seen| is(seen, "tools/list").then(|| list(&[tool("new")], None)));
    one.resume().await;
    until_named(&gateway, "one", &["new"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_come_and_go_are_noticed_at_the_next_refresh() {
    let one = recorder().await;
    let gateway = before(&[&one]).upstream("one", "refresh", json!("100ms")).start().await;
    until_named(&gateway, "one", &["echo"]).await;
    one.behave(|seen| is(seen, "tools/list").then(|| list(&[tool("new")], None)));
    until_named(&gateway, "one", &["new"]).await;
    let gone = call(&gateway).await;
    assert_eq!(gone.message()["error"]["code"], -32602, "{}", gone.text());
    // A list that is none, has no end, is too large, or does not come changes nothing.
    let answers: [fn() -> Answer; 5] = [
        || Answer::json("{}"),
        || list(&[tool("other")], Some("again")),
        || Answer::json(&" ".repeat(9 << 20)),
        || Answer { status: 500, ..list(&[], None) },
        || Answer::new(200, "application/json", Body::Closed),
    ];
    for answer in answers {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        one.behave(move |seen| {
            is(seen, "tools/list").then(|| {
                count.fetch_add(1, Ordering::SeqCst);
                answer()
            })
        });
        wait_until("it is asked", PATIENCE, async || (asked.load(Ordering::SeqCst) > 0).then_some(())).await;
        assert_eq!(names(&gateway, "one").await, ["new"]);
    }
    one.behave(|_| None);
    until_named(&gateway, "one", &["echo"]).await;
    expect(&gateway, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_may_have_pages_and_one_bad_tool_spoils_no_other() {
    let one = recorder().await;
    one.behave(|seen| {
        let cursor = seen.json()["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse::<usize>().unwrap());
        let name = |number: usize| tool(&format!("tool-{:04}", cursor * 500 + number));
        let mut page: Vec<_> = (0..500).map(name).collect();
        page.push(json!({"name": "tool-0001", "inputSchema": {"type": "object", "required": ["never"]}}));
        page.push(json!({"name": "bad", "inputSchema": {"type": 7}}));
        page.push(json!({"name": "worse"}));
        let next = (cursor < 3).then(|| (cursor + 1).to_string());
        is(seen, "tools/list").then(|| list(&page, next.as_deref()))
    });
    let gateway = before(&[&one]).start().await;
    let all = async || {
        let names = names(&gateway, "one").await;
        (names.len() == 2000).then_some(names)
    };
    let names = wait_until("2000 tools are there", PATIENCE, all).await;
    assert_eq!((names[0].as_str(), names[1999].as_str()), ("tool-0000", "tool-1999"));
    for name in ["tool-0001", "tool-1999"] {
        let response = gateway.modern_call("one", &ana(), name, &json!({})).await;
        assert_eq!(response.message()["result"]["content"][0]["text"], "fine", "the first of a name counts");
    }
    let bad = gateway.modern_call("one", &ana(), "bad", &json!({})).await;
    assert_eq!(bad.message()["error"]["code"], -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_answer_discovery_with_a_stream() {
    let one = recorder().await;
    one.behave(|seen| {
        let result = match seen.json()["method"].as_str()? {
            "server/discover" => {
                r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"resultType":"complete"}"#
            }
            "tools/list" => {
                r#"{"tools":[{"name":"streamed","inputSchema":{"type":"object"}}],"resultType":"complete"}"#
            }
            _ => return None,
        };
        let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, seen.json()["id"]);
        Some(Answer::events(&[message], 7))
    });
    let gateway = before(&[&one]).start().await;
    until_named(&gateway, "one", &["streamed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_learns_a_modern_revision_is_spoken_to_in_it() {
    let one = Upstream::start(Speaks::Legacy, vec![tool("echo")]).await;
    let gateway = before(&[&one]).upstream("one", "refresh", json!("100ms")).start().await;
    until_named(&gateway, "one", &["echo"]).await;
    expect(&gateway, 200).await;
    assert_eq!(one.calls()[0].header("mcp-protocol-version"), Some("2025-11-25"));
    let modern = recorder().await;
    let answers = modern.answers();
    one.behave(move |seen| (!is(seen, "initialize")).then(|| answers(seen)));
    let spoken = async || {
        call(&gateway).await;
        (one.calls().last()?.header("mcp-protocol-version")? == "2026-07-28").then_some(())
    };
    wait_until("it is spoken to in the modern revision", PATIENCE, spoken).await;
    expect(&gateway, 200).await;
}

fn definitions(upstreams: &[(&str, Value)]) -> Value {
    let endpoints: serde_json::Map<_, _> =
        upstreams.iter().map(|(name, _)| ((*name).to_owned(), json!({"upstreams": [name]}))).collect();
    let upstreams: serde_json::Map<_, _> =
        upstreams.iter().map(|(name, definition)| ((*name).to_owned(), definition.clone())).collect();
    json!({"version": 1, "upstreams": upstreams, "endpoints": endpoints})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_adds_changes_and_removes_upstreams_under_running_calls() {
    let (one, two) = (recorder().await, recorder().await);
    let gateway = before(&[&one]).start().await;
    until_named(&gateway, "one", &["echo"]).await;
    gateway.replace_upstreams(&definitions(&[("one", json!({"url": one.url()})), ("two", json!({"url": two.url()}))]));
    let added = async || {
        let response = gateway.modern_call("two", &ana(), "echo", &json!({})).await;
        (response.status == 200 && response.message()["result"].is_object()).then_some(())
    };
    wait_until("the new upstream can be called", PATIENCE, added).await;

    // A call that runs keeps the definition that it began with, though the name now means another server.
    one.answer(Answer::new(200, "application/json", Body::Gated(vec![body_of(1)])));
    let change = async {
        wait_until("the call runs", PATIENCE, async || (!one.calls().is_empty()).then_some(())).await;
        gateway.replace_upstreams(&definitions(&[("one", json!({"url": two.url()}))]));
        let removed = async || {
            let response = gateway.modern_call("two", &ana(), "echo", &json!({})).await;
            (response.status == 404).then_some(())
        };
        wait_until("the removed endpoint is gone", PATIENCE, removed).await;
        let before = two.calls().len();
        expect(&gateway, 200).await;
        assert_eq!(two.calls().len(), before + 1);
        one.release();
    };
    let (response, ()) = tokio::join!(call(&gateway), change);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(one.calls().len(), 1);
    assert!(gateway.readiness().await["upstreams"]["two"].is_null());
}

/// A changed timeout, say, is no reason to show no tools for a moment, or for good where the upstream is down.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_upstream_keeps_its_tools_until_it_shows_others() {
    let (mut one, two) = (recorder().await, recorder().await);
    let setup = before(&[&one]);
    let mut upstreams = setup.upstreams.clone();
    let gateway = setup.start().await;
    until_named(&gateway, "one", &["echo"]).await;
    one.stop().await;
    upstreams["upstreams"]["one"]["timeout"] = json!("7s");
    upstreams["upstreams"]["two"] = json!({"url": two.url()});
    upstreams["endpoints"]["two"] = json!({"upstreams": ["two"]});
    gateway.replace_upstreams(&upstreams);
    until_named(&gateway, "two", &["echo"]).await;
    assert_eq!(names(&gateway, "one").await, ["echo"]);
    expect(&gateway, 502).await;
    one.resume().await;
    wait_until("it is served again", PATIENCE, async || (call(&gateway).await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_an_unchanged_upstream_survives_a_reload() {
    let (one, mut two, three) = (recorder().await, recorder().await, recorder().await);
    let setup = before(&[&one, &two]).upstream("one", "health_interval", json!("1h"));
    let mut upstreams = setup.upstreams.clone();
    let gateway = setup.start().await;
    until_well(&gateway, 2).await;
    two.stop().await;
    let since = Instant::now();
    let ejected = async || {
        expect(&gateway, 200).await;
        (well(&gateway).await == 1).then_some(())
    };
    wait_until("the dead replica is ejected", PATIENCE, ejected).await;
    let asked = one.seen().iter().filter(|seen| is(seen, "server/discover")).count();
    upstreams["upstreams"]["three"] = json!({"url": three.url()});
    upstreams["endpoints"]["three"] = json!({"upstreams": ["three"]});
    gateway.replace_upstreams(&upstreams);
    until_named(&gateway, "three", &["echo"]).await;
    assert_eq!(one.seen().iter().filter(|seen| is(seen, "server/discover")).count(), asked, "it is not asked again");
    let well = well(&gateway).await;
    assert!(well == 1 || since.elapsed() >= EJECTION, "the ejection goes on");
}

/// MCP 2026-07-28 "Custom Headers": -32020 says that the headers are not those of the tool's definition.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_misses_headers_is_asked_at_once_which_it_wants() {
    let one = recorder().await;
    let setup = before(&[&one]).upstream("one", "refresh", json!("1h")).upstream("one", "pinning", json!("off"));
    let gateway = setup.start().await;
    until_named(&gateway, "one", &["echo"]).await;
    one.behave(|seen| {
        let properties = json!({"region": {"type": "string", "x-mcp-header": "Region"}});
        if is(seen, "tools/list") {
            let schema = json!({"type": "object", "properties": properties});
            return Some(list(&[json!({"name": "echo", "inputSchema": schema})], None));
        }
        let misses = is(seen, "tools/call") && seen.header("mcp-param-region") != Some("eu");
        let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32020,"message":"Mcp-Param-Region is missing"}}"#;
        misses.then(|| Answer { status: 400, ..Answer::json(error) })
    });
    let call = async || gateway.rest_invoke(&ana(), "one.echo", &json!({"region": "eu"})).await.status;
    assert_eq!(call().await, 503);
    wait_until("the call has its header", PATIENCE, async || (call().await == 200).then_some(())).await;
}
