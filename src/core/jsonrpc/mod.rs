//! JSON-RPC 2.0 as MCP speaks it, read so that nobody behind us can read it otherwise.
//!
//! One pass proves the whole text and remembers where the parts that matter lie; no value is built, so numbers, ids and
//! everything else stay the sender's bytes. Whatever two parsers could read differently is refused: duplicate keys,
//! keys that differ from a protocol key by letter case alone, batches, odd ids. What a message means to MCP is decided
//! in `mcp`, not here.

mod answer;
mod frame;
mod lookalike;
mod scan;
mod text;

#[cfg(test)]
mod tests;

pub use answer::{Answer, answer};
pub use frame::{Frame, Kind, parse};
pub use text::{object, quote, same_id, string, unescape};

use crate::reject::Rejection;

/// How large a message may be in other ways than its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Objects and arrays that may be open at once.
    pub depth: usize,
    /// Values of any kind in the whole text, containers too.
    pub nodes: usize,
    /// Bytes of a key, unescaped.
    pub key_bytes: usize,
    /// Bytes of an id that is a string, unescaped.
    pub id_bytes: usize,
}

impl Default for Limits {
    /// For requests of clients.
    fn default() -> Self {
        Self { depth: 64, nodes: 10_000, key_bytes: 256, id_bytes: 256 }
    }
}

impl Limits {
    /// For answers of upstreams, which carry documents.
    pub const ANSWER: Self = Self { depth: 128, nodes: 1_000_000, key_bytes: 65_536, id_bytes: 256 };
}

/// A stretch of a text, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The bytes it covers; none where it does not fit `body`.
    pub fn of<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The key, unescaped.
    pub key: String,
    /// The key as written, with its quotes.
    pub name: Span,
    /// The value as written.
    pub value: Span,
}

/// An object whose members are known; their order is that of the text, and no key is there twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// From `{` to `}`.
    pub span: Span,
    /// Its members.
    pub members: Vec<Member>,
}

impl Object {
    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<Span> {
        self.members.iter().find(|member| member.key == key).map(|member| member.value)
    }

    /// Whether a key is one of `names` but for the case of its letters, and so one of them to a lenient parser
    /// (CVE-2026-27896).
    pub fn has_lookalike(&self, names: &[&str]) -> bool {
        self.members.iter().any(|member| lookalike::is(&member.key, names))
    }
}

/// Proves `body` to be one JSON text within `limits`; gives the members of the object that it is, `None` where it is
/// something else.
///
/// # Errors
/// [`Rejection::ParseError`] where it is not JSON, [`Rejection::InvalidRequest`] where it can be read in more than one
/// way or passes a limit.
pub fn parse_value(body: &[u8], limits: &Limits) -> Result<Option<Object>, Rejection> {
    Ok(scan::scan(body, limits, &scan::Watch::ROOT)?.root)
}
