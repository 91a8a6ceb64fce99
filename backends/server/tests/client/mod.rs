//! A client for the tests of all backends: raw JSON-RPC over a loopback socket, in either era, so that what is tested is
//! what goes over the wire. It reads answers to their end and knows no more of HTTP than that needs.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The revisions with an `initialize` handshake.
pub const LEGACY: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";

/// An answer as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// The JSON-RPC messages of the answer, whichever of the two forms it has.
    pub fn messages(&self) -> Vec<Value> {
        if !self.content_type.starts_with("text/event-stream") {
            return vec![serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))];
        }
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
        data.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The last message: the response.
    pub fn message(&self) -> Value {
        self.messages().pop().unwrap_or_else(|| panic!("no message: {self:?}"))
    }
}

/// Calls one backend at `address`.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub secret: Option<&'static str>,
}

impl Client {
    /// A caller with no secret.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, secret: None }
    }

    /// Sends a request and leaves the rest to the caller. HTTP/1.0, so that the answer ends with the connection.
    pub async fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut request = format!("{method} {path} HTTP/1.0\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(secret) = self.secret {
            request.push_str(&format!("x-gateway-auth: {secret}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = self.open(method, path, headers, body).await;
        let mut answer = String::new();
        timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        Reply { status, content_type: content_type.to_owned(), body: body.to_owned(), head }
    }

    /// Posts `body` to `/mcp` with the headers of `version`.
    pub async fn post(&self, version: &str, body: &str) -> Reply {
        let headers = headers(version, body);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.send("POST", "/mcp", &headers, body).await
    }

    /// Calls `tool` with the JSON text `arguments`, and gives back the `result`.
    pub async fn call_raw(&self, version: &str, tool: &str, arguments: &str) -> Value {
        let reply = self.post(version, &call_body(version, tool, arguments, None)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let message = reply.message();
        assert!(message["result"].is_object(), "{message}");
        message["result"].clone()
    }

    /// Calls `tool` in the modern era, expects success, and gives back the structured content.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call_raw(MODERN, tool, &arguments.to_string()).await;
        assert_eq!(result["isError"], json!(false), "{tool} {arguments}: {result}");
        result["structuredContent"].clone()
    }

    /// Calls `tool` in the modern era, expects `isError`, and gives back its text.
    pub async fn fail(&self, tool: &str, arguments: Value) -> String {
        let result = self.call_raw(MODERN, tool, &arguments.to_string()).await;
        assert_eq!(result["isError"], json!(true), "{tool} {arguments}: {result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// The tools by `tools/list`.
    pub async fn tools(&self, version: &str) -> Vec<Value> {
        let body = request_body(version, "tools/list", json!({}));
        self.post(version, &body).await.message()["result"]["tools"].as_array().unwrap().clone()
    }
}

/// The headers that `version` asks for on a request with this body.
pub fn headers(version: &str, body: &str) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("accept", "application/json, text/event-stream".to_owned()),
    ];
    let message: Value = serde_json::from_str(body).unwrap_or_default();
    // 2025-03-26 has no version header, and an initialize has none yet.
    if version != "2025-03-26" && message["method"] != "initialize" {
        headers.push(("mcp-protocol-version", version.to_owned()));
    }
    if version == MODERN {
        headers.push(("mcp-method", message["method"].as_str().unwrap_or_default().to_owned()));
        if let Some(name) = message["params"]["name"].as_str() {
            headers.push(("mcp-name", name.to_owned()));
        }
    }
    headers
}

/// A request of any method, with the `_meta` that the modern era asks for.
pub fn request_body(version: &str, method: &str, mut params: Value) -> String {
    if version == MODERN {
        params["_meta"] = meta(None);
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// A `tools/call` whose arguments are the given JSON text, character for character.
pub fn call_body(version: &str, tool: &str, arguments: &str, progress_token: Option<&str>) -> String {
    let meta = match (version, progress_token) {
        (MODERN, token) => meta(token),
        (_, Some(token)) => json!({ "progressToken": token }),
        (_, None) => json!({}),
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}}}"#
    )
}

fn meta(progress_token: Option<&str>) -> Value {
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    if let Some(token) = progress_token {
        meta["progressToken"] = json!(token);
    }
    meta
}
