//! Keeps the catalogue: asks each upstream in the background what it speaks and which tools it has, again and again.
//!
//! An upstream that does not answer keeps what it last showed. Its era is asked for each time, because a server that was
//! upgraded keeps answering the old handshake (MCP 2026-07-28 "Backward Compatibility").

use crate::telemetry::metrics::Metrics;
use crate::upstream::client::{Answer, Client, Failure};
use crate::upstream::pool::{Choice, Pool};
use crate::upstream::session::{self, SessionError};
use crate::upstream::{CLIENT_INFO, Pools};
use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use portcullis_core::catalog::{Catalog, Tool, UpstreamCatalog};
use portcullis_core::jsonrpc::{self, Limits};
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::rewrite;
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::Era;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The largest page of a list, in bytes.
const PAGE: usize = 8 << 20;
/// The most pages of a list.
const PAGES: usize = 200;
/// The most bytes of all pages of a list.
const LIST: usize = 32 << 20;
/// How long an upstream may take to show all that it offers.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon an upstream that failed is asked again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Why an upstream's tools are not known.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The handshake or the exchange failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The answer is not a list of tools.
    #[error("tools/list was answered with HTTP {status}, {problem}")]
    List {
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        problem: &'static str,
    },
}

/// The background work that keeps the catalogue.
pub struct Discovery {
    client: Arc<Client>,
    catalog: Arc<ArcSwap<Catalog>>,
    metrics: Arc<Metrics>,
    running: Mutex<BTreeMap<String, Followed>>,
    asked: watch::Sender<BTreeSet<String>>,
}

/// An upstream that is asked.
struct Followed {
    pool: Arc<Pool>,
    tasks: [AbortHandle; 2],
}

