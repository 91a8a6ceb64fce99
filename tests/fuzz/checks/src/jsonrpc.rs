//! Messages of clients and of upstreams: whatever we accept, others read alike; edits change what they say and nothing
//! else; nothing panics.

use crate::reader::{Members, Reading, folding, ours, plain};
use portcullis_core::catalog::Tool;
use portcullis_core::jsonrpc::{self, Answer, Frame, Kind, Limits, Span};
use portcullis_core::mcp::asked::Asked;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::headers::{McpHeaders, encode};
use portcullis_core::mcp::method::Method;
use portcullis_core::mcp::news::Said;
use portcullis_core::mcp::rewrite::{Parent, change, modernise, set_text, splice};
use portcullis_core::mcp::rounds::{Required, reply};
use portcullis_core::mcp::version::Version;
use portcullis_core::mcp::{Body, META_VERSION, classify};
use portcullis_core::reject::Era;

/// A body of either direction.
pub fn check(body: &[u8]) {
    if let Ok(frame) = jsonrpc::parse(body, &Limits::default()) {
        request(body, &frame);
    }
    if let Ok(read) = jsonrpc::answer(body, &Limits::ANSWER) {
        answer(body, &read);
    }
    let _ = Tool::read("u", body);
    let _ = Capabilities::read(body);
    let unescaped = jsonrpc::unescape(body);
    assert!(unescaped.len() <= body.len(), "an escape is never shorter than what it stands for");
    let text = String::from_utf8_lossy(body);
    assert_eq!(jsonrpc::string(&jsonrpc::quote(&text)).as_deref(), Some(&*text), "what is quoted reads as it was");
}

/// What we accept of a client, as everybody reads it.
fn request(body: &[u8], frame: &Frame) {
    let read = ours(body, frame);
    assert_eq!(plain(body).as_ref(), Some(&read), "serde_json reads otherwise");
    assert_eq!(folding(body).as_ref(), Some(&read), "a reader that folds keys reads otherwise");
    for version in [None, Some("2025-11-25"), Some("2026-07-28"), Some("2099-01-01")] {
        let odd = McpHeaders { protocol_version: version, name: Some("=?base64?YQ==?="), ..McpHeaders::default() };
        let _ = classify(body, frame, &odd);
    }
    let (version, name) = (claim(body, frame), read.name.as_deref().or(read.uri.as_deref()).map(encode));
    let named = read.method.as_deref().is_some_and(|method| Method::parse(method).named_by().is_some());
    let headers = McpHeaders {
        protocol_version: version.as_deref(),
        method: read.method.as_deref(),
        name: name.as_deref().filter(|_| named),
        params: Vec::new(),
    };
    let Ok(message) = classify(body, frame, &headers) else { return };
    assert_eq!(message.id.map(|id| id.of(body)), read.id.as_deref().map(str::as_bytes));
    if let Body::Ask(asked) = &message.body {
        ask(body, asked, &read);
    }
    if message.era == Era::Legacy && frame.kind == Kind::Request {
        modern(body, frame, &read);
    }
}

fn claim(body: &[u8], frame: &Frame) -> Option<String> {
    let claim = frame.meta.as_ref()?.value(META_VERSION)?;
    jsonrpc::string(claim.of(body)).map(|claim| claim.into_owned())
}

/// A call: it is the one that others read, and renaming it changes its name and not a byte more.
fn ask(body: &[u8], asked: &Asked, read: &Reading) {
    let arguments = asked.arguments.map(|span| span.of(body));
    assert_eq!(jsonrpc::string(asked.name_span.of(body)).as_deref(), Some(asked.name.as_str()));
    if asked.completes {
        return;
    }
    assert_eq!(arguments, read.arguments.as_deref().map(str::as_bytes));
    assert!([&read.name, &read.uri].contains(&&Some(asked.name.clone())));
    let renamed = splice(body, vec![set_text(asked.name_span, "other\"\\\n\u{e9}")]);
    let Span { start, end } = asked.name_span;
    assert!(renamed.starts_with(&body[..start]) && renamed.ends_with(&body[end..]), "an edit moved other bytes");
    let new = plain(&renamed).expect("a renamed call is JSON");
    let now = new.name.clone().filter(|_| new.name != read.name).or(new.uri.clone());
    assert_eq!(now.as_deref(), Some("other\"\\\n\u{e9}"));
    assert_eq!((&new.method, &new.id, &new.arguments), (&read.method, &read.id, &read.arguments));
}

/// The trace that a call is part of (W3C Trace Context).
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An older request that becomes a modern one says what it said.
fn modern(body: &[u8], frame: &Frame, read: &Reading) {
    let edited = splice(
        body,
        modernise(frame, br#"{"name":"p","version":"1"}"#, b"{}", None, Parent { traceparent: TRACE, alone: true }),
    );
    assert_eq!(plain(&edited).as_ref(), Some(read), "an edit changed what is asked");
    let root = Members::read(&edited).expect("it is JSON");
    let params = root.raw("params").and_then(|params| Members::read(params.as_bytes())).expect("it has parameters");
    let meta = params.raw("_meta").and_then(|meta| Members::read(meta.as_bytes())).expect("they have _meta");
    assert_eq!(meta.raw(META_VERSION), Some(format!("\"{}\"", Version::LATEST.as_str()).as_str()));
    let before = frame.params.as_ref().map_or(0, |params| params.members.len());
    assert_eq!(params.count(), before + usize::from(frame.meta.is_none()));
    if let Some(object) = &frame.params {
        let edited = splice(body, change(object, &[("added", b"1")], &["name", "_meta"]));
        let new = plain(&edited).expect("what members were taken from is JSON");
        assert_eq!((&new.name, &new.uri, &new.arguments), (&None, &read.uri, &read.arguments));
    }
}

/// What we accept of an upstream, as everybody reads it.
fn answer(body: &[u8], read: &Answer) {
    let members = Members::read(body).expect("serde_json refuses what we accept");
    let raw = |span: &Span| std::str::from_utf8(span.of(body)).ok();
    match read {
        Answer::Result { id, result, .. } => {
            assert_eq!((members.raw("id"), members.raw("result")), (raw(id), raw(&result.span)));
            let _ = Required::read(body);
        }
        Answer::Error { id, error } => {
            let theirs = members.raw("id").filter(|id| *id != "null");
            assert_eq!((theirs, members.raw("error")), (id.as_ref().and_then(raw), raw(&error.span)));
        }
        Answer::Notification { method, params } | Answer::Request { method, params, .. } => {
            let theirs = members.raw("method").and_then(|method| serde_json::from_str::<String>(method).ok());
            assert_eq!(theirs.as_deref(), Some(method.as_str()));
            assert_eq!(members.raw("params"), params.as_ref().and_then(|params| raw(&params.span)));
        }
    }
    let _ = (Said::read(read, body), reply(body));
}
