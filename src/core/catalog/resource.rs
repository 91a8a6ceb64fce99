//! Resources and templates of resources, as their upstream describes them.

use super::definition::Raw;
use super::template::Pattern;
use crate::mcp::asked::URI_BYTES;
use crate::tool::ToolName;

/// A resource of an upstream.
#[derive(Debug)]
pub struct Resource {
    /// Its upstream and its URI.
    pub name: ToolName,
    /// The definition as the upstream wrote it. A URI means something to whoever reads it, so it is the same on every
    /// endpoint.
    pub definition: Vec<u8>,
}

impl Resource {
    /// Reads one member of a `resources/list` result.
    ///
    /// # Errors
    /// The reason why the resource can't be offered.
    pub fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        let raw = Raw::read(definition)?;
        raw.text("name")?.ok_or("it has no name")?;
        let uri = raw.text("uri")?.ok_or("it has no uri")?;
        check_uri(uri).map_err(|problem| format!("its uri {problem}"))?;
        Ok(Self { name: ToolName::new(upstream, uri), definition: definition.to_vec() })
    }
}

/// A template of an upstream's resources.
#[derive(Debug)]
pub struct Template {
    /// Its upstream and the template itself.
    pub name: ToolName,
    /// Which URIs it stands for.
    pub pattern: Pattern,
    /// The definition as the upstream wrote it.
    pub definition: Vec<u8>,
}

impl Template {
    /// Reads one member of a `resources/templates/list` result.
    ///
    /// # Errors
    /// The reason why the template can't be offered.
    pub fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        let raw = Raw::read(definition)?;
        raw.text("name")?.ok_or("it has no name")?;
        let text = raw.text("uriTemplate")?.ok_or("it has no uriTemplate")?;
        check_uri(text).map_err(|problem| format!("its uriTemplate {problem}"))?;
        let pattern = Pattern::compile(text).map_err(|problem| format!("its uriTemplate {problem}"))?;
        Ok(Self { name: ToolName::new(upstream, text), pattern, definition: definition.to_vec() })
    }
}

/// Spaces stay, though RFC 3986 has none: servers are seen to write them.
fn check_uri(uri: &str) -> Result<(), &'static str> {
    if uri.is_empty() || uri.len() > URI_BYTES {
        return Err("is empty or longer than 4096 bytes");
    }
    if uri.chars().any(char::is_control) {
        return Err("holds control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_that_can_t_be_named_is_left_out() {
        for definition in [r#"{"uri":"a://b","name":"b"}"#, r#"{"uri":"weather://San Francisco","name":"b","size":1}"#]
        {
            assert_eq!(Resource::read("crm", definition.as_bytes()).unwrap().definition, definition.as_bytes());
        }
        let long = format!(r#"{{"uri":"a://{}","name":"b"}}"#, "x".repeat(URI_BYTES));
        for definition in
            [r#"{"name":"b"}"#, r#"{"uri":"","name":"b"}"#, r#"{"uri":"a://b"}"#, r#"{"uri":"a:\n","name":"b"}"#, &long]
        {
            assert!(Resource::read("crm", definition.as_bytes()).is_err(), "{definition}");
        }
    }

    #[test]
    fn a_template_that_can_t_be_read_is_left_out() {
        let template = Template::read("crm", br#"{"uriTemplate":"a://{x}","name":"b"}"#).unwrap();
        assert!(template.pattern.matches("a://1") && !template.pattern.matches("a://1/2"));
        for definition in [r#"{"uri":"a://{x}","name":"b"}"#, r#"{"uriTemplate":"a://{x","name":"b"}"#] {
            assert!(Template::read("crm", definition.as_bytes()).is_err(), "{definition}");
        }
    }
}
