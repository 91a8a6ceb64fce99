//! The journal's file: opening it, and writing rows to it. When to write, and what failure means, is `writer`'s.

use super::position::Position;
use super::read::{self, SELECT};
use super::retention::{self, Removal};
use super::row::Row;
use super::{Bounds, JournalError, Options, now};
use crate::config::document::gateway::Durability;
use portcullis_core::audit::checkpoint::Checkpoint;
use portcullis_core::audit::key::SigningKey;
use portcullis_core::audit::row::{COLUMNS, Cell};
use sqlx::query::Query;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// "PORT", as in `schema.sql`.
pub(super) const APPLICATION: i64 = 1_347_375_700;

/// As in `schema.sql`.
pub(super) const VERSION: i64 = 2;

/// The write-ahead log is cut back to this after a checkpoint.
const LOG_BYTES: &str = "67108864";

/// Rows of one statement. A batch is written in few, and each of these is prepared once.
const CHUNKS: [usize; 3] = [64, 8, 1];

/// A batch of up to so many rows is one command to the thread that runs SQLite, its transaction included: to hand one over
/// costs more than to write a row.
const AT_ONCE: usize = 16;

/// Calls that are ended in one transaction at start.
const CLOSED_AT_ONCE: usize = 500;

/// Where the journal is and how it is written.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) options: Options,
    /// How much may wait.
    pub(super) bounds: Bounds,
    /// Stands for the size of the disk; 0 for no bound.
    #[cfg(test)]
    pub(super) max_pages: Arc<std::sync::atomic::AtomicU32>,
}

/// An open journal.
pub(super) struct Database {
    connection: SqliteConnection,
    settings: Settings,
    /// Device and inode: whether the path still leads to the file that is open.
    identity: (u64, u64),
    inserts: Vec<(usize, Arc<str>)>,
    /// What writes one row, two rows, and so on up to `AT_ONCE`.
    batches: Vec<Arc<str>>,
    /// What the journal is called since it was made.
    instance: Arc<str>,
    position: Position,
    /// Some of what is to be written may be there already: the last commit's fate is not known.
    unsure: bool,
}

