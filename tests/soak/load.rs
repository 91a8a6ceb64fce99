//! A load generator for the soak test: calls of one tool over HTTP/1.1, as fast as they are answered (a closed loop), or
//! at a rate that no answer changes (an open loop). `soak.py` compiles it; it needs the standard library alone.
//!
//! `load ADDRESS TOKEN CONNECTIONS SECONDS RATE` prints one line of JSON. With a rate of 0 the loop is closed. With another,
//! call number n is due n/RATE seconds after the start, and its time counts from then, however late it was sent; one that
//! no connection was free for within a second is not sent, and counted.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How late a call may be sent.
const LATE: Duration = Duration::from_secs(1);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

struct Plan {
    address: String,
    request: Vec<u8>,
    start: Instant,
    seconds: u64,
    rate: u64,
    next: AtomicU64,
}

/// What came of the calls of one connection.
#[derive(Default)]
struct Tally {
    good: u64,
    refused: u64,
    other: u64,
    broken: u64,
    unsent: u64,
    /// Of those that were served, in microseconds.
    times: Vec<u64>,
}

impl Plan {
    /// When the next call is due; nothing at the end.
    fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        let due = match self.rate {
            0 => now,
            rate => self.start + Duration::from_nanos(self.next.fetch_add(1, Ordering::Relaxed) * 1_000_000_000 / rate),
        };
        (due.max(now) < self.start + Duration::from_secs(self.seconds)).then_some(due)
    }

    fn run(&self) -> Tally {
        let mut tally = Tally::default();
        let mut connection = None;
        while let Some(due) = self.due() {
            let now = Instant::now();
            if now > due + LATE {
                tally.unsent += 1;
                continue;
            }
            thread::sleep(due.saturating_duration_since(now));
            match self.call(&mut connection) {
                Ok(200) => {
                    tally.good += 1;
                    tally.times.push(due.elapsed().as_micros() as u64);
                }
                Ok(503 | 429) => tally.refused += 1,
                Ok(_) => tally.other += 1,
                Err(_) => {
                    tally.broken += 1;
                    connection = None;
                }
            }
        }
        tally
    }

    /// One call; its status.
    fn call(&self, connection: &mut Option<BufReader<TcpStream>>) -> Result<u16> {
        if connection.is_none() {
            let stream = TcpStream::connect(&self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            *connection = Some(BufReader::new(stream));
        }
        let Some(reader) = connection else { return Err(ErrorKind::NotConnected.into()) };
        reader.get_mut().write_all(&self.request)?;
        let (status, closes) = answer(reader)?;
        if closes {
            *connection = None;
        }
        Ok(status)
    }
}

/// Reads an answer; its status, and whether the connection ends with it.
fn answer(reader: &mut BufReader<TcpStream>) -> Result<(u16, bool)> {
    let odd = || Error::from(ErrorKind::InvalidData);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(odd)?;
    let (mut length, mut closes) = (None, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<u64>().ok(),
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    reader.by_ref().take(length.ok_or_else(odd)?).read_to_end(&mut body)?;
    let whole = body.len() as u64 == length.unwrap_or_default();
    if whole { Ok((status, closes)) } else { Err(odd()) }
}

fn request(address: &str, token: &str) -> Vec<u8> {
    let body = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},"#,
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#
    );
    let head = format!(
        "POST /work/mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
         Mcp-Name: echo\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn percentile(times: &[u64], share: f64) -> f64 {
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, |micros| *micros as f64 / 1000.0)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token, connections, seconds, rate] = arguments.as_slice() else {
        eprintln!("load ADDRESS TOKEN CONNECTIONS SECONDS RATE");
        std::process::exit(2);
    };
    let number = |text: &str| text.parse::<u64>().expect("a whole number");
    let plan = Arc::new(Plan {
        address: address.clone(),
        request: request(address, token),
        start: Instant::now() + Duration::from_millis(200),
        seconds: number(seconds),
        rate: number(rate),
        next: AtomicU64::new(0),
    });
    let callers = (0..number(connections)).map(|_| {
        let plan = Arc::clone(&plan);
        let caller = move || {
            thread::sleep(plan.start.saturating_duration_since(Instant::now()));
            plan.run()
        };
        thread::Builder::new().stack_size(64 << 10).spawn(caller).expect("a thread")
    });
    let callers: Vec<_> = callers.collect();
    let mut sum = Tally::default();
    for caller in callers {
        let one = caller.join().expect("a caller's end");
        sum.good += one.good;
        sum.refused += one.refused;
        sum.other += one.other;
        sum.broken += one.broken;
        sum.unsent += one.unsent;
        sum.times.extend(one.times);
    }
    sum.times.sort_unstable();
    let sent = sum.good + sum.refused + sum.other + sum.broken;
    let each = |count: u64| count as f64 / plan.seconds as f64;
    println!(
        r#"{{"due": {:.1}, "sent": {:.1}, "good": {:.1}, "refused": {:.1}, "other": {}, "broken": {}, "p50_ms": {:.2}, "p99_ms": {:.2}}}"#,
        each(sent + sum.unsent),
        each(sent),
        each(sum.good),
        each(sum.refused),
        sum.other,
        sum.broken,
        percentile(&sum.times, 0.5),
        percentile(&sum.times, 0.99),
    );
}
