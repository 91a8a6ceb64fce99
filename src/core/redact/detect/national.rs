//! Numbers that states give to people, by their forms and check digits: Germany, the Netherlands, Spain, Italy, France,
//! Poland, the United Kingdom and Brazil. Those with one check digit and no form of their own need their name beside them.

use super::context::{NONE, Phrases, names};
use super::text::Text;
use crate::redact::kind::{Kind, KindSet};
use std::ops::Range;

/// One state's number.
struct Number {
    kind: Kind,
    forms: &'static [Form],
    /// Whether the letters, in capitals, and digits of it fit.
    valid: fn(&[u8]) -> bool,
    names: &'static Phrases,
}

/// How it is written: `d` is a digit, `l` a letter, `o` either, any other sign itself.
struct Form {
    signs: &'static str,
    /// What stands before the first digit, in bytes.
    lead: usize,
    /// The digits of the first run of them.
    run: usize,
    /// It needs no name.
    alone: bool,
}

impl Form {
    const fn new(signs: &'static str, lead: usize, run: usize) -> Self {
        Self { signs, lead, run, alone: true }
    }

    const fn named(signs: &'static str, lead: usize, run: usize) -> Self {
        Self { signs, lead, run, alone: false }
    }
}

const NUMBERS: [Number; 8] = [
    Number {
        kind: Kind::STEUER_ID,
        forms: &[Form::named("ddddddddddd", 0, 11), Form::new("dd ddd ddd ddd", 0, 2)],
        valid: steuer_id,
        names: &Phrases::new(&[
            "steuer id",
            "steuerid",
            "steueridentifikation*",
            "identifikationsnummer",
            "idnr",
            "id nr",
            "tax id",
            "tin",
            "steuernummer",
        ]),
    },
    Number {
        kind: Kind::BSN,
        forms: &[
            Form::named("ddddddddd", 0, 9),
            Form::named("ddd.ddd.ddd", 0, 3),
            Form::named("ddd ddd ddd", 0, 3),
            Form::named("dddd.dd.ddd", 0, 4),
            Form::named("dddd dd ddd", 0, 4),
        ],
        valid: bsn,
        names: &Phrases::new(&["bsn", "burgerservice*", "sofinummer", "sofi", "citizen service"]),
    },
    Number {
        kind: Kind::DNI,
        forms: &[
            Form::new("ddddddddl", 0, 8),
            Form::new("dddddddd-l", 0, 8),
            Form::named("dddddddd l", 0, 8),
            Form::new("dd.ddd.ddd-l", 0, 2),
            Form::named("dd.ddd.ddd l", 0, 2),
            Form::named("dd.ddd.dddl", 0, 2),
            Form::new("ldddddddl", 1, 7),
            Form::new("l-ddddddd-l", 2, 7),
            Form::named("l ddddddd l", 2, 7),
        ],
        valid: dni,
        names: &Phrases::new(&["dni", "nie", "nif", "documento", "identidad", "cif"]),
    },
    Number {
        kind: Kind::CODICE_FISCALE,
        forms: &[
            Form::new("lllllloolooloool", 6, 2),
            Form::new("lllllloolooloool", 6, 1),
            Form::new("lll lll ooloo loool", 8, 2),
            Form::new("llllll ooloo loool", 7, 2),
        ],
        valid: codice_fiscale,
        names: &Phrases::new(&["codice fiscale"]),
    },
    Number {
        kind: Kind::NIR,
        forms: &[
            Form::new("ddddddddddddddd", 0, 15),
            Form::new("ddddddldddddddd", 0, 6),
            Form::new("d dd dd dd ddd ddd dd", 0, 1),
            Form::new("d dd dd dl ddd ddd dd", 0, 1),
        ],
        valid: nir,
        names: &Phrases::new(&["nir"]),
    },
    Number {
        kind: Kind::PESEL,
        forms: &[Form::named("ddddddddddd", 0, 11)],
        valid: pesel,
        names: &Phrases::new(&["pesel"]),
    },
    Number {
        kind: Kind::NHS,
        forms: &[
            Form::named("dddddddddd", 0, 10),
            Form::named("ddd ddd dddd", 0, 3),
            Form::named("ddd-ddd-dddd", 0, 3),
        ],
        valid: nhs,
        names: &Phrases::new(&["nhs"]),
    },
    Number {
        kind: Kind::CPF,
        forms: &[
            Form::named("ddddddddddd", 0, 11),
            Form::named("ddddddddd-dd", 0, 9),
            Form::new("ddd.ddd.ddd-dd", 0, 3),
        ],
        valid: cpf,
        names: &Phrases::new(&["cpf", "cadastro de pessoas"]),
    },
];

