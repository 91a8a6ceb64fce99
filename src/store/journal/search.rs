//! Which rows of the record somebody looks for, on the command line, by the API or in the console.

use super::JournalError;
use super::read::{Filter, Order, Reader};
use chrono::DateTime;
use portcullis_core::audit::row::Stored;
use portcullis_core::glob::Glob;
use portcullis_core::time::Timestamp;
use portcullis_core::units::Span;

/// Rows that are read at once.
const PAGE: usize = 1000;
/// Rows that one query looks at: what nobody waits for any more does not run on for long.
const STRETCH: i64 = 20_000;

/// What was found, and where it was looked.
#[derive(Debug, Clone)]
pub struct Found {
    /// The rows, in the order that was asked for.
    pub rows: Vec<Stored>,
    /// The last place that was looked at: where to go on.
    pub to: i64,
    /// Whether nothing was left to look at.
    pub whole: bool,
}

/// Which calls. All that is said must hold.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// The user, as the issuer names them.
    pub user: Option<String>,
    /// The rows of this tenant alone; of none at all, where it says none.
    pub of_tenant: Option<Option<String>>,
    /// The client that acted for the user.
    pub agent: Option<String>,
    /// The tool, prompt or resource, as `upstream.tool` or a glob over the whole of it.
    pub tool: Option<String>,
    /// What policy said.
    pub decision: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Text in names, arguments or details; upper and lower case are one.
    pub text: Option<String>,
}

/// A time (RFC 3339), or a length of time before `now`.
///
/// # Errors
/// It is neither.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Timestamp::from_millis(time.timestamp_millis()));
    }
    let span: Span = text.parse().map_err(|_| "write a time like 2026-11-20T08:00:00Z, or how long ago like 7d")?;
    Ok(now.minus(span.0))
}

impl Search {
    /// What the journal can sort out by itself.
    fn filter(&self, to: Option<i64>) -> Filter {
        let equal = [
            ("subject", &self.user),
            ("agent", &self.agent),
            ("decision", &self.decision),
            ("outcome", &self.outcome),
            ("rule", &self.rule),
        ];
        let tool = self.tool.as_ref().filter(|tool| !is_glob(tool)).map(|tool| ("tool", tool.clone()));
        let equal = equal.into_iter().filter_map(|(column, value)| Some((column, value.clone()?))).chain(tool);
        Filter {
            since: self.since,
            until: self.until,
            equal: equal.collect(),
            of_tenant: self.of_tenant.clone(),
            text: self.text.clone(),
            to,
            ended: true,
        }
    }

    /// The first `limit` of the rows in `order` beyond the place `from`.
    ///
    /// # Errors
    /// The journal can't be read.
    pub async fn read(
        &self,
        reader: &mut Reader,
        order: Order,
        from: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Stored>, JournalError> {
        self.read_to(reader, order, (from, None), limit).await
    }

    /// The same, where `most` rows are looked at and no more: what is sought may be rare, and the record long.
    ///
    /// # Errors
    /// The journal can't be read.
    pub async fn look(
        &self,
        reader: &mut Reader,
        order: Order,
        from: Option<i64>,
        limit: usize,
        most: i64,
    ) -> Result<Found, JournalError> {
        let (first, last) = reader.ends().await?;
        let (mut at, end) = match order {
            Order::OldestFirst => (from.unwrap_or(0).max(first - 1), last),
            Order::NewestFirst => (from.unwrap_or(i64::MAX).min(last + 1), first),
        };
        let (mut rows, mut left) = (Vec::new(), most);
        loop {
            let step = left.clamp(1, STRETCH);
            let (to, whole) = match order {
                Order::OldestFirst => (at + step, at + step >= end),
                Order::NewestFirst => (at - step, at - step <= end),
            };
            rows.extend(self.read_to(reader, order, (Some(at), Some(to)), limit - rows.len()).await?);
            let place = rows.last().map(|row: &Stored| row.seq);
            if let Some(to) = place.filter(|_| rows.len() >= limit) {
                return Ok(Found { rows, to, whole: false });
            }
            if whole {
                // Rows that have come since are not looked at a second time.
                let to = if order == Order::OldestFirst { end.max(at).max(place.unwrap_or(end)) } else { end };
                return Ok(Found { rows, to, whole });
            }
            (at, left) = (to, left - step);
            if left <= 0 {
                return Ok(Found { rows, to, whole });
            }
        }
    }

    async fn read_to(
        &self,
        reader: &mut Reader,
        order: Order,
        (from, to): (Option<i64>, Option<i64>),
        limit: usize,
    ) -> Result<Vec<Stored>, JournalError> {
        let filter = self.filter(to);
        let glob = self.tool.as_ref().filter(|tool| is_glob(tool)).map(Glob::new);
        let Some(glob) = glob else { return reader.page(&filter, order, from, limit).await };
        let mut found = Vec::new();
        let mut from = from;
        while found.len() < limit {
            let page = reader.page(&filter, order, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = Some(last.seq);
            found.extend(page.into_iter().filter(|row| row.text("tool").is_some_and(|tool| glob.matches(tool))));
        }
        found.truncate(limit);
        Ok(found)
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}
