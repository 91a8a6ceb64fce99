//! A request whose header was found in order: what the stages need of it, and nothing else of the wire.

use crate::pipeline::presence::Presence;
use http::{HeaderName, HeaderValue};
use portcullis_core::job::JobId;
use portcullis_core::mcp::headers::McpHeaders;
use portcullis_core::reject::Rejection;
use portcullis_core::route::Endpoint;
use rand::RngExt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Where a request wants to go.
#[derive(Debug, Clone)]
pub enum Target {
    /// To an MCP endpoint.
    Endpoint(Arc<Endpoint>),
    /// To a tool by plain REST.
    Invoke,
}

impl Target {
    /// The endpoint's name in policy, audit and metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::Endpoint(endpoint) => &endpoint.name,
            Self::Invoke => portcullis_core::route::INVOKE,
        }
    }
}

/// What is done at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A message is sent.
    Post,
    /// News are waited for, legacy.
    Get,
    /// A session is ended, legacy.
    Delete,
}

/// A request's header.
#[derive(Debug)]
pub struct Arrival {
    /// What it does.
    pub verb: Verb,
    /// Where it wants to go.
    pub target: Target,
    /// From which address it came.
    pub peer: Option<IpAddr>,
    /// All `Authorization` fields.
    pub authorization: Vec<HeaderValue>,
    /// All `Mcp-*` fields and `MCP-Protocol-Version`.
    pub mcp: Vec<(HeaderName, HeaderValue)>,
    /// `Last-Event-ID`: from where on a stream is to be taken up again, legacy.
    pub last_event: Option<HeaderValue>,
    /// All `Idempotency-Key` fields: the caller's own name for its call.
    pub idempotency_key: Vec<HeaderValue>,
    /// Whether it would rather not wait for the answer (RFC 7240 section 4.1).
    pub respond_async: bool,
    /// The job that it asks for by plain REST.
    pub job: Option<JobId>,
    /// Its ids.
    pub ids: Ids,
    /// When it arrived.
    pub at: Instant,
    /// Whether its client is still there.
    pub presence: Presence,
}

impl Arrival {
    /// What its headers say of the body.
    ///
    /// # Errors
    /// [`Rejection::HeaderMismatch`] where one is there twice or can't be read.
    pub fn mcp_headers(&self) -> Result<McpHeaders<'_>, Rejection> {
        McpHeaders::read(self.mcp.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    }

    /// `Mcp-Session-Id`, legacy; `None` where it is missing.
    ///
    /// # Errors
    /// [`Rejection::UnknownSession`] where it is there twice or no text: we gave out none like that.
    pub fn session_id(&self) -> Result<Option<&str>, Rejection> {
        let mut values = self.mcp.iter().filter(|(name, _)| name == "mcp-session-id").map(|(_, value)| value);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(only), None) => only.to_str().map(Some).map_err(|_| Rejection::UnknownSession),
            _ => Err(Rejection::UnknownSession),
        }
    }
}

/// The ids of an exchange.
#[derive(Debug, Clone)]
pub struct Ids {
    /// `X-Request-ID`, ours: a client's own could be made to collide.
    pub request: Uuid,
    /// The trace, taken over from a valid `traceparent` of the message or its header, or begun here; 32 hex digits.
    pub trace: String,
    /// The `traceparent` for the upstream.
    pub traceparent: String,
}

impl Ids {
    /// Ids for a request with these `traceparent` fields. One that is repeated, malformed or of an unknown length is not
    /// taken over (W3C Trace Context section 3.2.2; abuse case 66).
    pub fn new(traceparent: &[HeaderValue]) -> Self {
        let (trace, flags) = match traceparent {
            [only] => only.to_str().ok().and_then(parse_traceparent),
            _ => None,
        }
        .unwrap_or_else(|| (format!("{:032x}", rand::rng().random::<u128>().max(1)), "01".into()));
        Self::in_trace(Uuid::now_v7(), trace, &flags)
    }

    /// The same exchange in the trace that `traceparent` names; `None` where that is malformed.
    pub fn within(&self, traceparent: &str) -> Option<Self> {
        let (trace, flags) = parse_traceparent(traceparent)?;
        Some(Self::in_trace(self.request, trace, &flags))
    }

    fn in_trace(request: Uuid, trace: String, flags: &str) -> Self {
        let span = rand::rng().random::<u64>().max(1);
        let traceparent = format!("00-{trace}-{span:016x}-{flags}");
        Self { request, trace, traceparent }
    }
}

fn parse_traceparent(value: &str) -> Option<(String, String)> {
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    match value.split('-').collect::<Vec<_>>().as_slice() {
        ["00", trace, span, flags]
            if hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span) =>
        {
            Some(((*trace).to_owned(), (*flags).to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_over_only_when_it_is_one() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = HeaderValue::from_str(&format!("00-{trace}-00f067aa0ba902b7-00")).unwrap();
        let ids = Ids::new(std::slice::from_ref(&good));
        assert_eq!(ids.trace, trace);
        assert!(ids.traceparent.starts_with(&format!("00-{trace}-")) && ids.traceparent.ends_with("-00"));
        assert!(!ids.traceparent.contains("00f067aa0ba902b7"), "the span is ours");
        assert_ne!(Ids::new(&[good.clone(), good]).trace, trace);
        for bad in ["", "00-0-0-00", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "zz", "ff-4bf9-1-1"] {
            assert_ne!(Ids::new(&[HeaderValue::from_str(bad).unwrap()]).trace, trace);
        }
    }
}
