//! What the gateway says of itself as a protected resource, and for whom a token must be.

use super::{POLICY, setup, tools};
use crate::support::gateway::{Gateway, modern_call};
use crate::support::http::Request;
use crate::support::tokens::{Claims, ISSUER, SECRET};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// A gateway with the endpoints `crm`, `hr` and `work`, whose tokens are for `audiences`.
async fn start(audiences: Value) -> (Upstream, Gateway) {
    let upstream = Upstream::start(Speaks::Modern, tools()).await;
    let mut dev = json!({"issuer": ISSUER, "secret": SECRET, "algorithms": ["HS256"], "audiences": audiences});
    if audiences.is_null() {
        dev.as_object_mut().unwrap().remove("audiences");
    }
    let idp = json!({
        "issuer": "https://idp.example.com/", "jwks_url": "http://127.0.0.1:1/jwks", "algorithms": ["RS256"],
    });
    let setup = setup(&upstream, POLICY)
        .with("identity", json!({"issuers": [dev, idp]}))
        .with("edge", json!({"bad_tokens": "100000/s"}));
    (upstream, setup.start().await)
}

fn claims(audience: Value) -> Claims {
    Claims::new("ana", &["developer"]).with("scope", json!("mcp:write hr")).with("aud", audience)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_is_a_resource_by_the_url_that_is_dialled() {
    let (_upstream, gateway) = start(Value::Null).await;
    let root = &gateway.ready.gateway;
    for (path, scopes) in [
        ("/crm/mcp", json!(["mcp:read", "mcp:write"])),
        ("/crm/sse", json!(["mcp:read", "mcp:write"])),
        ("/hr/mcp", json!(["mcp:read", "mcp:write", "hr"])),
        ("/work/mcp", json!(["mcp:read", "mcp:write", "hr"])),
        ("", json!(["mcp:read", "mcp:write", "hr"])),
    ] {
        let response = gateway.send(&Request::get(&format!("{WELL_KNOWN}{path}"))).await;
        assert_eq!(response.status, 200, "{path}");
        let document = response.message();
        assert_eq!(document["resource"], format!("{root}{path}"), "{path}");
        assert_eq!(document["authorization_servers"], json!(["https://idp.example.com/"]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
        assert_eq!(document["scopes_supported"], scopes, "{path}");
    }
    for path in ["/none/mcp", "/crm", "/crm/mcp/", "/"] {
        assert_eq!(gateway.send(&Request::get(&format!("{WELL_KNOWN}{path}"))).await.status, 404, "{path}");
    }
    assert_eq!(gateway.send(&Request::post(&format!("{WELL_KNOWN}/crm/mcp"), "{}")).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_leads_to_the_metadata_and_does_not_say_why() {
    let (upstream, gateway) = start(Value::Null).await;
    let root = &gateway.ready.gateway;
    let call = |path: &str| {
        let mut request = modern_call("crm", "get", &json!({}));
        request.path = path.to_owned();
        request
    };
    for (path, resource) in [("/crm/mcp", "/crm/mcp"), ("/crm/sse", "/crm/sse"), ("/mcp/invoke", "")] {
        let metadata = format!("resource_metadata=\"{root}{WELL_KNOWN}{resource}\"");
        let challenge = async |request: Request| {
            let response = gateway.send(&request).await;
            assert_eq!(response.status, 401, "{}", response.text());
            response.header("www-authenticate").unwrap().to_owned()
        };
        assert_eq!(challenge(call(path)).await, format!("Bearer scope=\"mcp:read\", {metadata}"));
        let invalid = format!("Bearer error=\"invalid_token\", scope=\"mcp:read\", {metadata}");
        let expired = claims(json!(root)).with("exp", json!(1)).sign();
        for token in ["x", &expired, &claims(json!("https://elsewhere.example")).sign()] {
            assert_eq!(challenge(call(path).bearer(token)).await, invalid, "{path}");
        }
    }
    assert!(upstream.calls().is_empty());
}

/// Calls `get` at each endpoint and over REST with a token for `audience`: the statuses.
async fn statuses(gateway: &Gateway, audience: Value) -> [u16; 4] {
    let token = claims(audience).sign();
    let at = async |path: &str, tool: &str| {
        let mut request = modern_call("crm", tool, &json!({})).bearer(&token);
        request.path = path.to_owned();
        gateway.send(&request).await.status
    };
    let rest = gateway.rest_invoke(&token, "crm.get", &json!({})).await.status;
    [at("/crm/mcp", "get").await, at("/crm/sse", "get").await, at("/hr/mcp", "get").await, rest]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_endpoint_is_refused_at_the_others() {
    let (upstream, gateway) = start(Value::Null).await;
    let root = gateway.ready.gateway.clone();
    let everywhere = [200, 200, 200, 200];
    for (audience, expected) in [
        (json!(root), everywhere),
        (json!(format!("{root}/")), everywhere),
        (json!(format!("{root}/crm/mcp")), [200, 200, 401, 401]),
        (json!(format!("{root}/crm/sse")), [200, 200, 401, 401]),
        (json!(format!("{root}/hr/mcp")), [401, 401, 200, 401]),
        (json!([format!("{root}/hr/mcp"), "https://other.example"]), [401, 401, 200, 401]),
        (json!(format!("{root}/hr/mcp/")), [401; 4]),
        (json!(format!("{root}//mcp")), [401; 4]),
        (json!(format!("{root}/{{endpoint}}/mcp")), [401; 4]),
        (json!("https://other.example"), [401; 4]),
    ] {
        // The second time the token is known.
        for _ in 0..2 {
            assert_eq!(statuses(&gateway, audience.clone()).await, expected, "{audience}");
        }
    }
    let wrong = gateway.ended_call(|call| call["detail"] == "audience").await;
    assert_eq!((&wrong["outcome"], &wrong["error"]), (&json!("refused"), &json!("unauthenticated")));
    assert!(!upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn audiences_are_as_configured() {
    let (_upstream, gateway) = start(json!(["everything", "api://mcp/{endpoint}"])).await;
    let root = gateway.ready.gateway.clone();
    for (audience, expected) in [
        (json!("everything"), [200; 4]),
        (json!("api://mcp/crm"), [200, 200, 401, 401]),
        (json!("api://mcp/work"), [401; 4]),
        (json!("api://mcp/mcp"), [401; 4]),
        (json!("api://mcp/"), [401; 4]),
        (json!(format!("{root}/crm/mcp")), [401; 4]),
    ] {
        assert_eq!(statuses(&gateway, audience.clone()).await, expected, "{audience}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_url_is_refused_and_not_looked_at() {
    let (upstream, gateway) = start(Value::Null).await;
    let token = claims(json!(gateway.ready.gateway)).sign();
    for (query, bearer, expected) in [
        (format!("?access_token={token}"), false, 400),
        (format!("?access_token={token}"), true, 400),
        (format!("?a=1&access%5Ftoken={token}"), false, 400),
        (format!("?access_to%6ben={token}"), false, 401),
    ] {
        let mut request = modern_call("crm", "get", &json!({}));
        request.path.push_str(&query);
        let request = if bearer { request.bearer(&token) } else { request };
        let response = gateway.send(&request).await;
        assert_eq!(response.status, expected, "{}", response.text());
        assert!(!response.text().contains(&token));
    }
    assert!(upstream.calls().is_empty());
}
