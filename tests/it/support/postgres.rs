//! A real Postgres of a test's own: a fresh cluster in a temporary folder, reached through a socket in it, so that no port is
//! taken. Not as root, whom Postgres refuses.

use crate::support::process::{PATIENCE, Process, wait_until};
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use tempfile::TempDir;

/// A cluster. Its server ends with this value.
pub struct Postgres {
    folder: TempDir,
    server: Option<Process>,
}

/// A program of Postgres, for whoever may run it.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    let mut command = Command::new(found.pop().unwrap_or_else(|| name.into()));
    command.current_dir("/").env("LC_ALL", "C");
    if is_root() {
        let (user, group) = owner();
        command.uid(user).gid(group);
    }
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The user `postgres`, whom the package makes.
fn owner() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let fields: Vec<&str> = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("there is no user postgres: run `make peers`")
        .split(':')
        .collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

impl Postgres {
    /// Makes a cluster and starts its server.
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        if is_root() {
            let (user, group) = owner();
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut initdb = program("initdb");
        initdb
            .args(["--auth=trust", "--username=admin", "--no-sync", "--encoding=UTF8", "-D"])
            .arg(folder.path().join("data"));
        let mut initdb = Process::spawn(&mut initdb);
        assert!(initdb.end_within(PATIENCE + PATIENCE).await, "initdb fails: {}", initdb.lines().join("\n"));
        let mut postgres = Self { folder, server: None };
        postgres.resume().await;
        postgres
    }

    /// Starts the server, again after `stop`; waits until it answers.
    pub async fn resume(&mut self) {
        let mut command = program("postgres");
        command.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB"]);
        let mut server = Process::spawn(&mut command);
        let url = self.url("admin");
        server.until("Postgres answers", async |_| connect(&url).await.ok()).await;
        self.server = Some(server);
    }

    /// Stops the server at once, whoever is connected.
    pub async fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        // An immediate shutdown: as if the power had failed.
        server.signal("-QUIT");
        server.end().await;
    }

    /// The URL of the database for `role`.
    pub fn url(&self, role: &str) -> String {
        format!("postgres://{role}@localhost/postgres?host={}", self.folder.path().display())
    }

    /// Runs statements as the administrator.
    pub async fn run(&self, sql: &str) {
        let mut connection = connect(&self.url("admin")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// The rows of `table` in `order`; none while there is no such table.
    pub async fn rows(&self, table: &str, order: &str) -> Vec<Map<String, Value>> {
        let sql = format!("SELECT to_jsonb(t)::text FROM {table} t ORDER BY {order}");
        let mut connection = connect(&self.url("admin")).await.unwrap();
        let rows: sqlx::Result<Vec<String>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await;
        match rows {
            Ok(rows) => rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect(),
            Err(error) if error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42P01")) => {
                Vec::new()
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The rows of the record, with their hashes as the journal's reader shows them.
    pub async fn entries(&self) -> Vec<Map<String, Value>> {
        let mut rows = self.rows("portcullis_audit_entries", "instance, seq").await;
        for row in &mut rows {
            let hash = row["hash"].as_str().unwrap().trim_start_matches("\\x").to_owned();
            row.insert("hash".into(), hash.into());
        }
        rows
    }

    /// The record as the lines of an export.
    pub async fn lines(&self) -> String {
        let lines = self.rows("portcullis_audit_lines", "seq, place").await;
        lines.iter().map(|row| row["line"].as_str().unwrap().to_owned() + "\n").collect()
    }

    /// Waits until the record has `expected`, in their order; nothing else, and nothing twice.
    pub async fn await_entries(&self, expected: &[Map<String, Value>]) {
        let what = format!("Postgres has {} entries", expected.len());
        let entries = wait_until(&what, PATIENCE, async || {
            Some(self.entries().await).filter(|entries| entries.len() >= expected.len())
        })
        .await;
        assert_same(&entries, expected);
    }
}

/// The same rows; where they are not, only the first that differs is shown.
pub fn assert_same(found: &[Map<String, Value>], expected: &[Map<String, Value>]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    PgConnectOptions::from_str(url)?.disable_statement_logging().connect().await
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.signal("-QUIT");
        }
    }
}
