//! Leaky buckets (GCRA), one for each key: each holds `rate.events` and loses that many in `rate.period`. What is counted, and
//! by what, is said by those who count.

use super::recent::Recent;
use parking_lot::Mutex;
use portcullis_core::units::Rate;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Keys remembered; those that nothing was counted for lately are forgotten first.
const CAPACITY: usize = 65_536;

/// The buckets.
pub(super) struct Buckets<K> {
    /// When each bucket will be empty.
    empty_at: Mutex<Recent<K, Instant>>,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    /// All are empty. How much they hold is said with each question, since a reload may change it.
    pub fn new() -> Self {
        Self { empty_at: Mutex::new(Recent::new(CAPACITY)) }
    }

    /// Whether there is room in the bucket of `key`; else how long until there is.
    pub fn check(&self, key: K, rate: Rate, at: Instant) -> Result<(), Duration> {
        let mut buckets = self.empty_at.lock();
        let Some(mut empty_at) = buckets.look_up(key) else { return Ok(()) };
        // A bucket that a slower rate has filled is full at most, and empties from now on.
        if empty_at > at + rate.period {
            empty_at = at + rate.period;
            buckets.insert(key, empty_at);
        }
        let full_by = (empty_at + drop_time(rate)).saturating_duration_since(at);
        match full_by.checked_sub(rate.period) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// Puts one into the bucket of `key`.
    pub fn count(&self, key: K, rate: Rate, at: Instant) {
        let mut buckets = self.empty_at.lock();
        let empty_at = buckets.look_up(key).map_or(at, |empty_at| empty_at.max(at));
        // Those that were under way together may overfill the bucket; that must not block their sender for longer.
        buckets.insert(key, (empty_at + drop_time(rate)).min(at + rate.period));
    }
}

/// How long one stays in the bucket.
fn drop_time(rate: Rate) -> Duration {
    rate.period / rate.events.max(1)
}
