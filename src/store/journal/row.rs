//! An entry as the cells of a row: bounded, and safe to show. What the fields mean is said in `core::audit`, in which form
//! they are hashed in `core::audit::row`.

use super::now;
use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::row::{COLUMNS, Cell, Stored, canonical};
use portcullis_core::audit::{Entry, EntryKind, Outcome, Termination};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use uuid::Uuid;

/// Bytes of one field; what is longer is cut, and said to be.
const FIELD_BYTES: usize = 4096;

/// What a row costs beside its text.
pub(super) const ROW_BYTES: usize = 2048;

/// An entry on its way to the file.
pub(super) struct Row {
    /// One for each of `COLUMNS`.
    pub(super) cells: Box<[Cell; COLUMNS.len()]>,
    /// What binds it to the rows before it; set by the writer.
    pub(super) hash: Hash,
    /// The memory it takes, about.
    pub(super) bytes: usize,
    /// Nothing reached an upstream: of such rows a flood may be counted rather than kept.
    pub(super) is_refusal: bool,
}

impl Row {
    /// `entry`, written by the run `run`. Its place and hash are given to it later, by `follow`.
    pub(super) fn new(entry: &Entry, run: &Arc<str>) -> Self {
        let cells = Box::new([
            Cell::Null,
            text(&entry.event_id.to_string()),
            Cell::Null,
            Cell::Text(Arc::clone(run)),
            text(&entry.call_id.to_string()),
            text(entry.kind.as_str()),
            text(&entry.at.to_string()),
            Cell::Int(entry.at.millis()),
            text(&entry.request_id),
            text(&entry.trace_id),
            text_or_null(entry.issuer.as_deref()),
            text_or_null(entry.subject.as_deref()),
            text_or_null(entry.tenant.as_deref()),
            text_or_null(entry.agent.as_deref()),
            text_or_null(entry.roles.as_deref()),
            text_or_null(entry.scopes.as_deref()),
            text_or_null(entry.client.map(|client| client.to_string()).as_deref()),
            text_or_null(entry.endpoint.as_deref()),
            text_or_null(entry.upstream.as_deref()),
            text_or_null(entry.method.as_deref()),
            text_or_null(entry.tool.as_deref()),
            text_or_null(entry.class.map(|class| class.as_str())),
            text_or_null(entry.arguments.as_deref()),
            text_or_null(entry.arguments_digest.as_deref()),
            text_or_null(entry.decision),
            text_or_null(entry.rule.as_deref()),
            text(&entry.revision),
            text_or_null(entry.shadow_decision),
            text_or_null(entry.shadow_rule.as_deref()),
            text_or_null(entry.approval_id.as_deref()),
            text_or_null(entry.job_id.as_deref()),
            text_or_null(entry.outcome.map(Outcome::as_str)),
            text_or_null(entry.termination.map(Termination::as_str)),
            entry.status.map_or(Cell::Null, |status| Cell::Int(status.into())),
            text_or_null(entry.error),
            text_or_null(entry.detail.as_deref()),
            int(entry.bytes_in),
            int(entry.bytes_out),
            entry.latency_us.map_or(Cell::Null, int),
            entry.upstream_us.map_or(Cell::Null, int),
            redactions(entry),
            text_or_null(entry.protocol.as_deref()),
        ]);
        Self::of(cells, entry.outcome == Some(Outcome::Refused))
    }

    /// The outcome of an intent that an earlier run left open: what the intent says, but for what only an end can say.
    pub(super) fn closing(intent: Stored, run: &Arc<str>) -> Self {
        let (mut cells, at) = (intent.cells, now());
        for (column, cell) in COLUMNS.iter().zip(cells.iter_mut()) {
            *cell = match *column {
                "event_id" => text(&Uuid::now_v7().to_string()),
                "run" => Cell::Text(Arc::clone(run)),
                "at" => text(&at.to_string()),
                "at_ms" => Cell::Int(at.millis()),
                "kind" => text(EntryKind::Outcome.as_str()),
                "outcome" => text(Outcome::Unknown.as_str()),
                "termination" => text(Termination::Lost.as_str()),
                "detail" => text("the gateway ended while this call ran"),
                "status" | "error" | "latency_us" | "upstream_us" => Cell::Null,
                "bytes_out" => Cell::Int(0),
                "redactions" => text("{}"),
                _ => continue,
            };
        }
        Self::of(cells, false)
    }

