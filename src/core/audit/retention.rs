//! The row by which the gateway itself says that it removed the journal's first rows because their time was over. Rows that
//! are gone without it were taken out by somebody else, or the gateway was killed right after it removed them.

use crate::audit::row::COLUMNS;
use memchr::memmem;
use serde_json::Value;

/// What stands for the method of such a row.
pub const METHOD: &str = "journal/retention";

/// What such a row says of rows `from` to `to`.
pub fn words(from: i64, to: i64) -> String {
    format!("rows {from} to {to} were removed: they were older than `journal.keep`")
}

/// Whether the row with this form says that the rows up to `to` were removed. It is of no request: what a caller names as a
/// method says nothing.
pub(super) fn tells(form: &[u8], to: u64) -> bool {
    if memmem::find(form, METHOD.as_bytes()).is_none() {
        return false;
    }
    let cells: Vec<Value> = serde_json::from_slice(form).unwrap_or_default();
    let cell = |column: &str| COLUMNS.iter().zip(&cells).find(|(name, _)| **name == column).map(|(_, cell)| cell);
    let is = |column: &str, value: &Value| cell(column) == Some(value);
    let detail = cell("detail").and_then(Value::as_str).unwrap_or_default();
    is("method", &METHOD.into())
        && is("request_id", &"".into())
        && is("client", &Value::Null)
        && detail.starts_with("rows ")
        && detail.contains(&format!(" to {to} were removed"))
}
