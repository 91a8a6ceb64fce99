//! Stage 8: the intent is written before anything leaves.

use crate::approvals::crash;
use crate::pipeline::record::Record;
use crate::pipeline::review::Reviewed;
use portcullis_core::reject::Rejection;

/// A call whose intent is in the journal. Made here alone.
pub struct Journaled {
    reviewed: Reviewed,
}

impl Journaled {
    /// The call, to be sent.
    pub fn into_reviewed(self) -> Reviewed {
        self.reviewed
    }
}

/// Writes the intent.
///
/// # Errors
/// [`Rejection::JournalUnavailable`].
pub async fn step(reviewed: Reviewed, record: &mut Record) -> Result<Journaled, Rejection> {
    crash::here("intent.before");
    record.intend().await?;
    crash::here("intent.after");
    Ok(Journaled { reviewed })
}
