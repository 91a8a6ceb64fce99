//! The state database's file: opening it, and its table of definitions. What a pin means is `pins`' business.

use super::{Acceptance, News, Offer, Pin, PinsError, Row, Text};
use portcullis_core::catalog::{Canonical, PinKind};
use portcullis_core::time::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Row as _};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// "PORS", as in `schema.sql`.
const APPLICATION: i64 = 1_347_375_699;

/// As in `schema.sql`.
const VERSION: i64 = 1;

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open state database.
pub(super) struct Database {
    connection: SqliteConnection,
    path: PathBuf,
    /// Device and inode: whether the path still leads to the file that is open.
    identity: (u64, u64),
    /// SQLite's count of what others have written.
    version: i64,
}

impl Database {
    /// Opens the file, makes it where it is missing, and proves that it can be written.
    pub(super) async fn open(path: &Path) -> Result<Self, PinsError> {
        let file = |source| PinsError::File { path: path.to_owned(), source };
        prepare(path).map_err(file)?;
        let identity = identity(path).map_err(file)?;
        let database = |source| PinsError::Database { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(database)?;
        match layout(&mut connection).await.map_err(database)? {
            (_, 0, 0) | (APPLICATION, VERSION, _) => make(&mut connection).await.map_err(database)?,
            (APPLICATION, found, _) => return Err(PinsError::Version { path: path.to_owned(), found }),
            _ => return Err(PinsError::Foreign { path: path.to_owned() }),
        }
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await.map_err(database)?;
        let mut database = Self { connection, path: path.to_owned(), identity, version: 0 };
        database.version = database.data_version().await?;
        Ok(database)
    }

    fn failed(&self) -> impl Fn(sqlx::Error) -> PinsError + use<> {
        let path = self.path.clone();
        move |source| PinsError::Database { path: path.clone(), source }
    }

    async fn data_version(&mut self) -> Result<i64, PinsError> {
        let failed = self.failed();
        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await.map_err(failed)
    }

    /// The rows, where others have written since this was last asked; `None` where they have not.
    pub(super) async fn news(&mut self) -> Result<Option<Vec<Row>>, PinsError> {
        self.check_place()?;
        let version = self.data_version().await?;
        if version == self.version {
            return Ok(None);
        }
        let rows = self.rows().await?;
        self.version = version;
        Ok(Some(rows))
    }

    /// A file that was moved away is not the one in which a person accepts.
    fn check_place(&self) -> Result<(), PinsError> {
        let here = identity(&self.path).ok() == Some(self.identity);
        if here { Ok(()) } else { Err(PinsError::Moved { path: self.path.clone() }) }
    }

    /// All rows, in order.
    pub(super) async fn rows(&mut self) -> Result<Vec<Row>, PinsError> {
        let failed = self.failed();
        let rows = sqlx::query("SELECT * FROM definitions ORDER BY upstream, kind, name");
        let rows = rows.fetch_all(&mut self.connection).await.map_err(&failed)?;
        rows.iter().map(row).collect::<Result<Vec<_>, _>>().map_err(failed)
    }

    /// Writes down `offer`, of which at most `most` names are remembered: all rows of the upstream and kind, and what is
    /// in quarantine since now.
    pub(super) async fn take(&mut self, offer: &Offer<'_>, most: usize) -> Result<(Vec<Row>, Vec<News>), PinsError> {
        self.check_place()?;
        let failed = self.failed();
        let mut transaction = begin(&mut self.connection).await.map_err(&failed)?;
        let before = rows_of(&mut transaction, offer).await.map_err(&failed)?;
        let news = note(&mut transaction, offer, &before, most).await.map_err(&failed)?;
        let rows = rows_of(&mut transaction, offer).await.map_err(&failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok((rows.into_values().collect(), news))
    }

    /// What was accepted and is not in the journal yet, in order.
    pub(super) async fn unrecorded(&mut self) -> Result<Vec<Acceptance>, PinsError> {
        let failed = self.failed();
        let rows = sqlx::query("SELECT * FROM acceptances WHERE recorded = 0 ORDER BY id");
        let rows = rows.fetch_all(&mut self.connection).await.map_err(&failed)?;
        rows.iter().map(acceptance).collect::<Result<Vec<_>, _>>().map_err(failed)
    }

    /// The journal has it.
    pub(super) async fn recorded(&mut self, acceptance: &Acceptance) -> Result<(), PinsError> {
        let failed = self.failed();
        let update = sqlx::query("UPDATE acceptances SET recorded = 1 WHERE id = ?").bind(acceptance.id);
        update.execute(&mut self.connection).await.map(drop).map_err(failed)
    }

    /// Makes what is found what is pinned, where both still are as in `row`, and remembers that `who` did.
    pub(super) async fn accept(&mut self, row: &Row, who: &str) -> Result<bool, PinsError> {
        let failed = self.failed();
        let Some(found) = &row.found else { return Ok(false) };
        let at = now();
        let mut transaction = begin(&mut self.connection).await.map_err(&failed)?;
        let accepted = sqlx::query(
            "UPDATE definitions SET pinned = found, pinned_digest = found_digest, pinned_at = ?1, \
             found = NULL, found_digest = NULL, found_at = NULL \
             WHERE upstream = ?2 AND kind = ?3 AND name = ?4 AND pinned_digest = ?5 AND found_digest = ?6",
        )
        .bind(&at)
        .bind(&row.upstream)
        .bind(row.kind.as_str())
        .bind(&row.name)
        .bind(&row.pinned.digest)
        .bind(&found.digest)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        if accepted.rows_affected() != 1 {
            return Ok(false);
        }
        let insert = sqlx::query(
            "INSERT INTO acceptances (at, who, upstream, kind, name, before_digest, after_digest) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        );
        let insert = insert.bind(at).bind(who).bind(&row.upstream).bind(row.kind.as_str()).bind(&row.name);
        let insert = insert.bind(&row.pinned.digest).bind(&found.digest);
        insert.execute(&mut *transaction).await.map_err(&failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }
}

impl Row {
    /// The same for memory.
    pub(super) fn pin(&self) -> Pin {
        let found = self.found.as_ref().map(|found| found.digest.clone());
        Pin { pinned: self.pinned.digest.clone(), found, gone: self.gone_at.is_some() }
    }
}

type Transaction<'a> = sqlx::Transaction<'a, sqlx::Sqlite>;

async fn begin(connection: &mut SqliteConnection) -> sqlx::Result<Transaction<'_>> {
    use sqlx::Connection as _;
    connection.begin_with("BEGIN IMMEDIATE").await
}

async fn rows_of(transaction: &mut Transaction<'_>, offer: &Offer<'_>) -> sqlx::Result<BTreeMap<String, Row>> {
    let rows = sqlx::query("SELECT * FROM definitions WHERE upstream = ? AND kind = ?")
        .bind(offer.upstream)
        .bind(offer.kind.as_str())
        .fetch_all(&mut **transaction)
        .await?;
    rows.iter().map(|found| row(found).map(|row| (row.name.clone(), row))).collect()
}

async fn note(
    transaction: &mut Transaction<'_>,
    offer: &Offer<'_>,
    before: &BTreeMap<String, Row>,
    most: usize,
) -> sqlx::Result<Vec<News>> {
    let mut news = Vec::new();
    let mut room = most.saturating_sub(before.len());
    for (name, canonical) in &offer.definitions {
        match before.get(*name) {
            None if room == 0 => {}
            None => {
                room -= 1;
                insert(transaction, offer, name, canonical).await?;
            }
            Some(row) if row.pin().remembers(offer, canonical) => {
                if row.gone_at.is_some() {
                    set(transaction, row, Set::Back).await?;
                }
            }
            Some(row) if row.pinned.digest == canonical.digest => set(transaction, row, Set::Pinned).await?,
            Some(row) if !offer.pinning => set(transaction, row, Set::Trusted(canonical)).await?,
            Some(row) => {
                set(transaction, row, Set::Found(canonical)).await?;
                if row.found.as_ref().is_none_or(|found| found.digest != canonical.digest) {
                    let (pinned, found) = (Arc::clone(&row.pinned.text), Arc::clone(&canonical.text));
                    news.push(News { name: (*name).to_owned(), pinned, found });
                }
            }
        }
    }
    let missing = |row: &&Row| row.gone_at.is_none() && !offer.definitions.contains_key(&*row.name);
    for row in before.values().filter(missing).filter(|_| !offer.personal) {
        set(transaction, row, Set::Gone).await?;
    }
    Ok(news)
}

async fn insert(
    transaction: &mut Transaction<'_>,
    offer: &Offer<'_>,
    name: &str,
    canonical: &Canonical,
) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO definitions (upstream, kind, name, pinned, pinned_digest, pinned_at) VALUES (?, ?, ?, ?, ?, ?)",
    );
    let insert = insert.bind(offer.upstream).bind(offer.kind.as_str()).bind(name);
    let insert = insert.bind(&*canonical.text).bind(&canonical.digest).bind(now());
    insert.execute(&mut **transaction).await.map(drop)
}

/// What becomes of a row.
enum Set<'a> {
    /// It is offered as it is pinned.
    Pinned,
    /// It is offered so, and trusted unseen.
    Trusted(&'a Canonical),
    /// It is offered so, and not trusted.
    Found(&'a Canonical),
    /// It is not offered.
    Gone,
    /// It is offered again, as it was.
    Back,
}

async fn set(transaction: &mut Transaction<'_>, row: &Row, set: Set<'_>) -> sqlx::Result<()> {
    let (change, canonical) = match set {
        Set::Pinned => ("found = NULL, found_digest = NULL, found_at = NULL, gone_at = NULL", None),
        Set::Trusted(canonical) => (
            "pinned = ?5, pinned_digest = ?6, pinned_at = ?4, found = NULL, found_digest = NULL, found_at = NULL, \
             gone_at = NULL",
            Some(canonical),
        ),
        Set::Found(canonical) => (
            "found_at = CASE WHEN found_digest = ?6 THEN found_at ELSE ?4 END, found = ?5, found_digest = ?6, \
             gone_at = NULL",
            Some(canonical),
        ),
        Set::Gone => ("gone_at = ?4", None),
        Set::Back => ("gone_at = NULL", None),
    };
    let sql = format!("UPDATE definitions SET {change} WHERE upstream = ?1 AND kind = ?2 AND name = ?3");
    let update = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&row.upstream).bind(row.kind.as_str()).bind(&row.name);
    let update = update.bind(now()).bind(canonical.map(|canonical| canonical.text.to_string()));
    let update = update.bind(canonical.map(|canonical| canonical.digest.clone()));
    update.execute(&mut **transaction).await.map(drop)
}

fn row(row: &SqliteRow) -> sqlx::Result<Row> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let kind = PinKind::parse(&text("kind")?).ok_or_else(|| sqlx::Error::Decode("an unknown kind".into()))?;
    let pinned = Text { text: text("pinned")?.into(), digest: text("pinned_digest")?, since: text("pinned_at")? };
    let found: Option<String> = row.try_get("found")?;
    let found = match found {
        Some(found) => Some(Text { text: found.into(), digest: text("found_digest")?, since: text("found_at")? }),
        None => None,
    };
    Ok(Row { upstream: text("upstream")?, kind, name: text("name")?, pinned, found, gone_at: row.try_get("gone_at")? })
}

fn acceptance(row: &SqliteRow) -> sqlx::Result<Acceptance> {
    let text = |name: &str| row.try_get::<String, _>(name);
    Ok(Acceptance {
        id: row.try_get("id")?,
        at: text("at")?,
        who: text("who")?,
        upstream: text("upstream")?,
        kind: PinKind::parse(&text("kind")?).ok_or_else(|| sqlx::Error::Decode("an unknown kind".into()))?,
        name: text("name")?,
        before: text("before_digest")?,
        after: text("after_digest")?,
    })
}

/// Makes the folder and the file, which is not for everybody to read. SQLite gives its other files the same mode.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path).map(drop)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Application, version, and how many things the file holds.
async fn layout(connection: &mut SqliteConnection) -> sqlx::Result<(i64, i64, i64)> {
    let application = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let things = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok((application, version, things))
}

async fn make(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(include_str!("schema.sql")).execute(connection).await.map(drop)
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(0).plus(since).to_string()
}
