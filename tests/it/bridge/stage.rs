//! A gateway between a client of one era and a recording server of the other, both scripted by a test.

use crate::support::gateway::{Gateway, LEGACY, Setup, legacy, modern};
use crate::support::http::{Request, Response};
use crate::support::journal;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw::Connection;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body, Seen, Speaks, Upstream};
use serde_json::{Map, Value, json};

pub const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
redaction:
  - { detect: [email], action: mask }
"#;

/// Where the server is an upstream by itself.
pub const UPSTREAM: &str = "other";

/// Where a modern client says what it can do.
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A server of one tool.
pub async fn server(speaks: Speaks) -> Upstream {
    let upstream = Upstream::start(speaks, vec![json!({"name": "ask", "inputSchema": {"type": "object"}})]).await;
    script(&upstream, |_| None);
    upstream
}

/// Lets `upstream` answer as `behaviour` says, and take answers to its questions.
pub fn script(upstream: &Upstream, behaviour: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static) {
    let usual = upstream.answers();
    upstream.behave(move |seen| {
        behaviour(seen).or_else(|| match seen.json()["method"].as_str() {
            Some("initialize" | "server/discover") => {
                let mut answer = usual(seen);
                answer.body.replace(r#""capabilities":{"tools":{}}"#, r#""capabilities":{"resources":{},"tools":{}}"#);
                Some(answer)
            }
            Some("resources/list") => Some(Answer::result(&json!({"resources": []}))),
            Some("resources/templates/list") => Some(Answer::result(&json!({"resourceTemplates": []}))),
            None if seen.method == "POST" => Some(Answer::nothing(202)),
            _ => None,
        })
    });
}

/// Lets `upstream` answer calls by a stream whose messages each wait for a `release`.
pub fn script_calls(upstream: &Upstream, messages: impl Fn(&Value) -> Vec<Value> + Send + Sync + 'static) {
    script(upstream, move |seen| is(seen, "tools/call").then(|| gated(&messages(&seen.json()))));
}

/// A stream whose messages each wait for a `release`.
pub fn gated(messages: &[Value]) -> Answer {
    Answer::new(200, "text/event-stream", Body::Gated(pieces(messages)))
}

/// A stream whose first message comes at once, and each other after a `release`.
pub fn begun(messages: &[Value]) -> Answer {
    Answer::new(200, "text/event-stream", Body::Begun(pieces(messages)))
}

fn pieces(messages: &[Value]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| format!("event: message\ndata: {message}\n\n").into_bytes()).collect()
}

pub fn is(seen: &Seen, method: &str) -> bool {
    seen.json()["method"] == method
}

/// The result of `call` with the text `text`.
pub fn result(call: &Value, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": call["id"], "result": {"content": [{"type": "text", "text": text}]}})
}

pub fn form(message: &str) -> Value {
    json!({"message": message, "requestedSchema": {"type": "object", "properties": {}}})
}

