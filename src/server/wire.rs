//! A connection of HTTP/1.1 as pingora is allowed to see it.
//!
//! pingora takes what HTTP lets a lenient server take, and what it can't take it answers by itself, before any hook: no
//! record, no metric, no word of ours. So its bytes are judged first. A header in disorder is kept from it; it is given an
//! empty request for the same path instead, and `connection::refusal` says why that is refused. Chunks are written anew.

use crate::pipeline::Gateway;
use crate::server::body::LINGER;
use crate::server::chunks::Chunks;
use crate::server::connection::{self, State};
use crate::server::head::{self, Framing};
use async_trait::async_trait;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use portcullis_core::reject::Rejection;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes that are read at once where they must be looked at.
const PIECE: usize = 16 << 10;

/// The connection.
pub struct Wire {
    inner: Stream,
    gateway: Arc<Gateway>,
    /// Judged, and not yet given to pingora.
    judged: Vec<u8>,
    given: usize,
    stage: Stage,
}

/// What comes next.
enum Stage {
    /// A header; what there is of it.
    Head(Vec<u8>),
    /// So many bytes of a body.
    Length(u64),
    /// A body in chunks.
    Chunks(Chunks),
    /// Something was sent behind a request that is still served. pingora closes such a connection after the request, so it is
    /// shown the bytes as they are; and should it want to go on, the connection has ended.
    Beyond,
    /// The connection was refused: what still comes is thrown away.
    Refused,
    /// The same, within a body: pingora is told that it breaks off.
    Broken,
}

impl Wire {
    /// Judges what comes from `inner` by the configuration that `gateway` has then.
    pub fn new(inner: Stream, gateway: Arc<Gateway>) -> Self {
        Self { inner, gateway, judged: Vec::new(), given: 0, stage: Stage::Head(Vec::new()) }
    }

    /// Takes `bytes`, which came behind what was judged before.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Rejection> {
        while !bytes.is_empty() {
            match &mut self.stage {
                Stage::Head(head) => {
                    let (seen, edge) = (head.len(), &self.gateway.live.load().snapshot.gateway.edge);
                    // One empty line before a request is none (RFC 9112 section 2.2).
                    if seen == 0 && bytes.starts_with(b"\r\n") {
                        bytes = bytes.get(2..).unwrap_or_default();
                        continue;
                    }
                    head.extend_from_slice(bytes);
                    let Some(end) = head::end(head, seen, edge)? else { return Ok(()) };
                    let framing = head::check(head.get(..end).unwrap_or_default(), edge)?;
                    self.judged.extend_from_slice(head.get(..end).unwrap_or_default());
                    bytes = bytes.get(end - seen..).unwrap_or_default();
                    self.stage = match framing {
                        Framing::Length(0) => self.next(bytes),
                        Framing::Length(length) => Stage::Length(length),
                        Framing::Chunked => Stage::Chunks(Chunks::default()),
                    };
                }
                Stage::Length(left) => {
                    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (body, rest) = bytes.split_at(now);
                    self.judged.extend_from_slice(body);
                    *left -= now as u64;
                    bytes = rest;
                    if *left == 0 {
                        self.stage = self.next(rest);
                    }
                }
                Stage::Chunks(chunks) => {
                    let used = chunks.read(bytes, &mut self.judged).map_err(Rejection::BadRequest)?;
                    bytes = bytes.get(used..).unwrap_or_default();
                    if chunks.is_done() {
                        self.stage = self.next(bytes);
                    }
                }
                Stage::Beyond => {
                    self.judged.extend_from_slice(bytes);
                    return Ok(());
                }
                Stage::Refused | Stage::Broken => return Ok(()),
            }
        }
        Ok(())
    }

    /// What follows a request behind which `rest` was sent.
    fn next(&self, rest: &[u8]) -> Stage {
        if rest.is_empty() {
            return Stage::Head(Vec::new());
        }
        connection::end_soon();
        Stage::Beyond
    }

    /// Puts an empty request in the place of a header in disorder. A byte of body that never comes keeps pingora from closing
    /// before the answer is read: what the client still sends is taken for that while.
    fn refuse(&mut self, rejection: Rejection) {
        let stage = std::mem::replace(&mut self.stage, Stage::Broken);
        connection::refuse(rejection);
        if let Stage::Head(head) = stage {
            let path = head::path(&head);
            let instead = format!("POST {path} HTTP/1.1\r\nHost: refused\r\nContent-Length: 1\r\n\r\n");
            self.judged.extend_from_slice(instead.as_bytes());
            self.stage = Stage::Refused;
        }
    }

    /// Takes what a client that was refused still sends, for a short while: to close before would reset the connection, and
    /// with it the answer (RFC 9112 section 9.6).
    async fn discard(&mut self) {
        let mut piece = vec![0; PIECE];
        let discarding = async { while matches!(self.inner.read(&mut piece).await, Ok(1..)) {} };
        if tokio::time::timeout(LINGER, discarding).await.is_err() {
            tracing::debug!("a client went on sending after it was refused");
        }
    }

    /// Reads and judges one piece; `false` where the other side has closed.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        // What comes while a request is served is no header yet: pingora must see that something came.
        let empty = matches!(&self.stage, Stage::Head(head) if head.is_empty());
        if empty && matches!(connection::state(), State::Serving) {
            connection::end_soon();
            self.stage = Stage::Beyond;
        }
        if let Err(rejection) = self.take(piece.filled()) {
            self.refuse(rejection);
        }
        Poll::Ready(Ok(true))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let waiting = this.judged.get(this.given..).unwrap_or_default();
            if !waiting.is_empty() {
                let now = waiting.len().min(buf.remaining());
                buf.put_slice(waiting.get(..now).unwrap_or_default());
                this.given += now;
                if this.given == this.judged.len() {
                    this.judged.clear();
                    this.given = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if matches!(this.stage, Stage::Beyond) && !matches!(connection::state(), State::Serving) {
                return Poll::Ready(Ok(()));
            }
            if matches!(this.stage, Stage::Broken) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if let Stage::Length(left) = &mut this.stage {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.remaining());
                let mut body = ReadBuf::new(buf.initialize_unfilled_to(now));
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut body))?;
                let read = body.filled().len();
                buf.advance(read);
                *left -= read as u64;
                if *left == 0 {
                    this.stage = Stage::Head(Vec::new());
                }
                return Poll::Ready(Ok(()));
            }
            if !ready!(this.poll_piece(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
        if matches!(self.stage, Stage::Broken) {
            self.discard().await;
        }
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Wire {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

/// pingora looks for the preface of HTTP/2, and takes what can't be looked at for HTTP/2. The listener has looked before, so
/// what is seen here is anything else.
#[async_trait]
impl Peek for Wire {
    async fn try_peek(&mut self, _: &mut [u8]) -> io::Result<bool> {
        Ok(true)
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Wire").finish_non_exhaustive()
    }
}
