//! What happens beside a request: questions that an upstream asks its caller, each a row of its own. The request's own row is
//! not touched.

use crate::pipeline::clock;
use crate::store::journal::Journal;
use crate::telemetry::metrics::Metrics;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::mcp::method::Method;
use portcullis_core::reject::Rejection;
use std::sync::Arc;
use uuid::Uuid;

/// Rows of one kind that what happens beside one stream may leave; beyond it, it is counted.
const BESIDE: usize = 16;

/// What the row of a question says that was put to a client.
const ASKED: &str = "the client was asked";

/// Counts what an upstream asks of a caller beside a request, and writes it down in the caller's name: of each stream, so
/// much and no more, since it is the upstream that decides how much it asks.
#[derive(Clone)]
pub struct Aside {
    entry: Box<Entry>,
    journal: Journal,
    metrics: Arc<Metrics>,
    /// Rows of questions that were put.
    asked: usize,
    /// Rows of questions that were refused.
    refused: usize,
}

impl Aside {
    /// Beside the request of `entry`.
    pub(super) fn new(entry: Entry, journal: Journal, metrics: Arc<Metrics>) -> Self {
        Self { entry: Box::new(entry), journal, metrics, asked: 0, refused: 0 }
    }

    /// `upstream` asked the caller for `method`, and the question is on its way to the client.
    pub fn asked(&mut self, method: &str, upstream: &str) {
        self.metrics.question(method, "asked");
        if self.asked < BESIDE {
            self.asked += 1;
            let entry = self.entry(method, upstream);
            let (outcome, termination) = (Some(Outcome::Ok), Some(Termination::Complete));
            self.journal.submit(&Entry { outcome, termination, detail: Some(ASKED.into()), ..entry });
        }
    }

    /// `upstream` asked the caller for `method`, and was refused.
    pub fn refused(&mut self, method: &str, upstream: &str, rejection: &Rejection) {
        self.metrics.question(method, "refused");
        if self.refused < BESIDE {
            self.refused += 1;
            let (outcome, termination) = (Some(Outcome::Refused), Some(Termination::Refused));
            let (entry, error) = (self.entry(method, upstream), Some(rejection.row().label));
            self.journal.submit(&Entry { outcome, termination, error, ..entry });
        }
    }

    fn entry(&self, method: &str, upstream: &str) -> Entry {
        Entry {
            request_id: self.entry.request_id.clone(),
            trace_id: self.entry.trace_id.clone(),
            issuer: self.entry.issuer.clone(),
            subject: self.entry.subject.clone(),
            tenant: self.entry.tenant.clone(),
            agent: self.entry.agent.clone(),
            roles: self.entry.roles.clone(),
            scopes: self.entry.scopes.clone(),
            client: self.entry.client,
            endpoint: self.entry.endpoint.clone(),
            revision: self.entry.revision.clone(),
            upstream: Some(upstream.to_owned()),
            // What an upstream calls it may be anything.
            method: Some(Method::parse(method).label().to_owned()),
            ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), clock::now())
        }
    }
}
