//! What a check remembers so that checkpoints may come after rows that they do not speak of: in an export, which is read
//! once, they lie among the rows. It remembers so many rows and no more.

use crate::audit::chain::Hash;
use crate::audit::tree::{Front, leaf};
use std::collections::{BTreeMap, VecDeque};

/// Rows that may lie between a row and its checkpoint. A hash of each is remembered: 8 MiB.
pub const LATE: usize = 1 << 18;

/// From one remembered tree to the next; between them it is made again of the rows' hashes.
const STEP: u64 = 1024;

/// The last rows, and the checkpoints that hold.
pub(super) struct Late {
    /// How many rows there were before those that are checked.
    gone: u64,
    /// The rows that the first of `chain` stands for.
    first: u64,
    /// The chain's hash after each of the last rows.
    chain: VecDeque<Hash>,
    /// The tree, every `STEP` rows; the first is of `first` rows.
    trees: VecDeque<Front>,
    /// Root and chain by the number of rows, of all checkpoints that hold.
    held: BTreeMap<u64, (Hash, Hash)>,
}

impl Late {
    /// Begins with what stands before the first row to come.
    pub(super) fn new(front: &Front, chain: Hash) -> Self {
        let gone = front.size();
        let held = [(gone, (front.root(), chain))].into();
        Self { gone, first: gone, chain: [chain].into(), trees: [front.clone()].into(), held }
    }

    /// A row was taken: what stands for all rows up to it.
    pub(super) fn push(&mut self, front: &Front, chain: Hash) {
        self.chain.push_back(chain);
        if !(front.size() - self.gone).is_multiple_of(STEP) {
            return;
        }
        self.trees.push_back(front.clone());
        if let Some(second) = self.trees.get(1).map(Front::size).filter(|second| front.size() - second >= LATE as u64) {
            self.chain.drain(..usize::try_from(second - self.first).unwrap_or_default());
            self.trees.pop_front();
            self.first = second;
        }
    }

    /// Root and chain of the first `size` rows, where they are remembered.
    pub(super) fn at(&self, size: u64) -> Option<(Hash, Hash)> {
        if let Some(known) = self.held.get(&size) {
            return Some(*known);
        }
        let after = self.trees.partition_point(|tree| tree.size() <= size);
        let mut tree = self.trees.get(after.checked_sub(1)?)?.clone();
        let place = |size: u64| usize::try_from(size - self.first).ok();
        let (from, to) = (place(tree.size() + 1)?, place(size)? + 1);
        if to > self.chain.len() {
            return None;
        }
        self.chain.range(from..to).for_each(|hash| tree.push(leaf(&hash.0)));
        Some((tree.root(), *self.chain.get(to - 1)?))
    }

    /// A checkpoint of `size` rows holds.
    pub(super) fn hold(&mut self, size: u64, root: Hash, chain: Hash) {
        self.held.insert(size, (root, chain));
    }

    /// The last row before row `before` that a checkpoint holds of.
    pub(super) fn signed_before(&self, before: u64) -> u64 {
        self.held.range(..before).next_back().map_or(self.gone, |(size, _)| *size)
    }

    /// The first rows, of `last`, that are more than `most` without a checkpoint: from and to.
    pub(super) fn unsigned(&self, last: u64, most: u64) -> Option<(u64, u64)> {
        let ends = self.held.keys().copied().chain([last]);
        let mut spans = self.held.keys().copied().zip(ends.skip(1));
        spans.find(|(signed, next)| next - signed > most).map(|(signed, next)| (signed + 1, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_stood_there() {
        for gone in [0, 5] {
            let (mut front, mut hash) = (Front::default(), Hash::ZERO);
            let mut step = |front: &mut Front| {
                hash = hash.then(b"row");
                front.push(leaf(&hash.0));
                hash
            };
            let mut chain = Hash::ZERO;
            (0..gone).for_each(|_| chain = step(&mut front));
            let mut late = Late::new(&front, chain);
            let rows = LATE as u64 + 3 * STEP + 7;
            let mut stood = BTreeMap::from([(gone, (front.root(), chain))]);
            for _ in 0..rows {
                let chain = step(&mut front);
                late.push(&front, chain);
                if front.size() % 997 < 2 || front.size() % STEP < 2 {
                    stood.insert(front.size(), (front.root(), chain));
                }
            }
            assert!(late.chain.len() <= LATE + 2 * STEP as usize);
            assert!(late.trees.len() <= LATE / STEP as usize + 2);
            let forgotten = gone + rows - LATE as u64;
            for (size, expected) in stood {
                match late.at(size) {
                    Some(found) => assert_eq!(found, expected, "{size}"),
                    None => assert!(size < forgotten, "{size} of {} is forgotten too early", front.size()),
                }
            }
            assert_eq!(
                (late.at(front.size() + 1), late.at(gone + 1)),
                (None, None),
                "what is to come, and what is long over"
            );
        }
    }
}
