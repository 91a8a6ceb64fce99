//! The process: the only place that puts the parts together, starts them, and ends them in order.

use crate::admin::{self, Admin, readiness};
use crate::approvals::{Desk, Receiver};
use crate::catalogue::Catalogue;
use crate::catalogue::discovery::Discovery;
use crate::catalogue::personal::Personal;
use crate::config::reload::{self, Reloaded, Watcher};
use crate::config::report::{Finding, Report};
use crate::config::snapshot::{
    Approvals as ApprovalSettings, Gateway as Settings, Issuer, Journal as JournalSettings, KeySource, Snapshot, Stdio,
    Transport,
};
use crate::config::{self, Bound, Loaded, Sources};
use crate::identity::{Authenticator, BadTokenGuard, IdentityError, WrongIdGuard};
use crate::jobs::Workers;
use crate::pipeline::converse::parking::Parking;
use crate::pipeline::job::desk::JobDesk;
use crate::pipeline::session::ClientSessions;
use crate::pipeline::strangers::Strangers;
use crate::pipeline::streams::Streams;
use crate::pipeline::{Gateway, Live, clock};
use crate::secrets::seal::Seal;
use crate::server::drain::{Drain, Phase};
use crate::server::listener::{Bounds, Listener};
use crate::server::proxy::Proxy;
use crate::server::tls::Tls;
use crate::ship::Ships;
use crate::store::journal::{Figures, Journal, Options};
use crate::store::limits::local::LocalLimits;
use crate::store::pins::Pins;
use crate::store::work::Work;
use crate::telemetry::metrics::{JournalSample, Metrics};
use crate::upstream::Pools;
use crate::upstream::adapter::Adapters;
use crate::upstream::client::Client;
use crate::upstream::session::Sessions;
use anyhow::Context;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portcullis_core::redact::Unseen;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long upstreams that do not answer can keep the process from being ready. They are not what it waits for.
const STARTING: Duration = Duration::from_secs(10);
/// How long the names of new upstreams may take to be resolved before their calls come.
const RESOLVING: Duration = Duration::from_secs(1);
/// How long the last words may take, to clients and upstreams, and the last rows to where copies are kept.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long connections may take to close after that. What one has not brought to its client by then, it does not bring.
const CLOSING: Duration = Duration::from_secs(2);

/// A process that serves.
pub struct App {
    gateway: Arc<Gateway>,
    discovery: Arc<Discovery>,
    adapters: Adapters,
    ships: Arc<Ships>,
    workers: Workers,
    drain: Drain,
    tls: Tls,
    rejected: Arc<Mutex<Option<String>>>,
    shutdown: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    /// Where clients call.
    pub ingress: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
}

/// Reads the configuration and takes the addresses it names.
///
/// # Errors
/// Every problem of the configuration, or an address that can't be taken.
pub async fn prepare(file: &Path) -> anyhow::Result<(Loaded, TcpListener, TcpListener)> {
    let loaded = config::load(file, &environment).map_err(ReportError)?;
    let settings = &loaded.snapshot.gateway;
    let ingress = bind(settings.ingress, "listen.ingress").await?;
    let admin = bind(settings.admin, "listen.admin").await?;
    if settings.ingress.port() != 0 && settings.admin.port() != 0 {
        return Ok((loaded, ingress, admin));
    }
    // What the configuration says of addresses (audiences, hosts) must speak of the ports that were really taken.
    let bound = Bound { ingress: ingress.local_addr()?, admin: admin.local_addr()? };
    let loaded = config::load_bound(file, &environment, bound).map_err(ReportError)?;
    Ok((loaded, ingress, admin))
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be taken; stop what listens there, or change `{key}`"))
}

/// A variable of the process's environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A report as an error, for `anyhow`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReportError(pub Report);

