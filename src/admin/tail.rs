//! The record as it grows, to operators who watch: Server-Sent Events (HTML "Server-sent events"). A stream ends when the
//! person may not watch any more: their token or login has ended, or policy has changed.

use crate::admin::Admin;
use crate::admin::auth::Operator;
use crate::admin::places::Place;
use crate::admin::problem::Problem;
use crate::store::journal::read::{Order, Reader};
use crate::store::journal::search::{Found, Search};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use portcullis_core::audit::row::Stored;
use portcullis_core::policy::Power;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

/// How often the record is looked at.
const POLL: Duration = Duration::from_millis(500);
/// Rows that are read at once.
const PAGE: usize = 200;
/// Rows that are looked at in between, where few are meant.
const LOOKED_AT: i64 = 20_000;

/// The rows that come.
pub struct Tail {
    admin: Admin,
    operator: Operator,
    search: Search,
    reader: Reader,
    /// The last place that was looked at.
    from: i64,
    /// Read and not told yet.
    waiting: VecDeque<Stored>,
    _place: Place,
}

impl Tail {
    /// From the place `after` on; without it, from the end of the record.
    ///
    /// # Errors
    /// 429: too many watch. 503: the record can't be read.
    pub async fn open(admin: &Admin, operator: Operator, search: Search, after: Option<i64>) -> Result<Self, Problem> {
        let place = admin.tails.take(&operator.principal).ok_or_else(|| {
            let detail = "Too many watch already; close a page that does";
            Problem { retry_after: Some(10), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, detail) }
        })?;
        let path = &operator.live.snapshot.gateway.journal.path;
        let opened = async {
            let mut reader = Reader::open(path).await?;
            let last = reader.last().await?;
            Ok((reader, last))
        };
        let opened: Result<_, crate::store::journal::JournalError> = opened.await;
        let (reader, last) = opened.map_err(|error| Problem::unavailable("record", &error))?;
        let from = after.map_or(last, |after| after.min(last));
        let admin = admin.clone();
        Ok(Self { admin, operator, search, reader, from, waiting: VecDeque::new(), _place: place })
    }

    /// The next row; `None` at the end.
    async fn next(&mut self) -> Option<Stored> {
        loop {
            if let Some(row) = self.waiting.pop_front() {
                return Some(row);
            }
            tokio::time::sleep(POLL).await;
            self.operator = self.operator.again(&self.admin).filter(|operator| operator.may(Power::Read))?;
            if let Err(error) = self.look().await {
                tracing::error!(%error, "the record can't be followed for an operator");
                return None;
            }
        }
    }

    async fn look(&mut self) -> Result<(), crate::store::journal::JournalError> {
        // The semaphore is never closed.
        let _turn = self.admin.searches.acquire().await;
        let from = Some(self.from);
        let Found { rows, to, .. } =
            self.search.look(&mut self.reader, Order::OldestFirst, from, PAGE, LOOKED_AT).await?;
        self.from = to;
        self.waiting.extend(rows);
        Ok(())
    }
}

/// The stream of events; `show` makes the data of each.
pub fn events(tail: Tail, show: impl Fn(&Stored) -> String + Send + 'static) -> Response {
    let rows = stream::unfold((tail, show), |(mut tail, show)| async move {
        let row = tail.next().await?;
        let event = Event::default().id(row.seq.to_string()).data(show(&row));
        Some((Ok::<_, Infallible>(event), (tail, show)))
    });
    Sse::new(rows).keep_alive(KeepAlive::default()).into_response()
}
