//! Which arguments of which tool are repeated in headers, as lists of tools that passed through said (MCP 2026-07-28
//! "Custom Headers"). A client over stdio knows nothing of headers, so this one must.

use bytes::Bytes;
use parking_lot::Mutex;
use portcullis_core::jsonrpc::{self, Limits, Span};
use portcullis_core::mcp::mirror::Mirrored;
use portcullis_core::mcp::rewrite::splice;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// More tools than any list has.
const MOST: usize = 20_000;

/// The tools whose arguments are repeated.
#[derive(Default)]
pub struct Tools(Mutex<HashMap<String, Mirrored>>);

#[derive(Deserialize)]
struct Definition<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "inputSchema", borrow)]
    schema: Option<&'a RawValue>,
}

impl Tools {
    /// Reads the response `line` to a `tools/list`; gives it without the tools that a client over HTTP must not use.
    pub fn learn(&self, line: &Bytes) -> Bytes {
        let Some((span, tools)) = list(line) else { return line.clone() };
        let fit: Vec<_> = tools.iter().copied().filter(|tool| self.learn_one(tool.get())).map(RawValue::get).collect();
        if fit.len() == tools.len() {
            return line.clone();
        }
        splice(line, vec![(span, format!("[{}]", fit.join(",")).into_bytes())]).into()
    }

    /// Whether the tool may be used.
    fn learn_one(&self, definition: &str) -> bool {
        let Ok(Definition { name, schema }) = serde_json::from_str(definition) else { return true };
        let schema = schema.and_then(|schema| serde_json::from_str(schema.get()).ok());
        let mirrored = match schema.map_or(Ok(Mirrored::default()), |schema| Mirrored::read(&schema)) {
            Ok(mirrored) => mirrored,
            Err(reason) => {
                tracing::warn!(tool = %name, reason, "a tool was left out of the list");
                return false;
            }
        };
        let mut known = self.0.lock();
        if mirrored == Mirrored::default() {
            known.remove(&*name);
        } else if known.len() < MOST {
            known.insert(name.into_owned(), mirrored);
        }
        true
    }

    /// The headers that repeat `arguments` in a call of `tool`: what follows `Mcp-Param-`, and the encoded value.
    pub fn headers(&self, tool: &str, arguments: &[u8]) -> Vec<(String, String)> {
        let known = self.0.lock();
        let written = known.get(tool).map(|mirrored| mirrored.write(arguments)).unwrap_or_default();
        written.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Where the tools stand in `line`, and each as written.
fn list(line: &[u8]) -> Option<(Span, Vec<&RawValue>)> {
    let result = member(line, Span { start: 0, end: line.len() }, "result")?;
    let tools = member(line, result, "tools")?;
    Some((tools, serde_json::from_slice(tools.of(line)).ok()?))
}

/// Where the next page begins.
pub fn next_cursor(line: &[u8]) -> Option<String> {
    let result = member(line, Span { start: 0, end: line.len() }, "result")?;
    jsonrpc::string(member(line, result, "nextCursor")?.of(line)).map(Cow::into_owned)
}

fn member(text: &[u8], object: Span, key: &str) -> Option<Span> {
    let value = jsonrpc::parse_value(object.of(text), &Limits::ANSWER).ok()??.value(key)?;
    Some(Span { start: object.start + value.start, end: object.start + value.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: &str =
        r#"{"name":"a","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}}}}"#;
    const PLAIN: &str = r#"{"name":"a","inputSchema":{"type":"object"}}"#;
    const BAD: &str =
        r#"{"name":"b","inputSchema":{"type":"object","properties":{"r":{"type":"number","x-mcp-header":"R"}}}}"#;

    fn answer(tools: &str) -> Bytes {
        format!(r#"{{"result": {{"ttlMs":1.0,"tools": [{tools}], "nextCursor":"\u0070"}},"id":1,"jsonrpc":"2.0"}}"#)
            .into()
    }

    #[test]
    fn what_a_list_says_is_remembered_until_it_says_otherwise() {
        let tools = Tools::default();
        assert!(tools.headers("a", br#"{"r":"eu"}"#).is_empty());
        assert_eq!(tools.learn(&answer(REGION)), answer(REGION));
        assert_eq!(tools.headers("a", br#"{"r":"eu"}"#), [("region".to_owned(), "eu".to_owned())]);
        assert!(tools.headers("a", b"").is_empty());
        tools.learn(&answer(PLAIN));
        assert!(tools.headers("a", br#"{"r":"eu"}"#).is_empty());
    }

    #[test]
    fn a_tool_that_no_client_may_use_is_left_out() {
        let tools = Tools::default();
        assert_eq!(tools.learn(&answer(&format!("{BAD},{PLAIN}"))), answer(PLAIN).to_vec());
        assert_eq!(tools.learn(&answer(BAD)), answer(""));
    }

    #[test]
    fn what_is_no_list_stays() {
        for line in [r#"{"error":{"code":1,"message":""},"id":1}"#, r#"{"result":{"tools":7}}"#, r#"{"result":[]}"#] {
            assert_eq!(Tools::default().learn(&line.into()), line);
        }
        assert_eq!(next_cursor(&answer("")).as_deref(), Some("p"));
        assert_eq!(next_cursor(b"{}"), None);
    }
}
