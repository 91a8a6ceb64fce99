//! JSON as rules see it: no key twice, and only numbers that every reader reads alike.
//!
//! `serde_json::Value` would keep the last of two equal keys and round `100.00000000000000001` to 100: a rule would
//! then judge another value than the upstream sees, which gets the original bytes.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

/// The largest whole number up to which an IEEE 754 double holds all of them, 2^53 - 1 (RFC 8259 section 6).
const MAX_SAFE: i64 = (1 << 53) - 1;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// A JSON number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// A whole number within 2^53.
    Integer(i64),
    /// A number with a fraction or an exponent that a double holds, within 2^53.
    Fraction(f64),
    /// Any other: readers differ on what it is.
    Inexact,
}

impl Number {
    fn read(text: &str) -> Self {
        if text.contains(['.', 'e', 'E']) {
            return Self::read_fraction(text).map_or(Self::Inexact, Self::Fraction);
        }
        match text.parse::<i64>() {
            Ok(number) if (-MAX_SAFE..=MAX_SAFE).contains(&number) => Self::Integer(number),
            _ => Self::Inexact,
        }
    }

    /// A double holds a decimal where it prints as the same one.
    fn read_fraction(text: &str) -> Option<f64> {
        let number: f64 = text.parse().ok()?;
        let held = number.abs() <= MAX_SAFE as f64 && decimal(text)? == decimal(&format!("{number:e}"))?;
        held.then_some(number)
    }

    /// The number; `None` where readers differ.
    pub fn exact(self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(number as f64),
            Self::Fraction(number) => Some(number),
            Self::Inexact => None,
        }
    }
}

/// Sign, digits without zeros at either end, and the power of ten of the last digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let significant = significant.trim_start_matches('0').to_owned();
    if significant.is_empty() {
        return Some((false, significant, 0));
    }
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    Some((negative, significant, exponent.checked_add(dropped)?))
}

impl Json {
    /// Reads JSON text; `None` where it is none, or holds a key twice, or a number beyond any double.
    pub fn read(text: &[u8]) -> Option<Self> {
        let numbers = RefCell::new(NumberTexts { text, at: 0 });
        let mut reader = serde_json::Deserializer::from_slice(text);
        let json = Reader(&numbers).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(json)
    }

    /// The type, in words.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Whether a number in it is read differently by different readers.
    pub fn is_inexact(&self) -> bool {
        match self {
            Self::Number(number) => *number == Number::Inexact,
            Self::List(members) => members.iter().any(Self::is_inexact),
            Self::Object(members) => members.values().any(Self::is_inexact),
            Self::Null | Self::Bool(_) | Self::Text(_) => false,
        }
    }

    /// Whether both are the same value, whether a number is written `1` or `1.0`.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.exact().is_some_and(|one| Some(one) == other.exact()),
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.same(other))
            }
            (Self::Object(one), Self::Object(other)) => {
                one.len() == other.len()
                    && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| one.same(other)))
            }
            (one, other) => one == other,
        }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(Number::read(&number.to_string())),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(members) => Self::List(members.iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Object(members.iter().map(|(key, member)| (key.clone(), Self::from(member))).collect())
            }
        }
    }
}

/// The numbers of a JSON text as written, in order. Reads only what the JSON reader has already found well-formed, so
/// that skipping strings is enough.
struct NumberTexts<'a> {
    text: &'a [u8],
    at: usize,
}

impl NumberTexts<'_> {
    fn next(&mut self) -> Option<Number> {
        loop {
            match self.text.get(self.at)? {
                b'"' => self.skip_string()?,
                b'-' | b'0'..=b'9' => return self.take_number(),
                _ => self.at += 1,
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        loop {
            self.at += 1;
            match self.text.get(self.at)? {
                b'\\' => self.at += 1,
                b'"' => break,
                _ => {}
            }
        }
        self.at += 1;
        Some(())
    }

    fn take_number(&mut self) -> Option<Number> {
        let rest = self.text.get(self.at..)?;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += length;
        Some(Number::read(std::str::from_utf8(rest.get(..length)?).ok()?))
    }
}

struct Reader<'n, 'a>(&'n RefCell<NumberTexts<'a>>);

impl Reader<'_, '_> {
    fn number<E: Error>(&self) -> Result<Json, E> {
        let number = self.0.borrow_mut().next();
        number.map(Json::Number).ok_or_else(|| E::custom("a number without text"))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Json, E> {
        self.number()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Json, E> {
        self.number()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        self.number()
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_element_seed(Reader(self.0))? {
            list.push(member);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(key) = members.next_key::<String>()? {
            let member = members.next_value_seed(Reader(self.0))?;
            if object.insert(key, member).is_some() {
                return Err(A::Error::custom("a key twice"));
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        match Json::read(text.as_bytes()) {
            Some(Json::Number(number)) => number,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_number_is_exact_where_a_double_holds_it() {
        for (text, expected) in [
            ("1", Number::Integer(1)),
            ("-0", Number::Integer(0)),
            ("9007199254740991", Number::Integer(MAX_SAFE)),
            ("1.0", Number::Fraction(1.0)),
            ("0.1", Number::Fraction(0.1)),
            ("1e3", Number::Fraction(1000.0)),
            ("0.30000000000000004", Number::Fraction(0.1 + 0.2)),
            ("-2.50e0", Number::Fraction(-2.5)),
            ("0e9", Number::Fraction(0.0)),
            ("1E-7", Number::Fraction(1e-7)),
            ("9007199254740992", Number::Inexact),
            ("-9007199254740993", Number::Inexact),
            ("123456789012345678901234567890", Number::Inexact),
            ("9007199254740993.0", Number::Inexact),
            ("100.00000000000000001", Number::Inexact),
            ("1e300", Number::Inexact),
            ("1e-400", Number::Inexact),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_told_apart_in_their_order() {
        let json = Json::read(br#"{"b": "1 \" 2.5 \\", "a": [1, -2.5, {"7": 9007199254740993}], "c": 4}"#).unwrap();
        let Json::Object(members) = json else { panic!("an object") };
        let inner = Json::Object([("7".to_owned(), Json::Number(Number::Inexact))].into());
        let list = vec![Json::Number(Number::Integer(1)), Json::Number(Number::Fraction(-2.5)), inner];
        assert_eq!(members["a"], Json::List(list));
        assert_eq!(members["c"], Json::Number(Number::Integer(4)));
    }

    #[test]
    fn what_readers_read_differently_is_not_json() {
        for text in
            [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"\u0062":1}}"#, "1e400", "{} x", "", "[1,]", "NaN", r#""\ud800""#]
        {
            assert_eq!(Json::read(text.as_bytes()), None, "{text}");
        }
    }
}
