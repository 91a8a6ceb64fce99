//! The admin API, in JSON. Each path is here once, and described in `openapi`; who asks is an
//! [`crate::admin::auth::Operator`], and what they may see and do is said by each handler.

pub mod approvals;
pub mod audit;
pub mod catalogue;
pub mod explain;
pub mod jobs;
mod openapi;
mod whoami;

use crate::admin::Admin;
use axum::Router;
use axum::routing::{get, post};

/// All paths of the API.
pub fn routes() -> Router<Admin> {
    Router::new()
        .route("/openapi.json", get(openapi::show))
        .route("/api/whoami", get(whoami::show))
        .route("/api/approvals", get(approvals::list))
        .route("/api/approvals/{id}", get(approvals::show))
        .route("/api/approvals/{id}/approve", post(approvals::approve))
        .route("/api/approvals/{id}/deny", post(approvals::deny))
        .route("/api/approvals/{id}/withdraw", post(approvals::withdraw))
        .route("/api/jobs", get(jobs::list))
        .route("/api/jobs/{id}", get(jobs::show))
        .route("/api/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/jobs/{id}/requeue", post(jobs::requeue))
        .route("/api/audit", get(audit::list))
        .route("/api/audit/tail", get(audit::follow_api))
        .route("/api/catalogue", get(catalogue::list))
        .route("/api/catalogue/accept", post(catalogue::accept))
        .route("/api/explain", post(explain::ask))
}
