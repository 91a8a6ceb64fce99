//! Reads the gateway's journal while the gateway writes it. Never writes.

use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Column, ConnectOptions, Row, TypeInfo, ValueRef};
use std::path::Path;

/// The rows of the view `calls` in the journal at `path`, oldest first: one for each call.
pub async fn calls(path: &Path) -> Vec<Map<String, Value>> {
    select(path, "SELECT * FROM calls ORDER BY seq").await
}

/// The same, of those behind the one of the number `seq`.
pub async fn calls_after(path: &Path, seq: i64) -> Vec<Map<String, Value>> {
    select_with(path, "SELECT * FROM calls WHERE seq > ? ORDER BY seq", &[seq]).await
}

/// The rows of the table `entries`, oldest first: one for each intent, outcome and event.
pub async fn entries(path: &Path) -> Vec<Map<String, Value>> {
    select(path, "SELECT * FROM entries ORDER BY seq").await
}

async fn select(path: &Path, query: &'static str) -> Vec<Map<String, Value>> {
    select_with(path, query, &[]).await
}

async fn select_with(path: &Path, query: &'static str, values: &[i64]) -> Vec<Map<String, Value>> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let bound = values.iter().fold(sqlx::query(query), |query, value| query.bind(*value));
    let rows = bound.fetch_all(&mut connection).await;
    rows.unwrap_or_else(|error| panic!("{query}: {error}")).iter().map(to_object).collect()
}

fn to_object(row: &SqliteRow) -> Map<String, Value> {
    let columns = row.columns().iter();
    columns.map(|column| (column.name().to_owned(), to_value(row, column.ordinal()))).collect()
}

fn to_value(row: &SqliteRow, column: usize) -> Value {
    let value = row.try_get_raw(column).unwrap();
    // A column's type says nothing of whether this row has a value.
    if value.is_null() {
        return Value::Null;
    }
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        "INTEGER" => row.get_unchecked::<i64, _>(column).into(),
        "REAL" => row.get_unchecked::<f64, _>(column).into(),
        "BLOB" => {
            row.get_unchecked::<Vec<u8>, _>(column).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
        _ => row.get_unchecked::<String, _>(column).into(),
    }
}
