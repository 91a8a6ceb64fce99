//! From an envelope and headers to a [`Message`]: the order of the checks, and which era makes which.

use super::asked::Asked;
use super::headers::{McpHeaders, decode};
use super::method::Method;
use super::version::Version;
use super::{Body, META_CAPABILITIES, META_VERSION, Message, TaskAsked};
use crate::jsonrpc::{Frame, Kind, Object, Span, string};
use crate::reject::{Era, Rejection};

/// The meaning of a message that was POSTed to an endpoint.
///
/// # Errors
/// [`Rejection::InvalidRequest`] for what is never run (a response, a request that hides as a notification),
/// [`Rejection::HeaderMismatch`], [`Rejection::UnsupportedVersion`], [`Rejection::InvalidParams`].
pub fn classify(body: &[u8], frame: &Frame, headers: &McpHeaders<'_>) -> Result<Message, Rejection> {
    let method = Method::parse(&frame.method);
    match frame.kind {
        Kind::Response => return response(frame, headers),
        Kind::Notification if !method.is_notification() => {
            return Err(Rejection::InvalidRequest("a request must have an id"));
        }
        Kind::Request if method.is_notification() => {
            return Err(Rejection::InvalidRequest("a notification must not have an id"));
        }
        Kind::Request | Kind::Notification => {}
    }
    let version = version(body, frame, headers)?;
    let era = version.era();
    let capabilities = match (era, frame.kind) {
        (Era::Modern, Kind::Request) => Some(check_modern(body, frame, &method, headers)?),
        (Era::Modern, _) => check_method(frame, headers).map(|()| None)?,
        (Era::Legacy, _) => {
            check_given(body, frame, &method, headers)?;
            if method == Method::Initialize { object(body, frame.params.as_ref(), "capabilities")? } else { None }
        }
    };
    let body = read_body(body, frame, method, era)?;
    Ok(Message { era, version, id: frame.id, capabilities, body })
}

/// The body's claim, checked against the header's; without a claim the header's; without both the assumed one.
fn version(body: &[u8], frame: &Frame, headers: &McpHeaders<'_>) -> Result<Version, Rejection> {
    let claim = frame.meta.as_ref().and_then(|meta| meta.value(META_VERSION));
    let Some(claim) = claim else { return version_of_header(frame.kind, headers.protocol_version) };
    let claim = string(claim.of(body))
        .ok_or_else(|| Rejection::InvalidParams(format!("_meta[\"{META_VERSION}\"] must be a string").into()))?;
    if headers.protocol_version.is_some_and(|header| header != claim) {
        return Err(Rejection::HeaderMismatch("MCP-Protocol-Version differs from the body"));
    }
    let version = known(&claim)?;
    if version.era() == Era::Modern && frame.kind == Kind::Request && headers.protocol_version.is_none() {
        return Err(Rejection::HeaderMismatch("MCP-Protocol-Version is missing"));
    }
    Ok(version)
}

fn version_of_header(kind: Kind, header: Option<&str>) -> Result<Version, Rejection> {
    let version = header.map_or(Ok(Version::ASSUMED), known)?;
    if version.era() == Era::Modern && kind == Kind::Request {
        return Err(Rejection::InvalidParams(format!("_meta lacks {META_VERSION}").into()));
    }
    Ok(version)
}

fn known(text: &str) -> Result<Version, Rejection> {
    let requested = || text.chars().take(64).collect();
    Version::parse(text).ok_or_else(|| Rejection::UnsupportedVersion { requested: requested() })
}

/// What every modern request must say; gives the client's capabilities.
fn check_modern(body: &[u8], frame: &Frame, method: &Method, headers: &McpHeaders<'_>) -> Result<Span, Rejection> {
    let capabilities = object(body, frame.meta.as_ref(), META_CAPABILITIES)?
        .ok_or_else(|| Rejection::InvalidParams(format!("_meta lacks {META_CAPABILITIES}").into()))?;
    if headers.method.is_none() {
        return Err(Rejection::HeaderMismatch("Mcp-Method is missing"));
    }
    check_method(frame, headers)?;
    if let Some(key) = method.named_by() {
        check_name(body, frame, key, headers)?;
    }
    Ok(capabilities)
}

/// Older revisions have no such headers. Where they are there all the same, something on the way may go by them, and must not
/// be told otherwise than the upstream.
fn check_given(body: &[u8], frame: &Frame, method: &Method, headers: &McpHeaders<'_>) -> Result<(), Rejection> {
    check_method(frame, headers)?;
    match (method.named_by(), headers.name) {
        (Some(key), Some(_)) => check_name(body, frame, key, headers),
        (None, Some(_)) => Err(Rejection::HeaderMismatch("Mcp-Name is there, and the method has no name")),
        (_, None) => Ok(()),
    }
}

