//! What a client said that it can be asked for.
//!
//! Only what a gateway can carry is kept: nothing else a client declares reaches an upstream as a capability.

use serde_json::{Map, Value, json};

/// What a client can be asked for while a call of its runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// To fill in a form (`elicitation`, and before 2025-11-25 the only kind).
    pub form: bool,
    /// To open a page (`elicitation.url`).
    pub url: bool,
    /// To ask its model (`sampling`).
    pub sampling: bool,
    /// With tools (`sampling.tools`).
    pub sampling_tools: bool,
    /// With context of other servers (`sampling.context`).
    pub sampling_context: bool,
    /// For its roots (`roots`).
    pub roots: bool,
    /// To tell when they change (`roots.listChanged`), legacy.
    pub roots_changed: bool,
}

impl Capabilities {
    /// All of them: what an upstream offers to a client that can do everything.
    pub const ALL: Self = Self {
        form: true,
        url: true,
        sampling: true,
        sampling_tools: true,
        sampling_context: true,
        roots: true,
        roots_changed: true,
    };

    /// From the JSON object of `initialize` or `_meta`; what can't be read declares nothing.
    pub fn read(json: &[u8]) -> Self {
        let declared: Map<String, Value> = serde_json::from_slice(json).unwrap_or_default();
        let object = |key: &str| declared.get(key).and_then(Value::as_object);
        let member = |parent: &str, key: &str| object(parent).and_then(|parent| parent.get(key));
        let elicitation = object("elicitation");
        let (form, url) = (member("elicitation", "form"), member("elicitation", "url"));
        Self {
            // An empty object is a form alone (MCP 2025-11-25 "Elicitation", capabilities).
            form: elicitation.is_some() && (url.is_none() || form.is_some_and(Value::is_object)),
            url: url.is_some_and(Value::is_object),
            sampling: object("sampling").is_some(),
            sampling_tools: member("sampling", "tools").is_some_and(Value::is_object),
            sampling_context: member("sampling", "context").is_some_and(Value::is_object),
            roots: object("roots").is_some(),
            roots_changed: member("roots", "listChanged") == Some(&Value::Bool(true)),
        }
    }

    /// As the JSON object that an upstream is shown.
    pub fn write(self) -> Vec<u8> {
        let mut declared = Map::new();
        let flag = |object: &mut Map<String, Value>, key: &str, on: bool| {
            if on {
                object.insert(key.to_owned(), json!({}));
            }
        };
        if self.form || self.url {
            let mut elicitation = Map::new();
            // A form alone is said by nothing in it, which every revision understands.
            flag(&mut elicitation, "form", self.form && self.url);
            flag(&mut elicitation, "url", self.url);
            declared.insert("elicitation".into(), elicitation.into());
        }
        if self.sampling {
            let mut sampling = Map::new();
            flag(&mut sampling, "tools", self.sampling_tools);
            flag(&mut sampling, "context", self.sampling_context);
            declared.insert("sampling".into(), sampling.into());
        }
        if self.roots {
            let roots = if self.roots_changed { json!({ "listChanged": true }) } else { json!({}) };
            declared.insert("roots".into(), roots);
        }
        Value::Object(declared).to_string().into_bytes()
    }

    /// Whether there is nothing that it can be asked for.
    pub fn is_empty(self) -> bool {
        !(self.form || self.url || self.sampling || self.roots)
    }

    /// Whether a request of the upstream's for `method`, of the elicitation mode `mode`, may be put to it.
    pub fn takes(self, method: &str, mode: Option<&str>) -> bool {
        match (method, mode) {
            ("elicitation/create", Some("url")) => self.url,
            ("elicitation/create", None | Some("form")) => self.form,
            ("sampling/createMessage", _) => self.sampling,
            ("roots/list", _) => self.roots,
            ("ping", _) => true,
            _ => false,
        }
    }

    /// As bits, for what is sealed.
    pub fn bits(self) -> u8 {
        let all = [
            self.form,
            self.url,
            self.sampling,
            self.sampling_tools,
            self.sampling_context,
            self.roots,
            self.roots_changed,
        ];
        all.iter().enumerate().fold(0, |bits, (position, on)| bits | (u8::from(*on) << position))
    }

    /// From [`Capabilities::bits`].
    pub fn from_bits(bits: u8) -> Self {
        let on = |position: u8| bits & (1 << position) != 0;
        Self {
            form: on(0),
            url: on(1),
            sampling: on(2),
            sampling_tools: on(3),
            sampling_context: on(4),
            roots: on(5),
            roots_changed: on(6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_read_and_written_the_same() {
        for declared in [
            r#"{}"#,
            r#"{"elicitation":{}}"#,
            r#"{"elicitation":{"url":{}}}"#,
            r#"{"elicitation":{"form":{},"url":{}}}"#,
            r#"{"sampling":{"context":{},"tools":{}}}"#,
            r#"{"roots":{"listChanged":true},"sampling":{}}"#,
        ] {
            let read = Capabilities::read(declared.as_bytes());
            assert_eq!(String::from_utf8(read.write()).unwrap(), declared);
            assert_eq!(Capabilities::from_bits(read.bits()), read);
        }
        assert_eq!(Capabilities::read(br#"{"elicitation":{"form":{}}}"#), Capabilities::read(br#"{"elicitation":{}}"#));
    }

    #[test]
    fn a_client_is_asked_for_what_it_declared_alone() {
        let form = Capabilities::read(br#"{"elicitation":{}}"#);
        assert!(form.takes("elicitation/create", None) && form.takes("elicitation/create", Some("form")));
        assert!(!form.takes("elicitation/create", Some("url")) && !form.takes("sampling/createMessage", None));
        for odd in ["null", "[]", "", r#"{"sampling":true,"roots":null,"x":{}}"#] {
            let read = Capabilities::read(odd.as_bytes());
            assert!(read.is_empty() && !read.takes("roots/list", None) && !read.takes("x", None), "{odd}");
            assert!(read.takes("ping", None));
        }
    }
}
