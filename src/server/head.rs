//! The bytes of an HTTP/1.1 header, judged before anybody parses them: whether there is one way to read where the request
//! wants to go and where its body ends (RFC 9112 section 11.2). Pure; what the header means is judged in `edge`.

use crate::config::document::gateway::EdgeDocument;
use portcullis_core::reject::Rejection;

/// The largest length that a body may announce, in digits. What is longer than allowed is found out later.
const LENGTH_DIGITS: usize = 15;

/// The longest path that is taken over into a record.
const PATH: usize = 2048;

/// How the body is framed (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; none where nothing was said.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Looks for the end of a header in `bytes`, of which those before `seen` were looked at before; the header's length with
/// its empty line.
///
/// # Errors
/// A line end that two readers could see in two places, or more bytes than allowed.
pub fn end(bytes: &[u8], seen: usize, edge: &EdgeDocument) -> Result<Option<usize>, Rejection> {
    let from = seen.saturating_sub(3);
    let mut end = None;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        match (before, byte) {
            (Some(b'\r'), b'\n') if at >= 3 && bytes.get(at - 3..=at) == Some(b"\r\n\r\n") => {
                end = Some(at + 1);
                break;
            }
            (Some(b'\r'), b'\n') => {}
            (_, b'\n') => return Err(Rejection::BadRequest("a line does not end with CRLF")),
            (Some(b'\r'), _) => return Err(Rejection::BadRequest("CR stands alone")),
            _ => {}
        }
    }
    if end.unwrap_or(bytes.len()) as u64 > edge.header_bytes.0 { Err(Rejection::HeaderTooLarge) } else { Ok(end) }
}

/// Judges a whole header.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(head: &[u8], edge: &EdgeDocument) -> Result<Framing, Rejection> {
    let mut lines = lines(head);
    target(lines.next().unwrap_or_default())?;
    let (mut hosts, mut lengths, mut chunked) = (0, Vec::new(), 0);
    for (place, line) in lines.enumerate() {
        if place >= edge.header_count {
            return Err(Rejection::HeaderTooLarge);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            // pingora makes an authority of it, and refuses by itself what can't be one.
            if !value.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte)) {
                return Err(Rejection::ForeignHost);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Rejection::BadRequest("Transfer-Encoding is not chunked"));
            }
        }
    }
    if hosts != 1 {
        return Err(Rejection::BadRequest("there must be one Host"));
    }
    match (lengths.as_slice(), chunked) {
        ([], 0) => Ok(Framing::Length(0)),
        ([only], 0) => Ok(Framing::Length(*only)),
        ([], 1) => Ok(Framing::Chunked),
        _ => Err(Rejection::BadRequest("the body's length is told more than once")),
    }
}

/// The path that a header in disorder asks for, for the record; `/` where none can be made out.
pub fn path(head: &[u8]) -> &str {
    let line = lines(head).next().unwrap_or_default();
    let asked = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let asked = asked.split(|byte| *byte == b'?').next().unwrap_or_default();
    let asked = std::str::from_utf8(asked).unwrap_or_default();
    let within = asked.strip_prefix("http://").or(asked.strip_prefix("https://"));
    let path = within.map_or(asked, |rest| rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or_default());
    let plain = path.starts_with('/') && path.len() <= PATH && path.bytes().all(in_target);
    if plain { path } else { "/" }
}

/// The lines of a header up to the empty one, without their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

fn target(line: &[u8]) -> Result<(), Rejection> {
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Err(Rejection::BadRequest("the first line is not method, path and version"));
    };
    if *method == b"CONNECT" {
        return Err(Rejection::MethodNotAllowed("POST"));
    }
    if *version != b"HTTP/1.1" {
        return Err(Rejection::BadRequest("use HTTP/1.1 or HTTP/2"));
    }
    if method.is_empty() || !method.iter().copied().all(in_token) {
        return Err(Rejection::BadRequest("the method is no word"));
    }
    if !target.starts_with(b"/") || !target.iter().copied().all(in_target) {
        return Err(Rejection::BadRequest("the request target must be a path"));
    }
    Ok(())
}

/// The name of a field and its value without the blanks around it (RFC 9112 section 5).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Rejection> {
    let bad = |reason| Err(Rejection::BadRequest(reason));
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return bad("a field has no colon") };
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().copied().all(in_token) {
        return bad("a field's name is no word");
    }
    let value = value.get(1..).unwrap_or_default();
    if value.iter().any(|byte| *byte == 0x7f || *byte < b' ' && *byte != b'\t') {
        return bad("a field's value has a control character");
    }
    Ok((name, trimmed(value)))
}

