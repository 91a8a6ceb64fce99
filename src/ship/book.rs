//! Where each sink stands, kept in a SQLite file beside the journal, so that it outlives the process. Not in the journal
//! itself, which one writer alone may change.

use portcullis_core::audit::row::Stored;
use portcullis_core::time::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "PORQ", as in `book.sql`.
const APPLICATION: i64 = 1_347_375_697;

/// As in `book.sql`.
const VERSION: i64 = 1;

/// How long another sink's writing is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place in a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The last row that was taken.
    pub(super) seq: i64,
    /// The size of the last checkpoint that was.
    pub(super) checkpoint: i64,
    /// The last row of the batch that was begun: the same is tried until it is taken, by whatever process.
    pub(super) sending: i64,
}

/// A row that a sink refused for what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Its event id.
    pub event_id: String,
    /// Of which journal.
    pub instance: String,
    /// Its place in that.
    pub seq: i64,
    /// When it was set aside.
    pub at: String,
    /// What the sink said.
    pub reason: String,
    /// The line of an export.
    pub line: String,
}

/// The part of the book that speaks of one sink and one journal.
pub(super) struct Book {
    connection: SqliteConnection,
    sink: String,
    instance: String,
}

/// The file beside the journal at `journal`.
pub(super) fn path(journal: &Path) -> PathBuf {
    journal.with_extension("sinks.db")
}

impl Book {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(super) async fn open(journal: &Path, sink: &str, instance: &str) -> Result<Self, String> {
        let path = path(journal);
        let said = |why: String| format!("the sinks' positions in {} can't be kept: {why}", path.display());
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(&path);
        drop(file.map_err(|error| said(error.to_string()))?);
        let mut connection = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|error| said(error.to_string()))?;
        match prepare(&mut connection).await {
            Ok(true) => Ok(Self { connection, sink: sink.to_owned(), instance: instance.to_owned() }),
            Ok(false) => Err(said("it is another version's, or somebody else's database; move it away".into())),
            Err(error) => Err(said(error.to_string())),
        }
    }

    /// Where the sink stands; at the beginning where nothing is known.
    pub(super) async fn place(&mut self) -> sqlx::Result<Place> {
        let sql = "SELECT seq, checkpoint, sending FROM positions WHERE sink = ? AND instance = ?";
        let query = sqlx::query_as(sql).bind(&self.sink).bind(&self.instance);
        let place: Option<(i64, i64, i64)> = query.fetch_optional(&mut self.connection).await?;
        Ok(place.map_or_else(Place::default, |(seq, checkpoint, sending)| Place { seq, checkpoint, sending }))
    }

    /// How many rows were set aside for the sink, ever.
    pub(super) async fn set_aside(&mut self) -> sqlx::Result<i64> {
        let query = sqlx::query_scalar("SELECT count(*) FROM set_aside WHERE sink = ?").bind(&self.sink);
        query.fetch_one(&mut self.connection).await
    }

    /// The first `limit` of the rows that were set aside for the sink, behind `last`, in the order of the record.
    pub(super) async fn aside(&mut self, last: Option<&Aside>, limit: usize) -> sqlx::Result<Vec<Aside>> {
        let sql = "SELECT event_id, instance, seq, at, reason, line FROM set_aside
            WHERE sink = ? AND (instance, seq) > (?, ?) ORDER BY instance, seq LIMIT ?";
        let (instance, seq) = last.map_or(("", 0), |last| (&last.instance, last.seq));
        let query = sqlx::query_as(sql).bind(&self.sink).bind(instance).bind(seq);
        let rows: Vec<(String, String, i64, String, String, String)> =
            query.bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(&mut self.connection).await?;
        let aside = |(event_id, instance, seq, at, reason, line)| Aside { event_id, instance, seq, at, reason, line };
        Ok(rows.into_iter().map(aside).collect())
    }

    /// The sink has the row now that was set aside.
    pub(super) async fn take_back(&mut self, event_id: &str) -> sqlx::Result<()> {
        let query = sqlx::query("DELETE FROM set_aside WHERE sink = ? AND event_id = ?");
        query.bind(&self.sink).bind(event_id).execute(&mut self.connection).await.map(drop)
    }

    /// The sink stands at `place`.
    pub(super) async fn put(&mut self, place: Place) -> sqlx::Result<()> {
        put(&mut self.connection, &self.sink, &self.instance, place).await
    }

    /// The sink stands at `place`, and did not take `rows`, for `reason`.
    pub(super) async fn put_aside(
        &mut self,
        place: Place,
        rows: &[Stored],
        reason: &str,
        at: Timestamp,
    ) -> sqlx::Result<()> {
        let sql = "INSERT OR REPLACE INTO set_aside (sink, event_id, instance, seq, at, reason, line) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let mut transaction = self.connection.begin().await?;
        for row in rows {
            let query = sqlx::query(sql).bind(&self.sink).bind(row.text("event_id").unwrap_or_default());
            let query = query.bind(&self.instance).bind(row.seq).bind(at.to_string()).bind(reason);
            query.bind(row.json_line()).execute(&mut *transaction).await?;
        }
        put(&mut transaction, &self.sink, &self.instance, place).await?;
        transaction.commit().await
    }
}

