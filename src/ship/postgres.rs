//! A Postgres database: the journal's rows in a table of the same columns, each event id once however often it is sent.

use super::sink::{Batch, Checkpoint, Failure};
use crate::secrets::Secret;
use portcullis_core::audit::row::{COLUMNS, NUMBERS, Stored};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::str::FromStr;
use std::sync::Arc;

/// The tables. May be run again.
pub const SCHEMA: &str = include_str!("postgres.sql");

/// As in `postgres.sql`.
const VERSION: i32 = 1;

/// Whoever makes the tables holds this lock, so that two gateways that start at once don't get in each other's way.
const LOCK: i64 = 0x504f_5254_4155_4449;

/// SQLSTATEs (PostgreSQL, appendix A).
pub(super) const UNDEFINED_TABLE: &str = "42P01";
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A database, and a connection to it where there is one.
pub(super) struct Postgres {
    url: Secret<String>,
    connection: Option<PgConnection>,
    insert: Arc<str>,
}

impl Postgres {
    /// The database at `url`; not connected yet.
    pub(super) fn new(url: Secret<String>) -> Self {
        Self { url, connection: None, insert: insert().into() }
    }

    /// Lets go of the connection.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Writes the batch, or nothing of it.
    pub(super) async fn deliver(&mut self, batch: Batch<'_>) -> Result<(), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.url).await?,
        };
        let written = write(&mut connection, &self.insert, batch).await.map_err(failure);
        // What was refused for its content has left the connection as it was; else it is of no more use.
        if matches!(written, Ok(()) | Err(Failure::Refused { .. })) {
            self.connection = Some(connection);
        }
        written
    }
}

async fn connect(url: &Secret<String>) -> Result<PgConnection, Failure> {
    // The reader's own words may quote a part of the URL.
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(|_| Failure::later("the URL in `postgres` can't be read; look at its port and parameters"))?;
    let options = options.application_name("portcullis").disable_statement_logging();
    let mut connection = options.connect().await.map_err(failure)?;
    match version(&mut connection).await {
        Ok(VERSION) => Ok(connection),
        Ok(newer) if newer > VERSION => Err(Failure::later(format!(
            "the tables are of version {newer}, which a newer portcullis made; use that one"
        ))),
        Ok(_) => make(connection).await,
        Err(error) if code(&error).as_deref() == Some(UNDEFINED_TABLE) => make(connection).await,
        Err(error) => Err(failure(error)),
    }
}

/// The version of the tables; 0 where none is written down.
async fn version(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let query = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM portcullis_audit_version");
    query.persistent(false).fetch_one(connection).await
}

/// Makes the tables.
async fn make(mut connection: PgConnection) -> Result<PgConnection, Failure> {
    match try_make(&mut connection).await {
        Ok(()) => Ok(connection),
        Err(error) if code(&error).as_deref() == Some(INSUFFICIENT_PRIVILEGE) => {
            let hint = "let a role that may make tables run the output of `portcullis audit schema`";
            Err(Failure::later(format!("the tables are not there, and this role may not make them; {hint}")))
        }
        Err(error) => Err(failure(error)),
    }
}

async fn try_make(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).persistent(false).execute(&mut *transaction).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// One statement for any number of rows: each column is an array.
fn insert() -> String {
    let arrays: Vec<String> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, column)| format!("${}::{}[]", at + 1, if NUMBERS.contains(column) { "bigint" } else { "text" }))
        .collect();
    let (columns, arrays, hash) = (COLUMNS.join(", "), arrays.join(", "), COLUMNS.len() + 1);
    format!(
        "INSERT INTO portcullis_audit_entries ({columns}, hash) SELECT * FROM unnest({arrays}, ${hash}::bytea[]) \
         ON CONFLICT (event_id) DO NOTHING"
    )
}

async fn write(connection: &mut PgConnection, insert: &Arc<str>, batch: Batch<'_>) -> sqlx::Result<()> {
    if !batch.rows.is_empty() {
        write_rows(connection, insert, batch.rows).await?;
    }
    if !batch.checkpoints.is_empty() {
        write_checkpoints(connection, batch.instance, batch.checkpoints).await?;
    }
    Ok(())
}

async fn write_rows(connection: &mut PgConnection, insert: &Arc<str>, rows: &[Stored]) -> sqlx::Result<()> {
    let mut query = sqlx::query(AssertSqlSafe(insert.to_string()));
    for column in COLUMNS {
        query = if NUMBERS.contains(&column) {
            query.bind(rows.iter().map(|row| row.int(column)).collect::<Vec<Option<i64>>>())
        } else {
            query.bind(rows.iter().map(|row| row.text(column).map(str::to_owned)).collect::<Vec<Option<String>>>())
        };
    }
    let hashes: Vec<Vec<u8>> = rows.iter().map(|row| row.hash.0.to_vec()).collect();
    // Not prepared under a name: poolers in front of databases don't keep names.
    query.bind(hashes).persistent(false).execute(connection).await.map(|_| ())
}

async fn write_checkpoints(
    connection: &mut PgConnection,
    instance: &str,
    checkpoints: &[Checkpoint],
) -> sqlx::Result<()> {
    let sql = "INSERT INTO portcullis_audit_checkpoints (instance, size, line) \
               SELECT $1, * FROM unnest($2::bigint[], $3::text[]) ON CONFLICT (instance, size) DO NOTHING";
    let sizes: Vec<i64> = checkpoints.iter().map(|checkpoint| checkpoint.size).collect();
    let lines: Vec<String> = checkpoints.iter().map(|checkpoint| checkpoint.line.clone()).collect();
    let query = sqlx::query(sql).bind(instance.to_owned()).bind(sizes).bind(lines);
    query.persistent(false).execute(connection).await.map(|_| ())
}

pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

/// What an error says of the batch: data exceptions, violated constraints, limits of the program, check options of views
/// and what triggers raise are about rows (SQLSTATE classes 22, 23, 54, 44 and P0); everything else may pass.
fn failure(error: sqlx::Error) -> Failure {
    let said = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let Some(code) = code(&error) else { return Failure::later(said) };
    match code.get(..2) {
        Some("22" | "23" | "44" | "54" | "P0") => Failure::Refused { reason: format!("{said} (SQLSTATE {code})") },
        _ if code == INSUFFICIENT_PRIVILEGE => {
            let hint = "grant the role SELECT and INSERT, as `portcullis audit schema` says";
            Failure::later(format!("{said} (SQLSTATE {code}); {hint}"))
        }
        _ => Failure::later(format!("{said} (SQLSTATE {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_columns_of_the_journal() {
        let (_, rest) = SCHEMA.split_once("EXISTS portcullis_audit_entries (\n").unwrap();
        let (table, _) = rest.split_once("\n);").unwrap();
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
        let expected: Vec<Vec<&str>> = COLUMNS
            .iter()
            .map(|column| vec![*column, if NUMBERS.contains(column) { "bigint" } else { "text" }])
            .chain([vec!["hash", "bytea"]])
            .collect();
        let plain: Vec<Vec<&str>> =
            words.iter().map(|words| words.iter().map(|word| word.trim_end_matches(',')).collect()).collect();
        assert_eq!(plain, expected);
    }
}
