//! Hardware addresses (IEEE 802, EUI-48): six pairs with colons or dashes, three fours with dots, and twelve digits beside
//! their name. Eight pairs or twenty are something else.

use super::context::{NONE, Phrases, names};
use super::text::Text;
use std::ops::Range;

/// Names beside which twelve hexadecimal digits are an address.
const NAMES: &Phrases = &Phrases::new(&["mac", "hwaddr", "ether", "bssid", "hardware"]);

/// The address that the run of decimal digits at `start` is a part of. Of twelve hexadecimal digits hardly ever none is
/// decimal.
pub(super) fn at(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.');
    let from = text.run_back(start, 17, is_part);
    let to = text.run_most(start, 19, is_part);
    // What is written around it: a dash or a dot at its edges is not a part of it.
    let token = text.part(from..to);
    let from = from + (token.len() - token.trim_start_matches([':', '-', '.']).len());
    let token = text.part(from..to).trim_end_matches([':', '-', '.']);
    let span = from..from + token.len();
    let alone = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'_';
    let more = matches!(text.before(span.start), b':' | b'-' | b'.') && alone_hex(text, span.start);
    if more || !alone(text.before(span.start)) || !alone(text.at(span.end)) {
        return None;
    }
    let named = || names(text, span.start, NAMES, NONE);
    match token.len() {
        17 => (even(token, ':', 2) || even(token, '-', 2)).then_some(span),
        14 => even(token, '.', 4).then_some(span),
        12 => (token.bytes().all(|byte| byte.is_ascii_hexdigit()) && named()).then_some(span),
        _ => None,
    }
}

/// Unless the hexadecimal digits around the run are as many as are in one part of an address, with a fitting sign beside
/// them, where they end or later: until there is no address. Hardly any number is a part of one.
pub(super) fn beyond(text: Text<'_>, start: usize, end: usize) -> Option<usize> {
    let from = text.run_back(start, 13, |byte| byte.is_ascii_hexdigit());
    let to = text.run_most(end, 13, |byte| byte.is_ascii_hexdigit());
    let beside = |signs: &[u8]| signs.contains(&text.before(from)) || signs.contains(&text.at(to));
    let may_be = match to - from {
        2 => beside(b":-"),
        4 => beside(b"."),
        12 => true,
        _ => false,
    };
    (!may_be).then_some(to)
}

/// Whether a digit stands before the sign before `at`.
fn alone_hex(text: Text<'_>, at: usize) -> bool {
    text.before(at.saturating_sub(1)).is_ascii_hexdigit()
}

fn even(token: &str, sign: char, length: usize) -> bool {
    token.split(sign).all(|group| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
