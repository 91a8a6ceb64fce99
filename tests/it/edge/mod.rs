//! The gateway's edge, attacked by hand: what two readers could take for two different requests, what is too large or too
//! slow, and who only says that they are somebody. Each refusal leaves no byte at the upstream, one record where a call
//! was meant, and a connection that either works or is closed.

mod bounds;
mod framing;
mod http2;
mod identity;

use crate::support::gateway::{Gateway, Setup, modern_call};
use crate::support::http::{Request, Response};
use crate::support::process::PATIENCE;
use crate::support::raw::Connection;
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};
use tokio::time::timeout;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.echo", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
payload: { request: 64KiB }
"#;

/// A gateway before an upstream that records.
struct Bench {
    upstream: Upstream,
    gateway: Gateway,
    token: String,
}

impl Bench {
    async fn start(edge: Value) -> Self {
        Self::start_with(edge, POLICY).await
    }

    async fn start_with(edge: Value, policy: &str) -> Self {
        let echo = json!({"name": "echo", "inputSchema": {"type": "object"}});
        let upstream = Upstream::start(Speaks::Modern, vec![echo]).await;
        // All that reaches the upstream is counted: it is not asked again what it offers.
        let setup = Setup::new(&[("one", upstream.url())], policy).upstream("one", "refresh", json!("1h"));
        let gateway = setup.with("edge", edge).start().await;
        Self { upstream, gateway, token: token("ana", &["tester"]) }
    }

    /// A call that is in order.
    fn call(&self) -> Request {
        modern_call("one", "echo", &json!({"value": 1})).bearer(&self.token)
    }

    async fn connect(&self) -> Connection {
        Connection::open(self.gateway.authority()).await
    }

    /// The call, begun with `line` and with `fields` instead of its host and length.
    fn raw(&self, line: &str, fields: &str, body: &[u8]) -> Vec<u8> {
        let mut head = format!("{line}\r\n{fields}");
        for (name, value) in &self.call().headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    fn host(&self) -> String {
        format!("Host: {}\r\n", self.gateway.authority())
    }

    /// The call with `fields` instead of its length.
    fn framed(&self, fields: &str, body: &[u8]) -> Vec<u8> {
        self.raw("POST /one/mcp HTTP/1.1", &format!("{}{fields}", self.host()), body)
    }

    /// Sends `bytes` on a connection of their own, which must be closed after the answer.
    async fn attack(&self, bytes: &[u8]) -> Response {
        let mut connection = self.connect().await;
        connection.send(bytes).await.unwrap();
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let response = timeout(PATIENCE, connection.read_response()).await.unwrap_or_else(|_| panic!("no end: {head}"));
        let response = response.unwrap_or_else(|error| panic!("{error}: {head}"));
        timeout(PATIENCE, connection.closed()).await.unwrap_or_else(|_| panic!("not closed: {head}"));
        response
    }

    /// That each of these is refused with its status and says that the connection closes; that those with a label leave
    /// one record with it, and the others none; and that the upstream sees none of them.
    async fn refuses(&self, attacks: Vec<(Vec<u8>, u16, Option<&str>)>) {
        let (seen, before) = (self.upstream.seen().len(), self.gateway.calls().await.len());
        for (bytes, status, _) in &attacks {
            let response = self.attack(bytes).await;
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
            assert_eq!(response.status, *status, "{} to {head}", response.text());
            assert_eq!(response.header("connection"), Some("close"), "{head}");
        }
        // The record is in order: when a later call is in it, so is all before.
        assert_eq!(self.gateway.send(&self.call()).await.status, 200);
        let labels: Vec<_> = attacks.iter().filter_map(|(_, _, label)| *label).collect();
        let calls = self.gateway.ended_calls(before + labels.len() + 1, |_| true).await;
        let refused = &calls[before..calls.len() - 1];
        assert_eq!(refused.iter().map(|call| call["error"].as_str().unwrap()).collect::<Vec<_>>(), labels);
        assert!(refused.iter().all(|call| call["outcome"] == "refused" && call["endpoint"] == "one"), "{refused:?}");
        assert_eq!(self.upstream.seen().len(), seen + 1);
    }
}

/// The field of a body in chunks.
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
