//! Extensions: which of those that a client declares the gateway can police, and so passes on (MCP 2026-07-28 "Extension
//! Negotiation").

use crate::jsonrpc::{Frame, Span};
use crate::mcp::META_CAPABILITIES;
use serde_json::{Map, Value};

/// Tasks (SEP-2663).
pub const TASKS: &str = "io.modelcontextprotocol/tasks";

/// The extensions that are passed on.
const CARRIED: [&str; 1] = [TASKS];

/// Whether `capabilities`, the raw object of a request's `_meta`, declare the extension `name`.
pub fn is_declared(capabilities: &[u8], name: &str) -> bool {
    let declared: Map<String, Value> = serde_json::from_slice(capabilities).unwrap_or_default();
    declared.get("extensions").and_then(|all| all.get(name)).is_some_and(Value::is_object)
}

/// The edit of a request's `body` by which it declares no extension that is not carried; `None` where it declares none.
pub fn strip(body: &[u8], frame: &Frame) -> Option<(Span, Vec<u8>)> {
    let span = frame.meta.as_ref()?.value(META_CAPABILITIES)?;
    let mut declared: Map<String, Value> = serde_json::from_slice(span.of(body)).ok()?;
    let extensions = declared.get_mut("extensions")?;
    let carried = match extensions.as_object_mut() {
        Some(all) => {
            let before = all.len();
            all.retain(|name, _| CARRIED.contains(&name.as_str()));
            all.len() == before
        }
        None => false,
    };
    if carried {
        return None;
    }
    if declared.get("extensions").and_then(Value::as_object).is_none_or(Map::is_empty) {
        declared.remove("extensions");
    }
    Some((span, Value::Object(declared).to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Limits, parse};
    use crate::mcp::rewrite::splice;

    fn stripped(capabilities: &str) -> Option<String> {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{{"{META_CAPABILITIES}":{capabilities}}}}}}}"#
        );
        let frame = parse(body.as_bytes(), &Limits::default()).unwrap();
        let edit = strip(body.as_bytes(), &frame)?;
        let changed = splice(body.as_bytes(), vec![edit]);
        let frame = parse(&changed, &Limits::default()).unwrap();
        let span = frame.meta.unwrap().value(META_CAPABILITIES).unwrap();
        Some(String::from_utf8(span.of(&changed).to_vec()).unwrap())
    }

    #[test]
    fn what_can_t_be_policed_is_not_declared_upstream() {
        let tasks = format!(r#"{{"extensions":{{"{TASKS}":{{}}}}}}"#);
        for kept in ["{}", r#"{"elicitation":{}}"#, tasks.as_str()] {
            assert_eq!(stripped(kept), None, "{kept}");
        }
        assert_eq!(stripped(r#"{"extensions":{"com.example/x":{}},"roots":{}}"#).unwrap(), r#"{"roots":{}}"#);
        assert_eq!(stripped(r#"{"extensions":7}"#).unwrap(), "{}");
        let both = format!(r#"{{"extensions":{{"com.example/x":{{}},"{TASKS}":{{}}}}}}"#);
        assert_eq!(stripped(&both).unwrap(), tasks);
    }

    #[test]
    fn an_extension_is_declared_by_an_object() {
        assert!(is_declared(format!(r#"{{"extensions":{{"{TASKS}":{{}}}}}}"#).as_bytes(), TASKS));
        for not in ["{}", r#"{"extensions":{}}"#, r#"{"extensions":{"io.modelcontextprotocol/tasks":true}}"#, "x"] {
            assert!(!is_declared(not.as_bytes(), TASKS), "{not}");
        }
    }
}
