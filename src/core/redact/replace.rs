//! What stands in the place of a finding, and how it gets there.

use super::kind::Kind;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::cmp::Reverse;
use std::ops::Range;

/// A stretch of a source and the text that takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    /// Where.
    pub(super) span: Range<usize>,
    /// What comes there.
    pub(super) text: String,
}

/// The source with all edits made. They must be in order and apart; one that begins inside another is left out.
pub(super) fn splice(source: &str, edits: &[Edit]) -> String {
    let mut result = String::with_capacity(source.len());
    let mut at = 0;
    for edit in edits.iter().filter(|edit| edit.span.end <= source.len()) {
        if edit.span.start >= at {
            result.push_str(source.get(at..edit.span.start).unwrap_or_default());
            result.push_str(&edit.text);
            at = edit.span.end;
        }
    }
    result.push_str(source.get(at..).unwrap_or_default());
    result
}

/// Something found in a text.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// Where.
    pub(super) span: Range<usize>,
    /// What it is.
    pub(super) kind: Kind,
    /// As it was read.
    pub(super) value: String,
}

/// Findings that overlap become one that covers them all, of the kind of the longest; between two of the same length
/// the order of kinds decides. In order of where they stand.
pub(super) fn merge(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (finding.span.start, Reverse(finding.span.end), finding.kind));
    let mut merged: Vec<(Finding, usize)> = Vec::new();
    for finding in findings {
        let length = finding.span.len();
        match merged.last_mut().filter(|(last, _)| finding.span.start < last.span.end) {
            Some((last, longest)) => {
                let span = last.span.start..last.span.end.max(finding.span.end);
                if (length, Reverse(finding.kind)) > (*longest, Reverse(last.kind)) {
                    *last = finding;
                    *longest = length;
                }
                last.span = span;
            }
            None => merged.push((finding, length)),
        }
    }
    merged.into_iter().map(|(finding, _)| finding).collect()
}

/// The parts of `span` outside all of `barriers`, which are in order.
pub(super) fn outside(span: &Range<usize>, barriers: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = span.start;
    let first = barriers.partition_point(|barrier| barrier.end <= span.start);
    for barrier in barriers.iter().skip(first).take_while(|barrier| barrier.start < span.end) {
        if at < barrier.start {
            parts.push(at..barrier.start);
        }
        at = barrier.end;
    }
    if at < span.end {
        parts.push(at..span.end);
    }
    parts
}

/// Makes replacements, and knows its own again.
pub(super) struct Replacer {
    /// Names of kinds, in upper case.
    labels: Vec<String>,
    mac: Hmac<Sha256>,
}

impl Replacer {
    /// With the names of all kinds and the key of digests. `None` for a key that HMAC can't use, of which there are
    /// none.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>, key: &[u8]) -> Option<Self> {
        let mac = Hmac::new_from_slice(key).ok()?;
        Some(Self { labels: names.map(str::to_ascii_uppercase).collect(), mac })
    }

    /// `[REDACTED:EMAIL]`.
    pub(super) fn mask(&self, kind: Kind) -> String {
        format!("[REDACTED:{}]", self.label(kind))
    }

    /// `[EMAIL:0123456789abcdef]`: the same for the same value under the same key.
    pub(super) fn digest(&self, kind: Kind, value: &str) -> String {
        let label = self.label(kind);
        let mut mac = self.mac.clone();
        mac.update(label.to_ascii_lowercase().as_bytes());
        mac.update(&[0]);
        mac.update(canonical(kind, value).as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let window = (0..=hex.len() - DIGEST).filter_map(|at| hex.get(at..at + DIGEST)).find(|hex| is_digest(hex));
        format!("[{label}:{}]", window.unwrap_or("0000000fffffffff"))
    }

    /// Where the text holds replacements.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let opened = text.match_indices('[').filter_map(|(at, _)| Some(at..at + self.length(text.get(at..)?)?));
        opened.collect()
    }

    /// Whether the whole text is one replacement.
    pub(super) fn made(&self, text: &str) -> bool {
        self.length(text) == Some(text.len())
    }

    /// How long the replacement is that the text begins with.
    fn length(&self, text: &str) -> Option<usize> {
        let upper = |sign: &&u8| sign.is_ascii_uppercase() || sign.is_ascii_digit() || **sign == b'_';
        text.as_bytes().get(1).filter(upper)?;
        let close = text.bytes().take(96).position(|byte| byte == b']')?;
        let (name, rest) = text.get(1..close).filter(|_| text.starts_with('['))?.split_once(':')?;
        let known = |label: &str| self.labels.iter().any(|known| known == label);
        let ours = if name == "REDACTED" { known(rest) } else { is_digest(rest) && known(name) };
        ours.then_some(close + 1)
    }

    fn label(&self, kind: Kind) -> &str {
        self.labels.get(kind.place()).map_or("VALUE", String::as_str)
    }
}

