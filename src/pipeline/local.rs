//! What the gateway answers by itself: the handshake, discovery, signs of life, and the list of tools.
//!
//! The list is a projection of the catalogue: no upstream is asked. It holds what the caller may call, by the same
//! decision as a call's, with the arguments left open.

use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::parse::Request;
use crate::pipeline::reply::{Reply, rpc_response, rpc_response_raw};
use crate::pipeline::{Gateway, Live, clock, limit};
use crate::upstream::CLIENT_INFO;
use bytes::Bytes;
use http::HeaderName;
use portcullis_core::catalog::{Catalog, Tool, write_list};
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::{Version, negotiate};
use portcullis_core::mcp::{Body, META_SERVER};
use portcullis_core::policy::document::Effect;
use portcullis_core::policy::{AccessRequest, Arguments, Context, decide};
use portcullis_core::redact::Failure;
use portcullis_core::reject::Rejection;
use portcullis_core::route::Endpoint;
use portcullis_core::tool::Kind;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers.
///
/// # Errors
/// As the limits say, and [`Rejection::InvalidParams`] for a cursor, since lists here have one page.
pub fn answer(gateway: &Gateway, live: &Live, arrival: &Arrival, request: Request) -> Result<Reply, Rejection> {
    let _running = limit::admit(gateway, live, &request.caller, None, request.target.name())?;
    let id = request.id();
    let result = |value: Value| Ok(Reply::json(200, rpc_response(id.as_deref(), "result", &value)));
    match &request.message.body {
        Body::Notification { .. } => Ok(Reply::empty(202)),
        Body::Ping => result(json!({})),
        Body::Initialize { requested } => begin(gateway, live, &request, negotiate(requested)),
        Body::Discover => result(discovery()),
        Body::ToolsList { cursor: Some(_) } => Err(Rejection::InvalidParams("unknown cursor".into())),
        Body::ToolsList { cursor: None } => tools(gateway, live, arrival, &request),
        _ => Err(Rejection::Internal),
    }
}

/// Answers the handshake, which opens a session (MCP 2025-11-25 "Session Management").
fn begin(gateway: &Gateway, live: &Live, request: &Request, version: Version) -> Result<Reply, Rejection> {
    let declared = request.message.capabilities.map(|span| span.of(&request.body)).unwrap_or_default();
    let capabilities = Capabilities::read(declared);
    let (principal, endpoint) = (&request.caller.principal, request.target.name());
    let session = gateway.client_sessions.open(live, principal, endpoint, version, capabilities)?;
    let body = rpc_response(request.id().as_deref(), "result", &handshake(version));
    Ok(Reply::json(200, body).with(HeaderName::from_static("mcp-session-id"), &session))
}

fn capabilities() -> Value {
    json!({ "tools": {} })
}

fn server_info() -> Value {
    serde_json::from_slice(CLIENT_INFO).unwrap_or_default()
}

fn handshake(version: Version) -> Value {
    json!({ "protocolVersion": version.as_str(), "capabilities": capabilities(), "serverInfo": server_info() })
}

/// MCP 2026-07-28 "Discovery".
fn discovery() -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": Version::ALL.map(Version::as_str),
        "capabilities": capabilities(),
        "ttlMs": 60_000,
        "cacheScope": "public",
        "_meta": { META_SERVER: server_info() },
    })
}

fn tools(gateway: &Gateway, live: &Live, arrival: &Arrival, request: &Request) -> Result<Reply, Rejection> {
    let Target::Endpoint(endpoint) = &request.target else { return Err(Rejection::Internal) };
    let catalog = gateway.catalog.load();
    let offered = offered(&catalog, endpoint);
    let shown: Vec<_> = offered.filter(|tool| may_call(live, arrival, request, tool)).collect();
    let list = write_list(shown.iter().copied(), endpoint.is_aggregate(), request.message.era);
    // Upstreams are shown it when they are asked for their tools, too.
    if live.unseen.is_in(&list) {
        return Err(Rejection::ResponseBlocked);
    }
    let body = rpc_response_raw(request.id().as_deref(), "result", &list);
    let plan = live.snapshot.redactor.plan(&request.caller.roles, None).without_fields();
    let redacted = plan.json(&body).map_err(|failure| match failure {
        Failure::Blocked { .. } => Rejection::ResponseBlocked,
        _ => Rejection::ResponseUnreadable("redaction"),
    })?;
    let body = match redacted.bytes {
        std::borrow::Cow::Borrowed(_) => body.clone(),
        std::borrow::Cow::Owned(changed) => Bytes::from(changed),
    };
    Ok(Reply::json(200, body))
}

fn offered<'a>(catalog: &'a Catalog, endpoint: &'a Endpoint) -> impl Iterator<Item = &'a Arc<Tool>> {
    endpoint
        .upstreams
        .iter()
        .filter_map(|name| catalog.upstreams.get(name))
        .flat_map(|upstream| upstream.tools.values())
}

fn may_call(live: &Live, arrival: &Arrival, request: &Request, tool: &Tool) -> bool {
    let context = Context {
        endpoint: request.target.name(),
        method: Kind::Tool.method(),
        protocol: request.protocol(),
        client: arrival.peer,
    };
    let access = AccessRequest {
        principal: &request.caller.principal,
        roles: &request.caller.roles,
        kind: Kind::Tool,
        tool: &tool.name,
        arguments: Arguments::Any,
        context: &context,
    };
    decide(&live.snapshot.policy, &access, clock::now()).effect != Effect::Deny
}
