//! What one era says otherwise than the other.

use super::stage::{Session, ask, before, edit, gated, is, result, script, server};
use crate::support::gateway::modern;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Speaks};
use serde_json::{Value, json};

const LEVEL: &str = "io.modelcontextprotocol/logLevel";

#[tokio::test(flavor = "multi_thread")]
async fn structured_content_that_is_no_object_is_for_modern_clients() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script(&upstream, |seen| {
        let result = json!({"content": [{"type": "text", "text": "[1]"}], "structuredContent": [1]});
        is(seen, "tools/call").then(|| Answer::result(&result))
    });
    let modern = gateway.send(&ask("ana", &json!({}), json!({}))).await.message();
    assert_eq!(modern["result"]["structuredContent"], json!([1]), "{modern}");
    for capabilities in [json!({}), json!({"elicitation": {}})] {
        let client = Session::open(&gateway, "ana", capabilities).await;
        let legacy = client.call(&json!(1), json!({})).await.next().await;
        assert!(legacy["result"].get("structuredContent").is_none(), "{legacy}");
        assert_eq!(legacy["result"]["content"][0]["text"], "[1]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_blames_the_gateway_is_not_quoted() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    for (code, status, told) in [(-32020, 503, -31503), (-32022, 500, -32603)] {
        script(&upstream, move |seen| {
            let error = json!({"code": code, "message": "bad header", "data": {"supported": ["1999-01-01"]}});
            let body = json!({"jsonrpc": "2.0", "id": seen.json()["id"], "error": error}).to_string();
            is(seen, "tools/call").then(|| Answer { status: 400, ..Answer::json(&body) })
        });
        let response = gateway.send(&ask("ana", &json!({}), json!({}))).await;
        assert_eq!(
            (response.status, &response.message()["error"]["code"]),
            (status, &json!(told)),
            "{}",
            response.text()
        );
        let client = Session::open(&gateway, "ana", json!({"elicitation": {}})).await;
        let message = client.call(&json!(1), json!({})).await.next().await;
        assert_eq!(message["error"]["code"], told, "{message}");
        assert!(!message.to_string().contains("bad header"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_that_an_older_client_lacks_is_named_as_the_reason() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script(&upstream, |seen| {
        let error = json!({"code": -32021, "message": "x", "data": {"requiredCapabilities": {"sampling": {}}}});
        let body = json!({"jsonrpc": "2.0", "id": seen.json()["id"], "error": error}).to_string();
        is(seen, "tools/call").then(|| Answer { status: 400, ..Answer::json(&body) })
    });
    let client = Session::open(&gateway, "ana", json!({})).await;
    let message = client.call(&json!(1), json!({})).await.next().await;
    assert!(message["error"]["message"].as_str().unwrap().contains("capability"), "{message}");
    let modern = gateway.send(&ask("ana", &json!({}), json!({}))).await;
    assert_eq!((modern.status, &modern.message()["error"]["code"]), (400, &json!(-32021)), "{}", modern.text());
}

fn read(uri: &str) -> Value {
    json!({"uri": uri})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_is_not_there_has_the_code_of_the_callers_era() {
    let missing = |code: i64| move |id: &Value| json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "none", "data": {"uri": "x:y"}}});
    for (speaks, theirs) in [(Speaks::Modern, missing(-32602)), (Speaks::Legacy, missing(-32002))] {
        let upstream = server(speaks).await;
        let gateway = before(&upstream).await;
        script(&upstream, move |seen| {
            is(seen, "resources/read").then(|| Answer::json(&theirs(&seen.json()["id"]).to_string()))
        });
        let token = token("ana", &["tester"]);
        let request = modern(super::stage::UPSTREAM, "resources/read", read("x:y")).header("mcp-name", "x:y");
        let message = gateway.send(&request.bearer(&token)).await.message();
        assert_eq!(message["error"]["code"], -32602, "{speaks:?} {message}");
        let client = Session::open(&gateway, "ana", json!({"elicitation": {}})).await;
        let request = json!({"jsonrpc": "2.0", "id": 3, "method": "resources/read", "params": read("x:y")});
        let message = client.say(&request).await.message();
        assert_eq!(message["error"]["code"], -32002, "{speaks:?} {message}");
    }
}

/// What was redacted for one caller is kept for no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_its_readers_own() {
    for speaks in [Speaks::Modern, Speaks::Legacy] {
        let upstream = server(speaks).await;
        let gateway = before(&upstream).await;
        script(&upstream, move |seen| {
            let mut result = json!({"contents": [{"uri": "x:y", "text": "hi"}]});
            if speaks == Speaks::Modern {
                result["cacheScope"] = json!("public");
                result["ttlMs"] = json!(5000);
            }
            is(seen, "resources/read").then(|| Answer::result(&result))
        });
        let request = modern(super::stage::UPSTREAM, "resources/read", read("x:y")).header("mcp-name", "x:y");
        let message = gateway.send(&request.bearer(&token("ana", &["tester"]))).await.message();
        let result = &message["result"];
        assert_eq!(
            (&result["cacheScope"], &result["resultType"]),
            (&json!("private"), &json!("complete")),
            "{message}"
        );
        assert_eq!(result["ttlMs"], if speaks == Speaks::Modern { 5000 } else { 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_messages_of_an_older_server_come_from_the_level_on_that_a_call_asks_for() {
    let upstream = server(Speaks::Legacy).await;
    let gateway = before(&upstream).await;
    script(&upstream, |seen| {
        let log = |level: &str| json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": level}});
        is(seen, "tools/call").then(|| gated(&[log("info"), log("error"), log("loud"), result(&seen.json(), "done")]))
    });
    for capabilities in [json!({}), json!({"elicitation": {}})] {
        for (level, heard) in [(None, vec![]), (Some("warning"), vec!["error"]), (Some("info"), vec!["info", "error"])]
        {
            let request = edit(ask("ana", &capabilities, json!({})), |body| {
                let meta = body["params"]["_meta"].as_object_mut().unwrap();
                meta.remove(LEVEL);
                meta.extend(level.map(|level| (LEVEL.to_owned(), json!(level))));
            });
            (0..4).for_each(|_| upstream.release());
            let messages = gateway.send(&request).await.messages();
            let (last, news) = messages.split_last().unwrap();
            assert_eq!(last["result"]["content"][0]["text"], "done");
            let levels: Vec<_> = news.iter().map(|message| message["params"]["level"].as_str().unwrap()).collect();
            assert_eq!(levels, heard, "{level:?}");
        }
    }
    assert!(upstream.calls().iter().all(|call| !call.json().to_string().contains("logLevel")));
}

/// What an upstream does not tell of can't be subscribed to, and is not said to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_what_tells_of_nothing_is_refused() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    let client = Session::open(&gateway, "ana", json!({})).await;
    let ask = json!({"jsonrpc": "2.0", "id": 3, "method": "resources/subscribe", "params": {"uri": "x:y"}});
    let refused = client.say(&ask).await.message();
    assert_eq!(refused["error"]["code"], -32601, "{refused}");
    let row = gateway.ended_call(|row| row["method"] == "resources/subscribe").await;
    assert_eq!((&row["outcome"], &row["error"]), (&json!("refused"), &json!("method_not_found")));
}
