//! Reads a journal, while a gateway writes it or when none does. Never writes: the file is opened read-only, and readers
//! do not hold the writer up (SQLite's write-ahead log).
//!
//! What is read is what is kept. Whether it is right is checked elsewhere, by the rows' hashes.

use super::JournalError;
use super::database::{APPLICATION, VERSION};
use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::row::{COLUMNS, Cell, NUMBERS, Stored};
use portcullis_core::audit::tree::Front;
use portcullis_core::time::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _, ValueRef};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// All columns in the order of `COLUMNS`, and the hash.
pub(super) const SELECT: &str = "SELECT * FROM entries";

/// How long a reader waits for a lock; only a checkpoint of the log's end takes one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which rows are meant. All that is said must hold; what is not said holds for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// Columns of `COLUMNS` with the text that they hold, exactly.
    pub equal: Vec<(&'static str, String)>,
    /// The rows of this tenant alone; of none at all, where it says none.
    pub of_tenant: Option<Option<String>>,
    /// A text within one of the columns that hold names, arguments or details; upper and lower case are one for ASCII.
    pub text: Option<String>,
    /// Looked for no further than this place, in whichever direction.
    pub to: Option<i64>,
    /// One row for each call: the intents of calls that have ended are left out, and so are those that run.
    pub ended: bool,
}

/// Which end is read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the first row on.
    OldestFirst,
    /// From the last row back.
    NewestFirst,
}

/// The columns that `Filter::text` looks into.
const SEARCHED: [&str; 16] = [
    "request_id",
    "trace_id",
    "issuer",
    "subject",
    "tenant",
    "agent",
    "client",
    "endpoint",
    "upstream",
    "method",
    "tool",
    "rule",
    "shadow_rule",
    "arguments",
    "error",
    "detail",
];

/// An open journal.
pub struct Reader {
    pub(super) connection: SqliteConnection,
    instance: Arc<str>,
    path: PathBuf,
}

impl Reader {
    /// Opens the journal at `path`.
    ///
    /// # Errors
    /// There is none, or it is one of another version.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        let database = |source| JournalError::Database { path: path.to_owned(), source };
        // What SQLite says of a file that is not there helps nobody. It is not opened beside SQLite: to close it would give up
        // the locks of a writer in this process.
        std::fs::metadata(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => JournalError::Absent { path: path.to_owned() },
            _ => JournalError::Unreadable { path: path.to_owned(), source },
        })?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(PATIENCE);
        let mut connection = options.disable_statement_logging().connect().await.map_err(database)?;
        match layout(&mut connection).await.map_err(database)? {
            (APPLICATION, VERSION, _) => {}
            (APPLICATION, found, _) => return Err(JournalError::Version { path: path.to_owned(), found }),
            _ => return Err(JournalError::Foreign { path: path.to_owned() }),
        }
        let instance = instance(&mut connection).await.map_err(database)?;
        Ok(Self { connection, instance, path: path.to_owned() })
    }

    /// What the journal is called since it was made: a UUID.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The place of the last row; 0 where there is none.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn last(&mut self) -> Result<i64, JournalError> {
        let last =
            sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM entries").fetch_one(&mut self.connection).await;
        last.map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// The places of the first and of the last row; 0 where there is none.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn ends(&mut self) -> Result<(i64, i64), JournalError> {
        let sql = "SELECT coalesce((SELECT min(seq) FROM entries), 0), coalesce((SELECT max(seq) FROM entries), 0)";
        let ends = sqlx::query_as(sql).fetch_one(&mut self.connection).await;
        ends.map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// The checkpoints that speak of `from` to `to` rows, smallest first: the rows that each speaks of, and its line in an
    /// export. There, it follows the last of these rows, so that the export can be checked by itself.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn checkpoints(&mut self, from: i64, to: i64) -> Result<Vec<(i64, String)>, JournalError> {
        let kept = checkpoints(&mut self.connection, from, to).await;
        let kept = kept.map_err(|source| JournalError::Database { path: self.path.clone(), source })?;
        Ok(kept.into_iter().map(|kept| (kept.size, kept.export_line())).collect())
    }

    /// The first `limit` rows after the place `after`, oldest first: what a shipper takes, and `tail`.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn after(&mut self, after: i64, limit: usize) -> Result<Vec<Stored>, JournalError> {
        self.page(&Filter::default(), Order::OldestFirst, Some(after), limit).await
    }

    /// The first `limit` rows that `filter` means, in `order`, beyond the place `from`, or from the end that the order
    /// begins at. The place of the last one is the `from` of the next page.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn page(
        &mut self,
        filter: &Filter,
        order: Order,
        from: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Stored>, JournalError> {
        let sql = filter.select(order);
        let from = from.unwrap_or(if order == Order::OldestFirst { 0 } else { i64::MAX });
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(from);
        if let Some(to) = filter.to {
            query = query.bind(to);
        }
        for bound in [filter.since, filter.until].into_iter().flatten() {
            query = query.bind(bound.millis());
        }
        for (column, value) in &filter.equal {
            query = if NUMBERS.contains(column) { query.bind(value.parse::<i64>().ok()) } else { query.bind(value) };
        }
        if let Some(tenant) = &filter.of_tenant {
            query = query.bind(tenant);
        }
        if let Some(text) = &filter.text {
            query = query.bind(text.to_ascii_lowercase());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.bind(limit).fetch_all(&mut self.connection).await;
        let stored = rows.and_then(|rows| rows.iter().map(stored).collect());
        stored.map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }
}

