//! The state that a modern server gives out in the middle of a call is its client's alone: it comes back sealed, opened
//! for the server byte by byte, and is refused from anybody else and for anything else.

use super::stage::{CAPABILITIES, Session, UPSTREAM, accept, ask, before_with, edit, entries, form, is, retry, script};
use crate::support::gateway::{Gateway, Setup, modern};
use crate::support::http::Request;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Answer, Speaks, Upstream};
use serde_json::{Value, json};

/// A raw string that could be written otherwise, with something in it that nobody else should read.
const STATE: &str = r#""\u00e9\/ana@example.com""#;

/// A server of two tools that asks for a name, and says what state it was brought.
async fn asking(state: &str) -> Upstream {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, vec![tool("ask"), tool("other")]).await;
    let state = state.to_owned();
    script(&upstream, move |seen| {
        let call = seen.json();
        let asks = json!({"name": {"method": "elicitation/create", "params": form("Who?")}});
        is(seen, "tools/call").then(|| match &call["params"]["requestState"] {
            Value::Null => Answer::json(&format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"input_required","inputRequests":{asks},"requestState":{state}}}}}"#,
                call["id"]
            )),
            _ => Answer::result(&json!({"resultType": "complete", "content": [{"type": "text", "text": "done"}]})),
        })
    });
    upstream
}

/// The gateway before `upstream`, with a second endpoint.
async fn before(upstream: &Upstream) -> Gateway {
    let setup = |mut setup: Setup| {
        setup.upstreams["endpoints"]["twin"] = json!({"upstreams": [UPSTREAM]});
        setup
    };
    before_with(upstream, setup).await
}

fn able() -> Value {
    json!({"elicitation": {}})
}

fn called(name: &str, request: &Request) -> Request {
    let body = |body: &mut Value| body["params"]["name"] = json!(name);
    edit(request.clone().without("mcp-name").header("mcp-name", name), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_comes_back_byte_by_byte_and_is_read_by_nobody_on_the_way() {
    let upstream = asking(STATE).await;
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({"n": 1.0}));
    let first = gateway.send(&call).await;
    assert!(!first.text().contains("example.com"), "{}", first.text());
    let first = first.message();
    assert_eq!(first["result"]["inputRequests"]["name"]["method"], "elicitation/create", "{first}");
    let done = gateway.send(&retry(&call, &first, json!({"name": accept()}))).await.message();
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    let calls = upstream.calls();
    assert_eq!(calls.len(), 2);
    let second = String::from_utf8(calls[1].body.clone()).unwrap();
    assert!(second.contains(&format!(r#""requestState":{STATE}"#)), "{second}");
    assert_eq!(calls[1].json()["params"]["inputResponses"], json!({"name": accept()}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_good_for_who_got_it_where_and_for_what_they_got_it() {
    let upstream = asking(STATE).await;
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({"n": 1}));
    let first = gateway.send(&call).await.message();
    let good = retry(&call, &first, json!({"name": accept()}));
    let sealed = first["result"]["requestState"].as_str().unwrap().to_owned();
    let with = |state: Value| edit(good.clone(), |body| body["params"]["requestState"] = state);
    let mut elsewhere = good.clone();
    elsewhere.path = "/twin/mcp".into();
    let hostile = [
        good.clone().bearer(&Claims::new("bob", &["tester"]).sign()),
        good.clone().bearer(&Claims::new("ana", &["tester"]).with("azp", json!("other-agent")).sign()),
        elsewhere,
        called("other", &good),
        with(json!("")),
        with(serde_json::from_str(STATE).unwrap()),
        with(json!(format!("{sealed}A"))),
        with(json!(sealed.to_lowercase())),
        with(json!("A".repeat(300_000))),
    ];
    let before = upstream.seen().len();
    for (number, request) in hostile.iter().enumerate() {
        let response = gateway.send(request).await;
        let message = response.message();
        assert_eq!((response.status, &message["error"]["code"]), (400, &json!(-32602)), "{number}: {message}");
        assert!(message["error"]["message"].as_str().unwrap().contains("requestState"), "{number}: {message}");
    }
    assert_eq!(upstream.seen().len(), before, "nothing has reached the server");
    let refused = entries(&gateway, "event", hostile.len()).await;
    assert_eq!(refused.len(), hostile.len());
    assert!(refused.iter().all(|row| row["error"] == "invalid_params" && row["outcome"] == "refused"), "{refused:?}");
    assert_eq!(gateway.send(&good).await.message()["result"]["resultType"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_too_long_to_be_sealed_ends_the_call_with_words() {
    let upstream = asking(&format!("\"{}\"", "x".repeat(200_000))).await;
    let gateway = before(&upstream).await;
    let response = gateway.send(&ask("ana", &able(), json!({}))).await;
    let message = response.message();
    assert_eq!((response.status, &message["error"]["code"]), (502, &json!(-31502)), "{message}");
    assert!(message["error"]["message"].as_str().unwrap().contains("too long"), "{message}");
    let counted = async || gateway.metrics().await.contains(r#"reason="upstream_incompatible""#).then_some(());
    wait_until("an operator sees it", PATIENCE, counted).await;

    // A long one that can be.
    let long = format!("\"{}\"", "x".repeat(150_000));
    let upstream = asking(&long).await;
    let gateway = self::before(&upstream).await;
    let call = ask("ana", &able(), json!({}));
    let first = gateway.send(&call).await.message();
    let done = gateway.send(&retry(&call, &first, json!({"name": accept()}))).await.message();
    assert_eq!(done["result"]["resultType"], "complete", "{}", done.to_string().len());
}

/// In its revision they mean nothing, and a modern server would take them for its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_can_bring_no_state_and_no_answers() {
    let upstream = asking(STATE).await;
    let gateway = before(&upstream).await;
    let client = Session::open(&gateway, "ana", json!({})).await;
    let params = json!({"requestState": "s", "name": "ask", "inputResponses": {"name": accept()}, "arguments": {}});
    client.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).await;
    let sent = upstream.calls().pop().unwrap().json();
    assert_eq!(sent["params"]["name"], "ask", "{sent}");
    assert!(sent["params"]["requestState"].is_null() && sent["params"]["inputResponses"].is_null(), "{sent}");
    assert_eq!(sent["params"]["_meta"][CAPABILITIES], json!({}));
}

/// What is called the same is another thing.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_a_tool_is_none_of_a_resource() {
    let upstream = asking(STATE).await;
    let gateway = before(&upstream).await;
    let first = gateway.send(&ask("ana", &able(), json!({}))).await.message();
    let read = modern(UPSTREAM, "resources/read", json!({"uri": "ask"})).header("mcp-name", "ask");
    let read = edit(read, |body| {
        body["params"]["requestState"] = first["result"]["requestState"].clone();
        body["params"]["_meta"][CAPABILITIES] = able();
    });
    let before = upstream.seen().len();
    let response = gateway.send(&read.bearer(&token("ana", &["tester"]))).await;
    assert_eq!((response.status, &response.message()["error"]["code"]), (400, &json!(-32602)), "{}", response.text());
    assert_eq!(upstream.seen().len(), before);
}
