//! What an upstream answered, read whole, and the message in it.

use bytes::Bytes;
use http::HeaderMap;
use portcullis_core::jsonrpc;
use portcullis_core::mcp::sse;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The response to the request with the raw id `id`, from a body of JSON or of events; its bytes. What comes with
    /// another status than 200 is none, whatever it says.
    pub fn response(&self, id: &[u8]) -> Option<Vec<u8>> {
        if self.status != 200 {
            return None;
        }
        let streamed = self.headers.get(http::header::CONTENT_TYPE);
        if !streamed.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return is_response(&self.body, id).then(|| self.body.to_vec());
        }
        let mut events = Vec::new();
        sse::Parser::new(self.body.len().max(1)).push(&self.body, &mut events).ok()?;
        let mut messages = events.into_iter().filter_map(|event| event.data).map(String::into_bytes);
        messages.find(|data| is_response(data, id))
    }
}

fn is_response(body: &[u8], id: &[u8]) -> bool {
    let ours = |given: jsonrpc::Span| jsonrpc::same_id(given.of(body), id);
    match jsonrpc::answer(body, &jsonrpc::Limits::ANSWER) {
        Ok(jsonrpc::Answer::Result { id, .. }) => ours(id),
        Ok(jsonrpc::Answer::Error { id, .. }) => id.is_none_or(ours),
        _ => false,
    }
}
