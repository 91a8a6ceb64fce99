//! Upstreams that ask back in the middle of an approved call (MCP 2026-07-28 "Multi Round-Trip Requests"): the client's answer
//! goes on under what people agreed to, once, and lets nothing else through.

use super::{POLICY, Scene, dana, erase, scene, text};
use crate::support::answer::Answer;
use crate::support::gateway::{Gateway, modern};
use crate::support::http::Request;
use crate::support::tokens::token;
use serde_json::{Value, json};

/// What a rule of another effect has not.
const TERMS: &str = ", approvers: [oncall], ttl: 10m, reason: \"It can't be undone.\"";

/// Has the upstream ask in each of the first `rounds` requests of a call, with a state or without, and answer then.
async fn asking(policy: &str, rounds: usize, with_state: bool) -> Scene {
    let scene = scene(policy).await;
    scene.upstream.behave(move |seen| {
        let call = seen.json();
        let answered = call["params"]["inputResponses"]
            .as_object()
            .map_or(0, |answers| answers.keys().next().and_then(|key| key.parse().ok()).unwrap_or(0_usize));
        if call["method"] != "tools/call" || answered >= rounds {
            return None;
        }
        let form = json!({"message": "n?", "requestedSchema": {"type": "object", "properties": {}}});
        let next = (answered + 1).to_string();
        let asks = json!({next: {"method": "elicitation/create", "params": form}});
        let mut result = json!({"resultType": "input_required", "inputRequests": asks});
        if with_state {
            result["requestState"] = json!(format!("theirs-{answered}"));
        }
        Some(Answer::json(&json!({"jsonrpc": "2.0", "id": call["id"], "result": result}).to_string()))
    });
    scene
}

/// The call of a client that fills in forms, with what it brings: the state, and which question it answers.
fn call(tool: &str, arguments: &Value, brings: Option<(&str, usize)>, who: &str) -> Request {
    let mut params = json!({"name": tool, "arguments": arguments});
    if let Some((state, round)) = brings {
        params["requestState"] = json!(state);
        params["inputResponses"] = json!({round.to_string(): {"action": "accept", "content": {"n": 1}}});
    }
    let mut request = modern("crm", "tools/call", params).bearer(who);
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    request.body = body.to_string().into_bytes();
    request
}

fn state_of(message: &Value) -> String {
    assert_eq!(message["result"]["resultType"], "input_required", "{message}");
    message["result"]["requestState"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
}

/// Comes as far as the upstream's first question; the approval, and the state to bring back.
async fn asked(scene: &Scene, arguments: &Value) -> (String, String) {
    let first = call("erase", arguments, None, &dana());
    let id = scene.asks(&first).await;
    scene.approve(&id).await;
    let state = state_of(&scene.call(&first).await);
    assert_eq!(scene.upstream.calls().len(), 1);
    (id, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_on_under_the_approval_and_people_are_not_asked_again() {
    for with_state in [true, false] {
        let scene = asking(POLICY, 2, with_state).await;
        let arguments = json!({"id": 1});
        let (id, state) = asked(&scene, &arguments).await;
        let next = state_of(&scene.call(&call("erase", &arguments, Some((&state, 1)), &dana())).await);
        let done = scene.call(&call("erase", &arguments, Some((&next, 2)), &dana())).await;
        assert_eq!(text(&done), "fine");
        let calls = scene.upstream.calls();
        assert_eq!(calls.len(), 3);
        let wanted = if with_state { json!("theirs-1") } else { Value::Null };
        let params = &calls[2].json()["params"];
        assert_eq!((&params["requestState"], &params["arguments"]), (&wanted, &arguments), "{params}");
        assert_eq!(params["inputResponses"]["2"]["action"], "accept", "{params}");
        let rows = scene.rows(&id).await;
        let ran = rows.iter().filter(|row| row["method"] == "tools/call" && row["outcome"] == "ok").count();
        assert_eq!(ran, 3, "each request names the approval: {rows:?}");
        assert_eq!(scene.show(&id).await["state"], "redeemed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_good_for_one_call_of_one_caller_once() {
    let scene = asking(POLICY, 1, true).await;
    let arguments = json!({"id": 1});
    let (_, state) = asked(&scene, &arguments).await;
    let brings = Some((state.as_str(), 1));
    let status = async |request: Request| scene.gateway.send(&request).await.status;
    // Another call, another tool, another caller: nothing of it leaves.
    assert_eq!(status(call("erase", &json!({"id": 2}), brings, &dana())).await, 409);
    let tool = scene.call(&call("drop", &arguments, brings, &dana())).await;
    assert_eq!(tool["error"]["code"], -32602, "{tool}");
    let dora = token("dora", &["developer"]);
    let other = scene.call(&call("erase", &arguments, brings, &dora)).await;
    assert_eq!(other["error"]["code"], -32602, "{other}");
    // Without the state it is a call of its own, about which people are asked.
    scene.asks(&erase(&dana(), &arguments)).await;
    assert_eq!(scene.upstream.calls().len(), 1);
    assert_eq!(text(&scene.call(&call("erase", &arguments, brings, &dana())).await), "fine");
    assert_eq!(status(call("erase", &arguments, brings, &dana())).await, 409, "it is used up");
    assert_eq!(scene.upstream.calls().len(), 2);
}

/// 148: of many at the same moment one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_same_answer_many_times_at_once_one_goes_on() {
    let scene = asking(POLICY, 1, true).await;
    let arguments = json!({"id": 1});
    let (_, state) = asked(&scene, &arguments).await;
    let send =
        async |gateway: &Gateway| gateway.send(&call("erase", &arguments, Some((&state, 1)), &dana())).await.status;
    let statuses = futures::future::join_all((0..16).map(|_| send(&scene.gateway))).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    assert_eq!(scene.upstream.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_says_by_then_counts() {
    for (change, code) in [
        (("effect: review, classes", "effect: deny, classes"), json!(-32602)),
        (("approvers: [oncall]", "approvers: [security]"), json!(-31409)),
        (("id: destroy", "id: other"), json!(-31409)),
    ] {
        let scene = asking(POLICY, 1, true).await;
        let arguments = json!({"id": 1});
        let (_, state) = asked(&scene, &arguments).await;
        let mut policy = POLICY.replace(change.0, change.1);
        if change.1.contains("deny") {
            policy = policy.replace(TERMS, "");
        }
        let revision = async || scene.gateway.readiness().await["revision"].clone();
        let before = revision().await;
        scene.policy(&policy, async || revision().await != before).await;
        let refused = scene.call(&call("erase", &arguments, Some((&state, 1)), &dana())).await;
        assert_eq!(refused["error"]["code"], code, "{refused}");
        assert_eq!(scene.upstream.calls().len(), 1);
    }
}

/// An upstream that asks before policy wants a review has nobody's agreement: people are asked about the answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_without_an_approval_needs_one() {
    let open = POLICY.replace("effect: review", "effect: allow").replace(TERMS, "");
    let scene = asking(&open, 1, true).await;
    let arguments = json!({"id": 1});
    let state = state_of(&scene.call(&call("erase", &arguments, None, &dana())).await);
    let revision = async || scene.gateway.readiness().await["revision"].clone();
    let before = revision().await;
    scene.policy(POLICY, async || revision().await != before).await;
    scene.asks(&call("erase", &arguments, Some((&state, 1)), &dana())).await;
    assert_eq!(scene.upstream.calls().len(), 1);
}
