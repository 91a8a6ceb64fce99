//! Panics on purpose, where a test sends a request that names the place. It is not part of the program.

use http::{HeaderName, HeaderValue};

/// The field that names a place.
pub const FIELD: &str = "mcp-trap";

/// Panics where `fields` name `place`.
pub fn spring<'a>(fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>, place: &str) {
    let named = fields.into_iter().any(|(name, value)| name == FIELD && value == place);
    assert!(!named, "the trap at {place}");
}
