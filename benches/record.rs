//! How fast `portcullis audit verify` is: over a journal, an export of it, and, where AUDIT_DATABASE has the URL of a Postgres
//! database that may be written to, the tables of a sink. Makes a journal of 300,000 rows (ROWS for more), as large as those
//! of calls, and prints rows per second of the whole command, and its CPU time for each row, which says more on a machine that does other things
//! too; the best of three runs: `cargo bench --bench record`. Nothing is held to a figure here: what else the machine does would
//! decide.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    missing_docs,
    reason = "a program for developers"
)]

use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::checkpoint::Checkpoint;
use portcullis_core::audit::key::SigningKey;
use portcullis_core::audit::row::{COLUMNS, Cell, NUMBERS, canonical};
use portcullis_core::audit::tree::{Front, leaf};
use portcullis_core::time::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The command that is measured, unless PORTCULLIS names another build of it.
const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
const INSTANCE: &str = "0198b6a0-0000-7000-8000-00000000bbbb";
const RUNS: usize = 3;
/// Rows of one statement.
const CHUNK: usize = 64;

fn main() {
    let rows = std::env::var("ROWS").map_or(300_000, |rows| rows.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (journal, export) = (folder.path().join("journal.db"), folder.path().join("export"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bytes = runtime.block_on(make(&journal, rows));
    println!("{rows} rows of {} bytes each, as they are hashed", bytes / rows);
    let (file, key) = (journal.to_str().unwrap(), format!("{}.pub", journal.display()));
    measure("a journal", rows, &["verify", "--journal", file]);
    let out = export.to_str().unwrap();
    run(&["export", "--checkpoints", "--journal", file, "--out", out]);
    measure("an export", rows, &["verify", "--export", out, "--key", &key]);
    if let Ok(url) = std::env::var("AUDIT_DATABASE") {
        runtime.block_on(ship(&url, &std::fs::read_to_string(&export).unwrap()));
        let database = ["verify", "--postgres-env", "AUDIT_DATABASE", "--instance", INSTANCE, "--key", &key];
        measure("tables in Postgres", rows, &database);
    }
}

/// How long a command took, and how much CPU time.
fn run(arguments: &[&str]) -> (Duration, Duration) {
    let (start, used) = (Instant::now(), used_by_children());
    let binary = std::env::var("PORTCULLIS").unwrap_or_else(|_| BINARY.into());
    let status = Command::new(binary).arg("audit").args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{arguments:?}");
    (start.elapsed(), used_by_children() - used)
}

/// The CPU time of all commands that have ended: `cutime` and `cstime` of proc_pid_stat(5), of 10 ms each.
fn used_by_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(13).take(2);
    Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
}

fn measure(what: &str, rows: usize, arguments: &[&str]) {
    let runs: Vec<_> = (0..RUNS).map(|_| run(arguments)).collect();
    let (took, used) = (runs.iter().map(|run| run.0).min().unwrap(), runs.iter().map(|run| run.1).min().unwrap());
    let (rate, cpu) = (rows as f64 / took.as_secs_f64(), used.as_secs_f64() * 1e6 / rows as f64);
    println!("{what}: {rate:.0} rows/s, {cpu:.2} us of CPU a row");
}

/// What a row of a call says.
fn value(column: &str, seq: i64) -> Cell {
    let text = match column {
        "seq" => return Cell::Int(seq),
        "at_ms" => return Cell::Int(1_790_000_000_000 + seq),
        column if NUMBERS.contains(&column) => return Cell::Int(200 + seq % 5000),
        "event_id" => format!("0198b6a0-0000-7000-8000-{seq:012x}"),
        "call_id" | "request_id" => format!("0198b6a0-0000-7000-9000-{:012x}", seq / 2),
        "instance" => INSTANCE.into(),
        "run" => "0198b6a0-0000-7000-8000-00000000cccc".into(),
        "kind" => if seq % 2 == 1 { "intent" } else { "outcome" }.into(),
        "at" => "2026-11-20T08:00:00.000Z".into(),
        "trace_id" => format!("{seq:032x}"),
        "issuer" => "https://idp.example.com/".into(),
        "subject" => format!("user-{}", seq % 1000),
        "roles" => r#"["developer"]"#.into(),
        "scopes" => r#"["mcp"]"#.into(),
        "client" => "192.0.2.1".into(),
        "endpoint" | "upstream" => "crm".into(),
        "method" => "tools/call".into(),
        "tool" => "crm.get_customer".into(),
        "class" => "read".into(),
        "arguments" => format!(r#"{{"id": "{seq}", "fields": ["name", "address"]}}"#),
        "arguments_digest" => format!("{seq:064x}"),
        "decision" => "allow".into(),
        "rule" => "access[0]".into(),
        "revision" => "0123456789ab".into(),
        "outcome" => "ok".into(),
        "termination" => "complete".into(),
        "redactions" => "{}".into(),
        "protocol" => "2026-07-28".into(),
        _ => return Cell::Null,
    };
    Cell::Text(text.into())
}

/// Makes the journal, signed every thousand rows; how many bytes were hashed.
async fn make(path: &Path, rows: usize) -> usize {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.disable_statement_logging().connect().await.unwrap();
    sqlx::raw_sql(include_str!("../src/store/journal/schema.sql")).execute(&mut connection).await.unwrap();
    let named = sqlx::query("INSERT INTO journal (instance, made_at) VALUES (?, '')").bind(INSTANCE);
    named.execute(&mut connection).await.unwrap();
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    std::fs::write(format!("{}.pub", path.display()), key.public().to_pem()).unwrap();
    let (mut hash, mut front, mut bytes) = (Hash::ZERO, Front::default(), 0);
    let mut transaction = connection.begin().await.unwrap();
    let mut chunk = Vec::new();
    for seq in 1..=i64::try_from(rows).unwrap() {
        let cells = COLUMNS.map(|column| value(column, seq));
        let form = canonical(&cells);
        bytes += form.len();
        hash = hash.then(&form);
        front.push(leaf(&hash.0));
        chunk.push((cells, hash));
        let is_last = seq == i64::try_from(rows).unwrap();
        if chunk.len() == CHUNK || is_last {
            insert(&mut transaction, &chunk).await;
            chunk.clear();
        }
        if seq % 1000 == 0 || is_last {
            sign(&mut transaction, &front, hash, &key).await;
        }
    }
    transaction.commit().await.unwrap();
    connection.close().await.unwrap();
    bytes
}

async fn insert(connection: &mut SqliteConnection, rows: &[([Cell; COLUMNS.len()], Hash)]) {
    let row = format!("({})", ["?"; COLUMNS.len() + 1].join(", "));
    let sql = format!("INSERT INTO entries VALUES {}", vec![row; rows.len()].join(", "));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (cells, hash) in rows {
        for cell in cells {
            query = match cell {
                Cell::Null => query.bind(None::<i64>),
                Cell::Int(number) => query.bind(*number),
                Cell::Text(text) => query.bind(text.to_string()),
            };
        }
        query = query.bind(hash.0.to_vec());
    }
    query.execute(connection).await.unwrap();
}

async fn sign(connection: &mut SqliteConnection, front: &Front, chain: Hash, key: &SigningKey) {
    let at = Timestamp::from_millis(1_790_000_000_000);
    let checkpoint = Checkpoint { origin: INSTANCE.into(), size: front.size(), root: front.root(), chain, at };
    sqlx::query("INSERT INTO checkpoints (size, at_ms, chain, front, open, note) VALUES (?, ?, ?, ?, '[]', ?)")
        .bind(i64::try_from(front.size()).unwrap())
        .bind(at.millis())
        .bind(chain.0.to_vec())
        .bind(front.nodes().iter().flat_map(|node| node.0).collect::<Vec<u8>>())
        .bind(checkpoint.sign(key))
        .execute(connection)
        .await
        .unwrap();
}

/// Puts the lines of an export into a sink's tables.
async fn ship(url: &str, export: &str) {
    let options = PgConnectOptions::from_str(url).unwrap().disable_statement_logging();
    let mut connection: PgConnection = options.connect().await.unwrap();
    sqlx::raw_sql(include_str!("../src/ship/postgres.sql")).execute(&mut connection).await.unwrap();
    let (checkpoints, rows): (Vec<&str>, Vec<&str>) =
        export.lines().partition(|line| line.starts_with("{\"checkpoint\""));
    let sql = "INSERT INTO portcullis_audit_entries SELECT row.* FROM unnest($1::text[]) line, jsonb_populate_record(
        NULL::portcullis_audit_entries, line::jsonb || jsonb_build_object('hash', '\\x' || (line::jsonb->>'hash'))) row
        ON CONFLICT DO NOTHING";
    for lines in rows.chunks(1000) {
        sqlx::query(sql).bind(lines).execute(&mut connection).await.unwrap();
    }
    for line in checkpoints {
        let (note, _) = Checkpoint::of_line(line).unwrap();
        let size: i64 = note.lines().nth(1).unwrap().parse().unwrap();
        let sql = "INSERT INTO portcullis_audit_checkpoints VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(INSTANCE).bind(size).bind(line).execute(&mut connection).await.unwrap();
    }
    sqlx::raw_sql("ANALYZE portcullis_audit_entries").execute(&mut connection).await.unwrap();
}
