//! The front of an adapter, asked as the gateway asks, before programs of a few lines of shell.

use super::*;
use crate::config::document::upstreams::Sharing;
use crate::config::snapshot::Stdio;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;

struct Started {
    adapters: Adapters,
    _adapter: Adapter,
    url: String,
}

/// An adapter before `script`, which answers requests by their numbers: 1, 2 and so on.
fn start(script: &str, per: Sharing) -> Started {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stdio = Stdio {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        env: BTreeMap::new(),
        cwd: None,
        per,
        idle: Duration::from_secs(600),
        max_processes: 4,
    };
    let upstream = Upstream {
        name: "it".into(),
        transport: Transport::Stdio(stdio),
        replicas: Vec::new(),
        addresses: Vec::new(),
        tls: false,
        path: String::new(),
        health: None,
        health_interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        http: HttpVersion::Auto,
        ca: None,
        refresh: Duration::from_secs(60),
        pinning: true,
        per_user: false,
    };
    let adapters = Adapters::new(Arc::new(Metrics::new().unwrap()));
    let (adapter, reached) = super::start(&Arc::new(upstream), &adapters).unwrap().unwrap();
    let url = format!("http://{}{}", reached.replicas[0].authority, reached.path);
    Started { adapters, _adapter: adapter, url }
}

impl Started {
    fn request(&self, method: reqwest::Method, session: &str) -> RequestBuilder {
        let request = Client::builder().no_proxy().build().unwrap().request(method, &self.url);
        if session.is_empty() { request } else { request.header("mcp-session-id", session) }
    }

    async fn post(&self, session: &str, message: Value) -> Response {
        self.request(reqwest::Method::POST, session).body(message.to_string()).send().await.unwrap()
    }

    /// Opens a session; its id.
    async fn open(&self) -> String {
        let response = self.post("", json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {}})).await;
        assert_eq!(response.status(), 200);
        let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        assert_eq!(json_of(response).await["id"], "i");
        id
    }
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// Waits for a sign of life while nothing is said.
async fn beats(stream: &mut Response) {
    let chunk = tokio::time::timeout(Duration::from_secs(30), stream.chunk()).await.unwrap().unwrap().unwrap();
    assert!(chunk.starts_with(b":\n\n"), "{chunk:?}");
}

/// The next event of a stream that says something.
async fn event(stream: &mut Response) -> Value {
    let mut text = String::new();
    loop {
        let chunk = tokio::time::timeout(Duration::from_secs(30), stream.chunk()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
            return serde_json::from_str(data).unwrap();
        }
    }
}

const HELLO: &str = r#"hello='"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'
read l; echo "{\"jsonrpc\":\"2.0\",\"id\":1,$hello"; read l;"#;

#[tokio::test]
async fn a_session_has_a_stream_and_is_asked_on_it_and_ends_with_its_process() {
    let script = r#"
        read l; echo '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
        read l; echo '{"jsonrpc":"2.0","id":"q","method":"roots/list"}'
        read answer; case "$answer" in *'"id":"q"'*) echo '{"jsonrpc":"2.0","id":2,"result":{}}';; esac
        read l"#;
    let started = start(&format!("{HELLO}{script}"), Sharing::Principal);
    let session = started.open().await;
    let notify = |method: &str| json!({"jsonrpc": "2.0", "method": method});
    assert_eq!(started.post(&session, notify("notifications/initialized")).await.status(), 202);
    let mut stream = started.request(reqwest::Method::GET, &session).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    beats(&mut stream).await;
    assert_eq!(started.post(&session, notify("notifications/roots/list_changed")).await.status(), 202);
    assert_eq!(event(&mut stream).await["method"], "notifications/tools/list_changed");
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"});
    let mut answer = started.post(&session, call).await;
    assert_eq!(event(&mut answer).await["method"], "roots/list", "the question comes on the call's own stream");
    let reply = json!({"jsonrpc": "2.0", "id": "q", "result": {"roots": []}});
    assert_eq!(started.post(&session, reply).await.status(), 202);
    assert_eq!(event(&mut answer).await, json!({"jsonrpc": "2.0", "id": 7, "result": {}}));
    assert_eq!(started.request(reqwest::Method::DELETE, &session).send().await.unwrap().status(), 200);
    let mut running = started.adapters.running.subscribe();
    tokio::time::timeout(Duration::from_secs(30), running.wait_for(|running| *running == 0)).await.unwrap().unwrap();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        assert!(chunk.iter().all(|byte| b":\n".contains(byte)), "{chunk:?}");
    }
    for session in [session.as_str(), "", "0"] {
        let status = started.post(session, json!({"jsonrpc": "2.0", "id": 8, "method": "tools/list"})).await.status();
        assert_eq!(status, if session.is_empty() { 400 } else { 404 }, "{session}");
    }
}