async fn put(connection: &mut SqliteConnection, sink: &str, instance: &str, place: Place) -> sqlx::Result<()> {
    let sql = "INSERT OR REPLACE INTO positions (sink, instance, seq, checkpoint, sending) VALUES (?, ?, ?, ?, ?)";
    let query = sqlx::query(sql).bind(sink).bind(instance).bind(place.seq).bind(place.checkpoint).bind(place.sending);
    query.execute(connection).await.map(|_| ())
}

/// Makes the tables where there are none; whether they are those of this version.
async fn prepare(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // Several sinks may begin at once: the first makes them.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let things: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *transaction).await?;
    if things == 0 {
        sqlx::raw_sql(include_str!("book.sql")).execute(&mut *transaction).await?;
    }
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *transaction).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok((application, version) == (APPLICATION, VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::chain::Hash;
    use portcullis_core::audit::row::{COLUMNS, Cell};

    #[tokio::test]
    async fn a_place_is_kept_for_each_sink_and_journal() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        let place = Place { seq: 7, checkpoint: 5, sending: 9 };
        let mut book = Book::open(&journal, "one", "instance").await.unwrap();
        assert_eq!(book.place().await.unwrap(), Place::default());
        book.put(place).await.unwrap();
        let mut cells = Box::new([const { Cell::Null }; COLUMNS.len()]);
        (cells[0], cells[1]) = (Cell::Int(8), Cell::Text("event".into()));
        let row = Stored::new(cells, Hash::ZERO).unwrap();
        let moved = Place { seq: 8, ..place };
        for _ in 0..2 {
            book.put_aside(moved, std::slice::from_ref(&row), "why", Timestamp::from_secs(0)).await.unwrap();
        }
        drop(book);
        let mut book = Book::open(&journal, "one", "instance").await.unwrap();
        assert_eq!((book.place().await.unwrap(), book.set_aside().await.unwrap()), (moved, 1));
        let aside = book.aside(None, 10).await.unwrap();
        assert_eq!((aside.len(), aside[0].seq, &*aside[0].reason), (1, 8, "why"));
        assert_eq!(Stored::parse_line(&aside[0].line), Ok(row));
        assert_eq!(book.aside(aside.first(), 10).await.unwrap(), []);
        book.take_back(&aside[0].event_id).await.unwrap();
        assert_eq!((book.place().await.unwrap(), book.set_aside().await.unwrap()), (moved, 0));
        for (sink, instance) in [("one", "other"), ("two", "instance")] {
            let mut other = Book::open(&journal, sink, instance).await.unwrap();
            assert_eq!(other.place().await.unwrap(), Place::default());
        }
    }

    #[tokio::test]
    async fn another_database_is_not_taken_for_a_book() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        let options = SqliteConnectOptions::new().filename(path(&journal)).create_if_missing(true);
        let mut other = options.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE other (a)").execute(&mut other).await.unwrap();
        let said = Book::open(&journal, "one", "instance").await.err().unwrap();
        assert!(said.contains("journal.sinks.db") && said.contains("move it away"), "{said}");
    }
}
