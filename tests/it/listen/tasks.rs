//! How a task is is told to the one who began it, as `tasks/get` would say it.

use super::{ask, developer, listen, of_this, row, setup, viewer};
use crate::support::events::Events;
use crate::support::gateway::{Gateway, modern};
use crate::support::http::Request;
use crate::support::peers::Server;
use serde_json::{Value, json};

/// `request` of a client that knows tasks, and can be asked.
fn knowing(mut request: Request) -> Request {
    let mut message: Value = serde_json::from_slice(&request.body).unwrap();
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {"form": {}}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    request.body = message.to_string().into_bytes();
    request
}

/// Calls `tool`, which becomes a task: its id.
async fn begin(gateway: &Gateway, token: &str, tool: &str, arguments: Value) -> String {
    let call = modern("one", "tools/call", json!({"name": tool, "arguments": arguments})).bearer(token);
    let answer = gateway.send(&knowing(call)).await.message();
    assert_eq!(answer["result"]["resultType"], "task", "{answer}");
    answer["result"]["taskId"].as_str().unwrap().to_owned()
}

async fn follow(gateway: &Gateway, token: &str, tasks: &[&str]) -> (Value, Events) {
    let request = knowing(ask("one", token, json!({"taskIds": tasks})));
    let mut events = Events::open(gateway.authority(), &request).await;
    assert_eq!(events.status, 200);
    let first = events.next().await.expect("a first message");
    (of_this(first)["notifications"].clone(), events)
}

/// Waits for the news that the task has this status: all that is told of it.
async fn until(events: &mut Events, status: &str) -> Value {
    loop {
        let message = events.next().await.expect("news, not the end");
        assert_eq!(message["method"], "notifications/tasks", "{message}");
        let task = of_this(message);
        if task["status"] == status {
            return task;
        }
    }
}

#[tokio::test]
async fn a_caller_hears_of_their_own_tasks_under_the_ids_that_they_know() {
    let upstream = Server::conformance(&[]).await;
    let mut setup = setup(&[("one", upstream.url())]);
    setup.policy.push_str("redaction: [{ detect: [email], action: mask }]\n");
    let gateway = setup.start().await;
    let arguments = json!({"seconds": 0.3, "label": "The report for ana@example.com"});
    let id = begin(&gateway, &developer(), "slow_compute", arguments).await;
    let other = begin(&gateway, &developer(), "confirm_delete", json!({"filename": "bob@example.com"})).await;
    let (honoured, mut events) = follow(&gateway, &developer(), &[&id, &other, "made-up"]).await;
    let mut both = [id.clone(), other.clone()];
    both.sort();
    assert_eq!(honoured, json!({"taskIds": both}), "what does not exist is not acknowledged");
    let (mut done, mut asks) = (None, None);
    while done.is_none() || asks.is_none() {
        let task = of_this(events.next().await.expect("news"));
        match (task["taskId"] == id.as_str(), task["status"].as_str().unwrap()) {
            (true, "completed") => done = Some(task),
            (false, "input_required") => asks = Some(task),
            _ => {}
        }
    }
    let (done, asks) = (done.unwrap(), asks.unwrap());
    assert_eq!(done["result"]["content"][0]["text"], "The report for [REDACTED:EMAIL] took 0.3 s");
    assert_eq!(done["resultType"], Value::Null, "it is no result");
    let question = &asks["inputRequests"]["confirm"]["params"]["message"];
    assert_eq!((&asks["taskId"], question), (&json!(other), &json!("Delete [REDACTED:EMAIL]?")));
    let get = modern("one", "tasks/get", json!({"taskId": id})).header("mcp-name", &id).bearer(&developer());
    let got = gateway.send(&knowing(get)).await.message()["result"].clone();
    assert_eq!((&got["taskId"], &got["result"]), (&done["taskId"], &done["result"]), "the same as by asking");
    drop(events);
    let row = row(&gateway).await;
    assert!(row["redactions"].as_str().unwrap().contains("email"), "{row:?}");
}

#[tokio::test]
async fn the_task_of_another_is_as_unknown_as_one_that_never_was() {
    let upstream = Server::conformance(&[]).await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    let id = begin(&gateway, &developer(), "confirm_delete", json!({})).await;
    for (token, task) in [(viewer(), id.as_str()), (developer(), "made-up")] {
        let (honoured, mut events) = follow(&gateway, &token, &[task]).await;
        assert_eq!(honoured, json!({}));
        super::last(&mut events).await;
    }
    // Whoever does not know tasks can't hear of them.
    let refused = gateway.send(&ask("one", &developer(), json!({"taskIds": [id]}))).await;
    assert_eq!(refused.message()["error"]["code"], -32021, "{}", refused.text());
}

#[tokio::test]
async fn who_may_not_use_the_tool_any_more_hears_no_more_of_its_tasks() {
    let upstream = Server::conformance(&[]).await;
    let gateway = setup(&[("one", upstream.url())]).start().await;
    let id = begin(&gateway, &developer(), "confirm_delete", json!({})).await;
    let kept = begin(&gateway, &developer(), "multi_input", json!({})).await;
    let (_, mut events) = follow(&gateway, &developer(), &[&id, &kept]).await;
    let (_, mut lists) = listen(&gateway, "one", &developer(), json!({"toolsListChanged": true})).await;
    let deny = "  - { id: no-more, effect: deny, tools: [\"*.confirm_delete\"] }\n";
    std::fs::write(gateway.dir().join("policy.yaml"), format!("{}{deny}", super::POLICY)).unwrap();
    assert_eq!(super::list(&mut lists).await, "tools/list_changed", "the policy is live");
    let cancel = async |id: &str| {
        let cancel = modern("one", "tasks/cancel", json!({"taskId": id})).header("mcp-name", id).bearer(&developer());
        gateway.send(&knowing(cancel)).await.message()
    };
    assert_eq!(cancel(&id).await["error"]["code"], -32602);
    assert_eq!(cancel(&kept).await["error"], Value::Null);
    assert_eq!(until(&mut events, "cancelled").await["taskId"], kept.as_str());
}
