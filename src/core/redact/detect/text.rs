//! A text as detectors read it: bytes by position, never out of bounds, and what stands around them.

use memchr::memchr;
use std::ops::Range;

/// The keys above a value in its JSON document, which say what a bare number is.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::redact) struct Context<'a> {
    /// The nearest key, escaped as it stands; empty where there is none.
    pub(in crate::redact) key: &'a str,
    /// The key of the object that `key` is in.
    pub(in crate::redact) outer: &'a str,
}

impl Context<'_> {
    /// Whether the keys name what `words` name, and not an id or a count of it.
    pub(in crate::redact) fn names(&self, words: &[&str]) -> bool {
        let is_one = |word: &str, list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(word));
        let singular = |word: &str| word.strip_suffix(['s', 'S']).is_some_and(|word| is_one(word, words));
        let named = |name| words_of(name).any(|word| is_one(word, words) || singular(word));
        let generic = || words_of(self.key).all(|word| is_one(word, &GENERIC));
        let found = named(self.key) || generic() && named(self.outer);
        found && !words_of(self.key).any(|word| is_one(word, &BESIDE))
    }
}

/// Words of a key that say it holds something about the thing, not the thing.
const BESIDE: [&str; 9] = ["id", "type", "count", "model", "total", "version", "timestamp", "at", "length"];

/// Keys that leave it to the key above to say what they hold.
const GENERIC: [&str; 9] = ["number", "value", "text", "home", "work", "primary", "main", "private", "raw"];

/// The words of a name in any of the usual cases: `homePhone_number` is `home`, `Phone`, `number`.
pub(super) fn words_of(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|sign: char| !sign.is_alphabetic());
        let mut lower = false;
        let end = rest.find(|sign: char| {
            let ends = !sign.is_alphabetic() || (lower && sign.is_uppercase());
            lower = sign.is_lowercase();
            ends
        });
        let (word, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// A text and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(in crate::redact) struct Text<'a> {
    /// The text, folded.
    pub(in crate::redact) text: &'a str,
    /// The keys above it.
    pub(in crate::redact) context: Context<'a>,
}

/// The first line of a text, where it may hold the heads of columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// Its length in bytes.
    pub(super) heads: usize,
    /// What stands between two of them.
    pub(super) sign: u8,
}

/// As many bytes as a processor compares at once.
const STRIDE: usize = 16;

/// The longest line of a table whose columns are counted, in bytes.
pub(super) const LINE: usize = 512;

impl Table {
    /// Of the text that begins with it.
    pub(super) fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let heads = memchr(b'\n', bytes.get(..LINE).unwrap_or(bytes))?;
        let line = bytes.get(..heads)?;
        let sign = *[b'\t', b';', b'|', b','].iter().find(|sign| line.contains(sign))?;
        Some(Self { heads, sign })
    }
}

impl<'a> Text<'a> {
    /// A folded text under these keys.
    pub(in crate::redact) fn new(text: &'a str, context: Context<'a>) -> Self {
        Self { text, context }
    }

    /// The byte at a position; 0 beyond the end.
    pub(super) fn at(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    /// The byte before a position; 0 at the start.
    pub(super) fn before(&self, at: usize) -> u8 {
        at.checked_sub(1).map_or(0, |before| self.at(before))
    }

    /// A part; empty where there is none.
    pub(super) fn part(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    /// Where the signs from `at` on that are `wanted` end.
    pub(super) fn run(&self, at: usize, wanted: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len())
    }

    /// Where the next decimal digit from `at` on stands, or the end. Texts have far more other signs, which are gone over
    /// by many at once.
    pub(super) fn digit(&self, at: usize) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let (strides, _) = rest.as_chunks::<STRIDE>();
        let has_digit = |stride: &[u8; STRIDE]| stride.iter().fold(false, |seen, byte| seen | byte.is_ascii_digit());
        let clean = strides.iter().position(has_digit).unwrap_or(strides.len()) * STRIDE;
        self.run(at + clean, |byte| !byte.is_ascii_digit())
    }

    /// As [`Self::run`], at most `most` bytes on. Searches begin again behind each sign, so one that can fail after a long way
    /// must not go the whole way: the work would be the square of the length.
    pub(super) fn run_most(&self, at: usize, most: usize, wanted: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let rest = rest.get(..most).unwrap_or(rest);
        at + rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len())
    }

    /// Where the signs before `at` that are `wanted` begin, at most `most` bytes back.
    pub(super) fn run_back(&self, at: usize, most: usize, wanted: impl Fn(u8) -> bool) -> usize {
        let before = self.text.as_bytes().get(at.saturating_sub(most)..at).unwrap_or_default();
        at - before.iter().rev().position(|byte| !wanted(*byte)).unwrap_or(before.len())
    }

    /// Whether a number may begin here: not inside a word, and not behind a decimal point.
    pub(super) fn starts_number(&self, at: usize) -> bool {
        let before = self.before(at);
        let decimal = before == b'.' && self.before(at.saturating_sub(1)).is_ascii_digit();
        !before.is_ascii_alphanumeric() && !decimal
    }

    /// Whether a number may end here: not inside a word, and not before a decimal point.
    pub(super) fn ends_number(&self, at: usize) -> bool {
        let decimal = self.at(at) == b'.' && self.at(at + 1).is_ascii_digit();
        !self.at(at).is_ascii_alphanumeric() && !decimal
    }

    /// Whether the span is a part of a UUID in its usual form.
    pub(super) fn in_uuid(&self, start: usize, end: usize) -> bool {
        let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        let token = self.run_back(start, 36, is_part)..self.run_most(end, 37, is_part);
        let token = self.part(token);
        token.len() == 36 && token.split('-').map(str::len).eq([8, 4, 4, 4, 12])
    }

    /// The last `most` bytes or so before a position, in lower case.
    pub(super) fn lead(&self, at: usize, most: usize) -> String {
        let mut start = at.saturating_sub(most);
        while !self.text.is_char_boundary(start) {
            start += 1;
        }
        self.part(start..at).to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_a_thing_in_any_case() {
        for (key, outer, expected) in [
            ("phone", "", true),
            ("phones", "", true),
            ("homePhone", "", true),
            ("PHONE_NUMBER", "", true),
            ("phone_id", "", false),
            ("number", "phone", true),
            ("number", "order", false),
            ("phonetics", "", false),
            ("", "phone", true),
        ] {
            assert_eq!(Context { key, outer }.names(&["phone"]), expected, "{outer} > {key}");
        }
    }
}
