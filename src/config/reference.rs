//! The configuration reference: tables of every key, made from the schemas, and so from the document types.

use crate::config::schema::schemas;
use serde_json::Value;
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Configuration reference

This file is made from the types that read the configuration (`UPDATE=1 cargo test --bin portcullis config::`), so it
can't be out of date. The same types make `conf/schema/*.json`, with which editors complete and check the YAML files.
`portcullis check` finds every problem of the three files at once.

- **References.** In `gateway.yaml` and `upstreams.yaml`, text may hold `${env:NAME}` (an environment variable) and
  `${file:/path}` (a file's text, without the line break at its end), as the whole value or in it. One that is missing
  or empty is an error. `$${` stands for `${` itself. `policy.yaml` has no references: patterns and expressions stay as
  they are.
- **Quantities.** A length of time is a whole number and `ms`, `s`, `m`, `h` or `d`; a size is a whole number of bytes,
  alone or with `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`; a rate is a number, a slash and `s`, `m`, `h` or `d`, such as
  `600/m`.
- **YAML** is version 1.2, one document in a file, 4 MiB at most: `yes`, `no`, `on` and `off` are text. Unknown keys,
  duplicate keys, keys without a value, anchors, aliases, merge keys and tags are errors.
- **Secrets.** The `secret` of an issuer and the `digest_key` have at least 32 bytes. A secret that stands in a file
  itself is allowed, with a warning. No message shows one.
- **Reload.** All three files, and the secrets, certificates and authorities they refer to, are watched. A good change is
  live in under two seconds; with a bad one nothing changes. Write beside the old file and rename, so that nobody reads half of
  it. A change of `listen.ingress`, `listen.admin`, whether there is `listen.tls`, `journal` (but for its `sinks`),
  `edge.connections`, `edge.header_deadline`, `edge.keepalive`, `telemetry`, `drain` or `threads` takes a restart, and is refused until then.
- **Policy tests** are files of a fourth kind, named `*.policy-test.yaml`: no gateway reads them, `portcullis policy test` does.
";

/// The reference, as Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (name, schema) in schemas() {
        let _ = write!(text, "\n## {name}.yaml\n");
        section(&schema, &schema, "", &mut text);
    }
    text
}

/// The table of one mapping, then those of the mappings in it.
fn section(root: &Value, schema: &Value, path: &str, text: &mut String) {
    let _ =
        write!(text, "\n{}\n\n| key | type | default | meaning |\n|---|---|---|---|\n", words(schema, "description"));
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::String(default)) => format!("`{default}`"),
            Some(default) => format!("`{default}`"),
            None => String::new(),
        };
        let (kind, choices) = (kind(root, property), choices(root, property));
        let _ = writeln!(text, "| `{key}` | {kind} | {default} | {}{choices} |", words(property, "description"));
    }
    for (key, property) in properties.into_iter().flatten() {
        if let Some((inner, steps)) = inner(root, property) {
            let path = if path.is_empty() { format!("{key}{steps}") } else { format!("{path}.{key}{steps}") };
            let _ = write!(text, "\n### `{path}`\n");
            section(root, inner, &path, text);
        }
    }
}

/// The mapping inside a value, and how a path goes into it.
fn inner<'a>(root: &'a Value, schema: &'a Value) -> Option<(&'a Value, &'static str)> {
    let target = target(root, schema);
    if target.get("properties").is_some() {
        return Some((target, ""));
    }
    let items = target.get("items").map(|items| (items, "[]"));
    let (member, steps) = items.or_else(|| Some((target.get("additionalProperties")?, ".<name>")))?;
    inner(root, member).map(|(inner, _)| (inner, steps))
}

fn target<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    name.and_then(|name| root.get("$defs")?.get(name)).unwrap_or(schema)
}

fn kind(root: &Value, schema: &Value) -> String {
    match schema.get("$ref").and_then(Value::as_str) {
        Some("#/$defs/Span") => return "length of time".into(),
        Some("#/$defs/Bytes") => return "size".into(),
        Some("#/$defs/Rate") => return "rate".into(),
        _ => {}
    }
    let target = target(root, schema);
    if target.get("oneOf").is_some() {
        return "word".into();
    }
    match target.get("type").and_then(Value::as_str) {
        Some("string") => "text".into(),
        Some("integer") => "whole number".into(),
        Some("number") => "number".into(),
        Some("boolean") => "`true` or `false`".into(),
        Some("array") => {
            format!("list of {}", target.get("items").map_or_else(String::new, |items| several(root, items)))
        }
        Some("object") => match target.get("additionalProperties").filter(|member| member.is_object()) {
            Some(member) => format!("names with {}", several(root, member)),
            None => "mapping".into(),
        },
        _ => "any value".into(),
    }
}

fn several(root: &Value, schema: &Value) -> String {
    match kind(root, schema).as_str() {
        "text" => "texts".into(),
        "any value" => "values".into(),
        kind => format!("{kind}s"),
    }
}

/// The words that a value may be, with their meanings.
fn choices(root: &Value, schema: &Value) -> String {
    let target = target(root, schema);
    let items = target.get("items").map(|items| self::target(root, items));
    let words_of = |schema: &Value| schema.get("oneOf").and_then(Value::as_array).cloned();
    let choices = words_of(target).or_else(|| words_of(items?));
    choices.into_iter().flatten().fold(String::new(), |mut text, choice| {
        let _ = write!(text, "<br>`{}`: {}", words(&choice, "const"), words(&choice, "description"));
        text
    })
}

/// A text of a schema, in one line of a table.
fn words(schema: &Value, key: &str) -> String {
    let text = schema.get(key).and_then(Value::as_str).unwrap_or_default();
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn the_reference_under_docs_is_that_of_the_types() {
        crate::config::golden::compare("docs/config.md", &reference());
    }

    #[test]
    fn every_key_has_a_meaning() {
        for row in reference().lines().filter(|line| line.starts_with("| `")) {
            assert!(row.split(" | ").last().is_some_and(|meaning| meaning.len() > 5), "{row}");
        }
    }
}
