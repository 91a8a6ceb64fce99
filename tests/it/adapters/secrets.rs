//! What a program may know, and what of it is seen.

use super::{before, start, status, stdio, text};
use crate::support::gateway::GATEWAY_SECRET;
use crate::support::http::{Request, fetch};
use crate::support::peers::Program;
use crate::support::process::{PATIENCE, wait_until};
use serde_json::{Value, json};

const SECRET: &str = "sk-a-key-that-only-the-program-may-know";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_environment_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let stdio = stdio(Program::Odd(&["modern"]), &json!({"env": {"OWN": "x", "LC_ALL": "C"}, "cwd": folder}));
    let gateway = start(before(stdio)).await;
    let names = text(&gateway, "ana", "environment", json!({})).await;
    let unexpected: Vec<_> =
        names.split(' ').filter(|name| !["HOME", "LANG", "LC_ALL", "LC_CTYPE", "OWN", "PATH"].contains(name)).collect();
    assert!(unexpected.is_empty() && names.contains("OWN") && names.contains("PATH"), "{names}");
    assert_eq!(text(&gateway, "ana", "cwd", json!({})).await, folder.to_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_program_is_in_no_answer_and_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let env = json!({"ODD_SECRET": format!("${{file:{}}}", file.display())});
    let gateway = start(before(stdio(Program::Odd(&["modern"]), &json!({"env": env})))).await;
    let row = |row: &serde_json::Map<String, Value>| row["tool"] == "it.leak";
    assert_eq!(status(&gateway, "ana", "leak", json!({})).await, 502, "the answer is withheld");
    assert_eq!(gateway.ended_call(row).await["error"], "response_blocked");
    let remarked = async || gateway.process.lines().iter().any(|line| line.contains("the secret is ***")).then_some(());
    wait_until("the log shows the program's words without it", PATIENCE, remarked).await;
    assert!(!gateway.process.lines().join("\n").contains(SECRET));
    assert!(!gateway.metrics().await.contains(SECRET) && !gateway.readiness().await.to_string().contains(SECRET));
}

/// The port of an adapter is open to every process of the machine.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_a_program_past_the_gateway() {
    let gateway = start(before(stdio(Program::Odd(&["modern"]), &json!({})))).await;
    let readiness = gateway.readiness().await;
    let replicas = readiness["upstreams"]["it"]["replicas"].as_object().unwrap();
    let adapter = replicas.keys().next().unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let guess = format!("/{}/mcp", "0".repeat(64));
    for path in ["/", "/mcp", "//mcp", "/health", &guess, "/../mcp"] {
        for request in [Request::post(path, body).header("x-gateway-auth", GATEWAY_SECRET), Request::get(path)] {
            let response = fetch(adapter, &request).await;
            assert_eq!((response.status, response.text().as_str()), (404, ""), "{path}");
        }
    }
}
