//! A bound on the rows that requests of strangers leave, so that nobody who is not known can fill the journal's disk. It
//! decides about rows alone: a request is answered as ever, and what leaves no row of its own is counted into one.
//!
//! Each subscriber (an IPv4 address or an IPv6 /64) has a leaky bucket (GCRA) of rows, and all of them together have
//! another. What finds no room is counted by address and reason, in few counts, so that the counts are no flood either.

use crate::identity::subscriber;
use crate::pipeline::{Gateway, clock};
use crate::store::journal::Journal;
use parking_lot::Mutex;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::time::Timestamp;
use portcullis_core::units::Rate;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Weak;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Subscribers that have a bucket of their own; others share one.
const CAPACITY: usize = 4096;

/// All subscribers together leave at most so many times the rows of one.
const TOGETHER: u32 = 10;

/// Counts that name an address; further requests are counted by reason alone.
const NAMED: usize = 64;

/// How often what was counted is written down.
const SUM_UP_EVERY: Duration = Duration::from_secs(10);

/// What requests that are counted together have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Where they come from; in a count, the subscriber, or nothing for those that have no count of their own.
    pub client: Option<IpAddr>,
    /// How they ended.
    pub outcome: Outcome,
    /// Why they were refused.
    pub error: Option<&'static str>,
}

/// The buckets and the counts.
#[derive(Default)]
pub struct Strangers(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// When each bucket will be empty.
    buckets: HashMap<Option<IpAddr>, Instant>,
    /// When that of all together will be.
    together: Option<Instant>,
    counts: BTreeMap<Kind, Count>,
}

/// Requests that left no row of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    requests: u64,
    since: Timestamp,
    until: Timestamp,
}

impl Strangers {
    /// Whether a request of `kind` leaves a row, where one subscriber may leave as many as `rate` says. Where not, it is
    /// counted.
    pub fn has_room(&self, kind: &Kind, rate: Rate) -> bool {
        let kind = Kind { client: kind.client.map(subscriber), ..*kind };
        let mut book = self.0.lock();
        let has_room = book.take(kind.client, rate, Instant::now());
        if !has_room {
            book.count(kind, clock::now());
        }
        has_room
    }

    /// Writes down what was counted since the last time.
    pub fn sum_up(&self, journal: &Journal, revision: &str) {
        let counts = self.0.lock().sum_up(Instant::now());
        for (kind, count) in counts {
            journal.submit_sum(&sum(&kind, &count, revision));
        }
    }

    /// Writes down what is counted, from time to time. While the journal is so far behind that it keeps no refusals, it
    /// is counted on.
    pub async fn watch(gateway: Weak<Gateway>) {
        while let Some(gateway) = gateway.upgrade() {
            if !gateway.journal.is_behind() {
                gateway.strangers.sum_up(&gateway.journal, &gateway.live.load().snapshot.revision);
            }
            drop(gateway);
            tokio::time::sleep(SUM_UP_EVERY).await;
        }
    }
}

impl Book {
    /// Takes a row out of both buckets, or out of none.
    fn take(&mut self, client: Option<IpAddr>, rate: Rate, at: Instant) -> bool {
        let is_full = self.buckets.len() >= CAPACITY && !self.buckets.contains_key(&client);
        let client = client.filter(|_| !is_full);
        let all = Rate { events: rate.events.saturating_mul(TOGETHER), ..rate };
        let (own, together) = (level(self.buckets.get(&client), rate, at), level(self.together.as_ref(), all, at));
        let next = (own + drop_time(rate), together + drop_time(all));
        let has_room = next.0 <= at + rate.period && next.1 <= at + all.period;
        let (own, together) = if has_room { next } else { (own, together) };
        if has_room || self.buckets.contains_key(&client) {
            self.buckets.insert(client, own);
        }
        self.together = Some(together);
        has_room
    }

    fn count(&mut self, kind: Kind, now: Timestamp) {
        let is_full = self.counts.len() >= NAMED && !self.counts.contains_key(&kind);
        let kind = Kind { client: kind.client.filter(|_| !is_full), ..kind };
        let count = self.counts.entry(kind).or_insert(Count { requests: 0, since: now, until: now });
        count.requests += 1;
        count.until = now;
    }

    /// Takes the counts out, and forgets buckets that are empty.
    fn sum_up(&mut self, at: Instant) -> BTreeMap<Kind, Count> {
        self.buckets.retain(|_, empty_at| *empty_at > at);
        std::mem::take(&mut self.counts)
    }
}

/// When a bucket will be empty. One that a slower rate has filled is full at most.
fn level(empty_at: Option<&Instant>, rate: Rate, at: Instant) -> Instant {
    empty_at.copied().unwrap_or(at).clamp(at, at + rate.period)
}

/// How long a row stays in a bucket.
fn drop_time(rate: Rate) -> Duration {
    rate.period / rate.events.max(1)
}

