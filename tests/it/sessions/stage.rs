//! A gateway before a recording server of 2025-11-25 that a test scripts, and clients that read streams event by event.

use crate::support::gateway::{Gateway, LEGACY, Setup, legacy};
use crate::support::http::{Request, Response};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw::Connection;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub const POLICY: &str = r#"
version: 1
roles: { tester: {}, other: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester, other], upstreams: ["*"], level: read }]
rules:
  - { id: not-that, effect: deny, resources: ["old.test://hidden*"] }
redaction:
  - { detect: [email], action: mask }
"#;

/// What clients here can be asked for.
pub fn able() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {"listChanged": true}})
}

/// A server of one tool, which gives each handshake a session of its own.
pub async fn server() -> Upstream {
    let tool = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Legacy, vec![tool]).await;
    script(&upstream, |_| None);
    upstream
}

/// Lets `upstream` answer as `behaviour` says, and open sessions as ever.
pub fn script(upstream: &Upstream, behaviour: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static) {
    let (count, usual) = (AtomicUsize::new(0), upstream.answers());
    let id = upstream.url();
    upstream.behave(move |seen| {
        if let Some(answer) = behaviour(seen) {
            return Some(answer);
        }
        let message = seen.json();
        match message["method"].as_str() {
            Some("initialize") => {
                let mut answer = usual(seen);
                let session = format!("{}-{}", id.len(), count.fetch_add(1, Ordering::SeqCst));
                answer.headers.retain(|(name, _)| name != "mcp-session-id");
                answer.headers.push(("mcp-session-id".into(), session));
                answer.body.replace(
                    r#""capabilities":{"tools":{}}"#,
                    r#""capabilities":{"logging":{},"resources":{"subscribe":true},"tools":{}}"#,
                );
                answer.body.replace(
                    r#""protocolVersion":"2025-11-25""#,
                    &format!(r#""protocolVersion":{}"#, message["params"]["protocolVersion"]),
                );
                Some(answer)
            }
            Some("resources/subscribe" | "resources/unsubscribe" | "logging/setLevel") => {
                Some(Answer::json(r#"{"jsonrpc":"2.0","id":$ID,"result":{}}"#))
            }
            // An answer to a question.
            None if seen.method == "POST" => Some(Answer::nothing(202)),
            _ => None,
        }
    });
}

/// A stream whose events, given as they are on the wire, each wait for a `release`.
pub fn gated(events: Vec<String>) -> Answer {
    Answer::new(200, "text/event-stream", Body::Gated(events.into_iter().map(String::into_bytes).collect()))
}

/// A stream whose events come at once.
pub fn streamed(events: Vec<String>) -> Answer {
    Answer::new(200, "text/event-stream", Body::Pieces(events.into_iter().map(String::into_bytes).collect()))
}

pub fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

pub fn event_with_id(id: &str, message: &Value) -> String {
    format!("id: {id}\ndata: {message}\n\n")
}

/// The answer to the call `seen`.
pub fn done(seen: &Seen) -> Value {
    json!({"jsonrpc": "2.0", "id": seen.json()["id"], "result": {"content": [{"type": "text", "text": "done"}]}})
}

pub fn elicitation(id: i64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create",
        "params": {"message": "ask ana@example.com", "requestedSchema": {"type": "object", "properties": {}}}})
}

pub fn is(seen: &Seen, method: &str) -> bool {
    seen.json()["method"] == method
}

/// The gateway before `upstream`, which it calls `old`.
pub async fn before(upstream: &Upstream) -> Gateway {
    start(Setup::new(&[("old", upstream.url())], POLICY)).await
}

pub async fn start(setup: Setup) -> Gateway {
    let setup = setup.upstream("old", "refresh", json!("1h")).upstream("old", "health_interval", json!("1h"));
    let gateway = setup.start().await;
    let found = async || (gateway.readiness().await["upstreams"]["old"]["tools"] == 1).then_some(());
    wait_until("the tools are known", PATIENCE, found).await;
    gateway
}

/// The same before a server with any number of tools.
pub async fn start_any(setup: Setup) -> Gateway {
    let gateway = setup.start().await;
    let found = async || gateway.readiness().await["upstreams"]["old"]["tools"].as_u64().filter(|tools| *tools > 0);
    wait_until("the tools are known", PATIENCE, found).await;
    gateway
}

/// Puts `policy` in the place of the one that is live.
pub async fn policy(gateway: &Gateway, policy: &str) {
    let before = gateway.readiness().await["revision"].clone();
    std::fs::write(gateway.dir().join("policy.yaml"), policy).unwrap();
    let is_live = async || (gateway.readiness().await["revision"] != before).then_some(());
    wait_until("the policy is live", PATIENCE, is_live).await;
}

/// A client with a session.
pub struct Client {
    gateway: Arc<Gateway>,
    pub headers: Vec<(String, String)>,
}

impl Client {
    pub async fn open(gateway: &Arc<Gateway>, user: &str) -> Self {
        Self::with(gateway, user, able(), LEGACY).await
    }

    pub async fn with(gateway: &Arc<Gateway>, user: &str, capabilities: Value, version: &str) -> Self {
        let info = json!({"name": "tests", "version": "1"});
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": info});
        let token = token(user, &["tester"]);
        let response = gateway.send(&legacy("old", "initialize", params).bearer(&token)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.message()["result"]["protocolVersion"], version);
        let session = response.header("mcp-session-id").unwrap();
        let headers = [
            ("authorization", format!("Bearer {token}").as_str()),
            ("mcp-session-id", session),
            ("mcp-protocol-version", version),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { gateway: gateway.clone(), headers: headers.into() }
    }

    /// A message of the session.
    pub fn message(&self, message: &Value) -> Request {
        let request = Request::post("/old/mcp", message.to_string());
        self.in_session(request.header("accept", "application/json, text/event-stream"))
    }

    pub fn in_session(&self, request: Request) -> Request {
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    pub async fn say(&self, message: &Value) -> Response {
        self.gateway.send(&self.message(message)).await
    }

    /// Answers the question with the id `id`.
    pub async fn answer(&self, id: &Value, result: &Value) -> Response {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "result": result})).await
    }

    pub async fn request(&self, method: &str, params: Value) -> Response {
        self.say(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})).await
    }

    /// Calls the tool under the id `id`, and reads the stream that comes.
    pub async fn call(&self, id: &Value) -> Stream {
        let params = json!({"name": "echo", "arguments": {}});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        Stream::open(&self.gateway, &self.message(&call)).await
    }

    /// Waits for news, from the event `last` on.
    pub async fn listen(&self, last: Option<&str>) -> Stream {
        let request = self.in_session(Request::get("/old/mcp").header("accept", "text/event-stream"));
        let request = last.iter().fold(request, |request, last| request.header("last-event-id", last));
        Stream::open(&self.gateway, &request).await
    }

    pub async fn end(&self) {
        let mut request = self.in_session(Request::get("/old/mcp"));
        request.method = "DELETE".into();
        assert_eq!(self.gateway.send(&request).await.status, 204);
    }
}

