//! Reads the lines of an export, value by value into their places: who checks an export does little else, millions of times.

use super::{COLUMNS, Cell, Stored};
use crate::audit::chain::Hash;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::error::Category;
use std::fmt;

/// The row of a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &str) -> Result<Stored, String> {
    if !line.trim_start().starts_with('{') {
        return Err("it is not an object".into());
    }
    let read: Result<Line, _> = serde_json::from_str(line);
    read.map(|line| line.0).map_err(|error| match error.classify() {
        Category::Data => error.to_string(),
        Category::Io | Category::Syntax | Category::Eof => format!("it is not JSON: {error}"),
    })
}

/// The name of the value at this place: of a column, or the hash behind them.
fn name(at: usize) -> Option<&'static str> {
    COLUMNS.get(at).copied().or((at == COLUMNS.len()).then_some("hash"))
}

struct Line(Stored);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Stored;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stored, A::Error> {
        let mut found = [const { None }; COLUMNS.len() + 1];
        let mut likely = 0;
        while let Some(at) = map.next_key_seed(Place { likely })? {
            let value: Value = map.next_value()?;
            if let Some(slot) = found.get_mut(at)
                && slot.replace(value.0).is_some()
            {
                return Err(A::Error::custom(format!("`{}` is there twice", name(at).unwrap_or_default())));
            }
            likely = at + 1;
        }
        row(found).map_err(A::Error::custom)
    }
}

fn row(found: [Option<Cell>; COLUMNS.len() + 1]) -> Result<Stored, String> {
    let mut cells = Box::new([const { Cell::Null }; COLUMNS.len()]);
    let mut hash = None;
    for (at, value) in found.into_iter().enumerate() {
        let value = value.ok_or_else(|| format!("`{}` is missing", name(at).unwrap_or_default()))?;
        match cells.get_mut(at) {
            Some(cell) => *cell = value,
            None => hash = value.text().and_then(Hash::parse),
        }
    }
    let hash = hash.ok_or("`hash` is not 64 hex digits")?;
    Stored::new(cells, hash).ok_or_else(|| "`seq` is no number".into())
}

/// Where the value of a name belongs. Whoever wrote the line most likely kept the order.
struct Place {
    likely: usize,
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<usize, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Place {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a column")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        if name(self.likely) == Some(text) {
            return Ok(self.likely);
        }
        let at = (0..=COLUMNS.len()).find(|at| name(*at) == Some(text));
        at.ok_or_else(|| E::custom(format!("`{text}` is no column")))
    }
}

struct Value(Cell);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CellVisitor).map(Self)
    }
}

struct CellVisitor;

impl Visitor<'_> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, an integer or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Cell, E> {
        Ok(Cell::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Cell, E> {
        i64::try_from(number).map(Cell::Int).map_err(|_| E::custom("a number is too large"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Cell, E> {
        Err(E::custom("a number is no integer"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.into()))
    }
}