#[tokio::test]
async fn sessions_of_a_shared_process_know_of_one_handshake() {
    let script = r#"read l; echo '{"jsonrpc":"2.0","id":2,"result":{"of":"two"}}'; read l"#;
    let started = start(&format!("{HELLO}{script}"), Sharing::Shared);
    let (one, two) = tokio::join!(started.open(), started.open());
    assert_ne!(one, two);
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(started.post(&one, initialized).await.status(), 202);
    assert_eq!(started.request(reqwest::Method::DELETE, &one).send().await.unwrap().status(), 200);
    let answer = started.post(&two, json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert_eq!(json_of(answer).await["result"]["of"], "two", "the process outlives the other's session");
    assert_eq!(*started.adapters.running.borrow(), 1);
}

/// What it can't do in this moment, another process may do in the next.
#[tokio::test]
async fn a_shared_process_that_refuses_its_handshake_is_not_asked_by_the_next_session() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("refused").display().to_string();
    let script = format!(
        r#"if [ -e {flag} ]; then {HELLO} read l; else touch {flag}
        read l; echo '{{"jsonrpc":"2.0","id":1,"error":{{"code":-32603,"message":"not yet"}}}}'; read l; fi"#
    );
    let started = start(&script, Sharing::Shared);
    let hello = json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {}});
    let refused = started.post("", hello).await;
    assert!(refused.headers().get("mcp-session-id").is_none());
    let refused = json_of(refused).await;
    assert_eq!((&refused["id"], &refused["error"]["message"]), (&json!("i"), &json!("not yet")));
    started.open().await;
}

/// What echoes: it answers each request with a result, however many come.
const ECHO: &str = r#"while read l; do n=$(echo "$l" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    if [ -n "$n" ]; then echo "{\"jsonrpc\":\"2.0\",\"id\":$n,\"result\":{\"protocolVersion\":\"2025-11-25\"}}"; fi; done"#;

#[tokio::test]
async fn a_session_is_its_callers_alone_and_who_has_many_makes_room() {
    let started = start(ECHO, Sharing::Principal);
    let request = |caller: &str, session: &str, method: &str| {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": {}}).to_string();
        started.request(reqwest::Method::POST, session).header(PRINCIPAL, caller).body(message).send()
    };
    let open = async |caller: &str| {
        let response = request(caller, "", "initialize").await.unwrap();
        response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
    };
    let bob = open("bob").await;
    assert_eq!(request("ana", &bob, "tools/list").await.unwrap().status(), 404);
    assert_eq!(started.request(reqwest::Method::DELETE, &bob).send().await.unwrap().status(), 404);
    let ana = [open("ana").await, open("ana").await, open("ana").await];
    open("cyd").await;
    assert_eq!(request("bob", &bob, "tools/list").await.unwrap().status(), 200, "his is the oldest, and his only one");
    assert_eq!(request("ana", &ana[0], "tools/list").await.unwrap().status(), 404);
    assert_eq!(request("ana", &ana[1], "tools/list").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_subscription_is_a_stream_until_its_server_ends_it() {
    const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
    let script = r#"
        read l; s='"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}'
        echo "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",$s"
        read l; echo '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'; read l"#;
    let started = start(script, Sharing::Principal);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    let listen = json!({"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": {"_meta": meta}});
    let mut stream = started.post("", listen).await;
    let first = event(&mut stream).await;
    assert_eq!(first["params"]["_meta"][SUBSCRIPTION], "l", "{first}");
    beats(&mut stream).await;
    let more = json!({"jsonrpc": "2.0", "method": "notifications/x"}).to_string();
    let more = started.request(reqwest::Method::POST, "").header("mcp-protocol-version", "2026-07-28").body(more);
    assert_eq!(more.send().await.unwrap().status(), 202);
    let last = event(&mut stream).await;
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("l"), &json!("complete")), "{last}");
    assert!(stream.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn errors_of_modern_requests_have_their_status() {
    let script = r#"n=0; while read l; do n=$((n+1)); c=$(echo "$l" | sed 's/.*"code":\(-[0-9]*\).*/\1/')
        echo "{\"jsonrpc\":\"2.0\",\"id\":$n,\"error\":{\"code\":$c,\"message\":\"\"}}"; done"#;
    let started = start(script, Sharing::Principal);
    for (code, status) in [(-32601, 404), (-32020, 400), (-32022, 400), (-32602, 200), (-31000, 200)] {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"code": code, "_meta": meta}});
        assert_eq!(started.post("", request).await.status(), status, "{code}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let started = start("cat", Sharing::Principal);
    for body in ["", "[]", "{", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#] {
        let response = started.request(reqwest::Method::POST, "").body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
    }
    assert_eq!(started.request(reqwest::Method::PUT, "").send().await.unwrap().status(), 405);
    assert_eq!(started.request(reqwest::Method::GET, "").send().await.unwrap().status(), 400);
    assert_eq!(*started.adapters.running.borrow(), 0, "no process is started for it");
}
