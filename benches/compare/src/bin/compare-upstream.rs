//! An MCP server of 2026-07-28 that does as little as it can, so that what stands before it is what is measured. It finds
//! out what is asked by looking for names in the bytes, and sends answers that it made when it began. Prints its port.
//!
//! It is no model of a server: it trusts its caller, and reads no JSON.

use anyhow::{Context, Result};
use clap::Parser;
use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Events of the tool `events`.
const EVENTS: usize = 10_000;

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

#[derive(Parser)]
struct Options {
    /// Tools in the list, beside those that do something.
    #[arg(long, default_value_t = 0)]
    tools: usize,
}

/// Whole answers, head and body, each with what must be in the request's body for it; and results that are answered under
/// whatever id they are asked for, since gateways themselves ask for them.
struct Answers {
    known: Vec<(&'static str, Vec<u8>)>,
    asked: Vec<(&'static str, String)>,
    unknown: Vec<u8>,
}

impl Answers {
    fn new(tools: usize) -> Self {
        let result = |text: &str| format!(r#""resultType":"complete","content":[{{"type":"text","text":"{text}"}}]"#);
        let known = vec![
            (r#""name":"echo""#, json(&result(&words(960)))),
            (r#""name":"upload""#, json(&result(&words(64 << 10)))),
            (r#""name":"large""#, json(&result(&words(1 << 20)))),
            (r#""name":"person""#, json(&result(&persons(960)))),
            (r#""name":"persons""#, json(&result(&persons(1 << 20)))),
            (r#""name":"events""#, events()),
        ];
        let asked = vec![(r#""tools/list""#, list(tools)), (r#""server/discover""#, DISCOVERY.to_owned())];
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
        Self { known, asked, unknown: head(error) }
    }

    fn find(&self, body: &[u8]) -> Cow<'_, [u8]> {
        let start = body.get(..body.len().min(512)).unwrap_or_default();
        let says = |name: &str| start.windows(name.len()).any(|window| window == name.as_bytes());
        if let Some((_, result)) = self.asked.iter().find(|(name, _)| says(name)) {
            return json_as(&id(body), result).into();
        }
        self.known.iter().find(|(name, _)| says(name)).map_or(&self.unknown, |(_, answer)| answer).into()
    }
}

/// What stands after `"id":`, which no message here has twice.
fn id(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let rest = text.split_once(r#""id":"#).map_or("1", |(_, rest)| rest);
    rest.split([',', '}']).next().unwrap_or("1").to_owned()
}

const DISCOVERY: &str = r#""resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"stub","version":"1"},"ttlMs":3600000,"cacheScope":"public""#;

fn head(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

fn json(result: &str) -> Vec<u8> {
    json_as("1", result)
}

fn json_as(id: &str, result: &str) -> Vec<u8> {
    head(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{result}}}}}"#))
}

/// Prose without anything to find, as most answers are.
fn words(bytes: usize) -> String {
    "The quick brown fox jumps over the lazy dog, and 12 of 345 do it again in 2026. ".repeat(bytes / 80 + 1)
}

/// A line for each person, with something to find.
fn persons(bytes: usize) -> String {
    let line = "Ana Example of 12 High Street wrote from ana.example@mail.example on Monday at 10:30. ";
    format!("{line}{}", words(bytes - line.len()))
}

fn list(more: usize) -> String {
    let named = ["echo", "upload", "large", "person", "persons", "events", "denied", "limited"];
    let named = named.iter().map(|name| (*name).to_owned());
    let tools = named.chain((0..more).map(|n| format!("tool_{n}"))).map(|name| tool(&name));
    let tools = tools.collect::<Vec<_>>().join(",");
    format!(r#""resultType":"complete","tools":[{tools}],"ttlMs":3600000,"cacheScope":"public""#)
}

fn tool(name: &str) -> String {
    format!(
        r#"{{"name":"{name}","description":"Does what {name} does, with the text that it is given.","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string","maxLength":100000}},"count":{{"type":"integer","minimum":0,"maximum":100}},"kind":{{"enum":["plain","rich"]}}}},"required":["text"],"additionalProperties":false}}}}"#
    )
}

/// A stream of events, a chunk for each, and the answer as the last.
fn events() -> Vec<u8> {
    let mut stream: Vec<u8> =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut event = |data: String| {
        let event = format!("event: message\ndata: {data}\n\n");
        // Writing to memory can't fail.
        let _ = write!(stream, "{:x}\r\n{event}\r\n", event.len());
    };
    for done in 0..EVENTS {
        event(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":"p","progress":{done},"message":"on the way"}}}}"#
        ));
    }
    event(
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"done"}]}}"#
            .to_owned(),
    );
    stream.extend_from_slice(b"0\r\n\r\n");
    stream
}

/// Where the body begins and how long it is, once the head is there. Every peer here sends a length.
fn framing(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let field = |line: &str| {
        line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse().ok()
    };
    Some((end, head.lines().find_map(field).unwrap_or(0)))
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        let (start, end) = loop {
            match framing(&bytes) {
                Some((start, length)) if bytes.len() >= start + length => break (start, start + length),
                _ if stream.read_buf(&mut bytes).await? == 0 => return Ok(()),
                _ => {}
            }
        };
        stream.write_all(&answers.find(bytes.get(start..end).unwrap_or_default())).await?;
        bytes.drain(..end);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let answers = Arc::new(Answers::new(Options::parse().tools));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = Arc::clone(&answers);
        // A connection that breaks is its peer's business.
        tokio::spawn(async move { serve(stream, answers).await.ok() });
    }
}
