//! What is counted of jobs.

use super::declare::Declare;
use prometheus::{IntCounterVec, IntGaugeVec};

pub(super) struct Jobs {
    pub(super) kept: IntGaugeVec,
    pub(super) changes: IntCounterVec,
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
        })
    }
}
