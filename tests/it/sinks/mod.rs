//! Where copies of the record go: a real Postgres, files, and receivers that judge by the official code of OpenTelemetry
//! and Standard Webhooks. What holds in each case: every row arrives, in its order, and no call waits for that.

mod copies;
mod files;
mod http;
mod kept;
mod postgres;

use crate::support::gateway::{Gateway, JOURNAL_DEADLINE, Setup, modern_call};
use crate::support::http::{Connection, Version};
use crate::support::journal;
use crate::support::postgres::assert_same;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

/// An upstream, and a folder in which a journal outlives the gateways that write it.
struct World {
    upstream: Upstream,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
        let upstream = Upstream::start(Speaks::Modern, vec![tool("echo"), tool("poison")]).await;
        Self { upstream, folder: tempfile::tempdir().unwrap() }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn setup(&self, sinks: &Value) -> Setup {
        let journal = json!({"path": self.journal(), "deadline": JOURNAL_DEADLINE, "sinks": sinks});
        Setup::new(&[("one", self.upstream.url())], POLICY).with("journal", journal)
    }

    async fn gateway(&self, sinks: &Value) -> Gateway {
        self.setup(sinks).start().await
    }

    /// The journal's rows, once the last call in it has ended.
    async fn entries(&self) -> Vec<Map<String, Value>> {
        let path = self.journal();
        wait_until("every call has its outcome", PATIENCE, async || {
            let calls = journal::calls(&path).await;
            calls.iter().all(|call| !call["outcome"].is_null()).then_some(())
        })
        .await;
        journal::entries(&path).await
    }
}

async fn call(gateway: &Gateway, tool: &str) {
    let response = gateway.modern_call("one", &token("ana", &["tester"]), tool, &json!({})).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

async fn metric(gateway: &Gateway, name: &str, sink: &str) -> f64 {
    let text = gateway.metrics().await;
    let series = format!("{name}{{sink=\"{sink}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
    value.unwrap_or_else(|| panic!("no {series}in\n{text}"))
}

/// Waits until `/readyz` says so of a sink; the process is ready all the while.
async fn sink_says(gateway: &Gateway, sink: &str, words: &str) {
    wait_until(&format!("{sink} is said to be: {words}"), PATIENCE, async || {
        let readiness = gateway.readiness().await;
        assert_eq!(readiness["status"], "ready", "{readiness}");
        readiness["sinks"][sink].as_str().filter(|said| said.contains(words)).map(|_| ())
    })
    .await;
}

/// Clients that call one after the other until told to stop; then how many answers each got, all of them good.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    fn start(gateway: &Gateway, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| tokio::spawn(call_until(Arc::clone(&stop), gateway.authority().to_owned()));
        Self { clients: (0..clients).map(client).collect(), stop }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut answers = 0;
        for client in self.clients {
            answers += client.await.unwrap();
        }
        answers
    }
}

async fn call_until(stop: Arc<AtomicBool>, authority: String) -> usize {
    let request = modern_call("one", "echo", &json!({})).bearer(&token("ana", &["tester"]));
    let mut connection = Connection::open(&authority, Version::Http1).await;
    let mut answers = 0;
    while !stop.load(Ordering::SeqCst) {
        // A gateway that is killed answers nobody; that is not what is looked at here.
        let Ok(response) = connection.exchange(&request).await else { break };
        assert_eq!(response.status, 200, "{}", response.text());
        answers += 1;
    }
    answers
}

/// The lines of JSON in a file; none while it is not there.
fn lines(path: &Path) -> Vec<Map<String, Value>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_row).collect()
}

/// Waits until the file has these rows.
async fn await_lines(path: &Path, expected: &[Map<String, Value>]) {
    let found = wait_until("the file has every row", PATIENCE, async || {
        Some(lines(path)).filter(|found| found.len() >= expected.len())
    })
    .await;
    assert_same(&found, expected);
}

/// Not a checkpoint.
fn is_row(line: &Map<String, Value>) -> bool {
    line.contains_key("seq")
}
