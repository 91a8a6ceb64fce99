//! Checks a journal, or an export of one, and makes proofs of single rows. What right means is said in
//! `core::audit::verify`; here is where rows and checkpoints come from.

mod export;

pub use export::export;

use super::JournalError;
use super::read::{self, Kept, Reader};
use futures::TryStreamExt;
use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::checkpoint::Checkpoint;
use portcullis_core::audit::key::PublicKey;
use portcullis_core::audit::row::COLUMNS;
use portcullis_core::audit::tree::{Front, Tree, leaf};
use portcullis_core::audit::verify::{Fault, Verified, Verifier};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};
use std::io;
use std::path::Path;

/// Why a journal is not known to be right.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It can't be read.
    #[error("the journal can't be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The export can't be read.
    #[error("the export can't be read: {0}")]
    Read(#[from] io::Error),
    /// There is no such row.
    #[error(
        "the journal holds no row with the event id {0}; `portcullis audit query --format json` shows the `event_id` of each"
    )]
    NoSuchRow(String),
    /// The row is too new.
    #[error("row {0} is not signed yet; its checkpoint is made within ten seconds of it, or when the gateway ends")]
    NotSigned(i64),
}

/// Checks the journal at `path`, by the checkpoints that it holds and by those that were kept `outside` it; `keys` are who
/// may have signed them. A gateway may write it meanwhile.
///
/// # Errors
/// The first fault, or why it can't be looked at.
pub async fn journal(path: &Path, keys: &[PublicKey], outside: &[String]) -> Result<Verified, VerifyError> {
    let mut reader = Reader::open(path).await?;
    let instance = reader.instance().to_owned();
    let connection = &mut reader.connection;
    // One view of the file: rows are added and removed meanwhile.
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    let first: Option<i64> = sqlx::query_scalar("SELECT min(seq) FROM entries").fetch_one(&mut *connection).await?;
    let gone = first.unwrap_or(1) - 1;
    let kept = read::checkpoints(connection, gone, i64::MAX).await?;
    let lines: Vec<(i64, String)> = kept.iter().map(|kept| (kept.size, kept.export_line())).collect();
    let mut verifier = begin(&instance, gone, &lines, keys, outside)?;
    rows(connection, &mut verifier).await?;
    Ok(verifier.finish()?)
}

/// What takes the rows of the journal `instance` after the first `gone`, which are not there: by the checkpoints that lie
/// beside the rows, each with the number of rows that it is kept under and its line in an export, and those in `outside`, which were kept elsewhere.
///
/// # Errors
/// A checkpoint can't be relied on.
pub fn begin(
    instance: &str,
    gone: i64,
    lines: &[(i64, String)],
    keys: &[PublicKey],
    outside: &[String],
) -> Result<Verifier, Fault> {
    let (mut checkpoints, mut start) = (Vec::new(), None);
    for (size, line) in lines {
        let name = format!("of {size} rows");
        let form = || Fault::Checkpoint { name: name.clone(), reason: "it is not in the form of one".into() };
        let (note, nodes) = Checkpoint::of_line(line).ok_or_else(form)?;
        let checkpoint = open(&note, keys, &name)?;
        if gone > 0 && i64::try_from(checkpoint.size) == Ok(gone) {
            start = Front::new(checkpoint.size, nodes).map(|front| (checkpoint.clone(), front));
        }
        checkpoints.push(checkpoint);
    }
    checkpoints.extend(open_outside(outside, keys, instance)?);
    let start = start.as_ref().map(|(checkpoint, front)| (checkpoint, front.clone()));
    Verifier::new(instance, checkpoints, start)
}

/// Hands all rows to `verifier`. SQLite writes their canonical form itself, on a thread of its own, while they are hashed
/// here.
async fn rows(connection: &mut SqliteConnection, verifier: &mut Verifier) -> Result<(), VerifyError> {
    let sql = format!("SELECT seq, json_array({}), hash FROM entries ORDER BY seq", COLUMNS.join(", "));
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    loop {
        let seq = verifier.expected();
        let unreadable = |error: sqlx::Error| Fault::Unreadable { seq, reason: error.to_string() };
        let Some(row) = rows.try_next().await.map_err(unreadable)? else { return Ok(()) };
        take(&row, verifier, unreadable)?;
    }
}

fn take(row: &SqliteRow, verifier: &mut Verifier, unreadable: impl Fn(sqlx::Error) -> Fault) -> Result<(), Fault> {
    let seq: i64 = row.try_get(0).map_err(&unreadable)?;
    let canonical: &str = row.try_get(1).map_err(&unreadable)?;
    let hash = row.try_get(2).and_then(read::hash).map_err(&unreadable)?;
    verifier.take(seq, canonical.as_bytes(), &hash)
}

