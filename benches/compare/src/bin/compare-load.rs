//! Sends one request over and over, over HTTP/1.1 connections that are kept, and checks every answer: its status, and that
//! its body is the same as the first, which must hold what it should (`--varies`: that each holds it). An answer that is wrong ends the run, so that no
//! error counts as speed. Prints one line of JSON.
//!
//! In a closed loop it is as fast as what it asks; with `--rate` it keeps to a timetable, and times are from when a
//! request was due, so that a stall is not left out.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Options {
    /// Who is asked.
    #[arg(long)]
    to: SocketAddr,
    /// The request's head and body, as they are sent.
    #[arg(long)]
    request: PathBuf,
    /// Requests in all.
    #[arg(long)]
    calls: usize,
    /// Connections.
    #[arg(long, default_value_t = 1)]
    callers: usize,
    /// Requests each second, of all connections together.
    #[arg(long)]
    rate: Option<f64>,
    /// The status of every answer.
    #[arg(long, default_value_t = 200)]
    status: u16,
    /// What every answer holds.
    #[arg(long)]
    holds: String,
    /// What no answer holds.
    #[arg(long)]
    lacks: Option<String>,
    /// Answers may differ from the first, as those that tell a time do; each must hold what it should all the same.
    #[arg(long)]
    varies: bool,
    /// Bytes that every answer has at least.
    #[arg(long, default_value_t = 0)]
    bytes: usize,
}

struct Run {
    options: Options,
    request: Vec<u8>,
    next: Cell<usize>,
    began: Instant,
    first: RefCell<Option<Vec<u8>>>,
    took: RefCell<Vec<Duration>>,
}

impl Run {
    /// When the next request is due; none where all were sent.
    fn take(&self) -> Option<Option<Instant>> {
        let number = self.next.get();
        self.next.set(number + 1);
        let due = self.options.rate.map(|rate| self.began + Duration::from_secs_f64(number as f64 / rate));
        (number < self.options.calls).then_some(due)
    }

    async fn call(self: Rc<Self>) -> Result<()> {
        let mut connection = Connection::open(self.options.to).await?;
        while let Some(due) = self.take() {
            if let Some(due) = due {
                sleep_until(due).await;
            }
            let began = due.unwrap_or_else(Instant::now);
            let closing = connection.exchange(&self.request, self.options.status);
            let closing = timeout(PATIENCE, closing).await.context("no answer came")??;
            self.took.borrow_mut().push(began.elapsed());
            self.check(&connection.body)?;
            if closing {
                connection = Connection::open(self.options.to).await?;
            }
        }
        Ok(())
    }

    fn check(&self, body: &[u8]) -> Result<()> {
        let mut first = self.first.borrow_mut();
        if let Some(first) = first.as_ref().filter(|_| !self.options.varies) {
            ensure!(first == body, "answers differ: {} and {}", shown(first), shown(body));
            return Ok(());
        }
        let text = String::from_utf8_lossy(body);
        ensure!(text.contains(&self.options.holds), "an answer lacks {:?}: {}", self.options.holds, shown(body));
        let lacks = self.options.lacks.as_ref().is_none_or(|lacks| !text.contains(lacks));
        ensure!(lacks, "an answer holds {:?}: {}", self.options.lacks, shown(body));
        ensure!(body.len() >= self.options.bytes, "an answer is too short: {}", shown(body));
        *first = Some(body.to_vec());
        Ok(())
    }

    fn report(&self, seconds: f64) -> Result<()> {
        let mut took = self.took.borrow_mut();
        took.sort_unstable();
        let micros = |share: f64| {
            let place = (took.len() as f64 * share) as usize;
            took.get(place.min(took.len().saturating_sub(1))).map_or(0, Duration::as_micros) as u64
        };
        let (p50, p99) = (micros(0.5), micros(0.99));
        let bytes = self.first.borrow().as_ref().map_or(0, Vec::len);
        let said = serde_json::json!({
            "calls": took.len(), "seconds": seconds, "p50_us": p50, "p99_us": p99, "bytes": bytes,
        });
        writeln!(std::io::stdout(), "{said}").context("nobody listens")
    }
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    format!("{} bytes, {}", body.len(), text.chars().take(600).collect::<String>())
}

struct Connection {
    stream: TcpStream,
    /// What was read and not yet taken.
    bytes: Vec<u8>,
    /// The body of the last answer.
    body: Vec<u8>,
}

/// How an answer's body ends.
enum Framing {
    Length(usize),
    Chunked,
}

struct Head {
    end: usize,
    status: u16,
    framing: Framing,
    closing: bool,
}

impl Connection {
    async fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("{to} does not listen"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, bytes: Vec::with_capacity(64 << 10), body: Vec::new() })
    }

    async fn more(&mut self) -> Result<()> {
        ensure!(self.stream.read_buf(&mut self.bytes).await? > 0, "the connection ended within an answer");
        Ok(())
    }

    /// Sends the request and reads its answer; whether the connection ends with it.
    async fn exchange(&mut self, request: &[u8], status: u16) -> Result<bool> {
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(head) = head(&self.bytes)? {
                break head;
            }
            self.more().await?;
        };
        self.bytes.drain(..head.end);
        self.body.clear();
        match head.framing {
            Framing::Length(length) => self.take(length).await?,
            Framing::Chunked => self.chunks().await?,
        }
        ensure!(head.status == status, "an answer has the status {}: {}", head.status, shown(&self.body));
        Ok(head.closing)
    }

    /// The next `length` bytes go to the body.
    async fn take(&mut self, length: usize) -> Result<()> {
        while self.bytes.len() < length {
            self.more().await?;
        }
        self.body.extend(self.bytes.drain(..length));
        Ok(())
    }

    /// Takes all the chunks that are there before it reads more.
    async fn chunks(&mut self) -> Result<()> {
        let mut at = 0;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            match chunk(rest)? {
                None => {
                    self.bytes.drain(..at);
                    at = 0;
                    self.more().await?;
                }
                Some((start, length)) => {
                    self.body.extend_from_slice(rest.get(start..start + length).unwrap_or_default());
                    at += start + length + 2;
                    if length == 0 {
                        self.bytes.drain(..at);
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Where a whole chunk's data begins and how long it is.
fn chunk(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
    let size = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let length = usize::from_str_radix(size, 16).with_context(|| format!("{size:?} is no size of a chunk"))?;
    Ok((bytes.len() >= end + 4 + length).then_some((end + 2, length)))
}

fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?.to_ascii_lowercase();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let mut head = Head { end: end + 4, status, framing: Framing::Length(0), closing: false };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match (name, value.trim()) {
            ("content-length", length) => head.framing = Framing::Length(length.parse()?),
            ("transfer-encoding", "chunked") => head.framing = Framing::Chunked,
            ("transfer-encoding", other) => bail!("an answer comes as {other}"),
            ("connection", "close") => head.closing = true,
            _ => {}
        }
    }
    Ok(Some(head))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let request = std::fs::read(&options.request).context("the request can't be read")?;
    let callers = options.callers;
    let began = Instant::now();
    let (next, first, took) = (Cell::default(), RefCell::default(), RefCell::default());
    let run = Rc::new(Run { options, request, next, began, first, took });
    let tasks = LocalSet::new();
    let running: Vec<_> = (0..callers).map(|_| tasks.spawn_local(Rc::clone(&run).call())).collect();
    tasks
        .run_until(async {
            for call in running {
                call.await??;
            }
            anyhow::Ok(())
        })
        .await?;
    run.report(began.elapsed().as_secs_f64())
}
