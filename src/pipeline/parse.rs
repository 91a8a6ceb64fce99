//! Stage 1: from bytes to a message that is proved to be one, of a revision that we speak, with headers that agree.
//!
//! A plain REST call becomes the `tools/call` that it means, so that there is one path and one policy.

use crate::pipeline::arrival::{Arrival, Ids, Target};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::record::Record;
use crate::pipeline::reply::Form;
use crate::pipeline::session::ClientSession;
use crate::pipeline::{Gateway, Live};
use bytes::Bytes;
use portcullis_core::jsonrpc::{self, Frame, Limits};
use portcullis_core::mcp::headers::McpHeaders;
use portcullis_core::mcp::rewrite::TRACEPARENT;
use portcullis_core::mcp::version::Version;
use portcullis_core::mcp::{self, Body, Message, rewrite};
use portcullis_core::reject::{Era, Rejection};
use std::sync::Arc;

/// The protocol of a call that came by plain REST.
pub const REST: &str = "rest";

/// A request that is well formed.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Where.
    pub target: Target,
    /// The body: the client's own bytes, or the call that a REST request means.
    pub body: Bytes,
    /// Where its parts are.
    pub frame: Frame,
    /// What it says.
    pub message: Message,
    /// The exchange, and the trace that it is part of.
    pub ids: Ids,
    /// The session that it is part of, legacy.
    pub session: Option<Arc<ClientSession>>,
}

impl Request {
    /// The request's id as the client wrote it.
    pub fn id(&self) -> Option<Bytes> {
        self.frame.id.map(|span| self.body.slice(span.start..span.end))
    }

    /// What the client says it can do, a raw object; empty where it says nothing.
    pub fn capabilities(&self) -> &[u8] {
        self.message.capabilities.map_or(&[], |span| span.of(&self.body))
    }

    /// What policy and audit call the way it came: the revision of MCP, or [`REST`].
    pub fn protocol(&self) -> &'static str {
        match self.target {
            Target::Endpoint(_) => self.message.version.as_str(),
            Target::Invoke => REST,
        }
    }
}

/// Parses.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn step(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    caller: Arc<Caller>,
    body: Bytes,
    form: &mut Form,
    record: &mut Record,
) -> Result<Request, Rejection> {
    let limits = Limits::default();
    let body = match arrival.target {
        Target::Endpoint(_) => body,
        Target::Invoke => invocation(&body, &limits)?,
    };
    let frame = jsonrpc::parse(&body, &limits)?;
    record.method(&frame.method);
    if let Form::Rpc(id) = form {
        *id = frame.id.map(|span| body.slice(span.start..span.end));
    }
    let headers = match arrival.target {
        Target::Endpoint(_) => arrival.mcp_headers()?,
        Target::Invoke => McpHeaders::default(),
    };
    let mut message = mcp::classify(&body, &frame, &headers)?;
    let session = session(gateway, live, arrival, &caller, &message)?;
    if let Some(session) = &session {
        session.check_version(headers.protocol_version)?;
        message.version = session.version;
        record.session(session.id);
    }
    let ids = ids(arrival, &body, &frame);
    record.trace(&ids.trace);
    let request = Request { caller, target: arrival.target.clone(), body, frame, message, ids, session };
    record.protocol(request.protocol());
    if let Body::Ask(asked) = &request.message.body {
        record.asked(&asked.name);
    }
    Ok(request)
}

/// The session that `message` is part of. A handshake begins another, and a modern message is part of none, whatever its
/// header says (MCP 2026-07-28 "Streamable HTTP": `Mcp-Session-Id` is ignored).
fn session(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    caller: &Caller,
    message: &Message,
) -> Result<Option<Arc<ClientSession>>, Rejection> {
    let begins = matches!(message.body, Body::Initialize { .. });
    if begins || message.era == Era::Modern || matches!(arrival.target, Target::Invoke) {
        return Ok(None);
    }
    let find = |id| gateway.client_sessions.find(live, &caller.principal, arrival.target.name(), id);
    arrival.session_id()?.map(find).transpose()
}

/// The ids of the exchange, in the trace that the message names, or else its header: its client's transport may have begun
/// one of its own.
fn ids(arrival: &Arrival, body: &[u8], frame: &Frame) -> Ids {
    let named = frame.meta.as_ref().and_then(|meta| jsonrpc::string(meta.value(TRACEPARENT)?.of(body)));
    named.and_then(|traceparent| arrival.ids.within(&traceparent)).unwrap_or_else(|| arrival.ids.clone())
}

/// The `tools/call` that `{"tool_name": …, "arguments": …}` means.
fn invocation(body: &[u8], limits: &Limits) -> Result<Bytes, Rejection> {
    let object = jsonrpc::parse_value(body, limits)?.ok_or(Rejection::InvalidRequest("send an object"))?;
    if object.members.iter().any(|member| !matches!(member.key.as_str(), "tool_name" | "arguments")) {
        return Err(Rejection::InvalidRequest("only tool_name and arguments are known here"));
    }
    let name = object.value("tool_name").and_then(|span| jsonrpc::string(span.of(body)));
    let name = name.ok_or(Rejection::InvalidRequest("tool_name must be a string"))?;
    let arguments = object.value("arguments").map_or(&b"{}"[..], |span| span.of(body));
    Ok(rewrite::tools_call_request(b"1", &name, arguments, Version::LATEST_LEGACY, b"{}").into())
}
