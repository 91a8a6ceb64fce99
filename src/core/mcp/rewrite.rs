//! Edits of a message that leave every other byte as it was, and the few messages that we write ourselves.

use super::version::Version;
use super::{META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION};
use crate::jsonrpc::{Frame, Object, Span, object, quote};
use crate::reject::Era;

/// The key of `_meta` that names the span which a request is part of (SEP-414), as the header of that name does.
pub const TRACEPARENT: &str = "traceparent";

/// `body` with each span replaced by the bytes beside it. What no span covers stays; what a span covers never does, also
/// where spans overlap (then all replacements are written, in the order of their starts).
pub fn splice(body: &[u8], mut edits: Vec<(Span, Vec<u8>)>) -> Vec<u8> {
    edits.sort_by_key(|(span, _)| span.start);
    let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut at = 0;
    for (span, with) in edits {
        out.extend_from_slice(body.get(at..span.start.min(body.len())).unwrap_or_default());
        out.extend_from_slice(&with);
        at = at.max(span.start).max(span.end).min(body.len());
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out
}

/// The edits that give `object` each member of `set` (raw JSON values; an existing value is replaced, a new member comes
/// first) and take each member of `remove` from it.
pub fn change(object: &Object, set: &[(&str, &[u8])], remove: &[&str]) -> Vec<(Span, Vec<u8>)> {
    let mut edits = removals(object, remove);
    let stays = object.members.iter().any(|member| !remove.contains(&member.key.as_str()));
    let mut new = Vec::new();
    for (key, value) in set {
        match object.value(key).filter(|_| !remove.contains(key)) {
            Some(span) => edits.push((span, value.to_vec())),
            None => new.push([&quote(key), &b":"[..], value].concat()),
        }
    }
    if !new.is_empty() {
        let mut text = new.join(&b","[..]);
        if stays {
            text.push(b',');
        }
        let start = object.span.start + 1;
        edits.insert(0, (Span { start, end: start }, text));
    }
    edits
}

/// What of a trace's context stays on this side: the state that other systems keep in it, and what the client's services
/// tell each other (W3C Baggage section 5, "Privacy Considerations": it is not for third parties).
const CONTEXT: [&str; 2] = ["tracestate", "baggage"];

/// Our own span, which a request goes on as part of.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// As the header `traceparent` names it.
    pub traceparent: &'a str,
    /// Whether no header goes on, so that the message must name it.
    pub alone: bool,
}

/// The same for the `_meta` of a request that goes on as part of `parent`: where it names a span (SEP-414), or must, it is
/// that.
pub fn change_meta(meta: &Object, set: &[(&str, &[u8])], remove: &[&str], parent: Parent<'_>) -> Vec<(Span, Vec<u8>)> {
    let named = parent.alone || meta.value(TRACEPARENT).is_some();
    let parent = quote(parent.traceparent);
    let named = named.then_some((TRACEPARENT, parent.as_slice()));
    let set: Vec<_> = set.iter().copied().chain(named).collect();
    change(meta, &set, &[remove, &CONTEXT].concat())
}

/// The edits for a request that stays in its revision and goes on as part of `parent`: as [`change_meta`] says, also where
/// it has no `_meta`.
pub fn name_parent(frame: &Frame, parent: Parent<'_>) -> Vec<(Span, Vec<u8>)> {
    match (&frame.meta, &frame.params) {
        (Some(meta), _) => change_meta(meta, &[], &[], parent),
        (None, Some(params)) if parent.alone => {
            change(params, &[("_meta", &object(&[(TRACEPARENT, &quote(parent.traceparent))]))], &[])
        }
        _ => Vec::new(),
    }
}

