//! Clients in browsers (the Fetch standard, "HTTP-CORS protocol"): preflights are answered, and every answer says which page
//! may read it. Which origins these are is configured; all others were refused before (`edge`).
//!
//! Cookies have no meaning here, so credentials are never allowed, and no answer is for every origin.

use crate::pipeline::reply::Reply;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use pingora::http::RequestHeader;

/// What pages may send beside what Fetch lets them send anyway. `Mcp-Param-*` too, by whatever name (MCP 2026-07-28 "Custom
/// Headers").
const REQUEST_FIELDS: [&str; 7] = [
    "authorization",
    "content-type",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "last-event-id",
];

/// The beginning of the names of fields that mirror arguments.
const MIRRORED: &str = "mcp-param-";

/// What pages may read of an answer's header beside what Fetch lets them read anyway.
const ANSWER_FIELDS: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, Mcp-Session-Id, Retry-After, X-Request-ID");

/// How long a browser may remember a preflight, in seconds. Short, because origins can be taken away by a reload.
const REMEMBERED: &str = "600";

/// What an answer says of origins.
#[derive(Debug, Clone)]
pub struct Cors {
    /// The origin that may read it.
    origin: Option<HeaderValue>,
    /// Whether it would say something else to another one.
    varies: bool,
}

impl Cors {
    /// For the answer to a request with these `headers`, where pages of the `allowed` origins may call.
    pub fn of(headers: &HeaderMap, allowed: &[String]) -> Self {
        let known = only_origin(headers).filter(|origin| allowed.iter().any(|it| it.as_bytes() == origin.as_bytes()));
        Self { origin: known.cloned(), varies: !allowed.is_empty() }
    }

    /// The fields that say so.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let varies = self.varies.then(|| (header::VARY, HeaderValue::from_static("Origin")));
        let readable = self.origin.clone().map(|origin| {
            [(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin), (header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_FIELDS)]
        });
        varies.into_iter().chain(readable.into_iter().flatten())
    }
}

/// Whether a browser asks what its page may send. Its origin was found to be allowed.
pub fn is_preflight(request: &RequestHeader) -> bool {
    request.method == Method::OPTIONS
        && only_origin(&request.headers).is_some()
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight. It needs no token: browsers send none with it.
pub fn preflight(request: &RequestHeader) -> Reply {
    let asked = request.headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let asked = asked.filter_map(|value| value.to_str().ok()).flat_map(|names| names.split(',')).map(str::trim);
    let mirrored = asked.map(str::to_ascii_lowercase).filter(|name| is_mirror(name));
    let fields: Vec<String> = REQUEST_FIELDS.iter().map(|name| (*name).to_owned()).chain(mirrored).collect();
    Reply::empty(204)
        .with(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE")
        .with(header::ACCESS_CONTROL_ALLOW_HEADERS, &fields.join(", "))
        .with(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED)
}

fn only_origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.next().filter(|_| origins.next().is_none())
}

fn is_mirror(name: &str) -> bool {
    name.len() > MIRRORED.len() && name.starts_with(MIRRORED) && HeaderName::from_bytes(name.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(Method::OPTIONS, b"/a/mcp", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn fields(cors: &Cors) -> Vec<(String, String)> {
        cors.fields().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn only_an_allowed_origin_may_read() {
        let allowed = ["https://app.example".to_owned()];
        let of = |fields: &[(&'static str, &str)], allowed: &[String]| Cors::of(&request(fields).headers, allowed);
        let readable = fields(&of(&[("origin", "https://app.example")], &allowed));
        assert_eq!(readable[0], ("vary".to_owned(), "Origin".to_owned()));
        assert_eq!(readable[1], ("access-control-allow-origin".to_owned(), "https://app.example".to_owned()));
        for origins in [
            &[][..],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://app.example"), ("origin", "https://app.example")],
            &[("origin", "https://app.example.evil")],
            &[("origin", "HTTPS://APP.EXAMPLE")],
        ] {
            assert_eq!(fields(&of(origins, &allowed)), [("vary".to_owned(), "Origin".to_owned())], "{origins:?}");
        }
        assert_eq!(fields(&of(&[("origin", "https://app.example")], &[])), []);
    }

    #[test]
    fn a_preflight_is_told_only_what_clients_of_mcp_send() {
        let asked = "Authorization,x-user-id, MCP-Param-Region,mcp-param-,mcp-param-a b,*,cookie";
        let reply = preflight(&request(&[("access-control-request-headers", asked)]));
        let allowed = reply.headers.iter().find(|(name, _)| name == header::ACCESS_CONTROL_ALLOW_HEADERS).unwrap();
        let expected = format!("{}, mcp-param-region", REQUEST_FIELDS.join(", "));
        assert_eq!(allowed.1.to_str().unwrap(), expected);
        assert!(reply.headers.iter().all(|(name, _)| name != header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }

    #[test]
    fn an_options_request_without_an_origin_is_no_preflight() {
        let (origin, method) = (("origin", "https://app.example"), ("access-control-request-method", "POST"));
        assert!(is_preflight(&request(&[origin, method])));
        assert!(!is_preflight(&request(&[origin])));
        assert!(!is_preflight(&request(&[method])));
        assert!(!is_preflight(&request(&[origin, origin, method])));
    }
}
