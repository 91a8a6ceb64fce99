//! An older client is asked on the stream of its call, and the call is sent again to a modern server with the answers.

use super::stage::{
    CAPABILITIES, POLICY, Session, UPSTREAM, accept, before, entries, form, is, result, script, script_calls, seen,
    server, set_policy,
};
use crate::support::gateway::{Gateway, legacy};
use crate::support::http::Request;
use crate::support::raw::Connection;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Seen, Speaks, Upstream};
use serde_json::{Value, json};

fn able() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": true}})
}

/// Lets `upstream` ask for `requests` until it is answered, and then say what it was told.
fn script_rounds(upstream: &Upstream, state: Value, requests: Value) {
    script(upstream, move |seen| {
        is(seen, "tools/call").then(|| {
            let call = seen.json();
            let answers = &call["params"]["inputResponses"];
            if !answers.is_null() {
                let mut done = result(&call, &answers.to_string());
                done["result"]["resultType"] = json!("complete");
                return Answer::json(&done.to_string());
            }
            let mut required = json!({"resultType": "input_required", "inputRequests": requests});
            if !state.is_null() {
                required["requestState"] = state.clone();
            }
            Answer::json(&json!({"jsonrpc": "2.0", "id": call["id"], "result": required}).to_string())
        })
    });
}

