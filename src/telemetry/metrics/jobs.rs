//! What is counted of jobs.

use super::declare::Declare;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

pub(super) struct Jobs {
    pub(super) kept: IntGaugeVec,
    pub(super) changes: IntCounterVec,
    pub(super) results: IntGauge,
    pub(super) dropped: IntCounter,
}

impl Jobs {
    pub(super) fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            kept: declare.gauges(
                "portcullis_jobs",
                "Jobs that are kept in the store, by state, of all gateways that share it.",
                &["state"],
            )?,
            changes: declare.counters(
                "portcullis_job_changes_total",
                "Changes of a job's state by this process, by the state that it came to.",
                &["state"],
            )?,
            results: declare.gauge(
                "portcullis_job_results_bytes",
                "Bytes that results of jobs take in the store, of all gateways that share it.",
            )?,
            dropped: declare.counter(
                "portcullis_job_results_dropped_total",
                "Results of jobs that this process dropped before their time, because jobs.keep_bytes has no room for all.",
            )?,
        })
    }
}
