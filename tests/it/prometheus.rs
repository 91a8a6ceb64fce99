//! A real Prometheus scrapes the gateway, and its tool checks the metrics.

use crate::support::gateway::{Gateway, Setup, authority};
use crate::support::http::{Request, fetch};
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "crm.get", class: read }]
access: [{ roles: [tester], upstreams: [crm], level: read }]
"#;

/// A gateway that has answered one call and refused one.
async fn used_gateway() -> (Gateway, Upstream) {
    let upstream =
        Upstream::start(Speaks::Modern, vec![json!({"name": "get", "inputSchema": {"type": "object"}})]).await;
    let gateway = Setup::new(&[("crm", upstream.url())], POLICY).start().await;
    for (roles, tool) in [(&["tester"][..], "get"), (&[], "get")] {
        assert_eq!(gateway.modern_call("crm", &token("ana", roles), tool, &json!({})).await.status, 200);
    }
    (gateway, upstream)
}

async fn start_prometheus(dir: &Path, target: &str) -> (Process, String) {
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [{"job_name": "portcullis", "static_configs": [{"targets": [target]}]}],
    });
    std::fs::write(dir.join("prometheus.yml"), config.to_string()).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", dir.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
    command.args(["--web.listen-address=127.0.0.1:0", "--log.format=json"]);
    let mut process = Process::spawn(&mut command);
    let find = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["msg"] == "Listening on").then(|| line["address"].as_str().map(str::to_owned))?
    };
    let address = process.line("where it listens", find).await;
    (process, address)
}

/// The samples that `query` selects; none while Prometheus is not ready.
async fn query(address: &str, query: &str) -> Vec<Value> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let response = fetch(address, &Request::get(&format!("/api/v1/query?query={encoded}"))).await;
    if response.status != 200 {
        return Vec::new();
    }
    response.message()["data"]["result"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_the_gateway() {
    let (gateway, _upstream) = used_gateway().await;
    let dir = tempfile::tempdir().unwrap();
    let (_prometheus, address) = start_prometheus(dir.path(), authority(&gateway.ready.admin)).await;
    wait_until("the target is up", PATIENCE, async || {
        let samples = query(&address, "up == 1").await;
        samples.iter().any(|sample| sample["metric"]["job"] == "portcullis").then_some(())
    })
    .await;
    let counted = r#"{__name__=~"portcullis_.+_total"} > 0"#;
    let samples = wait_until("a counter has counted", PATIENCE, async || {
        Some(query(&address, counted).await).filter(|samples| !samples.is_empty())
    })
    .await;
    let labels = Value::from(samples).to_string();
    assert!(!labels.contains("ana"), "a metric names a user: {labels}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_pass_promtool() {
    let (gateway, _upstream) = used_gateway().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("metrics"), gateway.metrics().await).unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", "promtool check metrics <metrics"]).current_dir(dir.path());
    let mut promtool = Process::spawn(&mut command);
    assert!(promtool.end().await, "{}", promtool.lines().join("\n"));
}
