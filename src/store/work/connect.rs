//! Opening the database of approvals and jobs, and making its tables where they are missing.

use super::{Pool, Work, WorkError};
use crate::config::snapshot::WorkStore;
use crate::secrets::Secret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// The tables, in both databases. May be run again.
const SCHEMA: &[&str] = &[include_str!("version.sql"), include_str!("approvals.sql"), include_str!("jobs.sql")];

/// As in `version.sql`.
const VERSION: i64 = 1;

/// Whoever makes the tables in Postgres holds this lock, so that two gateways that start at once don't get in each other's
/// way: "PORTWORK".
const LOCK: i64 = 0x504f_5254_574f_524b;

/// How long another writer of the SQLite file is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// Connections to Postgres. Statements are short; calls wait for no more than a row.
const CONNECTIONS: u32 = 8;

impl Work {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// It can't be used.
    pub async fn open(store: &WorkStore) -> Result<Self, WorkError> {
        match store {
            WorkStore::Sqlite(path) => Self::sqlite(path).await,
            WorkStore::Postgres(url) => Self::postgres(url).await,
        }
    }

    /// Opens the SQLite file, and makes it where it is missing.
    ///
    /// # Errors
    /// It can't be used.
    pub async fn sqlite(path: &Path) -> Result<Self, WorkError> {
        prepare(path).map_err(|source| WorkError::File { path: path.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // What a person decided must survive the loss of power.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .disable_statement_logging();
        // SQLite has one writer; readers of their own connections do not wait for it.
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        make_sqlite(&pool).await?;
        Ok(Self { pool: Pool::Sqlite(pool) })
    }

    /// Opens the Postgres database at `url`.
    ///
    /// # Errors
    /// It can't be used.
    pub async fn postgres(url: &Secret<String>) -> Result<Self, WorkError> {
        let options = PgConnectOptions::from_str(url.expose()).map_err(|_| WorkError::Url)?;
        let options = options.application_name("portcullis").disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(super::DEADLINE);
        let pool = pool.connect_with(options).await?;
        make_postgres(&pool).await?;
        Ok(Self { pool: Pool::Postgres(pool) })
    }
}

/// Makes the folder and the file, which is not for everybody to read. SQLite gives its other files the same mode.
fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path).map(drop)
}

async fn make_sqlite(pool: &SqlitePool) -> Result<(), WorkError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let count = "SELECT count(*), count(*) FILTER (WHERE name = 'portcullis_work_version') FROM sqlite_schema";
    let found = sqlx::query(count).fetch_one(&mut *transaction).await?;
    let (things, ours): (i64, i64) = (found.try_get(0)?, found.try_get(1)?);
    if things > 0 && ours == 0 {
        return Err(WorkError::Foreign);
    }
    for sql in SCHEMA {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
    }
    let version = sqlx::query_scalar("SELECT max(version) FROM portcullis_work_version");
    check(version.fetch_one(&mut *transaction).await?)?;
    Ok(transaction.commit().await?)
}

async fn make_postgres(pool: &PgPool) -> Result<(), WorkError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    for sql in SCHEMA {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
    }
    let version = sqlx::query_scalar("SELECT max(version) FROM portcullis_work_version");
    check(version.fetch_one(&mut *transaction).await?)?;
    Ok(transaction.commit().await?)
}

fn check(version: i64) -> Result<(), WorkError> {
    if version > VERSION { Err(WorkError::Version(version)) } else { Ok(()) }
}
