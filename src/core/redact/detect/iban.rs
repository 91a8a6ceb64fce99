//! International bank account numbers: the length of their country and the check digits of ISO 13616.

use super::text::Text;
use std::ops::Range;

/// The account number whose check digits begin at `digits`.
pub(super) fn at(text: Text<'_>, digits: usize) -> Option<Range<usize>> {
    let start = digits.checked_sub(2)?;
    let country = [text.at(start), text.at(start + 1)].map(|letter| letter.to_ascii_uppercase());
    if !country.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let place = LENGTHS.binary_search_by_key(&&country, |(name, _)| name).ok()?;
    let length = LENGTHS.get(place).map(|(_, length)| *length)?;
    if text.before(start).is_ascii_alphanumeric() && !labelled(text, start) {
        return None;
    }
    let (end, account) = collect(text, start, length)?;
    let whole = !text.at(end).is_ascii_alphanumeric() && !text.in_uuid(start, end);
    (whole && valid(&account)).then_some(start..end)
}

/// `IBANCH93...`, without a space between.
fn labelled(text: Text<'_>, start: usize) -> bool {
    start.checked_sub(4).is_some_and(|label| text.part(label..start).eq_ignore_ascii_case("iban"))
}

/// `length` letters and digits from `start` on, with single spaces, dashes or line ends between.
fn collect(text: Text<'_>, start: usize, length: usize) -> Option<(usize, Vec<u8>)> {
    let mut account = Vec::with_capacity(length);
    let mut at = start;
    while account.len() < length {
        match text.at(at) {
            byte if byte.is_ascii_alphanumeric() => account.push(byte.to_ascii_uppercase()),
            b' ' | b'-' | b'\n' if text.before(at).is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    Some((at, account))
}

/// ISO 7064, MOD 97-10, over the account with its first four signs put last.
fn valid(account: &[u8]) -> bool {
    let Some((head, tail)) = account.split_at_checked(4) else { return false };
    let checked = head.iter().skip(2).all(u8::is_ascii_digit);
    let remainder = tail.iter().chain(head).fold(0_u32, |remainder, sign| match sign {
        b'0'..=b'9' => (remainder * 10 + u32::from(sign - b'0')) % 97,
        _ => (remainder * 100 + u32::from(sign.saturating_sub(b'A')) + 10) % 97,
    });
    checked && remainder == 1
}

/// The length by country, in order of their codes, of the IBAN registry (SWIFT, release 99).
const LENGTHS: [([u8; 2], usize); 89] = [
    (*b"AD", 24),
    (*b"AE", 23),
    (*b"AL", 28),
    (*b"AT", 20),
    (*b"AZ", 28),
    (*b"BA", 20),
    (*b"BE", 16),
    (*b"BG", 22),
    (*b"BH", 22),
    (*b"BI", 27),
    (*b"BR", 29),
    (*b"BY", 28),
    (*b"CH", 21),
    (*b"CR", 22),
    (*b"CY", 28),
    (*b"CZ", 24),
    (*b"DE", 22),
    (*b"DJ", 27),
    (*b"DK", 18),
    (*b"DO", 28),
    (*b"EE", 20),
    (*b"EG", 29),
    (*b"ES", 24),
    (*b"FI", 18),
    (*b"FK", 18),
    (*b"FO", 18),
    (*b"FR", 27),
    (*b"GB", 22),
    (*b"GE", 22),
    (*b"GI", 23),
    (*b"GL", 18),
    (*b"GR", 27),
    (*b"GT", 28),
    (*b"HN", 28),
    (*b"HR", 21),
    (*b"HU", 28),
    (*b"IE", 22),
    (*b"IL", 23),
    (*b"IQ", 23),
    (*b"IS", 26),
    (*b"IT", 27),
    (*b"JO", 30),
    (*b"KW", 30),
    (*b"KZ", 20),
    (*b"LB", 28),
    (*b"LC", 32),
    (*b"LI", 21),
    (*b"LT", 20),
    (*b"LU", 20),
    (*b"LV", 21),
    (*b"LY", 25),
    (*b"MC", 27),
    (*b"MD", 24),
    (*b"ME", 22),
    (*b"MK", 19),
    (*b"MN", 20),
    (*b"MR", 27),
    (*b"MT", 31),
    (*b"MU", 30),
    (*b"NI", 28),
    (*b"NL", 18),
    (*b"NO", 15),
    (*b"OM", 23),
    (*b"PK", 24),
    (*b"PL", 28),
    (*b"PS", 29),
    (*b"PT", 25),
    (*b"QA", 29),
    (*b"RO", 24),
    (*b"RS", 22),
    (*b"RU", 33),
    (*b"SA", 24),
    (*b"SC", 31),
    (*b"SD", 18),
    (*b"SE", 24),
    (*b"SI", 19),
    (*b"SK", 24),
    (*b"SM", 27),
    (*b"SO", 23),
    (*b"ST", 25),
    (*b"SV", 28),
    (*b"TL", 23),
    (*b"TN", 24),
    (*b"TR", 26),
    (*b"UA", 29),
    (*b"VA", 22),
    (*b"VG", 24),
    (*b"XK", 20),
    (*b"YE", 30),
];