fn params(seen: &Seen) -> Value {
    seen.json()["params"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_asks_for_reaches_the_client_and_its_answers_come_back() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    let requests = json!({
        "name": {"method": "elicitation/create", "params": form("Write to ana@example.com?")},
        "page": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://example.com/x", "message": "Look"}},
        "roots": {"method": "roots/list", "params": {}},
    });
    script_rounds(&upstream, json!("s=\u{e9}/ana@example.com"), requests);
    let client = Session::open(&gateway, "ana", able()).await;
    let mut stream = client.call(&json!("c"), json!({"n": 1.0})).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let asked = stream.next().await;
        assert!(!asked.to_string().contains("ana@example.com"), "{asked}");
        let mode = &asked["params"]["mode"];
        assert_eq!(asked["params"]["elicitationId"].is_string(), mode == "url", "2025-11-25 wants one: {asked}");
        ids.push(asked["id"].clone());
        let answer = if asked["method"] == "roots/list" { json!({"roots": []}) } else { accept() };
        client.answer(&asked["id"], answer).await;
    }
    let done = stream.next().await;
    assert_eq!(done["id"], "c");
    let told: Value = serde_json::from_str(done["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(told, json!({"name": accept(), "page": accept(), "roots": {"roots": []}}));

    let calls = upstream.calls();
    assert_eq!(calls.len(), 2);
    let (first, second) = (params(&calls[0]), params(&calls[1]));
    assert_ne!(calls[0].json()["id"], calls[1].json()["id"]);
    assert_eq!(second["requestState"], "s=\u{e9}/ana@example.com", "byte by byte");
    let mut declared = able();
    declared["roots"] = json!({"listChanged": true});
    assert_eq!(first["_meta"][CAPABILITIES], declared);
    assert!(calls.iter().all(|call| call.header("mcp-name") == Some("ask") && call.header("mcp-session-id").is_none()));
    assert!(String::from_utf8_lossy(&calls[1].body).contains(r#"{"n":1.0}"#), "arguments stay as they were");

    // Each question was good for one answer.
    let late = client.say(&json!({"jsonrpc": "2.0", "id": ids[0], "result": accept()})).await;
    assert!(matches!(late.status, 202 | 400), "{}", late.text());
    assert_eq!(upstream.calls().len(), 2);
    let (intents, outcomes) = (entries(&gateway, "intent", 1).await, entries(&gateway, "outcome", 1).await);
    assert_eq!((intents.len(), outcomes.len(), &outcomes[0]["outcome"]), (1, 1, &json!("ok")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_where_nobody_can_or_will_answer() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script_rounds(&upstream, json!("s"), json!({"m": {"method": "sampling/createMessage", "params": {}}}));
    // It did not say that it can be asked for this.
    let words = [(json!({}), -31411, "declare in it"), (json!({"elicitation": {}}), -31502, "asks for input")];
    for (capabilities, code, words) in words {
        let client = Session::open(&gateway, "ana", capabilities).await;
        let message = client.call(&json!(1), json!({})).await.next().await;
        assert_eq!(message["error"]["code"], code, "{message}");
        assert!(message["error"]["message"].as_str().unwrap().contains(words), "{message}");
    }
    // It says no.
    let client = Session::open(&gateway, "ana", able()).await;
    let mut stream = client.call(&json!(1), json!({})).await;
    let asked = stream.next().await;
    let refusal = json!({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "no"}});
    assert_eq!(client.say(&refusal).await.status, 202);
    let message = stream.next().await;
    assert_eq!(message["error"]["code"], -31411, "{message}");
    assert_eq!(upstream.calls().len(), 3, "none was sent again");

    // It has no session in which it could be asked.
    let token = token("ana", &["tester"]);
    let alone = gateway.send(&legacy(UPSTREAM, "tools/call", json!({"name": "ask"})).bearer(&token)).await.message();
    assert_eq!(alone["error"]["code"], -31411, "{alone}");
    assert!(alone["error"]["message"].as_str().unwrap().contains("begin a session with initialize"), "{alone}");
    let rest = gateway.rest_invoke(&token, "other.ask", &json!({})).await;
    assert!(rest.text().contains("over MCP"), "{}", rest.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_ask_so_often_and_no_more() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script(&upstream, |seen| {
        let required = json!({"resultType": "input_required", "requestState": "more"});
        is(seen, "tools/call")
            .then(|| Answer::json(&json!({"jsonrpc": "2.0", "id": seen.json()["id"], "result": required}).to_string()))
    });
    let client = Session::open(&gateway, "ana", able()).await;
    let message = client.call(&json!(1), json!({})).await.next().await;
    assert_eq!(message["error"]["code"], -31411, "{message}");
    assert_eq!(upstream.calls().len(), 9);
}

/// Nobody is asked for an answer that would go nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_asked_as_often_as_its_answers_are_passed_on() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script(&upstream, |seen| {
        let asks = json!({"resultType": "input_required", "inputRequests": {"r": {"method": "roots/list"}}});
        is(seen, "tools/call").then(|| Answer::result(&asks))
    });
    let client = Session::open(&gateway, "ana", able()).await;
    let mut stream = client.call(&json!(1), json!({})).await;
    for asked in 0.. {
        let message = stream.next().await;
        if message["method"].is_null() {
            assert_eq!((asked, &message["error"]["code"]), (8, &json!(-31411)), "{message}");
            break;
        }
        client.answer(&message["id"], json!({"roots": []})).await;
    }
    assert_eq!(upstream.calls().len(), 9);
    let rows = gateway.ended_calls(8, |row| row["detail"] == "the client was asked").await;
    assert!(rows.iter().all(|row| row["method"] == "roots/list" && row["upstream"] == UPSTREAM), "{rows:?}");
}

/// While a person thinks, policy may come to forbid what was allowed.
#[tokio::test(flavor = "multi_thread")]
async fn policy_is_asked_again_before_a_call_is_sent_again() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script_rounds(&upstream, json!("s"), json!({"m": {"method": "elicitation/create", "params": form("Who?")}}));
    let client = Session::open(&gateway, "ana", able()).await;
    let mut stream = client.call(&json!(1), json!({})).await;
    let asked = stream.next().await;
    set_policy(&gateway, &format!("{POLICY}rules: [{{ id: no-more, effect: deny, tools: [\"other.ask\"] }}]\n")).await;
    client.answer(&asked["id"], accept()).await;
    let message = stream.next().await;
    assert_eq!(message["error"]["code"], -32602, "{message}");
    assert_eq!(upstream.calls().len(), 1, "it is not sent again");
    let row = gateway.ended_call(|row| row["method"] == "tools/call").await;
    assert_eq!((&row["rule"], &row["error"]), (&json!("no-more"), &json!("unknown_tool")), "{row:?}");

    // What is redacted is what is redacted by then.
    set_policy(&gateway, POLICY).await;
    let mut stream = client.call(&json!(2), json!({})).await;
    let asked = stream.next().await;
    set_policy(&gateway, &POLICY.replace("[email]", "[email, card]")).await;
    client.answer(&asked["id"], json!({"action": "accept", "content": {"card": "4111 1111 1111 1111"}})).await;
    let done = stream.next().await;
    assert!(done["result"].is_object() && !done.to_string().contains("4111"), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_for_the_session_that_called() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script_rounds(&upstream, json!("s"), json!({"m": {"method": "elicitation/create", "params": form("Who?")}}));
    let (ana, twin, bob) = (
        Session::open(&gateway, "ana", able()).await,
        Session::open(&gateway, "ana", able()).await,
        Session::open(&gateway, "bob", able()).await,
    );
    let mut stream = ana.call(&json!(1), json!({})).await;
    let asked = stream.next().await;
    for stranger in [&twin, &bob] {
        stranger.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": accept()})).await;
    }
    for id in [json!(0), json!(1), json!("x")] {
        ana.say(&json!({"jsonrpc": "2.0", "id": id, "result": accept()})).await;
    }
    assert_eq!(upstream.calls().len(), 1);
    ana.answer(&asked["id"], accept()).await;
    assert!(stream.next().await["result"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_takes_back_a_call_that_asks() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script_rounds(&upstream, json!("s"), json!({"m": {"method": "elicitation/create", "params": form("Who?")}}));
    let client = Session::open(&gateway, "ana", able()).await;
    let mut stream = client.call(&json!(7), json!({})).await;
    let asked = stream.next().await;
    let back = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(client.say(&back).await.status, 202);
    let outcomes = entries(&gateway, "outcome", 1).await;
    assert_eq!(outcomes[0]["outcome"], "cancelled", "{outcomes:?}");
    client.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": accept()})).await;
    assert_eq!(upstream.calls().len(), 1);

    // One that leaves takes it back, too: nobody else could answer.
    let mut stream = client.call(&json!(8), json!({})).await;
    stream.next().await;
    drop(stream);
    let outcomes = entries(&gateway, "outcome", 2).await;
    assert_eq!(outcomes[1]["outcome"], "cancelled", "{outcomes:?}");
}

/// MCP 2025-11-25 "Sending Messages to the Server": a lost connection is no cancellation, and to a modern server it would be.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_loses_its_connection_takes_no_call_back() {
    for capabilities in [json!({}), able()] {
        let upstream = server(Speaks::Modern).await;
        let gateway = before(&upstream).await;
        script_calls(&upstream, |call| vec![result(call, "ana@example.com")]);
        let client = Session::open(&gateway, "ana", capabilities).await;
        let stream = client.call(&json!(7), json!({})).await;
        seen(&upstream, "tools/call", 1).await;
        drop(stream);
        // What comes after it on other connections is answered.
        for id in 8..12 {
            let list = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"});
            assert_eq!(client.say(&list).await.status, 200);
        }
        upstream.release();
        let outcome = entries(&gateway, "outcome", 1).await.remove(0);
        assert_eq!(outcome["outcome"], "ok", "{outcome:?}");
        assert!(outcome["redactions"].as_str().unwrap().contains("email"), "it came to its end: {outcome:?}");
    }
}

/// A call of an older client without a session.
fn alone(arguments: &Value) -> Request {
    legacy(UPSTREAM, "tools/call", json!({"name": "ask", "arguments": arguments})).bearer(&token("ana", &["tester"]))
}

/// Sends `call` and loses the connection as soon as `upstream` has got `count` of them.
async fn lose(gateway: &Gateway, upstream: &Upstream, call: &Request, count: usize) {
    let mut connection = Connection::open(gateway.authority()).await;
    connection.send(&call.to_http1(gateway.authority())).await.unwrap();
    seen(upstream, "tools/call", count).await;
}

/// Nor does one without a session; nobody can fetch the answer, but what became of the call is in the record.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_session_takes_no_call_back_either() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script_calls(&upstream, |call| vec![result(call, "ana@example.com")]);
    lose(&gateway, &upstream, &alone(&json!({})), 1).await;
    // What comes after it is answered, and finds the call still running.
    let list = legacy(UPSTREAM, "tools/list", json!({})).bearer(&token("ana", &["tester"]));
    for _ in 0..4 {
        assert_eq!(gateway.send(&list).await.status, 200);
    }
    upstream.release();
    let outcome = entries(&gateway, "outcome", 1).await.remove(0);
    assert_eq!(outcome["outcome"], "ok", "{outcome:?}");
    assert!(outcome["redactions"].as_str().unwrap().contains("email"), "it came to its end: {outcome:?}");
    // One that stays is answered as ever.
    upstream.release();
    let message = gateway.send(&alone(&json!({}))).await.message();
    assert_eq!(message["result"]["content"][0]["text"], "[REDACTED:EMAIL]", "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_run_on_without_their_clients_than_may() {
    let upstream = server(Speaks::Modern).await;
    let mut gateway = before(&upstream).await;
    script_calls(&upstream, |call| vec![result(call, "done")]);
    for count in 1..=17 {
        lose(&gateway, &upstream, &alone(&json!({"n": count})), count).await;
    }
    let outcome = entries(&gateway, "outcome", 1).await.remove(0);
    assert_eq!(outcome["outcome"], "cancelled", "{outcome:?}");
    let open = gateway.calls().await.into_iter().filter(|row| row["tool"] == "other.ask" && row["outcome"].is_null());
    assert_eq!(open.count(), 16);
    // The process does not wait for them for long, and the record has what became of each.
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    let outcomes = entries(&gateway, "outcome", 17).await;
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "cancelled"), "{outcomes:?}");
}

/// What a session said of log messages is said in each of its calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_modern_server_hears_which_log_messages_a_session_wants() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    let client = Session::open(&gateway, "ana", able()).await;
    let level = json!({"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": {"level": "warning"}});
    assert_eq!(client.say(&level).await.status, 200);
    assert!(client.call(&json!(2), json!({})).await.next().await["result"].is_object());
    let call = seen(&upstream, "tools/call", 1).await.remove(0);
    assert_eq!(params(&call)["_meta"]["io.modelcontextprotocol/logLevel"], "warning");
    assert_eq!(call.path, "/mcp", "{UPSTREAM}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_read_with_the_clients_help_too() {
    let upstream = server(Speaks::Modern).await;
    let gateway = before(&upstream).await;
    script(&upstream, |seen| {
        let answered = !seen.json()["params"]["inputResponses"].is_null();
        let asks = json!({"resultType": "input_required", "inputRequests": {"r": {"method": "roots/list"}}});
        let contents = json!({"contents": [{"uri": "x:y", "text": "read"}]});
        is(seen, "resources/read").then(|| Answer::result(if answered { &contents } else { &asks }))
    });
    let client = Session::open(&gateway, "ana", able()).await;
    let read = json!({"jsonrpc": "2.0", "id": 4, "method": "resources/read", "params": {"uri": "x:y"}});
    let mut stream = client.open_stream(&read).await;
    let asked = stream.next().await;
    assert_eq!(asked["method"], "roots/list", "{asked}");
    client.answer(&asked["id"], json!({"roots": []})).await;
    assert_eq!(stream.next().await["result"]["contents"][0]["text"], "read");
}