impl Discovery {
    /// No upstream is asked yet.
    pub fn new(client: Arc<Client>, catalog: Arc<ArcSwap<Catalog>>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { client, catalog, metrics, running: Mutex::default(), asked: watch::Sender::default() })
    }

    /// Asks the upstreams of `pools` from now on, and no others. What goes on for an unchanged upstream goes on; one that
    /// changed keeps what it last showed until it has shown more, so that no call fails for the change alone.
    pub fn follow(self: &Arc<Self>, pools: &Pools) {
        let mut running = self.running.lock();
        running.retain(|name, Followed { pool, tasks }| {
            let kept = pools.0.get(name).is_some_and(|wanted| Arc::ptr_eq(wanted, pool));
            if !kept {
                tasks.iter().for_each(AbortHandle::abort);
                pool.health().iter().for_each(|(replica, _)| self.metrics.forget_replica(name, &replica.to_string()));
            }
            if !pools.0.contains_key(name) {
                self.publish(name, None);
                self.metrics.forget_upstream(name);
            }
            kept
        });
        for (name, pool) in &pools.0 {
            running.entry(name.clone()).or_insert_with(|| {
                let health = tokio::spawn(Pool::watch(Arc::downgrade(pool)));
                let tools = tokio::spawn(Arc::clone(self).watch(Arc::clone(pool)));
                Followed { pool: Arc::clone(pool), tasks: [health.abort_handle(), tools.abort_handle()] }
            });
        }
    }

    /// Waits until each upstream that is followed now was asked once, whether it answered or not.
    pub async fn first_round(&self) {
        let wanted: BTreeSet<_> = self.running.lock().keys().cloned().collect();
        // The sender is ours and lives, so this can't fail.
        let _ = self.asked.subscribe().wait_for(|asked| asked.is_superset(&wanted)).await;
    }

    async fn watch(self: Arc<Self>, pool: Arc<Pool>) {
        let name = &pool.upstream.name;
        let mut recoveries = pool.recoveries();
        let mut retry = RETRY.0;
        loop {
            recoveries.mark_unchanged();
            let found = self.ask(&pool).await;
            let pause = if found { pool.upstream.refresh } else { retry };
            retry = if found { RETRY.0 } else { (retry * 2).min(RETRY.1) };
            self.asked.send_modify(|asked| {
                asked.insert(name.clone());
            });
            // A replica that is back may be another version, with other tools. The pool keeps the sender, so `changed`
            // does not fail.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = recoveries.changed() => {}
            }
        }
    }

    /// Asks once; whether there was an answer.
    async fn ask(&self, pool: &Arc<Pool>) -> bool {
        let name = &pool.upstream.name;
        pool.ready().await;
        let found = tokio::time::timeout(PATIENCE, self.discover(pool)).await;
        match found.unwrap_or_else(|_| Err(SessionError::from(Failure::Timeout).into())) {
            Ok(found) => {
                let running = self.running.lock();
                if running.get(name).is_some_and(|followed| Arc::ptr_eq(&followed.pool, pool)) {
                    self.metrics.catalogued(name, found.tools.len());
                    self.publish(name, Some(found));
                }
                true
            }
            Err(error) => {
                tracing::warn!(upstream = name, %error, "the upstream's tools can't be listed; asking again soon");
                self.metrics.catalogue_failed(name);
                false
            }
        }
    }

    /// Only while `running` is locked: what is not followed any more must not come back.
    fn publish(&self, name: &str, found: Option<UpstreamCatalog>) {
        let found = found.map(Arc::new);
        self.catalog.rcu(|catalog| {
            let mut catalog = Catalog::clone(catalog);
            match &found {
                Some(found) => catalog.upstreams.insert(name.to_owned(), Arc::clone(found)),
                None => catalog.upstreams.remove(name),
            };
            catalog
        });
    }

    async fn discover(&self, pool: &Arc<Pool>) -> Result<UpstreamCatalog, DiscoveryError> {
        if let Some(replica) = self.modern(pool).await? {
            let headers = modern_headers("tools/list");
            let tools = self.list(pool, &replica, Version::LATEST, &headers).await?;
            return Ok(UpstreamCatalog { era: Era::Modern, tools });
        }
        let session = session::open(&self.client, pool, Capabilities::default()).await?;
        let tools = self.list(pool, &session.replica, Version::LATEST_LEGACY, &session.headers()).await?;
        Ok(UpstreamCatalog { era: Era::Legacy, tools })
    }

    /// The replica that answered `server/discover` with a result that names our revision, where one did.
    async fn modern(&self, pool: &Pool) -> Result<Option<Choice>, SessionError> {
        let body = rewrite::request(b"0", "server/discover", &[], Version::LATEST, CLIENT_INFO);
        let headers = modern_headers("server/discover");
        let (replica, answer) = self.client.post_any(pool, &headers, body.into(), PAGE).await?;
        let found = session::message(&answer, b"0").and_then(|message| {
            let value: serde_json::Value = serde_json::from_slice(&message).ok()?;
            let versions = value.pointer("/result/supportedVersions")?.as_array()?.clone();
            Some(versions.iter().any(|version| version == Version::LATEST.as_str()))
        });
        Ok(found.unwrap_or(false).then_some(replica))
    }

    async fn list(
        &self,
        pool: &Pool,
        replica: &Choice,
        version: Version,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<BTreeMap<String, Arc<Tool>>, DiscoveryError> {
        let mut tools = BTreeMap::new();
        let mut left = LIST;
        let mut cursor: Option<Vec<u8>> = None;
        for number in 0..PAGES {
            let id = (number + 1).to_string();
            let params: Vec<(&str, &[u8])> = cursor.iter().map(|cursor| ("cursor", cursor.as_slice())).collect();
            let body = rewrite::request(id.as_bytes(), "tools/list", &params, version, CLIENT_INFO);
            let answer = self
                .client
                .post(pool, replica, headers, body.into(), PAGE.min(left))
                .await
                .map_err(SessionError::from)?;
            left = left.saturating_sub(answer.body.len());
            let page = read_page(&answer, id.as_bytes())?;
            add(&pool.upstream.name, &page.tools, &mut tools);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(DiscoveryError::List { status: 200, problem: "without end" })
    }
}

struct Page {
    tools: Vec<Box<RawValue>>,
    next: Option<Vec<u8>>,
}

fn read_page(answer: &Answer, id: &[u8]) -> Result<Page, DiscoveryError> {
    let refused = |problem| DiscoveryError::List { status: answer.status, problem };
    let message = session::message(answer, id).ok_or(refused("without a JSON-RPC response"))?;
    let Ok(jsonrpc::Answer::Result { result, .. }) = jsonrpc::answer(&message, &Limits::ANSWER) else {
        return Err(refused("with an error"));
    };
    let tools = result.value("tools").ok_or(refused("without tools"))?;
    let tools = serde_json::from_slice(tools.of(&message)).map_err(|_| refused("without a list of tools"))?;
    let next = result.value("nextCursor").map(|span| span.of(&message).to_vec()).filter(|next| next != b"null");
    Ok(Page { tools, next })
}

fn add(upstream: &str, definitions: &[Box<RawValue>], tools: &mut BTreeMap<String, Arc<Tool>>) {
    for definition in definitions {
        match Tool::read(upstream, definition.get().as_bytes()) {
            Ok(tool) if tools.contains_key(&tool.name.tool) => {
                tracing::warn!(upstream, tool = %tool.name, "a second tool of the same name is left out");
            }
            Ok(tool) => {
                tools.insert(tool.name.tool.clone(), Arc::new(tool));
            }
            Err(problem) => tracing::warn!(upstream, problem, "a tool is left out"),
        }
    }
}

fn modern_headers(method: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    vec![
        (HeaderName::from_static("mcp-protocol-version"), HeaderValue::from_static(Version::LATEST.as_str())),
        (HeaderName::from_static("mcp-method"), HeaderValue::from_static(method)),
    ]
}