impl App {
    /// Starts all parts. When it returns, connections are accepted.
    ///
    /// # Errors
    /// What can't be started, and what to do about it.
    pub async fn start(loaded: Loaded, ingress: TcpListener, admin: TcpListener) -> anyhow::Result<Self> {
        let Loaded { snapshot, sources, warnings } = loaded;
        let snapshot = Arc::new(snapshot);
        let settings = &snapshot.gateway;
        let (journal, metrics, ships) = record(settings).await?;
        let (work, jobs, desk) = work(settings, &journal, &metrics).await?;
        let catalogue = Catalogue::new(Pins::open(&settings.state_path).await?, journal.clone(), Arc::clone(&metrics));
        let client = Arc::new(Client::new());
        let adapters = Adapters::new(Arc::clone(&metrics));
        let live = live(&snapshot, None, &metrics, &adapters)?;
        let discovery = Discovery::new(Arc::clone(&client), Arc::clone(&catalogue), Arc::clone(&metrics));
        discovery.follow(&snapshot, &live.pools);
        let sessions = Arc::new(Sessions::new(Arc::clone(&client)));
        sessions.follow(&live.pools);
        let personal = Personal::new(&client, &sessions, &catalogue, &metrics);
        personal.follow(&live.pools);
        tell_of(&snapshot, &warnings, &metrics);
        let gateway = Arc::new(Gateway {
            live: ArcSwap::from_pointee(live),
            renewals: watch::Sender::default(),
            catalog: catalogue.current(),
            personal,
            catalog_changes: catalogue.changes(),
            limits: LocalLimits::new(),
            bad_tokens: BadTokenGuard::new(),
            wrong_ids: WrongIdGuard::new(),
            strangers: Arc::default(),
            client_sessions: Arc::new(ClientSessions::new(Arc::clone(&sessions), Arc::clone(&metrics))),
            parking: Parking::new(),
            streams: Streams::new(Arc::clone(&metrics)),
            client,
            sessions,
            journal,
            metrics,
            jobs: Arc::new(jobs),
            work,
            desk,
        });
        tend(&gateway);
        let (drain, tls) = (Drain::default(), Tls::new(settings));
        let (shutdown, ending) = watch::channel(false);
        let addresses = (ingress.local_addr()?, admin.local_addr()?);
        let accepting = listener(&gateway, settings, &tls, &drain).run(ingress, ending);
        let app = Self {
            ingress: addresses.0,
            admin: addresses.1,
            workers: Workers::start(&gateway),
            gateway,
            discovery,
            adapters,
            ships,
            drain,
            tls,
            rejected: Arc::default(),
            shutdown,
            accepting: tokio::spawn(accepting),
        };
        app.attend(admin, sources);
        Ok(app)
    }

    /// Serves operators and watches the configuration.
    fn attend(&self, listener: TcpListener, sources: Sources) {
        let (gateway, rejected) = (Arc::clone(&self.gateway), Arc::clone(&self.rejected));
        let phase = self.phase();
        let ships = Arc::clone(&self.ships);
        let readiness = Arc::new(move || readiness::of(&gateway, phase(), rejected.lock().clone(), ships.states()));
        tokio::spawn(admin::serve(listener, Admin::new(Arc::clone(&self.gateway), readiness)));
        let reloader = Arc::new(Reloader {
            gateway: Arc::clone(&self.gateway),
            discovery: Arc::clone(&self.discovery),
            adapters: self.adapters.clone(),
            ships: Arc::clone(&self.ships),
            tls: self.tls.clone(),
            rejected: Arc::clone(&self.rejected),
        });
        let gateway = Arc::clone(&self.gateway);
        let running = move || Arc::clone(&gateway.live.load().snapshot);
        let watcher = Watcher::new(sources, environment);
        tokio::spawn(reload::watch(watcher, running, move |result| {
            let reloader = Arc::clone(&reloader);
            async move { reloader.take(result).await }
        }));
    }

    /// Tells how far the process is.
    fn phase(&self) -> impl Fn() -> readiness::Phase + Send + Sync + 'static {
        let asked = Arc::new(AtomicBool::new(false));
        let (discovery, all) = (Arc::clone(&self.discovery), Arc::clone(&asked));
        tokio::spawn(async move {
            // Whether in time or not.
            let _ = tokio::time::timeout(STARTING, discovery.first_round()).await;
            all.store(true, Ordering::Relaxed);
        });
        let drain = self.drain.clone();
        move || match (drain.is_ending(), asked.load(Ordering::Relaxed)) {
            (true, _) => readiness::Phase::Ending,
            (false, false) => readiness::Phase::Starting,
            (false, true) => readiness::Phase::Serving,
        }
    }

    /// Waits until each upstream was asked for its tools once, whether it answered or not.
    pub async fn discovered(&self) {
        self.discovery.first_round().await;
    }

    /// The names of the endpoints and the journal's file, for those who start the process.
    pub fn endpoints(&self) -> (Vec<String>, PathBuf) {
        let live = self.gateway.live.load();
        let names = live.snapshot.routes.0.keys().cloned().collect();
        (names, live.snapshot.gateway.journal.path.clone())
    }

    /// The URL under which clients reach the process.
    pub fn public_url(&self) -> String {
        self.gateway.live.load().snapshot.gateway.public_url.clone()
    }

    /// Ends: takes no more connections, lets calls that run end within the configured time, and writes the record to the
    /// last entry.
    pub async fn stop(self) {
        let patience = self.gateway.live.load().snapshot.gateway.drain;
        self.drain.enter(Phase::Ending);
        let _ = self.shutdown.send(true);
        // Their clients find nobody here any more.
        self.gateway.parking.close();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "the ingress ended badly");
        }
        let (ended, ()) = tokio::join!(self.drain.calls_ended(patience), self.workers.stop(patience));
        if !ended {
            tracing::warn!("calls still run after {patience:?} and are cut off");
            self.drain.enter(Phase::Cutting);
            self.drain.calls_ended(FAREWELL).await;
        }
        // What was answered last may still be on its way out, over HTTP/2 above all.
        self.drain.connections_ended(CLOSING).await;
        self.drain.enter(Phase::Gone);
        self.drain.calls_ended(FAREWELL).await;
        self.adapters.stop().await;
        self.gateway.sessions.close();
        self.gateway.parking.ended(FAREWELL).await;
        // And with them the calls that wait for their clients to come back.
        self.gateway.client_sessions.close();
        self.gateway.sessions.told(FAREWELL).await;
        self.gateway.work.close().await;
        let revision = &self.gateway.live.load().snapshot.revision;
        self.gateway.strangers.sum_up(&self.gateway.journal, revision);
        self.gateway.journal.close().await;
        self.ships.stop(FAREWELL).await;
    }
}

