//! Upstreams that do not speak Streamable HTTP: real programs on standard input and output (`programs`), how their
//! processes live and end (`life`), what they may know and tell (`secrets`), and servers of HTTP+SSE (`sse`).

mod life;
mod programs;
mod secrets;
mod sse;

use crate::support::gateway::{Gateway, Setup};
use crate::support::peers::Program;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};
use std::path::Path;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
payload: { request: 16MiB, response: 16MiB, text_chars: 20000000 }
"#;

/// A gateway before one upstream, called `it`.
fn before(upstream: Value) -> Setup {
    let mut setup = Setup::new(&[("it", String::new())], POLICY);
    setup.upstreams["upstreams"]["it"] = upstream;
    setup.upstream("it", "health_interval", json!("100ms"))
}

/// The upstream that `program` is, with these other keys of `stdio`.
fn stdio(program: Program<'_>, others: &Value) -> Value {
    let mut stdio = others.clone();
    stdio["command"] = json!(program.command());
    json!({"stdio": stdio})
}

/// Starts it and waits until the tools are known.
async fn start(setup: Setup) -> Gateway {
    let gateway = setup.start().await;
    let found = async || gateway.readiness().await["upstreams"]["it"]["tools"].as_u64();
    wait_until("the tools are known", PATIENCE, found).await;
    gateway
}

/// Calls a tool in the name of `user`: the text of the result.
async fn text(gateway: &Gateway, user: &str, tool: &str, arguments: Value) -> String {
    let response = gateway.modern_call("it", &token(user, &["tester"]), tool, &arguments).await;
    assert_eq!(response.status, 200, "{}\n{:#?}", response.text(), gateway.log());
    let message = response.message();
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
}

/// Calls a tool in the name of `user`: the status.
async fn status(gateway: &Gateway, user: &str, tool: &str, arguments: Value) -> u16 {
    gateway.modern_call("it", &token(user, &["tester"]), tool, &arguments).await.status
}

/// The lines of a file that a program writes, none where it wrote none.
fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Whether a process runs. One that ended and was not waited for does not.
fn runs(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// Every process that wrote its number to `file`, and their children.
fn pids(file: &Path) -> Vec<String> {
    lines(file).iter().flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Waits until none of the processes in `file` runs.
async fn all_ended(file: &Path) {
    let what = format!("the processes end: {:?}", pids(file));
    wait_until(&what, PATIENCE, async || pids(file).iter().all(|pid| !runs(pid)).then_some(())).await;
}

/// How many processes the gateway says that there are.
async fn processes(gateway: &Gateway) -> Option<u64> {
    let metrics = gateway.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(r#"portcullis_stdio_processes{upstream="it"} "#))?;
    line.parse().ok()
}
