//! What the log and the metrics say of a request that has ended.

use super::{Ending, Record};
use crate::telemetry::metrics::Exchange;
use portcullis_core::reject::{Blame, Rejection};
use std::time::Duration;

impl Record {
    pub(super) fn report(&self, ending: &Ending<'_>, latency: Duration, upstream_time: Option<Duration>) {
        let entry = &self.entry;
        self.metrics.ended(&Exchange {
            endpoint: entry.endpoint.as_deref(),
            upstream: entry.upstream.as_deref(),
            method: entry.method.as_deref(),
            tool: self.known_tool.as_ref(),
            outcome: ending.outcome,
            latency: if self.standing.is_some() { None } else { Some(latency) },
            upstream_time,
            bytes_in: entry.bytes_in,
            bytes_out: entry.bytes_out,
        });
        self.metrics.redacted(&entry.redactions);
        if let Some(rejection) = ending.rejection {
            self.metrics.refused(rejection);
            if let Rejection::Unauthenticated { reason } = rejection {
                self.metrics.bad_token(reason);
            }
            if let (Blame::Upstream, Some(upstream)) = (rejection.row().blame, &entry.upstream) {
                self.metrics.upstream_failed(upstream, rejection.row().label);
            }
        }
        tracing::info!(
            request_id = entry.request_id,
            trace_id = entry.trace_id,
            principal = entry.subject,
            endpoint = entry.endpoint,
            method = entry.method,
            tool = entry.tool,
            rule = entry.rule,
            revision = entry.revision,
            outcome = ending.outcome.as_str(),
            error = entry.error,
            status = ending.status,
            latency_us = entry.latency_us,
            "request"
        );
    }
}
