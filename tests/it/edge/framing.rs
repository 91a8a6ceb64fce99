//! What becomes of a connection. Requests that two readers could take for two different ones are in `tests/cases/abuse`.

use super::Bench;
use crate::support::gateway::modern_call;
use crate::support::http::Request;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lives_on_after_what_is_refused_in_order() {
    let bench = Bench::start(json!({})).await;
    let mut connection = bench.connect().await;
    let unknown = modern_call("one", "no_such_tool", &json!({})).bearer(&bench.token);
    let mut mismatch = bench.call();
    mismatch = mismatch.header("mcp-name", "other");
    let mut nonsense = bench.call();
    nonsense.body = b"{".to_vec();
    let requests = [
        (unknown, 200),
        (Request::get("/one/mcp"), 405),
        (Request::get("/nowhere"), 404),
        (Request::get("/healthz"), 200),
        (mismatch, 400),
        (nonsense, 400),
        (Request::get("/.well-known/oauth-protected-resource/one/mcp"), 200),
    ];
    for (request, status) in requests {
        for (request, status) in [(request, status), (bench.call(), 200)] {
            connection.send(&request.to_http1(bench.gateway.authority())).await.unwrap();
            let response = connection.read_response().await.unwrap_or_else(|error| panic!("{error}: {request:?}"));
            assert_eq!(response.status, status, "{request:?}");
            assert_eq!(response.header("connection"), Some("keep-alive"), "{request:?}");
        }
    }
    assert_eq!(bench.upstream.calls().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_after_a_request_is_taken_for_another() {
    let bench = Bench::start(json!({})).await;
    let one = bench.call().to_http1(bench.gateway.authority());
    let upgrade = bench.call().header("upgrade", "websocket").header("connection", "upgrade");
    let upgrade = upgrade.to_http1(bench.gateway.authority());
    let h2c = bench.call().header("upgrade", "h2c").header("connection", "upgrade, http2-settings");
    let h2c = h2c.header("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA").to_http1(bench.gateway.authority());
    for attack in [[one.clone(), one.clone()], [upgrade, one.clone()], [h2c, one]] {
        let before = bench.upstream.calls().len();
        assert_eq!(bench.attack(&attack.concat()).await.status, 200);
        let calls = bench.upstream.calls();
        assert_eq!(calls.len(), before + 1);
        let seen = calls.last().unwrap();
        assert_eq!(seen.body, bench.call().body);
        assert!(["upgrade", "http2-settings"].iter().all(|name| seen.header(name).is_none()), "{seen:?}");
    }
}
