//! A case as it is written. Every key is documented here; what is left out does not matter to the case.

use crate::support::gateway::{MODERN, Setup, legacy, modern, modern_call};
use crate::support::http::Request;
use crate::support::peers::repository;
use crate::support::tokens::Claims;
use crate::support::upstream::{Answer, Body};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// One behaviour.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file, for messages.
    #[serde(skip)]
    pub file: String,
    /// The behaviour, as a sentence.
    pub name: String,
    /// `policy.yaml`, as text; without it, `tests/cases/policy/default.yaml`.
    #[serde(default)]
    policy: Option<String>,
    /// Who calls; without it, a developer.
    #[serde(default)]
    principal: Caller,
    /// The endpoint: `crm` (without it), `files`, or `work` with both.
    #[serde(default = "crm")]
    pub endpoint: String,
    /// Whether the client opens a session of 2025-11-25 first.
    #[serde(default)]
    pub legacy: bool,
    /// The tool that is called.
    #[serde(default)]
    pub tool: Option<String>,
    /// With what.
    #[serde(default)]
    pub arguments: Option<Value>,
    /// The method, where it is not `tools/call`.
    #[serde(default)]
    method: Option<String>,
    /// Its params.
    #[serde(default)]
    params: Option<Value>,
    /// The whole body instead; the header stays as `tool` or `method` makes it.
    #[serde(default)]
    body: Option<String>,
    /// Headers that are set, or left out where null.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// How often the request is sent; the last answer counts.
    #[serde(default = "once")]
    pub times: u32,
    /// What the upstream does.
    #[serde(default)]
    pub upstream: Script,
    /// What must come of it.
    pub expect: Expect,
}

/// Who calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caller {
    pub sub: String,
    pub roles: Vec<String>,
    /// Claims that are set, or left out where null.
    pub claims: Map<String, Value>,
    /// What is sent as token: `signed`, `none`, `garbled`, or `forged` with another secret.
    pub token: Token,
}

/// What is sent as token.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Token {
    Signed,
    None,
    Garbled,
    Forged,
}

impl Default for Caller {
    fn default() -> Self {
        Self { sub: "ana".into(), roles: vec!["developer".into()], claims: Map::new(), token: Token::Signed }
    }
}

/// What the upstream does with a call. At most one of the first group.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Answers with this result.
    result: Option<Value>,
    /// Answers with a result of this one text.
    text: Option<String>,
    /// Answers with this JSON-RPC error.
    error: Option<Value>,
    /// Answers with a stream of these messages.
    events: Option<Vec<Value>>,
    /// Answers with these bytes as `content_type`.
    raw: Option<String>,
    /// Does this instead: `dead` (refuses connections), `silent`, `closed` (reads and closes), `broken` (stops in the
    /// middle of the body).
    fault: Option<String>,

    /// How many times `text` stands in itself.
    repeat: Option<usize>,
    /// Bytes in each piece of `events`.
    piece: Option<usize>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    /// How long the gateway waits for it, such as `300ms`.
    timeout: Option<String>,
}

/// What must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The HTTP status.
    pub status: u16,
    /// Headers that must be there, and what they contain.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The error's code and a part of its message.
    #[serde(default)]
    pub error: Option<ExpectedError>,
    /// What the result must hold: objects may hold more, all else is equal.
    #[serde(default)]
    pub result: Option<Value>,
    /// The names of the listed tools, in any order.
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    /// What must be in the answer's body.
    #[serde(default)]
    pub contains: Vec<String>,
    /// What must not be in the answer's body.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// The answer must be the same, but for the tool's name, as that of a call of this tool.
    #[serde(default)]
    pub same_as: Option<String>,
    /// Calls that reach the upstream.
    #[serde(default)]
    pub upstream_calls: Option<usize>,
    /// What the upstream must see of the last call.
    #[serde(default)]
    pub upstream_sees: Option<Value>,
    /// What the call's record must hold: keys are columns of the journal.
    #[serde(default)]
    pub audit: Map<String, Value>,
    /// What policy says of the call: asked of the core too, without a gateway.
    #[serde(default)]
    pub decision: Option<ExpectedDecision>,
}

/// The error's code and a part of its message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedError {
    pub code: i64,
    #[serde(default)]
    pub message: String,
}

/// What policy says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedDecision {
    pub effect: String,
    pub rule: String,
}

fn crm() -> String {
    "crm".into()
}

fn once() -> u32 {
    1
}

