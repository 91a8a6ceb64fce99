//! A prompt, as its upstream describes it.

use super::definition::{Canonical, Forms, Raw};
use crate::tool::ToolName;
use serde_json::Value;

/// What a prompt's pin is made of.
const PINNED: [&str; 4] = ["name", "title", "description", "arguments"];

/// A prompt of an upstream.
#[derive(Debug)]
pub struct Prompt {
    /// Its name; named like a tool, and no tool.
    pub name: ToolName,
    /// What is pinned of it.
    pub canonical: Canonical,
    forms: Forms,
}

impl Prompt {
    /// Reads one member of a `prompts/list` result.
    ///
    /// # Errors
    /// The reason why the prompt can't be offered.
    pub fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        let raw = Raw::read(definition)?;
        let name = ToolName::new(upstream, raw.name()?);
        if !raw.members.get("arguments").is_none_or(are_arguments) {
            return Err("its arguments are not a list of objects with names".into());
        }
        let forms = Forms::new(&raw, &name.to_string(), &[], &[], &[]);
        let canonical = Canonical::of(&raw.members, &PINNED);
        Ok(Self { name, canonical, forms })
    }

    /// The definition, named `upstream.prompt` where it is `qualified`; else as the upstream wrote it.
    pub fn definition(&self, qualified: bool) -> &[u8] {
        self.forms.of(qualified, false)
    }
}

fn are_arguments(value: &Value) -> bool {
    let is_argument = |argument: &Value| argument.get("name").is_some_and(Value::is_string);
    value.as_array().is_some_and(|arguments| arguments.iter().all(is_argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_called_by_its_upstream_where_there_are_several() {
        let definition = br#"{"arguments":[{"name":"city","required":true}],"name":"greet"}"#;
        let prompt = Prompt::read("crm", definition).unwrap();
        assert_eq!(prompt.definition(false), definition);
        assert_eq!(
            std::str::from_utf8(prompt.definition(true)).unwrap(),
            r#"{"arguments":[{"name":"city","required":true}],"name":"crm.greet"}"#
        );
    }

    #[test]
    fn a_prompt_that_nobody_could_use_is_left_out() {
        for definition in [
            r#"{}"#,
            r#"{"name":""}"#,
            r#"{"name":"a","arguments":{}}"#,
            r#"{"name":"a","arguments":[{"name":7}]}"#,
            r#"{"name":"a","arguments":["x"]}"#,
            r#"{"name":"a","name":"b"}"#,
        ] {
            assert!(Prompt::read("crm", definition.as_bytes()).is_err(), "{definition}");
        }
    }
}
