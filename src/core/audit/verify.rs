//! Whether rows are all there, in their order and as they were written: by the chain that binds each to those before it,
//! and by signed checkpoints. Finds the first row that is not.

mod late;

pub use late::LATE;

use self::late::Late;
use crate::audit::chain::Hash;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::retention;
use crate::audit::row::{Canonical, Stored};
use crate::audit::tree::{Front, leaf};
use std::collections::VecDeque;

/// Rows that may follow the last checkpoint, or lie between two: a checkpoint is due every 1,000, and comes after the
/// batch in which that many are reached.
pub const UNSIGNED: u64 = 2000;

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Rows are not there.
    #[error("rows {from} to {to} are missing")]
    Missing {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// A row is where it does not belong.
    #[error("row {seq} stands where row {expected} belongs: rows are out of order, or there twice")]
    Misplaced {
        /// The row.
        seq: i64,
        /// Which should be there.
        expected: i64,
    },
    /// A row is not what was written, or what stands before it is not.
    #[error("row {seq} is not as it was written: its hash does not follow from it and the row before it")]
    Changed {
        /// The row.
        seq: i64,
    },
    /// A row can't be read as one.
    #[error("row {seq} can't be read: {reason}")]
    Unreadable {
        /// The row, or where it is expected.
        seq: i64,
        /// Why.
        reason: String,
    },
    /// A row says that it is of another journal.
    #[error("row {seq} is of another journal")]
    Foreign {
        /// The row.
        seq: i64,
    },
    /// Rows follow from one another, but are not those that were signed.
    #[error("rows {from} to {to} are not the ones that were signed: they were written anew, with new hashes")]
    Rewritten {
        /// The first after the last checkpoint that holds.
        from: u64,
        /// The size of the checkpoint that does not.
        to: u64,
    },
    /// A checkpoint speaks of more rows than there are.
    #[error("the end is cut off: there are {last} rows, and a checkpoint of {at} speaks of {size}")]
    Cut {
        /// The last row.
        last: u64,
        /// What the checkpoint says.
        size: u64,
        /// When it was made.
        at: String,
    },
    /// Nothing that is signed stands for these rows.
    #[error("no checkpoint speaks of rows {from} to {to}, so they could be anybody's")]
    Unsigned {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Rows follow from one another, and there is no checkpoint at all.
    #[error(
        "rows {from} to {to} are whole and in order, each follows from those before it, but no checkpoint speaks of them: nothing shows who wrote them"
    )]
    NothingSigned {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A checkpoint is not what was signed.
    #[error("the checkpoint {name} can't be relied on: {reason}")]
    Checkpoint {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
}

/// What was found to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which journal.
    pub instance: String,
    /// The first row that is there; those before were removed when their time was over.
    pub first: u64,
    /// The last row.
    pub last: u64,
    /// The last row that is signed.
    pub signed: u64,
    /// How many checkpoints hold.
    pub checkpoints: u64,
    /// Whether a row says that the gateway removed those before the first; true where none is gone.
    pub is_removal_told: bool,
}

/// Takes rows one by one.
pub struct Verifier {
    instance: String,
    first: u64,
    hash: Hash,
    front: Front,
    /// Those that are still to come, by size.
    checkpoints: VecDeque<Checkpoint>,
    /// The last that held.
    signed: u64,
    held: u64,
    /// Memory for one row after the other.
    form: Canonical,
    /// What checkpoints that come among the rows are compared with; `None` where all are known before.
    late: Option<Late>,
    is_removal_told: bool,
}

impl Verifier {
    /// Of the journal `instance`, with its checkpoints, whose signatures hold. It begins after the rows that `start`
    /// speaks of: the checkpoint, and the nodes that stand for them.
    ///
    /// # Errors
    /// A checkpoint is of another journal, or `start` contradicts itself.
    pub fn new(
        instance: &str,
        mut checkpoints: Vec<Checkpoint>,
        start: Option<(&Checkpoint, Front)>,
    ) -> Result<Self, Fault> {
        checkpoints.sort_by_key(|checkpoint| checkpoint.size);
        checkpoints.iter().try_for_each(|checkpoint| is_of(instance, checkpoint))?;
        let (mut hash, mut front) = (Hash::ZERO, Front::default());
        if let Some((checkpoint, nodes)) = start {
            if nodes.size() != checkpoint.size || nodes.root() != checkpoint.root {
                return Err(bad(checkpoint, "the nodes that are kept with it do not make its root"));
            }
            (hash, front) = (checkpoint.chain, nodes);
        }
        let gone = front.size();
        let mut verifier = Self {
            instance: instance.to_owned(),
            first: gone + 1,
            hash,
            front,
            checkpoints: checkpoints.into_iter().filter(|checkpoint| checkpoint.size >= gone).collect(),
            signed: gone,
            held: 0,
            form: Canonical::default(),
            late: None,
            is_removal_told: gone == 0,
        };
        verifier.compare()?;
        Ok(verifier)
    }

    /// From now on, `checkpoint` may give others, among the rows or behind them. That many rows are not signed is then
    /// known at the end alone.
    #[must_use]
    pub fn with_more_checkpoints(mut self) -> Self {
        self.late = Some(Late::new(&self.front, self.hash));
        self
    }

