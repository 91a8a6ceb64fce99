//! The labelled corpus: for each kind of finding 200 texts that hold one, and 200 that hold what only looks like one. It
//! is made from a seed and kept in `tests/cases/redaction/`; the files are what counts, and a test holds that this
//! program makes the same bytes.
//!
//! What is to be found is written from how each thing is defined and how people write it, not from what detectors take.

use super::carriers::{Carried, NEUTRAL, Names, carry};
use super::random::Random;
use super::{accounts, contacts, persons, secrets};
use serde::{Deserialize, Serialize};

/// A kind of finding and how to make one.
pub struct Kind {
    /// The detector's name.
    pub name: &'static str,
    pub names: Names,
    pub value: fn(&mut Random) -> Made,
    pub near: fn(&mut Random) -> Made,
}

/// A value.
pub struct Made {
    pub text: String,
    /// It is what it is, or nearly is, only beside its name; without, it may stand anywhere.
    pub named: bool,
    /// The text is already all there is, with its marks.
    pub whole: bool,
}

pub fn alone(text: String) -> Made {
    Made { text, named: false, whole: false }
}

pub fn beside(text: String) -> Made {
    Made { text, named: true, whole: false }
}

/// What any digit detector may stumble over.
pub fn confusing(random: &mut Random) -> Made {
    alone(match random.below(10) {
        0 => format!("ORD-{}-{}", random.between(2019, 2027), random.digits(6)),
        1 => random.uuid(),
        2 => random.instant(),
        3 => random.hex(40),
        4 => random.hex(64),
        5 => format!("v{}.{}.{}", random.below(30), random.below(30), random.below(30)),
        6 => format!("17{}", random.digits(8)),
        7 => format!("17{}", random.digits(11)),
        8 => format!("{}.{}", random.number(3), random.digits(2)),
        _ => random.number(6),
    })
}

/// The same with another last digit.
pub fn wrong_last(random: &mut Random, text: &str) -> String {
    let (start, last) = text.split_at(text.len() - 1);
    let other = (last.parse::<usize>().unwrap() + random.between(1, 9)) % 10;
    format!("{start}{other}")
}

/// A line of the corpus. What is between `‹` and `›` is to be found, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What the value stands in.
    #[serde(rename = "in")]
    pub carrier: String,
    pub text: String,
}

/// All kinds.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    contacts::KINDS.iter().chain(&accounts::KINDS).chain(&persons::KINDS).chain([&secrets::KIND])
}

const EACH: usize = 200;

/// The samples of a kind, as many as are kept: what is to be found, and then what is not. Another `seed` than the kind's
/// name makes others.
pub fn samples(kind: &Kind, seed: &str) -> Vec<Sample> {
    let mut random = Random::named(seed);
    let mut make = |make: fn(&mut Random) -> Made, labelled: bool, place: usize| {
        let made = make(&mut random);
        if made.whole {
            return Sample { carrier: "whole".into(), text: made.text };
        }
        let own = made.named || labelled && random.once_in(2);
        let names = if own { &kind.names } else { &NEUTRAL };
        let Carried { carrier, text } = carry(&mut random, place, names, &made.text, labelled);
        Sample { carrier: carrier.into(), text }
    };
    let found: Vec<_> = (0..EACH).map(|place| make(kind.value, true, place)).collect();
    found.into_iter().chain((0..EACH).map(|place| make(kind.near, false, place))).collect()
}

/// The samples as they are kept: one JSON object in a line.
pub fn written(kind: &Kind) -> String {
    let mut lines = String::new();
    for sample in samples(kind, kind.name) {
        let line = serde_json::to_string(&sample).unwrap();
        lines.push_str(&if kind.name == "secret" { escaped(&line) } else { line });
        lines.push('\n');
    }
    lines
}

/// With the first sign of each labelled value as an escape.
fn escaped(line: &str) -> String {
    match line.split_once('‹') {
        Some((before, after)) => {
            let first = after.chars().next().unwrap();
            format!("{before}‹\\u{:04x}{}", u32::from(first), &after[first.len_utf8()..])
        }
        None => line.to_owned(),
    }
}
