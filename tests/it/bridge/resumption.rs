//! A modern client's call whose older server ends the stream before it has answered: the gateway asks for the rest.

use super::stage::{
    UPSTREAM, accept, ask, before, before_with, entries, form, is, is_parked, question, result, retry, script, server,
};
use crate::support::upstream::{Answer, Body, Speaks};
use serde_json::{Value, json};

fn able() -> Value {
    json!({"elicitation": {}})
}

const PRIMING: &str = "id: up-1\nretry: 60\ndata: \n\n";

fn ended(events: &[String]) -> Answer {
    Answer::new(200, "text/event-stream", Body::Pieces(events.iter().map(|event| event.as_bytes().to_vec()).collect()))
}

/// SEP-1699: the server ends the stream whenever it likes, and is asked for the rest from where it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_where_its_server_ended_the_stream() {
    let upstream = server(Speaks::Legacy).await;
    let called = std::sync::Mutex::new(None::<Value>);
    script(&upstream, move |seen| {
        let last = seen.header("last-event-id").filter(|_| seen.method == "GET");
        if is(seen, "tools/call") {
            *called.lock().unwrap() = Some(seen.json());
            let asks = question(0, "elicitation/create", form("Who?"));
            return Some(ended(&[PRIMING.into(), format!("data: {asks}\n\n")]));
        }
        match last? {
            "up-1" => Some(ended(&["id: up-2\ndata: \n\n".into()])),
            "up-2" => {
                let done = result(called.lock().unwrap().as_ref().unwrap(), "done for ana@example.com");
                Some(ended(&[format!("id: up-3\ndata: {done}\n\n")]))
            }
            _ => None,
        }
    });
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({}));
    let first = is_parked(&gateway.send(&call).await);
    let message = gateway.send(&retry(&call, &first, json!({"1": accept()}))).await.message();
    assert_eq!(
        (&message["id"], &message["result"]["content"][0]["text"]),
        (&json!(2), &json!("done for [REDACTED:EMAIL]")),
        "{message}"
    );
    assert!(!message.to_string().contains("up-3"), "ids of events are the upstream's own");
    assert_eq!(upstream.calls().len(), 1, "the call is sent once");
    let resumed: Vec<_> =
        upstream.seen().into_iter().filter_map(|seen| seen.header("last-event-id").map(str::to_owned)).collect();
    assert_eq!(resumed, ["up-1", "up-2"]);
    assert_eq!(entries(&gateway, "outcome", 1).await[0]["outcome"], "ok");
}

/// Without ids, or where the server does not know the place, the end of the stream is that of the call; and so it is where it
/// gives the same place again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_for_good_fails_its_call() {
    let cases = [
        (": hello\n\n", 405, "upstream_unavailable"),
        (PRIMING, 405, "upstream_unavailable"),
        (PRIMING, 200, "upstream_timeout"),
    ];
    for (said, status, error) in cases {
        let upstream = server(Speaks::Legacy).await;
        script(&upstream, move |seen| {
            let back = seen.method == "GET" && seen.header("last-event-id").is_some();
            match status {
                _ if is(seen, "tools/call") => Some(ended(&[said.into()])),
                200 if back => Some(ended(&[])),
                _ if back => Some(Answer::nothing(status)),
                _ => None,
            }
        });
        let gateway = before_with(&upstream, |setup| setup.upstream(UPSTREAM, "timeout", json!("1s"))).await;
        let response = gateway.send(&ask("ana", &able(), json!({}))).await;
        assert!(response.text().contains("error"), "{}", response.text());
        let outcome = entries(&gateway, "outcome", 1).await.remove(0);
        assert_eq!((&outcome["outcome"], &outcome["error"]), (&json!("failed"), &json!(error)), "{outcome:?}");
    }
}