const DIGEST: usize = 16;

/// 16 hex digits in which no number is long enough to be a finding, so that `[CARD:4111111111111111]` in an answer is
/// never taken for one of our digests.
fn is_digest(text: &str) -> bool {
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    text.len() == DIGEST && hex && text.split(|sign: char| !sign.is_ascii_digit()).all(|run| run.len() < 8)
}

/// The same text for all spellings of a value.
fn canonical(kind: Kind, value: &str) -> String {
    match kind {
        Kind::EMAIL => value.to_lowercase(),
        Kind::CARD | Kind::SSN | Kind::AHV | Kind::STEUER_ID | Kind::BSN | Kind::PESEL | Kind::NHS | Kind::CPF => {
            value.chars().filter(char::is_ascii_digit).collect()
        }
        Kind::PHONE => value.chars().filter(|sign| sign.is_ascii_digit() || *sign == '+').collect(),
        Kind::IBAN | Kind::DNI | Kind::CODICE_FISCALE | Kind::NIR | Kind::MAC => {
            value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
        }
        Kind::IP => value.parse().map_or_else(|_| value.to_owned(), |address: std::net::IpAddr| address.to_string()),
        _ => value.to_owned(),
    }
}

/// The text as the body of a JSON string.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        match sign {
            '"' | '\\' => escaped.extend(['\\', sign]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\0'..='\u{1f}' => escaped.push_str(&format!("\\u{:04x}", u32::from(sign))),
            _ => escaped.push(sign),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(span: Range<usize>, kind: Kind) -> Finding {
        Finding { span, kind, value: String::new() }
    }

    #[test]
    fn overlapping_findings_become_one_of_the_longest_kind() {
        let merged = merge(vec![
            finding(8..20, Kind::EMAIL),
            finding(0..10, Kind::SECRET),
            finding(20..24, Kind::IP),
            finding(30..34, Kind::IP),
            finding(30..34, Kind::CARD),
        ]);
        let seen: Vec<_> = merged.into_iter().map(|finding| (finding.span, finding.kind)).collect();
        assert_eq!(seen, [(0..20, Kind::EMAIL), (20..24, Kind::IP), (30..34, Kind::CARD)]);
    }

    #[test]
    fn a_finding_is_cut_around_replacements() {
        assert_eq!(outside(&(0..10), &[2..4, 8..12]), [0..2, 4..8]);
        assert!(outside(&(2..4), std::slice::from_ref(&(0..10))).is_empty());
        assert_eq!(outside(&(0..3), std::slice::from_ref(&(3..10))), std::slice::from_ref(&(0..3)));
    }

    #[test]
    fn a_number_in_brackets_is_no_digest() {
        let replacer = Replacer::new(super::super::kind::BUILT_IN.into_iter(), b"key").unwrap();
        assert!(!replacer.made("[CARD:4111111111111111]"));
        assert!(!replacer.made("[REDACTED:4111111111111111]"));
        assert!(replacer.made("[REDACTED:CARD]"));
        for value in 0..500 {
            let token = replacer.digest(Kind::EMAIL, &format!("user{value}@example.com"));
            assert!(replacer.made(&token), "{token}");
        }
    }

    #[test]
    fn every_spelling_of_a_value_has_the_same_digest() {
        let replacer = Replacer::new(super::super::kind::BUILT_IN.into_iter(), b"key").unwrap();
        let same = |kind, one, other| assert_eq!(replacer.digest(kind, one), replacer.digest(kind, other));
        same(Kind::EMAIL, "Alice@Example.com", "alice@example.com");
        same(Kind::CARD, "4111 1111 1111 1111", "4111-1111-1111-1111");
        same(Kind::IBAN, "ch93 0076 2011 6238 5295 7", "CH9300762011623852957");
        same(Kind::IP, "2001:DB8:0::1", "2001:db8::1");
        assert_ne!(replacer.digest(Kind::EMAIL, "a@b.ch"), replacer.digest(Kind::SECRET, "a@b.ch"));
        let other = Replacer::new(super::super::kind::BUILT_IN.into_iter(), b"other").unwrap();
        assert_ne!(replacer.digest(Kind::EMAIL, "a@b.ch"), other.digest(Kind::EMAIL, "a@b.ch"));
    }
}
