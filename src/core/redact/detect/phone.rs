//! Telephone numbers: E.164 with its `+`, and national ones where a word or a key says that a telephone is meant.

use super::context::{Phrases, said};
use super::text::Text;
use std::ops::Range;

/// Names of things that are called.
const WORDS: [&str; 16] = [
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "cellphone",
    "fax",
    "call",
    "whatsapp",
    "sms",
    "telefon",
    "handy",
    "natel",
    "mobil",
    "dial",
    "ph",
];

/// The same in a text, in more languages.
const SAID: &Phrases = &Phrases::new(&[
    "phone*",
    "phones",
    "telephone*",
    "tel",
    "tels",
    "mobile*",
    "cell",
    "cellphone*",
    "fax",
    "telefax",
    "call",
    "calls",
    "whatsapp",
    "whats app",
    "sms",
    "telefon*",
    "telefono",
    "teléfono",
    "téléphone",
    "handy*",
    "natel",
    "mobil*",
    "dial",
    "ph",
    "ring",
    "rufnummer",
    "rückruf",
    "móvil",
    "movil",
    "celular",
    "cellulare",
    "portable",
    "gsm",
    "hotline",
    "voicemail",
    "text me",
    "reach me",
]);

/// Words between such a name and a number of another kind.
const OTHER: &Phrases = &Phrases::new(&[
    "id",
    "ids",
    "order",
    "count",
    "code",
    "timestamp",
    "version",
    "invoice",
    "model",
    "session",
    "total",
    "after",
    "took",
]);

/// The number whose digits begin at `start`.
pub(super) fn at(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    if text.before(start) == b'+' {
        return international(text, start);
    }
    national(text, start)
}

/// E.164: a plus, a country code that does not begin with 0, 8 to 15 digits in all.
fn international(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let plus = start.checked_sub(1)?;
    let before = text.before(plus);
    if text.at(start) == b'0'
        || before.is_ascii_alphanumeric()
        || matches!(before, b'+' | b'/' | b'=') && base64_before(text, plus)
    {
        return None;
    }
    let first = groups(text, start).next()?;
    let group = match text.at(start) {
        b'1' => groups(text, start).find(|group| group.digits == 11)?,
        _ if first.digits >= 8 => first,
        _ => groups(text, start).last().filter(|group| group.digits >= 8)?,
    };
    let decimal = group.separators == 1 && text.at(text.run(start, |byte| byte.is_ascii_digit())) == b'.';
    let after = text.at(group.end);
    let ends = !after.is_ascii_alphabetic() || matches!(after, b'x' | b'e');
    (ends && !decimal).then_some(plus..group.end)
}

/// A plus inside base64 text is no beginning.
fn base64_before(text: Text<'_>, plus: usize) -> bool {
    text.before(plus.saturating_sub(1)).is_ascii_alphanumeric() && text.before(plus) != b'='
}

/// 7 to 15 digits that a key, or a word in the 24 bytes before, calls a telephone number.
fn national(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let open = if text.before(start) == b'(' { start - 1 } else { start };
    let before = text.before(open);
    if before.is_ascii_alphanumeric() || matches!(before, b'.' | b'-' | b'/' | b'+' | b'$' | b'_') {
        return None;
    }
    let group = groups(text, start).last().filter(|group| group.digits >= 7)?;
    let number = text.part(start..group.end);
    if is_date(number) || is_decimal(number) || !text.ends_number(group.end) {
        return None;
    }
    let stamp = group.separators == 0 && number.starts_with('1') && number.len() != 11;
    (text.context.names(&WORDS) || (!stamp && said(text, open, SAID, OTHER))).then_some(open..group.end)
}

/// `2024-05-06` or `06.05.2024`, and whatever follows.
fn is_date(number: &str) -> bool {
    let mut parts = number.splitn(4, |sign: char| !sign.is_ascii_digit());
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    let year = |part: Option<&str>| {
        part.is_some_and(|part| part.len() == 4 && (part.starts_with("19") || part.starts_with("20")))
    };
    let two = |part: Option<&str>| part.is_some_and(|part| part.len() == 2);
    two(second) && (year(first) && two(third) || two(first) && year(third))
}

/// One point and nothing else between the digits.
fn is_decimal(number: &str) -> bool {
    number.bytes().filter(|byte| !byte.is_ascii_digit()).eq([b'.'])
}

/// Digits up to the end of a run of them.
#[derive(Clone, Copy)]
struct Group {
    digits: usize,
    separators: usize,
    end: usize,
}

/// Runs of digits from `start` on, with the signs between that telephone numbers are written with, up to 15 digits
/// (E.164, 6.1).
fn groups(text: Text<'_>, start: usize) -> impl Iterator<Item = Group> {
    let mut last = Group { digits: 0, separators: 0, end: start };
    let mut at = start;
    std::iter::from_fn(move || {
        let end = text.run(at, |byte| byte.is_ascii_digit());
        last.digits += end - at;
        if end == at || last.digits > 15 {
            return None;
        }
        let group = Group { end, ..last };
        let next = text.run(end, |byte| matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')'));
        at = if next - end <= 3 && next > end { next } else { text.text.len() };
        last.separators += 1;
        Some(group)
    })
}
