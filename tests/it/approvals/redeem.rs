//! What a client brings back, and what has changed meanwhile.

use super::{OLLI, POLICY, Scene, dana, erase, scene, text};
use crate::support::answer::Answer;
use crate::support::gateway::{LEGACY, legacy, modern, modern_call};
use crate::support::http::{Request, Response};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The call of a client that can open pages, with what it brings back.
fn page_call(tool: &str, arguments: &Value, state: Option<&str>, who: &str) -> Request {
    let mut params = json!({"name": tool, "arguments": arguments});
    if let Some(state) = state {
        params["requestState"] = json!(state);
        params["inputResponses"] = json!({"portcullis.approval": {"action": "accept"}});
    }
    let mut request = modern("crm", "tools/call", params).header("mcp-name", tool).bearer(who);
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    body["params"]["_meta"][CAPABILITIES] = json!({"elicitation": {"url": {}}});
    request.body = body.to_string().into_bytes();
    request
}

/// The id of the approval and the state that a client is asked to come back with.
fn required(response: &Response) -> (String, String) {
    let message = response.message();
    let result = &message["result"];
    assert_eq!((response.status, &result["resultType"]), (200, &json!("input_required")), "{message}");
    let asked = &result["inputRequests"]["portcullis.approval"];
    assert_eq!(
        (&asked["method"], &asked["params"]["mode"]),
        (&json!("elicitation/create"), &json!("url")),
        "{message}"
    );
    let (_, id) = asked["params"]["url"].as_str().unwrap().rsplit_once('/').unwrap();
    (id.to_owned(), result["requestState"].as_str().unwrap().to_owned())
}

