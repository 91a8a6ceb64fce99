//! Every metric of the process. Nothing else declares one, names a series or touches a label.
//!
//! Labels come from the configuration, from catalogued tools and from fixed lists, never from what a client sends, and
//! each metric with labels has a bound on its series, so that the whole stays below 5,000 whatever happens. Beyond a
//! bound, names become `other`; gauges, for which a sum of others would say nothing, leave them out.

mod approvals;
mod bound;
mod declare;
mod jobs;
mod operators;
mod record;
mod tokens;

pub use self::record::{Exchange, InFlight, JournalSample, StreamOpen};

use self::approvals::Approvals;
use self::bound::Bound;
use self::declare::Declare;
use self::jobs::Jobs;
use self::operators::Operators;
use self::record::{FAILURE, SUCCESS, effect_label, int};
use self::tokens::Tokens;
use parking_lot::Mutex;
use portcullis_core::policy::document::Effect;
use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use prometheus::{TEXT_FORMAT, TextEncoder};
use std::time::{SystemTime, UNIX_EPOCH};

/// The `Content-Type` of what `Metrics::render` gives.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// Seconds. From a cached read to the longest default timeout.
const CALL_BUCKETS: [f64; 10] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds. What the gateway adds should stay in the first few.
const OVERHEAD_BUCKETS: [f64; 10] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 1.0];

/// What decisions are called where policies are compared (`Decision::word`).
const SHADOW_WORDS: [&str; 4] = ["allow", "review", "deny", "scope"];

/// The metrics of a process.
pub struct Metrics {
    registry: Registry,
    traffic: Traffic,
    upstreams: Upstreams,
    audit: Audit,
    shadow: Shadow,
    sinks: Sinks,
    approvals: Approvals,
    operators: Operators,
    process: Process,
}

struct Shadow {
    differs: IntCounterVec,
    broken: IntGauge,
}

impl Shadow {
    fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            differs: declare.counters(
                "portcullis_policy_shadow_total",
                "Decisions in which the shadow policy differs, by what the policies say.",
                &["live", "shadow"],
            )?,
            broken: declare.gauge(
                "portcullis_policy_shadow_broken",
                "Whether a shadow policy is configured that can't be asked: 1 or 0.",
            )?,
        })
    }
}

struct Traffic {
    requests: IntCounterVec,
    requests_bound: Bound,
    refusals: IntCounterVec,
    duration: HistogramVec,
    duration_bound: Bound,
    overhead: Histogram,
    in_flight: IntGauge,
    streams: IntGauge,
    client_sessions: IntGauge,
    questions: IntCounterVec,
    parked: IntGauge,
    jobs: Jobs,
    received: IntCounter,
    sent: IntCounter,
    tool_calls: IntCounterVec,
    tools_bound: Bound,
    decisions: IntCounterVec,
    redactions: IntCounterVec,
    redactions_bound: Bound,
    tokens: Tokens,
}

impl Traffic {
    fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            requests: declare.counters(
                "portcullis_requests_total",
                "Requests that have ended, by endpoint, JSON-RPC method and outcome.",
                &["endpoint", "method", "outcome"],
            )?,
            requests_bound: Bound::new(500),
            refusals: declare.counters(
                "portcullis_refusals_total",
                "Requests that were refused, by reason and by whose fault it is.",
                &["reason", "blame"],
            )?,
            duration: declare.histograms(
                "portcullis_call_duration_seconds",
                "Time from a request's first byte to its answer's last.",
                &["endpoint", "upstream"],
                &CALL_BUCKETS,
            )?,
            duration_bound: Bound::new(40),
            overhead: declare.histogram(
                "portcullis_gateway_overhead_seconds",
                "Time of a request that reached an upstream, without the time in which the upstream was waited for.",
                &OVERHEAD_BUCKETS,
            )?,
            in_flight: declare.gauge("portcullis_requests_in_flight", "Requests under way.")?,
            streams: declare.gauge("portcullis_streams_open", "Streams of news that clients hold open.")?,
            client_sessions: declare.gauge("portcullis_client_sessions", "Sessions of older clients that are held.")?,
            questions: declare.counters(
                "portcullis_questions_total",
                "What upstreams asked clients (sampling, elicitation, roots), by what became of it.",
                &["method", "outcome"],
            )?,
            parked: declare.gauge("portcullis_calls_parked", "Calls that wait for their clients.")?,
            jobs: Jobs::new(declare)?,
            received: declare.counter("portcullis_received_bytes_total", "Bytes of request bodies.")?,
            sent: declare.counter("portcullis_sent_bytes_total", "Bytes of answer bodies.")?,
            tool_calls: declare.counters(
                "portcullis_tool_calls_total",
                "Calls of catalogued tools that have ended, by upstream, tool and outcome.",
                &["upstream", "tool", "outcome"],
            )?,
            tools_bound: Bound::new(500),
            decisions: declare.counters("portcullis_decisions_total", "Decisions of the policy.", &["effect"])?,
            redactions: declare.counters(
                "portcullis_redactions_total",
                "What redaction found in answers, by kind.",
                &["kind"],
            )?,
            redactions_bound: Bound::new(50),
            tokens: Tokens::new(declare)?,
        })
    }
}

