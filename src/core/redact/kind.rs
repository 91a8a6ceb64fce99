//! Kinds of findings: the detectors', whole fields, cut texts, and the patterns of a policy.

use crate::policy::document::Detector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A kind of finding. The order decides between two findings of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind(u16);

impl Kind {
    pub(super) const SECRET: Self = Self(0);
    pub(super) const CARD: Self = Self(1);
    pub(super) const IBAN: Self = Self(2);
    pub(super) const SSN: Self = Self(3);
    pub(super) const AHV: Self = Self(4);
    pub(super) const CODICE_FISCALE: Self = Self(5);
    pub(super) const NIR: Self = Self(6);
    pub(super) const CPF: Self = Self(7);
    pub(super) const STEUER_ID: Self = Self(8);
    pub(super) const PESEL: Self = Self(9);
    pub(super) const BSN: Self = Self(10);
    pub(super) const NHS: Self = Self(11);
    pub(super) const DNI: Self = Self(12);
    pub(super) const EMAIL: Self = Self(13);
    pub(super) const MAC: Self = Self(14);
    pub(super) const BIC: Self = Self(15);
    pub(super) const PASSPORT: Self = Self(16);
    pub(super) const BIRTH_DATE: Self = Self(17);
    pub(super) const PHONE: Self = Self(18);
    pub(super) const IP: Self = Self(19);
    /// A field that a policy names.
    pub(super) const FIELD: Self = Self(20);
    /// A text that was too long.
    pub(super) const TRUNCATED: Self = Self(21);

    /// The pattern at this place of a policy's patterns.
    pub(super) fn pattern(place: usize) -> Self {
        Self(u16::try_from(BUILT_IN.len() + place).unwrap_or(u16::MAX))
    }

    /// What a detector finds.
    pub(super) const fn of(detector: Detector) -> Self {
        match detector {
            Detector::Secret => Self::SECRET,
            Detector::Card => Self::CARD,
            Detector::Iban => Self::IBAN,
            Detector::Ssn => Self::SSN,
            Detector::Ahv => Self::AHV,
            Detector::CodiceFiscale => Self::CODICE_FISCALE,
            Detector::Nir => Self::NIR,
            Detector::Cpf => Self::CPF,
            Detector::SteuerId => Self::STEUER_ID,
            Detector::Pesel => Self::PESEL,
            Detector::Bsn => Self::BSN,
            Detector::Nhs => Self::NHS,
            Detector::Dni => Self::DNI,
            Detector::Email => Self::EMAIL,
            Detector::Mac => Self::MAC,
            Detector::Bic => Self::BIC,
            Detector::Passport => Self::PASSPORT,
            Detector::BirthDate => Self::BIRTH_DATE,
            Detector::Phone => Self::PHONE,
            Detector::Ip => Self::IP,
        }
    }

    /// Its place in a list by kind.
    pub(super) fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// The names of the kinds that are not patterns, by their place.
pub(super) const BUILT_IN: [&str; 22] = [
    "secret",
    "card",
    "iban",
    "ssn",
    "ahv",
    "codice_fiscale",
    "nir",
    "cpf",
    "steuer_id",
    "pesel",
    "bsn",
    "nhs",
    "dni",
    "email",
    "mac",
    "bic",
    "passport",
    "birth_date",
    "phone",
    "ip",
    "field",
    "truncated",
];

/// The kinds that detectors find.
pub(super) const DETECTED: [Kind; 20] = [
    Kind::SECRET,
    Kind::CARD,
    Kind::IBAN,
    Kind::SSN,
    Kind::AHV,
    Kind::CODICE_FISCALE,
    Kind::NIR,
    Kind::CPF,
    Kind::STEUER_ID,
    Kind::PESEL,
    Kind::BSN,
    Kind::NHS,
    Kind::DNI,
    Kind::EMAIL,
    Kind::MAC,
    Kind::BIC,
    Kind::PASSPORT,
    Kind::BIRTH_DATE,
    Kind::PHONE,
    Kind::IP,
];

/// A set of the kinds that detectors find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KindSet(u32);

impl KindSet {
    /// These.
    pub(super) const fn of(mut kinds: &[Kind]) -> Self {
        let mut set = 0;
        while let [kind, rest @ ..] = kinds {
            set |= 1 << kind.0;
            kinds = rest;
        }
        Self(set)
    }

    /// What is in both.
    #[must_use]
    pub(super) const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Without those of the other.
    #[must_use]
    pub(super) const fn less(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// With one more; a pattern is not kept.
    #[must_use]
    pub(super) fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1_u32.checked_shl(u32::from(kind.0)).unwrap_or(0))
    }

    /// Without one.
    #[must_use]
    pub(super) fn without(self, kind: Kind) -> Self {
        Self(self.0 & !1_u32.checked_shl(u32::from(kind.0)).unwrap_or(0))
    }

    /// Whether the kind is in it.
    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 & 1_u32.checked_shl(u32::from(kind.0)).unwrap_or(0) != 0
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// How many findings of which kind, while a document is walked.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<Kind, u64>);

impl Tally {
    /// One more.
    pub(super) fn add(&mut self, kind: Kind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// All of another.
    pub(super) fn absorb(&mut self, other: Self) {
        for (kind, count) in other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// By name.
    pub(super) fn named(self, names: &[Arc<str>]) -> Counts {
        let named = |(kind, count): (Kind, u64)| names.get(kind.place()).map(|name| (Arc::clone(name), count));
        Counts(self.0.into_iter().filter_map(named).collect())
    }
}

/// How many findings of which kind: a detector's name, a pattern's, `field` or `truncated`. Never their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Arc<str>, u64>);

impl Counts {
    /// Adds another document's.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(Arc::clone(kind)).or_default() += count;
        }
    }

    /// By kind, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_ref(), *count))
    }

    /// Of one kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
