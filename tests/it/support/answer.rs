//! What the recording upstream answers: status, headers, and a body that comes in one of many ways. Sends nothing itself.

use serde_json::{Value, json};

/// What a server gives back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// How the body of an answer comes. In one that comes at once, `$ID` stands for the request's id and `$ARGUMENTS` for the
/// arguments of its call.
#[derive(Debug, Clone)]
pub enum Body {
    /// At once, with its length.
    Whole(Vec<u8>),
    /// In these pieces, each written by itself.
    Pieces(Vec<Vec<u8>>),
    /// In these pieces, each after a `release`.
    Gated(Vec<Vec<u8>>),
    /// The first of these pieces at once, each other after a `release`.
    Begun(Vec<Vec<u8>>),
    /// These bytes of a longer body; then the connection ends.
    Broken(Vec<u8>),
    /// At once, with its length; then the connection ends, which nothing announces.
    Parting(Vec<u8>),
    /// Nothing, not even a head: the connection ends.
    Closed,
    /// Nothing: the connection stays open for as long as the other side wants.
    Silent,
}

impl Answer {
    pub fn new(status: u16, kind: &str, body: Body) -> Self {
        Self { status, headers: vec![("content-type".into(), kind.into())], body }
    }

    /// A body of JSON, as given.
    pub fn json(text: &str) -> Self {
        Self::new(200, "application/json", Body::Whole(text.into()))
    }

    /// A result. `resultType` is added, as a modern server must.
    pub fn result(result: &Value) -> Self {
        let mut result = result.clone();
        result.as_object_mut().unwrap().entry("resultType").or_insert("complete".into());
        Self::json(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#))
    }

    /// A result with one text.
    pub fn text(text: &str) -> Self {
        Self::result(&json!({"content": [{"type": "text", "text": text}]}))
    }

    /// A stream of events with these data, cut into pieces of `size` bytes.
    pub fn events(data: &[String], size: usize) -> Self {
        let stream: String = data.iter().map(|data| format!("event: message\ndata: {data}\n\n")).collect();
        let pieces = stream.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        Self::new(200, "text/event-stream", Body::Pieces(pieces))
    }

    /// A status and no body.
    pub fn nothing(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(Vec::new()) }
    }
}

impl Body {
    /// Puts `new` in for `old`, in bodies that come at once. Those in pieces say themselves what they hold: it may be cut.
    pub fn replace(&mut self, old: &str, new: &str) {
        if let Self::Whole(body) | Self::Parting(body) | Self::Broken(body) = self
            && let Ok(text) = std::str::from_utf8(body)
        {
            *body = text.replace(old, new).into_bytes();
        }
    }
}
