//! Scopes that a token lacks: who is told, what they are told, and that nothing leaves.

use super::{POLICY, setup, tools};
use crate::support::gateway::{Gateway, modern, modern_call};
use crate::support::http::Response;
use crate::support::tokens::Claims;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};

async fn start(policy: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start(Speaks::Modern, tools()).await;
    let gateway = setup(&upstream, policy).start().await;
    (upstream, gateway)
}

fn token(role: &str, claim: &str, scopes: Value) -> String {
    Claims::new("ana", &[role]).with(claim, scopes).sign()
}

async fn call(gateway: &Gateway, endpoint: &str, token: &str, tool: &str) -> Response {
    gateway.modern_call(endpoint, token, tool, &json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_only_lacks_a_scope_is_told_which() {
    let (upstream, gateway) = start(POLICY).await;
    let reader = token("developer", "scope", json!("openid mcp:read"));
    let response = call(&gateway, "crm", &reader, "put").await;
    assert_eq!((response.status, &response.message()["error"]["code"]), (403, &json!(-31403)), "{}", response.text());
    assert_eq!(response.message()["id"], 1);
    let metadata = format!("{}/.well-known/oauth-protected-resource/crm/mcp", gateway.ready.gateway);
    let expected = format!(
        "Bearer error=\"insufficient_scope\", error_description=\"ask for a token with these scopes\", \
         scope=\"mcp:write\", resource_metadata=\"{metadata}\""
    );
    assert_eq!(response.header("www-authenticate"), Some(expected.as_str()));

    let response = call(&gateway, "hr", &reader, "put").await;
    let challenge = response.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"mcp:write hr\""), "all that are needed, at once: {challenge}");

    let response = gateway.rest_invoke(&reader, "crm.put", &json!({})).await;
    assert_eq!((response.status, &response.message()["error"]["code"]), (403, &json!("insufficient_scope")));
    assert!(response.header("www-authenticate").unwrap().contains("insufficient_scope"));

    assert!(upstream.calls().is_empty());
    let refused = gateway.ended_calls(3, |call| call["error"] == "insufficient_scope").await;
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|call| call["outcome"] == "refused" && call["status"] == 403), "{refused:?}");
    assert!(gateway.metrics().await.contains("insufficient_scope"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_policy_denies_is_not_told_of_scopes() {
    let (upstream, gateway) = start(POLICY).await;
    for scopes in [Value::Null, json!("mcp:write hr")] {
        let viewer = token("viewer", "scope", scopes);
        let denied = call(&gateway, "crm", &viewer, "put").await;
        assert_eq!((denied.status, denied.header("www-authenticate")), (200, None));
        let missing = call(&gateway, "crm", &viewer, "pot").await;
        assert_eq!(denied.text().replace("put", "pot"), missing.text());
    }
    let list =
        gateway.send(&modern("crm", "tools/list", json!({})).bearer(&token("viewer", "scope", Value::Null))).await;
    assert_eq!(list.message()["result"]["tools"].as_array().unwrap().len(), 1, "{}", list.text());
    assert!(upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_are_read_as_issuers_write_them() {
    let (_upstream, gateway) = start(POLICY).await;
    for (claim, scopes, expected) in [
        ("scope", json!("mcp:read mcp:write"), 200),
        ("scope", json!(["mcp:write"]), 200),
        ("scp", json!("mcp:write"), 200),
        ("scp", json!(["mcp:read", "mcp:write"]), 200),
        ("scope", json!("mcp:write2"), 403),
        ("scope", json!("mcp:read,mcp:write"), 403),
        ("scope", json!(["mcp:write", 7]), 403),
        ("scopes", json!("mcp:write"), 403),
    ] {
        let token = token("developer", claim, scopes.clone());
        assert_eq!(call(&gateway, "crm", &token, "put").await.status, expected, "{claim}: {scopes}");
    }
    // A claim that is there and empty is not filled up from another.
    let both = Claims::new("ana", &["developer"]).with("scope", json!("")).with("scp", json!("mcp:write")).sign();
    assert_eq!(call(&gateway, "crm", &both, "put").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_to_agree_to_a_call_that_lacks_a_scope() {
    let policy = format!("{POLICY}rules:\n  - {{ id: agree, effect: review, tools: [\"crm.put\"] }}\n");
    let (upstream, gateway) = start(&policy).await;
    let reader = token("developer", "scope", json!("mcp:read"));
    let response = gateway.send(&modern_call("crm", "put", &json!({})).bearer(&reader)).await;
    assert_eq!(response.status, 403, "{}", response.text());
    let writer = token("developer", "scope", json!("mcp:write"));
    let response = call(&gateway, "crm", &writer, "put").await;
    assert_eq!((response.status, &response.message()["result"]["isError"]), (200, &json!(true)), "{}", response.text());
    assert!(upstream.calls().is_empty());
}
