//! What happens beside a request: what an upstream asks its caller, and what of its news may not be told, each a row of its
//! own. The request's own row is not touched.

use crate::pipeline::clock;
use crate::store::journal::Journal;
use crate::telemetry::metrics::Metrics;
use parking_lot::Mutex;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::mcp::method::Method;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Rows of one kind that one upstream may leave beside one stream; what is beyond is summed up.
const BESIDE: usize = 16;

/// How long what is beyond is counted before it is summed up, where more comes.
const SUM_UP_AFTER: Duration = Duration::from_secs(60);

/// What the row of a question says that was put to a client.
const ASKED: &str = "the client was asked";

/// What the row of a question says that came when no call ran.
const OUTSIDE: &str = "outside of a call, in a session that no client listens to";

/// Writes down in a caller's name what an upstream says beside a request: of each stream so many rows and no more, since it
/// is the upstream that decides how much it says. What is beyond is counted, into a row each minute and one at the end.
/// Whoever shares it shares the bound.
#[derive(Clone)]
pub struct Aside(Arc<Book>);

struct Book {
    entry: Entry,
    journal: Journal,
    metrics: Arc<Metrics>,
    tallies: Mutex<BTreeMap<(Kind, String), Tally>>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A question was put.
    Asked,
    /// One was refused.
    Refused,
    /// News may not be told.
    Withheld,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Asked => "questions to the client",
            Self::Refused => "refused questions",
            Self::Withheld => "messages that may not be passed on",
        }
    }
}

/// How much happened.
#[derive(Default)]
struct Tally {
    rows: usize,
    beyond: Option<Beyond>,
}

/// What becomes of it.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    /// A row of its own.
    Row,
    /// It is counted.
    None,
    /// So much was counted that it is time for a row that says so.
    Sum(Beyond),
}

/// What has no row of its own.
#[derive(Debug, PartialEq, Eq)]
struct Beyond {
    count: u64,
    since: Timestamp,
    until: Timestamp,
    error: Option<&'static str>,
}

impl Aside {
    /// Beside the request of `entry`.
    pub(super) fn new(entry: Entry, journal: Journal, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Book { entry, journal, metrics, tallies: Mutex::default() }))
    }

    /// `upstream` asked the caller for `method`, and the question is on its way to the client.
    pub fn asked(&self, method: &str, upstream: &str) {
        self.0.metrics.question(method, "asked");
        self.0.note(Kind::Asked, method, upstream, None, Some(ASKED));
    }

    /// `upstream` asked the caller for `method`, and was refused.
    pub fn refused(&self, method: &str, upstream: &str, rejection: &Rejection) {
        self.0.metrics.question(method, "refused");
        self.0.note(Kind::Refused, method, upstream, Some(rejection), None);
    }

    /// The same where no call ran and nobody was there to be asked.
    pub fn refused_outside(&self, method: &str, upstream: &str, rejection: &Rejection) {
        self.0.metrics.question(method, "refused");
        self.0.note(Kind::Refused, method, upstream, Some(rejection), Some(OUTSIDE));
    }

    /// `upstream` told the caller of `method` by itself, and that may not be passed on.
    pub fn withheld(&self, method: &str, upstream: &str, rejection: &Rejection) {
        self.0.note(Kind::Withheld, method, upstream, Some(rejection), None);
    }
}

impl Book {
    fn note(
        &self,
        kind: Kind,
        method: &str,
        upstream: &str,
        rejection: Option<&Rejection>,
        detail: Option<&'static str>,
    ) {
        let error = rejection.map(|rejection| rejection.row().label);
        let room = self.tallies.lock().entry((kind, upstream.to_owned())).or_default().take(error, clock::now());
        match room {
            Room::Row => {
                // What an upstream calls it may be anything.
                let row = self.row(kind, Method::parse(method).label(), upstream, error);
                self.journal.submit(&Entry { detail: detail.map(Into::into), ..row });
            }
            Room::Sum(beyond) => self.sum_up(kind, upstream, &beyond),
            Room::None => {}
        }
    }

    fn sum_up(&self, kind: Kind, upstream: &str, beyond: &Beyond) {
        let Beyond { count, since, until, error } = beyond;
        let detail = format!("{count} {} are not recorded one by one, from {since} to {until}", kind.words());
        let row = self.row(kind, "journal/summary", upstream, *error);
        self.journal.submit_sum(&Entry { detail: Some(detail), ..row });
    }

    fn row(&self, kind: Kind, method: &str, upstream: &str, error: Option<&'static str>) -> Entry {
        let (outcome, termination) = match kind {
            Kind::Asked => (Outcome::Ok, Termination::Complete),
            Kind::Refused => (Outcome::Refused, Termination::Refused),
            Kind::Withheld => (Outcome::Failed, Termination::Stopped),
        };
        let of = &self.entry;
        Entry {
            request_id: of.request_id.clone(),
            trace_id: of.trace_id.clone(),
            issuer: of.issuer.clone(),
            subject: of.subject.clone(),
            tenant: of.tenant.clone(),
            agent: of.agent.clone(),
            roles: of.roles.clone(),
            scopes: of.scopes.clone(),
            client: of.client,
            endpoint: of.endpoint.clone(),
            revision: of.revision.clone(),
            upstream: Some(upstream.to_owned()),
            method: Some(method.to_owned()),
            outcome: Some(outcome),
            termination: Some(termination),
            error,
            ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), clock::now())
        }
    }
}

impl Tally {
    /// Takes room for one more row. Where there is none, it is counted.
    fn take(&mut self, error: Option<&'static str>, now: Timestamp) -> Room {
        if self.rows < BESIDE {
            self.rows += 1;
            return Room::Row;
        }
        let beyond = self.beyond.get_or_insert(Beyond { count: 0, since: now, until: now, error });
        beyond.count += 1;
        beyond.until = now;
        let is_due = now >= beyond.since.plus(SUM_UP_AFTER);
        self.beyond.take_if(|_| is_due).map_or(Room::None, Room::Sum)
    }
}

/// The stream has ended: what had no row of its own is summed up.
impl Drop for Book {
    fn drop(&mut self) {
        for ((kind, upstream), tally) in std::mem::take(self.tallies.get_mut()) {
            if let Some(beyond) = tally.beyond {
                self.sum_up(kind, &upstream, &beyond);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn what_has_no_row_is_counted_until_it_is_summed_up() {
        let (mut tally, later) = (Tally::default(), NOW.plus(SUM_UP_AFTER));
        assert!((0..BESIDE).all(|_| tally.take(None, NOW) == Room::Row));
        assert!((0..7).all(|_| tally.take(None, NOW) == Room::None));
        let beyond = Beyond { count: 8, since: NOW, until: later, error: None };
        assert_eq!(tally.take(None, later), Room::Sum(beyond));
        assert_eq!(tally.take(Some("x"), later), Room::None, "nothing is told twice");
        assert_eq!(tally.beyond, Some(Beyond { count: 1, since: later, until: later, error: Some("x") }));
    }
}
