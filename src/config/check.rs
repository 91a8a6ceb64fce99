//! A document against the JSON schema of its type: every unknown key, missing key and value of a wrong kind at once.
//!
//! It reads the part of JSON Schema that `schema` makes, and nothing else: a test holds the two together. What passes
//! here is still read by the types themselves, so a gap here costs an error its place, never lets a document through.

use crate::config::nearest::{list, suggest};
use crate::config::node::{Content, Entry, Node, names_secret, presentable};
use crate::config::report::Fault;
use portcullis_core::problem::{Path, Problem, Segment};
use portcullis_core::units::{Bytes, Rate, Span};
use serde_json::Value;

/// Every place where `tree` is not what `schema` asks for.
pub fn check(tree: &Node, schema: &Value) -> Vec<Fault> {
    let mut check = Check { schema, faults: Vec::new() };
    check.value(tree, schema, &Path::root());
    check.faults
}

struct Check<'a> {
    schema: &'a Value,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    fn value(&mut self, node: &Node, schema: &'a Value, path: &Path) {
        if matches!(node.content, Content::Unreadable) {
            return;
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/")) {
            return self.named(node, name, path);
        }
        if let Some(Value::Array(choices)) = schema.get("oneOf") {
            return self.word(node, choices, path);
        }
        let Some(kinds) = schema.get("type") else { return };
        if !kinds_of(kinds).any(|kind| fits(&node.content, kind)) {
            return self.wrong_kind(node, kinds, path);
        }
        match &node.content {
            Content::Map(entries) => self.map(node, entries, schema, path),
            Content::List(items) => {
                let Some(schema) = schema.get("items") else { return };
                for (index, item) in items.iter().enumerate() {
                    self.value(item, schema, &path.then(index));
                }
            }
            Content::Number(number) => self.range(node, number, schema, path),
            _ => {}
        }
    }

    /// A value of the type `name`. Quantities are read by their own reader, which says best what is wrong.
    fn named(&mut self, node: &Node, name: &str, path: &Path) {
        let written = match &node.content {
            Content::Text(text) => Some(text.clone()),
            Content::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let read: fn(&str) -> Result<(), String> = match name {
            "Span" => |text| text.parse::<Span>().map(|_| ()),
            "Bytes" => |text| text.parse::<Bytes>().map(|_| ()),
            "Rate" => |text| text.parse::<Rate>().map(|_| ()),
            _ => {
                if let Some(schema) = self.schema.get("$defs").and_then(|all| all.get(name)) {
                    self.value(node, schema, path);
                }
                return;
            }
        };
        let shown =
            !node.hidden && !path.0.iter().any(|segment| matches!(segment, Segment::Key(key) if names_secret(key)));
        let refused = match written {
            Some(text) => read(&text).err(),
            None => read("").err(),
        };
        if let Some(said) = refused {
            // The reader quotes what it read, between the first two backquotes.
            let advice = said.split_once(": ").map_or("", |(_, advice)| advice).to_owned();
            let quoted = node.text().filter(|_| shown).map_or("this value".into(), |text| format!("`{text}`"));
            let what = match name {
                "Span" => "a length of time",
                "Bytes" => "a size",
                _ => "a rate",
            };
            self.fault(node, path, format!("{quoted} is not {what}"), Some(advice));
        }
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &'a Value, path: &Path) {
        let known = schema.get("properties").and_then(Value::as_object);
        if known.is_none() && schema.get("additionalProperties") == Some(&Value::Bool(true)) {
            return;
        }
        let others = schema.get("additionalProperties").filter(|schema| schema.is_object());
        for entry in entries {
            let inner = path.then(entry.key.as_str());
            match known.and_then(|known| known.get(&entry.key)).or(others) {
                Some(_) if matches!(entry.value.content, Content::Null) => {
                    let message = "this key has no value".to_owned();
                    let hint = "write one, `[]` or `{}` for an empty list or mapping, or remove the key";
                    self.faults.push(Fault { at: entry.at, problem: Problem::new(inner, message).hint(hint) });
                }
                Some(schema) => self.value(&entry.value, schema, &inner),
                None => self.unknown_key(entry, known, path),
            }
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if node.entry(key).is_none() {
                self.fault(node, path, format!("`{key}` is missing"), None);
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, known: Option<&serde_json::Map<String, Value>>, path: &Path) {
        let (message, hint) = match presentable(&entry.key) {
            Some(key) => (
                format!("unknown key `{key}`"),
                suggest(key, known.into_iter().flat_map(|known| known.keys()).map(String::as_str)),
            ),
            None => {
                ("unknown key".into(), Some("put a space after the colon".into()).filter(|_| entry.key.contains(':')))
            }
        };
        let mut problem = Problem::new(path.clone(), message);
        problem.hint = hint;
        self.faults.push(Fault { at: entry.at, problem });
    }

    fn word(&mut self, node: &Node, choices: &[Value], path: &Path) {
        let words: Vec<&str> =
            choices.iter().filter_map(|choice| choice.get("const").and_then(Value::as_str)).collect();
        let written = node.text();
        if written.is_some_and(|written| words.contains(&written)) {
            return;
        }
        let hint = match written.filter(|_| !node.hidden).and_then(presentable) {
            Some(written) => suggest(written, words.iter().copied()),
            None => Some(format!("known are {}", list(&words))),
        };
        let found = match written.filter(|_| !node.hidden).and_then(presentable) {
            Some(written) => format!("`{written}` is not a value of this key"),
            None => format!("expected one of {}", list(&words)),
        };
        self.fault(node, path, found, hint);
    }

    fn wrong_kind(&mut self, node: &Node, kinds: &Value, path: &Path) {
        let wanted: Vec<&str> = kinds_of(kinds).map(in_words).collect();
        let message = format!("expected {}, found {}", wanted.join(" or "), found(&node.content));
        let wants = |kind| kinds_of(kinds).any(|wanted| wanted == kind);
        let scalar = matches!(node.content, Content::Number(_) | Content::Bool(_));
        let hint = match &node.content {
            _ if scalar && wants("string") => Some("put it in quotes".into()),
            Content::Text(_) if wants("boolean") => Some("write true or false".into()),
            Content::Text(_) if wants("array") => Some("write it in brackets: [a, b]".into()),
            _ => None,
        };
        self.fault(node, path, message, hint);
    }

    fn range(&mut self, node: &Node, number: &serde_json::Number, schema: &Value, path: &Path) {
        let greatest = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => u64::from(u32::MAX),
            Some("uint" | "uint64") => u64::MAX,
            _ => return,
        };
        if number.as_u64().is_none_or(|number| number > greatest) {
            self.fault(node, path, "this number is out of range", Some(format!("write one from 0 to {greatest}")));
        }
    }

    fn fault(&mut self, node: &Node, path: &Path, message: impl Into<String>, hint: Option<String>) {
        let mut problem = Problem::new(path.clone(), message);
        problem.hint = hint;
        self.faults.push(Fault { at: node.at, problem });
    }
}

fn kinds_of(kinds: &Value) -> impl Iterator<Item = &str> {
    let several = kinds.as_array().into_iter().flatten().filter_map(Value::as_str);
    kinds.as_str().into_iter().chain(several)
}

fn fits(content: &Content, kind: &str) -> bool {
    match content {
        Content::Null | Content::Unreadable => false,
        Content::Bool(_) => kind == "boolean",
        Content::Number(number) => kind == "number" || (kind == "integer" && !number.is_f64()),
        Content::Text(_) => kind == "string",
        Content::List(_) => kind == "array",
        Content::Map(_) => kind == "object",
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "a mapping",
    }
}

const fn found(content: &Content) -> &'static str {
    match content {
        Content::Null | Content::Unreadable => "nothing",
        Content::Bool(_) => "true or false",
        Content::Number(_) => "a number",
        Content::Text(_) => "text",
        Content::List(_) => "a list",
        Content::Map(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use crate::config::schema::schemas;
    use serde_json::Value;

    #[test]
    fn no_schema_says_more_than_is_checked() {
        const READ: &[&str] =
            &["$ref", "oneOf", "type", "properties", "additionalProperties", "required", "items", "format", "minimum"];
        const SAYS_NOTHING: &[&str] = &["$schema", "$defs", "title", "description", "default", "examples", "pattern"];
        fn walk(schema: &Value, names: bool) {
            for (key, inner) in schema.as_object().into_iter().flatten() {
                let known = READ.contains(&key.as_str()) || SAYS_NOTHING.contains(&key.as_str());
                assert!(names || known, "{key}");
                match key.as_str() {
                    _ if names => walk(inner, false),
                    "properties" | "$defs" => walk(inner, true),
                    "items" | "additionalProperties" => walk(inner, false),
                    "minimum" => assert_eq!(inner, 0),
                    "oneOf" => assert!(inner.as_array().unwrap().iter().all(|choice| choice["const"].is_string())),
                    "pattern" => assert!(inner.as_str().unwrap().starts_with("^[0-9]+")),
                    _ => {}
                }
            }
        }
        for (_, schema) in schemas() {
            walk(&schema, false);
        }
    }
}
