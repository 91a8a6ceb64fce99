//! The replicas of an upstream: which are well, and which takes the next call.
//!
//! Two sources say that a replica is not well: the health check, which asks it every few seconds, and the calls
//! themselves (`failed`), which eject it at once for a while. Where no replica is well by these, all are tried: a check
//! that is wrong must not be what stops the service.

use crate::config::snapshot::{Replica, Upstream};
use crate::upstream::adapter::Adapter;
use crate::upstream::client;
use async_trait::async_trait;
use http::{HeaderValue, Method};
use parking_lot::Mutex;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::lb::discovery::ServiceDiscovery;
use pingora::lb::health_check::HealthCheck;
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, Backends, Extensions, LoadBalancer};
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use portcullis_core::network::is_nobodys;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Failed checks in a row after which a replica counts as not well. One that passes is enough to be well again.
const FAILED_CHECKS: usize = 2;
/// Failed calls in a row after which a replica is left alone.
const EJECT_AFTER: u32 = 3;
/// How long it is left alone.
const EJECT_FOR: Duration = Duration::from_secs(10);
/// How often names are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// How many replicas are looked at for one that is well.
const LOOKS: usize = 64;

/// The number of the next pool. Zero is that of health checks, which share connections with nobody.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// An upstream with the state of its replicas. Lives as long as its definition does not change.
pub struct Pool {
    /// Its number, which no other pool of this process ever has: what belongs to one definition of an upstream
    /// (connections, sessions) is never taken for what belongs to the next of the same name.
    pub id: u64,
    /// The definition; where an adapter stands before the upstream, that of the adapter.
    pub upstream: Arc<Upstream>,
    /// What stands before it where it does not speak Streamable HTTP.
    pub adapter: Option<Adapter>,
    /// The roots that its certificates must come from, where they are not the public ones.
    pub ca: Option<Arc<CaType>>,
    /// The value of `X-Gateway-Auth`, by which it knows that a request came through the gateway.
    pub gateway_auth: Option<HeaderValue>,
    balancer: LoadBalancer<RoundRobin>,
    failures: Mutex<HashMap<SocketAddr, Failures>>,
    news: watch::Sender<u64>,
}

#[derive(Default, Clone, Copy)]
struct Failures {
    in_a_row: u32,
    until: Option<Instant>,
}

/// A replica that was chosen for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Where it listens.
    pub address: SocketAddr,
    /// What `Host` says.
    pub authority: String,
    /// Its host, for TLS.
    pub host: String,
}

