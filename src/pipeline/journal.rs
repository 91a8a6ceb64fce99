//! Stage 8: the intent is written before anything leaves.

use crate::pipeline::record::Record;
use crate::pipeline::validate::Valid;
use portcullis_core::reject::Rejection;

/// A call whose intent is in the journal. Made here alone.
pub struct Journaled {
    valid: Valid,
}

impl Journaled {
    /// The call, to be sent.
    pub fn into_valid(self) -> Valid {
        self.valid
    }
}

/// Writes the intent.
///
/// # Errors
/// [`Rejection::JournalUnavailable`].
pub async fn step(valid: Valid, record: &mut Record) -> Result<Journaled, Rejection> {
    record.intend().await?;
    Ok(Journaled { valid })
}
