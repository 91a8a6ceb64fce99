//! Groups I, J and M: what an upstream says that the caller must not get, in one piece and in every cut of a stream.

use crate::abuse::stage::{Stage, call, good};
use crate::support::gateway::{GATEWAY_SECRET, modern};
use crate::support::http::{Request, Response};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw;
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Answer, Body};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EMAIL: &str = "ana.silva@example.com";
const CARD: &str = "4111111111111111";

/// Pieces that a stream is cut into, in bytes.
const CUTS: [usize; 5] = [1, 2, 7, 61, usize::MAX];

/// What of `text` no answer may hold: the values, however a reader would put them together again.
fn leaks(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    text.contains("ana.silva") || text.contains(&STANDARD.encode(EMAIL)[..20]) || digits.contains(CARD)
}

fn message(result: &Value) -> String {
    let mut result = result.clone();
    result["resultType"] = "complete".into();
    json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string()
}

fn text(text: &str) -> String {
    message(&json!({"content": [{"type": "text", "text": text}]}))
}

/// The numbers of the abuse cases, and a message that holds what must not be seen.
fn messages() -> Vec<(&'static str, String)> {
    let escaped = text("EMAIL").replace("EMAIL", r"an\u0061\u002esilv\u0061\u0040example.com");
    let wide: String = CARD.chars().map(|c| char::from_u32(c as u32 - 0x30 + 0xff10).unwrap()).collect();
    let arabic: String = CARD.chars().map(|c| char::from_u32(c as u32 - 0x30 + 0x660).unwrap()).collect();
    let error = json!({"code": -31999, "message": format!("no {EMAIL}"), "data": {"tried": [EMAIL], "card": CARD}});
    vec![
        ("plain", text(&format!("write to {EMAIL} or charge {CARD}"))),
        ("134 fullwidth digits", text(&wide)),
        ("134 Arabic digits", text(&arabic)),
        ("135 zero width", text("4111\u{200b}1111\u{ad}1111\u{2060}1111 ana.silva@exam\u{200b}ple.com")),
        ("135 no-break spaces", text("4111\u{a0}1111\u{a0}1111\u{a0}1111")),
        ("136 escapes", escaped),
        (
            "137 the same in three places",
            message(&json!({
                "content": [{"type": "text", "text": json!({"mail": EMAIL, "deep": json!({"mail": EMAIL}).to_string()}).to_string()}],
                "structuredContent": {"mail": EMAIL, "list": [[CARD]]},
            })),
        ),
        ("138 an error", json!({"jsonrpc": "2.0", "id": 1, "error": error}).to_string()),
        ("138 a failed tool", message(&json!({"content": [{"type": "text", "text": EMAIL}], "isError": true}))),
        ("138 _meta", message(&json!({"content": [], "_meta": {"who": EMAIL}}))),
        (
            "138 a link to a resource",
            message(&json!({"content": [{"type": "resource_link", "uri": format!("mailto:{EMAIL}"), "name": EMAIL}]})),
        ),
        ("139 a key", message(&json!({"content": [], "structuredContent": {EMAIL: 1, "bo@example.com": 2}}))),
        (
            "140 a blob of text",
            message(&json!({"content": [{"type": "resource", "resource": {
                "uri": "a:b", "mimeType": "text/plain", "blob": STANDARD.encode(EMAIL)}}]})),
        ),
        ("141 a number", message(&json!({"content": [], "structuredContent": {"card": 4_111_111_111_111_111_u64}}))),
        ("142 URL codes", text("ana.silva%40example.com")),
        ("142 HTML codes", text("ana.silva&#64;example.com")),
    ]
}

