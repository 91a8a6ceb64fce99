//! Checks an export as it is read, line by line: however long it is, little of it is remembered.

use super::{VerifyError, open, open_outside};
use portcullis_core::audit::checkpoint::Checkpoint;
use portcullis_core::audit::key::PublicKey;
use portcullis_core::audit::row::{LONGEST_LINE, Stored};
use portcullis_core::audit::tree::Front;
use portcullis_core::audit::verify::{Fault, Verified, Verifier};
use std::io::{self, BufRead, ErrorKind, Read as _};

/// Checks an export: lines with rows, and with checkpoints.
///
/// # Errors
/// The first fault, or why it can't be read.
pub fn export(lines: impl BufRead, keys: &[PublicKey], outside: &[String]) -> Result<Verified, VerifyError> {
    let mut lines = Lines { from: lines, line: Vec::new() };
    let mut before = Before { keys, outside, checkpoints: Vec::new(), start: None };
    let mut verifier: Option<Verifier> = None;
    while let Some(line) = lines.next()? {
        match (Checkpoint::of_line(line), &mut verifier) {
            (None, Some(verifier)) => verifier.line(line)?,
            (None, empty) => {
                let verifier = empty.insert(before.begin(line)?);
                verifier.line(line)?;
            }
            (Some((note, _)), Some(verifier)) => {
                verifier.checkpoint(open(&note, keys, &format!("before row {}", verifier.expected()))?)?;
            }
            (Some((note, nodes)), None) => before.take(&note, nodes)?,
        }
    }
    let verifier = verifier.map_or_else(|| before.verifier("", 0), Ok)?;
    Ok(verifier.finish()?)
}

/// What is known before the first row.
struct Before<'a> {
    keys: &'a [PublicKey],
    outside: &'a [String],
    checkpoints: Vec<Checkpoint>,
    /// The last of them, with the nodes that it gives.
    start: Option<(Checkpoint, Front)>,
}

impl Before<'_> {
    fn take(&mut self, note: &str, nodes: Vec<portcullis_core::audit::chain::Hash>) -> Result<(), Fault> {
        let checkpoint = open(note, self.keys, "before row 1")?;
        self.start = Front::new(checkpoint.size, nodes).map(|front| (checkpoint.clone(), front));
        if self.checkpoints.last() != Some(&checkpoint) {
            self.checkpoints.push(checkpoint);
        }
        Ok(())
    }

    /// What takes the rows from the one in `line` on.
    fn begin(&mut self, line: &str) -> Result<Verifier, Fault> {
        let first = Stored::parse_line(line).map_err(|reason| Fault::Unreadable { seq: 1, reason })?;
        self.verifier(first.text("instance").unwrap_or_default(), first.seq.saturating_sub(1))
    }

    fn verifier(&mut self, instance: &str, gone: i64) -> Result<Verifier, Fault> {
        let mut checkpoints = std::mem::take(&mut self.checkpoints);
        checkpoints.extend(open_outside(self.outside, self.keys, instance)?);
        let start = self.start.as_ref().filter(|(checkpoint, _)| i64::try_from(checkpoint.size) == Ok(gone));
        let start = start.map(|(checkpoint, front)| (checkpoint, front.clone()));
        Verifier::new(instance, checkpoints, start).map(Verifier::with_more_checkpoints)
    }
}

/// The lines of what is read, one after the other in the same memory.
struct Lines<R> {
    from: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<&str>> {
        self.line.clear();
        let most = LONGEST_LINE as u64;
        let read = self.from.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if line.len() == LONGEST_LINE {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("a line is longer than {most} bytes")));
        }
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line));
        line.map(Some).map_err(|_| io::Error::new(ErrorKind::InvalidData, "a line is not UTF-8"))
    }
}