/// What waits for people and workers, and the desks that keep it.
async fn work(
    settings: &Settings,
    journal: &Journal,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Work, JobDesk, Arc<Desk>)> {
    let work = Work::open(&settings.work_store).await?;
    let jobs = JobDesk::open(work.clone(), settings, Arc::clone(metrics)).await?;
    let desk = Desk::open(work.clone(), journal.clone(), Arc::clone(metrics)).await?;
    desk.follow(receiver(settings));
    Ok((work, jobs, desk))
}

/// Tells what is judged by from now on.
fn tell_of(snapshot: &Snapshot, warnings: &[Finding], metrics: &Metrics) {
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    metrics.reloaded(&snapshot.revision, clock::now());
    tell_of_shadow(snapshot, metrics);
}

fn listener(gateway: &Arc<Gateway>, settings: &Settings, tls: &Tls, drain: &Drain) -> Listener {
    let proxy = Proxy::serve(Arc::clone(gateway), drain.clone(), settings);
    Listener::new(proxy, Arc::clone(gateway), bounds(settings), tls.clone(), drain.clone())
}

/// What is done from time to time, for as long as the gateway is there.
fn tend(gateway: &Arc<Gateway>) {
    tokio::spawn(Sessions::watch(Arc::downgrade(&gateway.sessions)));
    tokio::spawn(ClientSessions::watch(Arc::downgrade(&gateway.client_sessions)));
    tokio::spawn(Strangers::watch(Arc::downgrade(gateway)));
}

/// Makes a changed configuration live.
struct Reloader {
    gateway: Arc<Gateway>,
    discovery: Arc<Discovery>,
    adapters: Adapters,
    ships: Arc<Ships>,
    tls: Tls,
    rejected: Arc<Mutex<Option<String>>>,
}

impl Reloader {
    async fn take(&self, result: Result<Reloaded, Report>) {
        let taken = match result {
            Ok(reloaded) => self.apply(&reloaded).await.map_err(|error| format!("{error:#}")),
            Err(report) => Err(report.to_string()),
        };
        if let Err(problem) = &taken {
            tracing::error!("the changed configuration is not taken, the one before stays live:\n{problem}");
        }
        match &taken {
            Ok(revision) => self.gateway.metrics.reloaded(revision, clock::now()),
            Err(_) => self.gateway.metrics.reload_failed(),
        }
        *self.rejected.lock() = taken.err();
    }

    async fn apply(&self, reloaded: &Reloaded) -> anyhow::Result<String> {
        reloaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let before = self.gateway.live.load_full();
        let live = live(&reloaded.snapshot, Some(&before), &self.gateway.metrics, &self.adapters)?;
        // A name server that does not answer must not hold the change up: those upstreams are resolved later.
        let _ = tokio::time::timeout(RESOLVING, live.pools.ready()).await;
        // Nothing can fail from here on: a change is taken whole or not at all.
        self.tls.renew(&reloaded.snapshot.gateway);
        self.ships.follow(&reloaded.snapshot.gateway.sinks);
        self.discovery.follow(&reloaded.snapshot, &live.pools);
        self.gateway.sessions.follow(&live.pools);
        self.gateway.personal.follow(&live.pools);
        self.gateway.renew(live);
        self.gateway.desk.follow(receiver(&reloaded.snapshot.gateway));
        tell_of_shadow(&reloaded.snapshot, &self.gateway.metrics);
        tracing::info!(revision = reloaded.snapshot.revision, "the changed configuration is live");
        Ok(reloaded.snapshot.revision.clone())
    }
}

