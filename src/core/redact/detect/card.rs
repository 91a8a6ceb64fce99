//! Payment card numbers: a brand's first digits and length (ISO/IEC 7812-1), the Luhn digit, and the groupings cards
//! are written in. A number that is only digits and passes by chance is one in ten of those that begin like a card.

use super::context::{NONE, Phrases, names};
use super::text::Text;
use std::ops::Range;

/// The card number that begins with the run of digits `start..run_end`.
pub(super) fn at(text: Text<'_>, start: usize, run_end: usize) -> Option<Range<usize>> {
    let plausible = matches!(run_end - start, 4 | 13..=19) && matches!(text.at(start), b'2'..=b'6');
    if !plausible || !begins(text, start) {
        return None;
    }
    let mut digits = Digits::default();
    let mut groups = Groups::default();
    let (mut at, mut end, mut found) = (start, run_end, None);
    while digits.push(text.part(at..end)) && groups.push(end - at) {
        let whole = groups.usual() && ends(text, end) && valid(digits.as_slice()) && !text.in_uuid(start, end);
        // The products of half of Europe have 13 digits that begin with a 4 (GS1), and one in ten of them fits.
        if whole && (groups.count > 1 || digits.length != 13 || names(text, start, NAMES, NONE)) {
            found = Some(start..end);
        }
        let Some(next) = between(text, run_end, end) else { break };
        at = next;
        end = text.run(at, |byte| byte.is_ascii_digit());
    }
    found
}

const NAMES: &Phrases = &Phrases::new(&[
    "card",
    "cards",
    "visa",
    "pan",
    "cc",
    "credit",
    "debit",
    "paid with",
    "kreditkarte*",
    "kartennummer",
    "carte",
]);

/// Where the group behind a sign between groups begins: a space or a dash, a line end with or without a space, or a dot
/// where the first groups, which end at `first`, are apart by one.
fn between(text: Text<'_>, first: usize, end: usize) -> Option<usize> {
    let next = match (text.at(end), text.at(end + 1)) {
        (b'\r', b'\n') | (b' ', b'\n') | (b'\n', b' ') => end + 2,
        (b' ' | b'-' | b'\n', _) => end + 1,
        (b'.', _) if text.at(first) == b'.' => end + 1,
        _ => return None,
    };
    text.at(next).is_ascii_digit().then_some(next)
}

/// Not behind a decimal point, nor in a token; behind a word of letters it may stand.
fn begins(text: Text<'_>, start: usize) -> bool {
    let word = text.run_back(start, 16, |byte| byte.is_ascii_alphabetic());
    text.starts_number(start) || start - word >= 3 && text.starts_number(word) && is_word(text.part(word..start))
}

/// The same for its end.
fn ends(text: Text<'_>, end: usize) -> bool {
    let word = text.run_most(end, 16, |byte| byte.is_ascii_alphabetic());
    text.ends_number(end) || word - end >= 2 && is_word(text.part(end..word))
}

/// Letters that are no hexadecimal digits.
fn is_word(letters: &str) -> bool {
    letters.bytes().any(|byte| !byte.is_ascii_hexdigit())
}

/// Up to 19 digits.
#[derive(Default)]
struct Digits {
    values: [u8; 19],
    length: usize,
}

impl Digits {
    /// Takes a run of digits, unless that makes too many.
    fn push(&mut self, run: &str) -> bool {
        let Some(free) = self.values.get_mut(self.length..self.length + run.len()) else { return false };
        for (value, digit) in free.iter_mut().zip(run.bytes()) {
            *value = digit - b'0';
        }
        self.length += run.len();
        true
    }

    fn as_slice(&self) -> &[u8] {
        self.values.get(..self.length).unwrap_or_default()
    }
}

/// The lengths of up to five runs of digits.
#[derive(Default)]
struct Groups {
    lengths: [usize; 5],
    count: usize,
}

impl Groups {
    fn push(&mut self, length: usize) -> bool {
        let Some(free) = self.lengths.get_mut(self.count) else { return false };
        *free = length;
        self.count += 1;
        true
    }

    /// One run, groups of four with a rest, or the 4-6-5 and 4-6-4 of American Express and Diners Club.
    fn usual(&self) -> bool {
        match self.lengths.get(..self.count).unwrap_or_default() {
            [_] | [4, 6, 4 | 5] => true,
            [fours @ .., last] => fours.iter().all(|group| *group == 4) && *last <= 4,
            [] => false,
        }
    }
}

fn valid(digits: &[u8]) -> bool {
    (13..=19).contains(&digits.len()) && branded(digits) && luhn(digits)
}

/// Whether a brand issues numbers that begin and are as long as this one.
fn branded(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(4).fold(0_u32, |prefix, digit| prefix * 10 + u32::from(*digit));
    let length = digits.len();
    match prefix {
        2200..=2204 => (16..=19).contains(&length), // Mir
        2221..=2720 | 5100..=5599 => length == 16,  // Mastercard
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => length == 14 || length == 16 || length == 19, // Diners Club
        3400..=3499 | 3700..=3799 => length == 15,  // American Express
        3528..=3589 => (16..=19).contains(&length), // JCB
        4000..=4999 => matches!(length, 13 | 16 | 19), // Visa
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => true, // Maestro
        6011 | 6440..=6599 | 6000..=6010 => (16..=19).contains(&length), // Discover, RuPay
        6200..=6299 => (16..=19).contains(&length), // UnionPay
        _ => false,
    }
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
