//! An MCP server of our own that records what reaches it, byte for byte, and answers calls as a test tells it to.
//!
//! It speaks HTTP/1.1 and HTTP/2 (prior knowledge) on one port. It does not judge what it gets: the real servers in
//! `tests/peers` do.

pub use crate::support::answer::{Answer, Body};
use crate::support::http::Version;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw;
use bytes::Bytes;
use h2::server::SendResponse;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Which revisions a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// 2026-07-28 alone.
    Modern,
    /// 2025-11-25 alone.
    Legacy,
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The number of its connection, from 1.
    pub connection: usize,
    pub version: Version,
    pub method: String,
    pub path: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The other side went away before the answer was whole.
    pub abandoned: bool,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a test has a server answer instead; `None` where it is to answer as ever.
type Behaviour = Arc<dyn Fn(&Seen) -> Option<Answer> + Send + Sync>;

struct State {
    speaks: Speaks,
    behaviour: Mutex<Behaviour>,
    tools: Vec<Value>,
    answer: Mutex<Answer>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    ended: Mutex<BTreeSet<usize>>,
    gate: Semaphore,
}

/// A running server. It ends with this value.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    /// Starts a server with `tools`.
    pub async fn start(speaks: Speaks, tools: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            speaks,
            behaviour: Mutex::new(Arc::new(|_| None)),
            tools,
            answer: Mutex::new(Answer::text("fine")),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            ended: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let task = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Answers calls so from now on.
    pub fn answer(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    /// Answers everything as `behaviour` says from now on.
    pub fn behave(&self, behaviour: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static) {
        *self.state.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// Lets the next piece of a gated body go.
    pub fn release(&self) {
        self.state.gate.add_permits(1);
    }

    /// Stops at once: closes its port and every connection.
    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        // Its connections are told to end with it, and do a little later.
        let all: BTreeSet<_> = (1..=self.state.connections.load(Ordering::SeqCst)).collect();
        let ended = async || (*self.state.ended.lock().unwrap() == all).then_some(());
        wait_until("every connection has ended", PATIENCE, ended).await;
    }

    /// Starts again after `stop`, on the same port.
    pub async fn resume(&mut self) {
        let bind = async || TcpListener::bind(self.address).await.ok();
        let listener = wait_until("the port is free again", PATIENCE, bind).await;
        self.task = tokio::spawn(accept(listener, self.state.clone()));
    }

    /// Whether the connection of that number has ended.
    pub fn has_ended(&self, connection: usize) -> bool {
        self.state.ended.lock().unwrap().contains(&connection)
    }

    /// What this server answers where it is not told otherwise, for itself or another to `behave` nearly so.
    pub fn answers(&self) -> impl Fn(&Seen) -> Answer + Send + Sync + use<> {
        let state = self.state.clone();
        move |seen| state.usual_answer_to(seen)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The calls of tools among them.
    pub fn calls(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.json()["method"] == "tools/call").collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Notes a connection's end, however it ends. It must outlive the connection.
struct Ended(Arc<State>, usize);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.lock().unwrap().insert(self.1);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // The set ends its tasks when it is dropped, and with them their connections.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
        connections.spawn(serve(stream, number, state.clone()));
    }
}

async fn serve(stream: TcpStream, number: usize, state: Arc<State>) {
    let _ended = Ended(state.clone(), number);
    let mut first = [0; 4];
    let preface = loop {
        match stream.peek(&mut first).await {
            Ok(4) => break first == *b"PRI ",
            Ok(1..) => tokio::task::yield_now().await,
            _ => return,
        }
    };
    if preface {
        serve_http2(stream, number, state).await;
    } else {
        let mut connection = raw::Connection::adopt(stream, Vec::new());
        while serve_http1(&mut connection, number, &state).await.is_some() {}
    }
}

/// One exchange over HTTP/1.1; `None` where the connection is to end.
async fn serve_http1(connection: &mut raw::Connection, number: usize, state: &State) -> Option<()> {
    let head = connection.read_head().await.ok()??;
    let headers = raw::parse_headers(&head);
    let body = connection.read_body(&headers, false).await.ok()?;
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let seen = Seen { connection: number, version: Version::Http1, method, path, headers, body, abandoned: false };
    let (place, answer) = state.record(seen);
    let written = write_http1(connection, &answer, state).await;
    if written.is_err() {
        state.abandon(place);
    }
    matches!(written, Ok(true)).then_some(())
}

/// Writes `answer`; whether the connection goes on, or an error where the other side left.
async fn write_http1(connection: &mut raw::Connection, answer: &Answer, state: &State) -> std::io::Result<bool> {
    let left = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    let fields = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    let head = |framing: &str| format!("HTTP/1.1 {} Told\r\n{fields}{framing}\r\n\r\n", answer.status);
    match &answer.body {
        Body::Closed => return Ok(false),
        Body::Silent => {
            connection.closed().await;
            return Err(left());
        }
        Body::Whole(body) | Body::Parting(body) => {
            let head = head(&format!("content-length: {}", body.len()));
            connection.send(&[head.as_bytes(), body].concat()).await?;
            return Ok(matches!(answer.body, Body::Whole(_)));
        }
        Body::Broken(body) => {
            let head = head(&format!("content-length: {}", body.len() + 1000));
            connection.send(&[head.as_bytes(), body].concat()).await?;
            return Ok(false);
        }
        Body::Pieces(pieces) | Body::Gated(pieces) | Body::Begun(pieces) => {
            connection.send(head("transfer-encoding: chunked").as_bytes()).await?;
            for (place, piece) in pieces.iter().enumerate() {
                tokio::select! {
                    () = state.gate_for(&answer.body, place) => {}
                    () = connection.closed() => return Err(left()),
                }
                let frame = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                connection.send(&frame).await?;
            }
            connection.send(b"0\r\n\r\n").await?;
        }
    }
    Ok(true)
}

async fn serve_http2(stream: TcpStream, number: usize, state: Arc<State>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut exchanges = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (state, sender) = (state.clone(), respond);
        exchanges.spawn(async move { exchange_http2(request, sender, number, &state).await });
    }
}

