//! Counters of this process. What counts, and by what, is decided in `core::limit`.
//!
//! Rates are kept by the generic cell rate algorithm (ITU-T I.371), written out here rather than taken from `governor`:
//! a call draws on several budgets at once and a refused call must charge none of them, which needs a look at all
//! before the first charge, under one lock; and a limit's numbers may change while its budgets live on, which needs the
//! bare time a budget is used up to. Time is monotonic, so a step of the wall clock refills nobody.
//!
//! A budget is filed under 128 bits of a seeded SHA-256 over limit and key: 25 bytes or so for each, whatever a subject
//! is called. A budget that is full again is the same as none and may be forgotten; no other ever is.

use parking_lot::{Mutex, MutexGuard};
use portcullis_core::limit::{Allowance, Budget};
use portcullis_core::reject::Rejection;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SHARDS: usize = 64;

/// A shard with fewer budgets is not searched for full ones.
const SWEEP_FROM: usize = 1024;

/// The counters. Clones share them.
#[derive(Clone)]
pub struct LocalLimits(Arc<Counters>);

/// Why a call has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A rate is used up.
    Rate {
        /// The limit's position in the policy, from 0.
        index: usize,
        /// When all rates that refused have room again, if nobody else takes it.
        retry_after: Duration,
    },
    /// As many calls run as may.
    Concurrency {
        /// The limit's position in the policy, from 0.
        index: usize,
    },
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rate { retry_after, .. } => Self::RateLimited { retry_after },
            Refused::Concurrency { .. } => Self::TooManyAtOnce,
        }
    }
}

/// A call that was let in. Its places among the calls that run are free again when this is dropped; what it took of
/// rates stays taken.
#[must_use = "dropping it says that the call has ended"]
pub struct Admission {
    counters: Arc<Counters>,
    running: Vec<BudgetId>,
}

impl LocalLimits {
    /// Counters at zero.
    pub fn new() -> Self {
        let shards = std::array::from_fn(|_| Mutex::new(Shard::default()));
        Self(Arc::new(Counters { origin: Instant::now(), seed: rand::random(), shards }))
    }

    /// Lets a call in that draws on `budgets`, or says why not and charges none of them. Where several refuse,
    /// concurrency is named before rates, and the rate that takes longest before others.
    pub fn admit(&self, budgets: impl IntoIterator<Item = Budget>) -> Result<Admission, Refused> {
        self.admit_at(budgets, Instant::now)
    }

    /// `admit` by another clock. It is read under the lock: a thread that waits for that must not count what has become
    /// free in the meantime as taken.
    fn admit_at(
        &self,
        budgets: impl IntoIterator<Item = Budget>,
        clock: impl FnOnce() -> Instant,
    ) -> Result<Admission, Refused> {
        let charges: Vec<Charge> = budgets.into_iter().map(|budget| self.0.charge(&budget)).collect();
        let mut shards = self.0.lock(&charges);
        let now = nanos(clock().saturating_duration_since(self.0.origin));
        let refusals = in_shards(&shards, &charges).filter_map(|(shard, charge)| shard.refusal(charge, now));
        if let Some(refused) = refusals.reduce(Refused::graver) {
            return Err(refused);
        }
        for (index, shard) in &mut shards {
            for charge in charges.iter().filter(|charge| charge.id.shard() == *index) {
                shard.take(charge, now);
            }
        }
        let running = charges.iter().filter(|charge| charge.concurrency.is_some()).map(|charge| charge.id).collect();
        Ok(Admission { counters: Arc::clone(&self.0), running })
    }
}

impl Default for LocalLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        for id in &self.running {
            if let Some(shard) = self.counters.shards.get(id.shard()) {
                shard.lock().free(*id);
            }
        }
    }
}

impl Refused {
    fn graver(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Concurrency { index: one }, Self::Concurrency { index: two }) if two < one => other,
            (Self::Concurrency { .. }, _) => self,
            (_, Self::Concurrency { .. }) => other,
            (Self::Rate { retry_after: one, .. }, Self::Rate { retry_after: two, .. }) if two > one => other,
            _ => self,
        }
    }
}

/// What a budget is filed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BudgetId(u64, u64);

impl BudgetId {
    fn shard(self) -> usize {
        usize::try_from(self.0 % SHARDS as u64).unwrap_or_default()
    }
}

/// What a call takes of one budget.
struct Charge {
    id: BudgetId,
    index: usize,
    pace: Option<Pace>,
    concurrency: Option<u32>,
}

