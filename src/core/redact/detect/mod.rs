//! What redaction can find by itself: shapes that are checked before anything is replaced.
//!
//! Each detector is anchored on a sign that clean text has few of (a digit, `@`, a colon, the first signs of a token)
//! and reads a bounded number of bytes around it, so that a search is linear in the text whatever the text is.

mod card;
mod context;
mod email;
mod iban;
mod identity;
mod ip;
mod mac;
mod national;
mod papers;
mod phone;
mod run;
mod secret;
mod text;

pub(super) use self::secret::names_secret;
pub(super) use self::text::{Context, Text};

use self::secret::Secrets;
use super::kind::{DETECTED, Kind, KindSet};
use memchr::{memchr, memchr_iter};
use std::ops::Range;

/// All detectors, ready.
pub(super) struct Detectors {
    secrets: Secrets,
}

impl Detectors {
    /// Builds what must be built.
    pub(super) fn new() -> Result<Self, aho_corasick::BuildError> {
        Secrets::new().map(|secrets| Self { secrets })
    }

    /// Where in a document something begins like a secret, in order.
    pub(super) fn secret_starts(&self, document: &str) -> Vec<usize> {
        self.secrets.starts(document)
    }

    /// Reports everything of the `wanted` kinds in the text, by detector and then in order; findings of different kinds
    /// may overlap.
    pub(super) fn find(&self, text: Text<'_>, wanted: KindSet, mut found: impl FnMut(Kind, Range<usize>)) {
        if wanted.has(Kind::EMAIL) {
            emails(text, &mut found);
        }
        if !wanted.both(NUMERIC).is_empty() {
            numbers(text, wanted, &mut found);
        }
        if wanted.has(Kind::IP) {
            colons(text, &mut found);
        }
        if wanted.has(Kind::SECRET) {
            self.secrets.find(text, |span| found(Kind::SECRET, span));
        }
        if wanted.has(Kind::BIC) {
            papers::bics(text, |span| found(Kind::BIC, span));
        }
    }
}

/// The kinds that are found from a digit.
pub(super) const NUMERIC: KindSet = KindSet::of(&DETECTED).less(KindSet::of(&[Kind::SECRET, Kind::EMAIL, Kind::BIC]));

/// Those of them that `national` finds.
const NATIONAL: KindSet = KindSet::of(&[
    Kind::CODICE_FISCALE,
    Kind::NIR,
    Kind::CPF,
    Kind::STEUER_ID,
    Kind::PESEL,
    Kind::BSN,
    Kind::NHS,
    Kind::DNI,
]);

fn emails(text: Text<'_>, found: &mut impl FnMut(Kind, Range<usize>)) {
    for at in memchr_iter(b'@', text.text.as_bytes()) {
        if let Some(span) = email::around(text, at) {
            found(Kind::EMAIL, span);
        }
    }
}

fn numbers(text: Text<'_>, wanted: KindSet, found: &mut impl FnMut(Kind, Range<usize>)) {
    let (mut at, mut mac_from) = (0, 0);
    loop {
        let start = text.digit(at);
        let end = text.run(start, |byte| byte.is_ascii_digit());
        if start == end {
            return;
        }
        at = end;
        let mut wanted = wanted.both(run::plausible(text, start, end));
        if wanted.has(Kind::MAC) {
            let beyond = if start < mac_from { Some(mac_from) } else { mac::beyond(text, start, end) };
            mac_from = beyond.unwrap_or(mac_from);
            wanted = if beyond.is_some() { wanted.without(Kind::MAC) } else { wanted };
        }
        if !wanted.is_empty() {
            number(text, start, end, wanted, found);
        }
    }
}

fn number(text: Text<'_>, start: usize, end: usize, wanted: KindSet, found: &mut impl FnMut(Kind, Range<usize>)) {
    let mut report = |kind: Kind, find: &dyn Fn() -> Option<Range<usize>>| {
        if let Some(span) = wanted.has(kind).then(find).flatten() {
            found(kind, span);
        }
    };
    report(Kind::CARD, &|| card::at(text, start, end));
    report(Kind::SSN, &|| identity::ssn(text, start, end));
    report(Kind::AHV, &|| identity::ahv(text, start));
    report(Kind::IBAN, &|| iban::at(text, start));
    report(Kind::PHONE, &|| phone::at(text, start));
    report(Kind::IP, &|| ip::v4(text, start, end));
    report(Kind::MAC, &|| mac::at(text, start));
    report(Kind::PASSPORT, &|| papers::passport(text, start, end));
    report(Kind::BIRTH_DATE, &|| papers::birth_date(text, start, end));
    if !wanted.both(NATIONAL).is_empty() {
        national::at(text, start, end, wanted, found);
    }
}

fn colons(text: Text<'_>, found: &mut impl FnMut(Kind, Range<usize>)) {
    let mut at = 0;
    while let Some(offset) = text.text.as_bytes().get(at..).and_then(|rest| memchr(b':', rest)) {
        let colon = at + offset;
        at = match ip::v6(text, colon) {
            Ok(span) => {
                let end = span.end;
                found(Kind::IP, span);
                end
            }
            Err(next) => next,
        }
        .max(colon + 1);
    }
}
