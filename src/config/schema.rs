//! The JSON schemas of the three files and of policy tests, made from the document types: `config::check` holds files against them, editors
//! complete by them, and the configuration reference is written from them. They are checked in under `conf/schema/`.
//!
//! They are stricter than the types in one way: a key may not stand without a value. In YAML, `tools:` with nothing
//! behind it is `null`, an `Option` takes that for "not stated", and a rule would widen because somebody commented out
//! the last line of a list.

use crate::config::document::PolicyDocument;
use crate::config::document::gateway::GatewayDocument;
use crate::config::document::policy_test::PolicyTestDocument;
use crate::config::document::upstreams::UpstreamsDocument;
use serde_json::Value;

/// The schemas of `gateway.yaml`, `upstreams.yaml`, `policy.yaml` and `*.policy-test.yaml`, by name.
pub fn schemas() -> [(&'static str, Value); 4] {
    [("gateway", gateway()), ("upstreams", upstreams()), ("policy", policy()), ("policy-test", policy_test())]
}

/// The schema of `gateway.yaml`.
pub fn gateway() -> Value {
    strict(schemars::schema_for!(GatewayDocument).to_value())
}

/// The schema of `upstreams.yaml`.
pub fn upstreams() -> Value {
    strict(schemars::schema_for!(UpstreamsDocument).to_value())
}

/// The schema of `policy.yaml`.
pub fn policy() -> Value {
    strict(schemars::schema_for!(PolicyDocument).to_value())
}

/// The schema of `*.policy-test.yaml`.
pub fn policy_test() -> Value {
    strict(schemars::schema_for!(PolicyTestDocument).to_value())
}

/// The same schema, without `null`.
fn strict(schema: Value) -> Value {
    match schema {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(key, value)| !(key == "default" && tells_nothing(value)));
            let mut members: serde_json::Map<_, _> = members.map(|(key, value)| (key, strict(value))).collect();
            drop_null_type(&mut members);
            drop_null_choice(&mut members);
            Value::Object(members)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(strict).collect()),
        other => other,
    }
}

/// Whether a default says no more than the type does: nothing at all, or the defaults of its members once more.
fn tells_nothing(default: &Value) -> bool {
    default.is_null() || default.is_object()
}

/// `"type": ["string", "null"]` becomes `"type": "string"`.
fn drop_null_type(schema: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(types)) = schema.get_mut("type") else { return };
    types.retain(|name| name != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        schema.insert("type".into(), only);
    }
}

/// `"anyOf": [{"$ref": …}, {"type": "null"}]` becomes `"$ref": …`.
fn drop_null_choice(schema: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        schema.extend(only);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_under_conf_are_those_of_the_types() {
        for (name, schema) in schemas() {
            let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            crate::config::golden::compare(&format!("conf/schema/{name}.json"), &text);
        }
    }

    #[test]
    fn no_key_may_stand_without_a_value() {
        for (name, schema) in schemas() {
            let text = schema.to_string();
            assert!(!text.contains("\"null\"") && !text.contains(":null"), "{name}: {text}");
        }
    }
}
