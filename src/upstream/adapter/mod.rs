//! Upstreams that do not speak Streamable HTTP: programs that speak on their standard input and output, and servers that
//! speak HTTP+SSE of 2024-11-05.
//!
//! Before each stands an adapter: a small server on a loopback port, which speaks Streamable HTTP on one side (`front`) and
//! the other transport on the other (`process`, `event_stream`). So replicas, calls, sessions and the catalogue know no
//! other upstreams than those over HTTP, and policy has a single path. `keep` says which conversation is whose,
//! `conversation` which message is whose.
//!
//! The port is open to the whole machine, its path is not: it holds 256 random bits, new at each start of an adapter.

mod answer;
mod backoff;
mod conversation;
mod event_stream;
mod front;
mod keep;
mod mailbox;
mod message;
mod process;

use crate::config::document::upstreams::HttpVersion;
use crate::config::snapshot::{Replica, Transport, Upstream};
use crate::telemetry::metrics::Metrics;
use event_stream::EventStream;
use front::Front;
use http::HeaderName;
use keep::{Keep, Origin};
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The header by which an adapter knows whose a request is. It goes to adapters alone, and no further.
pub const PRINCIPAL: HeaderName = HeaderName::from_static("x-portcullis-principal");

/// How long processes may take to end with the gateway: longer than each is given.
const FAREWELL: Duration = Duration::from_secs(5);

/// The value of [`PRINCIPAL`]: a digest of `identity`, all that tells one caller from another.
pub fn principal(identity: &[u8]) -> String {
    hex::encode(Sha256::digest(identity))
}

/// What all adapters of the process share.
#[derive(Clone)]
pub struct Adapters {
    metrics: Arc<Metrics>,
    /// Processes and streams of all adapters.
    running: watch::Sender<usize>,
    ending: CancellationToken,
}

impl Adapters {
    /// No adapter runs yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, running: watch::Sender::new(0), ending: CancellationToken::new() }
    }

    /// Ends all adapters, and waits until nothing that they started is left.
    pub async fn stop(&self) {
        self.ending.cancel();
        let mut running = self.running.subscribe();
        if tokio::time::timeout(FAREWELL, running.wait_for(|running| *running == 0)).await.is_err() {
            tracing::warn!("processes of upstreams don't end");
        }
    }
}

/// What stands before an upstream that does not speak Streamable HTTP. It ends when it is dropped.
pub struct Adapter {
    /// The upstream as it is configured.
    pub defined: Arc<Upstream>,
    ending: CancellationToken,
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

/// Why an adapter can't be started.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// No port is to be had.
    #[error("upstream `{0}`: no port on 127.0.0.1 can be taken: {1}")]
    Port(String, std::io::Error),
    /// No client for the server behind it can be made.
    #[error("upstream `{0}`: {1}")]
    Client(String, event_stream::OpenError),
}

/// Puts an adapter before `upstream` where it needs one: the adapter, and the upstream as it is reached through it.
///
/// # Errors
/// What it lacks.
pub fn start(upstream: &Arc<Upstream>, adapters: &Adapters) -> Result<Option<(Adapter, Arc<Upstream>)>, AdapterError> {
    let origin = match &upstream.transport {
        Transport::Http => return Ok(None),
        Transport::Stdio(stdio) => Origin::Program(stdio.clone()),
        Transport::Sse(url) => {
            let stream = EventStream::new(url, upstream);
            Origin::Stream(stream.map_err(|error| AdapterError::Client(upstream.name.clone(), error))?)
        }
    };
    let no_port = |error| AdapterError::Port(upstream.name.clone(), error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(no_port)?;
    listener.set_nonblocking(true).map_err(no_port)?;
    let port = listener.local_addr().map_err(no_port)?.port();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(no_port)?;
    let ending = adapters.ending.child_token();
    let running = Running::new(upstream, adapters, ending.clone());
    let secret = hex::encode(rand::random::<[u8; 32]>());
    let keep = Keep::new(upstream.name.as_str().into(), origin, running);
    tokio::spawn(Arc::clone(&keep).tidy());
    let front = Front::new(keep, &secret, upstream);
    tokio::spawn(front.serve(listener, ending.clone()));
    let reached = Upstream {
        replicas: vec![Replica { host: "127.0.0.1".into(), port, authority: format!("127.0.0.1:{port}") }],
        tls: false,
        path: format!("/{secret}{}", front::MCP),
        health: Some(format!("/{secret}{}", front::HEALTH)),
        http: HttpVersion::Http1,
        ca: None,
        ..Upstream::clone(upstream)
    };
    Ok(Some((Adapter { defined: Arc::clone(upstream), ending }, Arc::new(reached))))
}

/// What an adapter runs: counted, and ended with it.
#[derive(Clone)]
struct Running {
    upstream: Arc<str>,
    program: bool,
    adapters: Adapters,
    places: watch::Sender<usize>,
    ending: CancellationToken,
}

/// A process or a stream that runs; counted until this is dropped.
struct Place(Running);

impl Running {
    fn new(upstream: &Upstream, adapters: &Adapters, ending: CancellationToken) -> Self {
        let program = matches!(upstream.transport, Transport::Stdio(_));
        let (upstream, adapters) = (upstream.name.as_str().into(), adapters.clone());
        Self { upstream, program, adapters, places: watch::Sender::new(0), ending }
    }

    /// One more.
    fn take(&self) -> Place {
        self.places.send_modify(|places| *places += 1);
        self.adapters.running.send_modify(|running| *running += 1);
        if self.program {
            self.adapters.metrics.process_started(&self.upstream);
        }
        Place(self.clone())
    }

    /// How many there are.
    fn count(&self) -> usize {
        *self.places.borrow()
    }

    /// Tells when there are more or fewer.
    fn places(&self) -> watch::Receiver<usize> {
        self.places.subscribe()
    }

    /// A process ended by itself.
    fn crashed(&self) {
        self.adapters.metrics.process_crashed(&self.upstream);
    }

    fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.adapters.metrics)
    }

    fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Running { upstream, program, adapters, places, ending } = &self.0;
        if *program {
            adapters.metrics.process_ended(upstream, ending.is_cancelled());
        }
        places.send_modify(|places| *places = places.saturating_sub(1));
        adapters.running.send_modify(|running| *running = running.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
