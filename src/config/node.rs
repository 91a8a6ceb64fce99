//! A YAML document as a tree in which each value knows its line and column. What a value should be is `check`'s
//! business, what it means is `compile`'s.

use portcullis_core::problem::{Path, Segment};
use serde_json::Value;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub content: Content,
    /// It came from a reference such as `${env:NAME}`: it is never shown.
    pub hidden: bool,
}

/// What a value is.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file, each key once.
    Map(Vec<Entry>),
    /// A value that could not be read. What is wrong with it is said already, so nobody needs to complain again.
    Unreadable,
}

/// One entry of a mapping.
#[derive(Debug)]
pub struct Entry {
    /// Its key, as text.
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// A value that is not from a reference.
    pub const fn new(at: Position, content: Content) -> Self {
        Self { at, content, hidden: false }
    }

    /// The entry `key` of this mapping.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text of this value, where it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The keys of this mapping.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = match &self.content {
            Content::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| entry.key.as_str())
    }

    /// What stands one step further, and where its author looks for it: a scalar itself, a block at its key.
    fn step(&self, segment: &Segment) -> Option<(&Self, Position)> {
        match (segment, &self.content) {
            (Segment::Key(key), _) => self.entry(key).map(|entry| {
                let block = matches!(entry.value.content, Content::List(_) | Content::Map(_) | Content::Null);
                (&entry.value, if block { entry.at } else { entry.value.at })
            }),
            (Segment::Index(index), Content::List(items)) => items.get(*index).map(|item| (item, item.at)),
            (Segment::Index(_), _) => None,
        }
    }

    /// The value at `path`.
    pub fn find(&self, path: &Path) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, segment| node.step(segment).map(|(next, _)| next))
    }

    /// Where the value at `path` stands, or the nearest value around it that is there.
    pub fn locate(&self, path: &Path) -> Position {
        let mut place = (self, self.at);
        for segment in &path.0 {
            match place.0.step(segment) {
                Some(next) => place = next,
                None => break,
            }
        }
        place.1
    }

    /// The text at `path` for a message: quoted, unless it may be secret.
    pub fn quote(&self, path: &Path) -> String {
        let secret = path.0.iter().any(|segment| matches!(segment, Segment::Key(key) if names_secret(key)));
        match self.find(path) {
            Some(node) if !node.hidden && !secret => {
                node.text().map_or_else(|| "this value".into(), |text| format!("`{text}`"))
            }
            _ => "this value".into(),
        }
    }

    /// The value without places.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null | Content::Unreadable => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect())
            }
        }
    }
}

/// Whether values under this key are never shown.
pub fn names_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "key", "password", "token"].iter().any(|word| key.contains(word))
}

/// The key for a message; `None` where it is unlike a name, such as `gateway_secret:hunter2`, which only lacks a space.
pub fn presentable(key: &str) -> Option<&str> {
    let plain = |c: char| c.is_alphanumeric() || "-_.*?/@$".contains(c);
    (!key.is_empty() && key.len() <= 100 && key.chars().all(plain)).then_some(key)
}
