//! What every sample backend has in common: the `/mcp` and `/health` routes, the secret that only the gateway knows,
//! and how a process starts and stops. It knows no tool and keeps no state; each backend brings its own handler.

mod process;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

pub use process::run;

/// The largest request body a backend reads, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// The header in which the gateway proves that a request comes from it (DESIGN.md section 3, stage 9).
const GATEWAY_AUTH: HeaderName = HeaderName::from_static("x-gateway-auth");

/// How often an open event stream says that it is alive, and so notices a caller that went away without a word.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What the one who starts a backend may choose.
#[derive(Clone, Default)]
pub struct Options {
    /// What `X-Gateway-Auth` must hold for a request on `/mcp` to be served. `None` serves everybody who asks for a
    /// loopback `Host`; an empty secret matches nothing.
    pub gateway_secret: Option<String>,
}

/// `POST /mcp` for `handler`: Streamable HTTP without sessions, so that one route serves every revision from
/// 2025-03-26 to 2026-07-28, and with JSON answers unless the handler sends a notification first.
///
/// Without a gateway secret only loopback `Host` names are served, which stops DNS rebinding. With one, no browser can
/// make the request at all, and the gateway may use the name of a container.
///
/// This is not a whole application yet: [`guard`] adds the secret and `/health`.
pub fn mcp<S>(handler: S, options: &Options) -> Router
where
    S: ServerHandler + Clone + Send + Sync + 'static,
{
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(Some(KEEP_ALIVE))
        .with_max_request_body_bytes(MAX_REQUEST_BYTES);
    let config = match options.gateway_secret {
        Some(_) => config.disable_allowed_hosts(),
        None => config,
    };
    let sessions = Arc::new(NeverSessionManager::default());
    Router::new().route_service("/mcp", StreamableHttpService::new(move || Ok(handler.clone()), sessions, config))
}

/// Puts the check of the gateway secret before all that `routes` serves, and adds `GET /health`, which is open.
pub fn guard(routes: Router, options: Options) -> Router {
    let secret: Option<Arc<str>> = options.gateway_secret.map(Arc::from);
    routes.layer(middleware::from_fn_with_state(secret, require_gateway)).route("/health", get(health))
}

/// Serves `app` on `listener` until `stop` is done and the open exchanges have ended.
///
/// # Errors
/// None at present; axum keeps the right to report one.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // Without TCP_NODELAY a small answer waits for the peer's delayed acknowledgement: 43 ms instead of 6.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

async fn require_gateway(State(secret): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    match secret {
        Some(secret) if !knows_secret(request.headers(), &secret) => refuse(),
        _ => next.run(request).await,
    }
}

/// Exactly one `X-Gateway-Auth`, equal to `secret`. The time taken tells the length of the secret and nothing else.
fn knows_secret(headers: &HeaderMap, secret: &str) -> bool {
    let mut values = headers.get_all(GATEWAY_AUTH).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => !secret.is_empty() && bool::from(value.as_bytes().ct_eq(secret.as_bytes())),
        _ => false,
    }
}

fn refuse() -> Response {
    let body = json!({ "error": "this server answers only the gateway: X-Gateway-Auth is missing or wrong" });
    // RFC 9110 section 15.5.2: a 401 names a challenge. The name is not Bearer, lest a client start an OAuth flow.
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "X-Gateway-Auth")], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(GATEWAY_AUTH, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_the_one_right_secret_is_known() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["s3cret"], "s3cret", true),
            (&[], "s3cret", false),
            (&[""], "s3cret", false),
            (&["s3cre"], "s3cret", false),
            (&["s3cret "], "s3cret", false),
            (&["S3CRET"], "s3cret", false),
            (&["s3cret", "s3cret"], "s3cret", false),
            (&["other", "s3cret"], "s3cret", false),
            (&[""], "", false),
        ];
        for (values, secret, expected) in cases {
            assert_eq!(knows_secret(&headers(values), secret), *expected, "{values:?} against {secret:?}");
        }
    }
}