/// Keeps other processes from writing the same journal, until it is dropped or the process ends in any way.
pub(super) fn lock(path: &Path) -> Result<File, JournalError> {
    make_folder(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = open_file(Path::new(&name)).map_err(|source| JournalError::File { path: name.into(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(JournalError::File { path: path.to_owned(), source }),
    }
}

fn make_folder(path: &Path) -> Result<(), JournalError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|source| JournalError::Folder { path: folder.to_owned(), source })
}

/// Not for everybody to read: the journal says who did what. SQLite gives its other files the same mode.
fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Database {
    /// Opens the journal, and makes it where it is missing.
    pub(super) async fn open(settings: &Settings) -> Result<Self, JournalError> {
        let path = &settings.options.path;
        make_folder(path)?;
        let file = |source| JournalError::File { path: path.clone(), source };
        drop(open_file(path).map_err(file)?);
        let identity = identity(path).map_err(file)?;
        let database = |source| JournalError::Database { path: path.clone(), source };
        let mut connection = options(settings).connect().await.map_err(database)?;
        match read::layout(&mut connection).await.map_err(database)? {
            (_, 0, 0) => make(&mut connection).await.map_err(database)?,
            (APPLICATION, VERSION, _) => {}
            (APPLICATION, found, _) => return Err(JournalError::Version { path: path.clone(), found }),
            _ => return Err(JournalError::Foreign { path: path.clone() }),
        }
        let instance = read::instance(&mut connection).await.map_err(database)?;
        bound(&mut connection, settings.options.max_bytes.map(for_rows)).await.map_err(database)?;
        let position = Position::load(&mut connection, path).await?;
        let inserts = CHUNKS.iter().map(|size| (*size, insert(*size).into())).collect();
        let batches = (1..=AT_ONCE).map(|rows| batch(rows).into()).collect();
        let settings = settings.clone();
        Ok(Self { connection, settings, identity, inserts, batches, instance, position, unsure: true })
    }

    /// Ends the calls that an earlier run left open with an outcome `unknown`; how many there were. Signs now and then,
    /// since there may be more of them than may go unsigned.
    pub(super) async fn close_open_calls(&mut self, run: &Arc<str>, key: &SigningKey) -> Result<usize, JournalError> {
        let path = self.settings.options.path.clone();
        let open = self.position.open_calls();
        for seqs in open.chunks(CLOSED_AT_ONCE) {
            let closed = self.close_calls(seqs, run, key).await;
            closed.map_err(|source| JournalError::Database { path: path.clone(), source })?;
        }
        Ok(open.len())
    }

    async fn close_calls(&mut self, seqs: &[i64], run: &Arc<str>, key: &SigningKey) -> sqlx::Result<()> {
        let sql = format!("{SELECT} WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq");
        let seqs = serde_json::json!(seqs).to_string();
        let open = sqlx::query(AssertSqlSafe(sql)).bind(seqs).fetch_all(&mut self.connection).await?;
        let intents = open.iter().map(read::stored).collect::<sqlx::Result<Vec<_>>>()?;
        let mut rows: Vec<Row> = intents.into_iter().map(|intent| Row::closing(intent, run)).collect();
        self.try_append(rows.iter_mut().collect()).await?;
        if self.is_due() {
            self.position.sign(&mut self.connection, &self.instance, key).await?;
        }
        Ok(())
    }

    /// Where the writer is.
    pub(super) const fn position(&self) -> &Position {
        &self.position
    }

    /// Whether a checkpoint is due at once.
    pub(super) fn is_due(&self) -> bool {
        self.position.is_due(self.settings.options.max_bytes.map(part))
    }

    /// Signs all rows; the signed text. After an error this connection is of no more use.
    pub(super) async fn sign(&mut self, key: &SigningKey) -> Result<(Checkpoint, String), String> {
        if self.is_elsewhere() {
            return Err("the journal's file was moved or removed".into());
        }
        self.try_sign(key).await.map_err(|error| error.to_string())
    }

    async fn try_sign(&mut self, key: &SigningKey) -> sqlx::Result<(Checkpoint, String)> {
        let max_bytes = self.settings.options.max_bytes;
        bound(&mut self.connection, max_bytes).await?;
        let signed = self.position.sign(&mut self.connection, &self.instance, key).await?;
        bound(&mut self.connection, max_bytes.map(for_rows)).await?;
        Ok(signed)
    }

    /// The bytes that the file's contents take.
    pub(super) async fn used(&mut self) -> sqlx::Result<u64> {
        let sql = "SELECT (page_count - freelist_count) * page_size
            FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";
        let used: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        Ok(u64::try_from(used).unwrap_or_default())
    }

    /// Removes the oldest segment, where its time was over at `before` and it was `taken`.
    pub(super) async fn remove_segment(&mut self, before: i64, taken: i64) -> sqlx::Result<Removal> {
        let (open, max_bytes) = (self.position.open_calls().first().copied(), self.settings.options.max_bytes);
        bound(&mut self.connection, max_bytes).await?;
        let removal = retention::remove_segment(&mut self.connection, before, open, taken).await?;
        bound(&mut self.connection, max_bytes.map(for_rows)).await?;
        Ok(removal)
    }

    /// Writes all of `rows` or none, each with the place that it is given here; how many were new. A row whose event id
    /// is there already is not written again, so a batch of which nobody knows whether it was committed may be sent once
    /// more.
    ///
    /// After an error this connection is of no more use.
    pub(super) async fn append(&mut self, rows: Vec<&mut Row>) -> Result<u64, String> {
        if self.is_elsewhere() {
            return Err("the journal's file was moved or removed".into());
        }
        self.try_append(rows).await.map_err(|error| error.to_string())
    }

    fn is_elsewhere(&self) -> bool {
        identity(&self.settings.options.path).ok() != Some(self.identity)
    }

    async fn try_append(&mut self, mut rows: Vec<&mut Row>) -> sqlx::Result<u64> {
        #[cfg(test)]
        self.bound_pages().await?;
        if self.unsure {
            self.leave_out_known(&mut rows).await?;
        }
        let written = match self.commit(&mut rows).await {
            // Something was handed over twice; nothing of the batch is there yet.
            Err(error) if is_duplicate(&error) => {
                // Where a single statement failed, no transaction is open.
                let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
                self.leave_out_known(&mut rows).await?;
                self.commit(&mut rows).await?
            }
            other => other?,
        };
        self.unsure = false;
        Ok(written)
    }

    /// Takes those out of `rows` that are in the journal already, and what is in `rows` twice.
    async fn leave_out_known(&mut self, rows: &mut Vec<&mut Row>) -> sqlx::Result<()> {
        let ids: Vec<&str> = rows.iter().map(|row| row.event_id()).collect();
        let sql = "SELECT event_id FROM entries WHERE event_id IN (SELECT value FROM json_each(?))";
        let ids = serde_json::json!(ids).to_string();
        let known: Vec<String> = sqlx::query_scalar(sql).bind(ids).fetch_all(&mut self.connection).await?;
        let mut seen: HashSet<String> = known.into_iter().collect();
        rows.retain(|row| seen.insert(row.event_id().to_owned()));
        Ok(())
    }

    async fn commit(&mut self, rows: &mut [&mut Row]) -> sqlx::Result<u64> {
        let mut tail = self.position.tail;
        for row in rows.iter_mut() {
            tail = row.follow(tail, &self.instance);
        }
        if let Some(batch) = rows.len().checked_sub(1).and_then(|place| self.batches.get(place)) {
            with_rows(batch, rows).execute(&mut self.connection).await?;
        } else {
            sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
            self.insert(rows).await?;
            sqlx::query("COMMIT").execute(&mut self.connection).await?;
        }
        self.position.advance(rows, tail);
        Ok(rows.len() as u64)
    }

    async fn insert(&mut self, rows: &[&mut Row]) -> sqlx::Result<()> {
        let mut rows = rows;
        for (size, sql) in &self.inserts {
            while let Some((chunk, rest)) = rows.split_at_checked(*size) {
                with_rows(sql, chunk).execute(&mut self.connection).await?;
                rows = rest;
            }
        }
        Ok(())
    }

    /// Closes the file in good order: no connection is left that could touch the files of the next.
    pub(super) async fn close(mut self) {
        if self.is_elsewhere() {
            // SQLite would leave what is still in the log under the old name, where a new journal begins.
            let moved = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.connection).await;
            tracing::warn!(whole = moved.is_ok(), "the journal's file was moved or removed while it was open");
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the journal did not close in good order; nothing that was written is lost");
        }
    }

    #[cfg(test)]
    async fn bound_pages(&mut self) -> sqlx::Result<()> {
        let pages = match self.settings.max_pages.load(std::sync::atomic::Ordering::SeqCst) {
            0 => {
                let most = self.settings.options.max_bytes.map_or(1 << 40, for_rows);
                return bound(&mut self.connection, Some(most)).await;
            }
            pages => pages,
        };
        let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).execute(&mut self.connection).await.map(drop)
    }
}

