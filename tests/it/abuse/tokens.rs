//! Group E, what data can't say of it: what a refusal tells, and what is not in the log.

use crate::abuse::stage::{Stage, good};
use crate::support::tokens::{Claims, token};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_metadata_and_no_reason() {
    let stage = Stage::set().await;
    let expired = Claims::new("dora", &["developer"]).with("exp", json!(1)).sign();
    for request in [good().without("authorization"), good().bearer(&expired)] {
        let response = stage.gateway.send(&request).await;
        let challenge = response.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("resource_metadata="), "{challenge}");
        assert_eq!(response.message()["error"]["message"], "Authentication is required");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_is_in_no_log() {
    let stage = Stage::set().await;
    let mut request = good().without("authorization");
    let secret = token("dora", &["developer"]);
    request.path = format!("/crm/mcp?access_token={secret}");
    let response = stage.gateway.send(&request).await;
    assert_eq!(response.status, 400);
    stage.row(&response).await;
    assert!(!stage.gateway.process.lines().iter().any(|line| line.contains("access_token=") || line.contains(&secret)));
}