impl Case {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let case: Self = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { file: path.file_name().unwrap().to_string_lossy().into_owned(), ..case }
    }

    /// The text of its policy.
    pub fn policy(&self) -> String {
        let default = || std::fs::read_to_string(repository().join("tests/cases/policy/default.yaml")).unwrap();
        self.policy.clone().unwrap_or_else(default)
    }

    /// The roles of its token.
    pub fn roles(&self) -> &[String] {
        &self.principal.roles
    }

    /// The subject of its token.
    pub fn subject(&self) -> &str {
        &self.principal.sub
    }

    /// A gateway's files, with both upstreams at `url`.
    pub fn setup(&self, url: &str) -> Setup {
        let mut setup = Setup::new(&[("crm", url.to_owned()), ("files", url.to_owned())], &self.policy());
        if let Some(timeout) = &self.upstream.timeout {
            setup = setup.upstream("crm", "timeout", json!(timeout));
        }
        setup
    }

    /// The token, where one is sent.
    pub fn token(&self) -> Option<String> {
        let roles: Vec<_> = self.principal.roles.iter().map(String::as_str).collect();
        let mut claims = Claims::new(&self.principal.sub, &roles);
        for (claim, value) in &self.principal.claims {
            claims = claims.with(claim, value.clone());
        }
        match self.principal.token {
            Token::Signed => Some(claims.sign()),
            Token::None => None,
            Token::Garbled => Some("not.a.token".into()),
            Token::Forged => Some(claims.sign_with("a secret that the gateway does not know at all")),
        }
    }

    /// The request, calling `tool` where it calls one.
    pub fn request(&self, tool: Option<&str>, session: &[(String, String)]) -> Request {
        let arguments = self.arguments.clone().unwrap_or_else(|| json!({}));
        let mut request = match (tool, self.method.as_deref()) {
            (Some(tool), _) if self.legacy => {
                legacy(&self.endpoint, "tools/call", json!({"name": tool, "arguments": arguments}))
            }
            (Some(tool), _) => modern_call(&self.endpoint, tool, &arguments),
            (None, Some(method)) if self.legacy => legacy(&self.endpoint, method, self.params()),
            (None, method) => self.named(modern(&self.endpoint, method.unwrap_or("tools/call"), self.params())),
        };
        request.headers.extend(session.to_vec());
        if let Some(token) = self.token() {
            request = request.bearer(&token);
        }
        if let Some(body) = &self.body {
            request.body = self.fill_in(body).into_bytes();
        }
        for (name, value) in &self.headers {
            request = match value {
                Some(value) => request.header(name, value),
                None => request.without(name),
            };
        }
        request
    }

    fn params(&self) -> Value {
        self.params.clone().unwrap_or_else(|| json!({}))
    }

    /// `request` with the header that repeats what it is about.
    fn named(&self, request: Request) -> Request {
        let params = self.params();
        let name = ["uri", "name", "taskId"].into_iter().find_map(|key| params[key].as_str().map(str::to_owned));
        name.into_iter().fold(request, |request, name| request.header("mcp-name", &name))
    }

    /// The method by which the record knows it.
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("tools/call")
    }

    /// `body` with the `_meta` of a modern request for `$META`.
    fn fill_in(&self, body: &str) -> String {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        body.trim_end().replace("$META", &meta.to_string())
    }
}

impl Script {
    /// Whether the upstream is gone when the call comes.
    pub fn is_dead(&self) -> bool {
        self.fault.as_deref() == Some("dead")
    }

    /// What the upstream answers.
    pub fn answer(&self) -> Answer {
        let mut answer = self.plain_answer();
        if let Some(kind) = &self.content_type {
            answer.headers = vec![("content-type".into(), kind.clone())];
        }
        if let Some(coding) = &self.content_encoding {
            answer.headers.push(("content-encoding".into(), coding.clone()));
        }
        answer
    }

    fn plain_answer(&self) -> Answer {
        let fault = |body| Answer::new(200, "application/json", body);
        match self.fault.as_deref() {
            Some("silent") => return fault(Body::Silent),
            Some("closed") => return fault(Body::Closed),
            Some("broken") => return fault(Body::Broken(br#"{"jsonrpc":"2.0","id":$ID,"#.to_vec())),
            Some("dead") | None => {}
            Some(other) => panic!("no fault `{other}`"),
        }
        if let Some(result) = &self.result {
            return Answer::result(result);
        }
        if let Some(error) = &self.error {
            return Answer::json(&format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{error}}}"#));
        }
        if let Some(events) = &self.events {
            let data: Vec<_> = events.iter().map(Value::to_string).collect();
            return Answer::events(&data, self.piece.unwrap_or(usize::MAX));
        }
        if let Some(raw) = &self.raw {
            return Answer::json(raw);
        }
        Answer::text(&self.text.as_deref().unwrap_or("fine").repeat(self.repeat.unwrap_or(1)))
    }
}
