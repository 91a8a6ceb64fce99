//! What has no check digits and is known by its name alone: passport numbers, dates of birth, and BICs (ISO 9362).

use super::context::{NONE, Phrases, key_says, names};
use super::text::Text;
use std::ops::Range;

const PASSPORT: &Phrases = &Phrases::new(&[
    "passport*",
    "reisepass*",
    "passeport",
    "pasaporte",
    "passaporto",
    "paspoort*",
    "paszport*",
    "passaporte",
]);

/// Words after which a number is another one.
const NOT_PASSPORT: &Phrases = &Phrases::new(&[
    "expires",
    "expiry",
    "expired",
    "issued",
    "valid until",
    "photo",
    "mm",
    "application",
    "phone",
    "order",
    "version",
    "sha",
]);

/// The passport number with the run of digits `start..end`: eight or nine capitals and digits, six digits or more behind
/// capitals, or the other way around.
pub(super) fn passport(text: Text<'_>, start: usize, end: usize) -> Option<Range<usize>> {
    if end - start > 9 {
        return None;
    }
    let is_part = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let from = text.run_back(start, 9, is_part);
    let to = text.run_most(end, 9, is_part);
    let alone = text.starts_number(from) && text.ends_number(to) && !matches!(text.before(from), b'-' | b'/' | b'_');
    let linked = matches!(text.at(to), b'-' | b'/' | b':') && text.at(to + 1).is_ascii_alphanumeric();
    // Of several runs of digits the first one speaks.
    let first = !text.part(from..start).bytes().any(|byte| byte.is_ascii_digit());
    let plausible = first && alone && !linked && matches!(to - from, 8 | 9) && !is_day(text.part(from..to));
    (plausible && names(text, from, PASSPORT, NOT_PASSPORT)).then_some(from..to)
}

/// `20310506`.
fn is_day(token: &str) -> bool {
    let number = |range: Range<usize>| token.get(range).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    token.len() == 8
        && matches!(number(0..4), 1900..=2099)
        && matches!(number(4..6), 1..=12)
        && matches!(number(6..8), 1..=31)
}

const BIRTH: &Phrases = &Phrases::new(&[
    "born",
    "birth*",
    "dob",
    "d o b",
    "geboren",
    "geburts*",
    "geb",
    "né",
    "née",
    "né le",
    "naissance",
    "nacido",
    "nacida",
    "nacimiento",
    "nato",
    "nata",
    "nascita",
    "geboorte*",
    "urodz*",
    "nascimento",
    "nascido",
    "nascida",
    "född",
    "födelse*",
]);

const NOT_BIRTH: &Phrases = &Phrases::new(&[
    "issued", "expires", "expiry", "created", "updated", "died", "hired", "joined", "since", "valid", "version",
    "order",
]);

/// The date that the run of digits `start..end` is the first of, beside a word of birth.
pub(super) fn birth_date(text: Text<'_>, start: usize, end: usize) -> Option<Range<usize>> {
    let span = date(text, start, end)?;
    names(text, span.start, BIRTH, NOT_BIRTH).then_some(span)
}

/// Month names as they begin in English, German, French, Spanish, Italian and Dutch.
const MONTHS: [&str; 26] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mär", "mai", "okt", "dez",
    "fév", "avr", "jui", "aoû", "déc", "ene", "abr", "ago", "dic", "gen",
];

fn date(text: Text<'_>, start: usize, end: usize) -> Option<Range<usize>> {
    let first = number(text, start, end)?;
    let plain = !text.before(start).is_ascii_alphanumeric() && !matches!(text.before(start), b'-' | b'/' | b'.');
    if (1..=31).contains(&first)
        && let Some(from) = month_before(text, start)
    {
        let at = skip(text, ordinal(text, end), b" ,.", 2);
        return year(text, at).map(|to| from..to);
    }
    match end - start {
        8 if plain && text.context.key.len() >= 3 => is_day(text.part(start..end)).then_some(start..end),
        4 if plain && (1900..=2099).contains(&first) => {
            let (sign, month) = (text.at(end), two(text, end + 1, 12)?);
            let day =
                two(text, month + 1, 31).filter(|_| text.at(month) == sign && matches!(sign, b'-' | b'/' | b'.'))?;
            (!text.at(day).is_ascii_digit()).then_some(start..day)
        }
        1 | 2 if plain && (1..=31).contains(&first) => {
            let at = skip(text, ordinal(text, end), b" -.", 2);
            if let Some(after) = month_at(text, at) {
                return year(text, skip(text, after, b" -.,", 2)).map(|to| start..to);
            }
            let sign = text.at(end);
            let middle = two(text, end + 1, 31).filter(|_| matches!(sign, b'.' | b'/' | b'-'))?;
            let second = number(text, end + 1, middle)?;
            let to = year(text, middle + 1).filter(|_| text.at(middle) == sign)?;
            (first <= 12 || second <= 12).then_some(start..to)
        }
        _ => None,
    }
}