async fn status(scene: &Scene, request: &Request) -> u16 {
    scene.gateway.send(request).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_opens_one_call_of_one_caller_once() {
    let scene = scene(POLICY).await;
    let (arguments, who) = (json!({"id": 1}), dana());
    let (id, state) = required(&scene.gateway.send(&page_call("erase", &arguments, None, &who)).await);
    let pending = scene.gateway.send(&page_call("erase", &arguments, Some(&state), &who)).await;
    assert_eq!(required(&pending).0, id, "still the same");
    scene.approve(&id).await;
    // 150: another call, another tool, another caller, another state.
    let changed = json!({"id": 2});
    let other = token("dora", &["developer"]);
    for (what, request) in [
        ("arguments", page_call("erase", &changed, Some(&state), &who)),
        ("tool", page_call("drop", &arguments, Some(&state), &who)),
        ("caller", page_call("erase", &arguments, Some(&state), &other)),
        ("state", page_call("erase", &arguments, Some("approval.AAAA"), &who)),
    ] {
        assert_eq!(status(&scene, &request).await, 409, "{what}");
    }
    assert!(scene.upstream.calls().is_empty());
    let done = scene.gateway.send(&page_call("erase", &arguments, Some(&state), &who)).await;
    assert_eq!(text(&done.message()), "fine");
    // 148.
    assert_eq!(status(&scene, &page_call("erase", &arguments, Some(&state), &who)).await, 409);
    let calls = scene.upstream.calls();
    assert_eq!(calls.len(), 1);
    let sent = calls[0].json();
    assert_eq!(sent["params"]["arguments"], arguments);
    assert!(sent["params"]["requestState"].is_null() && sent["params"]["inputResponses"].is_null(), "{sent}");
}

/// Calls, changes the policy to `later` while the call waits for people, lets them agree, and gives what the client is told.
async fn told_after(policy: &str, later: &str) -> (Scene, Response) {
    let scene = scene(policy).await;
    let call = erase(&token("dana", &["lead"]), &json!({}));
    let changing = async {
        let id = wait_until("the approval is there", PATIENCE, async || {
            let listed = scene.api("GET", "/api/approvals", &OLLI.token(&scene.gateway), json!(null)).await.message();
            Some(listed["approvals"][0]["id"].as_str()?.to_owned())
        })
        .await;
        let before = scene.gateway.readiness().await["revision"].clone();
        scene.policy(later, async || scene.gateway.readiness().await["revision"] != before).await;
        scene.approve(&id).await;
    };
    let (told, ()) = tokio::join!(scene.gateway.send(&call), changing);
    (scene, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_endpoints_that_are_lost_while_people_think_are_lost() {
    let waits = POLICY.replace("ttl: 10m", "ttl: 10m, wait: 1m");
    let policy = waits.replace("developer: {}", "developer: {}, lead: { inherits: [developer] }");
    let (scene, told) = told_after(&policy, &policy.replace("lead: { inherits: [developer] }", "lead: {}")).await;
    assert!(told.text().contains("Unknown tool"), "{}", told.text());
    assert!(scene.upstream.calls().is_empty());
    let (scene, told) = told_after(&policy, &format!("{policy}\n# changed, and nothing in it\n")).await;
    assert_eq!(text(&told.message()), "fine");
    assert_eq!(scene.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_ours_never_reaches_an_upstream() {
    let scene = scene(POLICY).await;
    let (arguments, who) = (json!({}), dana());
    let (_, state) = required(&scene.gateway.send(&page_call("erase", &arguments, None, &who)).await);
    let open = POLICY.replace("effect: review", "effect: allow");
    let open = open.replace(", approvers: [oncall], ttl: 10m, reason: \"It can't be undone.\"", "");
    scene
        .policy(&open, async || {
            status(&scene, &erase(&who, &json!({"probe": true}))).await == 200 && !scene.upstream.calls().is_empty()
        })
        .await;
    let done = scene.gateway.send(&page_call("erase", &arguments, Some(&state), &who)).await;
    assert_eq!(text(&done.message()), "fine");
    let sent = scene.upstream.calls().pop().unwrap().json();
    assert!(sent["params"]["requestState"].is_null() && sent["params"]["inputResponses"].is_null(), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_asked_for_comes_back_to_it_and_not_to_us() {
    let scene = scene(POLICY).await;
    scene.upstream.behave(|seen| {
        let call = seen.json();
        let is_first = call["method"] == "tools/call" && call["params"].get("inputResponses").is_none();
        let form = json!({"message": "n?", "requestedSchema": {"type": "object", "properties": {}}});
        let asks = json!({"name": {"method": "elicitation/create", "params": form}});
        let result = json!({"resultType": "input_required", "inputRequests": asks, "requestState": "theirs"});
        is_first.then(|| Answer::json(&json!({"jsonrpc": "2.0", "id": call["id"], "result": result}).to_string()))
    });
    let (arguments, who) = (json!({}), dana());
    let bring = |state: &str, answers: Value| {
        let mut request = page_call("erase", &arguments, Some(state), &who);
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["params"]["_meta"][CAPABILITIES] = json!({"elicitation": {"url": {}, "form": {}}});
        body["params"]["inputResponses"] = answers;
        request.body = body.to_string().into_bytes();
        request
    };
    let agreed = json!({"portcullis.approval": {"action": "accept"}});
    let answers = json!({"name": {"action": "accept", "content": {"n": 1}}});
    let (id, state) = required(&scene.gateway.send(&page_call("erase", &arguments, None, &who)).await);
    scene.approve(&id).await;
    let asked = scene.call(&bring(&state, agreed)).await;
    assert_eq!(asked["result"]["inputRequests"]["name"]["method"], "elicitation/create", "{asked}");
    let theirs = asked["result"]["requestState"].as_str().unwrap().to_owned();
    assert_eq!(text(&scene.call(&bring(&theirs, answers.clone())).await), "fine");
    let sent = scene.upstream.calls().pop().unwrap().json();
    assert_eq!(sent["params"]["requestState"], "theirs", "{sent}");
    assert_eq!(sent["params"]["inputResponses"], answers);
}

/// What a client answers before it is asked counts like arguments: nobody agreed to it with the bare call.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_asked_for_are_agreed_to_like_arguments() {
    let scene = scene(POLICY).await;
    let (arguments, who) = (json!({"id": 7}), dana());
    let with = |answer: &str| {
        let mut request = erase(&who, &arguments);
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["params"]["inputResponses"] = json!({"name": {"action": "accept", "content": {"to": answer}}});
        request.body = body.to_string().into_bytes();
        request
    };
    let bare = scene.asks(&erase(&who, &arguments)).await;
    scene.approve(&bare).await;
    let small = scene.asks(&with("ana")).await;
    assert_ne!(small, bare);
    assert!(scene.show(&small).await["matter"]["answers"].as_str().unwrap().contains("ana"));
    scene.approve(&small).await;
    let other = scene.asks(&with("eve")).await;
    assert!(other != small && other != bare);
    assert!(scene.upstream.calls().is_empty());
    assert_eq!(text(&scene.call(&with("ana")).await), "fine");
    assert_eq!(scene.upstream.calls()[0].json()["params"]["inputResponses"]["name"]["content"]["to"], "ana");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_that_opens_pages_is_told_by_an_error() {
    let scene = scene(POLICY).await;
    let params = json!({
        "protocolVersion": LEGACY, "capabilities": {"elicitation": {"url": {}}},
        "clientInfo": {"name": "tests", "version": "1"},
    });
    let opened = scene.gateway.send(&legacy("crm", "initialize", params).bearer(&dana())).await;
    let session = opened.header("mcp-session-id").unwrap().to_owned();
    let call = legacy("crm", "tools/call", json!({"name": "erase", "arguments": {}})).bearer(&dana());
    let call = call.header("mcp-session-id", &session).header("mcp-protocol-version", LEGACY);
    let said = scene.call(&call).await;
    assert_eq!(said["error"]["code"], -32042, "{said}");
    let page = &said["error"]["data"]["elicitations"][0];
    let id = page["elicitationId"].as_str().unwrap();
    assert!(page["url"].as_str().unwrap().ends_with(id), "{said}");
    scene.approve(id).await;
    assert_eq!(text(&scene.call(&call).await), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_that_came_later_wins() {
    let scene = scene(POLICY).await;
    let call = erase(&dana(), &json!({}));
    let id = scene.asks(&call).await;
    scene.approve(&id).await;
    let deny = POLICY.replace("rules:", "rules:\n  - { id: freeze, effect: deny, tools: [\"crm.*\"] }");
    let drop = modern_call("crm", "drop", &json!({})).bearer(&dana());
    scene.policy(&deny, async || scene.call(&drop).await["error"]["code"] == -32602).await;
    assert_eq!(scene.call(&call).await["error"]["code"], -32602, "it looks as if there were no such tool");
    assert!(scene.upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_approve_any_more_has_not_approved() {
    let scene = scene(POLICY).await;
    let call = erase(&dana(), &json!({}));
    let id = scene.asks(&call).await;
    scene.approve(&id).await;
    let other = POLICY.replace("approvers: [oncall]", "approvers: [security]");
    scene
        .policy(&other, async || {
            let nobody = format!("nobody-{}", moment());
            let probe = erase(&token(&nobody, &["developer"]), &json!({}));
            text(&scene.call(&probe).await).contains("security")
        })
        .await;
    let refused = scene.gateway.send(&call).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_ne!(scene.asks(&call).await, id, "it is asked anew");
    assert!(scene.upstream.calls().is_empty());
}

/// A number that no other call of this test has.
fn moment() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_neither_decided_nor_redeemed() {
    let scene = scene(&POLICY.replace("ttl: 10m", "ttl: 2s")).await;
    let (arguments, who) = (json!({}), dana());
    let (id, state) = required(&scene.gateway.send(&page_call("erase", &arguments, None, &who)).await);
    wait_until("it has expired", PATIENCE, async || (scene.show(&id).await["state"] == "expired").then_some(())).await;
    assert_eq!(scene.decide(&id, "approve", OLLI, "").await.status, 410);
    assert_eq!(status(&scene, &page_call("erase", &arguments, Some(&state), &who)).await, 410);
    let (next, _) = required(&scene.gateway.send(&page_call("erase", &arguments, None, &who)).await);
    assert_ne!(next, id);
    let row = scene.gateway.ended_call(|row| row["method"] == "approvals/expire").await;
    assert_eq!(row["approval_id"], id.as_str());
    assert!(scene.upstream.calls().is_empty());
}