impl Pool {
    /// The replicas of `upstream`, none of them resolved yet.
    pub fn new(upstream: Arc<Upstream>, gateway_auth: Option<HeaderValue>, adapter: Option<Adapter>) -> Arc<Self> {
        let mut backends = Backends::new(Box::new(Resolver { upstream: Arc::clone(&upstream) }));
        let ca = upstream.ca.as_deref().and_then(client::certificates);
        let news = watch::Sender::default();
        backends.set_health_check(Box::new(Check::new(Arc::clone(&upstream), ca.clone(), news.clone())));
        let balancer = LoadBalancer::from_backends(backends);
        let id = NUMBER.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, upstream, adapter, ca, gateway_auth, balancer, failures: Mutex::default(), news })
    }

    /// The upstream as it is configured.
    pub fn defined(&self) -> &Arc<Upstream> {
        self.adapter.as_ref().map_or(&self.upstream, |adapter| &adapter.defined)
    }

    /// Counts the reasons to ask the upstream anew what it offers: a replica that a health check found well again, and
    /// what [`Pool::ask_again`] was told.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The upstream says that its lists have changed.
    pub fn ask_again(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// The peer for a request to a replica.
    pub fn peer(&self, choice: &Choice) -> HttpPeer {
        client::peer(&self.upstream, self.ca.as_ref(), self.id, choice)
    }

    /// Resolves names and checks health until the pool is dropped by everybody else.
    pub async fn watch(pool: std::sync::Weak<Self>) {
        let mut resolved: Option<Instant> = None;
        while let Some(this) = pool.upgrade() {
            if resolved.is_none_or(|at| at.elapsed() >= RESOLVE_EVERY) {
                if let Err(error) = this.balancer.update().await {
                    tracing::warn!(upstream = this.upstream.name, %error, "the upstream's name can't be resolved");
                }
                resolved = Some(Instant::now());
            }
            this.balancer.backends().run_health_check(true).await;
            let pause = this.upstream.health_interval;
            drop(this);
            tokio::time::sleep(pause).await;
        }
    }

    /// Resolves the names now, where that was not done yet.
    pub async fn ready(&self) {
        if self.balancer.backends().get_backend().is_empty()
            && let Err(error) = self.balancer.update().await
        {
            tracing::warn!(upstream = self.upstream.name, %error, "the upstream's name can't be resolved");
        }
    }

    /// The replica for the next call, none of those that were `tried`.
    pub fn select(&self, tried: &[SocketAddr]) -> Option<Choice> {
        let now = Instant::now();
        let untried = |backend: &Backend| address(backend).is_some_and(|address| !tried.contains(&address));
        let well = |backend: &Backend, healthy: bool| healthy && untried(backend) && !self.is_ejected(backend, now);
        let backend = self
            .balancer
            .select_with(b"", LOOKS, well)
            .or_else(|| self.balancer.select_with(b"", LOOKS, |backend, _| untried(backend)))?;
        choice(&backend)
    }

    /// The replicas to offer something to one after the other, while none can be connected to.
    pub fn offers(&self) -> impl Iterator<Item = Choice> {
        let mut tried = Vec::new();
        std::iter::from_fn(move || {
            let choice = if tried.len() < client::ATTEMPTS { self.select(&tried)? } else { return None };
            tried.push(choice.address);
            Some(choice)
        })
    }

    /// Whether calls that may go anywhere go elsewhere than to `address` now: it is not well, and another is.
    pub fn shuns(&self, address: SocketAddr) -> bool {
        let health = self.health();
        health.iter().any(|(_, well)| *well) && !health.contains(&(address, true))
    }

    /// A call to `address` failed, by the replica's fault.
    pub fn failed(&self, address: SocketAddr) {
        let mut failures = self.failures.lock();
        let entry = failures.entry(address).or_default();
        entry.in_a_row += 1;
        if entry.in_a_row >= EJECT_AFTER {
            tracing::warn!(upstream = self.upstream.name, replica = %address, "replica ejected for {EJECT_FOR:?}");
            entry.until = Some(Instant::now() + EJECT_FOR);
            entry.in_a_row = 0;
        }
    }

    /// A call to `address` was answered.
    pub fn succeeded(&self, address: SocketAddr) {
        self.failures.lock().remove(&address);
    }

    /// Each replica and whether it is well, for `/readyz` and metrics.
    pub fn health(&self) -> Vec<(SocketAddr, bool)> {
        let now = Instant::now();
        let backends = self.balancer.backends();
        let all = backends.get_backend();
        let state =
            |backend: &Backend| Some((address(backend)?, backends.ready(backend) && !self.is_ejected(backend, now)));
        all.iter().filter_map(state).collect()
    }

    fn is_ejected(&self, backend: &Backend, now: Instant) -> bool {
        let Some(address) = address(backend) else { return true };
        self.failures.lock().get(&address).and_then(|failures| failures.until).is_some_and(|until| until > now)
    }
}

fn address(backend: &Backend) -> Option<SocketAddr> {
    match &backend.addr {
        PingoraAddr::Inet(address) => Some(*address),
        PingoraAddr::Unix(_) => None,
    }
}

/// The replica that `backend` stands for.
fn choice(backend: &Backend) -> Option<Choice> {
    let replica = backend.ext.get::<Replica>()?;
    Some(Choice { address: address(backend)?, authority: replica.authority.clone(), host: replica.host.clone() })
}

/// The health check of one upstream's replicas: a GET of the path that the operator named, or a connection that opens.
///
/// pingora's own asks every replica in the name of one, and reads a body without end; this one knows each replica's
/// host and is over after the upstream's connect timeout.
struct Check {
    upstream: Arc<Upstream>,
    ca: Option<Arc<CaType>>,
    connector: Connector,
    news: watch::Sender<u64>,
}

