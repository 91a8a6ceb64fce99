//! Case 198: where upstreams may be. What a name stands for is looked up again and again, and judged each time.

use crate::abuse::stage::{Stage, call, good};
use crate::support::gateway::{Setup, authority, modern, modern_call};
use crate::support::tap::Tap;
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::json;

const POLICY: &str = "version: 1\nroles: { developer: {} }\ntools: [{ match: \"*.get_*\", class: read }]\naccess: [{ roles: [developer], upstreams: [\"*\"], level: read }]\n";

#[tokio::test(flavor = "multi_thread")]
pub async fn an_address_that_is_not_allowed_is_not_connected_to() {
    let upstream =
        Upstream::start(Speaks::Modern, vec![json!({"name": "get_it", "inputSchema": {"type": "object"}})]).await;
    let tap = Tap::before(authority(&upstream.url())).await;
    let (_, port) = tap.authority().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    let url = |host: &str| format!("http://{host}:{port}/mcp");
    let setup = Setup::new(&[("named", url("localhost")), ("outside", url("localhost"))], POLICY)
        .upstream("named", "addresses", json!(["127.0.0.0/8", "::1"]))
        .upstream("outside", "addresses", json!(["10.0.0.0/8", "127.0.0.2"]));
    let gateway = setup.start().await;
    let developer = token("dora", &["developer"]);
    let send =
        async |upstream: &str| gateway.send(&modern_call(upstream, "get_it", &json!({})).bearer(&developer)).await;
    let fine = send("named").await;
    assert_eq!(fine.status, 200, "{}", fine.text());
    let bytes = tap.bytes();
    for _ in 0..2 {
        let refused = send("outside").await;
        assert_eq!((refused.status, &refused.message()["error"]["code"]), (502, &json!(-31502)), "{}", refused.text());
    }
    assert_eq!(tap.bytes(), bytes, "nothing reaches an address that is not allowed");
    assert!(gateway.process.lines().iter().any(|line| line.contains("is not connected to")));
    let state = gateway.readiness().await;
    assert_eq!(state["upstreams"]["outside"]["replicas"], json!({}), "{state}");
    let list = gateway.send(&modern("outside", "tools/list", json!({})).bearer(&developer)).await;
    assert!(!list.text().contains("get_it"), "{}", list.text());
}

/// Also where no address is written: nobody's server is there, but what a cloud says to whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_a_link_local_address() {
    let change = |setup: Setup| setup.upstream("files", "url", json!("http://169.254.169.254/latest/meta-data/mcp"));
    let stage = Stage::with(change, POLICY).await;
    let files = modern_call("files", "get_customer", &json!({})).bearer(&token("dora", &["developer"]));
    assert_eq!(stage.gateway.send(&files).await.status, 502);
    let state = stage.gateway.readiness().await;
    assert_eq!(state["upstreams"]["files"]["replicas"], json!({}), "{state}");
    assert_eq!(stage.gateway.send(&good()).await.status, 200);
    assert_eq!(stage.gateway.send(&call("get_customer", &json!({"id": "c"}))).await.status, 200);
}
