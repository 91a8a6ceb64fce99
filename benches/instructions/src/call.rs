//! The call that most of the work is about, its caller, and the policy that judges it: a thousand rules, of which three speak
//! of its tool.

use anyhow::{Result, anyhow};
use portcullis_core::policy::document::PolicyDocument;
use portcullis_core::policy::{AccessRequest, Arguments, Context, Inventory, PolicySet};
use portcullis_core::principal::{Principal, RoleSet};
use portcullis_core::tool::{Kind, ToolName};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Rules of the policy.
const RULES: usize = 1000;

/// Tools of the catalogue.
pub const TOOLS: usize = 200;

/// The arguments of the call.
pub const ARGUMENTS: &str = r#"{"text":"The quick brown fox jumps over the lazy dog.","count":12,"kind":"plain"}"#;

/// The message that calls.
pub fn message() -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{ARGUMENTS},"_meta":{{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
    .into()
}

/// An answer with a text of about `bytes`, in which there is an address where `found`.
pub fn answer(bytes: usize, found: bool) -> Vec<u8> {
    let mut text =
        "The quick brown fox jumps over the lazy dog, and 12 of 345 do it again in 2026. ".repeat(bytes / 80);
    if found {
        text.insert_str(bytes / 2, " Ask ana.example@mail.example for more. ");
    }
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "resultType": "complete", "content": [{ "type": "text", "text": text }] } })
        .to_string()
        .into()
}

/// The definition of the tool `name`.
pub fn definition(name: &str) -> Value {
    json!({
        "name": name,
        "description": format!("Does what {name} does, with the text that it is given."),
        "inputSchema": {
            "type": "object",
            "properties": {
                "text": { "type": "string", "maxLength": 1000 },
                "count": { "type": "integer", "minimum": 0, "maximum": 100 },
                "kind": { "enum": ["plain", "rich"] },
            },
            "required": ["text"],
            "additionalProperties": false,
        },
    })
}

fn rule(n: usize) -> Value {
    let (id, tool, team) = (format!("rule-{n}"), format!("one.tool_{}", n % TOOLS), format!("team_{}", n % 20));
    match n % 5 {
        0 => json!({ "id": id, "effect": "allow", "tools": [tool], "roles": [team] }),
        1 => {
            json!({ "id": id, "effect": "allow", "tools": [tool], "roles": ["tester"], "args": { "text": { "max_len": 1000 } } })
        }
        2 => json!({ "id": id, "effect": "deny", "tools": [tool], "when": "has(args.count) && args.count > 50" }),
        3 => {
            json!({ "id": id, "effect": "review", "tools": [tool], "roles": ["lead"], "approvers": ["lead"], "ttl": "15m" })
        }
        _ => json!({ "id": id, "effect": "deny", "tools": [format!("*.admin_{n}_*")], "roles": [team] }),
    }
}

/// The policy.
pub fn policy() -> Result<PolicySet> {
    let mut roles: serde_json::Map<_, _> = (0..20).map(|n| (format!("team_{n}"), json!({}))).collect();
    roles.extend(["tester", "lead"].map(|name| (name.to_owned(), json!({}))));
    let mut rules = vec![
        json!({ "id": "echo", "effect": "allow", "tools": ["one.echo"], "roles": ["tester"], "args": { "text": { "max_len": 1000 } } }),
        json!({ "id": "count", "effect": "deny", "tools": ["one.echo"], "when": "has(args.count) && args.count > 50" }),
        json!({ "id": "kind", "effect": "deny", "tools": ["one.echo"], "args": { "kind": { "equals": "rich" } } }),
    ];
    rules.extend((rules.len()..RULES).map(rule));
    let document: PolicyDocument = serde_json::from_value(json!({
        "version": 1,
        "roles": roles,
        "tools": [{ "match": "one.*", "class": "read" }],
        "access": [{ "roles": ["tester"], "upstreams": ["one"], "level": "read" }],
        "rules": rules,
    }))?;
    let names = |name: &str| BTreeSet::from([name.to_owned()]);
    let inventory = Inventory { upstreams: names("one"), endpoints: names("work") };
    PolicySet::compile(&document, &inventory).map_err(|problems| anyhow!("the policy is wrong: {problems:?}"))
}

/// Who calls.
pub struct Caller {
    principal: Principal,
    roles: RoleSet,
}

impl Caller {
    /// Somebody with one role.
    pub fn new(policy: &PolicySet) -> Self {
        let principal = Principal {
            issuer: "https://idp.example".into(),
            subject: "ana".into(),
            tenant: None,
            agent: None,
            roles: BTreeSet::from(["tester".to_owned()]),
            scopes: BTreeSet::new(),
            claims: serde_json::Map::new(),
            expires_at: None,
        };
        let roles = policy.roles(&principal);
        Self { principal, roles }
    }

    /// Their use of `tool`.
    pub fn asks<'a>(
        &'a self,
        tool: &'a ToolName,
        arguments: Arguments<'a>,
        context: &'a Context<'a>,
    ) -> AccessRequest<'a> {
        AccessRequest { principal: &self.principal, roles: &self.roles, kind: Kind::Tool, tool, arguments, context }
    }
}

/// Where the call is made.
pub fn context() -> Context<'static> {
    Context { endpoint: "work", method: "tools/call", protocol: "2026-07-28", client: None }
}
