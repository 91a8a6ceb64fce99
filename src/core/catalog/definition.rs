//! A definition as its upstream wrote it: the bytes that each kind of caller gets, and the canonical form that pins are
//! made of.
//!
//! The canonical form holds what a model reads and a call is checked by, and nothing else: icons, `_meta` and members
//! that nobody knows may change without a person being asked.

use crate::jsonrpc::{self, Limits, Object, quote};
use crate::mcp::rewrite::{change, splice};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How large and deep a definition may be.
pub const DEFINITION: Limits = Limits { depth: 64, nodes: 20_000, key_bytes: 1024, id_bytes: 256 };

/// The longest name of a tool or prompt (MCP 2026-07-28 "Tool Names": 1 to 128 characters).
const NAME_CHARS: usize = 128;

/// The greatest integer below which a double holds every one.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What a pin is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    /// JSON: keys in order, no spaces, numbers in one spelling.
    pub text: Arc<str>,
    /// SHA-256 of it, in hex.
    pub digest: String,
}

impl Canonical {
    /// The form of `definition`'s members `keys`.
    pub fn of(definition: &Map<String, Value>, keys: &[&str]) -> Self {
        let kept = keys.iter().filter_map(|key| Some(((*key).to_owned(), definition.get(*key)?.clone())));
        let mut text = String::new();
        write(&Value::Object(kept.collect()), &mut text);
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text: text.into(), digest }
    }
}

/// As RFC 8785 has it, but that integers beyond what a double holds stay exact.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(key, _)| key.as_str());
            let write_member = |(key, value): &(&String, &Value), out: &mut String| {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
            };
            sequence(('{', '}'), &members, write_member, out);
        }
        Value::Array(items) => sequence(('[', ']'), items, write, out),
        Value::Number(number) => out.push_str(&plain(number)),
        other => out.push_str(&other.to_string()),
    }
}

fn sequence<T>(around: (char, char), items: &[T], write: impl Fn(&T, &mut String), out: &mut String) {
    out.push(around.0);
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(around.1);
}

/// `1` for 1.0 and 1e0, which mean the same to everybody.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        // The sum takes the sign from zero.
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < EXACT => {
            format!("{:.0}", double + 0.0)
        }
        _ => number.to_string(),
    }
}

/// A definition that was read.
pub(super) struct Raw<'a> {
    bytes: &'a [u8],
    object: Object,
    /// The same, for looking into.
    pub members: Map<String, Value>,
}

impl<'a> Raw<'a> {
    /// Proves it to be an object that everybody reads the same.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let object = jsonrpc::parse_value(bytes, &DEFINITION)
            .map_err(|refusal| refusal.text().into_owned())?
            .ok_or("its definition is not an object")?;
        let members = serde_json::from_slice(bytes).map_err(|_| "its definition holds a number that is too large")?;
        Ok(Self { bytes, object, members })
    }

    /// The member `key`, which must be a string where it is there.
    pub fn text(&self, key: &str) -> Result<Option<&str>, String> {
        match self.members.get(key) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| format!("its {key} is not a string")),
        }
    }

    /// The name by which it is called.
    pub fn name(&self) -> Result<&str, String> {
        let name = self.text("name")?.ok_or("it has no name")?;
        if name.is_empty()
            || name.chars().count() > NAME_CHARS
            || name.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(format!("its name is empty, longer than {NAME_CHARS} characters, or holds spaces"));
        }
        Ok(name)
    }

    /// The bytes with the members of `set` (text, and JSON) changed and those of `remove` left out.
    pub fn changed(&self, set: &[(&str, Vec<u8>)], remove: &[&str]) -> Vec<u8> {
        let set: Vec<_> = set.iter().map(|(key, value)| (*key, value.as_slice())).collect();
        splice(self.bytes, change(&self.object, &set, remove))
    }
}

/// What a definition looks like, by what the caller's endpoint calls it and by what the caller can read.
#[derive(Debug)]
pub(super) struct Forms {
    /// Under the upstream's own name.
    own: Form,
    /// Under the name `upstream.name`.
    qualified: Form,
}

#[derive(Debug)]
struct Form {
    modern: Vec<u8>,
    /// For revisions up to 2025-11-25, where it is another.
    legacy: Option<Vec<u8>>,
}

impl Forms {
    /// The forms of `raw`, called `qualified` on endpoints of several upstreams: with `set` and without `remove` for
    /// everybody, and without `not_legacy` for older revisions.
    pub fn new(raw: &Raw<'_>, qualified: &str, set: &[(&str, Vec<u8>)], remove: &[&str], not_legacy: &[&str]) -> Self {
        let form = |set: &[(&str, Vec<u8>)]| Form {
            modern: raw.changed(set, remove),
            legacy: (!not_legacy.is_empty()).then(|| raw.changed(set, &[remove, not_legacy].concat())),
        };
        let named = [set, &[("name", quote(qualified))]].concat();
        Self { own: form(set), qualified: form(&named) }
    }

    /// The bytes for a caller.
    pub fn of(&self, qualified: bool, legacy: bool) -> &[u8] {
        let form = if qualified { &self.qualified } else { &self.own };
        form.legacy.as_ref().filter(|_| legacy).unwrap_or(&form.modern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let map: Map<String, Value> = serde_json::from_str(text).unwrap();
        let keys: Vec<_> = map.keys().map(String::as_str).collect();
        Canonical::of(&map, &keys).text.to_string()
    }

    #[test]
    fn what_means_the_same_is_written_the_same() {
        let plain = r#"{"a":{"b":1,"c":[1,null,"é\n"]},"z":true}"#;
        for same in [
            r#"{"z":true,"a":{"c":[1,null,"é\n"],"b":1}}"#,
            r#"{ "z" : true, "a":{"c":[1.0,null,"\u00e9\n"],"b":1e0}}"#,
            r#"{"\u007a":true,"a":{"c":[1,null,"\u00E9\u000a"],"b":1.00}}"#,
        ] {
            assert_eq!(canonical(same), plain, "{same}");
        }
        for (number, written) in [
            ("-0.0", "0"),
            ("0", "0"),
            ("-5.0", "-5"),
            ("-10", "-10"),
            ("0.1", "0.1"),
            ("9007199254740993", "9007199254740993"),
            ("1e300", "1e+300"),
        ] {
            assert_eq!(canonical(&format!("{{\"a\":{number}}}")), format!("{{\"a\":{written}}}"));
        }
        for other in [r#"{"a":{"b":2,"c":[1,null,"é\n"]},"z":true}"#, r#"{"a":{"b":1,"c":[null,1,"é\n"]},"z":true}"#]
        {
            assert_ne!(canonical(other), plain, "{other}");
        }
    }

    #[test]
    fn a_digest_is_over_what_a_model_reads() {
        let of = |text: &str| Canonical::of(&serde_json::from_str(text).unwrap(), &["name", "description"]).digest;
        let plain = of(r#"{"name":"a","description":"b"}"#);
        assert_eq!(plain.len(), 64);
        assert_eq!(of(r#"{"description":"b","name":"a","_meta":{"x":1},"icons":[]}"#), plain);
        assert_ne!(of(r#"{"name":"a","description":"b "}"#), plain);
        assert_ne!(of(r#"{"name":"a"}"#), plain);
    }
}
