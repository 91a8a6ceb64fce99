//! The tools that upstreams offer, as they were last seen: what lists show and what arguments are checked against.
//!
//! Built from an upstream's `tools/list` by `upstream::discover`; nothing here asks an upstream.

use crate::jsonrpc::{self, Limits, Object};
use crate::mcp::mirror::Mirrored;
use crate::mcp::rewrite::{set_text, splice};
use crate::reject::Era;
use crate::schema::Validator;
use crate::tool::ToolName;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest tool name (MCP 2026-07-28 "Tool Names": 1 to 128 characters).
const NAME_CHARS: usize = 128;

/// How large and deep a tool's definition may be.
pub const DEFINITION: Limits = Limits { depth: 64, nodes: 20_000, key_bytes: 1024, id_bytes: 256 };

/// A tool of an upstream.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: ToolName,
    /// What its arguments are checked against.
    pub validator: Validator,
    /// Its arguments that are repeated in headers.
    pub mirrored: Mirrored,
    /// What `structuredContent` of its results is checked against after redaction; `None` where the tool declares
    /// nothing, or nothing that can be compiled.
    pub output: Option<Validator>,
    definition: Vec<u8>,
    qualified: Vec<u8>,
}

impl Tool {
    /// Reads one member of a `tools/list` result.
    ///
    /// # Errors
    /// The reason why the tool can't be offered: it has no usable name or no usable input schema. A tool whose schema
    /// can't be compiled is left out, because its calls could not be checked; so is one with an illegal `x-mcp-header`,
    /// which no client may use (MCP 2026-07-28 "Custom Headers").
    pub fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        let object = jsonrpc::parse_value(definition, &DEFINITION)
            .map_err(|refusal| refusal.text().into_owned())?
            .ok_or("its definition is not an object")?;
        let name_span = object.value("name").ok_or("it has no name")?;
        let name = jsonrpc::string(name_span.of(definition)).ok_or("its name is not a string")?;
        if name.is_empty()
            || name.chars().count() > NAME_CHARS
            || name.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(format!("its name is empty, longer than {NAME_CHARS} characters, or holds spaces"));
        }
        let name = ToolName::new(upstream, name);
        let qualified = splice(definition, vec![set_text(name_span, &name.to_string())]);
        let input = schema(definition, &object, "inputSchema")?.ok_or("it has no inputSchema")?;
        let validator =
            Validator::compile(&input).map_err(|problem| format!("its inputSchema can't be used: {problem}"))?;
        let mirrored = Mirrored::read(&input)?;
        let output = schema(definition, &object, "outputSchema")?.and_then(|schema| Validator::compile(&schema).ok());
        Ok(Self { name, validator, mirrored, output, definition: definition.to_vec(), qualified })
    }

    /// The definition as the upstream wrote it.
    pub fn definition(&self) -> &[u8] {
        &self.definition
    }

    /// The definition, but named `upstream.tool`.
    pub fn qualified_definition(&self) -> &[u8] {
        &self.qualified
    }
}

fn schema(definition: &[u8], object: &Object, key: &str) -> Result<Option<Value>, String> {
    let Some(schema) = object.value(key) else { return Ok(None) };
    serde_json::from_slice(schema.of(definition)).map(Some).map_err(|_| format!("its {key} can't be read"))
}

/// What one upstream offers.
#[derive(Debug)]
pub struct UpstreamCatalog {
    /// The family of revisions that it speaks.
    pub era: Era,
    /// Its tools, by their own names.
    pub tools: BTreeMap<String, Arc<Tool>>,
}

/// What all upstreams offer; an upstream that was never reached is missing.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    /// By name.
    pub upstreams: BTreeMap<String, Arc<UpstreamCatalog>>,
}

impl Catalog {
    /// The tool `name`, where its upstream offers it.
    pub fn tool(&self, name: &ToolName) -> Option<&Arc<Tool>> {
        self.upstreams.get(&name.upstream)?.tools.get(&name.tool)
    }
}

/// Writes the result of `tools/list`: the definitions of `tools`, named as the endpoint names them.
///
/// It is for one caller alone, because it was filtered for one (MCP 2026-07-28 "Caching": `cacheScope` private).
pub fn write_list<'a>(tools: impl Iterator<Item = &'a Arc<Tool>>, qualified: bool, era: Era) -> Vec<u8> {
    let mut out = b"{\"tools\":[".to_vec();
    for (position, tool) in tools.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(if qualified { tool.qualified_definition() } else { tool.definition() });
    }
    out.push(b']');
    if era == Era::Modern {
        out.extend_from_slice(br#","resultType":"complete","ttlMs":0,"cacheScope":"private""#);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: &[u8] = br#"{"name":"add","description":"adds","inputSchema":{"type":"object","properties":{"a":{"type":"number"}}},"x":1.0}"#;

    #[test]
    fn a_definition_stays_as_the_upstream_wrote_it_but_for_its_name() {
        let tool = Tool::read("calc", ADD).unwrap();
        assert_eq!(tool.definition(), ADD);
        let qualified = String::from_utf8(tool.qualified_definition().to_vec()).unwrap();
        assert_eq!(qualified, String::from_utf8(ADD.to_vec()).unwrap().replace("\"add\"", "\"calc.add\""));
    }

    #[test]
    fn a_tool_that_could_not_be_checked_is_left_out() {
        for definition in [
            r#"{"name":"add"}"#,
            r#"{"inputSchema":{"type":"object"}}"#,
            r#"{"name":"","inputSchema":{"type":"object"}}"#,
            r#"{"name":"a b","inputSchema":{"type":"object"}}"#,
            r#"{"name":"add","name":"delete","inputSchema":{"type":"object"}}"#,
            r#"{"name":"add","inputSchema":{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}}"#,
            r#"{"name":"add","inputSchema":7}"#,
            r#"{"name":"add","inputSchema":{"type":"object","properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#,
            "[]",
        ] {
            assert!(Tool::read("calc", definition.as_bytes()).is_err(), "{definition}");
        }
    }

    #[test]
    fn a_list_says_that_it_is_private() {
        let tool = Arc::new(Tool::read("calc", ADD).unwrap());
        let list = write_list([&tool, &tool].into_iter(), true, Era::Modern);
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        assert_eq!(list["tools"][1]["name"], "calc.add");
        assert_eq!(list["cacheScope"], "private");
        let list: serde_json::Value = serde_json::from_slice(&write_list([].into_iter(), false, Era::Legacy)).unwrap();
        assert_eq!(list, serde_json::json!({ "tools": [] }));
    }
}
