//! The arguments of a call, read when a rule first asks about them.

use crate::policy::json::Json;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The arguments are not a JSON object, hold a key twice, or a number that no double can come near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the arguments are not a JSON object without duplicate keys")]
pub struct Unreadable;

/// The bytes of a call's `arguments`, and what they say, worked out at most once.
#[derive(Debug)]
pub struct CallArguments<'a> {
    raw: &'a [u8],
    members: OnceLock<Option<BTreeMap<String, Json>>>,
    value: OnceLock<Option<Value>>,
}

impl<'a> CallArguments<'a> {
    /// The JSON text of `arguments`; empty where the call has none, which means `{}`.
    pub fn new(raw: &'a [u8]) -> Self {
        Self { raw: if raw.is_empty() { b"{}" } else { raw }, members: OnceLock::new(), value: OnceLock::new() }
    }

    /// As the caller sent them.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The arguments as plain JSON, where numbers are rounded to what `serde_json` holds. Rules do not use this: they
    /// see numbers as written.
    pub fn value(&self) -> Result<&Value, Unreadable> {
        let parse = || self.members().ok().and_then(|_| serde_json::from_slice(self.raw).ok());
        self.value.get_or_init(parse).as_ref().ok_or(Unreadable)
    }

    /// The arguments as rules see them.
    pub(super) fn members(&self) -> Result<&BTreeMap<String, Json>, Unreadable> {
        let read = || match Json::read(self.raw) {
            Some(Json::Object(members)) => Some(members),
            _ => None,
        };
        self.members.get_or_init(read).as_ref().ok_or(Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_or_unreadable() {
        assert_eq!(CallArguments::new(b"").value().unwrap(), &serde_json::json!({}));
        assert_eq!(CallArguments::new(br#"{"a":[1]}"#).value().unwrap(), &serde_json::json!({ "a": [1] }));
        for raw in ["null", "[]", "1", "\"a\"", "{", r#"{"a":1,"a":1}"#, r#"{"a":1e400}"#] {
            assert_eq!(CallArguments::new(raw.as_bytes()).value(), Err(Unreadable), "{raw}");
        }
    }
}
