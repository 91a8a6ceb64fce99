//! What a client is answered: the gateway's own answers, and the head of every other.
//!
//! No header of an upstream's answer reaches a client: what is sent is written here, so that an upstream can set no
//! cookie, no identity and no framing.

use crate::pipeline::reply::Reply;
use crate::server::cors::Cors;
use http::{HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;

/// What the head of each answer to a request says.
#[derive(Debug, Clone)]
pub struct Head {
    /// `X-Request-ID`.
    pub request_id: HeaderValue,
    /// `X-Trace-Id`.
    pub trace_id: HeaderValue,
    /// Whether the client speaks HTTP/1.1, in which a body of unknown length must be chunked.
    pub http1: bool,
    /// Which pages of a browser may read it.
    pub cors: Cors,
}

impl Head {
    /// The same in the trace with this id.
    pub fn in_trace(mut self, trace: &str) -> Self {
        if let Ok(trace) = HeaderValue::from_str(trace) {
            self.trace_id = trace;
        }
        self
    }

    /// The head of a complete answer.
    pub fn whole(&self, reply: &Reply) -> ResponseHeader {
        let mut head = self.base(reply.status);
        for (name, value) in &reply.headers {
            append(&mut head, name.clone(), value.clone());
        }
        // RFC 9110 section 8.6: not with a status that has no content.
        if reply.status != 204 {
            append(&mut head, header::CONTENT_LENGTH, reply.body.len().into());
        }
        head
    }

    /// The head of a stream of events (MCP 2026-07-28 "Streamable HTTP": proxies must neither store nor collect it).
    pub fn events(&self) -> ResponseHeader {
        let mut head = self.base(200);
        append(&mut head, header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        append(&mut head, header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        append(&mut head, HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        if self.http1 {
            append(&mut head, header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        head
    }

    fn base(&self, status: u16) -> ResponseHeader {
        let (parts, ()) = http::Response::new(()).into_parts();
        let mut head = ResponseHeader::from(parts);
        if head.set_status(status).is_err() {
            tracing::error!(status, "a status that is none was meant to be sent");
        }
        append(&mut head, HeaderName::from_static("x-request-id"), self.request_id.clone());
        append(&mut head, HeaderName::from_static("x-trace-id"), self.trace_id.clone());
        for (name, value) in self.cors.fields() {
            append(&mut head, name, value);
        }
        head
    }
}

fn append(head: &mut ResponseHeader, name: HeaderName, value: HeaderValue) {
    if head.append_header(name, value).is_err() {
        tracing::error!("an answer has too many headers");
    }
}