    /// Takes a checkpoint, whose signature holds, where it was said that there would be more: of rows that are to come, or of
    /// [`LATE`] rows before at most.
    ///
    /// # Errors
    /// It is of another journal, or not of these rows, or comes too late to be compared.
    pub fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Fault> {
        is_of(&self.instance, &checkpoint)?;
        let size = checkpoint.size;
        if size + 1 < self.first {
            return Ok(());
        }
        if size > self.front.size() {
            let at = self.checkpoints.partition_point(|other| other.size <= size);
            self.checkpoints.insert(at, checkpoint);
            return Ok(());
        }
        let known = self.late.as_ref().and_then(|late| late.at(size));
        let known = known.ok_or_else(|| {
            bad(&checkpoint, &format!("it comes more than {LATE} rows after them: give it with `--checkpoints`"))
        })?;
        self.hold(&checkpoint, known)
    }

    /// The place of the row that is to come.
    pub fn expected(&self) -> i64 {
        i64::try_from(self.front.size() + 1).unwrap_or(i64::MAX)
    }

    /// Takes a row as it is kept.
    ///
    /// # Errors
    /// It is not the one to come.
    pub fn row(&mut self, row: &Stored) -> Result<(), Fault> {
        if row.text("instance") != Some(&self.instance) {
            return Err(Fault::Foreign { seq: row.seq });
        }
        let mut form = std::mem::take(&mut self.form);
        let taken = self.take(row.seq, form.write(row.cells.as_slice()), &row.hash);
        self.form = form;
        taken
    }

    /// Takes the row in a line of an export.
    ///
    /// # Errors
    /// It is not the one to come.
    pub fn line(&mut self, line: &str) -> Result<(), Fault> {
        let mut form = std::mem::take(&mut self.form);
        let taken = match form.of_line(line) {
            Some((row, _)) if row.instance != self.instance => Err(Fault::Foreign { seq: row.seq }),
            Some((row, canonical)) => self.take(row.seq, canonical, &row.hash),
            None => match Stored::parse_line(line) {
                Ok(row) => self.row(&row),
                Err(reason) => Err(Fault::Unreadable { seq: self.expected(), reason }),
            },
        };
        self.form = form;
        taken
    }

    /// The same, of a row whose canonical form is known; that it is of this journal is then part of what is hashed.
    ///
    /// # Errors
    /// It is not the one to come.
    pub fn take(&mut self, seq: i64, canonical: &[u8], hash: &Hash) -> Result<(), Fault> {
        let expected = self.expected();
        if seq > expected {
            return Err(Fault::Missing { from: expected, to: seq - 1 });
        }
        if seq < expected {
            return Err(Fault::Misplaced { seq, expected });
        }
        let right = self.hash.then(canonical);
        if right != *hash {
            return Err(Fault::Changed { seq });
        }
        self.hash = right;
        self.is_removal_told |= !self.is_removal_told && retention::tells(canonical, self.first - 1);
        self.front.push(leaf(&right.0));
        if let Some(late) = &mut self.late {
            late.push(&self.front, right);
        }
        self.compare()
    }

    /// Compares with the checkpoints of as many rows.
    fn compare(&mut self) -> Result<(), Fault> {
        let size = self.front.size();
        if self.late.is_none() && size > self.signed + UNSIGNED {
            return Err(Fault::Unsigned { from: self.signed + 1, to: size });
        }
        while let Some(checkpoint) = self.checkpoints.pop_front_if(|checkpoint| checkpoint.size <= size) {
            self.hold(&checkpoint, (self.front.root(), self.hash))?;
        }
        Ok(())
    }

    /// A checkpoint of rows that were taken is right where it says this root and this chain of them.
    fn hold(&mut self, checkpoint: &Checkpoint, (root, chain): (Hash, Hash)) -> Result<(), Fault> {
        let size = checkpoint.size;
        if checkpoint.chain != chain || checkpoint.root != root {
            let before = self.late.as_ref().map_or(self.signed, |late| late.signed_before(size));
            return Err(Fault::Rewritten { from: before + 1, to: size });
        }
        if let Some(late) = &mut self.late {
            late.hold(size, root, chain);
        }
        self.signed = self.signed.max(size);
        self.held += 1;
        Ok(())
    }

    /// All rows were taken.
    ///
    /// # Errors
    /// The end is cut off, or nothing was signed.
    pub fn finish(self) -> Result<Verified, Fault> {
        let last = self.front.size();
        if let Some(later) = self.checkpoints.back() {
            return Err(Fault::Cut { last, size: later.size, at: later.at.to_string() });
        }
        if self.held == 0 && last > 0 {
            return Err(Fault::NothingSigned { from: self.first, to: last });
        }
        if let Some((from, to)) = self.late.as_ref().and_then(|late| late.unsigned(last, UNSIGNED)) {
            return Err(Fault::Unsigned { from, to });
        }
        let Self { instance, first, signed, held: checkpoints, is_removal_told, .. } = self;
        Ok(Verified { instance, first, last, signed, checkpoints, is_removal_told })
    }
}

fn bad(checkpoint: &Checkpoint, reason: &str) -> Fault {
    Fault::Checkpoint { name: format!("of {} rows", checkpoint.size), reason: reason.to_owned() }
}

fn is_of(instance: &str, checkpoint: &Checkpoint) -> Result<(), Fault> {
    if checkpoint.origin == instance { Ok(()) } else { Err(bad(checkpoint, "it is of another journal")) }
}

#[cfg(test)]
mod tests;