struct Upstreams {
    up: IntGaugeVec,
    up_bound: Bound,
    failures: IntCounterVec,
    failures_bound: Bound,
    tools: IntGaugeVec,
    tools_bound: Bound,
    quarantined: IntGaugeVec,
    quarantined_bound: Bound,
    refresh_failures: IntCounterVec,
    refresh_bound: Bound,
    listening: IntGaugeVec,
    listening_bound: Bound,
    processes: IntGaugeVec,
    processes_bound: Bound,
    restarts: IntCounterVec,
    restarts_bound: Bound,
}

impl Upstreams {
    fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            up: declare.gauges(
                "portcullis_upstream_up",
                "Whether a replica of an upstream is well: 1 or 0.",
                &["upstream", "replica"],
            )?,
            up_bound: Bound::new(150),
            failures: declare.counters(
                "portcullis_upstream_failures_total",
                "Exchanges with an upstream that failed, by kind.",
                &["upstream", "kind"],
            )?,
            failures_bound: Bound::new(150),
            tools: declare.gauges("portcullis_catalogue_tools", "Tools in an upstream's catalogue.", &["upstream"])?,
            tools_bound: Bound::new(75),
            quarantined: declare.gauges(
                "portcullis_catalogue_quarantined",
                "Definitions of an upstream that are held back because they are not the ones that were pinned.",
                &["upstream"],
            )?,
            quarantined_bound: Bound::new(75),
            refresh_failures: declare.counters(
                "portcullis_catalogue_refresh_failures_total",
                "Times an upstream's catalogue could not be had.",
                &["upstream"],
            )?,
            refresh_bound: Bound::new(75),
            listening: declare.gauges(
                "portcullis_upstream_listening",
                "Whether the news of an upstream that says that it has some are heard: 1 or 0.",
                &["upstream"],
            )?,
            listening_bound: Bound::new(75),
            processes: declare.gauges(
                "portcullis_stdio_processes",
                "Processes of an upstream's program that run.",
                &["upstream"],
            )?,
            processes_bound: Bound::new(75),
            restarts: declare.counters(
                "portcullis_stdio_restarts_total",
                "Processes of an upstream's program that ended by themselves; another is started when it is needed.",
                &["upstream"],
            )?,
            restarts_bound: Bound::new(75),
        })
    }
}

struct Audit {
    source: Mutex<Option<JournalSource>>,
    entries: IntCounter,
    backlog: IntGauge,
    backlog_bytes: IntGauge,
    failing: IntGauge,
    dropped: IntCounter,
    summarised: IntCounter,
    signed: IntGauge,
    unpublished: IntCounter,
    used: IntGauge,
    nearly_full: IntGauge,
}

type JournalSource = Box<dyn Fn() -> JournalSample + Send + Sync>;

impl Audit {
    fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            source: Mutex::new(None),
            entries: declare.counter("portcullis_audit_entries_total", "Entries written to the journal.")?,
            backlog: declare.gauge("portcullis_audit_backlog_entries", "Entries that wait to be written.")?,
            backlog_bytes: declare.gauge("portcullis_audit_backlog_bytes", "Size of the entries that wait.")?,
            failing: declare.gauge(
                "portcullis_audit_failing",
                "Whether the journal can't be written and calls are refused: 1 or 0.",
            )?,
            dropped: declare.counter(
                "portcullis_audit_dropped_total",
                "Entries that the journal does not hold one by one. Anything but 0 needs a person.",
            )?,
            summarised: declare.counter(
                "portcullis_audit_summarised_total",
                "Requests without a known caller that share a row of the journal with others.",
            )?,
            signed: declare.gauge(
                "portcullis_audit_signed_entries",
                "Entries that the last checkpoint of this process speaks of, counted from the journal's first.",
            )?,
            unpublished: declare.counter(
                "portcullis_audit_checkpoint_failures_total",
                "Checkpoints that could not be written to the file outside the journal.",
            )?,
            used: declare.gauge("portcullis_audit_journal_bytes", "Bytes that the journal's contents take.")?,
            nearly_full: declare.gauge(
                "portcullis_audit_nearly_full",
                "Whether the journal takes four fifths of `journal.max_bytes` or more: 1 or 0.",
            )?,
        })
    }

    /// Asks the journal. Under the lock, so that two scrapes at once don't count the same entries twice.
    fn refresh(&self) {
        let source = self.source.lock();
        let Some(sample) = source.as_ref().map(|source| source()) else { return };
        self.entries.inc_by(sample.entries.saturating_sub(self.entries.get()));
        self.dropped.inc_by(sample.dropped.saturating_sub(self.dropped.get()));
        self.backlog.set(int(sample.backlog));
        self.backlog_bytes.set(int(sample.backlog_bytes));
        self.failing.set(sample.failing.into());
        self.signed.set(i64::try_from(sample.signed).unwrap_or(i64::MAX));
        self.unpublished.inc_by(sample.unpublished.saturating_sub(self.unpublished.get()));
        self.used.set(i64::try_from(sample.used).unwrap_or(i64::MAX));
        self.nearly_full.set(sample.nearly_full.into());
    }
}

