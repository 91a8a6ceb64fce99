//! Tests of redaction as a whole. Those of single parts are beside them.

mod actions;
mod cases;
mod compile;
mod detectors;
mod fields;
mod numbers;
mod properties;

use super::{Failure, Plan, Redactor};
use crate::policy::document::RedactionDocument;
use crate::principal::RoleSet;

pub(super) const KEY: &[u8] = b"a key for digests in tests";

pub(super) fn documents(rules: &str) -> Vec<RedactionDocument> {
    serde_json::from_str(rules).unwrap()
}

pub(super) fn redactor(rules: &str) -> Redactor {
    Redactor::compile(&documents(rules), 100_000, KEY).unwrap()
}

/// The plan of nobody in particular.
pub(super) fn plan(rules: &str) -> Plan {
    redactor(rules).plan(&RoleSet::default(), None)
}

/// Every detector, with one action.
pub(super) fn everything(action: &str) -> Plan {
    let all = serde_json::json!(super::kind::DETECTED.map(|kind| super::kind::BUILT_IN[kind.place()]));
    plan(&format!(r#"[{{"detect": {all}, "action": "{action}"}}]"#))
}

/// The message after redaction.
pub(super) fn json(plan: &Plan, message: &str) -> String {
    let redacted = plan.json(message.as_bytes()).unwrap_or_else(|failure| panic!("{failure:?} on {message}"));
    let text = String::from_utf8(redacted.bytes.into_owned()).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "no longer JSON: {text}");
    assert_eq!(text == message, redacted.counts.is_empty(), "counts say otherwise: {text}");
    let again = plan.json(text.as_bytes()).unwrap();
    assert_eq!(std::str::from_utf8(&again.bytes).unwrap(), text, "a second time changes more");
    text
}

/// The text after redaction.
pub(super) fn text(plan: &Plan, text: &str) -> String {
    let redacted = plan.text(text).unwrap().text.into_owned();
    assert_eq!(plan.text(&redacted).unwrap().text, redacted, "a second time changes more");
    redacted
}

pub(super) fn blocked(kind: &str) -> Failure {
    Failure::Blocked { kind: kind.into() }
}