fn open(note: &str, keys: &[PublicKey], name: &str) -> Result<Checkpoint, Fault> {
    let bad = |error: portcullis_core::audit::checkpoint::CheckpointError| Fault::Checkpoint {
        name: name.to_owned(),
        reason: error.to_string(),
    };
    Checkpoint::open(note, keys).map_err(bad)
}

/// The lines of a file of checkpoints that speak of the journal `instance`; others may lie in the same file.
fn open_outside(lines: &[String], keys: &[PublicKey], instance: &str) -> Result<Vec<Checkpoint>, Fault> {
    let mut ours = Vec::new();
    for (line, number) in lines.iter().zip(1..) {
        let name = format!("in line {number} of the file of checkpoints");
        let form = || Fault::Checkpoint { name: name.clone(), reason: "it is not in the form of one".into() };
        let (note, _) = Checkpoint::of_line(line).ok_or_else(form)?;
        if note.lines().next() == Some(instance) {
            ours.push(open(&note, keys, &name)?);
        }
    }
    if ours.is_empty() && !lines.is_empty() {
        let reason = "none of them is of this journal".to_owned();
        return Err(Fault::Checkpoint { name: "file".into(), reason });
    }
    Ok(ours)
}

/// The proof that the row with this event id is in the journal at `path`, as far as a checkpoint speaks of it: the row in
/// its canonical form, the hash before it, its way to the root (RFC 9162 section 2.1.3), and the checkpoint.
///
/// # Errors
/// There is no such row, or it is not signed yet.
pub async fn prove(path: &Path, event_id: &str) -> Result<Value, VerifyError> {
    let mut reader = Reader::open(path).await?;
    let connection = &mut reader.connection;
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    let sql = format!("{} WHERE event_id = ?", read::SELECT);
    let row = sqlx::query(AssertSqlSafe(sql)).bind(event_id).fetch_optional(&mut *connection).await?;
    let row = read::stored(&row.ok_or_else(|| VerifyError::NoSuchRow(event_id.to_owned()))?)?;
    let (before, after) = around(connection, row.seq).await?;
    let after = after.ok_or(VerifyError::NotSigned(row.seq))?;
    let from = before.as_ref().map_or(0, |kept| kept.size);
    let mut tree = Tree::after(before.map_or_else(Front::default, |kept| kept.front));
    let sql = "SELECT hash FROM entries WHERE seq > ? AND seq <= ? ORDER BY seq";
    let hashes: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind(from).bind(after.size).fetch_all(&mut *connection).await?;
    for hash in &hashes {
        tree.push(leaf(&read::hash(hash)?.0));
    }
    let previous: Option<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM entries WHERE seq = ?")
        .bind(row.seq - 1)
        .fetch_optional(&mut *connection)
        .await?;
    let previous = match previous {
        Some(bytes) => read::hash(&bytes)?,
        None => chain_of(connection, row.seq - 1).await?,
    };
    let place = |seq: i64| u64::try_from(seq).unwrap_or_default();
    let proof = tree.inclusion(place(row.seq - 1), place(after.size)).ok_or(VerifyError::NotSigned(row.seq))?;
    Ok(json!({
        "row": String::from_utf8_lossy(&row.canonical()),
        "previous": previous.to_string(),
        "index": row.seq - 1,
        "proof": proof.iter().map(Hash::to_string).collect::<Vec<_>>(),
        "checkpoint": after.note,
    }))
}

/// The last checkpoint before the row, and the first that speaks of it.
async fn around(connection: &mut SqliteConnection, seq: i64) -> sqlx::Result<(Option<Kept>, Option<Kept>)> {
    let sql = "SELECT coalesce(max(size), 0) FROM checkpoints WHERE size < ?";
    let from: i64 = sqlx::query_scalar(sql).bind(seq).fetch_one(&mut *connection).await?;
    let sql = "SELECT coalesce(min(size), -1) FROM checkpoints WHERE size >= ?";
    let to: i64 = sqlx::query_scalar(sql).bind(seq).fetch_one(&mut *connection).await?;
    let before = read::checkpoints(connection, from, from).await?.pop();
    Ok((before, read::checkpoints(connection, to, to).await?.pop()))
}

/// The hash of a row that was removed: its checkpoint knows it. Before the first row, zeros.
async fn chain_of(connection: &mut SqliteConnection, seq: i64) -> sqlx::Result<Hash> {
    let sql = "SELECT chain FROM checkpoints WHERE size = ?";
    let chain: Option<Vec<u8>> = sqlx::query_scalar(sql).bind(seq).fetch_optional(connection).await?;
    chain.map_or(Ok(Hash::ZERO), |bytes| read::hash(&bytes))
}

#[cfg(test)]
mod tests;
