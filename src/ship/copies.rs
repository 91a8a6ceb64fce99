//! Checks the copy of the record in a sink's Postgres tables, as the journal itself is checked. Only reads; makes nothing.

use super::book::{self, Book};
use super::postgres::{UNDEFINED_TABLE, code};
use crate::secrets::Secret;
use crate::store::journal::read::Reader;
use crate::store::journal::verify::begin;
use futures::TryStreamExt;
use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::key::PublicKey;
use portcullis_core::audit::row::{COLUMNS, Canonical, NUMBERS};
use portcullis_core::audit::verify::{Fault, Verified, Verifier};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};
use std::path::Path;
use std::str::FromStr;

/// Why a copy is not known to be right.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is not.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The URL is none.
    #[error("the database's URL can't be read; look at its port and parameters")]
    Url,
    /// The database can't be read.
    #[error("the database can't be read: {0}")]
    Database(#[from] sqlx::Error),
    /// It is another database.
    #[error("the database holds no record of Portcullis: a sink makes its tables, or `portcullis audit schema`")]
    NoTables,
    /// Rows of several journals, and it is not said which are meant.
    #[error("the database holds the rows of several journals: name one with --instance: {}", .0.join(", "))]
    Several(Vec<String>),
    /// No row of the journal.
    #[error("the database holds no row of the journal {0}")]
    Nothing(String),
}

/// What a sink must have, as far as the gateway knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// Of which journal.
    pub instance: String,
    /// The journal's checkpoints that it has taken, as lines: rows that they speak of are missing, if they are.
    pub checkpoints: Vec<String>,
    /// Rows of any journal that were set aside for it, and are not in it.
    pub set_aside: i64,
}

/// What the sink `name` must have of the journal at `path`.
///
/// # Errors
/// In words, why it is not known.
pub async fn shipped(path: &Path, name: &str) -> Result<Shipped, String> {
    let mut reader = Reader::open(path).await.map_err(|error| error.to_string())?;
    let instance = reader.instance().to_owned();
    if !book::path(path).exists() {
        return Ok(Shipped { instance, checkpoints: Vec::new(), set_aside: 0 });
    }
    let mut book = Book::open(path, name, &instance).await?;
    let said = |error: sqlx::Error| error.to_string();
    let (place, set_aside) = (book.place().await.map_err(said)?, book.set_aside().await.map_err(said)?);
    let taken = reader.checkpoints(1, place.checkpoint).await.map_err(|error| error.to_string())?;
    Ok(Shipped { instance, checkpoints: taken.into_iter().map(|(_, line)| line).collect(), set_aside })
}

/// Checks the rows of `instance` in the database at `url`, or of the only journal that has rows there: by the checkpoints
/// beside them and by those that were kept `outside`; `keys` are who may have signed them. A gateway may add rows meanwhile.
///
/// # Errors
/// The first fault, or why it can't be looked at.
pub async fn verify(
    url: &Secret<String>,
    instance: Option<&str>,
    keys: &[PublicKey],
    outside: &[String],
) -> Result<Verified, CopyError> {
    // The reader's own words may quote a part of the URL.
    let options = PgConnectOptions::from_str(url.expose()).map_err(|_| CopyError::Url)?;
    let mut connection = options.application_name("portcullis").disable_statement_logging().connect().await?;
    // One view of the tables, which nothing here can change.
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").persistent(false).execute(&mut connection).await?;
    let instance = match instance {
        Some(instance) => instance.to_owned(),
        None => only(&mut connection).await.map_err(without_tables)?,
    };
    let first = first(&mut connection, &instance).await.map_err(|error| without_tables(error.into()))?;
    let gone = first.ok_or_else(|| CopyError::Nothing(instance.clone()))? - 1;
    let sql = "SELECT size, line FROM portcullis_audit_checkpoints WHERE instance = $1 AND size >= $2 ORDER BY size";
    let lines: Vec<(i64, String)> =
        sqlx::query_as(sql).bind(&instance).bind(gone).persistent(false).fetch_all(&mut connection).await?;
    let mut verifier = begin(&instance, gone, &lines, keys, outside)?;
    rows(&mut connection, &instance, &mut verifier).await?;
    Ok(verifier.finish()?)
}

fn without_tables(error: CopyError) -> CopyError {
    match error {
        CopyError::Database(error) if code(&error).as_deref() == Some(UNDEFINED_TABLE) => CopyError::NoTables,
        other => other,
    }
}

/// The journal that has rows there, where there is one.
async fn only(connection: &mut PgConnection) -> Result<String, CopyError> {
    let sql = "SELECT DISTINCT instance FROM portcullis_audit_entries ORDER BY instance LIMIT 20";
    let mut found: Vec<String> = sqlx::query_scalar(sql).persistent(false).fetch_all(connection).await?;
    match found.len() {
        0 => Err(CopyError::Nothing("of any name".into())),
        1 => Ok(found.swap_remove(0)),
        _ => Err(CopyError::Several(found)),
    }
}

async fn first(connection: &mut PgConnection, instance: &str) -> sqlx::Result<Option<i64>> {
    let sql = "SELECT min(seq) FROM portcullis_audit_entries WHERE instance = $1";
    sqlx::query_scalar(sql).bind(instance.to_owned()).persistent(false).fetch_one(connection).await
}

/// Hands all rows to `verifier`.
async fn rows(connection: &mut PgConnection, instance: &str, verifier: &mut Verifier) -> Result<(), CopyError> {
    let columns = COLUMNS.join(", ");
    let sql = format!("SELECT {columns}, hash FROM portcullis_audit_entries WHERE instance = $1 ORDER BY seq");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(instance.to_owned()).persistent(false);
    let mut rows = query.fetch(connection);
    let (numbers, mut form) = (COLUMNS.map(|column| NUMBERS.contains(&column)), Canonical::default());
    while let Some(row) = rows.try_next().await? {
        let seq = verifier.expected();
        let unreadable = |error: sqlx::Error| Fault::Unreadable { seq, reason: error.to_string() };
        let hash = write(&row, &numbers, &mut form).map_err(unreadable)?;
        let place: i64 = row.try_get(0).map_err(unreadable)?;
        verifier.take(place, form.end(), &hash)?;
    }
    Ok(())
}

/// Writes the values of `row` to `form`; its hash.
fn write(row: &PgRow, numbers: &[bool; COLUMNS.len()], form: &mut Canonical) -> sqlx::Result<Hash> {
    form.begin();
    for (at, is_number) in numbers.iter().enumerate() {
        if *is_number {
            match row.try_get::<Option<i64>, _>(at)? {
                Some(number) => form.int(number),
                None => form.null(),
            }
        } else {
            match row.try_get::<Option<&str>, _>(at)? {
                Some(text) => form.text(text),
                None => form.null(),
            }
        }
    }
    let hash: &[u8] = row.try_get(COLUMNS.len())?;
    let hash = hash.try_into().map(Hash);
    hash.map_err(|_| sqlx::Error::Decode("a hash that is not 32 bytes long".into()))
}
