//! The work that outlives a request: approvals and jobs, in one database, SQLite or Postgres. Here is the connection and
//! the few ways to use it; what the rows mean is said in `core::approval` and `core::job`, and the statements are in a file
//! for each.
//!
//! One text of SQL serves both databases: tables have texts and 64-bit numbers alone, parameters are `$1`, `$2`, and each
//! change is a single statement, guarded by the version of the row that it was made from. Who changes a row first wins,
//! whatever the database and however many gateways share it.

pub mod approvals;
mod connect;
pub mod jobs;

#[cfg(test)]
mod tests;

use crate::secrets::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Postgres, Row as _, Sqlite};
use std::path::PathBuf;
use std::time::Duration;

/// How long a statement may take, waiting for a connection included.
const DEADLINE: Duration = Duration::from_secs(5);

/// An open database. Clones share it.
#[derive(Clone, Debug)]
pub struct Work {
    pool: Pool,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Why the database did not do it. Nothing was changed then, unless the connection broke while it answered: a change is
/// tried again with the version it was made from, and so never made twice.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The file can't be made.
    #[error("{path}: {source}; check that the folder exists and can be written, or change `work.store`", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The URL can't be read. The reader's own words may quote a part of it, so they are not here.
    #[error("the URL in `work.store` can't be read; look at its port and parameters")]
    Url,
    /// The file or database is not ours.
    #[error("the database of `work.store` holds something else; give approvals and jobs one of their own")]
    Foreign,
    /// A newer portcullis made the tables.
    #[error("the tables of `work.store` are of version {0}, which a newer portcullis made; use that one")]
    Version(i64),
    /// It took too long.
    #[error("the database of `work.store` did not answer within {DEADLINE:?}")]
    Deadline,
    /// It refused.
    #[error("the database of `work.store`: {0}")]
    Database(#[from] sqlx::Error),
    /// A row can't be understood.
    #[error("a row of {table} can't be read: {reason}")]
    Row {
        /// Where.
        table: &'static str,
        /// Why.
        reason: String,
    },
}

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A text, or NULL.
    MaybeText(Option<&'a str>),
    /// A number.
    Number(i64),
    /// A number, or NULL.
    MaybeNumber(Option<i64>),
}

/// A row that was found.
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of Postgres.
    Postgres(PgRow),
}

impl Row {
    /// The text in `column`.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&self, column: &str) -> Result<String, WorkError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// The text in `column`, or none where it is NULL.
    ///
    /// # Errors
    /// There is no such column.
    pub fn maybe_text(&self, column: &str) -> Result<Option<String>, WorkError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// The number in `column`.
    ///
    /// # Errors
    /// There is none.
    pub fn number(&self, column: &str) -> Result<i64, WorkError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }
}

impl Work {
    /// The key of this name: 256 random bits that all who share the database share, and that stay what they are. `random` is
    /// taken for it where there is none.
    ///
    /// It tells calls apart and binds what clients keep; it hides nothing from who can read the database.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn key(&self, name: &'static str, random: [u8; 32]) -> Result<Secret<Vec<u8>>, WorkError> {
        const INSERT: &str = "INSERT INTO portcullis_work_keys (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        const SELECT: &str = "SELECT value FROM portcullis_work_keys WHERE name = $1";
        let value = URL_SAFE_NO_PAD.encode(random);
        self.execute(INSERT, &[Value::Text(name), Value::Text(&value)]).await?;
        let row = self.row(SELECT, &[Value::Text(name)]).await?;
        let unreadable = |reason: &str| WorkError::Row { table: "portcullis_work_keys", reason: reason.to_owned() };
        let value = row.ok_or_else(|| unreadable("it is gone"))?.text("value")?;
        URL_SAFE_NO_PAD.decode(value).map(Secret::new).map_err(|_| unreadable("it is not base64"))
    }

    /// Runs a statement; gives how many rows it changed.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, WorkError> {
        within(async {
            match &self.pool {
                Pool::Sqlite(pool) => Ok(sqlite(sql, values).execute(pool).await?.rows_affected()),
                Pool::Postgres(pool) => Ok(postgres(sql, values).execute(pool).await?.rows_affected()),
            }
        })
        .await
    }

    /// The rows that a statement gives.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn rows(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, WorkError> {
        within(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    Ok(sqlite(sql, values).fetch_all(pool).await?.into_iter().map(Row::Sqlite).collect())
                }
                Pool::Postgres(pool) => {
                    Ok(postgres(sql, values).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect())
                }
            }
        })
        .await
    }

    /// The first of the rows that a statement gives.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn row(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, WorkError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Lets go of the database, once what runs has ended.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, WorkError>>) -> Result<T, WorkError> {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or(Err(WorkError::Deadline))
}

fn sqlite<'q>(sql: &'static str, values: &[Value<'q>]) -> Query<'q, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Text(text) => query.bind(text.to_owned()),
        Value::MaybeText(text) => query.bind(text.map(str::to_owned)),
        Value::Number(number) => query.bind(number),
        Value::MaybeNumber(number) => query.bind(number),
    })
}

fn postgres<'q>(sql: &'static str, values: &[Value<'q>]) -> Query<'q, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Text(text) => query.bind(text.to_owned()),
        Value::MaybeText(text) => query.bind(text.map(str::to_owned)),
        Value::Number(number) => query.bind(number),
        Value::MaybeNumber(number) => query.bind(number),
    })
}