/// Reports what begins with, or has as its first digits, the run `start..end`.
pub(super) fn at(
    text: Text<'_>,
    start: usize,
    end: usize,
    wanted: KindSet,
    report: &mut impl FnMut(Kind, Range<usize>),
) {
    if end - start > 15 {
        return;
    }
    for number in NUMBERS.iter().filter(|number| wanted.has(number.kind)) {
        let forms = number.forms.iter().filter(|form| form.run == end - start);
        if let Some(span) = forms.filter_map(|form| read(text, start, number, form)).next() {
            report(number.kind, span);
        }
    }
}

fn read(text: Text<'_>, digits: usize, number: &Number, form: &Form) -> Option<Range<usize>> {
    let start = digits.checked_sub(form.lead)?;
    let end = start + form.signs.len();
    let bytes = text.text.as_bytes().get(start..end)?;
    let mut signs = [0; 16];
    let mut free = signs.iter_mut();
    for (byte, class) in bytes.iter().zip(form.signs.bytes()) {
        let fits = match class {
            b'd' => byte.is_ascii_digit(),
            b'l' => byte.is_ascii_alphabetic(),
            b'o' => byte.is_ascii_alphanumeric(),
            sign => *byte == sign,
        };
        if !fits {
            return None;
        }
        if matches!(class, b'd' | b'l' | b'o') {
            *free.next()? = byte.to_ascii_uppercase();
        }
    }
    let count = 16 - free.len();
    let whole = text.starts_number(start) && text.ends_number(end) && !continued(text, start, end, form);
    // Small letters are as likely a part of something else, but where there is more than one letter.
    let small = form.signs.ends_with('l') && !form.signs.contains("ll") && bytes.iter().any(u8::is_ascii_lowercase);
    let valid = whole && signs.get(..count).is_some_and(number.valid);
    (valid && (form.alone && !small || names(text, start, number.names, NONE))).then_some(start..end)
}

/// Whether a form with signs between its digits goes on on either side.
fn continued(text: Text<'_>, start: usize, end: usize, form: &Form) -> bool {
    let sign = form.signs.bytes().find(|sign| !sign.is_ascii_alphanumeric());
    let on = |sign: u8, far: u8| sign == b'-' && far.is_ascii_alphanumeric();
    let spaced = |sign: u8, far: u8| form.alone && sign == b' ' && far.is_ascii_digit();
    let [before, far_before] = [text.before(start), text.before(start.saturating_sub(1))];
    let [after, far_after] = [text.at(end), text.at(end + 1)];
    sign.is_some()
        && (on(before, far_before) || on(after, far_after) || spaced(before, far_before) || spaced(after, far_after))
}

fn values(signs: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    signs.iter().map(|sign| u32::from(sign.wrapping_sub(b'0')))
}

fn weighted(signs: &[u8], weights: impl IntoIterator<Item = u32>) -> u32 {
    values(signs).zip(weights).map(|(value, weight)| value * weight).sum()
}

/// Section 139b of the Abgabenordnung and ISO 7064, MOD 11,10: of the first ten digits one stands there twice or three
/// times, and no other more than once.
fn steuer_id(signs: &[u8]) -> bool {
    let Some((last, body)) = signs.split_last() else { return false };
    let mut counts = [0_usize; 10];
    values(body).for_each(|value| counts.iter_mut().skip(value as usize).take(1).for_each(|count| *count += 1));
    let repeated = counts.iter().filter(|count| **count > 1).count() == 1 && counts.iter().all(|count| *count <= 3);
    let product = values(body).fold(10, |product, value| match (value + product) % 10 {
        0 => 20 % 11,
        sum => sum * 2 % 11,
    });
    repeated && signs.first() != Some(&b'0') && (11 - product) % 10 == u32::from(last.wrapping_sub(b'0'))
}

