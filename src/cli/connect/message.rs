//! What a message says: the client's, read as strictly as the gateway reads it, and the server's, read leniently, since it
//! may be any server's. Neither is changed here, but that a message for the client is made to fit on a line.

use bytes::Bytes;
use portcullis_core::jsonrpc::{self, Frame, Limits};
use portcullis_core::mcp::META_VERSION;
use portcullis_core::reject::Rejection;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A message of the client.
#[derive(Debug, Clone)]
pub struct Message {
    /// As it came.
    pub body: Bytes,
    /// Its envelope.
    pub frame: Frame,
}

/// A line that is no message.
#[derive(Debug)]
pub struct Unreadable {
    /// The id that an answer has to have; `None` where it needs none, as nobody waits for it.
    pub id: Option<Bytes>,
    /// What is wrong with it.
    pub rejection: Rejection,
}

impl Message {
    /// Reads a line.
    ///
    /// # Errors
    /// Why it is no message, and whom to tell.
    pub fn read(body: Bytes) -> Result<Self, Unreadable> {
        match jsonrpc::parse(&body, &Limits::ANSWER) {
            Ok(frame) => Ok(Self { body, frame }),
            Err(rejection) => Err(Unreadable { id: whom_to_tell(&body), rejection }),
        }
    }

    /// Its id as written.
    pub fn id(&self) -> Option<&[u8]> {
        self.frame.id.map(|id| id.of(&self.body))
    }

    /// The raw value of a parameter.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.frame.params.as_ref()?.value(name).map(|value| value.of(&self.body))
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        jsonrpc::string(self.param(name)?)
    }

    /// A raw value of `_meta`.
    pub fn meta(&self, key: &str) -> Option<&[u8]> {
        self.frame.meta.as_ref()?.value(key).map(|value| value.of(&self.body))
    }

    /// The revision that its body names, which makes it modern.
    pub fn revision(&self) -> Option<Cow<'_, str>> {
        self.meta(META_VERSION).and_then(jsonrpc::string)
    }
}

/// JSON-RPC 2.0 section 5: the id is null where it could not be read. A notification has nobody to tell.
fn whom_to_tell(body: &[u8]) -> Option<Bytes> {
    match serde_json::from_slice::<Shape<'_>>(body) {
        Ok(Shape { id: Some(id), .. }) if is_id(id) => Some(Bytes::copy_from_slice(id.get().as_bytes())),
        Ok(Shape { id: None, method: Some(_), .. }) => None,
        _ => Some(Bytes::from_static(b"null")),
    }
}

fn is_id(raw: &RawValue) -> bool {
    matches!(raw.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'))
}

/// What identifies a request: the same for each way to write its id.
pub fn key(id: &[u8]) -> Vec<u8> {
    match jsonrpc::string(id) {
        Some(text) => [b"\"", text.as_bytes()].concat(),
        None => id.to_vec(),
    }
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A message of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The response to the request in question.
    Response(Bytes),
    /// A response to something else.
    Stray,
    /// A request or a notification.
    Other(Bytes),
}

/// Reads a message of the server on the stream of the request with the raw id `id`, as one line. `None` where it is none.
pub fn incoming(body: &[u8], id: Option<&[u8]>) -> Option<Incoming> {
    let shape: Shape<'_> = serde_json::from_slice(body).ok()?;
    if shape.method.is_some() {
        return Some(Incoming::Other(one_line(body)));
    }
    let (given, wanted) = (shape.id.map(|id| id.get().as_bytes()), id);
    match (given, wanted) {
        _ if shape.result.is_none() && shape.error.is_none() => None,
        (Some(given), Some(wanted)) if jsonrpc::same_id(given, wanted) => Some(Incoming::Response(one_line(body))),
        // An error without an id is about the only request that this exchange carries.
        (None, Some(wanted)) => Some(Incoming::Response(response(wanted, "error", shape.error?.get().as_bytes()))),
        _ => Some(Incoming::Stray),
    }
}

/// A response to the request with the raw id `id`.
pub fn response(id: &[u8], member: &str, value: &[u8]) -> Bytes {
    let parts = [&b"{\"jsonrpc\":\"2.0\",\"id\":"[..], id, b",\"", member.as_bytes(), b"\":", value, b"}"];
    one_line(&parts.concat())
}

/// JSON has line ends between its tokens alone, where a blank is as good.
fn one_line(json: &[u8]) -> Bytes {
    json.trim_ascii().iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

/// The `result` or `error` of the response `line`.
pub struct Outcome<'a> {
    /// `result`.
    pub result: Option<&'a [u8]>,
    /// `error`.
    pub error: Option<RpcError<'a>>,
}

/// An error of JSON-RPC.
#[derive(Deserialize)]
pub struct RpcError<'a> {
    /// Its code.
    pub code: i64,
    /// What it says.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// More about it.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

/// What the response `line` says.
pub fn outcome(line: &[u8]) -> Outcome<'_> {
    match serde_json::from_slice::<Shape<'_>>(line) {
        Ok(shape) => Outcome {
            result: shape.result.map(|result| result.get().as_bytes()),
            error: shape.error.and_then(|error| serde_json::from_str(error.get()).ok()),
        },
        Err(_) => Outcome { result: None, error: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_an_answer_is_told_that_the_line_is_no_message() {
        for (line, expected) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"a","params":[]}"#, Some("7")),
            (r#"{"jsonrpc":"1.0","id":"x\u0041","method":"a"}"#, Some(r#""x\u0041""#)),
            (r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#, Some("null")),
            (r#"{"jsonrpc":"2.0","method":"a","params":[]}"#, None),
            ("[]", Some("null")),
            ("{", Some("null")),
        ] {
            let unreadable = Message::read(line.into()).unwrap_err();
            assert_eq!(unreadable.id.as_deref(), expected.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn an_answer_fits_on_a_line_and_has_the_id_of_its_request() {
        let pretty = b"{\n  \"jsonrpc\": \"2.0\",\r\n  \"result\": {\"text\": \"a\\nb\"},\n  \"id\": 1\n}\n";
        let Some(Incoming::Response(line)) = incoming(pretty, Some(b"1")) else { panic!("no response") };
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        assert_eq!(outcome(&line).result, Some(&br#"{"text": "a\nb"}"#[..]));
        assert_eq!(incoming(pretty, Some(b"\"1\"")), Some(Incoming::Stray));
        assert_eq!(incoming(pretty, None), Some(Incoming::Stray));
        let nobody = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#;
        let Some(Incoming::Response(line)) = incoming(nobody, Some(b"\"a\"")) else { panic!("no response") };
        assert_eq!(&line[..], br#"{"jsonrpc":"2.0","id":"a","error":{"code":-32600,"message":"no"}}"#);
        assert_eq!(incoming(b"{}", Some(b"1")), None);
        assert_eq!(incoming(b"<html>", Some(b"1")), None);
        assert!(matches!(incoming(br#"{"method":"ping","id":1}"#, Some(b"1")), Some(Incoming::Other(_))));
    }

    #[test]
    fn an_id_is_the_same_however_it_is_written() {
        assert_eq!(key(br#""\u0061""#), key(br#""a""#));
        assert_ne!(key(b"\"1\""), key(b"1"));
    }
}
