//! Stands before a gateway and adds a token to every request, for clients that can't send one. All else passes through
//! byte by byte, in both directions and at once; when one side closes, so does the other.

use super::relay::relay;
use std::net::SocketAddr;
use tokio::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A port that is taken and does not answer yet: the gateway behind has to know it before it starts.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// A running forwarder. It ends with this value.
pub struct Bearer {
    task: tokio::task::JoinHandle<()>,
}

impl Bound {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Its host and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Forwards to `authority` from now on, with `token`.
    pub fn forward(self, authority: &str, token: &str) -> Bearer {
        let field = format!("authorization: Bearer {token}\r\n");
        let pass = move |from, to| requests(BufReader::new(from), to, field.clone());
        let task = relay(self.listener, authority.to_owned(), pass);
        Bearer { task }
    }
}

impl Drop for Bearer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes requests on until there are no more, each with `field` below its first line.
async fn requests(mut from: BufReader<OwnedReadHalf>, mut to: OwnedWriteHalf, field: String) -> io::Result<()> {
    loop {
        let mut head = line(&mut from).await?;
        if head.is_empty() {
            return Ok(());
        }
        head.extend_from_slice(field.as_bytes());
        let body = rest_of_head(&mut from, &mut head).await?;
        to.write_all(&head).await?;
        match body {
            Body::Length(length) => io::copy(&mut (&mut from).take(length), &mut to).await.map(drop)?,
            Body::Chunked => chunks(&mut from, &mut to).await?,
        }
    }
}

enum Body {
    Length(u64),
    Chunked,
}

/// Reads the rest of a head behind what is there of it, and says how its body is framed.
async fn rest_of_head(from: &mut BufReader<OwnedReadHalf>, head: &mut Vec<u8>) -> io::Result<Body> {
    let mut body = Body::Length(0);
    loop {
        let line = line(from).await?;
        head.extend_from_slice(&line);
        let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
        match text.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => body = Body::Length(value.parse().map_err(io::Error::other)?),
            Some(("transfer-encoding", _)) => body = Body::Chunked,
            Some(_) => {}
            None => return Ok(body),
        }
    }
}

async fn chunks(from: &mut BufReader<OwnedReadHalf>, to: &mut OwnedWriteHalf) -> io::Result<()> {
    loop {
        let size = line(from).await?;
        to.write_all(&size).await?;
        let size = String::from_utf8_lossy(&size);
        let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        io::copy(&mut from.take(size + 2), to).await?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// One line with its end; empty where the other side has closed.
async fn line(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).await?;
    Ok(line)
}
