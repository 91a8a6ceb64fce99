//! HTTP/1.1 by hand: exact bytes out, one whole answer in. Knows nothing of MCP.

use crate::support::http::Response;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection to a server.
pub struct Connection {
    stream: TcpStream,
    /// Read and not yet used.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects to `authority`, a host and port.
    pub async fn open(authority: &str) -> Self {
        let stream = TcpStream::connect(authority).await.unwrap_or_else(|error| panic!("{authority}: {error}"));
        stream.set_nodelay(true).unwrap();
        Self { stream, rest: Vec::new() }
    }

    /// Takes over a connection, with what was read from it before.
    pub fn adopt(stream: TcpStream, rest: Vec<u8>) -> Self {
        Self { stream, rest }
    }

    /// Sends exactly `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Reads a head up to its empty line; `None` where the other side closed before its first byte.
    pub async fn read_head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.rest.drain(..end + 4).collect::<Vec<_>>();
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.fill().await? == 0 {
                return if self.rest.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads the body that `headers` announce; where they announce none, all until the end for a response, nothing for
    /// a request.
    pub async fn read_body(&mut self, headers: &[(String, String)], of_response: bool) -> io::Result<Vec<u8>> {
        let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            let mut body = Vec::new();
            while let Some(chunk) = self.read_chunk().await? {
                body.extend(chunk);
            }
            return Ok(body);
        }
        if let Some(length) = value("content-length") {
            return self.read_exactly(length.parse().map_err(io::Error::other)?).await;
        }
        if of_response {
            while self.fill().await? > 0 {}
        }
        Ok(if of_response { std::mem::take(&mut self.rest) } else { Vec::new() })
    }

    /// Reads one chunk (RFC 9112 section 7.1); `None` for the last.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.read_line().await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        let chunk = self.read_exactly(size).await?;
        self.read_line().await?;
        Ok((size > 0).then_some(chunk))
    }

    /// Reads one answer, interim ones left out (RFC 9110 section 15.2).
    pub async fn read_response(&mut self) -> io::Result<Response> {
        loop {
            let (status, headers) = self.read_response_head().await?;
            if (100..200).contains(&status) {
                continue;
            }
            let body = if matches!(status, 204 | 304) { Vec::new() } else { self.read_body(&headers, true).await? };
            return Ok(Response { status, headers, body });
        }
    }

    /// Reads status and header of one answer.
    pub async fn read_response_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let head = self.read_head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?, parse_headers(&head)))
    }

    /// Waits until the other side closes or resets; what it still sends is thrown away.
    pub async fn closed(&mut self) {
        while matches!(self.fill().await, Ok(read) if read > 0) {}
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|window| window == b"\r\n") {
                let line = self.rest.drain(..end + 2).collect::<Vec<_>>();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < length {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.rest.drain(..length).collect())
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; 64 << 10];
        let read = self.stream.read(&mut buffer).await?;
        self.rest.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// The fields of `head` below its first line, names in lower case.
pub fn parse_headers(head: &str) -> Vec<(String, String)> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}