fn sum(kind: &Kind, count: &Count, revision: &str) -> Entry {
    let Count { requests, since, until } = count;
    let termination = if kind.outcome == Outcome::Refused { Termination::Refused } else { Termination::Lost };
    Entry {
        method: Some("journal/summary".into()),
        client: kind.client,
        revision: revision.to_owned(),
        outcome: Some(kind.outcome),
        termination: Some(termination),
        error: kind.error,
        detail: Some(format!("{requests} requests are not recorded one by one, from {since} to {until}")),
        ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { events: 60, period: Duration::from_secs(60) };
    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn numbered(number: usize) -> Option<IpAddr> {
        ip(&format!("10.0.{}.{}", number / 256, number % 256))
    }

    fn not_found(client: Option<IpAddr>) -> Kind {
        Kind { client, outcome: Outcome::Refused, error: Some("not_found") }
    }

    fn rows(book: &mut Book, client: Option<IpAddr>, requests: usize, at: Instant) -> usize {
        (0..requests).filter(|_| book.take(client, RATE, at)).count()
    }

    #[test]
    fn an_address_leaves_as_many_rows_as_the_rate_says_and_more_with_time() {
        let (mut book, at) = (Book::default(), Instant::now());
        assert_eq!(rows(&mut book, ip("192.0.2.1"), 300, at), 60);
        assert_eq!(rows(&mut book, ip("192.0.2.2"), 1, at), 1, "another address is not concerned");
        assert_eq!(rows(&mut book, ip("192.0.2.1"), 300, at + Duration::from_secs(10)), 10);
    }

    #[test]
    fn all_addresses_together_leave_ten_times_what_one_may() {
        let (mut book, at) = (Book::default(), Instant::now());
        let left: usize = (0..50_000).map(|number| rows(&mut book, numbered(number), 1, at)).sum();
        assert_eq!(left, 600);
        assert_eq!(
            rows(&mut book, numbered(0), 1000, at + Duration::from_secs(1)),
            10,
            "one may use what is left alone"
        );
        assert!(book.buckets.len() <= CAPACITY + 1);
        book.sum_up(at + RATE.period * 2);
        assert!(book.buckets.is_empty(), "those that are quiet are forgotten");
    }

    #[test]
    fn addresses_beyond_the_bound_share_a_bucket() {
        let (mut book, at) = (Book::default(), Instant::now());
        let quick = Rate { events: 10_000, ..RATE };
        (0..CAPACITY + 100).for_each(|number| assert!(book.take(numbered(number), quick, at)));
        assert_eq!(book.buckets.len(), CAPACITY + 1);
    }

    #[test]
    fn a_subscriber_can_not_change_its_address_to_leave_more_rows() {
        let strangers = Strangers::default();
        let rate = Rate { events: 1, period: Duration::from_secs(86_400) };
        let asks = |address| strangers.has_room(&not_found(ip(address)), rate);
        assert_eq!(["2001:db8:1:2::3", "2001:db8:1:2:ffff::9", "2001:db8:1:3::3"].map(asks), [true, false, true]);
        let counts = strangers.0.lock().sum_up(Instant::now());
        let counts: Vec<_> = counts.into_iter().map(|(kind, count)| (kind.client, count.requests)).collect();
        assert_eq!(counts, [(ip("2001:db8:1:2::"), 1)]);
    }

    #[test]
    fn every_request_is_counted_once_however_many_addresses_send_them() {
        let (mut book, at) = (Book::default(), Instant::now());
        (0..10_000).for_each(|number| book.count(not_found(numbered(number % 5_000)), NOW));
        let counts = book.sum_up(at);
        assert_eq!(counts.len(), NAMED + 1);
        assert_eq!(counts.values().map(|count| count.requests).sum::<u64>(), 10_000);
        assert_eq!(book.sum_up(at), BTreeMap::new(), "nothing is told twice");
    }

    #[test]
    fn a_rate_that_changes_holds_at_once() {
        let (mut book, at) = (Book::default(), Instant::now());
        assert_eq!(rows(&mut book, ip("192.0.2.1"), 100, at), 60);
        let quick = Rate { events: 60, period: Duration::from_secs(1) };
        assert!(!book.take(ip("192.0.2.1"), quick, at));
        assert!(book.take(ip("192.0.2.1"), quick, at + Duration::from_millis(20)));
    }

    #[test]
    fn a_row_of_a_count_says_of_what_it_is() {
        let count = Count { requests: 7, since: NOW, until: NOW.plus(Duration::from_secs(3)) };
        let entry = sum(&not_found(ip("192.0.2.1")), &count, "r1");
        assert_eq!((entry.error, entry.client, entry.revision.as_str()), (Some("not_found"), ip("192.0.2.1"), "r1"));
        assert!(entry.detail.unwrap().starts_with("7 requests are not recorded one by one, from 2023-11-14T22:13:20"));
    }
}
