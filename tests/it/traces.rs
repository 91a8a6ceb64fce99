//! What one exchange leaves behind: entries in the journal, lines in the log, headers at the upstream; and what a change
//! of the files does to the next one.

use crate::support::gateway::{GATEWAY_SECRET, Gateway, Setup};
use crate::support::journal;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};

const POLICY: &str = r#"
version: 1
roles: { viewer: {} }
tools: [{ match: "crm.get", class: read }]
access: [{ roles: [viewer], upstreams: [crm], level: read }]
"#;

async fn start() -> (Gateway, Upstream) {
    let tool = json!({"name": "get", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, vec![tool]).await;
    (Setup::new(&[("crm", upstream.url())], POLICY).start().await, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_call_leaves_an_intent_and_then_an_outcome() {
    let (gateway, _upstream) = start().await;
    let response = gateway.modern_call("crm", &token("ana", &["viewer"]), "get", &json!({"id": 7})).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = gateway.ended_call(|call| call["tool"] == "crm.get").await;
    assert_eq!((&call["outcome"], &call["subject"]), (&json!("ok"), &json!("ana")));
    let entries = journal::entries(&gateway.ready.journal).await;
    let kinds: Vec<_> =
        entries.iter().filter(|entry| entry["call_id"] == call["call_id"]).map(|entry| entry["kind"].clone()).collect();
    assert_eq!(kinds, ["intent", "outcome"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_sees_the_gateway_and_the_user_and_no_credential_of_the_client() {
    let (gateway, upstream) = start().await;
    let token = token("ana", &["viewer"]);
    let request = crate::support::gateway::modern_call("crm", "get", &json!({})).bearer(&token);
    let request = request.header("cookie", "session=1").header("x-user-id", "root").header("x-gateway-auth", "guess");
    assert_eq!(gateway.send(&request).await.status, 200);
    let seen = upstream.calls().pop().unwrap();
    assert_eq!(seen.header("x-gateway-auth"), Some(GATEWAY_SECRET));
    assert_eq!(seen.header("x-user-id"), Some("ana"));
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("cookie"), None);
    for name in ["x-user-id", "x-gateway-auth", "host"] {
        assert_eq!(seen.headers.iter().filter(|(key, _)| key == name).count(), 1, "{name}");
    }
    assert!(!String::from_utf8_lossy(&seen.body).contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_json_and_names_no_secret() {
    let (gateway, _upstream) = start().await;
    let token = token("ana", &["viewer"]);
    gateway.modern_call("crm", &token, "get", &json!({"id": "a-very-private-thing"})).await;
    gateway.modern_call("crm", "not.a.token", "get", &json!({})).await;
    gateway.ended_calls(2, |_| true).await;
    assert!(!gateway.log().is_empty());
    let log = Value::from(gateway.log()).to_string();
    for secret in
        [token.as_str(), GATEWAY_SECRET, crate::support::tokens::SECRET, "a-very-private-thing", "not.a.token"]
    {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_change_of_policy_goes_live_and_a_bad_one_changes_nothing() {
    let (gateway, _upstream) = start().await;
    let token = token("ana", &["viewer"]);
    let allowed = async || {
        let response = gateway.modern_call("crm", &token, "get", &json!({})).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.message()["error"].is_null()
    };
    assert!(allowed().await);
    let file = gateway.dir().join("policy.yaml");
    std::fs::write(&file, POLICY.replace("level: read", "level: disabled")).unwrap();
    wait_until("the change is live", PATIENCE, async || (!allowed().await).then_some(())).await;
    let lines = gateway.log().len();
    std::fs::write(&file, POLICY.replace("level: read", "level: everything")).unwrap();
    wait_until("the log tells of the bad file", PATIENCE, async || {
        gateway.log()[lines..].iter().any(|line| line.to_string().contains("policy.yaml")).then_some(())
    })
    .await;
    assert!(!allowed().await);
    std::fs::write(&file, POLICY).unwrap();
    wait_until("the way back is live", PATIENCE, async || allowed().await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_rest_is_judged_and_recorded_like_any_other() {
    let (gateway, upstream) = start().await;
    let response = gateway.rest_invoke(&token("ana", &["viewer"]), "crm.get", &json!({"id": 7})).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains("fine"), "{}", response.text());
    assert_eq!(upstream.calls()[0].json()["params"]["arguments"], json!({"id": 7}));
    gateway.rest_invoke(&token("eve", &[]), "crm.get", &json!({"id": 8})).await;
    assert_eq!(upstream.calls().len(), 1);
    let call = gateway.ended_call(|call| call["subject"] == "eve").await;
    assert_eq!((&call["decision"], &call["outcome"]), (&json!("deny"), &json!("refused")));
}
