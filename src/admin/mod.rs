//! The operators' listener: metrics and readiness. It is not for clients, and knows no way to change anything.

pub mod readiness;

use crate::telemetry::metrics::{CONTENT_TYPE, Metrics};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use readiness::Readiness;
use std::sync::Arc;
use tokio::net::TcpListener;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// How the process is.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(middleware::from_fn(known_host))
        .with_state(admin);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "the admin listener ended");
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let readiness = (admin.readiness)();
    readiness.report(&admin.metrics);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], admin.metrics.render()).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let readiness = (admin.readiness)();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// A page of another site whose name was made to point here must not read what operators see (abuse case 195): the
/// listener is asked for by address, or by a name without dots, as machines inside a network call each other.
async fn known_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let foreign_origin = request.headers().contains_key(header::ORIGIN);
    if is_inside(host) && !foreign_origin {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "This Host is not served here; use the address of the admin listener\n").into_response()
    }
}

fn is_inside(host: &str) -> bool {
    let Ok(url) = url::Url::parse(&format!("http://{host}/")) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => !name.contains('.') || name.ends_with(".svc") || name.ends_with(".local"),
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_inside_a_network_are_served() {
        for good in ["127.0.0.1:9000", "localhost:9000", "[::1]:9000", "portcullis:9000", "gw.prod.svc:9000"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in ["", "evil.example:9000", "127.0.0.1.evil.example", "a@b.example"] {
            assert!(!is_inside(bad), "{bad}");
        }
    }
}
