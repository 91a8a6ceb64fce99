//! The ingress socket: accepts, bounds and, where there is a certificate, unwraps connections, and hands them to the
//! proxy. The loop is ours rather than pingora's `Server`, whose shutdown cuts streams off instead of letting them end, and
//! which can't say which port it took.

use crate::pipeline::Gateway;
use crate::server::connection;
use crate::server::drain::{Drain, Phase};
use crate::server::proxy::Proxy;
use crate::server::tls::Tls;
use crate::server::wire::Wire;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::l4::stream::Stream as TcpSession;
use pingora::protocols::{GetSocketDigest, Peek, SocketDigest, Stream};
use pingora::proxy::HttpProxy;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// The first bytes of an HTTP/2 connection (RFC 9113 section 3.4). pingora waits for all of them, and as long as it takes.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What bounds connections.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at the same time.
    pub connections: usize,
    /// Time for a TLS handshake, and then for the header of the connection's first request; a later request has it on top
    /// of `idle`.
    pub header: Duration,
    /// Time a connection may be open without a request.
    pub idle: Duration,
}

/// The ingress.
pub struct Listener {
    proxy: Arc<HttpProxy<Proxy>>,
    gateway: Arc<Gateway>,
    bounds: Bounds,
    tls: Tls,
    drain: Drain,
}

impl Listener {
    /// An ingress that serves `gateway` with `proxy`, over TLS where `tls` has a certificate.
    pub fn new(proxy: Arc<HttpProxy<Proxy>>, gateway: Arc<Gateway>, bounds: Bounds, tls: Tls, drain: Drain) -> Self {
        Self { proxy, gateway, bounds, tls, drain }
    }

    /// Accepts until `shutdown` says true; then closes idle connections and returns. Connections that serve a call go on.
    pub async fn run(self, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.bounds.connections));
        let this = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.wait_for(|ending| *ending) => break,
            };
            let (stream, _) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: the loop must live, and must not spin.
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let (this, shutdown, counted) = (Arc::clone(&this), shutdown.clone(), this.drain.connect());
            tokio::spawn(async move {
                this.serve(stream, shutdown).await;
                drop((slot, counted));
            });
        }
        drop(listener);
        this.proxy.cleanup().await;
    }

    async fn serve(&self, stream: TcpStream, shutdown: watch::Receiver<bool>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY can't be set");
        }
        let socket = SocketDigest::from_raw_fd(stream.as_raw_fd());
        let mut stream = TcpSession::from(stream);
        stream.set_socket_digest(socket);
        let Some((stream, http2)) = self.unwrap_stream(stream).await else { return };
        let stream = if http2 { stream } else { Box::new(Wire::new(stream, Arc::clone(&self.gateway))) };
        let requests = Requests::new(Arc::clone(&self.proxy), self.drain.clone());
        let opened = Instant::now();
        let serving = connection::watched(async {
            let mut serving = std::pin::pin!(requests.process_new(stream, &shutdown));
            loop {
                let deadline = if http2 { self.deadline_http2(opened, &requests) } else { self.deadline() };
                match tokio::time::timeout_at(deadline, &mut serving).await {
                    Err(_) if http2 && requests.began.load(Ordering::Relaxed) => {}
                    Err(_) if !http2 && Instant::now() < self.deadline() => {}
                    Ok(_) | Err(_) => break,
                }
            }
        });
        serving.await;
    }

    /// The connection as pingora reads it, and whether it is HTTP/2; `None` where it did not begin in time.
    async fn unwrap_stream(&self, mut stream: TcpSession) -> Option<(Stream, bool)> {
        if let Some(acceptor) = self.tls.acceptor() {
            let handshake = timeout(self.bounds.header, acceptor.tls_handshake(stream));
            let stream: Stream = Box::new(handshake.await.ok()?.ok()?);
            let http2 = matches!(stream.selected_alpn_proto(), Some(pingora::protocols::ALPN::H2));
            return Some((stream, http2));
        }
        let mut first = [0; PREFACE.len()];
        timeout(self.bounds.header, stream.try_peek(&mut first)).await.ok()?.ok()?;
        Some((Box::new(stream), first == PREFACE))
    }

    /// The same for HTTP/2. From its first request on, a connection has pingora's own idle timeout, which does not cover
    /// the time before: pingora waits for the preface for ever.
    fn deadline_http2(&self, opened: Instant, requests: &Requests) -> Instant {
        if requests.began.load(Ordering::Relaxed) {
            Instant::now() + self.bounds.idle
        } else {
            opened + self.bounds.header
        }
    }

    /// When the connection is closed unless a request begins: a request whose header trickles in is none.
    fn deadline(&self) -> Instant {
        match connection::state() {
            connection::State::Serving => Instant::now() + self.bounds.header,
            connection::State::New(since) => since + self.bounds.header,
            connection::State::Idle(since) => since + self.bounds.idle + self.bounds.header,
        }
    }
}

/// The proxy, as one connection sees it.
struct Requests {
    proxy: Arc<HttpProxy<Proxy>>,
    drain: Drain,
    /// Whether there was a request; over HTTP/1.1, whether one is waited for.
    began: AtomicBool,
}

impl Requests {
    fn new(proxy: Arc<HttpProxy<Proxy>>, drain: Drain) -> Arc<Self> {
        Arc::new(Self { proxy, drain, began: AtomicBool::new(false) })
    }
}

#[async_trait]
impl HttpServerApp for Requests {
    /// Drops the request when the process is gone, since the runtime would drop it only after the journal has closed.
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &watch::Receiver<bool>,
    ) -> Option<ReusedHttpStream> {
        self.began.store(true, Ordering::Relaxed);
        tokio::select! {
            reusable = self.proxy.process_new_http(session, shutdown) => reusable,
            () = self.drain.reached(Phase::Gone) => None,
        }
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        HttpServerApp::server_options(&*self.proxy)
    }

    fn h2_options(&self) -> Option<H2Options> {
        HttpServerApp::h2_options(&*self.proxy)
    }
}
