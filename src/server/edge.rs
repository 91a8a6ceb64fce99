//! Stage 0: whether a request's header can be judged at all, and where it wants to go. Of HTTP/1.1, `wire` has let pass only
//! what can be read in one way.

use crate::config::document::gateway::EdgeDocument;
use crate::config::snapshot::Gateway;
use crate::pipeline::arrival::{Arrival, Ids, Target, Verb};
use crate::pipeline::presence::Presence;
use crate::pipeline::reply::Form;
use crate::server::cors;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::RequestHeader;
use portcullis_core::job::JobId;
use portcullis_core::reject::Rejection;
use portcullis_core::route::{JOBS, Place, Routes};
use std::net::IpAddr;
use std::time::Instant;

/// What a request of the ingress asks for.
pub enum Asked<'a> {
    /// Something that goes through the stages.
    Call(Box<Arrival>),
    /// Whether the process lives.
    Health,
    /// What a page in a browser may send.
    Preflight,
    /// The protected-resource metadata of an endpoint, or of the gateway (RFC 9728); the path of the resource.
    Metadata(&'a str),
}

/// Judges the header.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn inspect<'a>(
    request: &'a RequestHeader,
    peer: Option<IpAddr>,
    gateway: &Gateway,
    routes: &Routes,
) -> Result<Asked<'a>, Rejection> {
    bounds(request, &gateway.edge)?;
    target_form(request)?;
    host(request, &gateway.hosts)?;
    origin(&request.headers, &gateway.origins)?;
    let path = request.uri.path();
    let place = routes.place(path).ok_or(Rejection::NotFound)?;
    if cors::is_preflight(request) {
        return Ok(Asked::Preflight);
    }
    let target = match place {
        Place::Health => return method(request, &[Method::GET, Method::HEAD], "GET").map(|()| Asked::Health),
        Place::Metadata(endpoint) => {
            let resource = endpoint.map_or("", |_| path.strip_prefix(portcullis_core::route::METADATA).unwrap_or(""));
            return method(request, &[Method::GET], "GET").map(|()| Asked::Metadata(resource));
        }
        Place::Invoke => Target::Invoke,
        Place::Job => return job(request, peer).map(|arrival| Asked::Call(Box::new(arrival))),
        Place::Endpoint(endpoint) => Target::Endpoint(endpoint.clone()),
    };
    let verb = verb(request, &target)?;
    if verb == Verb::Post {
        content(&request.headers)?;
    }
    Ok(Asked::Call(Box::new(arrival(request, verb, target, peer))))
}

/// A request for a job, by plain REST.
fn job(request: &RequestHeader, peer: Option<IpAddr>) -> Result<Arrival, Rejection> {
    let verb = match request.method {
        Method::GET => Verb::Get,
        Method::DELETE => Verb::Delete,
        _ => return Err(Rejection::MethodNotAllowed("GET, DELETE")),
    };
    if is_chunked(request) || has_body(request) {
        return Err(Rejection::BadRequest("only POST has a body"));
    }
    let id = request.uri.path().strip_prefix(JOBS).and_then(JobId::parse).ok_or(Rejection::NotFound)?;
    Ok(Arrival { job: Some(id), ..arrival(request, verb, Target::Invoke, peer) })
}

/// The ids of a request, which every answer has, refusals of its header too.
pub fn ids(request: &RequestHeader) -> Ids {
    let traceparent: Vec<_> = request.headers.get_all("traceparent").iter().cloned().collect();
    Ids::new(&traceparent)
}

/// For which endpoint a request was meant whose header was refused, and how its refusal must look. Nothing that the client
/// says of itself is taken over.
pub fn meant<'a>(request: &RequestHeader, routes: &'a Routes) -> (Option<&'a str>, Form) {
    match routes.place(request.uri.path()) {
        Some(Place::Endpoint(endpoint)) => (Some(&endpoint.name), Form::Rpc(None)),
        Some(Place::Invoke | Place::Job) => (Some(portcullis_core::route::INVOKE), Form::Rest),
        Some(Place::Health | Place::Metadata(_)) | None => (None, Form::Rpc(None)),
    }
}

/// Whether the body comes in chunks. `wire` has written them anew; that pingora too finds their end where its next request
/// begins is not relied on.
pub fn is_chunked(request: &RequestHeader) -> bool {
    request.headers.contains_key(header::TRANSFER_ENCODING)
}

