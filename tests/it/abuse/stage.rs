//! Plays attacks: a recording upstream, one gateway, and after each attack everything that must hold.

use super::case::Setting;
use crate::support::gateway::{Gateway, MODERN, Setup, authority, modern_call};
use crate::support::http::{Connection, Request, Response, Version};
use crate::support::tap::Tap;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Seen, Speaks, Upstream};
use serde_json::{Map, Value, json};

/// What no answer may hold: names from the policy, the code and the machine.
const INTERNALS: [&str; 10] =
    ["default", "own-docs", "discounts", "policy", "src/", "panicked", "serde", "pingora", "127.0.0.1", "secret"];

/// An attack.
pub struct Attack {
    /// The numbers of the abuse cases, and what is tried.
    pub name: &'static str,
    pub request: Request,
    pub status: u16,
    /// The error's code; 0 for an answer without an error.
    pub code: i64,
    /// The error's label in the journal; empty for a call that runs.
    pub label: &'static str,
}

impl Attack {
    pub fn new(name: &'static str, request: Request, status: u16, code: i64, label: &'static str) -> Self {
        Self { name, request, status, code, label }
    }
}

/// The `_meta` of a modern request.
pub fn meta() -> String {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    })
    .to_string()
}

/// A modern call of `get_customer` with another body; `$META` stands for the `_meta` of a modern request.
pub fn with_body(body: impl AsRef<[u8]>) -> Request {
    let mut request = good();
    request.body = match std::str::from_utf8(body.as_ref()) {
        Ok(text) => text.replace("$META", &meta()).into_bytes(),
        Err(_) => body.as_ref().to_vec(),
    };
    request
}

/// A call that runs.
pub fn good() -> Request {
    call("get_customer", &json!({"id": "c-1"}))
}

/// A modern call at the endpoint `crm` by a developer.
pub fn call(tool: &str, arguments: &Value) -> Request {
    modern_call("crm", tool, arguments).bearer(&token("dora", &["developer"]))
}

/// A gateway with a recording upstream behind two names.
pub struct Stage {
    pub upstream: Upstream,
    pub gateway: Gateway,
    /// Counts what the gateway sends the upstream.
    pub tap: Tap,
    /// The ids of the policy's rules.
    pub rules: Vec<String>,
}

/// What an upstream answers to a call that is in order, whatever it was told to answer to others.
pub fn fine(seen: &Seen) -> Option<Answer> {
    (seen.json()["method"] == "tools/call").then(|| Answer::text("fine"))
}

fn tools() -> Vec<Value> {
    let tool = |name: &str, properties: Value| {
        json!({"name": name, "inputSchema": {
            "type": "object", "properties": properties, "required": [], "additionalProperties": name != "get_customer",
        }})
    };
    let structured =
        |name: &str, output: Value| json!({"name": name, "inputSchema": {"type": "object"}, "outputSchema": output});
    vec![
        tool("get_customer", json!({"id": {"type": "string"}, "deep": {}, "n": {}, "__proto": {}})),
        tool("set_discount", json!({"percent": {"type": "number"}})),
        tool("delete_customer", json!({})),
        tool("list_orders", json!({})),
        tool("get_region", json!({"region": {"type": "string", "x-mcp-header": "Region"}})),
        tool("get_illegal", json!({"region": {"type": "number", "x-mcp-header": "Region"}})),
        tool("read_file", json!({"path": {}})),
        tool("read_file_and_delete", json!({"path": {}})),
        structured("get_number", json!({"type": "object", "properties": {"card": {"type": "integer"}}})),
        structured("get_text", json!({"type": "object", "properties": {"card": {"type": ["integer", "string"]}}})),
    ]
}

const POLICY: &str = r#"
version: 1
roles: { viewer: {}, developer: { inherits: [viewer] }, oncall: {} }
tools:
  - { match: "crm.get_*", class: read }
  - { match: "crm.list_*", class: read }
  - { match: "crm.set_*", class: write }
  - { match: "*.read_file", class: read }
access:
  - { roles: [developer], upstreams: [crm], level: write }
rules:
  - { id: discounts, effect: deny, tools: [crm.set_discount], args: { percent: { min: 31 } } }
  - { id: own-docs, effect: allow, tools: ["files.read_file"], roles: [viewer], args: { path: { prefix: "/srv/docs/", type: path } } }
payload: { request: 1MiB, response: 256KiB }
redaction:
  - { detect: [email, card, secret], action: mask }
  - { fields: ["$..salary"], action: drop }
  - { patterns: { codename: "PROJECT-[A-Z]+" }, action: block }
"#;

impl Stage {
    pub async fn set() -> Self {
        Self::with(|setup| setup, POLICY).await
    }

