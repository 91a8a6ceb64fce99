//! A message as ordinary readers of JSON have it: serde_json, and one that folds keys as lenient readers do.
//!
//! What is compared is the method, the id, the name and the arguments. A reader may refuse what we accept; it may not read
//! something else. Numbers are compared as their text, so that no rounding hides a difference.

use portcullis_core::jsonrpc::{Frame, string};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What a message says to one reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The method; `None` where there is none, or it is no string.
    pub method: Option<String>,
    /// The id as written; `None` where there is none, or it is null.
    pub id: Option<String>,
    /// `params.name`, where it is a string.
    pub name: Option<String>,
    /// `params.uri`, where it is a string.
    pub uri: Option<String>,
    /// `params.arguments` as written.
    pub arguments: Option<String>,
}

/// As we read it.
pub fn ours(body: &[u8], frame: &Frame) -> Reading {
    let of_params = |key: &str| frame.params.as_ref().and_then(|params| params.value(key)).map(|span| span.of(body));
    let raw = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the body is UTF-8");
    let text = |bytes: &[u8]| string(bytes).map(|text| text.into_owned());
    Reading {
        method: Some(frame.method.clone()).filter(|method| !method.is_empty()),
        id: frame.id.map(|id| raw(id.of(body))),
        name: of_params("name").and_then(text),
        uri: of_params("uri").and_then(text),
        arguments: of_params("arguments").map(raw),
    }
}

/// As serde_json reads it, the last of equal keys; `None` where it does not.
pub fn plain(body: &[u8]) -> Option<Reading> {
    reading(body, |key, wanted| key == wanted)
}

/// As a reader has it that matches keys like Go's `encoding/json`: without regard to case by Unicode's simple folding, so
/// that `ſ` (U+017F) is `s` and the Kelvin sign (U+212A) is `k`, and the last of all that match counts.
pub fn folding(body: &[u8]) -> Option<Reading> {
    reading(body, |key, wanted| key.chars().map(fold).eq(wanted.chars().map(fold)))
}

fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    }
}

fn reading(body: &[u8], matches: fn(&str, &str) -> bool) -> Option<Reading> {
    let root = Members::read(body)?;
    let params = root.last("params", matches).and_then(|params| Members::read(params.get().as_bytes()));
    let of_params = |key: &str| params.as_ref().and_then(|params| params.last(key, matches));
    Some(Reading {
        method: root.last("method", matches).and_then(text),
        id: root.last("id", matches).map(raw).filter(|id| id != "null"),
        name: of_params("name").and_then(text),
        uri: of_params("uri").and_then(text),
        arguments: of_params("arguments").map(raw),
    })
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn raw(value: &RawValue) -> String {
    value.get().to_owned()
}

/// The members of an object as serde_json delivers them, equal keys and all.
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The object that `text` is.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The last member whose key matches.
    pub fn last(&self, wanted: &str, matches: fn(&str, &str) -> bool) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| matches(key, wanted)).map(|(_, value)| *value)
    }

    /// The last member of exactly this key, as written.
    pub fn raw(&self, wanted: &str) -> Option<&'a str> {
        self.last(wanted, |key, wanted| key == wanted).map(RawValue::get)
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            members.push(entry);
        }
        Ok(Members(members))
    }
}
