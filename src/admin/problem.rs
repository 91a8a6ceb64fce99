//! Why the operators' side does not do what it is asked, as HTTP says it (RFC 9457). The refusals that clients of the
//! gateway see are `core::reject`'s.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use portcullis_core::reject::Rejection;
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

/// Why not. One text for all that may not be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What to do about it.
    pub detail: Cow<'static, str>,
    /// When to come back, in seconds.
    pub retry_after: Option<u64>,
}

/// The form in which it is sent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProblemDocument {
    /// The HTTP status, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What to do about it.
    pub detail: String,
}

impl Problem {
    /// One with this status.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), retry_after: None }
    }

    /// Nobody we know asks.
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Log in, or send a token that is meant for the console")
    }

    /// The person may not do this.
    pub fn forbidden(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// There is none, or the person may not know of it: the two look the same.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is nothing here under this name")
    }

    /// The request makes no sense.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// What was asked for has changed in the meantime.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// A part of the gateway can't be had now. Says nothing of it to the caller; the log does.
    pub fn unavailable(what: &'static str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what} can't be had for an operator");
        let detail = format!("The {what} can't be had now; the gateway's log says why");
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let status = StatusCode::from_u16(rejection.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::UNAUTHORIZED {
            return Self::unauthenticated();
        }
        let retry_after = rejection.retry_after().map(portcullis_core::reject::whole_secs);
        Self { status, detail: rejection.text(), retry_after }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.into_owned(),
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
