//! Units of measure and conversion between them. Every factor is the one that defines the unit, as decimal text, so that
//! a conversion is a single exact fraction that is rounded once at most. Calendar months and years have no fixed length
//! and are left out.

mod table;

use bigdecimal::BigDecimal;
use bigdecimal::num_traits::Zero;

use crate::decimal::{Answer, parse, quoted, root_of_ratio, within_limits};
use table::UNITS;

/// What a unit measures; only units of one kind convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Length,
    Mass,
    Temperature,
    Time,
    Volume,
    Data,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Length, Self::Mass, Self::Temperature, Self::Time, Self::Volume, Self::Data];

    fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Mass => "mass",
            Self::Temperature => "temperature",
            Self::Time => "time",
            Self::Volume => "volume",
            Self::Data => "data",
        }
    }
}

/// One unit: a value in it, plus `offset`, times `factor` over `divisor`, is the value in the base unit of its kind.
struct Unit {
    kind: Kind,
    /// The symbol first, then other names. A symbol counts by its case (`Mb` is not `MB`), a longer name does not.
    names: &'static [&'static str],
    factor: &'static str,
    divisor: &'static str,
    offset: &'static str,
}

impl Unit {
    fn symbol(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    fn answers_to(&self, name: &str) -> bool {
        self.names.iter().any(|known| *known == name || (known.len() > 3 && known.eq_ignore_ascii_case(name)))
    }
}

/// A converted value and the symbol of the unit it is in.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    /// The value in the unit asked for.
    pub answer: Answer,
    /// The symbol of that unit.
    pub unit: &'static str,
}

/// Converts `value` from one unit to another, to `precision` significant digits where it does not come out even.
///
/// # Errors
/// Says which unit is unknown, that the two measure different things, or that a temperature lies below absolute zero.
pub fn convert(value: &BigDecimal, from: &str, to: &str, precision: u32) -> Result<Converted, String> {
    let (source, target) = (find(from)?, find(to)?);
    if source.kind != target.kind {
        return Err(format!(
            "cannot convert {} to {}: {} is a {}, {} a {}",
            source.symbol(),
            target.symbol(),
            source.symbol(),
            source.kind.name(),
            target.symbol(),
            target.kind.name()
        ));
    }
    let shifted = value + parse(source.offset)?;
    if source.kind == Kind::Temperature && shifted < BigDecimal::zero() {
        return Err(format!("there is no such temperature: {} lies below absolute zero", source.symbol()));
    }
    // (value + offset) * factor / divisor = (result + offset') * factor' / divisor', solved for the result as one
    // fraction.
    let denominator = parse(source.divisor)? * parse(target.factor)?;
    let numerator = shifted * parse(source.factor)? * parse(target.divisor)? - parse(target.offset)? * &denominator;
    let answer = root_of_ratio(&numerator, &denominator, 1, precision);
    let value = within_limits(answer.value, "the result")?;
    Ok(Converted { answer: Answer { value, exact: answer.exact }, unit: target.symbol() })
}

fn find(name: &str) -> Result<&'static Unit, String> {
    UNITS
        .iter()
        .find(|unit| unit.answers_to(name))
        .ok_or_else(|| format!("{} is not a unit known here: {}", quoted(name), catalogue()))
}

/// All symbols by kind, as the description of the tool and the error above give them.
pub fn catalogue() -> String {
    let kinds = Kind::ALL.map(|kind| {
        let symbols: Vec<&str> = UNITS.iter().filter(|unit| unit.kind == kind).map(Unit::symbol).collect();
        format!("{}: {}", kind.name(), symbols.join(" "))
    });
    kinds.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal;

    fn run(value: &str, from: &str, to: &str) -> Result<(String, bool), String> {
        let converted = convert(&parse(value).unwrap(), from, to, 12)?;
        Ok((decimal::text(&converted.answer.value), converted.answer.exact))
    }

    #[test]
    fn conversions_use_the_defining_factors() {
        let cases = [
            ("1", "in", "m", "0.0254", true),
            ("1", "inch", "mm", "25.4", true),
            ("26.2", "Miles", "km", "42.1648128", true),
            ("1", "m", "ft", "3.28083989501", false),
            ("1", "lb", "g", "453.59237", true),
            ("16", "oz", "lb", "1", true),
            ("1", "t", "kg", "1000", true),
            ("100", "C", "F", "212", true),
            ("-40", "celsius", "FAHRENHEIT", "-40", true),
            ("98.6", "F", "C", "37", true),
            ("0", "K", "C", "-273.15", true),
            ("0", "C", "F", "32", true),
            ("1", "F", "K", "255.927777778", false),
            ("0", "degR", "K", "0", true),
            ("1", "wk", "s", "604800", true),
            ("90", "min", "h", "1.5", true),
            ("1", "gal", "l", "3.785411784", true),
            ("1", "impgal", "ml", "4546.09", true),
            ("1", "gal", "cup", "16", true),
            ("1", "m3", "L", "1000", true),
            ("1", "GiB", "MB", "1073.741824", true),
            ("8", "Mbit", "MB", "1", true),
            ("1", "byte", "bit", "8", true),
        ];
        for (value, from, to, expected, exact) in cases {
            assert_eq!(run(value, from, to), Ok((expected.to_owned(), exact)), "{value} {from} to {to}");
        }
    }

    #[test]
    fn there_and_back_is_where_it_began() {
        for unit in UNITS {
            let base = UNITS.iter().find(|other| other.kind == unit.kind).unwrap();
            let there = convert(&parse("12345.678").unwrap(), unit.symbol(), base.symbol(), 60).unwrap();
            let back = convert(&there.answer.value, base.symbol(), unit.symbol(), 20).unwrap();
            assert_eq!(decimal::text(&back.answer.value), "12345.678", "{}", unit.symbol());
        }
    }

    #[test]
    fn no_two_units_answer_to_one_name() {
        for unit in UNITS {
            for name in unit.names {
                let known: Vec<&str> = UNITS.iter().filter(|u| u.answers_to(name)).map(Unit::symbol).collect();
                assert_eq!(known, [unit.symbol()], "{name}");
            }
        }
    }

    #[test]
    fn what_cannot_be_converted_is_refused_in_plain_words() {
        let mixed = run("1", "m", "kg").unwrap_err();
        assert_eq!(mixed, "cannot convert m to kg: m is a length, kg a mass");
        let unknown = run("1", "furlong", "m").unwrap_err();
        assert!(unknown.contains("\"furlong\"") && unknown.contains("length: m "), "{unknown}");
        assert!(run("1", "mb", "B").unwrap_err().contains("not a unit"));
        assert!(run("-1", "K", "C").unwrap_err().contains("absolute zero"));
        assert!(run("-460", "F", "C").unwrap_err().contains("absolute zero"));
        assert!(run("1e9999", "m", "nm").unwrap_err().contains("too large"));
    }
}
