//! `*.policy-test.yaml` as it is written: calls, and what policy must say of them. No file of a gateway that runs;
//! `portcullis policy test` reads it.

use portcullis_core::policy::document::Effect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Calls, and what policy must say of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyTestDocument {
    /// The version of this file's format: 1.
    pub version: u32,
    /// The policy that is tested, relative to this file. Without it, that of gateway.yaml.
    #[serde(default)]
    pub policy: Option<String>,
    /// The tests. They do not depend on one another.
    pub tests: Vec<TestDocument>,
}

/// A call, and what policy must say of it. It names one of `tool`, `prompt` and `resource`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestDocument {
    /// What it shows, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Who calls.
    #[serde(default)]
    pub principal: PrincipalDocument,
    /// The tool, as `upstream.tool`.
    #[serde(default)]
    pub tool: Option<String>,
    /// The prompt, as `upstream.prompt`.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The resource or template, as `upstream.uri`.
    #[serde(default)]
    pub resource: Option<String>,
    /// The arguments. Without it, a call that has none.
    #[serde(default)]
    pub args: Map<String, Value>,
    /// The endpoint that is called. Without it, the one that shows the upstream and the fewest others.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The address that the call comes from.
    #[serde(default)]
    pub client: Option<String>,
    /// The revision of MCP that the call speaks. Without it, the latest.
    #[serde(default)]
    pub protocol: Option<String>,
    /// When the call is made, such as `2026-11-20T08:00:00Z`. Without it, when the test runs.
    #[serde(default)]
    pub time: Option<String>,
    /// What policy says.
    pub expect: Effect,
    /// The id of the rule that says it: that of a rule, `access[n]` for an entry of `access`, or `default` where nothing
    /// matches. Without it, any.
    #[serde(default)]
    pub rule: Option<String>,
    /// Whether the caller sees the tool, prompt or resource in lists. Without it, either.
    #[serde(default)]
    pub listed: Option<bool>,
    /// The OAuth scopes that are needed and that the caller's token lacks: then the call is refused, whatever `expect` says.
    #[serde(default)]
    pub lacks: Vec<String>,
}

/// Who calls, as a token would say.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrincipalDocument {
    /// The issuer of the token.
    pub issuer: String,
    /// The user.
    pub user: String,
    /// Roles of the user; those that they inherit come with them.
    pub roles: Vec<String>,
    /// OAuth scopes of the token.
    pub scopes: Vec<String>,
    /// The user's tenant.
    pub tenant: Option<String>,
    /// The client that acts for the user.
    pub agent: Option<String>,
    /// Further claims of the token, for conditions.
    pub claims: Map<String, Value>,
}

impl Default for PrincipalDocument {
    fn default() -> Self {
        Self {
            issuer: "test".into(),
            user: "someone".into(),
            roles: Vec::new(),
            scopes: Vec::new(),
            tenant: None,
            agent: None,
            claims: Map::new(),
        }
    }
}
