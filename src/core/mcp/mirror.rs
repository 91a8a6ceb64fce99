//! Which arguments of a tool are repeated in headers: the annotation `x-mcp-header` of its input schema (MCP 2026-07-28
//! "Custom Headers").
//!
//! An annotation is legal at a property that is reached from the root through `properties` alone and is a string, an
//! integer or a boolean. A client must not use a tool that has any other, so neither does the gateway.

use super::headers::{McpHeaders, encode};
use crate::catalog::DEFINITION;
use crate::jsonrpc::{parse_value, string};
use crate::reject::Rejection;
use serde_json::{Map, Value};

const ANNOTATION: &str = "x-mcp-header";

/// The arguments of a tool that are repeated in headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrored(Vec<Argument>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    /// What follows `Mcp-Param-`, in lower case: names of headers have no case.
    header: String,
    /// The keys that lead to it.
    path: Vec<String>,
}

impl Mirrored {
    /// Reads the annotations of `schema`, whose depth is bounded already.
    ///
    /// # Errors
    /// Why one of them is illegal; then the tool must not be offered.
    pub fn read(schema: &Value) -> Result<Self, String> {
        let mut found = Self::default();
        found.walk(schema, &mut Vec::new(), true)?;
        Ok(found)
    }

    fn walk(&mut self, schema: &Value, path: &mut Vec<String>, plain: bool) -> Result<(), String> {
        let members = match schema {
            Value::Object(members) => members,
            Value::Array(schemas) => return schemas.iter().try_for_each(|schema| self.walk(schema, path, false)),
            _ => return Ok(()),
        };
        if let Some(header) = members.get(ANNOTATION) {
            self.add(header, members, path, plain)?;
        }
        for (key, value) in members {
            match (key.as_str(), value) {
                // Values, not schemas.
                ("const" | "enum" | "default" | "examples" | ANNOTATION, _) => {}
                ("properties", Value::Object(properties)) => {
                    for (name, schema) in properties {
                        path.push(name.clone());
                        self.walk(schema, path, plain)?;
                        path.pop();
                    }
                }
                ("patternProperties" | "dependentSchemas" | "$defs" | "definitions", Value::Object(schemas)) => {
                    schemas.values().try_for_each(|schema| self.walk(schema, path, false))?;
                }
                _ => self.walk(value, path, false)?,
            }
        }
        Ok(())
    }

    fn add(&mut self, header: &Value, schema: &Map<String, Value>, path: &[String], plain: bool) -> Result<(), String> {
        let header = header.as_str().filter(|header| is_token(header)).ok_or("its x-mcp-header is not a token")?;
        let header = header.to_ascii_lowercase();
        if !plain || path.is_empty() {
            return Err(format!("its x-mcp-header `{header}` is not at a plain property"));
        }
        if !matches!(schema.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(format!("its x-mcp-header `{header}` is not at a string, an integer or a boolean"));
        }
        if self.repeats(&header) {
            return Err(format!("its x-mcp-header `{header}` is there twice"));
        }
        self.0.push(Argument { header, path: path.to_vec() });
        Ok(())
    }

    /// Whether `Mcp-Param-{name}` repeats an argument of the tool.
    pub fn repeats(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument.header.eq_ignore_ascii_case(name))
    }

    /// Compares the headers of a call with its `arguments`, a JSON object or nothing.
    ///
    /// # Errors
    /// [`Rejection::HeaderMismatch`] where one differs, is missing, or repeats an argument that is not there.
    pub fn check(&self, headers: &McpHeaders<'_>, arguments: &[u8]) -> Result<(), Rejection> {
        self.0.iter().try_for_each(|argument| headers.check_param(&argument.header, argument.of(arguments)))
    }

    /// The same for a caller whose revision has no such headers: those that are there all the same must not differ.
    ///
    /// # Errors
    /// [`Rejection::HeaderMismatch`] where one does.
    pub fn check_given(&self, headers: &McpHeaders<'_>, arguments: &[u8]) -> Result<(), Rejection> {
        let given = |argument: &&Argument| headers.params.iter().any(|(name, _)| *name == argument.header);
        let mut given = self.0.iter().filter(given);
        given.try_for_each(|argument| headers.check_param(&argument.header, argument.of(arguments)))
    }

    /// The headers that repeat `arguments`: what follows `Mcp-Param-`, and the encoded value.
    pub fn write(&self, arguments: &[u8]) -> Vec<(&str, String)> {
        let written = |argument: &Argument| {
            let raw = argument.of(arguments)?;
            let text = match string(raw) {
                Some(text) => text.into_owned(),
                None => String::from_utf8(raw.to_vec()).ok()?,
            };
            (text != "null").then(|| encode(&text).into_owned())
        };
        self.0.iter().filter_map(|argument| Some((argument.header.as_str(), written(argument)?))).collect()
    }
}