    fn of(cells: Box<[Cell; COLUMNS.len()]>, is_refusal: bool) -> Self {
        let text: usize = cells.iter().filter_map(Cell::text).map(str::len).sum();
        Self { cells, hash: Hash::ZERO, bytes: ROW_BYTES + text, is_refusal }
    }

    /// Takes its place in the journal `instance`, after the row `before`; what the next row comes after.
    pub(super) fn follow(&mut self, before: Tail, instance: &Arc<str>) -> Tail {
        let seq = before.seq + 1;
        let [place, _, journal, ..] = &mut *self.cells;
        (*place, *journal) = (Cell::Int(seq), Cell::Text(Arc::clone(instance)));
        self.hash = before.hash.then(&canonical(self.cells.as_slice()));
        Tail { seq, hash: self.hash }
    }

    pub(super) fn seq(&self) -> i64 {
        let [seq, ..] = &*self.cells;
        seq.int().unwrap_or_default()
    }

    pub(super) fn call_id(&self) -> Arc<str> {
        let [_, _, _, _, Cell::Text(call_id), ..] = &*self.cells else { return "".into() };
        Arc::clone(call_id)
    }

    pub(super) fn kind(&self) -> &str {
        let [_, _, _, _, _, kind, ..] = &*self.cells;
        kind.text().unwrap_or_default()
    }

    pub(super) fn event_id(&self) -> &str {
        let [_, event_id, ..] = &*self.cells;
        event_id.text().unwrap_or_default()
    }
}

/// The last row of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// Its place; 0 where there is no row yet.
    pub(super) seq: i64,
    /// Its hash.
    pub(super) hash: Hash,
}

fn text(value: &str) -> Cell {
    Cell::Text(cut(value))
}

fn text_or_null(value: Option<&str>) -> Cell {
    value.map_or(Cell::Null, text)
}

fn int(value: u64) -> Cell {
    Cell::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// As a JSON object. Not cut: its names come from the policy, and half an object is none.
fn redactions(entry: &Entry) -> Cell {
    let object = entry.redactions.iter().map(|(kind, count)| (kind.clone(), (*count).into())).collect();
    Cell::Text(serde_json::Value::Object(object).to_string().into())
}

/// `value` within the bound. What is cut off is stood for by its length and digest. SQLite's own functions and shell
/// end a text at NUL, which would hide what follows from a reader, so NUL is written as its picture; every other
/// character stays what it is.
fn cut(value: &str) -> Arc<str> {
    let shown: Cow<'_, str> =
        if value.contains('\0') { value.replace('\0', "\u{2400}").into() } else { Cow::Borrowed(value) };
    if shown.len() <= FIELD_BYTES {
        return shown.into();
    }
    let mut mark = format!("…[cut from {} bytes, sha256 ", value.len());
    for byte in Sha256::digest(value) {
        // Writing to a String can't fail.
        let _ = write!(mark, "{byte:02x}");
    }
    mark.push(']');
    let kept = shown.floor_char_boundary(FIELD_BYTES.saturating_sub(mark.len()));
    format!("{}{mark}", shown.get(..kept).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_field_is_cut_at_a_character_and_says_so() {
        let cut = cut(&"é".repeat(500_000));
        assert!(cut.len() <= FIELD_BYTES && cut.len() > FIELD_BYTES - 4, "{}", cut.len());
        assert!(cut.contains("é…[cut from 1000000 bytes, sha256 ") && cut.ends_with(']'));
        assert_eq!(&*super::cut(&"x".repeat(FIELD_BYTES)), "x".repeat(FIELD_BYTES), "exactly the bound is whole");
    }

    #[test]
    fn control_characters_stay_data_and_nothing_hides_behind_a_nul() {
        assert_eq!(&*cut("a\r\n\u{1b}[2J\u{202e}b"), "a\r\n\u{1b}[2J\u{202e}b");
        assert_eq!(&*cut("read\0_and_delete"), "read␀_and_delete");
        assert!(cut(&"\0".repeat(4000)).len() <= FIELD_BYTES, "bounded after it grew");
    }
}
