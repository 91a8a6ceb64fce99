//! Keys that a lenient parser would take for a key of the protocol.
//!
//! Parsers that match keys without regard to case fold by Unicode, so that `paramſ` (U+017F) and `toKen` with a Kelvin
//! sign (U+212A) match too; parsers that end strings at NUL see `method` in `method\0x`.

/// Keys of the envelope (JSON-RPC 2.0).
pub(super) const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

/// Keys of `params` over all methods of MCP, of both eras.
pub(super) const PARAMS: &[&str] = &[
    "_meta",
    "name",
    "arguments",
    "uri",
    "cursor",
    "task",
    "taskId",
    "inputResponses",
    "requestState",
    "protocolVersion",
    "clientInfo",
    "capabilities",
    "level",
    "ref",
    "argument",
    "context",
    "notifications",
    "requestId",
    "reason",
    "progressToken",
    "progress",
    "total",
    "message",
];

/// Keys of `_meta` that MCP defines.
pub(super) const META: &[&str] = &[
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/subscriptionId",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/related-task",
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
];

/// Keys of `result` that decide how an answer is filtered.
pub(super) const RESULT: &[&str] = &[
    "_meta",
    "content",
    "structuredContent",
    "isError",
    "resultType",
    "tools",
    "nextCursor",
    "inputRequests",
    "requestState",
    "capabilities",
    "instructions",
];

/// Whether `key` is not one of `names`, yet becomes one when folded.
pub(super) fn is(key: &str, names: &[&str]) -> bool {
    if names.contains(&key) {
        return false;
    }
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return names.iter().any(|name| name.eq_ignore_ascii_case(key));
    }
    let folded = fold(key);
    names.iter().any(|name| name.eq_ignore_ascii_case(&folded))
}

/// Upper then lower case folds what either alone leaves (`ſ`, `ı`); what is invisible or ends a C string goes.
fn fold(key: &str) -> String {
    let until_nul = key.split('\0').next().unwrap_or_default();
    until_nul
        .chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(|c| !c.is_control() && !c.is_whitespace() && !is_invisible(*c))
        .collect()
}

/// The dot that lower-casing `İ` leaves, the soft hyphen, zero-width signs and the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{307}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}
