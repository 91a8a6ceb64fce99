//! The metrics of approvals.

use super::Metrics;
use super::declare::Declare;
use portcullis_core::approval::State;
use prometheus::{Histogram, IntCounterVec, IntGauge};
use std::time::Duration;

/// Seconds. People answer within a minute, an hour or a day.
const BUCKETS: [f64; 10] = [5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

/// What the beginning of an approval is called; its other events are called as the state that they lead to.
const OPENED: &str = "opened";

pub(super) struct Approvals {
    pending: IntGauge,
    total: IntCounterVec,
    decision: Histogram,
    announced: IntCounterVec,
}

impl Approvals {
    pub(super) fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            pending: declare.gauge("portcullis_approvals_pending", "Approvals that wait for people.")?,
            total: declare.counters(
                "portcullis_approvals_total",
                "What became of approvals: opened, approved, denied, expired, withdrawn or redeemed.",
                &["event"],
            )?,
            decision: declare.histogram(
                "portcullis_approval_decision_seconds",
                "Time from a call that needs an approval to the decision of people.",
                &BUCKETS,
            )?,
            announced: declare.counters(
                "portcullis_approval_announcements_total",
                "New approvals that the webhook was told of, or could not be told of: delivered or lost.",
                &["result"],
            )?,
        })
    }

    pub(super) fn begin_at_zero(&self) {
        self.total.with_label_values(&[OPENED]);
        for state in State::ALL.into_iter().filter(|state| *state != State::Pending) {
            self.total.with_label_values(&[state.as_str()]);
        }
        for result in ["delivered", "lost"] {
            self.announced.with_label_values(&[result]);
        }
    }
}

impl Metrics {
    /// So many approvals wait for people.
    pub fn approvals_pending(&self, pending: u64) {
        self.approvals.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    /// Somebody has to be asked.
    pub fn approval_opened(&self) {
        self.approvals.total.with_label_values(&[OPENED]).inc();
    }

    /// An approval has come to `state`.
    pub fn approval_became(&self, state: State) {
        self.approvals.total.with_label_values(&[state.as_str()]).inc();
    }

    /// People decided `after` so long.
    pub fn approval_decided(&self, after: Duration) {
        self.approvals.decision.observe(after.as_secs_f64());
    }

    /// The webhook was told of an approval, or could not be.
    pub fn approval_announced(&self, delivered: bool) {
        let result = if delivered { "delivered" } else { "lost" };
        self.approvals.announced.with_label_values(&[result]).inc();
    }
}
