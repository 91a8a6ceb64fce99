//! The clock, read in one place.

use portcullis_core::time::Timestamp;
use std::time::SystemTime;

/// The time of day.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