/// A notification may go without the header (SEP-2243 and the transport's text differ), and may not contradict it.
fn check_method(frame: &Frame, headers: &McpHeaders<'_>) -> Result<(), Rejection> {
    if headers.method.is_some_and(|method| method != frame.method) {
        return Err(Rejection::HeaderMismatch("Mcp-Method differs from the body"));
    }
    Ok(())
}

fn check_name(body: &[u8], frame: &Frame, key: &str, headers: &McpHeaders<'_>) -> Result<(), Rejection> {
    let Some(header) = headers.name else { return Err(Rejection::HeaderMismatch("Mcp-Name is missing")) };
    // Two lines that something on the way has joined. Commas are at home in a URI alone.
    if header.contains(',') && key != "uri" {
        return Err(Rejection::HeaderMismatch("a header is a list"));
    }
    let value = frame.params.as_ref().and_then(|params| params.value(key)).map(|value| value.of(body));
    let name =
        value.and_then(string).ok_or_else(|| Rejection::InvalidParams(format!("{key} must be a string").into()))?;
    if name.contains('\0') {
        return Err(Rejection::InvalidRequest("a name holds NUL"));
    }
    if decode(header)? != name {
        return Err(Rejection::HeaderMismatch("Mcp-Name differs from the body"));
    }
    Ok(())
}

/// Only older revisions have clients answer (MCP 2026-07-28 "Streamable HTTP": a body is a request or a notification).
fn response(frame: &Frame, headers: &McpHeaders<'_>) -> Result<Message, Rejection> {
    let version = headers.protocol_version.map_or(Ok(Version::ASSUMED), known)?;
    if version.era() == Era::Modern || frame.id.is_none() {
        return Err(Rejection::InvalidRequest("no request is open that this could answer"));
    }
    if headers.method.is_some() || headers.name.is_some() {
        return Err(Rejection::HeaderMismatch("Mcp-Method or Mcp-Name is there, and a response has none"));
    }
    Ok(Message { era: Era::Legacy, version, id: frame.id, capabilities: None, body: Body::Response })
}

fn read_body(body: &[u8], frame: &Frame, method: Method, era: Era) -> Result<Body, Rejection> {
    if let Some(asked) = Asked::read(body, frame, &method) {
        return asked.map(Body::Ask);
    }
    let needed = |key: &'static str| -> Result<String, Rejection> {
        let missing = || Rejection::InvalidParams(format!("{key} is missing").into());
        text(body, frame, key)?.ok_or_else(missing)
    };
    Ok(match (method, era) {
        (Method::ToolsList, _) => Body::ToolsList { cursor: text(body, frame, "cursor")? },
        (Method::PromptsList, _) => Body::PromptsList { cursor: text(body, frame, "cursor")? },
        (Method::ResourcesList, _) => Body::ResourcesList { cursor: text(body, frame, "cursor")? },
        (Method::ResourceTemplatesList, _) => Body::TemplatesList { cursor: text(body, frame, "cursor")? },
        (Method::Discover, Era::Modern) => Body::Discover,
        (Method::Ping, Era::Legacy) => Body::Ping,
        (Method::Initialize, Era::Legacy) => Body::Initialize { requested: needed("protocolVersion")? },
        (Method::Listen, Era::Modern) => Body::Listen,
        (Method::ResourcesSubscribe, Era::Legacy) => Body::Subscribe { asked: Asked::resource(body, frame)?, on: true },
        (Method::ResourcesUnsubscribe, Era::Legacy) => {
            Body::Subscribe { asked: Asked::resource(body, frame)?, on: false }
        }
        (Method::SetLevel, Era::Legacy) => Body::SetLevel { level: needed("level")? },
        (Method::TasksGet | Method::TasksUpdate | Method::TasksCancel, Era::Modern) => {
            let missing = || Rejection::InvalidParams("taskId is missing".into());
            let span = frame.params.as_ref().and_then(|params| params.value("taskId")).ok_or_else(missing)?;
            Body::Task(TaskAsked { id: needed("taskId")?, span })
        }
        (method, _) if method.is_notification() => Body::Notification { method: frame.method.clone() },
        _ => Body::Unknown { method: frame.method.clone() },
    })
}

/// The member `key` of `params`, a string or absent.
fn text(body: &[u8], frame: &Frame, key: &str) -> Result<Option<String>, Rejection> {
    let Some(value) = frame.params.as_ref().and_then(|params| params.value(key)) else { return Ok(None) };
    match string(value.of(body)) {
        Some(text) => Ok(Some(text.into_owned())),
        None => Err(Rejection::InvalidParams(format!("{key} must be a string").into())),
    }
}

/// The member `key` of `parent`, an object or absent.
fn object(body: &[u8], parent: Option<&Object>, key: &str) -> Result<Option<Span>, Rejection> {
    match parent.and_then(|parent| parent.value(key)) {
        Some(value) if !value.of(body).starts_with(b"{") => {
            Err(Rejection::InvalidParams(format!("{key} must be an object").into()))
        }
        value => Ok(value),
    }
}
