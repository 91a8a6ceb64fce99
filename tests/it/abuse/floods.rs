//! Case 53: HTTP/2 frames in numbers (CVE-2023-44487, CVE-2024-27316, CVE-2025-8671 and their like). Each flood runs over a
//! connection of its own, while others call over theirs.

use crate::abuse::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, literal};
use crate::abuse::stage::{Stage, good};
use crate::support::process::PATIENCE;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

const PRIORITY: u8 = 2;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// The memory that all floods together may cost, in bytes.
const MEMORY: u64 = 64 << 20;

struct Flood {
    name: &'static str,
    /// What comes before, behind the preface.
    opening: Vec<u8>,
    /// What comes so often, each time with another number.
    piece: fn(&[u8], u32) -> Vec<u8>,
    count: u32,
    /// Whether the gateway ends the connection.
    ends: bool,
}

/// The header of a call that is in order, without its end: what comes next may be its body.
fn header(authority: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":method", "POST"), (":scheme", "http"), (":authority", authority), (":path", "/crm/mcp")] {
        literal(&mut block, name.as_bytes(), value.as_bytes());
    }
    for (name, value) in good().headers {
        literal(&mut block, name.to_ascii_lowercase().as_bytes(), value.as_bytes());
    }
    block
}

/// The streams that a client opens have odd numbers.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

fn floods(header: &[u8]) -> Vec<Flood> {
    let flood = |name, piece, count, ends| Flood { name, opening: Vec::new(), piece, count, ends };
    let open = frame(HEADERS, END_HEADERS, 1, header);
    let begun = frame(HEADERS, 0, 1, header);
    // A field of 4,000 bytes goes into the table of the connection (RFC 7541 section 6.2.1).
    let bomb = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e], [b'b'; 4000].as_slice()].concat();
    let bomb = frame(HEADERS, 0, 1, &[header, &bomb].concat());
    vec![
        flood(
            "resets by the client",
            |header, number| {
                let stream = stream(number);
                [frame(HEADERS, END_HEADERS, stream, header), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            },
            20_000,
            true,
        ),
        flood(
            "resets that the client makes the gateway send",
            |header, number| {
                let stream = stream(number);
                [frame(HEADERS, END_HEADERS, stream, header), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
            },
            20_000,
            true,
        ),
        Flood {
            opening: begun.clone(),
            ..flood(
                "continuations",
                |_, _| frame(CONTINUATION, 0, 1, &[0x10, 1, b'a', 1, b'b'].repeat(200)),
                20_000,
                true,
            )
        },
        Flood { opening: begun, ..flood("empty continuations", |_, _| frame(CONTINUATION, 0, 1, &[]), 200_000, true) },
        Flood {
            opening: bomb,
            ..flood(
                "a field that is named again and again",
                |_, _| frame(CONTINUATION, 0, 1, &[0xbe; 16_000]),
                1_000,
                true,
            )
        },
        flood("pings", |_, number| frame(PING, 0, 0, &u64::from(number).to_be_bytes()), 200_000, false),
        flood("settings", |_, _| frame(SETTINGS, 0, 0, &[]), 200_000, false),
        flood("priorities", |_, number| frame(PRIORITY, 0, stream(number % 1000), &[0, 0, 0, 0, 1]), 200_000, false),
        Flood { opening: open, ..flood("empty pieces of a body", |_, _| frame(DATA, 0, 1, &[]), 200_000, true) },
        flood(
            "more streams than may be open",
            |header, number| frame(HEADERS, END_HEADERS, stream(number), header),
            20_000,
            true,
        ),
        flood(
            "requests without a body",
            |header, number| frame(HEADERS, END_HEADERS | END_STREAM, stream(number), header),
            2_000,
            false,
        ),
    ]
}

/// Writes the flood as far as it is taken.
async fn pour(flood: &Flood, header: &[u8], mut writer: OwnedWriteHalf) -> io::Result<OwnedWriteHalf> {
    writer.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &flood.opening].concat()).await?;
    for first in (0..flood.count).step_by(100) {
        let pieces: Vec<u8> = (first..first + 100).flat_map(|number| (flood.piece)(header, number)).collect();
        writer.write_all(&pieces).await?;
    }
    Ok(writer)
}

/// Reads until the gateway ends the connection.
async fn drain(mut reader: OwnedReadHalf) {
    let mut buffer = vec![0; 64 << 10];
    while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

/// Whether the gateway ended the connection of `flood`, which reads what it is told, or nothing.
async fn ended(authority: &str, flood: &Flood, header: &[u8], reads: bool) -> bool {
    let (reader, writer) = TcpStream::connect(authority).await.unwrap().into_split();
    if !reads {
        // It is taken until the buffers between the two are full.
        let poured = timeout(std::time::Duration::from_secs(1), pour(flood, header, writer)).await;
        drop(reader);
        return matches!(poured, Ok(Err(_)));
    }
    let reading = tokio::spawn(drain(reader));
    let writer = timeout(PATIENCE * 4, pour(flood, header, writer)).await.expect("an end of the flood");
    if flood.ends {
        timeout(PATIENCE, reading).await.expect("an end of the connection").unwrap();
        return true;
    }
    reading.abort();
    writer.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_frames_takes_no_memory_and_keeps_nobody_from_calling() {
    let stage = Stage::set().await;
    let authority = stage.gateway.authority().to_owned();
    let header = header(&authority);
    assert_eq!(stage.gateway.send(&good()).await.status, 200);
    let before = stage.gateway.process.peak_memory();
    let mut faults = Vec::new();
    for flood in floods(&header) {
        for reads in [true, false] {
            let flooding = ended(&authority, &flood, &header, reads);
            let calling = async {
                for _ in 0..3 {
                    assert_eq!(stage.gateway.send(&good()).await.status, 200, "{}", flood.name);
                }
            };
            let (ended, ()) = tokio::join!(flooding, calling);
            let grown = stage.gateway.process.peak_memory() - before;
            eprintln!("{}: ended {ended}, {} KiB", flood.name, grown >> 10);
            if reads && ended != flood.ends || grown > MEMORY {
                faults.push(format!("{}: ended {ended}, {grown} bytes more", flood.name));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
