//! What a run of decimal digits may be a part of, by its length and the signs beside it alone: most numbers of clean texts
//! are nothing that is looked for, and no detector need read them. Each of these says less than its detector does.

use super::text::Text;
use crate::redact::kind::{Kind, KindSet};
use std::ops::Range;

/// The kinds of which `start..end` may be the first digits.
pub(super) fn plausible(text: Text<'_>, start: usize, end: usize) -> KindSet {
    let length = end - start;
    let kinds = BY_LENGTH.get(length).copied().unwrap_or(LONG);
    let behind = if text.before(start).is_ascii_alphabetic() { BEHIND_LETTER } else { BEHIND_OTHER };
    let before = match text.at(end) {
        sign if sign.is_ascii_alphabetic() => BEFORE_LETTER,
        b' ' | b'-' | b'.' | b'/' => return kinds.both(behind),
        // Only in brackets a number goes on behind its first digits with another sign.
        b'(' | b')' if SHORT.contains(&length) => SHORT_ALONE,
        _ if SHORT.contains(&length) => SHORT_ALONE.without(PHONE),
        _ => return kinds.both(behind),
    };
    kinds.both(behind).both(before)
}

/// By the length of the run. Telephone and account numbers may begin with any; dates with day, month, year or all.
const BY_LENGTH: [KindSet; 20] = [
    KindSet::of(&[]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, IP, BIRTH_DATE, Kind::CODICE_FISCALE, Kind::NIR]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, IP, BIRTH_DATE, Kind::STEUER_ID, Kind::DNI, Kind::CODICE_FISCALE]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, IP, Kind::SSN, Kind::AHV, Kind::BSN, Kind::NHS, Kind::CPF]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, BIRTH_DATE, Kind::CARD, Kind::BSN]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, Kind::NIR]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, Kind::DNI]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, BIRTH_DATE, Kind::DNI]),
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, Kind::SSN, Kind::BSN, Kind::CPF]),
    KindSet::of(&[IBAN, PHONE, MAC, Kind::NHS]),
    KindSet::of(&[IBAN, PHONE, MAC, Kind::STEUER_ID, Kind::PESEL, Kind::CPF]),
    KindSet::of(&[IBAN, PHONE, MAC]),
    KindSet::of(&[IBAN, PHONE, Kind::CARD, Kind::AHV]),
    KindSet::of(&[IBAN, PHONE, Kind::CARD]),
    KindSet::of(&[IBAN, PHONE, Kind::CARD, Kind::NIR]),
    KindSet::of(&[IBAN, Kind::CARD]),
    KindSet::of(&[IBAN, Kind::CARD]),
    KindSet::of(&[IBAN, Kind::CARD]),
    KindSet::of(&[IBAN, Kind::CARD]),
];

const LONG: KindSet = KindSet::of(&[IBAN]);

/// What begins with letters, or may stand right behind a word.
const BEHIND_LETTER: KindSet = KindSet::of(&[IBAN, MAC, PASSPORT, Kind::CARD, Kind::DNI, Kind::CODICE_FISCALE]);

/// All but what has letters right before its first digits.
const BEHIND_OTHER: KindSet = KindSet::of(&[
    PHONE,
    MAC,
    PASSPORT,
    IP,
    BIRTH_DATE,
    Kind::CARD,
    Kind::SSN,
    Kind::AHV,
    Kind::STEUER_ID,
    Kind::BSN,
    Kind::DNI,
    Kind::CODICE_FISCALE,
    Kind::NIR,
    Kind::PESEL,
    Kind::NHS,
    Kind::CPF,
]);

/// What goes on with letters, or may stand right before a word; a day has `th` behind it.
const BEFORE_LETTER: KindSet =
    KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, BIRTH_DATE, Kind::CARD, Kind::DNI, Kind::CODICE_FISCALE, Kind::NIR]);

/// Lengths of runs that are never the whole of a state's number, nor of an address.
const SHORT: Range<usize> = 1..5;

/// What such a run may begin without a space, a dash, a dot or a slash behind it.
const SHORT_ALONE: KindSet = KindSet::of(&[IBAN, PHONE, MAC, PASSPORT, BIRTH_DATE, Kind::CARD]);

const IBAN: Kind = Kind::IBAN;
const PHONE: Kind = Kind::PHONE;
const MAC: Kind = Kind::MAC;
const PASSPORT: Kind = Kind::PASSPORT;
const IP: Kind = Kind::IP;
const BIRTH_DATE: Kind = Kind::BIRTH_DATE;
