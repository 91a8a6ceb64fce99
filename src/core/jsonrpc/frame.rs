//! The envelope of a message from a client.

use super::scan::{Found, Watch, scan};
use super::{Limits, Object, Span, lookalike, text};
use crate::reject::Rejection;

/// The longest name of a method, in bytes. MCP's longest is under 50.
const METHOD_BYTES: usize = 256;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has a method and an id: it wants an answer.
    Request,
    /// It has a method and no id.
    Notification,
    /// It has a result or an error.
    Response,
}

/// A message whose envelope is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The whole object, without blanks around it.
    pub span: Span,
    /// The id as written: a string of at most [`Limits::id_bytes`] or an integer of at most 20 digits.
    pub id: Option<Span>,
    /// The method; empty in a response.
    pub method: String,
    /// `params`, always an object.
    pub params: Option<Object>,
    /// `params._meta`, always an object.
    pub meta: Option<Object>,
}

/// Reads a message of a client.
///
/// # Errors
/// [`Rejection::ParseError`] where `body` is not JSON, [`Rejection::InvalidRequest`] where it is no message or can be
/// read in more than one way, [`Rejection::InvalidParams`] where `params` or `_meta` is no object.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Frame, Rejection> {
    let found = scan(body, limits, &Watch { child: &["params"], grandchild: "_meta" })?;
    let Found { whole, root: Some(root), child: params, grandchild: meta } = found else {
        return Err(Rejection::InvalidRequest(no_object(found.whole.of(body))));
    };
    check_keys(&root, params.as_ref(), meta.as_ref())?;
    check_version(body, &root)?;
    let kind = kind(&root)?;
    let id = match root.value("id") {
        Some(id) if kind == Kind::Response && id.of(body) == b"null" => None,
        Some(id) => Some(check_id(id.of(body), limits).map(|()| id)?),
        None => None,
    };
    let method = match root.value("method") {
        Some(method) => read_method(method.of(body))?,
        None => String::new(),
    };
    if root.value("params").is_some() && params.is_none() {
        return Err(Rejection::InvalidParams("params must be an object".into()));
    }
    if params.as_ref().is_some_and(|params| params.value("_meta").is_some()) && meta.is_none() {
        return Err(Rejection::InvalidParams("_meta must be an object".into()));
    }
    Ok(Frame { kind, span: whole, id, method, params, meta })
}

fn no_object(whole: &[u8]) -> &'static str {
    if whole.starts_with(b"[") { "a batch is not accepted; send one message" } else { "the body must be an object" }
}

fn check_keys(root: &Object, params: Option<&Object>, meta: Option<&Object>) -> Result<(), Rejection> {
    let folds = root.has_lookalike(lookalike::ENVELOPE)
        || params.is_some_and(|params| params.has_lookalike(lookalike::PARAMS))
        || meta.is_some_and(|meta| meta.has_lookalike(lookalike::META));
    if folds { Err(Rejection::InvalidRequest("a key differs from one of the protocol by case alone")) } else { Ok(()) }
}

pub(super) fn check_version(body: &[u8], root: &Object) -> Result<(), Rejection> {
    let version = root.value("jsonrpc").and_then(|version| text::string(version.of(body)));
    if version.as_deref() == Some("2.0") { Ok(()) } else { Err(Rejection::InvalidRequest("jsonrpc must be \"2.0\"")) }
}

/// What the members say that the message is.
pub(super) fn kind(root: &Object) -> Result<Kind, Rejection> {
    let has = |key| root.value(key).is_some();
    match (has("method"), has("result"), has("error")) {
        (true, false, false) if has("id") => Ok(Kind::Request),
        (true, false, false) => Ok(Kind::Notification),
        (false, true, false) | (false, false, true) if !has("params") => Ok(Kind::Response),
        (false, false, false) => Err(Rejection::InvalidRequest("method is missing")),
        _ => Err(Rejection::InvalidRequest("a message is either a request or a response")),
    }
}

/// MCP 2026-07-28 "Requests": a string or an integer, never null.
pub(super) fn check_id(raw: &[u8], limits: &Limits) -> Result<(), Rejection> {
    let sound = match text::string(raw) {
        Some(id) => id.len() <= limits.id_bytes,
        None => {
            let digits = raw.strip_prefix(b"-").unwrap_or(raw);
            digits.len() <= 20 && digits.iter().all(u8::is_ascii_digit)
        }
    };
    if sound { Ok(()) } else { Err(Rejection::InvalidRequest("id must be a short string or an integer")) }
}

pub(super) fn read_method(raw: &[u8]) -> Result<String, Rejection> {
    match text::string(raw) {
        Some(method) if (1..=METHOD_BYTES).contains(&method.len()) && !method.contains(char::is_control) => {
            Ok(method.into_owned())
        }
        _ => Err(Rejection::InvalidRequest("method must be a short string without control characters")),
    }
}