/// What the request does. Sessions alone have streams to be read and ends: without the id of one there is nothing but
/// POST, as 2026-07-28 has it ("Streamable HTTP", earlier revisions).
fn verb(request: &RequestHeader, target: &Target) -> Result<Verb, Rejection> {
    let in_session = matches!(target, Target::Endpoint(_)) && request.headers.contains_key("mcp-session-id");
    match request.method {
        Method::POST => Ok(Verb::Post),
        _ if in_session && (is_chunked(request) || has_body(request)) => {
            Err(Rejection::BadRequest("only POST has a body"))
        }
        Method::GET if in_session => Ok(Verb::Get),
        Method::DELETE if in_session => Ok(Verb::Delete),
        _ if in_session => Err(Rejection::MethodNotAllowed("POST, GET, DELETE")),
        _ => Err(Rejection::MethodNotAllowed("POST")),
    }
}

fn has_body(request: &RequestHeader) -> bool {
    request.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
}

fn arrival(request: &RequestHeader, verb: Verb, target: Target, peer: Option<IpAddr>) -> Arrival {
    let all = |name: HeaderName| request.headers.get_all(name).iter().cloned().collect();
    let mcp = request.headers.iter().filter(|(name, _)| name.as_str().starts_with("mcp-"));
    Arrival {
        verb,
        target,
        peer,
        last_event: request.headers.get("last-event-id").cloned(),
        idempotency_key: all(HeaderName::from_static("idempotency-key")),
        respond_async: prefers_async(&request.headers),
        job: None,
        authorization: all(header::AUTHORIZATION),
        mcp: mcp.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ids: ids(request),
        at: Instant::now(),
        presence: Presence::default(),
    }
}

/// Whether `Prefer` holds `respond-async` (RFC 7240 section 4.1).
fn prefers_async(headers: &HeaderMap) -> bool {
    let fields = headers.get_all("prefer").iter().filter_map(|field| field.to_str().ok());
    let mut preferences = fields.flat_map(|field| field.split(','));
    preferences.any(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("respond-async")
    })
}

fn bounds(request: &RequestHeader, edge: &EdgeDocument) -> Result<(), Rejection> {
    let bytes: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let too_many = request.headers.len() > edge.header_count;
    if too_many || bytes as u64 > edge.header_bytes.0 { Err(Rejection::HeaderTooLarge) } else { Ok(()) }
}

fn target_form(request: &RequestHeader) -> Result<(), Rejection> {
    if !request.raw_path().starts_with(b"/") {
        return Err(Rejection::BadRequest("the request target must be a path"));
    }
    if request.uri.query().is_some_and(|query| query.contains("token")) {
        return Err(Rejection::BadRequest("a token belongs into the Authorization header"));
    }
    Ok(())
}

fn host(request: &RequestHeader, allowed: &[String]) -> Result<(), Rejection> {
    let mut fields = request.headers.get_all(header::HOST).iter();
    let host = match (fields.next(), fields.next(), request.uri.authority()) {
        (Some(only), None, None) => only.to_str().unwrap_or_default(),
        (None, None, Some(authority)) => authority.as_str(),
        (Some(only), None, Some(authority)) if only.as_bytes() == authority.as_str().as_bytes() => authority.as_str(),
        _ => return Err(Rejection::BadRequest("there must be one Host")),
    };
    let known = allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    if known { Ok(()) } else { Err(Rejection::ForeignHost) }
}

/// MCP "Security": a request that a browser sends for a page of another origin is refused.
fn origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Rejection> {
    let known = |origin: &HeaderValue| allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
    if headers.get_all(header::ORIGIN).iter().all(known) { Ok(()) } else { Err(Rejection::ForeignOrigin) }
}

fn method(request: &RequestHeader, allowed: &[Method], named: &'static str) -> Result<(), Rejection> {
    if allowed.contains(&request.method) { Ok(()) } else { Err(Rejection::MethodNotAllowed(named)) }
}

fn content(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let json = match (types.next().map(HeaderValue::to_str), types.next()) {
        (Some(Ok(only)), None) => is_json(only),
        _ => false,
    };
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity");
    if json && !encoded { Ok(()) } else { Err(Rejection::UnsupportedMediaType) }
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        let charset = parameter.to_ascii_lowercase();
        !charset.starts_with("charset") || matches!(charset.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_taken() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(is_json(good), "{good}");
        }
        for bad in
            ["", "text/plain", "application/json; charset=utf-16", "application/jsonp", "application/json, text/plain"]
        {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