impl Filter {
    fn select(&self, order: Order) -> String {
        let (beyond, direction) = if order == Order::OldestFirst { (">", "ASC") } else { ("<", "DESC") };
        let mut sql = format!("{SELECT} WHERE seq {beyond} ?");
        if self.to.is_some() {
            sql.push_str(if order == Order::OldestFirst { " AND seq <= ?" } else { " AND seq >= ?" });
        }
        if self.since.is_some() {
            sql.push_str(" AND at_ms >= ?");
        }
        if self.until.is_some() {
            sql.push_str(" AND at_ms < ?");
        }
        for (column, _) in &self.equal {
            // A name that is no column would be an error of SQLite's, and could say more than a name.
            let known = COLUMNS.iter().find(|known| *known == column);
            sql.push_str(&known.map_or(" AND ? IS NULL".to_owned(), |column| format!(" AND {column} = ?")));
        }
        if self.of_tenant.is_some() {
            sql.push_str(" AND tenant IS ?");
        }
        if self.text.is_some() {
            let all = SEARCHED.map(|column| format!("coalesce({column}, '')")).join(" || char(10) || ");
            sql.push_str(&format!(" AND instr(lower({all}), ?) > 0"));
        }
        if self.ended {
            sql.push_str(" AND kind <> 'intent'");
        }
        format!("{sql} ORDER BY seq {direction} LIMIT ?")
    }
}

/// A checkpoint as it is kept.
pub(super) struct Kept {
    pub(super) size: i64,
    /// The nodes of the tree, which the signed root is made of.
    pub(super) front: Front,
    /// The signed text.
    pub(super) note: String,
}

impl Kept {
    pub(super) fn export_line(&self) -> String {
        let nodes: Vec<String> = self.front.nodes().iter().map(Hash::to_string).collect();
        serde_json::json!({"checkpoint": self.note, "front": nodes}).to_string()
    }
}

/// The checkpoints that speak of `from` to `to` rows, smallest first.
pub(super) async fn checkpoints(connection: &mut SqliteConnection, from: i64, to: i64) -> sqlx::Result<Vec<Kept>> {
    let sql = "SELECT size, front, note FROM checkpoints WHERE size BETWEEN ? AND ? ORDER BY size";
    let kept: Vec<(i64, Vec<u8>, String)> = sqlx::query_as(sql).bind(from).bind(to).fetch_all(connection).await?;
    kept.into_iter().map(|(size, nodes, note)| Ok(Kept { size, front: front(size, &nodes)?, note })).collect()
}

/// Application, version, and how many things the file holds.
pub(super) async fn layout(connection: &mut SqliteConnection) -> sqlx::Result<(i64, i64, i64)> {
    let application = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let things = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok((application, version, things))
}

/// What the journal is called.
pub(super) async fn instance(connection: &mut SqliteConnection) -> sqlx::Result<Arc<str>> {
    let instance: String = sqlx::query_scalar("SELECT instance FROM journal").fetch_one(connection).await?;
    Ok(instance.into())
}

/// A row of `SELECT`.
pub(super) fn stored(row: &SqliteRow) -> sqlx::Result<Stored> {
    let mut cells = Box::new([const { Cell::Null }; COLUMNS.len()]);
    for (at, cell) in cells.iter_mut().enumerate() {
        let is_number = COLUMNS.get(at).is_some_and(|column| NUMBERS.contains(column));
        *cell = match row.try_get_raw(at)?.is_null() {
            true => Cell::Null,
            false if is_number => Cell::Int(row.try_get(at)?),
            false => Cell::Text(row.try_get::<String, _>(at)?.into()),
        };
    }
    let hash = hash(row.try_get(COLUMNS.len())?)?;
    Stored::new(cells, hash).ok_or_else(|| sqlx::Error::Decode("a row without a place".into()))
}

/// The nodes in a column, of a tree of `size` leaves.
pub(super) fn front(size: i64, bytes: &[u8]) -> sqlx::Result<Front> {
    let nodes = bytes.chunks(32).map(hash).collect::<sqlx::Result<Vec<_>>>()?;
    let front = u64::try_from(size).ok().and_then(|size| Front::new(size, nodes));
    front.ok_or_else(|| sqlx::Error::Decode("a checkpoint whose nodes do not fit its size".into()))
}

/// The hash in a column.
pub(super) fn hash(bytes: &[u8]) -> sqlx::Result<Hash> {
    let bytes = bytes.try_into();
    bytes.map(Hash).map_err(|_| sqlx::Error::Decode("a hash that is not 32 bytes long".into()))
}
