//! The journal's file: opening it, and writing rows to it. When to write, and what failure means, is `writer`'s.

use super::row::{COLUMNS, Cell, Row};
use super::{Bounds, JournalError, now};
use crate::config::document::gateway::Durability;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// "PORT", as in `schema.sql`.
const APPLICATION: i64 = 1_347_375_700;

/// As in `schema.sql`.
const VERSION: i64 = 1;

/// The write-ahead log is cut back to this after a checkpoint.
const LOG_BYTES: &str = "67108864";

/// Rows of one statement. A batch is written in few, and each of these is prepared once.
const CHUNKS: [usize; 3] = [64, 8, 1];

/// Where the journal is and how it is written.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) durability: Durability,
    pub(super) deadline: Duration,
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
        let path = &settings.path;
        make_folder(path)?;
        let file = |source| JournalError::File { path: path.clone(), source };
        drop(open_file(path).map_err(file)?);
        let identity = identity(path).map_err(file)?;
        let database = |source| JournalError::Database { path: path.clone(), source };
        let mut connection = options(settings).connect().await.map_err(database)?;
        match layout(&mut connection).await.map_err(database)? {
            (_, 0, 0) => sqlx::raw_sql(include_str!("schema.sql")).execute(&mut connection).await.map(drop),
            (APPLICATION, VERSION, _) => Ok(()),
            (APPLICATION, found, _) => return Err(JournalError::Version { path: path.clone(), found }),
            _ => return Err(JournalError::Foreign { path: path.clone() }),
        }
        .map_err(database)?;
        let inserts = CHUNKS.iter().map(|size| (*size, insert(*size).into())).collect();
        Ok(Self { connection, settings: settings.clone(), identity, inserts })
    }

    /// Ends the calls that an earlier run left open with an outcome `unknown`; how many there were.
    pub(super) async fn close_open_calls(&mut self, instance: &str) -> Result<usize, JournalError> {
        let path = self.settings.path.clone();
        self.try_close_open_calls(instance).await.map_err(|source| JournalError::Database { path, source })
    }

    async fn try_close_open_calls(&mut self, instance: &str) -> sqlx::Result<usize> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let open: Vec<i64> =
            sqlx::query_scalar("SELECT seq FROM open_calls ORDER BY seq").fetch_all(&mut *transaction).await?;
        let sql: Arc<str> = closing().into();
        let at = now();
        for seq in &open {
            sqlx::query(AssertSqlSafe(Arc::clone(&sql)))
                .bind(Uuid::now_v7().to_string())
                .bind(instance)
                .bind(at.to_string())
                .bind(at.millis())
                .bind(seq)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(open.len())
    }

    /// Writes all of `rows` or none; how many were new. A row whose event id is there already is not written again, so
    /// a batch of which nobody knows whether it was committed may be sent once more.
    ///
    /// After an error this connection is of no more use.
    pub(super) async fn append(&mut self, rows: &[&Row]) -> Result<u64, String> {
        if self.is_elsewhere() {
            return Err("the journal's file was moved or removed".into());
        }
        self.try_append(rows).await.map_err(|error| error.to_string())
    }

    fn is_elsewhere(&self) -> bool {
        identity(&self.settings.path).ok() != Some(self.identity)
    }

    async fn try_append(&mut self, rows: &[&Row]) -> sqlx::Result<u64> {
        #[cfg(test)]
        self.bound_pages().await?;
        // A statement alone is a transaction of its own.
        if CHUNKS.contains(&rows.len()) {
            return self.insert(rows).await;
        }
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        let new = self.insert(rows).await?;
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(new)
    }

    async fn insert(&mut self, mut rows: &[&Row]) -> sqlx::Result<u64> {
        let mut new = 0;
        for (size, sql) in &self.inserts {
            while let Some((chunk, rest)) = rows.split_at_checked(*size) {
                let mut query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
                for cell in chunk.iter().flat_map(|row| row.cells.iter()) {
                    query = match cell {
                        Cell::Null => query.bind(None::<i64>),
                        Cell::Int(value) => query.bind(*value),
                        Cell::Text(value) => query.bind(Arc::clone(value)),
                    };
                }
                new += query.execute(&mut self.connection).await?.rows_affected();
                rows = rest;
            }
        }
        Ok(new)
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
            0 => u32::MAX - 1,
            pages => pages,
        };
        let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).execute(&mut self.connection).await.map(drop)
    }
}

fn options(settings: &Settings) -> SqliteConnectOptions {
    let synchronous = match settings.durability {
        // In WAL mode a commit is a write to the log without fsync: it outlives the process, not the machine.
        Durability::Async | Durability::Journaled => SqliteSynchronous::Normal,
        Durability::Synced => SqliteSynchronous::Full,
    };
    SqliteConnectOptions::new()
        .filename(&settings.path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(settings.deadline)
        .pragma("journal_size_limit", LOG_BYTES)
        .disable_statement_logging()
}

/// Application, version, and how many things the file holds.
async fn layout(connection: &mut SqliteConnection) -> sqlx::Result<(i64, i64, i64)> {
    let application = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let things = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok((application, version, things))
}

fn insert(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS.len()].join(", "));
    let rows = vec![row; rows].join(", ");
    format!("INSERT INTO entries ({}) VALUES {rows} ON CONFLICT (event_id) DO NOTHING", COLUMNS.join(", "))
}

/// The outcome of an intent whose run is over: what the intent says, but for what only an end can say.
fn closing() -> String {
    let value = |column: &&'static str| match *column {
        "event_id" => "?1",
        "instance" => "?2",
        "at" => "?3",
        "at_ms" => "?4",
        "kind" => "'outcome'",
        "outcome" => "'unknown'",
        "detail" => "'the gateway ended while this call ran'",
        "status" | "error" | "latency_us" | "upstream_us" => "NULL",
        "bytes_out" => "0",
        "redactions" => "'{}'",
        other => other,
    };
    let values: Vec<&str> = COLUMNS.iter().map(value).collect();
    format!("INSERT INTO entries ({}) SELECT {} FROM entries WHERE seq = ?5", COLUMNS.join(", "), values.join(", "))
}
