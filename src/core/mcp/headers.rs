//! The headers that repeat parts of the body, and how a value is written in one (MCP 2026-07-28 "Standard Request
//! Headers", "Value Encoding").
//!
//! Nothing is decided on them: they are compared with the body and then forgotten.

use crate::jsonrpc::string;
use crate::reject::Rejection;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

const PARAM_PREFIX: &str = "mcp-param-";
const BASE64_START: &str = "=?base64?";
const BASE64_END: &str = "?=";

/// What the request's header says of its body, each at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpHeaders<'a> {
    /// `MCP-Protocol-Version`.
    pub protocol_version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`, still encoded.
    pub name: Option<&'a str>,
    /// `Mcp-Param-*`: what follows the prefix, in lower case, and the value, still encoded.
    pub params: Vec<(String, &'a str)>,
}

impl<'a> McpHeaders<'a> {
    /// From the header lines of a request; lines of other names are passed over.
    ///
    /// # Errors
    /// [`Rejection::HeaderMismatch`] where a line is there twice, is not printable ASCII, or is a list where there can
    /// be none: what one reader takes the first of, another takes the last of.
    pub fn read(lines: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Rejection> {
        let mut headers = Self::default();
        for (name, value) in lines {
            let name = name.to_ascii_lowercase();
            let twice = match name.as_str() {
                "mcp-protocol-version" => headers.protocol_version.replace(single(value)?).is_some(),
                "mcp-method" => headers.method.replace(single(value)?).is_some(),
                "mcp-name" => headers.name.replace(printable(value)?).is_some(),
                other => match other.strip_prefix(PARAM_PREFIX) {
                    Some(param) => headers.add_param(param, printable(value)?),
                    None => false,
                },
            };
            if twice {
                return Err(Rejection::HeaderMismatch("a header is there twice"));
            }
        }
        Ok(headers)
    }

    /// Whether it was there before.
    fn add_param(&mut self, param: &str, value: &'a str) -> bool {
        let twice = self.params.iter().any(|(name, _)| name == param);
        self.params.push((param.to_owned(), value));
        twice
    }

    /// Compares `Mcp-Param-{name}` with the argument that it repeats: `argument` is its raw JSON, `None` where it is
    /// absent. An argument that is `null` counts as absent.
    ///
    /// # Errors
    /// [`Rejection::HeaderMismatch`] where they differ, or one is there without the other.
    pub fn check_param(&self, name: &str, argument: Option<&[u8]>) -> Result<(), Rejection> {
        let header = self.params.iter().find(|(param, _)| param.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        match (header, argument.filter(|raw| *raw != b"null")) {
            (None, None) => Ok(()),
            (Some(header), Some(raw)) if says(&decode(header)?, raw) => Ok(()),
            _ => Err(Rejection::HeaderMismatch("Mcp-Param differs from the argument")),
        }
    }
}

/// The text that a header's value stands for.
///
/// # Errors
/// [`Rejection::HeaderMismatch`] where it is marked as base64 and is not canonical base64 (RFC 4648 section 3.5) of
/// UTF-8.
pub fn decode(value: &str) -> Result<Cow<'_, str>, Rejection> {
    let Some(encoded) = sentinel(value) else { return Ok(Cow::Borrowed(value)) };
    let bytes = STANDARD.decode(encoded).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Cow::Owned).ok_or(Rejection::HeaderMismatch("a value is not canonical base64 of UTF-8"))
}

/// `text` as a header's value: as it is where that is unambiguous, else as base64.
pub fn encode(text: &str) -> Cow<'_, str> {
    let edges = text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']);
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !edges && sentinel(text).is_none();
    if plain && !text.is_empty() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{BASE64_START}{}{BASE64_END}", STANDARD.encode(text)))
    }
}

fn sentinel(value: &str) -> Option<&str> {
    value.strip_prefix(BASE64_START)?.strip_suffix(BASE64_END)
}

/// A header value of one token: lists are refused, as one reader would take their first element and one their last.
fn single(value: &[u8]) -> Result<&str, Rejection> {
    let value = printable(value)?;
    if value.contains([',', ' ', '\t']) { Err(Rejection::HeaderMismatch("a header is a list")) } else { Ok(value) }
}

/// Blanks around a value are not part of it (RFC 9110 section 5.5).
fn printable(value: &[u8]) -> Result<&str, Rejection> {
    let text =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
    text.map(|text| text.trim_matches([' ', '\t'])).ok_or(Rejection::HeaderMismatch("a value is not printable ASCII"))
}

/// Whether `header` says what the JSON scalar `raw` says.
fn says(header: &str, raw: &[u8]) -> bool {
    match string(raw) {
        Some(text) => text == header,
        None if header.as_bytes() == raw => raw.first().is_some_and(|byte| !matches!(byte, b'{' | b'[')),
        None => std::str::from_utf8(raw).ok().and_then(integer).is_some_and(|number| integer(header) == Some(number)),
    }
}

/// The integer that `text` writes, a fraction of zeros allowed. No floating point: it would make neighbours equal.
fn integer(text: &str) -> Option<i128> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok())?
}

#[cfg(test)]
mod tests;
