//! Social security numbers of the United States (SSA, 20 CFR 422.103: three, two and four digits) and of Switzerland
//! (AHV: an EAN-13 that begins with 756).

use super::context::{NONE, Phrases, names};
use super::text::Text;
use std::ops::Range;

/// Names beside which nine bare digits are a social security number.
const SSN: &Phrases = &Phrases::new(&["ssn", "ssns", "social security", "socialsecurity*", "social", "itin"]);

/// The United States number that begins with the run of digits `start..run_end`.
pub(super) fn ssn(text: Text<'_>, start: usize, run_end: usize) -> Option<Range<usize>> {
    let end = match run_end - start {
        3 => separated(text, run_end)?,
        9 if named(text, start) => run_end,
        _ => return None,
    };
    let digits: String = text.part(start..end).chars().filter(char::is_ascii_digit).collect();
    let alone = text.starts_number(start) && text.ends_number(end);
    if !alone || !issued(&digits) {
        return None;
    }
    let strict = run_end - start == 9 || text.at(run_end) == b'-';
    let joined = text.before(start) == b'-' && text.before(start - 1).is_ascii_alphanumeric()
        || text.at(end) == b'-' && text.at(end + 1).is_ascii_alphanumeric();
    let listed = text.before(start) == b' ' && text.before(start - 1).is_ascii_digit()
        || text.at(end) == b' ' && text.at(end + 1).is_ascii_digit();
    let doubtful = joined || (!strict && listed) || text.at(run_end) == b'.';
    (!doubtful || named(text, start)).then_some(start..end)
}

/// The end of `-45-6789` after the first three digits; the separators are the same.
fn separated(text: Text<'_>, at: usize) -> Option<usize> {
    let separator = text.at(at);
    let digits = |from: usize, to: usize| (from..to).all(|at| text.at(at).is_ascii_digit());
    let shaped = matches!(separator, b'-' | b' ' | b'.')
        && digits(at + 1, at + 3)
        && text.at(at + 3) == separator
        && digits(at + 4, at + 8);
    shaped.then_some(at + 8)
}

/// Areas 000, 666 and 900 to 999, group 00 and serial 0000 are never issued.
fn issued(digits: &str) -> bool {
    let (Some(area), Some(group), Some(serial)) = (digits.get(..3), digits.get(3..5), digits.get(5..9)) else {
        return false;
    };
    area != "000" && area != "666" && !area.starts_with('9') && group != "00" && serial != "0000"
}

fn named(text: Text<'_>, start: usize) -> bool {
    names(text, start, SSN, NONE)
}

/// The Swiss number that begins with the run of digits at `start`, dotted, spaced, dashed or in one.
pub(super) fn ahv(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    if text.part(start..start + 3) != "756" || !text.starts_number(start) {
        return None;
    }
    let separator = text.at(start + 3);
    let separated = matches!(separator, b'.' | b' ' | b'-');
    let mut digits = Vec::with_capacity(13);
    let mut at = start;
    while digits.len() < 13 {
        if separated
            && matches!(digits.len(), 3 | 7 | 11)
            && text.before(at).is_ascii_digit()
            && text.at(at) == separator
        {
            at += 1;
        }
        digits.push(text.at(at).is_ascii_digit().then(|| u32::from(text.at(at) - b'0'))?);
        at += 1;
    }
    let sum: u32 = digits.iter().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
    (sum.is_multiple_of(10) && text.ends_number(at)).then_some(start..at)
}
