//! Stage 0: whether a request's header can be judged at all, and where it wants to go.
//!
//! pingora accepts what HTTP allows a lenient server to accept. A gateway may not: what two readers could take for two
//! different requests is refused (RFC 9112 section 11.2, and section C of the abuse cases).

use crate::config::document::gateway::EdgeDocument;
use crate::config::snapshot::Gateway;
use crate::pipeline::arrival::{Arrival, Ids, Target, Verb};
use crate::server::cors;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::RequestHeader;
use portcullis_core::reject::Rejection;
use portcullis_core::route::{Place, Routes};
use std::net::IpAddr;
use std::time::Instant;

/// What a request of the ingress asks for.
pub enum Asked<'a> {
    /// Something that goes through the stages.
    Call(Arrival),
    /// Whether the process lives.
    Health,
    /// What a page in a browser may send.
    Preflight,
    /// The protected-resource metadata of an endpoint, or of the gateway (RFC 9728); the path of the resource.
    Metadata(&'a str),
}

/// Judges the header. `raw` are the header's bytes as they came, where the request is HTTP/1.1.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn inspect<'a>(
    request: &'a RequestHeader,
    raw: Option<&[u8]>,
    peer: Option<IpAddr>,
    gateway: &Gateway,
    routes: &Routes,
) -> Result<Asked<'a>, Rejection> {
    bounds(request, raw, &gateway.edge)?;
    if let Some(raw) = raw {
        framing(raw)?;
    }
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
        Place::Endpoint(endpoint) => Target::Endpoint(endpoint.clone()),
    };
    let verb = verb(request, &target)?;
    if verb == Verb::Post {
        content(&request.headers)?;
    }
    Ok(Asked::Call(arrival(request, verb, target, peer)))
}

/// The ids of a request, which every answer has, refusals of its header too.
pub fn ids(request: &RequestHeader) -> Ids {
    let traceparent: Vec<_> = request.headers.get_all("traceparent").iter().cloned().collect();
    Ids::new(&traceparent)
}

/// What a request whose header was refused leaves in the record; `None` where it was not meant for any endpoint. Nothing
/// that the client says of itself is taken over.
pub fn refused_call(request: &RequestHeader, peer: Option<IpAddr>, routes: &Routes) -> Option<Arrival> {
    let target = match routes.place(request.uri.path())? {
        Place::Endpoint(endpoint) => Target::Endpoint(endpoint.clone()),
        Place::Invoke => Target::Invoke,
        Place::Health | Place::Metadata(_) => return None,
    };
    let (authorization, mcp) = (Vec::new(), Vec::new());
    let (verb, last_event) = (Verb::Post, None);
    Some(Arrival { verb, target, peer, authorization, mcp, last_event, ids: ids(request), at: Instant::now() })
}

/// Whether the body comes in chunks. What stands between their sizes and their line ends (RFC 9112 section 7.1.1) is
/// read in more than one way, and pingora does not show it: a connection on which that was sent can't be trusted to
/// begin its next request where an intermediary thinks it does.
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
        authorization: all(header::AUTHORIZATION),
        mcp: mcp.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ids: ids(request),
        at: Instant::now(),
    }
}

fn bounds(request: &RequestHeader, raw: Option<&[u8]>, edge: &EdgeDocument) -> Result<(), Rejection> {
    let bytes = raw.map_or_else(
        || request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum(),
        <[u8]>::len,
    );
    let too_many = request.headers.len() > edge.header_count;
    if too_many || bytes as u64 > edge.header_bytes.0 { Err(Rejection::HeaderTooLarge) } else { Ok(()) }
}

/// One way to read where the body ends: at most one `Content-Length` of digits, or one `Transfer-Encoding: chunked`. pingora
/// has dropped or merged fields by the time it hands the header over, hence the look at the bytes.
fn framing(raw: &[u8]) -> Result<(), Rejection> {
    let bad = |reason| Err(Rejection::BadRequest(reason));
    let (mut lengths, mut encodings) = (0, 0);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\r\n") else { return bad("a line does not end with CRLF") };
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if value.is_empty() || value.len() > 15 || !value.iter().all(u8::is_ascii_digit) {
                return bad("Content-Length is not one number");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            encodings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return bad("Transfer-Encoding is not chunked");
            }
        }
    }
    if lengths + encodings > 1 { bad("the body's length is told more than once") } else { Ok(()) }
}

fn target_form(request: &RequestHeader) -> Result<(), Rejection> {
    if request.version < Version::HTTP_11 {
        return Err(Rejection::BadRequest("use HTTP/1.1 or HTTP/2"));
    }
    let absolute = request.version == Version::HTTP_11 && request.uri.authority().is_some();
    if absolute || !request.raw_path().starts_with(b"/") {
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
    fn a_body_has_one_end() {
        let head = |fields: &str| format!("POST /a/mcp HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes();
        for good in ["", "Content-Length: 3\r\n", "content-length:3 \r\n", "Transfer-Encoding: chunked\r\n"] {
            assert_eq!(framing(&head(good)), Ok(()), "{good}");
        }
        for bad in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: 0x3\r\n",
            "Content-Length:\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "X: y\n",
        ] {
            assert!(framing(&head(bad)).is_err(), "{bad}");
        }
    }

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
