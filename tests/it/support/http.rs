//! Requests and answers, over HTTP/1.1 and over HTTP/2 with prior knowledge. What MCP puts into them is in `gateway`.

use crate::support::raw;
use bytes::Bytes;
use h2::client::SendRequest;
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use tokio::net::TcpStream;

/// A request, not yet sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self { method: "GET".into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "POST".into(), path: path.into(), headers: Vec::new(), body: body.into() }
            .header("content-type", "application/json")
    }

    /// The same with this header instead of any of its name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The same without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Its bytes over HTTP/1.1.
    pub fn to_http1(&self, authority: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            let _ = write!(head, "host: {authority}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if self.method != "GET" {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }

    /// Its head over HTTP/2.
    pub fn to_http2(&self, authority: &str) -> http::Request<()> {
        let uri = format!("http://{authority}{}", self.path);
        let mut request = http::Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }
}

/// A whole answer. Names of headers are in lower case.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON-RPC messages in it: one, or the data of each event that has any.
    pub fn messages(&self) -> Vec<Value> {
        let parse = |text: &str| {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}\nof {}\n", self.status))
        };
        if !self.header("content-type").is_some_and(|value| value.starts_with("text/event-stream")) {
            return vec![parse(&self.text())];
        }
        let text = self.text().replace("\r\n", "\n").replace('\r', "\n");
        let data = text.split("\n\n").map(event_data).filter(|data| !data.is_empty());
        data.map(|data| parse(&data)).collect()
    }

    /// The last message: the answer proper.
    pub fn message(&self) -> Value {
        self.messages().pop().unwrap_or_else(|| panic!("no message in {self:?}"))
    }
}

/// The data of one server-sent event.
fn event_data(event: &str) -> String {
    let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// How the wire is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// Both ways.
pub const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// A connection that carries one exchange after the other.
pub enum Connection {
    Http1(raw::Connection, String),
    Http2(SendRequest<Bytes>, String),
}

impl Connection {
    /// Connects to `authority`, a host and port.
    pub async fn open(authority: &str, version: Version) -> Self {
        if version == Version::Http1 {
            return Self::Http1(raw::Connection::open(authority).await, authority.to_owned());
        }
        let stream = TcpStream::connect(authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, driver) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(driver);
        Self::Http2(sender, authority.to_owned())
    }

    /// Sends `request` and reads its whole answer.
    pub async fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        match self {
            Self::Http1(connection, authority) => {
                connection.send(&request.to_http1(authority)).await?;
                connection.read_response().await
            }
            Self::Http2(sender, authority) => {
                exchange_http2(sender, authority, request).await.map_err(io::Error::other)
            }
        }
    }
}

async fn exchange_http2(
    sender: &mut SendRequest<Bytes>,
    authority: &str,
    request: &Request,
) -> Result<Response, h2::Error> {
    let mut ready = sender.clone().ready().await?;
    let (answer, mut upload) = ready.send_request(request.to_http2(authority), request.body.is_empty())?;
    if !request.body.is_empty() {
        // A server may refuse, and close the stream, before it has the body: then the answer says more than this error.
        let _ = upload.send_data(Bytes::copy_from_slice(&request.body), true);
    }
    let (head, mut stream) = answer.await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    Ok(Response { status: head.status.as_u16(), headers: headers.collect(), body })
}

/// Sends `request` over a connection of its own.
pub async fn fetch(authority: &str, request: &Request) -> Response {
    let request = request.clone().header("connection", "close");
    let mut connection = Connection::open(authority, Version::Http1).await;
    connection.exchange(&request).await.unwrap_or_else(|error| panic!("{authority}{}: {error}", request.path))
}