fn options(settings: &Settings) -> SqliteConnectOptions {
    let synchronous = match settings.options.durability {
        // In WAL mode a commit is a write to the log without fsync: it outlives the process, not the machine.
        Durability::Async | Durability::Journaled => SqliteSynchronous::Normal,
        Durability::Synced => SqliteSynchronous::Full,
    };
    SqliteConnectOptions::new()
        .filename(&settings.options.path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(settings.options.deadline)
        .pragma("journal_size_limit", LOG_BYTES)
        .disable_statement_logging()
}

/// Makes the tables of a new journal, and gives it its name.
async fn make(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO journal (instance, made_at) VALUES (?, ?)")
        .bind(Uuid::now_v7().to_string())
        .bind(now().to_string())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Lets the file grow to this many bytes; SQLite itself says that it is full then.
async fn bound(connection: &mut SqliteConnection, max_bytes: Option<u64>) -> sqlx::Result<()> {
    let Some(max_bytes) = max_bytes else { return Ok(()) };
    let size: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *connection).await?;
    let pages = max_bytes / u64::try_from(size).unwrap_or(4096).max(1);
    let pages = pages.clamp(1, u64::from(u32::MAX) - 1);
    sqlx::query(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(connection).await.map(drop)
}

/// What rows may take of a file that may become so large. The rest is for checkpoints, without which nothing could ever be
/// removed from a file that is full.
fn for_rows(max_bytes: u64) -> u64 {
    max_bytes.saturating_sub((max_bytes / 16).clamp(64 << 10, 1 << 20))
}

/// The most that is written at once, or goes unsigned, of a file that may become so large. It has several signed parts
/// then, of which the oldest can be removed, however small it is.
pub(super) const fn part(max_bytes: u64) -> u64 {
    max_bytes / 8
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// `sql` with all cells of `rows`.
fn with_rows(sql: &Arc<str>, rows: &[&mut Row]) -> Query<'static, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
    for row in rows {
        for cell in row.cells.iter() {
            query = match cell {
                Cell::Null => query.bind(None::<i64>),
                Cell::Int(value) => query.bind(*value),
                Cell::Text(value) => query.bind(Arc::clone(value)),
            };
        }
        query = query.bind(row.hash.0.to_vec());
    }
    query
}

/// Writes so many rows, or none of them.
fn batch(rows: usize) -> String {
    // A statement alone is a transaction of its own.
    if CHUNKS.contains(&rows) {
        return insert(rows);
    }
    let mut left = rows;
    let mut statements = vec!["BEGIN IMMEDIATE".to_owned()];
    for size in CHUNKS {
        statements.extend(vec![insert(size); left / size]);
        left %= size;
    }
    statements.push("COMMIT".to_owned());
    statements.join("; ")
}

fn insert(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS.len() + 1].join(", "));
    let rows = vec![row; rows].join(", ");
    format!("INSERT INTO entries ({}, hash) VALUES {rows}", COLUMNS.join(", "))
}
