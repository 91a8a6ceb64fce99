//! An act of a person upon what the gateway holds, in the record as a call is: what they are about to do before it is done,
//! and what became of it after. What can't be recorded is not done.

use super::{Journal, JournalError, now};
use portcullis_core::audit::{Entry, EntryKind, Outcome, Termination};
use uuid::Uuid;

/// An act whose intent is in the record. Its end will be too: one that is dropped without a word, because somebody left or
/// something failed half-way, ends as `unknown`.
#[must_use]
pub struct Deed {
    journal: Journal,
    /// `None` once its end is told.
    entry: Option<Box<Entry>>,
    begun: bool,
}

impl Deed {
    /// Records the intent of `entry`.
    ///
    /// # Errors
    /// It can't be written: nothing may be done.
    pub async fn begin(journal: &Journal, entry: Entry) -> Result<Self, JournalError> {
        let entry = Entry { kind: EntryKind::Intent, outcome: None, termination: None, error: None, ..entry };
        let mut deed = Self { journal: journal.clone(), entry: Some(Box::new(entry)), begun: false };
        if let Some(entry) = &deed.entry {
            journal.record(entry).await?;
        }
        deed.begun = true;
        Ok(deed)
    }

    /// It is done.
    pub fn done(mut self) {
        self.end(Outcome::Ok, None);
    }

    /// Nothing was done, for the reason with this label.
    pub fn refused(mut self, error: &'static str) {
        self.end(Outcome::Refused, Some(error));
    }

    fn end(&mut self, outcome: Outcome, error: Option<&'static str>) {
        let Some(entry) = self.entry.take() else { return };
        let (event_id, kind, at) = (Uuid::now_v7(), EntryKind::Outcome, now());
        let (outcome, termination) = (Some(outcome), Some(Termination::of(outcome, None)));
        self.journal.submit(&Entry { event_id, kind, at, outcome, termination, error, ..*entry });
    }
}

impl Drop for Deed {
    fn drop(&mut self) {
        // An intent that may not be in the file has let nothing happen.
        match self.begun {
            true => self.end(Outcome::Unknown, None),
            false => self.end(Outcome::Refused, Some("not_recorded")),
        }
    }
}