/// The test of eleven, with -1 for the last digit.
fn bsn(signs: &[u8]) -> bool {
    let Some((last, body)) = signs.split_last() else { return false };
    let sum = weighted(body, (2..=9).rev());
    sum > 0 && sum % 11 == u32::from(last.wrapping_sub(b'0'))
}

/// The letter of the number by 23; of foreigners X, Y and Z count as 0, 1 and 2.
fn dni(signs: &[u8]) -> bool {
    let Some((last, body)) = signs.split_last() else { return false };
    let lead = match body.first() {
        Some(b'X') => b'0',
        Some(b'Y') => b'1',
        Some(b'Z') => b'2',
        Some(digit) if digit.is_ascii_digit() => *digit,
        _ => return false,
    };
    let rest = body.get(1..).unwrap_or_default();
    let number = values(rest).fold(u32::from(lead - b'0'), |number, value| number * 10 + value);
    b"TRWAGMYFPDXBNJZSQVHLCKE".get((number % 23) as usize) == Some(last)
}

/// The decree of 23 December 1976: places counted from 1, odd ones with values of their own. Digits may be letters.
fn codice_fiscale(signs: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let Some((last, body)) = signs.split_last() else { return false };
    let numeric = |sign: &u8| sign.is_ascii_digit() || b"LMNPQRSTUV".contains(sign);
    let month = body.get(8).is_some_and(|sign| b"ABCDEHLMPRST".contains(sign));
    let digits = [6, 7, 9, 10, 12, 13, 14].iter().all(|place| body.get(*place).is_some_and(numeric));
    let sum = body.iter().enumerate().map(|(place, sign)| {
        let value = u32::from(if sign.is_ascii_digit() { sign - b'0' } else { sign.wrapping_sub(b'A') });
        if place % 2 == 0 { ODD.get(value as usize).copied().unwrap_or(0) } else { value }
    });
    month && digits && sum.sum::<u32>() % 26 == u32::from(last.wrapping_sub(b'A'))
}

/// Sex, year, month, department, commune, number, and 97 less the whole by 97; Corsica's departments count as 19 and 18.
fn nir(signs: &[u8]) -> bool {
    let Some((body, key)) = signs.split_at_checked(13) else { return false };
    let month = body.get(3..5).map_or(0, |month| values(month).fold(0, |month, value| month * 10 + value));
    let born = matches!(body.first(), Some(b'1' | b'2' | b'3' | b'4' | b'7' | b'8'));
    let island = match body.get(5..7) {
        Some([b'2', b'A']) => Some(19),
        Some([b'2', b'B']) => Some(18),
        Some([_, b'0'..=b'9']) => None,
        _ => return false,
    };
    let number = body.iter().enumerate().fold(0_u64, |number, (place, sign)| match (place, island) {
        (5, Some(island)) => number * 100 + island,
        (6, Some(_)) => number,
        _ => number * 10 + u64::from(sign.wrapping_sub(b'0')),
    });
    let key = values(key).fold(0, |key, value| key * 10 + u64::from(value));
    born && matches!(month, 1..=12 | 20..=42 | 50..=99) && key == 97 - number % 97
}

/// A date of birth whose month tells the century, a number, and weights 1, 3, 7, 9.
fn pesel(signs: &[u8]) -> bool {
    let two =
        |from: usize| signs.get(from..from + 2).map_or(0, |two| values(two).fold(0, |all, value| all * 10 + value));
    let born = matches!(two(2) % 20, 1..=12) && matches!(two(4), 1..=31);
    born && weighted(signs, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
}

/// Weights 10 to 2, by 11.
fn nhs(signs: &[u8]) -> bool {
    weighted(signs, (1..=10).rev()).is_multiple_of(11) && values(signs).any(|value| value > 0)
}

/// Two digits with weights 10 to 2 and 11 to 2, by 11; eleven times the same digit was never given.
fn cpf(signs: &[u8]) -> bool {
    let digit = |length: usize, from: u32| {
        let rest = weighted(signs.get(..length).unwrap_or_default(), (2..=from).rev()) % 11;
        signs.get(length).map(|sign| u32::from(sign.wrapping_sub(b'0'))) == Some(if rest < 2 { 0 } else { 11 - rest })
    };
    digit(9, 10) && digit(10, 11) && signs.iter().any(|sign| Some(sign) != signs.first())
}