fn number(text: Text<'_>, start: usize, end: usize) -> Option<u32> {
    text.part(start..end).parse().ok()
}

/// Where one or two digits that are 1 to `most` end.
fn two(text: Text<'_>, at: usize, most: u32) -> Option<usize> {
    let end = text.run_most(at, 3, |byte| byte.is_ascii_digit());
    let fits = (1..=2).contains(&(end - at)) && (1..=most).contains(&number(text, at, end)?);
    fits.then_some(end)
}

/// Where the year at `at` ends: four digits, or two.
fn year(text: Text<'_>, at: usize) -> Option<usize> {
    let end = text.run_most(at, 5, |byte| byte.is_ascii_digit());
    let fits = match end - at {
        4 => (1900..=2099).contains(&number(text, at, end)?),
        2 => true,
        _ => false,
    };
    (fits && text.ends_number(end) && !(text.at(end) == b'-' && text.at(end + 1).is_ascii_digit())).then_some(end)
}

fn skip(text: Text<'_>, at: usize, signs: &[u8], most: usize) -> usize {
    text.run_most(at, most, |byte| signs.contains(&byte))
}

/// Behind `3rd`, `1er` or `2.`.
fn ordinal(text: Text<'_>, at: usize) -> usize {
    let ends = ["st", "nd", "rd", "th", "er", "º"];
    at + ends.iter().find(|end| text.part(at..at + end.len()) == **end).map_or(0, |end| end.len())
}

/// Where the month's name at `at` ends.
fn month_at(text: Text<'_>, at: usize) -> Option<usize> {
    if !text.at(at).is_ascii_alphabetic() && text.at(at) < 0x80 {
        return None;
    }
    let at = if text.part(at..at + 3) == "de " { at + 3 } else { at };
    let end = text.run_most(at, 12, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let name = text.part(at..end).to_lowercase();
    let end = if text.part(end..end + 4) == " de " { end + 3 } else { end };
    MONTHS.iter().any(|month| name.starts_with(month)).then_some(end)
}

/// Where the month's name before the day at `at` begins.
fn month_before(text: Text<'_>, at: usize) -> Option<usize> {
    let end = at.checked_sub(1).filter(|end| matches!(text.at(*end), b' ' | b'.'))?;
    if !text.before(end).is_ascii_alphabetic() && text.before(end) < 0x80 {
        return None;
    }
    let start = text.run_back(end, 12, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let name = text.part(start..end).to_lowercase();
    MONTHS.iter().any(|month| name.starts_with(month)).then_some(start)
}

const BIC: &Phrases = &Phrases::new(&["bic", "swift"]);

/// Countries of ISO 3166-1, and Kosovo.
const COUNTRIES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

/// Reports BICs, where the text or its key speaks of any.
pub(super) fn bics(text: Text<'_>, mut found: impl FnMut(Range<usize>)) {
    if text.text.len() < 8 || !key_says(text.context, BIC) && !spoken(text.text) {
        return;
    }
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let mut at = 0;
    loop {
        let start = text.run(at, |byte| !is_part(byte));
        let end = text.run(start, is_part);
        if start == end {
            return;
        }
        let whole = || text.starts_number(start) && !text.at(end).is_ascii_alphanumeric();
        if matches!(end - start, 8 | 11) && whole() && is_bic(text.part(start..end)) && names(text, start, BIC, NONE) {
            found(start..end);
        }
        at = end;
    }
}

/// Whether one of the names in `BIC` stands in the text, as a word or in one: found from the one sign that clean text
/// has fewest of.
fn spoken(text: &str) -> bool {
    let bytes = text.as_bytes();
    let stands = |at: usize, word: &str| {
        at.checked_sub(1)
            .and_then(|at| bytes.get(at..at + word.len()))
            .is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    bytes.iter().enumerate().any(|(at, byte)| match byte | 0x20 {
        b'i' => stands(at, "bic"),
        b'w' => stands(at, "swift"),
        _ => false,
    })
}

/// Four letters, a country, two signs, and none or three for a branch.
fn is_bic(token: &str) -> bool {
    let bytes = token.as_bytes();
    let bank = matches!(bytes.len(), 8 | 11) && bytes.iter().take(6).all(u8::is_ascii_uppercase);
    let country = token.get(4..6).unwrap_or_default();
    bank && COUNTRIES.as_bytes().chunks(2).any(|known| known == country.as_bytes())
}
