//! A real client, a real identity provider, and no token to begin with.

use super::{POLICY, setup, tools};
use crate::support::peers::{Idp, oauth_client};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_way_to_a_token_and_steps_up_when_it_must() {
    let idp = Idp::start().await;
    let upstream = Upstream::start(Speaks::Modern, tools()).await;
    let issuers = json!({"issuers": [{"issuer": idp.issuer(), "algorithms": ["RS256"]}]});
    let gateway = setup(&upstream, POLICY).with("identity", issuers).start().await;
    let url = gateway.endpoint("crm");
    let script = json!([{"list": true}, {"call": "get"}, {"call": "put"}, {"call": "put"}]);
    for mode in ["legacy", "modern"] {
        let said = oauth_client(url, mode, "developer", &script).await;
        let listed = said["results"][0]["ok"]["tools"].as_array().unwrap_or_else(|| panic!("{said}"));
        assert_eq!(listed.len(), 2, "what a scope would open is listed: {said}");
        for call in &said["results"].as_array().unwrap()[1..] {
            assert!(call["ok"]["content"].is_array(), "{mode}: {said}");
        }
        assert_eq!(said["granted"], json!(["mcp:read", "mcp:read mcp:write"]), "as little as was needed");
        assert_eq!(said["resources"], json!([url, url]));
    }
    assert_eq!(upstream.calls().len(), 6, "a refused call reached the upstream, or one was sent twice");
    let refused = gateway.ended_calls(2, |call| call["error"] == "insufficient_scope").await;
    assert_eq!(refused.len(), 2);
    for call in refused {
        assert_eq!(
            (&call["outcome"], &call["status"], &call["tool"]),
            (&json!("refused"), &json!(403), &json!("crm.put"))
        );
        assert_eq!((&call["decision"], &call["detail"]), (&json!("allow"), &json!("mcp:write")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_does_not_step_up_for_what_policy_denies() {
    let idp = Idp::start().await;
    let upstream = Upstream::start(Speaks::Modern, tools()).await;
    let issuers = json!({"issuers": [{"issuer": idp.issuer(), "algorithms": ["RS256"]}]});
    let gateway = setup(&upstream, POLICY).with("identity", issuers).start().await;
    let script = json!([{"list": true}, {"call": "put"}]);
    let said = oauth_client(gateway.endpoint("crm"), "modern", "viewer", &script).await;
    assert_eq!(said["results"][0]["ok"]["tools"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(said["results"][1]["error"]["code"], -32602, "{said}");
    assert_eq!(said["granted"], json!(["mcp:read"]));
    assert!(upstream.calls().is_empty());
}
