//! What an upstream says of itself: what it can do, and how it wants to be used.

use super::definition::Canonical;
use crate::mcp::extension::TASKS;
use serde_json::{Map, Value};

/// The longest instructions, in bytes. Longer ones are left out whole: half of them may say the contrary.
const INSTRUCTIONS: usize = 64 << 10;

/// What an upstream says of itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Its capabilities, as it declares them in `initialize` or `server/discover`.
    pub capabilities: Map<String, Value>,
    /// How it wants to be used, in words for a model.
    pub instructions: Option<String>,
    /// Whether these words are not the ones that were pinned, and so are shown to nobody.
    pub instructions_held: bool,
}

impl About {
    /// From the result of `initialize` or `server/discover`.
    pub fn read(result: &Value) -> Self {
        let capabilities = result.get("capabilities").and_then(Value::as_object).cloned().unwrap_or_default();
        let instructions = result.get("instructions").and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let instructions = instructions.filter(|text| text.len() <= INSTRUCTIONS).map(str::to_owned);
        Self { capabilities, instructions, instructions_held: false }
    }

    /// Its words, where they may be shown.
    pub fn shown_instructions(&self) -> Option<&str> {
        self.instructions.as_deref().filter(|_| !self.instructions_held)
    }

    /// What is pinned of its words. That there are none is pinned too: so words that come later are a change.
    pub fn canonical(&self) -> Canonical {
        let text = Value::from(self.instructions.as_deref().unwrap_or_default());
        Canonical::of(&Map::from_iter([("instructions".to_owned(), text)]), &["instructions"])
    }

    /// Whether it declares the capability `name`.
    pub fn declares(&self, name: &str) -> bool {
        self.capabilities.get(name).is_some_and(Value::is_object)
    }

    /// Whether it says `flag` of the capability `name`.
    pub fn says(&self, name: &str, flag: &str) -> bool {
        self.capabilities.get(name).and_then(|one| one.get(flag)) == Some(&true.into())
    }

    /// What it can do, as far as a gateway can pass it on.
    pub fn offers(&self) -> Offers {
        Offers {
            tools: self.declares("tools"),
            prompts: self.declares("prompts"),
            resources: self.declares("resources"),
            subscribe: self.says("resources", "subscribe"),
            completions: self.declares("completions"),
            logging: self.declares("logging"),
            tasks: self.capabilities.get("extensions").and_then(|all| all.get(TASKS)).is_some_and(Value::is_object),
        }
    }
}

/// What servers can do. Whether lists tell of their changes is not here: the gateway keeps the lists and tells of them
/// itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// Tools.
    pub tools: bool,
    /// Prompts.
    pub prompts: bool,
    /// Resources.
    pub resources: bool,
    /// To tell of changes of a resource.
    pub subscribe: bool,
    /// To complete arguments.
    pub completions: bool,
    /// To send log messages.
    pub logging: bool,
    /// To run calls as tasks (SEP-2663).
    pub tasks: bool,
}

impl Offers {
    /// What is assumed of a server that was not reached yet: all kinds of lists, which are empty so far. Clients of older
    /// revisions ask once, when they begin, and would miss what comes.
    pub const UNKNOWN: Self = Self {
        tools: true,
        prompts: true,
        resources: true,
        subscribe: false,
        completions: false,
        logging: false,
        tasks: false,
    };

    /// What one or the other can do.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
            subscribe: self.subscribe || other.subscribe,
            completions: self.completions || other.completions,
            logging: self.logging || other.logging,
            tasks: self.tasks || other.tasks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_says_of_itself_is_read_as_far_as_it_makes_sense() {
        let about = About::read(&json!({
            "capabilities": {
                "tools": {"listChanged": true}, "resources": {"subscribe": true}, "prompts": null, "x": {},
                "extensions": {TASKS: {}, "com.example/x": {}},
            },
            "instructions": "Be kind.",
        }));
        let offers = Offers { tools: true, resources: true, subscribe: true, tasks: true, ..Offers::default() };
        assert_eq!(about.offers(), offers);
        assert_eq!(about.shown_instructions(), Some("Be kind."));
        for odd in [json!({}), json!([]), json!({"capabilities": [], "instructions": 7}), json!({"instructions": " "})]
        {
            let about = About::read(&odd);
            assert_eq!((about.offers(), about.shown_instructions()), (Offers::default(), None), "{odd}");
        }
        let long = About::read(&json!({"instructions": "x".repeat(INSTRUCTIONS + 1)}));
        assert_eq!(long.shown_instructions(), None);
    }

    #[test]
    fn words_that_changed_are_shown_to_nobody() {
        let mut about = About::read(&json!({"instructions": "Be kind."}));
        assert_ne!(about.canonical(), About::default().canonical());
        about.instructions_held = true;
        assert_eq!(about.shown_instructions(), None);
    }
}