async fn ask(stage: &Stage, answer: Answer) -> Response {
    stage.upstream.answer(answer);
    stage.gateway.send(&good()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_seen_is_not_seen_in_any_cut() {
    let stage = Stage::set().await;
    for (name, message) in messages() {
        let whole = ask(&stage, Answer::json(&message)).await;
        assert!(!leaks(&whole.text()), "{name}: {}", whole.text());
        let wanted = whole.message();
        for cut in CUTS {
            let streamed = ask(&stage, Answer::events(std::slice::from_ref(&message), cut)).await;
            assert_eq!(streamed.message(), wanted, "{name}, cut into {cut}");
            assert!(!leaks(&streamed.text()), "{name}, cut into {cut}: {}", streamed.text());
        }
        let row = stage.row(&whole).await;
        assert_ne!(row["redactions"], "{}", "{name}");
        assert!(!leaks(&json!(row["redactions"]).to_string()), "{name}");
    }
}

/// 138: news on the way is searched as the answer is. What is no news of this call is dropped (99, 101, 131).
#[tokio::test(flavor = "multi_thread")]
async fn of_a_stream_only_news_and_the_one_answer_pass() {
    let stage = Stage::set().await;
    let said = |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
    let asked = |method: &str| json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": {}}).to_string();
    let stream = vec![
        said(
            "notifications/progress",
            json!({"progressToken": 1, "progress": 1, "message": format!("reading {EMAIL}")}),
        ),
        said("notifications/message", json!({"level": "info", "data": {"who": EMAIL}})),
        said("notifications/tools/list_changed", json!({})),
        said("notifications/resources/updated", json!({"uri": "file:///hidden"})),
        said("notifications/cancelled", json!({"requestId": 1})),
        asked("sampling/createMessage"),
        asked("elicitation/create"),
        asked("roots/list"),
        text("fine").replace(r#""id":1"#, r#""id":2"#),
        text("fine").replace(r#""id":1"#, r#""id":"1""#),
        text("the first"),
        text("the second"),
    ];
    for cut in CUTS {
        let response = ask(&stage, Answer::events(&stream, cut)).await;
        let messages = response.messages();
        let methods: Vec<_> = messages.iter().map(|message| message["method"].as_str().unwrap_or("answer")).collect();
        assert_eq!(methods, ["notifications/progress", "notifications/message", "answer"], "{cut}");
        assert_eq!(messages[0]["params"]["progressToken"], 1);
        assert_eq!(messages[2]["result"]["content"][0]["text"], "the first");
        assert!(!leaks(&response.text()), "{}", response.text());
    }
}

async fn assert_refused(stage: &Stage, response: &Response, status: u16, label: &str, name: &str) {
    let error = &response.message()["error"];
    assert_eq!((response.status, error["code"].as_i64()), (status, Some(-31502)), "{name}: {}", response.text());
    let row = stage.row(response).await;
    assert_eq!((row["outcome"].as_str(), row["error"].as_str()), (Some("failed"), Some(label)), "{name}: {row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_not_passed_on() {
    let stage = Stage::set().await;
    let fine = text("fine");
    for (name, body) in [
        ("131 another id", fine.replace(r#""id":1"#, r#""id":2"#)),
        ("131 the id as a text", fine.replace(r#""id":1"#, r#""id":"1""#)),
        ("131 no id", fine.replace(r#""id":1"#, r#""id":null"#)),
        ("an error for nobody", r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"a"}}"#.into()),
        ("a batch", format!("[{fine}]")),
        ("two results", fine.replace(r#""result":{"#, r#""result":{},"result":{"#)),
        ("result and error", fine.replace(r#""result":{"#, r#""error":{"code":1,"message":"a"},"result":{"#)),
        ("a look-alike", fine.replace(r#""content""#, r#""Content":[],"content""#)),
        ("a notification", r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#.into()),
        ("a request", r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}"#.into()),
        ("two texts", format!("{fine}{fine}")),
        ("a result that is text", r#"{"jsonrpc":"2.0","id":1,"result":"fine"}"#.into()),
        ("an unknown kind of result", fine.replace("complete", "odd")),
        ("nothing", String::new()),
    ] {
        let response = ask(&stage, Answer::json(&body)).await;
        assert_refused(&stage, &response, 502, "response_unreadable", name).await;
    }
    let ask_for_more = message(&json!({"inputRequests": {"a": {"method": "sampling/createMessage", "params": {}}}}))
        .replace("complete", "input_required");
    let response = ask(&stage, Answer::json(&ask_for_more)).await;
    assert_refused(&stage, &response, 502, "upstream_incompatible", "99 a question that was not offered").await;
    for (name, kind) in [("133 JSON as HTML", "text/html"), ("133 no type", "")] {
        let mut answer = Answer::json(&fine);
        answer.headers = vec![("content-type".into(), kind.into())];
        let response = ask(&stage, answer).await;
        assert_refused(&stage, &response, 502, "response_unreadable", name).await;
    }
}

/// 99: a client that says it can answer a question is asked it.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_was_offered_is_passed_on() {
    let stage = Stage::set().await;
    let question =
        message(&json!({"inputRequests": {"a": {"method": "elicitation/create", "params": {"message": EMAIL}}}}))
            .replace("complete", "input_required");
    stage.upstream.answer(Answer::json(&question));
    let mut request = good();
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    request.body = body.to_string().into_bytes();
    let response = stage.gateway.send(&request).await;
    assert_eq!(response.message()["result"]["inputRequests"]["a"]["method"], "elicitation/create", "{response:?}");
    assert!(!leaks(&response.text()));
    let rest = stage.gateway.rest_invoke(&token("dora", &["developer"]), "crm.get_customer", &json!({"id": "c"})).await;
    assert_eq!(rest.status, 422, "{}", rest.text());
}

/// 171: what the gateway shows its upstreams comes back to nobody, however it is spelled.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_secret_is_scrubbed_from_every_answer() {
    let stage = Stage::set().await;
    let escaped: String = GATEWAY_SECRET.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let hex: String = GATEWAY_SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": GATEWAY_SECRET}});
    for (name, message) in [
        ("in a text", text(&format!("X-Gateway-Auth: {GATEWAY_SECRET}"))),
        ("escaped", text("SECRET").replace("SECRET", &escaped)),
        ("in JSON in JSON", text(&format!("{{\"h\":\"{escaped}\"}}"))),
        ("in base64", text(&STANDARD.encode(format!("gateway:{GATEWAY_SECRET}")))),
        ("in hexadecimal", text(&hex)),
        ("as a key", message(&json!({"structuredContent": {GATEWAY_SECRET: 1}, "content": []}))),
        ("in an error", error.to_string()),
    ] {
        let mut echo = Answer::json(&message);
        echo.headers.push(("x-gateway-auth".into(), GATEWAY_SECRET.into()));
        let response = ask(&stage, echo).await;
        assert_refused(&stage, &response, 502, "response_blocked", name).await;
        assert!(!format!("{response:?}").contains(GATEWAY_SECRET));
        for cut in CUTS {
            let response = ask(&stage, Answer::events(std::slice::from_ref(&message), cut)).await;
            assert_refused(&stage, &response, 200, "response_blocked", name).await;
        }
    }
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "message": GATEWAY_SECRET}});
    let response = ask(&stage, Answer::events(&[progress.to_string(), text("fine")], 5)).await;
    assert_refused(&stage, &response, 200, "response_blocked", "in news").await;
    assert_eq!(response.messages().len(), 1, "nothing follows what was blocked");
}

/// `block` lets nothing of the answer through, whole or in a stream.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_ends_the_answer() {
    let stage = Stage::set().await;
    let bad = text("about PROJECT-AURORA");
    assert_refused(&stage, &ask(&stage, Answer::json(&bad)).await, 502, "response_blocked", "whole").await;
    for cut in CUTS {
        let news = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "PROJECT-AURORA"}});
        for events in [vec![bad.clone()], vec![news.to_string(), text("fine")]] {
            let response = ask(&stage, Answer::events(&events, cut)).await;
            assert_refused(&stage, &response, 200, "response_blocked", "streamed").await;
            assert!(!response.text().contains("AURORA") && !response.text().contains("fine"));
        }
    }
}

/// 143: decided: an answer that redaction leaves with a `structuredContent` that its own schema forbids is refused. Where
/// the schema has room for what is put in place of a finding, it passes.
#[tokio::test(flavor = "multi_thread")]
async fn redaction_never_breaks_the_promise_of_an_output_schema() {
    let stage = Stage::set().await;
    let answer = |card: Value| Answer::json(&message(&json!({"content": [], "structuredContent": {"card": card}})));
    let card = json!(4_111_111_111_111_111_u64);
    stage.upstream.answer(answer(card.clone()));
    let response = stage.gateway.send(&call("get_number", &json!({}))).await;
    assert_refused(&stage, &response, 502, "response_unreadable", "a number").await;
    let response = stage.gateway.send(&call("get_text", &json!({}))).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.message()["result"]["structuredContent"]["card"].is_string());
    stage.upstream.answer(answer(json!(7)));
    assert_eq!(stage.gateway.send(&call("get_number", &json!({}))).await.status, 200);
}

/// A policy that drops a field of answers leaves an argument of that name in the list: it says what may be sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_keeps_the_arguments_that_answers_may_not_hold() {
    let policy = r#"
version: 1
roles: { developer: {} }
tools: [{ match: "crm.get_*", class: read }]
access: [{ roles: [developer], upstreams: [crm], level: read }]
redaction: [{ fields: ["$..region"], action: drop }]
"#;
    let stage = Stage::with(|setup| setup, policy).await;
    let list = modern("crm", "tools/list", json!({})).bearer(&token("dora", &["developer"]));
    let message = stage.gateway.send(&list).await.message();
    let tools = message["result"]["tools"].as_array().unwrap();
    let tool = tools.iter().find(|tool| tool["name"] == "get_region").unwrap();
    assert_eq!(tool["inputSchema"]["properties"]["region"]["type"], "string", "{tool}");
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

async fn begin(stage: &Stage, request: &Request) -> (raw::Connection, u16) {
    let mut connection = raw::Connection::open(stage.gateway.authority()).await;
    connection.send(&request.to_http1(stage.gateway.authority())).await.unwrap();
    let (status, _) = connection.read_response_head().await.unwrap();
    (connection, status)
}

/// 88: a stream ends with the token that opened it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_outlive_the_token() {
    let strict = |mut setup: crate::support::gateway::Setup| {
        setup.gateway["identity"]["issuers"][0]["clock_skew"] = "0s".into();
        setup
    };
    let policy = "version: 1\nroles: { developer: {} }\ntools: [{ match: \"crm.get_*\", class: read }]\naccess: [{ roles: [developer], upstreams: [crm], level: read }]\n";
    let stage = Stage::with(strict, policy).await;
    let news = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let pieces = [news.to_owned(), text("late")].map(|data| format!("data: {data}\n\n").into_bytes());
    stage.upstream.answer(Answer::new(200, "text/event-stream", Body::Begun(pieces.to_vec())));
    // On a machine that is very busy a token may end before it is looked at: then the next one.
    let (mut connection, expires) = wait_until("a token is good for a while", PATIENCE, async || {
        let expires = unix_now().as_secs() + 3;
        let request = good().bearer(&Claims::new("dora", &["developer"]).with("exp", json!(expires)).sign());
        let (connection, status) = begin(&stage, &request).await;
        (status == 200).then_some((connection, expires))
    })
    .await;
    assert!(String::from_utf8_lossy(&connection.read_chunk().await.unwrap().unwrap()).contains("progress"));
    wait_until("the token ends", PATIENCE, async || (unix_now().as_secs() > expires).then_some(())).await;
    stage.upstream.release();
    let mut rest = Vec::new();
    while let Some(chunk) = connection.read_chunk().await.unwrap() {
        rest.extend(chunk);
    }
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("-31401") && !rest.contains("late"), "{rest}");
    let row =
        stage.gateway.ended_call(|call| call["error"] == "unauthenticated" && call["tool"] == "crm.get_customer").await;
    assert_eq!((&row["outcome"], &row["detail"]), (&json!("failed"), &json!("expired")));
}
