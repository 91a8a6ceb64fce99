//! Pages in browsers: preflights, and which page may read which answer.

use super::{POLICY, setup, tools};
use crate::support::gateway::{Gateway, modern_call};
use crate::support::http::{Connection, Request, Response, VERSIONS};
use crate::support::tokens::Claims;
use crate::support::upstream::{Answer, Speaks, Upstream};
use serde_json::json;

const APP: &str = "https://app.example.com";
const ALLOW: &str = "access-control-allow-origin";
const EXPOSED: &str = "WWW-Authenticate, Mcp-Session-Id, Retry-After, X-Request-ID";

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Speaks::Modern, tools()).await;
    let listen = json!({"ingress": "127.0.0.1:0", "admin": "127.0.0.1:0", "origins": [APP, "http://localhost:5173"]});
    let gateway = setup(&upstream, POLICY).with("listen", listen).start().await;
    (upstream, gateway)
}

fn preflight(path: &str, origin: &str) -> Request {
    Request { method: "OPTIONS".into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,mcp-method,mcp-param-region,x-evil")
}

fn token() -> String {
    Claims::new("ana", &["developer"]).with("scope", json!("mcp:read")).sign()
}

/// That a page of the app may read `response`, and what it may read of its header.
fn readable(response: &Response) {
    assert_eq!(response.header(ALLOW), Some(APP), "{response:?}");
    assert_eq!(response.header("access-control-expose-headers"), Some(EXPOSED));
    assert_eq!(response.header("vary"), Some("Origin"));
    assert_eq!(response.header("access-control-allow-credentials"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_needs_no_token_and_leaves_no_record() {
    let (upstream, gateway) = start().await;
    for version in VERSIONS {
        let mut connection = Connection::open(gateway.authority(), version).await;
        for path in ["/crm/mcp", "/crm/sse", "/mcp/invoke", "/.well-known/oauth-protected-resource/crm/mcp"] {
            // One connection carries them all: the answer has an end.
            let response = connection.exchange(&preflight(path, APP)).await.unwrap();
            assert_eq!((response.status, response.body.len()), (204, 0), "{path}");
            readable(&response);
            assert_eq!(response.header("access-control-allow-methods"), Some("GET, POST, DELETE"));
            let fields = response.header("access-control-allow-headers").unwrap();
            assert_eq!(
                fields,
                "authorization, content-type, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, \
                 last-event-id, mcp-param-region"
            );
            assert_eq!(response.header("content-length"), None);
        }
    }
    assert!(upstream.calls().is_empty());
    assert!(gateway.calls().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_get_nothing() {
    let (upstream, gateway) = start().await;
    for origin in ["https://evil.example", "null", "*", "https://app.example.com.evil", "https://app.example.com:8443"]
    {
        for request in [
            preflight("/crm/mcp", origin),
            modern_call("crm", "get", &json!({})).bearer(&token()).header("origin", origin),
            Request::get("/.well-known/oauth-protected-resource").header("origin", origin),
        ] {
            let response = gateway.send(&request).await;
            assert_eq!((response.status, response.header(ALLOW)), (403, None), "{origin}: {request:?}");
            assert_eq!(response.header("access-control-allow-methods"), None);
        }
    }
    let without_origin = preflight("/crm/mcp", APP).without("origin");
    assert_eq!(gateway.send(&without_origin).await.status, 405);
    assert_eq!(gateway.send(&preflight("/none/mcp", APP)).await.status, 404);
    assert!(upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_read_answers_streams_and_refusals() {
    let (upstream, gateway) = start().await;
    let call = |tool: &str| modern_call("crm", tool, &json!({})).header("origin", APP);
    let answer = gateway.send(&call("get").bearer(&token())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    readable(&answer);

    let result = json!({"content": [{"type": "text", "text": "x"}], "resultType": "complete"});
    let event = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#);
    upstream.answer(Answer::events(&[event], usize::MAX));
    let stream = gateway.send(&call("get").bearer(&token())).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"), "{}", stream.text());
    readable(&stream);

    let mut unread = call("get").bearer(&token());
    unread.body = b"{".to_vec();
    let metadata = Request::get("/.well-known/oauth-protected-resource/crm/mcp").header("origin", APP);
    for (request, status) in [
        (call("get"), 401),
        (call("put").bearer(&token()), 403),
        (unread, 400),
        (call("get").bearer(&token()).header("content-type", "text/plain"), 415),
        (Request::get("/crm/mcp").header("origin", APP), 405),
        (Request::get("/nowhere").header("origin", APP), 404),
        (metadata, 200),
    ] {
        let response = gateway.send(&request).await;
        assert_eq!(response.status, status, "{request:?}");
        readable(&response);
    }
    let plain = gateway.send(&call("get").without("origin").bearer(&token())).await;
    assert_eq!((plain.header(ALLOW), plain.header("vary")), (None, Some("Origin")));
}