    pub async fn with(change: impl FnOnce(Setup) -> Setup, policy: &str) -> Self {
        let upstream = Upstream::start(Speaks::Modern, tools()).await;
        let tap = Tap::before(authority(&upstream.url())).await;
        let url = format!("http://{}/mcp", tap.authority());
        let setup = Setup::new(&[("crm", url.clone()), ("files", url)], policy);
        // What is counted at the upstream are calls, and not what the gateway asks by itself.
        let setup = setup.upstream("crm", "refresh", json!("1h")).upstream("files", "refresh", json!("1h"));
        let gateway = change(setup).start().await;
        let policy: Value = serde_saphyr::from_str(policy).unwrap();
        let rules = policy["rules"].as_array().into_iter().flatten();
        let rules = rules.filter_map(|rule| rule["id"].as_str()).map(str::to_owned).collect();
        Self { upstream, gateway, tap, rules }
    }

    /// The stage that `setting` says.
    pub async fn of(setting: &Setting) -> Self {
        let change = |mut setup: Setup| {
            merge(&mut setup.gateway, &json!({"edge": {"bad_tokens": "1000000/s", "refusal_rows": "1000000/s"}}));
            merge(&mut setup.gateway, &setting.gateway);
            merge(&mut setup.upstreams["upstreams"]["crm"], &setting.upstream);
            merge(&mut setup.upstreams["upstreams"]["files"], &setting.upstream);
            setup
        };
        Self::with(change, setting.policy.as_deref().unwrap_or(POLICY)).await
    }

    /// Plays all attacks over one connection as far as the gateway keeps it; every fault is reported.
    pub async fn play(&self, attacks: Vec<Attack>) {
        let mut faults = Vec::new();
        let mut connection = Connection::open(self.gateway.authority(), Version::Http1).await;
        for attack in &attacks {
            let before = self.upstream.calls().len();
            let response = connection.exchange(&attack.request).await;
            let response = response.unwrap_or_else(|error| panic!("{}: {error}", attack.name));
            let reached = self.upstream.calls().len() - before;
            let mut tell = |fault: String| faults.push(format!("{}: {fault}", attack.name));
            check_answer(attack, &response, &mut tell);
            if reached != usize::from(attack.label.is_empty()) {
                tell(format!("{reached} calls reached the upstream"));
            }
            self.check_row(attack, &response, &mut tell).await;
            if response.header("connection") == Some("close") {
                connection = Connection::open(self.gateway.authority(), Version::Http1).await;
            }
            let next = connection.exchange(&good()).await;
            if next.as_ref().map_or(0, |response| response.status) != 200 {
                tell(format!("the next request: {next:?}"));
                connection = Connection::open(self.gateway.authority(), Version::Http1).await;
            }
        }
        assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    }

    /// The one row of the exchange that was answered with `response`.
    pub async fn row(&self, response: &Response) -> Map<String, Value> {
        let id = response.header("x-request-id").unwrap();
        let rows = self.gateway.ended_calls(1, |call| call["request_id"] == id).await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.into_iter().next().unwrap()
    }

    async fn check_row(&self, attack: &Attack, response: &Response, tell: &mut impl FnMut(String)) {
        let row = self.row(response).await;
        let wanted = if attack.label.is_empty() { Value::Null } else { attack.label.into() };
        if row["error"] != wanted {
            tell(format!("the row's error is {}, not {wanted}", row["error"]));
        }
        let outcome = if attack.label.is_empty() { "ok" } else { "refused" };
        if row["outcome"] != outcome || row["status"] != response.status {
            tell(format!("the row says {} {}", row["outcome"], row["status"]));
        }
    }
}

fn check_answer(attack: &Attack, response: &Response, tell: &mut impl FnMut(String)) {
    let text = response.text();
    if response.status != attack.status {
        tell(format!("status {}, not {}: {text}", response.status, attack.status));
        return;
    }
    if attack.request.path == "/mcp/invoke" {
        return;
    }
    let code = response.message()["error"]["code"].as_i64().unwrap_or_default();
    if code != attack.code {
        tell(format!("code {code}, not {}: {text}", attack.code));
    }
    if attack.code != 0 {
        INTERNALS.iter().filter(|word| text.contains(**word)).for_each(|word| tell(format!("{word:?} is in {text}")));
    }
}

/// Sets in `value` what `other` has, object by object.
fn merge(value: &mut Value, other: &Value) {
    match (value, other) {
        (_, Value::Null) => {}
        (Value::Object(value), Value::Object(other)) => {
            for (key, other) in other {
                merge(value.entry(key.clone()).or_insert(Value::Null), other);
            }
        }
        (value, other) => *value = other.clone(),
    }
}
