//! What the rest of the process says to the metrics: one method for each thing that happens. The metrics themselves are
//! declared in `metrics`.

use super::Metrics;
use super::bound::OTHER;
use portcullis_core::audit::Outcome;
use portcullis_core::policy::document::Effect;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::ToolName;
use prometheus::IntGauge;
use std::collections::BTreeMap;
use std::time::Duration;

/// What stands where an exchange has no such thing.
const NONE: &str = "none";

/// The methods that are labels; others are `other`.
pub(super) const METHODS: [&str; 27] = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "roots/list",
    "sampling/createMessage",
    "elicitation/create",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/update",
    "tasks/result",
    "tasks/list",
    "tools/call",
    "tools/list",
];

/// An exchange that has ended, as metrics see it.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The endpoint's name as configured; `None` where the path leads to none.
    pub endpoint: Option<&'a str>,
    /// The upstream's name as configured, where one was asked.
    pub upstream: Option<&'a str>,
    /// The JSON-RPC method as the client wrote it, where there is one.
    pub method: Option<&'a str>,
    /// The tool that was called, where it is one of the catalogue. A name that only the client knows is not for here.
    pub tool: Option<&'a ToolName>,
    /// How it ended.
    pub outcome: Outcome,
    /// From the request's first byte to the answer's last; `None` where that is as long as the client wanted to listen.
    pub latency: Option<Duration>,
    /// The part of it in which the upstream was waited for, where one was asked.
    pub upstream_time: Option<Duration>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
}

/// What the journal says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalSample {
    /// Entries written since the start.
    pub entries: u64,
    /// Entries that wait to be written.
    pub backlog: usize,
    /// Their size in bytes.
    pub backlog_bytes: usize,
    /// Whether calls are refused because it can't be written.
    pub failing: bool,
    /// Entries that it does not hold one by one, since the start.
    pub dropped: u64,
    /// Rows that the last checkpoint speaks of.
    pub signed: u64,
    /// Checkpoints that could not be written outside, since the start.
    pub unpublished: u64,
    /// Bytes that its contents take.
    pub used: u64,
    /// Whether that is four fifths of what is allowed.
    pub nearly_full: bool,
}

/// A request under way; counted until this is dropped.
#[must_use = "dropping it says that the request has ended"]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A stream of news that a client holds open; counted until this is dropped.
#[must_use = "dropping it says that the stream has ended"]
pub struct StreamOpen(IntGauge);

impl Drop for StreamOpen {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// A client has opened a stream of news.
    pub fn stream_opened(&self) -> StreamOpen {
        self.traffic.streams.inc();
        StreamOpen(self.traffic.streams.clone())
    }

    /// A request has begun.
    pub fn begun(&self) -> InFlight {
        self.traffic.in_flight.inc();
        InFlight(self.traffic.in_flight.clone())
    }

    /// A request has ended, in whatever way.
    pub fn ended(&self, exchange: &Exchange<'_>) {
        let traffic = &self.traffic;
        let (method, outcome) = (method_label(exchange.method), exchange.outcome.as_str());
        let endpoint = exchange.endpoint.unwrap_or(NONE);
        let known = traffic.requests_bound.admits(&[endpoint, method, outcome]);
        traffic.requests.with_label_values(&[if known { endpoint } else { OTHER }, method, outcome]).inc();
        traffic.received.inc_by(exchange.bytes_in);
        traffic.sent.inc_by(exchange.bytes_out);
        if let Some(latency) = exchange.latency {
            let places = [endpoint, exchange.upstream.unwrap_or(NONE)];
            let places = if traffic.duration_bound.admits(&places) { places } else { [OTHER, OTHER] };
            traffic.duration.with_label_values(&places).observe(latency.as_secs_f64());
            if let Some(upstream_time) = exchange.upstream_time {
                traffic.overhead.observe(latency.saturating_sub(upstream_time).as_secs_f64());
            }
        }
        if let Some(tool) = exchange.tool {
            let names = [tool.upstream.as_str(), tool.tool.as_str()];
            let [upstream, tool] = if traffic.tools_bound.admits(&names) { names } else { [OTHER, OTHER] };
            traffic.tool_calls.with_label_values(&[upstream, tool, outcome]).inc();
        }
    }

    /// So many sessions of older clients are held.
    pub fn client_sessions(&self, count: usize) {
        self.traffic.client_sessions.set(int(count));
    }

    /// What became of a question of an upstream's to a client: `asked`, `answered` or `refused`.
    pub fn question(&self, method: &str, outcome: &'static str) {
        self.traffic.questions.with_label_values(&[method_label(Some(method)), outcome]).inc();
    }

    /// So many calls wait for their clients.
    pub fn parked(&self, count: usize) {
        self.traffic.parked.set(int(count));
    }

