//! What the gateway answers by itself: the handshake, discovery, signs of life (`about`), and lists (`lists`).

mod about;
mod lists;

use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::parse::Request;
use crate::pipeline::reply::{Reply, rpc_response};
use crate::pipeline::{Gateway, Live, limit};
use http::HeaderName;
use portcullis_core::catalog::Catalog;
use portcullis_core::mcp::Body;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::{Version, negotiate};
use portcullis_core::reject::Rejection;
use portcullis_core::route::Endpoint;
use serde_json::{Value, json};
use std::sync::Arc;

/// What is asked, by whom and where, and what it is judged by.
struct Question<'a> {
    gateway: &'a Gateway,
    live: &'a Live,
    arrival: &'a Arrival,
    request: &'a Request,
    endpoint: &'a Endpoint,
    /// What its upstreams offer the caller.
    catalog: Arc<Catalog>,
}

/// Answers.
///
/// # Errors
/// As the limits say, and [`Rejection::InvalidParams`] for a cursor that is not one of ours, or no longer.
pub async fn answer(gateway: &Gateway, live: &Live, arrival: &Arrival, request: Request) -> Result<Reply, Rejection> {
    let _running = limit::admit(gateway, live, &request.caller, None, request.target.name())?;
    let id = request.id();
    let result = |value: Value| Ok(Reply::json(200, rpc_response(id.as_deref(), "result", &value)));
    // Plain REST has no way to ask for any of this.
    let Target::Endpoint(endpoint) = &request.target else { return Err(Rejection::Internal) };
    let asked_of = match &request.message.body {
        Body::Notification { .. } | Body::Ping => &[],
        _ => endpoint.upstreams.as_slice(),
    };
    let catalog = gateway.catalog_of(live, asked_of, &request.caller.principal).await;
    let question = Question { gateway, live, arrival, request: &request, endpoint, catalog };
    match &request.message.body {
        Body::Notification { .. } => Ok(Reply::empty(202)),
        Body::Ping => result(json!({})),
        Body::Initialize { requested } => begin(&question, negotiate(requested)),
        Body::Discover => result(question.discovery()),
        Body::ToolsList { cursor } => question.tools(cursor.as_deref()),
        Body::PromptsList { cursor } => question.prompts(cursor.as_deref()),
        Body::ResourcesList { cursor } => question.resources(cursor.as_deref()),
        Body::TemplatesList { cursor } => question.templates(cursor.as_deref()),
        _ => Err(Rejection::Internal),
    }
}

/// Answers the handshake, which opens a session (MCP 2025-11-25 "Session Management").
fn begin(question: &Question<'_>, version: Version) -> Result<Reply, Rejection> {
    let Question { gateway, live, request, endpoint, .. } = question;
    let declared = request.message.capabilities.map(|span| span.of(&request.body)).unwrap_or_default();
    let capabilities = Capabilities::read(declared);
    let principal = &request.caller.principal;
    let session = gateway.client_sessions.open(live, principal, &endpoint.name, version, capabilities)?;
    let body = rpc_response(request.id().as_deref(), "result", &question.handshake(version));
    Ok(Reply::json(200, body).with(HeaderName::from_static("mcp-session-id"), &session))
}