struct Sinks {
    bound: Bound,
    up: IntGaugeVec,
    behind: IntGaugeVec,
    behind_seconds: IntGaugeVec,
    shipped: IntCounterVec,
    failures: IntCounterVec,
    set_aside: IntCounterVec,
}

impl Sinks {
    fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        const SINK: &[&str] = &["sink"];
        Ok(Self {
            bound: Bound::new(20),
            up: declare.gauges("portcullis_sink_up", "Whether a sink took what it was last sent: 1 or 0.", SINK)?,
            behind: declare.gauges(
                "portcullis_sink_behind_entries",
                "Entries of the journal that a sink has not taken yet.",
                SINK,
            )?,
            behind_seconds: declare.gauges(
                "portcullis_sink_behind_seconds",
                "For how long the oldest of these entries waits.",
                SINK,
            )?,
            shipped: declare.counters("portcullis_sink_shipped_total", "Entries that a sink has taken.", SINK)?,
            failures: declare.counters(
                "portcullis_sink_failures_total",
                "Times a sink took nothing; the entries were sent again later.",
                SINK,
            )?,
            set_aside: declare.counters(
                "portcullis_sink_set_aside_total",
                "Entries that a sink refused for what they are. Anything but 0 needs a person.",
                SINK,
            )?,
        })
    }
}

struct Process {
    reloads: IntCounterVec,
    revision: IntGaugeVec,
    reloaded_at: Gauge,
    reload_ok: IntGauge,
}

impl Process {
    fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        let build = declare.gauges("portcullis_build_info", "The version that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let started = declare.seconds(
            "portcullis_process_start_time_seconds",
            "When the process started, in seconds since the epoch.",
        )?;
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        Ok(Self {
            reloads: declare.counters(
                "portcullis_config_reloads_total",
                "Times the configuration was read, the start included.",
                &["result"],
            )?,
            revision: declare.gauges(
                "portcullis_config_revision_info",
                "The revision of the configuration in use; always 1.",
                &["revision"],
            )?,
            reloaded_at: declare.seconds(
                "portcullis_config_last_reload_success_timestamp_seconds",
                "When the configuration in use was read, in seconds since the epoch.",
            )?,
            reload_ok: declare.gauge(
                "portcullis_config_last_reload_successful",
                "Whether the configuration was good when it was last read: 1 or 0.",
            )?,
        })
    }
}

impl Metrics {
    /// All metrics, at zero. An error says that two of them contradict each other.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let declare = Declare(&registry);
        let metrics = Self {
            traffic: Traffic::new(&declare)?,
            upstreams: Upstreams::new(&declare)?,
            audit: Audit::new(&declare)?,
            shadow: Shadow::new(&declare)?,
            sinks: Sinks::new(&declare)?,
            approvals: Approvals::new(&declare)?,
            operators: Operators::new(&declare)?,
            process: Process::new(&declare)?,
            registry,
        };
        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// A counter that is there before its first event lets a rate see that event.
    fn begin_at_zero(&self) {
        for effect in [Effect::Allow, Effect::Review, Effect::Deny] {
            self.traffic.decisions.with_label_values(&[effect_label(effect)]);
        }
        for live in SHADOW_WORDS {
            for shadow in SHADOW_WORDS.into_iter().filter(|shadow| *shadow != live) {
                self.shadow.differs.with_label_values(&[live, shadow]);
            }
        }
        self.approvals.begin_at_zero();
        self.operators.begin_at_zero();
        for result in [SUCCESS, FAILURE] {
            self.process.reloads.with_label_values(&[result]);
        }
    }

    /// Everything, in the Prometheus text format.
    pub fn render(&self) -> String {
        self.audit.refresh();
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics can't be written");
            format!("# the metrics can't be written: {error}\n")
        })
    }
}

#[cfg(test)]
mod tests;
