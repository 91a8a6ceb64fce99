//! How the process is, for operators and for whoever sends it traffic.
//!
//! Ready means that a call sent here now fares no worse than one sent to any other replica:
//!
//! | `status` | answered with | while |
//! |---|---|---|
//! | `ready` | 200 | calls are served |
//! | `starting` | 503 | some upstream was not yet asked for its tools, so that their calls would fail; for ten seconds at most |
//! | `not ready` | 503 | the journal can't be written, so that every call is refused |
//! | `ending` | 503 | the process was asked to end |
//!
//! An upstream that is down does not matter, not even where none was ever reached: every replica would see the same, all
//! would be taken out at once, and clients would get a connection refused instead of an answer that says what is wrong.
//! Nor does a rejected configuration: the one before is live; or a broken shadow policy; or a sink that takes no copies of the
//! record: they wait in the journal. All are shown, for people and alerts.

use crate::pipeline::Gateway;
use crate::store::journal::JournalHealth;
use crate::telemetry::metrics::Metrics;
use crate::upstream::pool::Pool;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the process is.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    status: &'static str,
    revision: String,
    /// Why the last change of the configuration was not taken, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_configuration: Option<String>,
    /// Whether the shadow policy is asked, or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow_policy: Option<String>,
    journal: String,
    /// Where copies of the record go, and how each is. One that lags holds no call up.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sinks: BTreeMap<String, String>,
    upstreams: BTreeMap<String, UpstreamState>,
}

/// How an upstream is.
#[derive(Debug, Clone, Serialize)]
pub struct UpstreamState {
    tools: Option<usize>,
    /// Definitions that are held back until a person accepts them.
    #[serde(skip_serializing_if = "is_zero")]
    quarantined: usize,
    replicas: BTreeMap<String, bool>,
}

impl Readiness {
    /// Whether calls can be served at all.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }

    /// Brings the gauges that are read rather than counted up to date.
    pub fn report(&self, metrics: &Metrics) {
        for (name, state) in &self.upstreams {
            for (replica, well) in &state.replicas {
                metrics.upstream_health(name, replica, *well);
            }
        }
    }
}

/// How far the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all upstreams were asked for their tools yet.
    Starting,
    /// It serves.
    Serving,
    /// It was asked to end.
    Ending,
}

/// How `gateway` is now. `rejected` is why the last change of the configuration was not taken, where it was not;
/// `sinks` says how each sink is.
pub fn of(gateway: &Gateway, phase: Phase, rejected: Option<String>, sinks: BTreeMap<String, String>) -> Readiness {
    let live = gateway.live.load();
    let catalog = gateway.catalog.load();
    let upstream = |(name, pool): (&String, &Arc<Pool>)| {
        let replicas = pool.health().into_iter().map(|(address, well)| (address.to_string(), well)).collect();
        let known = catalog.upstreams.get(name);
        let tools = known.filter(|upstream| upstream.tools.is_known()).map(|upstream| upstream.tools.count());
        let quarantined = known.map_or(0, |upstream| upstream.held());
        (name.clone(), UpstreamState { tools, quarantined, replicas })
    };
    let (well, journal) = match gateway.journal.health() {
        JournalHealth::Ok => (true, "ok".to_owned()),
        JournalHealth::Failing { since, reason } => (false, format!("failing since {since}: {reason}")),
    };
    Readiness {
        status: match phase {
            Phase::Ending => "ending",
            _ if !well => "not ready",
            Phase::Starting => "starting",
            Phase::Serving => "ready",
        },
        revision: live.snapshot.revision.clone(),
        rejected_configuration: rejected,
        shadow_policy: live.snapshot.shadow.as_ref().map(|shadow| match shadow {
            Ok(_) => "ok".to_owned(),
            Err(report) => report.to_string(),
        }),
        journal,
        sinks,
        upstreams: live.pools.0.iter().map(upstream).collect(),
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
