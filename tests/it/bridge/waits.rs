//! What becomes of a call that waits for its client while its upstream goes on: it may say more, lose its session, or tell of
//! its progress to somebody who asked for it twice.

use super::stage::{accept, ask, before, begun, edit, gated, is, question, result, retry, script, seen, server};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body, Speaks};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn able() -> Value {
    json!({"elicitation": {}})
}

fn elicitation(id: i64) -> Value {
    question(id, "elicitation/create", super::stage::form("Who?"))
}

/// The upstream knows the call by the token of the first request, and the client waits with that of the second.
#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_under_the_token_of_the_request_that_hears_it() {
    let upstream = server(Speaks::Legacy).await;
    script(&upstream, |seen| {
        let call = seen.json();
        let progress = |token: &Value| json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}});
        let own = &call["params"]["_meta"]["progressToken"];
        let messages = [elicitation(0), progress(own), progress(&json!("second")), result(&call, "done")];
        is(seen, "tools/call").then(|| begun(&messages))
    });
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({}));
    let first = gateway.send(&call).await.message();
    let second = edit(retry(&call, &first, json!({"1": accept()})), |body| {
        body["params"]["_meta"]["progressToken"] = json!("second");
    });
    (0..3).for_each(|_| upstream.release());
    let messages = gateway.send(&second).await.messages();
    let tokens: Vec<_> = messages.iter().map(|message| &message["params"]["progressToken"]).collect();
    assert_eq!(tokens, [&json!("second"), &Value::Null], "its own, and no other call's: {messages:?}");
    assert_eq!(messages[1]["result"]["content"][0]["text"], "done");
}

/// Signs of life are no reason not to ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_asked_however_much_its_upstream_says() {
    let upstream = server(Speaks::Legacy).await;
    script(&upstream, |seen| {
        let event = |message: &Value| format!("data: {message}\n\n").into_bytes();
        let mut pieces = vec![event(&elicitation(0))];
        pieces.resize(100_000, b": still here\n\n".to_vec());
        pieces.push(event(&result(&seen.json(), "done")));
        is(seen, "tools/call").then(|| Answer::new(200, "text/event-stream", Body::Pieces(pieces)))
    });
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({}));
    let first = gateway.send(&call).await.message();
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let second = gateway.send(&retry(&call, &first, json!({"1": accept()}))).await;
    assert_eq!(second.message()["result"]["content"][0]["text"], "done", "{}", second.text());
}

/// A server need not know of the end of a session, or end its streams by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_session_was_listened_to_by_is_closed_and_its_follower_is_listened_to() {
    let upstream = server(Speaks::Legacy).await;
    let (usual, count, lost) = (upstream.answers(), AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let is_lost = Arc::clone(&lost);
    script(&upstream, move |seen| match seen.method.as_str() {
        "GET" if seen.path == "/mcp" => Some(gated(&[json!({})])),
        "DELETE" => Some(Answer::nothing(405)),
        _ if is(seen, "initialize") => {
            let mut answer = usual(seen);
            answer.headers.retain(|(name, _)| name != "mcp-session-id");
            answer.headers.push(("mcp-session-id".into(), format!("s-{}", count.fetch_add(1, Ordering::SeqCst))));
            Some(answer)
        }
        _ => (is(seen, "tools/call") && is_lost.swap(false, Ordering::SeqCst)).then(|| Answer::nothing(404)),
    });
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({}));
    let heard = async |count: usize| {
        wait_until("it is listened to", PATIENCE, async || {
            let found: Vec<_> =
                upstream.seen().into_iter().filter(|seen| seen.method == "GET" && seen.path == "/mcp").collect();
            (found.len() >= count).then_some(found)
        })
        .await
    };
    assert_eq!(gateway.send(&call).await.status, 200);
    heard(1).await;
    lost.store(true, Ordering::SeqCst);
    assert_eq!(gateway.send(&call).await.status, 200);
    let calls = seen(&upstream, "tools/call", 3).await;
    let streams = heard(2).await;
    for (stream, call) in [(0, 0), (1, 2)] {
        assert_eq!(streams[stream].header("mcp-session-id"), calls[call].header("mcp-session-id"));
    }
    wait_until("the first is closed", PATIENCE, async || heard(2).await[0].abandoned.then_some(())).await;
    assert!(!heard(2).await[1].abandoned);
}