async fn exchange_http2(
    request: http::Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    number: usize,
    state: &State,
) -> Option<()> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.ok()?;
        stream.flow_control().release_capacity(data.len()).ok()?;
        body.extend_from_slice(&data);
    }
    let mut headers = vec![("host".to_owned(), head.uri.authority()?.to_string())];
    let fields = head.headers.iter();
    headers.extend(fields.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())));
    let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
    let seen = Seen { connection: number, version: Version::Http2, method, path, headers, body, abandoned: false };
    let (place, answer) = state.record(seen);
    let written = write_http2(&mut respond, &answer, state).await;
    if written.is_none() {
        state.abandon(place);
    }
    written
}

/// Writes `answer`; `None` where the other side left.
async fn write_http2(respond: &mut SendResponse<Bytes>, answer: &Answer, state: &State) -> Option<()> {
    let mut head = http::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        head = head.header(name, value);
    }
    let pieces = match &answer.body {
        Body::Whole(body) | Body::Parting(body) => vec![body.clone()],
        Body::Pieces(pieces) | Body::Gated(pieces) | Body::Begun(pieces) => pieces.clone(),
        Body::Broken(body) => {
            let mut stream = respond.send_response(head.body(()).ok()?, false).ok()?;
            stream.send_data(body.clone().into(), false).ok()?;
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
            return Some(());
        }
        Body::Closed => {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
            return Some(());
        }
        Body::Silent => {
            let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
            return None;
        }
    };
    let mut stream = respond.send_response(head.body(()).ok()?, false).ok()?;
    for (place, piece) in pieces.into_iter().enumerate() {
        tokio::select! {
            () = state.gate_for(&answer.body, place) => {}
            _ = std::future::poll_fn(|context| stream.poll_reset(context)) => return None,
        }
        stream.send_data(piece.into(), false).ok()?;
    }
    stream.send_data(Bytes::new(), true).ok()
}

impl State {
    /// Keeps `seen`, and says where, and what to answer.
    fn record(&self, seen: Seen) -> (usize, Answer) {
        let mut answer = self.answer_to(&seen);
        if self.speaks == Speaks::Legacy {
            answer.body.replace(r#","resultType":"complete""#, "");
            answer.body.replace(r#""resultType":"complete","#, "");
        }
        let message = seen.json();
        answer.body.replace("$ID", &message["id"].to_string());
        answer.body.replace("$ARGUMENTS", &message["params"]["arguments"].to_string());
        let mut all = self.seen.lock().unwrap();
        all.push(seen);
        (all.len() - 1, answer)
    }

    fn abandon(&self, place: usize) {
        self.seen.lock().unwrap()[place].abandoned = true;
    }

    async fn gate_for(&self, body: &Body, place: usize) {
        if matches!(body, Body::Gated(_)) || matches!(body, Body::Begun(_)) && place > 0 {
            self.gate.acquire().await.unwrap().forget();
        }
    }

    fn answer_to(&self, seen: &Seen) -> Answer {
        let behaviour = self.behaviour.lock().unwrap().clone();
        behaviour(seen).unwrap_or_else(|| self.usual_answer_to(seen))
    }

    fn usual_answer_to(&self, seen: &Seen) -> Answer {
        let message = seen.json();
        if seen.method == "GET" {
            return Answer::nothing(if seen.path == "/health" { 200 } else { 405 });
        }
        let modern = !message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_null();
        if modern && self.speaks == Speaks::Legacy {
            let mut refusal =
                Answer::json(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"No session"}}"#);
            refusal.status = 400;
            return refusal;
        }
        match message["method"].as_str().unwrap_or_default() {
            "tools/call" => self.answer.lock().unwrap().clone(),
            "tools/list" => Answer::result(&json!({"tools": self.tools, "ttlMs": 0, "cacheScope": "public"})),
            "server/discover" => Answer::result(&json!({
                "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "public",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "recorder", "version": "1"}},
            })),
            "initialize" if self.speaks == Speaks::Legacy => {
                let mut answer = Answer::result(&json!({
                    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "recorder", "version": "1"},
                }));
                answer.headers.push(("mcp-session-id".into(), "recorded-session".into()));
                answer
            }
            "ping" => Answer::result(&json!({})),
            method if method.starts_with("notifications/") => Answer::nothing(202),
            _ => {
                let text = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"Method not found"}}"#;
                Answer { status: 404, ..Answer::json(text) }
            }
        }
    }
}
