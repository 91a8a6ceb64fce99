//! The operators' listener: metrics and readiness for machines, the API and the console for people whom policy.yaml lets in.
//! It is not for clients.

pub mod api;
pub mod auth;
mod console;
mod listener;
mod named;
mod places;
pub mod problem;
pub mod readiness;
mod session;
mod site;
mod tail;
mod trace;

use crate::pipeline::Gateway;
use crate::telemetry::metrics::CONTENT_TYPE;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use places::Places;
use readiness::Readiness;
use session::{Sessions, Spent};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Logins for which the issuer is asked at the same time.
const AT_ISSUER: usize = 16;

/// Searches of the record at the same time; others wait for their turn.
const SEARCHES: usize = 4;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// What the process is made of.
    gateway: Arc<Gateway>,
    /// How the process is.
    readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// Who is logged in.
    sessions: Arc<Sessions>,
    /// Which logins have come back from the issuer.
    spent: Arc<Spent>,
    /// Room to ask the issuer.
    at_issuer: Arc<Semaphore>,
    /// Room to search the record.
    searches: Arc<Semaphore>,
    /// Room for those who watch the record grow.
    tails: Arc<Places>,
    /// Room for pages that show how approvals change.
    changes: Arc<Places>,
}

impl Admin {
    /// Of a gateway; `readiness` says how its process is.
    pub fn new(gateway: Arc<Gateway>, readiness: Arc<dyn Fn() -> Readiness + Send + Sync>) -> Self {
        Self {
            gateway,
            readiness,
            sessions: Arc::default(),
            spent: Arc::default(),
            at_issuer: Arc::new(Semaphore::new(AT_ISSUER)),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            tails: Arc::default(),
            changes: Arc::default(),
        }
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz))
        .route("/healthz", get(|| async { "ok\n" }))
        .merge(api::routes())
        .merge(console::routes())
        .layer(middleware::from_fn(listener::in_time))
        .layer(middleware::from_fn_with_state(admin.clone(), site::guard))
        .with_state(admin);
    listener::run(listener, routes).await;
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let (readiness, metrics) = ((admin.readiness)(), &admin.gateway.metrics);
    readiness.report(metrics);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render()).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let readiness = (admin.readiness)();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
