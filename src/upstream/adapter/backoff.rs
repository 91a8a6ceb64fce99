//! When a program that failed may be started again: later each time.

use std::time::{Duration, Instant};

/// The pause after the first failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Whoever lived so long did not fail for the reason of the failure before.
const SOUND: Duration = Duration::from_secs(60);
/// Ends within this time that make a loop of them.
const LOOP: (usize, Duration) = (5, Duration::from_secs(60));

/// How often something failed in a row, and until when it rests.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// It failed at `now` after it had lived for `lived`.
    pub fn failed(&mut self, now: Instant, lived: Duration) {
        if lived >= SOUND {
            self.failures = 0;
        }
        let pause = PAUSE.0.saturating_mul(1 << self.failures.min(10)).min(PAUSE.1);
        self.failures = self.failures.saturating_add(1);
        self.until = now.checked_add(pause);
    }

    /// How long it still rests at `now`; `None` where it may be tried.
    pub fn rests(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// Whether it failed last time.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether nothing of it matters any more at `now`.
    pub fn is_past(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now.saturating_duration_since(until) >= SOUND)
    }
}

/// The last times at which processes ended by themselves.
#[derive(Debug, Default)]
pub struct Crashes(Vec<Instant>);

impl Crashes {
    /// One ended at `now`; whether that makes a loop of what was none before.
    pub fn add(&mut self, now: Instant) -> bool {
        let before = self.is_loop(now);
        self.0.push(now);
        let surplus = self.0.len().saturating_sub(LOOP.0);
        self.0.drain(..surplus);
        !before && self.is_loop(now)
    }

    /// Whether so many ended lately that something must be wrong.
    pub fn is_loop(&self, now: Instant) -> bool {
        let oldest = self.0.first().filter(|_| self.0.len() >= LOOP.0);
        oldest.is_some_and(|oldest| now.saturating_duration_since(*oldest) < LOOP.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_rests_for_longer_up_to_half_a_minute() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert!(backoff.rests(now).is_none() && !backoff.is_failing());
        let mut pauses = Vec::new();
        for _ in 0..40 {
            backoff.failed(now, Duration::ZERO);
            pauses.push(backoff.rests(now).unwrap().as_millis());
        }
        assert_eq!(pauses[..8], [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert!(pauses[8..].iter().all(|pause| *pause == 30_000));
        assert!(backoff.rests(now + Duration::from_secs(30)).is_none());
        backoff.failed(now, SOUND);
        assert_eq!(backoff.rests(now).unwrap().as_millis(), 500);
    }

    #[test]
    fn five_ends_in_a_minute_are_a_loop_once() {
        let (mut crashes, now) = (Crashes::default(), Instant::now());
        let told: Vec<_> = (0..7).map(|second| crashes.add(now + Duration::from_secs(second))).collect();
        assert_eq!(told, [false, false, false, false, true, false, false]);
        assert!(crashes.is_loop(now + Duration::from_secs(61)) && !crashes.is_loop(now + Duration::from_secs(62)));
    }
}