/// An answer that is read event by event.
pub struct Stream {
    connection: Connection,
    pub status: u16,
    headers: Vec<(String, String)>,
    rest: String,
}

/// An event as it came.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: Option<String>,
    pub retry: Option<String>,
    pub data: String,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Stream {
    async fn open(gateway: &Gateway, request: &Request) -> Self {
        let mut connection = Connection::open(gateway.authority()).await;
        connection.send(&request.to_http1(gateway.authority())).await.unwrap();
        let (status, headers) = connection.read_response_head().await.unwrap();
        Self { connection, status, headers, rest: String::new() }
    }

    /// The next event that is one; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
                };
                if let Some(data) = field("data:") {
                    return Some(Event { id: field("id:"), retry: field("retry:"), data });
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.connection.read_chunk()).await.expect("an event comes");
            self.rest.push_str(&String::from_utf8(chunk.ok()??).unwrap());
        }
    }

    /// The message of the next event.
    pub async fn message(&mut self) -> Value {
        self.next().await.expect("the stream goes on").json()
    }

    /// The answer, where it comes whole.
    pub async fn whole(mut self) -> Value {
        serde_json::from_slice(&self.connection.read_body(&self.headers, true).await.unwrap()).unwrap()
    }
}

/// The messages that `upstream` got and that answer its questions.
pub fn answers(upstream: &Upstream) -> Vec<Value> {
    let all = upstream.seen().into_iter().filter(|seen| seen.method == "POST").map(|seen| seen.json());
    all.filter(|message| message["method"].is_null()).collect()
}

/// Waits until `upstream` has seen `count` messages for `method`.
pub async fn seen(upstream: &Upstream, method: &str, count: usize) -> Vec<Seen> {
    wait_until(&format!("{count} of {method} have come"), PATIENCE, async || {
        let found: Vec<_> = upstream.seen().into_iter().filter(|seen| is(seen, method)).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

/// Waits until `upstream` was asked for news `count` times.
pub async fn listened(upstream: &Upstream, count: usize) -> Vec<Seen> {
    wait_until(&format!("{count} GET have come"), PATIENCE, async || {
        let found: Vec<_> =
            upstream.seen().into_iter().filter(|seen| seen.method == "GET" && seen.path == "/mcp").collect();
        (found.len() >= count).then_some(found)
    })
    .await
}