impl Check {
    /// A check that adds one to `news` whenever a replica is well again.
    fn new(upstream: Arc<Upstream>, ca: Option<Arc<CaType>>, news: watch::Sender<u64>) -> Self {
        Self { upstream, ca, connector: Connector::new(None), news }
    }

    async fn ask(&self, replica: &Choice) -> Result<()> {
        let mut peer = client::peer(&self.upstream, self.ca.as_ref(), 0, replica);
        // Not shared, and so made anew for each check: a connection that is open proves little.
        peer.options.max_h2_streams = 1;
        let (mut session, _) = self.connector.get_http_session(&peer).await?;
        match &self.upstream.health {
            Some(path) => fetch(&mut session, path, replica).await,
            None => Ok(()),
        }
    }
}

async fn fetch(session: &mut HttpSession, path: &str, replica: &Choice) -> Result<()> {
    let mut request = RequestHeader::build(Method::GET, path.as_bytes(), Some(1))?;
    request.insert_header("host", replica.authority.as_str())?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    match session.response_header() {
        Some(head) if head.status == 200 => Ok(()),
        Some(head) => Error::e_explain(ErrorType::HTTPStatus(head.status.as_u16()), "the health path is answered"),
        None => Error::e_explain(ErrorType::InvalidHTTPHeader, "the health path is not answered"),
    }
}

#[async_trait]
impl HealthCheck for Check {
    async fn check(&self, target: &Backend) -> Result<()> {
        let Some(replica) = choice(target) else {
            return Error::e_explain(ErrorType::InternalError, "a replica without a name");
        };
        match tokio::time::timeout(self.upstream.connect_timeout, self.ask(&replica)).await {
            Ok(result) => result,
            Err(_) => Error::e_explain(ErrorType::ReadTimedout, "the health check took too long"),
        }
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        let (upstream, replica) = (&self.upstream.name, &target.addr);
        if healthy {
            tracing::info!(upstream, %replica, "a replica is well again");
            self.news.send_modify(|count| *count += 1);
        } else {
            tracing::warn!(upstream, %replica, "a replica fails its health check");
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        if success { 1 } else { FAILED_CHECKS }
    }
}

/// Resolves the hosts of replicas. pingora's own `HttpPeer::new` would block a worker and panic on a name it can't find.
struct Resolver {
    upstream: Arc<Upstream>,
}

impl Resolver {
    /// Whether calls may go to `address`. Said each time that a name is looked up, which is what gives an address to any
    /// connection: one that a name stands for later is none the more trusted.
    fn admits(&self, address: SocketAddr) -> bool {
        let (ip, allowed) = (address.ip(), &self.upstream.addresses);
        let admitted = if allowed.is_empty() { !is_nobodys(ip) } else { allowed.iter().any(|one| one.contains(ip)) };
        if !admitted {
            tracing::warn!(
                upstream = self.upstream.name,
                replica = %address,
                "a host of the upstream stands for an address that is not allowed (`addresses`), so it is not connected to"
            );
        }
        admitted
    }
}

#[async_trait]
impl ServiceDiscovery for Resolver {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut found = BTreeSet::new();
        let mut failure = None;
        for replica in &self.upstream.replicas {
            match tokio::net::lookup_host((replica.host.as_str(), replica.port)).await {
                Ok(addresses) => {
                    let addresses = addresses.filter(|address| self.admits(*address));
                    found.extend(addresses.map(|address| backend(address, replica)));
                }
                Err(error) => failure = Some((replica, error)),
            }
        }
        match failure {
            Some((replica, error)) if found.is_empty() => {
                Error::e_explain(ErrorType::ConnectError, format!("{}: {error}", replica.authority))
            }
            _ => Ok((found, HashMap::new())),
        }
    }
}

fn backend(address: SocketAddr, replica: &Replica) -> Backend {
    let mut ext = Extensions::new();
    ext.insert(replica.clone());
    Backend { addr: PingoraAddr::Inet(address), weight: 1, ext }
}
