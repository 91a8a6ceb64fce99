//! Runs the official conformance suite and reads what it found. It does not say what should be found.

use crate::support::peers::conformance_suite;
use crate::support::process::Process;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A whole run takes seconds; on a machine that does much else, more.
const LIMIT: Duration = Duration::from_secs(300);

/// One thing that the suite looked at.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its id and name, and its number where it has come before in the same scenario: the suite uses ids again.
    pub name: String,
    /// `SUCCESS`, `FAILURE`, `WARNING`, `SKIPPED` or `INFO`.
    pub status: String,
    /// What the suite says of it.
    pub error: String,
}

/// The checks of one scenario.
#[derive(Debug, Clone, Default)]
pub struct Outcome(pub Vec<Check>);

impl Outcome {
    pub fn count(&self, status: &str) -> usize {
        self.0.iter().filter(|check| check.status == status).count()
    }

    /// Passed and failed.
    pub fn tally(&self) -> (usize, usize) {
        (self.count("SUCCESS"), self.count("FAILURE"))
    }

    pub fn status_of(&self, name: &str) -> Option<&Check> {
        self.0.iter().find(|check| check.name == name)
    }
}

/// What each scenario found.
pub type Results = BTreeMap<String, Outcome>;

/// Runs the suite's command `role`, `server` or `client`, with `arguments`; what it starts finds `environment`.
pub async fn run(role: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Results {
    let results = TempDir::new().unwrap();
    let mut command = conformance_suite();
    command.arg(role).args(arguments).arg("-o").arg(results.path()).envs(environment.iter().copied());
    let mut process = Process::spawn_group(&mut command);
    // Its exit status says what the checks say, in one bit.
    process.end_within(LIMIT).await;
    let results = read(results.path(), role);
    assert!(!results.is_empty(), "the suite has run nothing:\n{}", process.lines().join("\n"));
    results
}

/// The results are in one folder for each scenario: `server-tools-list-2026-11-20T08-30-00-000Z`.
fn read(folder: &Path, role: &str) -> Results {
    let mut results = Results::new();
    collect(folder, folder, role, &mut results);
    results
}

/// The name of a scenario may hold a slash, and then is a folder in a folder.
fn collect(folder: &Path, root: &Path, role: &str, results: &mut Results) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(text) = std::fs::read_to_string(path.join("checks.json")) {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let name = name.strip_prefix(&format!("{role}-")).unwrap_or(&name);
            let time = "-2026-11-20T08-30-00-000Z".len();
            results.insert(name[..name.len() - time].to_owned(), outcome(&text));
        } else if path.is_dir() {
            collect(&path, root, role, results);
        }
    }
}

fn outcome(text: &str) -> Outcome {
    let checks: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let check = |check: &Value| {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let name = format!("{} {}", text("id"), text("name"));
        let number = seen.entry(name.clone()).or_default();
        *number += 1;
        Check { name: format!("{name} #{number}"), status: text("status"), error: text("errorMessage") }
    };
    Outcome(checks.iter().map(check).collect())
}
