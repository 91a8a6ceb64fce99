//! The console: pages for people, made here and complete without scripts. What they show and do is what the API shows and
//! does, by the same functions; no page has a right of its own.
//!
//! `GET` changes nothing, so that links can be followed by whoever finds them in a mail (abuse case 157). Each change is a
//! form with the token of the person's login.

mod approvals;
mod audit;
mod catalogue;
mod explain;
mod jobs;
mod login;
mod page;
mod reading;

use crate::admin::Admin;
use crate::admin::auth::{Peer, Visitor};
use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

/// All pages.
pub fn routes() -> Router<Admin> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/approvals") }))
        .route("/console.css", get(|| asset("text/css", include_str!("console.css"))))
        .route("/console.js", get(|| asset("text/javascript", include_str!("console.js"))))
        .route("/console.svg", get(|| asset("image/svg+xml", include_str!("console.svg"))))
        .route("/login", get(login::show))
        .route("/login/token", post(login::with_token))
        .route("/login/start", get(login::start))
        .route("/login/callback", get(login::callback))
        .route("/logout", post(login::out))
        .route("/approvals", get(approvals::list))
        .route("/approvals/changes", get(approvals::changes))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/{word}", post(approvals::say))
        .route("/jobs", get(jobs::show))
        .route("/jobs/{id}/{word}", post(jobs::say))
        .route("/audit", get(audit::show))
        .route("/audit/tail", get(audit::tail))
        .route("/catalogue", get(catalogue::show))
        .route("/catalogue/accept", post(catalogue::accept))
        .route("/explain", get(explain::show).post(explain::ask))
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// Who is logged in; who is not is sent to log in, and back afterwards.
impl FromRequestParts<Admin> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Response> {
        let Ok(peer) = Peer::from_request_parts(parts, admin).await;
        if let Some(visitor) = Self::of(admin, &parts.headers, peer) {
            return Ok(visitor);
        }
        let reading = parts.method == Method::GET || parts.method == Method::HEAD;
        let next = parts.uri.path_and_query().filter(|_| reading).map_or("/", |path| path.as_str());
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        Err(Redirect::to(&format!("/login?next={next}")).into_response())
    }
}
