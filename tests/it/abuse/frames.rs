//! HTTP/2 by hand (RFC 9113): header blocks that no library would write, and what comes back. Every field is sent as a
//! literal (RFC 7541 section 6.2.2); of an answer's header only the status is read.

use super::words::Words;
use crate::support::http::Response;
use crate::support::process::PATIENCE;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One request on a connection of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// The header block: names and values in order. `[usual]` stands for the fields of the call that is in order, without
    /// those that begin with a colon.
    fields: Vec<Vec<String>>,
    /// The pieces of the body, each a frame.
    #[serde(default = "call")]
    data: Vec<String>,
    /// Fields behind the body.
    #[serde(default)]
    trailer: Vec<Vec<String>>,
}

/// A request as bytes.
#[derive(Debug)]
pub struct Written(Vec<u8>);

fn call() -> Vec<String> {
    vec!["{call}".into()]
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

impl Frames {
    /// What this sends.
    ///
    /// # Errors
    /// It says something wrong.
    pub fn written(&self, words: &Words) -> Result<Written, String> {
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        let bare = self.data.is_empty() && self.trailer.is_empty();
        let block = block(&self.fields, words)?;
        bytes.extend(frame(HEADERS, END_HEADERS | if bare { END_STREAM } else { 0 }, 1, &block));
        for (place, data) in self.data.iter().enumerate() {
            let last = place + 1 == self.data.len() && self.trailer.is_empty();
            bytes.extend(frame(DATA, u8::from(last) * END_STREAM, 1, &words.speak(data)?));
        }
        if !self.trailer.is_empty() {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &self::block(&self.trailer, words)?));
        }
        Ok(Written(bytes))
    }
}

impl Written {
    /// Sends it to `authority`; the answer, or `None` where the stream or the connection ends without one.
    pub async fn send(&self, authority: &str) -> Option<Response> {
        let mut stream = TcpStream::connect(authority).await.unwrap();
        let _ = stream.write_all(&self.0).await;
        timeout(PATIENCE, answer(&mut stream)).await.expect("an end of the stream")
    }
}

async fn answer(stream: &mut TcpStream) -> Option<Response> {
    let mut response: Option<Response> = None;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.ok()?;
        let (kind, flags) = (head[3], head[4]);
        match kind {
            HEADERS if response.is_none() => {
                response = Some(Response { status: status(&payload)?, headers: Vec::new(), body: Vec::new() });
            }
            DATA => response.as_mut()?.body.extend(payload),
            SETTINGS if flags == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[])).await.ok()?,
            RST_STREAM | GOAWAY => return response,
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM > 0 {
            return response;
        }
    }
}

/// A frame (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn block(fields: &[Vec<String>], words: &Words) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    for field in fields {
        match field.as_slice() {
            [usual] if usual == "usual" => {
                for line in words.fields.lines() {
                    let (name, value) = line.split_once(": ").unwrap_or((line, ""));
                    literal(&mut block, name.as_bytes(), value.as_bytes());
                }
            }
            [name, value] => literal(&mut block, &words.speak(name)?, &words.speak(value)?),
            other => return Err(format!("{other:?} is no field")),
        }
    }
    Ok(block)
}

/// A literal field, never indexed, its texts as they are.
pub fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x10);
    for text in [name, value] {
        let length = text.len();
        if length < 127 {
            block.push(length as u8);
        } else {
            // RFC 7541 section 5.1.
            let mut rest = length - 127;
            block.push(127);
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
        block.extend_from_slice(text);
    }
}

/// The status that a header block begins with.
fn status(block: &[u8]) -> Option<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => Some(INDEXED[usize::from(index - 0x88)]),
        [0x08 | 0x18 | 0x48, length, value @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&value[..usize::from(*length)]).ok()?.parse().ok()
        }
        [0x08 | 0x18 | 0x48, length, value @ ..] => digits(&value[..usize::from(length & 0x7f)]),
        _ => None,
    }
}

/// Three digits in the code of RFC 7541 appendix B: of five bits up to 2, of six bits from 3 on.
fn digits(coded: &[u8]) -> Option<u16> {
    let bits = coded.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (32 - 8 * coded.len());
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = bits << at >> 27;
        let digit = if short < 3 { short } else { (bits << at >> 26) - 0b01_1001 + 3 };
        at += if short < 3 { 5 } else { 6 };
        number = number * 10 + u16::try_from(digit).ok()?;
    }
    Some(number)
}

#[test]
fn a_status_is_read_in_every_form() {
    assert_eq!(status(&[0x88]), Some(200));
    assert_eq!(status(&[0x48, 3, b'4', b'3', b'1']), Some(431));
    // 403 is 011010 00000 011001, and 413 is 011010 00001 011001.
    assert_eq!(status(&[0x48, 0x83, 0b0110_1000, 0b0000_1100, 0b1111_1111]), Some(403));
    assert_eq!(status(&[0x48, 0x83, 0b0110_1000, 0b0010_1100, 0b1111_1111]), Some(413));
    assert_eq!(status(&[0x40]), None);
}