/// A member goes with the comma before it, or, where nothing stays before it, with the one after it.
fn removals(object: &Object, remove: &[&str]) -> Vec<(Span, Vec<u8>)> {
    let mut edits = Vec::new();
    let mut last_end = None;
    let mut stays_before = false;
    for (position, member) in object.members.iter().enumerate() {
        if !remove.contains(&member.key.as_str()) {
            stays_before = true;
        } else {
            let next = object.members.get(position + 1).map(|next| next.name.start);
            let span = match last_end.filter(|_| stays_before) {
                Some(start) => Span { start, end: member.value.end },
                None => Span { start: member.name.start, end: next.unwrap_or(member.value.end) },
            };
            edits.push((span, Vec::new()));
        }
        last_end = Some(member.value.end);
    }
    edits
}

/// The edit that gives the string at `span` (a tool's name, an id) the text `text`.
pub fn set_text(span: Span, text: &str) -> (Span, Vec<u8>) {
    (span, quote(text))
}

/// The edits that make a legacy request one of [`Version::LATEST`]: `_meta` names the revision, the client (`client_info`
/// is a raw JSON object), what it can be asked for (`capabilities`, the same) and from which level on it wants log
/// messages. The trace context becomes `parent`, as [`change_meta`] says. Other keys of `_meta` stay, such as the
/// progress token.
pub fn modernise(
    frame: &Frame,
    client_info: &[u8],
    capabilities: &[u8],
    level: Option<&str>,
    parent: Parent<'_>,
) -> Vec<(Span, Vec<u8>)> {
    let (version, level) = (quote(Version::LATEST.as_str()), level.map(quote));
    let mut set: Vec<(&str, &[u8])> =
        vec![(META_VERSION, &version), (META_CLIENT, client_info), (META_CAPABILITIES, capabilities)];
    set.extend(level.as_deref().map(|level| (META_LOG_LEVEL, level)));
    if let Some(meta) = &frame.meta {
        return change_meta(meta, &set, &[], parent);
    }
    let span = quote(parent.traceparent);
    set.extend(parent.alone.then_some((TRACEPARENT, span.as_slice())));
    let meta = object(&set);
    if let Some(params) = &frame.params {
        return change(params, &[("_meta", &meta)], &[]);
    }
    let end = frame.span.end.saturating_sub(1);
    vec![(Span { start: end, end }, [b",\"params\":", &object(&[("_meta", &meta)])[..]].concat())]
}

/// A request of our own: `id` and the values of `params` are raw JSON. A modern one gets its `_meta`, so `params` must
/// not hold one.
pub fn request(id: &[u8], method: &str, params: &[(&str, &[u8])], version: Version, client_info: &[u8]) -> Vec<u8> {
    request_of(id, method, params, version, (client_info, b"{}"))
}

/// The same of somebody who can do more: `client` is what they say of themselves, and what they can be asked for, both raw
/// JSON.
pub fn request_of(
    id: &[u8],
    method: &str,
    params: &[(&str, &[u8])],
    version: Version,
    client: (&[u8], &[u8]),
) -> Vec<u8> {
    let name = quote(version.as_str());
    let meta = object(&[(META_VERSION, &name), (META_CLIENT, client.0), (META_CAPABILITIES, client.1)]);
    let mut members = params.to_vec();
    if version.era() == Era::Modern {
        members.push(("_meta", &meta));
    }
    let params = object(&members);
    object(&[("jsonrpc", b"\"2.0\""), ("id", id), ("method", &quote(method)), ("params", &params)])
}

/// The notification that takes the request with the raw id `id` back, legacy (MCP 2025-11-25 "Cancellation").
pub fn cancellation(id: &[u8]) -> Vec<u8> {
    let params = object(&[("requestId", id), ("reason", b"\"nobody waits for it any more\"")]);
    object(&[("jsonrpc", b"\"2.0\""), ("method", b"\"notifications/cancelled\""), ("params", &params)])
}

/// A `tools/call` of our own: `id` and `arguments` are raw JSON, `arguments` an object.
pub fn tools_call_request(id: &[u8], name: &str, arguments: &[u8], version: Version, client_info: &[u8]) -> Vec<u8> {
    request(id, "tools/call", &[("name", &quote(name)), ("arguments", arguments)], version, client_info)
}

#[cfg(test)]
mod tests;