/// A rate in nanoseconds.
#[derive(Clone, Copy)]
struct Pace {
    /// The time that one call uses up. Rounded up: never more calls than the rate says.
    interval: u64,
    /// How far ahead of the clock a budget may be used up.
    depth: u64,
}

impl From<Allowance> for Pace {
    fn from(allowance: Allowance) -> Self {
        let interval = nanos(allowance.rate.period).div_ceil(u64::from(allowance.rate.events.max(1)));
        Self { interval, depth: interval.saturating_mul(u64::from(allowance.burst)) }
    }
}

impl Pace {
    /// The time a budget that is used up to `used_to` is used up to after one call more. A budget is never further
    /// behind than empty, so a limit that was made smaller asks for no more patience than its own numbers do.
    fn after_one_more(self, used_to: u64, now: u64) -> u64 {
        used_to.clamp(now, now.saturating_add(self.depth)).saturating_add(self.interval)
    }
}

struct Counters {
    origin: Instant,
    seed: [u8; 16],
    shards: [Mutex<Shard>; SHARDS],
}

impl Counters {
    fn charge(&self, budget: &Budget) -> Charge {
        let mut digest = Sha256::new();
        digest.update(self.seed);
        digest.update(budget.limit.as_bytes());
        digest.update(budget.key.as_str());
        let mut words = digest.finalize().into_iter();
        let mut word = || words.by_ref().take(8).fold(0, |word, byte| word << 8 | u64::from(byte));
        Charge {
            id: BudgetId(word(), word()),
            index: budget.index,
            pace: budget.rate.map(Pace::from),
            concurrency: budget.concurrency,
        }
    }

    /// The shards that `charges` need. Always in the same order, so that no two calls wait for each other.
    fn lock(&self, charges: &[Charge]) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let needed = |index: usize| charges.iter().any(|charge| charge.id.shard() == index);
        let shards = self.shards.iter().enumerate().filter(|(index, _)| needed(*index));
        shards.map(|(index, shard)| (index, shard.lock())).collect()
    }
}

/// Each charge with its shard.
fn in_shards<'a>(
    shards: &'a [(usize, MutexGuard<'_, Shard>)],
    charges: &'a [Charge],
) -> impl Iterator<Item = (&'a Shard, &'a Charge)> {
    shards.iter().flat_map(move |(index, shard)| {
        charges.iter().filter(move |charge| charge.id.shard() == *index).map(move |charge| (&**shard, charge))
    })
}

#[derive(Default)]
struct Shard {
    /// The time to which each budget is used up, in nanoseconds since the start. Up to the clock is not at all.
    used_to: HashMap<BudgetId, u64>,
    /// Calls that run. None is not kept.
    running: HashMap<BudgetId, u32>,
    /// How many budgets there may be before full ones are looked for.
    sweep_at: usize,
}

impl Shard {
    fn refusal(&self, charge: &Charge, now: u64) -> Option<Refused> {
        let index = charge.index;
        let running = self.running.get(&charge.id).copied().unwrap_or_default();
        if charge.concurrency.is_some_and(|most| running >= most) {
            return Some(Refused::Concurrency { index });
        }
        let pace = charge.pace?;
        let ahead = pace.after_one_more(self.used_to(charge.id), now) - now;
        let late = ahead.checked_sub(pace.depth).filter(|late| *late > 0)?;
        Some(Refused::Rate { index, retry_after: Duration::from_nanos(late) })
    }

    fn used_to(&self, id: BudgetId) -> u64 {
        self.used_to.get(&id).copied().unwrap_or_default()
    }

    fn take(&mut self, charge: &Charge, now: u64) {
        if charge.concurrency.is_some() {
            *self.running.entry(charge.id).or_default() += 1;
        }
        if let Some(pace) = charge.pace {
            let used_to = pace.after_one_more(self.used_to(charge.id), now);
            self.used_to.insert(charge.id, used_to);
            self.sweep(now);
        }
    }

    fn free(&mut self, id: BudgetId) {
        if let Some(running) = self.running.get_mut(&id) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(&id);
            }
        }
    }

    /// Forgets full budgets once their number has doubled: at most twice as many are kept as are in use, and each call
    /// pays for its own part of the search.
    fn sweep(&mut self, now: u64) {
        if self.used_to.len() <= self.sweep_at.max(SWEEP_FROM) {
            return;
        }
        self.used_to.retain(|_, used_to| *used_to > now);
        self.sweep_at = self.used_to.len().saturating_mul(2);
        self.used_to.shrink_to(self.sweep_at.max(SWEEP_FROM));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