impl Argument {
    /// Its value as written; `None` where it is absent.
    fn of<'a>(&self, arguments: &'a [u8]) -> Option<&'a [u8]> {
        let mut value = arguments;
        for key in &self.path {
            let object = parse_value(value, &DEFINITION).ok()??;
            value = object.value(key)?.of(value);
        }
        Some(value)
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn region() -> Mirrored {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "page": {"type": "object", "properties": {"size": {"type": "integer", "x-mcp-header": "Page-Size"}}},
        }});
        Mirrored::read(&schema).unwrap()
    }

    fn headers<'a>(lines: &[(&'a str, &'a str)]) -> McpHeaders<'a> {
        McpHeaders::read(lines.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap()
    }

    #[test]
    fn headers_must_say_what_the_arguments_say() {
        let region = region();
        let arguments = br#"{"region":"eu","page":{"size":10}}"#;
        let good = [("mcp-param-region", "eu"), ("mcp-param-page-size", "10")];
        assert_eq!(region.check(&headers(&good), arguments), Ok(()));
        assert_eq!(region.check(&headers(&[]), b"{}"), Ok(()));
        assert_eq!(region.check(&headers(&[]), b""), Ok(()));
        assert_eq!(region.check(&headers(&[]), br#"{"region":null}"#), Ok(()));
        for (lines, arguments) in [
            (&[("mcp-param-region", "us"), good[1]][..], &arguments[..]),
            (&good[..1], arguments),
            (&good[..], br#"{"region":"eu"}"#),
            (&good[..1], b"{}"),
            (&good[..1], b""),
            (&[("mcp-param-region", "10"), good[1]], arguments),
        ] {
            assert!(region.check(&headers(lines), arguments).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn headers_that_need_not_be_there_must_not_differ_where_they_are() {
        let region = region();
        let arguments = br#"{"region":"eu","page":{"size":10}}"#;
        for good in [&[][..], &[("mcp-param-region", "eu")], &[("mcp-param-other", "x")]] {
            assert_eq!(region.check_given(&headers(good), arguments), Ok(()), "{good:?}");
        }
        for odd in [&[("mcp-param-region", "us")][..], &[("mcp-param-page-size", "11")]] {
            assert!(region.check_given(&headers(odd), arguments).is_err(), "{odd:?}");
        }
        assert!(region.check_given(&headers(&[("mcp-param-region", "eu")]), b"").is_err());
    }

    #[test]
    fn headers_are_written_from_the_arguments() {
        let arguments = r#"{"page":{"size":10},"region":"é\u0075"}"#;
        let region = region();
        let written = region.write(arguments.as_bytes());
        let lines: Vec<_> = written.iter().map(|(name, value)| (format!("mcp-param-{name}"), value.clone())).collect();
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(region.check(&headers(&lines), arguments.as_bytes()), Ok(()));
        assert_eq!(region.write(br#"{"region":null}"#), []);
    }

    #[test]
    fn an_annotation_where_none_may_be_is_refused() {
        let at = |schema: Value| Mirrored::read(&json!({"type": "object", "properties": {"a": schema}}));
        for bad in [
            json!({"type": "string", "x-mcp-header": ""}),
            json!({"type": "string", "x-mcp-header": "a b"}),
            json!({"type": "string", "x-mcp-header": "a:b"}),
            json!({"type": "string", "x-mcp-header": 1}),
            json!({"type": "number", "x-mcp-header": "A"}),
            json!({"type": "object", "x-mcp-header": "A"}),
            json!({"x-mcp-header": "A"}),
            json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}),
            json!({"anyOf": [{"type": "string", "x-mcp-header": "A"}]}),
            json!({"type": "object", "$defs": {"b": {"type": "string", "x-mcp-header": "A"}}}),
            json!({"type": "object", "items": {"properties": {"b": {"type": "string", "x-mcp-header": "A"}}}}),
            json!({"type": "object", "properties": {
                "b": {"type": "string", "x-mcp-header": "A"}, "c": {"type": "string", "x-mcp-header": "a"}}}),
        ] {
            assert!(at(bad.clone()).is_err(), "{bad}");
        }
        assert!(Mirrored::read(&json!({"type": "string", "x-mcp-header": "A"})).is_err());
    }

    #[test]
    fn a_property_of_that_name_and_a_value_are_no_annotation() {
        let schema = json!({"type": "object", "default": {"x-mcp-header": 7}, "properties": {
            "x-mcp-header": {"type": "object"}, "a": {"enum": [{"x-mcp-header": ""}]}}});
        assert_eq!(Mirrored::read(&schema), Ok(Mirrored::default()));
    }
}
