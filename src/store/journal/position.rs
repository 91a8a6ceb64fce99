//! Where the writer is in the journal: the last row, the tree over all rows, the calls that are open, and what is signed.
//! Kept in memory; found again from the last checkpoint and the rows after it.

use super::read;
use super::row::{ROW_BYTES, Row, Tail};
use super::{JournalError, now};
use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::checkpoint::Checkpoint;
use portcullis_core::audit::key::SigningKey;
use portcullis_core::audit::tree::{Front, leaf};
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Rows after the last checkpoint that make another due.
const EVERY: i64 = 1000;

/// Where the writer is.
pub(super) struct Position {
    /// What the next row follows.
    pub(super) tail: Tail,
    front: Front,
    /// Intents without an outcome: call id and place.
    open: HashMap<Arc<str>, i64>,
    /// Rows that the last checkpoint speaks of.
    pub(super) signed: i64,
    /// The size of the rows after it, about.
    unsigned_bytes: u64,
}

impl Position {
    /// Finds it in the journal at `path`.
    pub(super) async fn load(connection: &mut SqliteConnection, path: &Path) -> Result<Self, JournalError> {
        let database = |source| JournalError::Database { path: path.to_owned(), source };
        let found = Self::find(connection).await.map_err(database)?;
        if found.tail.seq < found.signed {
            let (last, signed) = (found.tail.seq, found.signed);
            return Err(JournalError::Cut { path: path.to_owned(), last, signed });
        }
        Ok(found)
    }

    async fn find(connection: &mut SqliteConnection) -> sqlx::Result<Self> {
        let sql = "SELECT size, chain, front, open FROM checkpoints ORDER BY size DESC LIMIT 1";
        let last: Option<(i64, Vec<u8>, Vec<u8>, String)> =
            sqlx::query_as(sql).fetch_optional(&mut *connection).await?;
        let (signed, chain, nodes, open) = last.unwrap_or((0, Hash::ZERO.0.to_vec(), Vec::new(), "[]".into()));
        let mut front = read::front(signed, &nodes)?;
        let mut tail = Tail { seq: signed, hash: read::hash(&chain)? };
        let sql = "SELECT seq, hash FROM entries WHERE seq > ? ORDER BY seq";
        let after: Vec<(i64, Vec<u8>)> = sqlx::query_as(sql).bind(signed).fetch_all(&mut *connection).await?;
        let unsigned_bytes = (after.len() * ROW_BYTES) as u64;
        for (seq, bytes) in after {
            let hash = read::hash(&bytes)?;
            front.push(leaf(&hash.0));
            tail = Tail { seq, hash };
        }
        let there = "SELECT EXISTS (SELECT 1 FROM entries WHERE seq = ?) OR ? = 0";
        let there: bool = sqlx::query_scalar(there).bind(tail.seq).bind(tail.seq).fetch_one(&mut *connection).await?;
        if !there {
            let sql = "SELECT coalesce(max(seq), 0) FROM entries";
            tail.seq = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        }
        let open = open_calls(connection, signed, &open).await?;
        Ok(Self { tail, front, open, signed, unsigned_bytes })
    }

    /// `rows` were written.
    pub(super) fn advance(&mut self, rows: &[&mut Row], tail: Tail) {
        for row in rows {
            self.front.push(leaf(&row.hash.0));
            self.unsigned_bytes += row.bytes as u64;
            match row.kind() {
                "intent" => drop(self.open.insert(row.call_id(), row.seq())),
                "outcome" => drop(self.open.remove(&row.call_id())),
                _ => {}
            }
        }
        self.tail = tail;
    }

    /// The places of intents without an outcome, in order.
    pub(super) fn open_calls(&self) -> Vec<i64> {
        let mut open: Vec<i64> = self.open.values().copied().collect();
        open.sort_unstable();
        open
    }

    /// Whether so many rows are not signed, or more than so many bytes, that a checkpoint is due at once.
    pub(super) fn is_due(&self, most_bytes: Option<u64>) -> bool {
        self.tail.seq - self.signed >= EVERY || most_bytes.is_some_and(|most| self.unsigned_bytes >= most)
    }

    /// Whether there is anything to sign.
    pub(super) const fn is_unsigned(&self) -> bool {
        self.tail.seq > self.signed
    }

    /// Signs all rows, and writes that down; the signed text.
    pub(super) async fn sign(
        &mut self,
        connection: &mut SqliteConnection,
        instance: &str,
        key: &SigningKey,
    ) -> sqlx::Result<(Checkpoint, String)> {
        let Tail { seq, hash } = self.tail;
        let checkpoint = Checkpoint {
            origin: instance.to_owned(),
            size: self.front.size(),
            root: self.front.root(),
            chain: hash,
            at: now(),
        };
        let note = checkpoint.sign(key);
        let nodes: Vec<u8> = self.front.nodes().iter().flat_map(|node| node.0).collect();
        sqlx::query("INSERT INTO checkpoints (size, at_ms, chain, front, open, note) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(seq)
            .bind(checkpoint.at.millis())
            .bind(hash.0.to_vec())
            .bind(nodes)
            .bind(serde_json::json!(self.open_calls()).to_string())
            .bind(note.clone())
            .execute(connection)
            .await?;
        (self.signed, self.unsigned_bytes) = (seq, 0);
        Ok((checkpoint, note))
    }
}

/// The intents without an outcome: among those that were open at the last checkpoint, and the rows after it.
async fn open_calls(
    connection: &mut SqliteConnection,
    signed: i64,
    open: &str,
) -> sqlx::Result<HashMap<Arc<str>, i64>> {
    let sql = "WITH candidates AS (
            SELECT seq FROM entries WHERE seq > ?1 AND kind = 'intent'
            UNION SELECT value FROM json_each(?2))
        SELECT call_id, seq FROM entries WHERE seq IN (SELECT seq FROM candidates) AND kind = 'intent' AND NOT EXISTS
            (SELECT 1 FROM entries AS ended WHERE ended.call_id = entries.call_id AND ended.kind = 'outcome')";
    let found: Vec<(String, i64)> = sqlx::query_as(sql).bind(signed).bind(open).fetch_all(connection).await?;
    Ok(found.into_iter().map(|(call, seq)| (call.into(), seq)).collect())
}
