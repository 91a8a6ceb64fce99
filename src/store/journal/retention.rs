//! What is removed when its time is over: whole segments, from one signed checkpoint to the next, oldest first, so that
//! what stays can still be checked from the last removed checkpoint on. The row that says so stays in the journal.

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

/// What became of the oldest segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is gone: its first row and its last.
    Removed(i64, i64),
    /// Its time is over, and somebody has not taken all of it: its last row.
    Held(i64),
    /// Its time is not over, or there is none.
    Nothing,
}

/// Removes the oldest segment, where all of it was signed before `before` (milliseconds since the epoch), no call in it is
/// open, and all of it was `taken`. Call again while something is removed.
pub(super) async fn remove_segment(
    connection: &mut SqliteConnection,
    before: i64,
    open: Option<i64>,
    taken: i64,
) -> sqlx::Result<Removal> {
    let first: Option<i64> = sqlx::query_scalar("SELECT min(seq) FROM entries").fetch_one(&mut *connection).await?;
    let Some(from) = first else { return Ok(Removal::Nothing) };
    // Never the last checkpoint: the writer goes on from there.
    let sql = "SELECT size, at_ms FROM checkpoints WHERE size >= ? AND size < (SELECT max(size) FROM checkpoints)
        ORDER BY size LIMIT 1";
    let segment: Option<(i64, i64)> = sqlx::query_as(sql).bind(from).fetch_optional(&mut *connection).await?;
    let is_over = |(to, at): &(i64, i64)| *at < before && open.is_none_or(|open| *to < open);
    let Some((to, at)) = segment.filter(is_over) else { return Ok(Removal::Nothing) };
    if to > taken {
        return Ok(Removal::Held(to));
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE journal SET removed = ?").bind(to).execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM entries WHERE seq <= ?").bind(to).execute(&mut *transaction).await?;
    // Of what is gone, one root for each day stays, and the last.
    sqlx::query("DELETE FROM checkpoints WHERE size < ?1 AND at_ms / 86400000 = ?2 / 86400000")
        .bind(to)
        .bind(at)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Removal::Removed(from, to))
}
