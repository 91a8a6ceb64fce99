//! Tokens of a real identity provider, its metadata and key set found by the gateway itself.

use crate::support::gateway::{Gateway, Setup};
use crate::support::http::Response;
use crate::support::peers::Idp;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::json;

const POLICY: &str = r#"
version: 1
roles: { viewer: {}, developer: { inherits: [viewer] } }
tools: [{ match: "crm.get", class: read }]
access: [{ roles: [viewer], upstreams: [crm], level: read }]
"#;

struct World {
    idp: Idp,
    upstream: Upstream,
    gateway: Gateway,
}

impl World {
    async fn start() -> Self {
        let idp = Idp::start().await;
        let upstream =
            Upstream::start(Speaks::Modern, vec![json!({"name": "get", "inputSchema": {"type": "object"}})]).await;
        let issuers = json!({"issuers": [{"issuer": idp.issuer(), "algorithms": ["RS256", "ES256"]}]});
        let setup = Setup::new(&[("crm", upstream.url())], POLICY)
            .with("identity", issuers)
            .with("edge", json!({"bad_tokens": "100000/s"}));
        let gateway = setup.start().await;
        Self { idp, upstream, gateway }
    }

    /// A token of `client` for the endpoint `crm`.
    async fn token(&self, client: &str) -> String {
        self.idp.token(client, self.gateway.endpoint("crm")).await
    }

    async fn call(&self, token: &str) -> Response {
        self.gateway.modern_call("crm", token, "get", &json!({})).await
    }

    /// Whether a call with `token` is answered, and not refused as unauthenticated.
    async fn accepts(&self, token: &str) -> bool {
        let response = self.call(token).await;
        assert!([200, 401].contains(&response.status), "{}", response.text());
        response.status == 200
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_issuer_is_accepted_whatever_its_algorithm() {
    let world = World::start().await;
    for client in ["viewer", "developer", "developer-es256"] {
        let response = world.call(&world.token(client).await).await;
        assert_eq!(response.status, 200, "{client}: {}", response.text());
        let call = world.gateway.ended_call(|call| call["subject"] == client).await;
        assert_eq!((&call["outcome"], &call["issuer"]), (&json!("ok"), &json!(world.idp.issuer())));
    }
    assert_eq!(world.upstream.calls().len(), 3);
    assert!(world.idp.key_set_reads().await <= 3, "the key set is asked for too often");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_somebody_else_is_refused() {
    let world = World::start().await;
    let token = world.idp.token("developer", "http://127.0.0.1:1/crm/mcp").await;
    let response = world.call(&token).await;
    assert_eq!(response.status, 401, "{}", response.text());
    let challenge = response.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer") && challenge.contains("resource_metadata="), "{challenge}");
    assert!(world.upstream.calls().is_empty());
    let call = world.gateway.ended_call(|call| call["error"] == "unauthenticated").await;
    assert_eq!(call["outcome"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_token_is_refused() {
    let world = World::start().await;
    let token = world.token("developer").await;
    assert!(world.accepts(&token).await);
    let parts: Vec<_> = token.split('.').collect();
    let other = world.token("viewer").await;
    let spliced = [other.split('.').next().unwrap(), parts[1], other.split('.').nth(2).unwrap()].join(".");
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    for forged in [spliced, unsigned] {
        assert!(!world.accepts(&forged).await);
    }
    assert_eq!(world.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_found_and_forgotten_ones_end() {
    let world = World::start().await;
    let old = world.token("developer").await;
    assert!(world.accepts(&old).await);
    world.idp.rotate(true).await;
    let new = world.token("developer").await;
    wait_until("the new key is accepted", PATIENCE, async || world.accepts(&new).await.then_some(())).await;
    assert!(world.accepts(&old).await, "the old key is in the key set still");
    world.idp.rotate(false).await;
    let newest = world.token("developer").await;
    wait_until("the newest key is accepted", PATIENCE, async || world.accepts(&newest).await.then_some(())).await;
    assert!(!world.accepts(&old).await, "the old key is gone from the key set");
}
