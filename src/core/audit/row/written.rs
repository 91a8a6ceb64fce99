//! Takes the form that is hashed out of a line of an export without making the row's values: whoever checks an export does
//! little else, millions of times. Only lines are taken that say what they say as `Stored::json_line` does; of any other
//! line, which may say the same in other words, `line` makes the values.

use super::COLUMNS;
use crate::audit::chain::Hash;
use memchr::memchr2;

/// A row, as far as a check needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<'line> {
    /// What it says is its place.
    pub seq: i64,
    /// What it says is its journal.
    pub instance: &'line str,
    /// What it says is its hash.
    pub hash: Hash,
}

/// The row in `line`, whose form is put behind what `form` holds; `None` where the line is not written as ours are.
pub(super) fn read<'line>(line: &'line str, form: &mut Vec<u8>) -> Option<Written<'line>> {
    // No byte of a value is below U+0020: it would be escaped.
    if line.bytes().fold(false, |found, byte| found | (byte < b' ')) {
        return None;
    }
    let mut rest = line;
    let (mut seq, mut instance) = (None, None);
    for (at, column) in COLUMNS.iter().enumerate() {
        let begin = if at == 0 { "{\"" } else { ",\"" };
        let value = rest.strip_prefix(begin)?.strip_prefix(column)?.strip_prefix("\":")?;
        let (value, after) = value.split_at_checked(end(value)?)?;
        form.push(if at == 0 { b'[' } else { b',' });
        form.extend_from_slice(value.as_bytes());
        match *column {
            "seq" => seq = Some(value.parse().ok()?),
            "instance" => instance = Some(plain(value)?),
            _ => {}
        }
        rest = after;
    }
    form.push(b']');
    let hash = rest.strip_prefix(",\"hash\":\"")?.strip_suffix("\"}")?;
    Some(Written { seq: seq?, instance: instance?, hash: Hash::parse(hash)? })
}

/// A text without its quotes, where nothing in it is escaped.
fn plain(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('\\'))
}

/// How long the value is that `text` begins with, where it is written as a row's form has it.
fn end(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'"' => text_end(text.as_bytes()),
        b'n' => text.starts_with("null").then_some(4),
        _ => number_end(text),
    }
}

/// An integer: no sign but that of a negative one, no digit that is not needed, and not too large for one of ours.
fn number_end(text: &str) -> Option<usize> {
    let end = text.bytes().position(|byte| byte == b',')?;
    let number = text.get(..end)?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_short = digits == "0" || !digits.starts_with('0');
    let is_integer = is_short && number != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_integer && number.parse::<i64>().is_ok()).then_some(end)
}

/// A text, from its quote on: nothing is escaped that need not be, and what must be as `quote` does it.
fn text_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += match bytes.get(at + 1..)? {
            [b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'u', b'0', b'0', high @ (b'0' | b'1'), low, ..] if is_escaped_by_number(*high, *low) => 6,
            _ => return None,
        };
    }
}

/// Whether the character below U+0020 with these hex digits has no letter of its own.
fn is_escaped_by_number(high: u8, low: u8) -> bool {
    matches!(low, b'0'..=b'9' | b'a'..=b'f') && !(high == b'0' && matches!(low, b'8' | b'9' | b'a' | b'c' | b'd'))
}
