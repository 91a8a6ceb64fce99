//! What HTTP refuses becomes an error of JSON-RPC that says what to do; and what may be sent again is.

use super::{Bridge, call, modern, request};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

async fn upstream() -> Upstream {
    Upstream::start(Speaks::Modern, vec![]).await
}

fn echo(id: i64) -> Value {
    modern(id, "tools/call", call("echo", json!({})))
}

fn refusal(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut answer = Answer { status, ..Answer::json(body) };
    answer.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    answer
}

fn is_call(seen: &Seen) -> bool {
    seen.json()["method"] == "tools/call"
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_says_what_to_do() {
    let (upstream, other) = (upstream().await, upstream().await);
    let mut bridge = Bridge::to(&upstream.url(), &["--token", "a"]);
    let error =
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-31502,"message":"The server behind is down","data":[1.0]}}"#;
    let scope = r#"Bearer error="insufficient_scope", scope="crm:write files", resource_metadata="x""#;
    let elsewhere = format!("{}?key=s3cret", other.url());
    let events = |text: &str| Answer::new(200, "text/event-stream", Body::Whole(text.into()));
    let cases = [
        (refusal(401, &[], ""), -31401, "refused the token"),
        (refusal(403, &[("www-authenticate", scope)], ""), -31403, "get one with `crm:write files`"),
        (refusal(403, &[], error), -31502, "refused access (403): The server behind is down"),
        (refusal(429, &[("retry-after", "3600")], ""), -31429, "try again in 3600 s"),
        (refusal(429, &[], ""), -31429, "try again later"),
        (refusal(307, &[("location", &elsewhere)], ""), -31307, "which is not followed"),
        (refusal(404, &[], "<html>"), -31404, "check the path"),
        (refusal(405, &[], ""), -31405, "Streamable HTTP"),
        (refusal(502, &[], error), -31502, "The server behind is down"),
        (refusal(500, &[], "oops"), -31500, "failed with status 500"),
        (Answer::nothing(202), -31202, "gave no answer"),
        (Answer::new(200, "text/html", Body::Whole("<html>".into())), -31200, "gave no answer"),
        (Answer::json("{}"), -31502, "it is not JSON-RPC"),
        (Answer::json(r#"{"jsonrpc":"2.0","id":"other","result":{}}"#), -31502, "answers something else"),
        (events("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n"), -31502, "ended before the answer"),
        (Answer::new(200, "application/json", Body::Broken(b"{".to_vec())), -31502, "broke off"),
        (Answer::new(200, "application/json", Body::Closed), -31502, "not sent again"),
    ];
    for (id, (answer, code, text)) in (1..).zip(cases) {
        upstream.answer(answer);
        let answer = bridge.ask(&echo(id)).await;
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(answer["error"]["code"] == code && message.contains(text), "{code}, {text}: {answer}");
        assert!(!message.contains("s3cret"), "{message}");
        assert_eq!(upstream.calls().len(), usize::try_from(id).unwrap(), "each was sent once");
    }
    let mut impatient = Bridge::to(&upstream.url(), &["--timeout", "1s"]);
    upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let answer = impatient.ask(&echo(1)).await;
    assert_eq!(answer["error"]["code"], -31504);
    assert!(answer["error"]["message"].as_str().unwrap().contains("may still run"), "{answer}");
    assert!(other.seen().is_empty());
    assert!(bridge.messages().iter().any(|message| message["method"] == "notifications/x"));
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_protocol_stays_what_it_is() {
    let upstream = upstream().await;
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32022,"message":"Unsupported","data":{"supported":["2026-07-28"]}}}"#;
    upstream.answer(refusal(400, &[], error));
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    let answer = bridge.ask(&echo(1)).await;
    let expected = json!({"code": -32022, "message": "Unsupported", "data": {"supported": ["2026-07-28"]}});
    assert_eq!(answer["error"], expected);
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_waited_for_when_it_is_not_far() {
    let upstream = upstream().await;
    let count = AtomicUsize::new(0);
    upstream.behave(move |seen| {
        let first = is_call(seen) && count.fetch_add(1, Ordering::SeqCst) == 0;
        first.then(|| refusal(429, &[("retry-after", "1")], ""))
    });
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    let start = Instant::now();
    assert_eq!(bridge.ask(&echo(1)).await["result"]["content"][0]["text"], "fine");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(upstream.calls().len(), 2);
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_is_at_is_named_and_waited_for_a_little() {
    let mut upstream = upstream().await;
    upstream.stop().await;
    let url = upstream.url();
    let mut bridge = Bridge::to(&format!("{url}?key=s3cret"), &[]);
    let answer = bridge.ask(&echo(1)).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains(&url) && message.contains("nothing was sent") && !message.contains("s3cret"), "{message}");
    bridge.send(&echo(2));
    upstream.resume().await;
    let answer = bridge.answer(2).await;
    assert_eq!(answer["result"]["content"][0]["text"], "fine", "{answer}");
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_message_is_refused_and_the_next_is_not() {
    let upstream = upstream().await;
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    bridge.line(b"what?");
    bridge.line(br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#);
    bridge.line(br#"{"jsonrpc":"2.0","id":5,"id":6,"method":"ping"}"#);
    bridge.line(br#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}"#);
    bridge.line(br#"{"jsonrpc":"2.0","method":"notifications/x","params":[]}"#);
    bridge.line(b"");
    assert_eq!(bridge.ask(&echo(7)).await["result"]["content"][0]["text"], "fine");
    let refused = async || {
        let messages = bridge.messages();
        let refused: Vec<_> = messages.into_iter().filter(|message| message["error"].is_object()).collect();
        (refused.len() == 4).then_some(refused)
    };
    let mut refused = wait_until("four lines are refused", PATIENCE, refused).await;
    refused.sort_by_key(|message| message["error"]["code"].as_i64());
    let told: Vec<_> =
        refused.iter().map(|message| (message["error"]["code"].clone(), message["id"].clone())).collect();
    assert_eq!(told[0], (json!(-32700), json!(null)));
    assert!(told.contains(&(json!(-32600), json!(null))) && told.contains(&(json!(-32602), json!("a"))), "{told:?}");
    assert_eq!(upstream.seen().len(), 1);
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_under_way_are_waited_for_when_the_input_ends() {
    let upstream = upstream().await;
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
    upstream.answer(Answer::new(200, "application/json", Body::Gated(vec![answer.into()])));
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    bridge.send(&echo(7));
    bridge.close();
    wait_until("the call is there", PATIENCE, async || (upstream.calls().len() == 1).then_some(())).await;
    upstream.release();
    assert!(bridge.process.end().await);
    assert_eq!(bridge.messages(), [json!({"jsonrpc": "2.0", "id": 7, "result": {}})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_end_does_so_at_once() {
    for signal in ["-TERM", "-INT"] {
        let upstream = upstream().await;
        upstream.answer(Answer::new(200, "application/json", Body::Silent));
        let mut bridge = Bridge::to(&upstream.url(), &[]);
        bridge.send(&echo(7));
        wait_until("the call is there", PATIENCE, async || (upstream.calls().len() == 1).then_some(())).await;
        bridge.process.signal(signal);
        assert!(bridge.process.end_within(Duration::from_secs(20)).await, "{}", bridge.log());
        wait_until("the call was left", PATIENCE, async || upstream.calls()[0].abandoned.then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_anybody_needs_at_once_are_refused() {
    let upstream = upstream().await;
    upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let mut bridge = Bridge::to(&upstream.url(), &[]);
    // They wait for the handshake, and so take no connection each.
    upstream.behave(|seen| {
        (seen.json()["method"] == "initialize").then(|| Answer::new(200, "application/json", Body::Silent))
    });
    bridge.send(&super::hello());
    for id in 1..=1024 {
        bridge.send(&request(id, "ping", json!({})));
    }
    assert_eq!(bridge.answer(1024).await["error"]["code"], -31429);
    bridge.process.signal("-TERM");
    assert!(bridge.process.end().await);
}