    /// How many jobs there are, by the name of their state.
    pub fn jobs(&self, counts: &BTreeMap<&'static str, u64>) {
        for (state, count) in counts {
            self.traffic.jobs.kept.with_label_values(&[*state]).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }

    /// A job came to the state of this name.
    pub fn job_became(&self, state: &'static str) {
        self.traffic.jobs.changes.with_label_values(&[state]).inc();
    }

    /// Results of jobs take so many bytes, after so many were dropped before their time.
    pub fn job_results(&self, bytes: u64, dropped: u64) {
        self.traffic.jobs.results.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.traffic.jobs.dropped.inc_by(dropped);
    }

    /// A request was refused.
    pub fn refused(&self, rejection: &Rejection) {
        let row = rejection.row();
        self.traffic.refusals.with_label_values(&[row.label, row.blame.as_str()]).inc();
    }

    /// A stranger's request is counted into a row that it shares with others.
    pub fn summarised(&self) {
        self.audit.summarised.inc();
    }

    /// The policy has decided.
    pub fn decided(&self, effect: Effect) {
        self.traffic.decisions.with_label_values(&[effect_label(effect)]).inc();
    }

    /// The shadow policy says something else than the live one, in the words of `Decision::word`.
    pub fn shadow_differs(&self, live: &'static str, shadow: &'static str) {
        self.shadow.differs.with_label_values(&[live, shadow]).inc();
    }

    /// Redaction has found things, by kind: detectors and patterns of the policy.
    pub fn redacted(&self, findings: &BTreeMap<String, u64>) {
        for (kind, count) in findings {
            let kind = self.traffic.redactions_bound.label(kind);
            self.traffic.redactions.with_label_values(&[kind]).inc_by(*count);
        }
    }

    /// A token was refused; `reason` as in `Rejection::Unauthenticated`.
    pub fn bad_token(&self, reason: &'static str) {
        self.traffic.tokens.refused.with_label_values(&[reason]).inc();
    }

    /// The key set of `issuer`, as configured, was asked for.
    pub fn jwks_fetched(&self, issuer: &str, succeeded: bool) {
        let result = if succeeded { SUCCESS } else { FAILURE };
        self.traffic.tokens.fetches.with_label_values(&[self.traffic.tokens.issuers_bound.label(issuer), result]).inc();
    }

    /// Whether a replica, named by its authority as configured, is well.
    pub fn upstream_health(&self, upstream: &str, replica: &str, up: bool) {
        if self.upstreams.up_bound.admits(&[upstream, replica]) {
            self.upstreams.up.with_label_values(&[upstream, replica]).set(up.into());
        }
    }

    /// A replica is no longer configured.
    pub fn forget_replica(&self, upstream: &str, replica: &str) {
        self.upstreams.up_bound.forget(&[upstream, replica]);
        // It has no series where nothing was said of it yet.
        let _ = self.upstreams.up.remove_label_values(&[upstream, replica]);
    }

    /// An exchange with an upstream failed.
    pub fn upstream_failed(&self, upstream: &str, kind: &'static str) {
        let known = self.upstreams.failures_bound.admits(&[upstream, kind]);
        self.upstreams.failures.with_label_values(&[if known { upstream } else { OTHER }, kind]).inc();
    }

    /// An upstream's catalogue has so many tools.
    pub fn catalogued(&self, upstream: &str, tools: usize) {
        if self.upstreams.tools_bound.admits(&[upstream]) {
            self.upstreams.tools.with_label_values(&[upstream]).set(int(tools));
        }
    }

    /// Whether an upstream's news are heard.
    pub fn listening(&self, upstream: &str, heard: bool) {
        if self.upstreams.listening_bound.admits(&[upstream]) {
            self.upstreams.listening.with_label_values(&[upstream]).set(heard.into());
        }
    }

    /// An upstream is not listened to any more: it has no news, or is no longer configured.
    pub fn not_listening(&self, upstream: &str) {
        self.upstreams.listening_bound.forget(&[upstream]);
        // It has no series where it never was.
        let _ = self.upstreams.listening.remove_label_values(&[upstream]);
    }

    /// So many definitions of an upstream are held back.
    pub fn quarantined(&self, upstream: &str, definitions: usize) {
        if self.upstreams.quarantined_bound.admits(&[upstream]) {
            self.upstreams.quarantined.with_label_values(&[upstream]).set(int(definitions));
        }
    }

    /// A list of an upstream could not be had.
    pub fn catalogue_failed(&self, upstream: &str) {
        self.upstreams.refresh_failures.with_label_values(&[self.upstreams.refresh_bound.label(upstream)]).inc();
    }

    /// A process of an upstream's program runs.
    pub fn process_started(&self, upstream: &str) {
        if self.upstreams.processes_bound.admits(&[upstream]) {
            self.upstreams.processes.with_label_values(&[upstream]).inc();
        }
    }

    /// A process of an upstream's program runs no more. The last one of a definition that is `gone` leaves nothing to show.
    pub fn process_ended(&self, upstream: &str, gone: bool) {
        if !self.upstreams.processes_bound.admits(&[upstream]) {
            return;
        }
        let processes = self.upstreams.processes.with_label_values(&[upstream]);
        processes.dec();
        if gone && processes.get() <= 0 {
            self.upstreams.processes_bound.forget(&[upstream]);
            let _ = self.upstreams.processes.remove_label_values(&[upstream]);
        }
    }

    /// A process of an upstream's program ended by itself.
    pub fn process_crashed(&self, upstream: &str) {
        self.upstreams.restarts.with_label_values(&[self.upstreams.restarts_bound.label(upstream)]).inc();
    }

    /// An upstream is no longer configured.
    pub fn forget_upstream(&self, upstream: &str) {
        let gauges = [
            (&self.upstreams.tools, &self.upstreams.tools_bound),
            (&self.upstreams.quarantined, &self.upstreams.quarantined_bound),
        ];
        for (gauge, bound) in gauges {
            bound.forget(&[upstream]);
            // It has no series where nothing was said of it yet.
            let _ = gauge.remove_label_values(&[upstream]);
        }
    }

    /// A sink took what it was sent, or not.
    pub fn sink_up(&self, sink: &str, is_up: bool) {
        if self.sinks.bound.admits(&[sink]) {
            self.sinks.up.with_label_values(&[sink]).set(is_up.into());
        }
    }

    /// A sink has not taken so many entries, the oldest of which waits for so many seconds.
    pub fn sink_behind(&self, sink: &str, entries: i64, seconds: i64) {
        if self.sinks.bound.admits(&[sink]) {
            self.sinks.behind.with_label_values(&[sink]).set(entries);
            self.sinks.behind_seconds.with_label_values(&[sink]).set(seconds);
        }
    }

    /// A sink has taken so many entries.
    pub fn sink_shipped(&self, sink: &str, entries: usize) {
        let sink = self.sinks.bound.label(sink);
        self.sinks.shipped.with_label_values(&[sink]).inc_by(entries.try_into().unwrap_or(u64::MAX));
    }

    /// A sink took nothing.
    pub fn sink_failed(&self, sink: &str) {
        self.sinks.failures.with_label_values(&[self.sinks.bound.label(sink)]).inc();
    }

    /// So many entries were set aside for a sink.
    pub fn sink_set_aside(&self, sink: &str, entries: usize) {
        let sink = self.sinks.bound.label(sink);
        self.sinks.set_aside.with_label_values(&[sink]).inc_by(entries.try_into().unwrap_or(u64::MAX));
    }

    /// A sink is no longer configured.
    pub fn forget_sink(&self, sink: &str) {
        self.sinks.bound.forget(&[sink]);
        for gauge in [&self.sinks.up, &self.sinks.behind, &self.sinks.behind_seconds] {
            // It has no series where nothing was said of it yet.
            let _ = gauge.remove_label_values(&[sink]);
        }
    }

    /// `source` is asked at each scrape.
    pub fn watch_journal(&self, source: impl Fn() -> JournalSample + Send + Sync + 'static) {
        *self.audit.source.lock() = Some(Box::new(source));
    }

    /// The configuration of `revision` is in use since `at`.
    pub fn reloaded(&self, revision: &str, at: Timestamp) {
        self.process.reloads.with_label_values(&[SUCCESS]).inc();
        self.process.reload_ok.set(1);
        self.process.revision.reset();
        self.process.revision.with_label_values(&[revision]).set(1);
        let since_epoch = u64::try_from(at.millis()).unwrap_or_default();
        self.process.reloaded_at.set(Duration::from_millis(since_epoch).as_secs_f64());
    }

    /// The shadow policy of the configuration in use can't be asked, or there is none, or it can.
    pub fn shadow_read(&self, broken: bool) {
        self.shadow.broken.set(broken.into());
    }

    /// The configuration was read and is bad; the one before stays.
    pub fn reload_failed(&self) {
        self.process.reloads.with_label_values(&[FAILURE]).inc();
        self.process.reload_ok.set(0);
    }
}

pub(super) const SUCCESS: &str = "success";
pub(super) const FAILURE: &str = "failure";

fn method_label(method: Option<&str>) -> &'static str {
    method.map_or(NONE, |method| METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER))
}

pub(super) const fn effect_label(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Review => "review",
        Effect::Deny => "deny",
    }
}

pub(super) fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