fn live(
    snapshot: &Arc<Snapshot>,
    before: Option<&Live>,
    metrics: &Arc<Metrics>,
    adapters: &Adapters,
) -> anyhow::Result<Live> {
    let metrics = Arc::clone(metrics);
    let observer = Arc::new(move |issuer: &str, succeeded| metrics.jwks_fetched(issuer, succeeded));
    let before_authenticator = before.map(|live| &live.authenticator);
    let authenticator = Authenticator::new(&snapshot.gateway.issuers, before_authenticator, observer)?;
    let operators = operators(&snapshot.gateway, &authenticator)?;
    let pools = Pools::of(snapshot, before.map_or(&Pools::default(), |live| &live.pools), adapters)?;
    let programs = snapshot.upstreams.values().filter_map(|upstream| match &upstream.transport {
        Transport::Stdio(stdio) => Some(stdio),
        Transport::Http | Transport::Sse(_) => None,
    });
    let unseen = Unseen::new(secrets(&snapshot.gateway).chain(programs.flat_map(Stdio::hidden)));
    let seal = Seal::new(snapshot.gateway.digest_key.expose()).context("no cipher for what clients keep")?;
    Ok(Live { snapshot: Arc::clone(snapshot), authenticator, operators, pools, unseen, seal })
}

/// Checks operators' tokens: by the keys that are at hand for clients' tokens, and for other audiences.
fn operators(settings: &Settings, clients: &Authenticator) -> Result<Authenticator, IdentityError> {
    let audiences = &settings.console.audiences;
    let issuers = settings.issuers.iter().map(|issuer| Issuer { audiences: audiences.clone(), ..issuer.clone() });
    let observed_already = Arc::new(|_: &str, _: bool| {});
    Authenticator::new(&issuers.collect::<Vec<_>>(), Some(clients), observed_already)
}

/// Says whether the shadow policy can be asked, where there is one.
fn tell_of_shadow(snapshot: &Snapshot, metrics: &Metrics) {
    let broken = snapshot.shadow.as_ref().and_then(|shadow| shadow.as_ref().err());
    metrics.shadow_read(broken.is_some());
    if let Some(report) = broken {
        tracing::error!("the shadow policy is not asked, and the live one decides as ever:\n{report}");
    }
}

/// What no answer may hold, besides what programs are given: whoever has one of these can make tokens, or pass for the
/// gateway.
fn secrets(settings: &Settings) -> impl Iterator<Item = &str> {
    let shared = settings.issuers.iter().filter_map(|issuer| match &issuer.keys {
        KeySource::Secret(secret) => std::str::from_utf8(secret.expose()).ok(),
        KeySource::Pem(_) | KeySource::Jwks(_) | KeySource::Discovery(_) => None,
    });
    let digest_key = std::str::from_utf8(settings.digest_key.expose()).ok();
    let login = settings.console.login.as_ref().and_then(|login| login.client_secret.as_ref());
    let login = login.map(|secret| secret.expose().as_str());
    settings.gateway_secret.iter().map(|secret| secret.expose().as_str()).chain(shared).chain(digest_key).chain(login)
}

/// Who is told of new approvals.
fn receiver(settings: &Settings) -> Option<Receiver> {
    let ApprovalSettings { webhook, .. } = &settings.approvals;
    webhook.as_ref().map(|to| Receiver { url: to.url.clone(), key: to.key.clone(), slack: to.slack })
}

/// The journal, what is counted of it, and where its copies go.
async fn record(settings: &Settings) -> anyhow::Result<(Journal, Arc<Metrics>, Arc<Ships>)> {
    let journal = Journal::open(journal_options(&settings.journal)).await?;
    let metrics = Arc::new(Metrics::new()?);
    watch_journal(&metrics, &journal);
    let ships = Ships::serve(&settings.sinks, &settings.journal.path, &journal, &metrics);
    Ok((journal, metrics, ships))
}

fn watch_journal(metrics: &Metrics, journal: &Journal) {
    let journal = journal.clone();
    metrics.watch_journal(move || sample(journal.figures()));
}

fn sample(figures: Figures) -> JournalSample {
    let Figures { entries, backlog, backlog_bytes, failing, dropped, signed, unpublished, used, nearly_full } = figures;
    JournalSample { entries, backlog, backlog_bytes, failing, dropped, signed, unpublished, used, nearly_full }
}

fn journal_options(settings: &JournalSettings) -> Options {
    Options {
        checkpoint_key: settings.checkpoint_key.clone(),
        checkpoint_file: settings.checkpoint_file.clone(),
        max_bytes: settings.max_bytes,
        keep: settings.keep,
        ..Options::new(settings.path.clone(), settings.durability, settings.deadline)
    }
}

fn bounds(settings: &Settings) -> Bounds {
    let edge = &settings.edge;
    Bounds { connections: edge.connections, header: edge.header_deadline.0, idle: edge.keepalive.0 }
}

#[cfg(test)]
mod tests;
