//! What is pinned, and how one canonical form differs from another.

use serde_json::Value;
use std::collections::BTreeSet;

/// What a pin is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PinKind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// An upstream's words about itself.
    Instructions,
}

impl PinKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Tool, Self::Prompt, Self::Instructions];

    /// The name in the state database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Instructions => "instructions",
        }
    }

    /// From the name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A place in which two definitions differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// JSON pointer (RFC 6901).
    pub at: String,
    /// What stood there, as JSON.
    pub before: Option<String>,
    /// What stands there now, as JSON.
    pub after: Option<String>,
}

impl Change {
    /// The member of the definition that it is in.
    pub fn field(&self) -> &str {
        self.at.trim_start_matches('/').split('/').next().unwrap_or_default()
    }
}

/// Where two definitions in canonical form differ, in the order of their keys.
pub fn changes(before: &str, after: &str) -> Vec<Change> {
    let mut found = Vec::new();
    let read = |text| serde_json::from_str::<Value>(text).ok();
    compare("", read(before).as_ref(), read(after).as_ref(), &mut found);
    found
}

fn compare(at: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        _ if before == after => {}
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                compare(&format!("{at}/{escaped}"), one.get(key), other.get(key), found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) if one.len() == other.len() => {
            for (position, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{at}/{position}"), Some(one), Some(other), found);
            }
        }
        _ => {
            let text = |value: Option<&Value>| value.map(Value::to_string);
            found.push(Change { at: at.to_owned(), before: text(before), after: text(after) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_by_its_place() {
        let before = r#"{"a":{"x/y":[1,2],"k":[1]},"b":"old","c":1}"#;
        let after = r#"{"a":{"x/y":[1,3],"k":[1,2]},"b":"new","d":null}"#;
        let found: Vec<_> = changes(before, after)
            .into_iter()
            .map(|change| (change.at.clone(), change.field().to_owned(), change.before, change.after))
            .collect();
        let change = |at: &str, field: &str, before: Option<&str>, after: Option<&str>| {
            (at.to_owned(), field.to_owned(), before.map(str::to_owned), after.map(str::to_owned))
        };
        assert_eq!(
            found,
            [
                change("/a/k", "a", Some("[1]"), Some("[1,2]")),
                change("/a/x~1y/1", "a", Some("2"), Some("3")),
                change("/b", "b", Some(r#""old""#), Some(r#""new""#)),
                change("/c", "c", Some("1"), None),
                change("/d", "d", None, Some("null")),
            ]
        );
        assert_eq!(changes(before, before), []);
    }

    #[test]
    fn every_kind_has_a_name() {
        for kind in PinKind::ALL {
            assert_eq!(PinKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(PinKind::parse("resource"), None);
    }
}