/// A request of the server's to its client.
pub fn question(id: i64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The gateway before `upstream`, once it knows the tool.
pub async fn before(upstream: &Upstream) -> Gateway {
    before_with(upstream, |setup| setup).await
}

pub async fn before_with(upstream: &Upstream, change: impl FnOnce(Setup) -> Setup) -> Gateway {
    let setup = Setup::new(&[(UPSTREAM, upstream.url())], POLICY);
    let setup = setup.upstream(UPSTREAM, "refresh", json!("1h")).upstream(UPSTREAM, "health_interval", json!("1h"));
    let gateway = change(setup).start().await;
    let found = async || (gateway.readiness().await["upstreams"][UPSTREAM]["tools"].as_u64() >= Some(1)).then_some(());
    wait_until("the tools are known", PATIENCE, found).await;
    gateway
}

/// Makes `policy` the one that is live.
pub async fn set_policy(gateway: &Gateway, policy: &str) {
    let before = gateway.readiness().await["revision"].clone();
    std::fs::write(gateway.dir().join("policy.yaml"), policy).unwrap();
    let is_live = async || (gateway.readiness().await["revision"] != before).then_some(());
    wait_until("the policy is live", PATIENCE, is_live).await;
}

/// A modern client's call of `ask` by `user`.
pub fn ask(user: &str, capabilities: &Value, arguments: Value) -> Request {
    let request = modern(UPSTREAM, "tools/call", json!({"name": "ask", "arguments": arguments}));
    edit(request, |body| {
        body["params"]["_meta"][CAPABILITIES] = capabilities.clone();
    })
    .bearer(&token(user, &["tester"]))
}

/// What `response` asks of a modern client whose call waits.
pub fn is_parked(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    let message = response.message();
    assert_eq!(message["result"]["resultType"], "input_required", "{message}");
    assert!(message["result"]["requestState"].is_string(), "{message}");
    message
}

/// The same once more, with what `first` asked for.
pub fn retry(request: &Request, first: &Value, answers: Value) -> Request {
    edit(request.clone(), |body| {
        body["id"] = json!(2);
        body["params"]["inputResponses"] = answers;
        body["params"]["requestState"] = first["result"]["requestState"].clone();
    })
}

pub fn edit(mut request: Request, change: impl FnOnce(&mut Value)) -> Request {
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    change(&mut body);
    request.body = body.to_string().into_bytes();
    request
}

pub fn accept() -> Value {
    json!({"action": "accept", "content": {"name": "Ada"}})
}

/// What `upstream` was told in answer to its questions.
pub fn told(upstream: &Upstream) -> Vec<Value> {
    let posted = upstream.seen().into_iter().filter(|seen| seen.method == "POST").map(|seen| seen.json());
    posted.filter(|message| message["method"].is_null()).collect()
}

/// Waits until `upstream` was told `count` answers.
pub async fn told_once(upstream: &Upstream, count: usize) -> Vec<Value> {
    wait_until(&format!("{count} answers have come"), PATIENCE, async || {
        let told = told(upstream);
        (told.len() >= count).then_some(told)
    })
    .await
}

/// Waits until `upstream` has got `count` messages for `method`.
pub async fn seen(upstream: &Upstream, method: &str, count: usize) -> Vec<Seen> {
    wait_until(&format!("{count} of {method} have come"), PATIENCE, async || {
        let found: Vec<_> = upstream.seen().into_iter().filter(|seen| is(seen, method)).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

/// The journal's entries of kind `kind` that speak of the tool, once there are `count`.
pub async fn entries(gateway: &Gateway, kind: &str, count: usize) -> Vec<Map<String, Value>> {
    wait_until(&format!("the journal has {count} of kind {kind}"), PATIENCE, async || {
        let all = journal::entries(&gateway.ready.journal).await;
        let found: Vec<_> =
            all.into_iter().filter(|entry| entry["kind"] == kind && entry["method"] == "tools/call").collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

/// A legacy client with a session.
pub struct Session<'a> {
    gateway: &'a Gateway,
    headers: Vec<(String, String)>,
}

impl<'a> Session<'a> {
    pub async fn open(gateway: &'a Gateway, user: &str, capabilities: Value) -> Self {
        let info = json!({"name": "tests", "version": "1"});
        let params = json!({"protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": info});
        let token = token(user, &["tester"]);
        let response = gateway.send(&legacy(UPSTREAM, "initialize", params).bearer(&token)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let session = response.header("mcp-session-id").unwrap();
        let headers = [("authorization", &*format!("Bearer {token}")), ("mcp-session-id", session)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { gateway, headers: headers.into() }
    }

    fn message(&self, message: &Value) -> Request {
        let request = Request::post(&format!("/{UPSTREAM}/mcp"), message.to_string())
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", LEGACY);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    pub async fn say(&self, message: &Value) -> Response {
        self.gateway.send(&self.message(message)).await
    }

    /// Answers the question with the id `id`.
    pub async fn answer(&self, id: &Value, answer: Value) {
        let response = self.say(&json!({"jsonrpc": "2.0", "id": id, "result": answer})).await;
        assert_eq!(response.status, 202, "{}", response.text());
    }

    /// Calls the tool under the id `id`.
    pub async fn call(&self, id: &Value, arguments: Value) -> Stream {
        let params = json!({"name": "ask", "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        self.open_stream(&call).await
    }

    pub async fn open_stream(&self, message: &Value) -> Stream {
        Stream::open(self.gateway, &self.message(message)).await
    }
}

/// An answer that is read message by message.
pub struct Stream {
    connection: Connection,
    headers: Vec<(String, String)>,
    rest: String,
}

impl Stream {
    pub async fn open(gateway: &Gateway, request: &Request) -> Self {
        let mut connection = Connection::open(gateway.authority()).await;
        connection.send(&request.to_http1(gateway.authority())).await.unwrap();
        let head = tokio::time::timeout(PATIENCE, connection.read_response_head()).await.expect("an answer begins");
        let (_, headers) = head.unwrap();
        Self { connection, headers, rest: String::new() }
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        if self.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("application/json")) {
            return serde_json::from_slice(&self.connection.read_body(&self.headers, true).await.unwrap()).unwrap();
        }
        loop {
            while let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")) {
                    return serde_json::from_str(data).unwrap();
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.connection.read_chunk()).await.expect("a message comes");
            self.rest.push_str(&String::from_utf8(chunk.unwrap().expect("the stream goes on")).unwrap());
        }
    }
}
