//! How many series a metric may have. What a series means is said where the metric is declared.

use parking_lot::RwLock;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The value that stands for all combinations beyond the bound.
pub(super) const OTHER: &str = "other";

/// Lets the first so many distinct combinations of label values be series of their own. Of a combination it keeps 64 bits
/// of a seeded hash: nothing is allocated to ask, and two that collide cost no more than one series beyond the bound.
pub(super) struct Bound {
    most: usize,
    hasher: RandomState,
    seen: RwLock<HashSet<u64>>,
}

impl Bound {
    /// At most `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { most, hasher: RandomState::new(), seen: RwLock::default() }
    }

    /// Whether the combination may be a series of its own.
    pub(super) fn admits(&self, labels: &[&str]) -> bool {
        let combination = self.hasher.hash_one(labels);
        if self.seen.read().contains(&combination) {
            return true;
        }
        let mut seen = self.seen.write();
        if seen.len() < self.most || seen.contains(&combination) {
            seen.insert(combination);
            return true;
        }
        false
    }

    /// The one label of a metric that has no other, or `other`.
    pub(super) fn label<'a>(&self, value: &'a str) -> &'a str {
        if self.admits(&[value]) { value } else { OTHER }
    }

    /// Makes room again for what is gone.
    pub(super) fn forget(&self, labels: &[&str]) {
        self.seen.write().remove(&self.hasher.hash_one(labels));
    }
}