/// Only blanks and tabs may stand around a value (RFC 9110 section 5.5).
fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

fn length(value: &[u8]) -> Result<u64, Rejection> {
    let digits = value.len() <= LENGTH_DIGITS && value.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|value| value.parse().ok());
    length.ok_or(Rejection::BadRequest("Content-Length is not one number"))
}

/// RFC 9110 section 5.6.2.
fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn in_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>^`{|}#".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fields: &str) -> Result<Framing, Rejection> {
        let head = format!("POST /a/mcp HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let edge = EdgeDocument::default();
        assert_eq!(end(head.as_bytes(), 0, &edge), Ok(Some(head.len())), "{fields}");
        check(head.as_bytes(), &edge)
    }

    #[test]
    fn a_body_has_one_end() {
        assert_eq!(judged(""), Ok(Framing::Length(0)));
        assert_eq!(judged("content-length:3 \r\n"), Ok(Framing::Length(3)));
        assert_eq!(judged("Transfer-Encoding:\t chunked\r\n"), Ok(Framing::Chunked));
        for bad in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: 0x3\r\n",
            "Content-Length: 1 2\r\n",
            "Content-Length:\r\n",
            "Content-Length: 1000000000000000\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Host: x\r\n",
            "X: y\0\r\n",
            "X: y\r\n z\r\n",
            ": y\r\n",
            "X\r\n",
        ] {
            assert!(matches!(judged(bad), Err(Rejection::BadRequest(_))), "{bad:?}");
        }
    }

    #[test]
    fn the_first_line_says_in_one_way_where_a_request_goes() {
        let edge = EdgeDocument::default();
        let line = |line: &str| check(format!("{line}\r\nHost: x\r\n\r\n").as_bytes(), &edge);
        assert_eq!(line("POST /a/mcp?b=%20&c=\\ HTTP/1.1"), Ok(Framing::Length(0)));
        for bad in [
            "POST /a/mcp HTTP/1.0",
            "POST /a/mcp HTTP/2.0",
            "POST /a/mcp http/1.1",
            "POST  /a/mcp HTTP/1.1",
            "POST /a/mcp  HTTP/1.1",
            "POST /a /mcp HTTP/1.1",
            "POST\t/a/mcp\tHTTP/1.1",
            "POST http://x/a/mcp HTTP/1.1",
            "POST x:1 HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "POST /a\u{e4} HTTP/1.1",
            "P(ST / HTTP/1.1",
            " / HTTP/1.1",
            "POST /a/mcp",
        ] {
            assert!(matches!(line(bad), Err(Rejection::BadRequest(_))), "{bad:?}");
        }
        assert!(matches!(line("CONNECT x:1 HTTP/1.1"), Err(Rejection::MethodNotAllowed(_))));
    }

    #[test]
    fn a_line_that_ends_in_two_ways_is_found_before_the_header_ends() {
        let edge = EdgeDocument::default();
        for bad in ["POST / HTTP/1.1\n", "POST / HTTP/1.1\r\nA: b\n", "POST / HTTP/1.1\rA", "\n"] {
            assert!(end(bad.as_bytes(), 0, &edge).is_err(), "{bad:?}");
        }
        let whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nrest\n";
        for seen in 0..25 {
            assert_eq!(end(&whole[..25], seen, &edge), Ok(None));
            assert_eq!(end(whole, seen, &edge), Ok(Some(27)));
        }
        let long = vec![b'a'; edge.header_bytes.0 as usize + 1];
        assert_eq!(end(&long, 0, &edge), Err(Rejection::HeaderTooLarge));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(edge.header_count + 1));
        assert_eq!(check(many.as_bytes(), &edge), Err(Rejection::HeaderTooLarge));
    }

    #[test]
    fn a_record_gets_a_path_that_is_one() {
        for (line, expected) in [
            ("POST /a/mcp?b HTTP/1.1", "/a/mcp"),
            ("POST https://x/a/mcp HTTP/1.1", "/a/mcp"),
            ("POST https://x HTTP/1.1", "/"),
            ("CONNECT x:1 HTTP/1.1", "/"),
            ("POST /a<b HTTP/1.1", "/"),
            ("", "/"),
        ] {
            assert_eq!(path(format!("{line}\r\n").as_bytes()), expected, "{line}");
        }
    }
}
