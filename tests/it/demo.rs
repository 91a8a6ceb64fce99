//! The demo as a newcomer meets it: what it prints works, it gets along with others, and it leaves nothing behind.

use crate::support::gateway::{BINARY, Ready, authority};
use crate::support::http::{Request, fetch};
use crate::support::peers::approve_by_link;
use crate::support::process::{PATIENCE, Process, wait_until};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A demo with its data in `folder`, and arguments of the test's own.
async fn start(folder: &Path, arguments: &[&str]) -> (Process, Ready) {
    let file = folder.join("ready.json");
    let mut process = Process::spawn(&mut command(folder, arguments));
    let ready = Ready::read(&mut process, &file).await;
    process.line("how to end it", |line| line.contains("Ctrl-C").then_some(())).await;
    (process, ready)
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("demo").args(arguments).args(["--ready-file", "ready.json"]).current_dir(folder);
    command
}

/// The ports of the sample backends.
fn backends(folder: &Path) -> Vec<u16> {
    let text = std::fs::read_to_string(folder.join("data/demo/upstreams.yaml")).unwrap();
    let ports = text.split("127.0.0.1:").skip(1).map(|rest| rest.split('/').next().unwrap().parse().unwrap());
    ports.collect()
}

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

async fn are_gone(ports: &[u16]) {
    assert_eq!(ports.len(), 2);
    wait_until("the backends have ended", PATIENCE, async || (!ports.iter().any(|port| answers(*port))).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_to_paste_works() {
    let dir = TempDir::with_prefix("it's a demo").unwrap();
    // What an earlier demo left must not be taken for this one's.
    std::fs::write(dir.path().join("ready.json"), "old").unwrap();
    let (process, ready) = start(dir.path(), &["--port", "0"]).await;
    let mode = std::fs::metadata(dir.path().join("ready.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds tokens");
    let lines = process.lines();
    let pasted: Vec<_> = lines.iter().filter(|line| line.trim_start().starts_with("curl ")).collect();
    assert_eq!(pasted.len(), 3, "{lines:?}");
    for line in pasted {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(answer["isError"], false, "{line}: {answer}");
    }
    for (role, token) in &ready.tokens {
        assert!(lines.iter().any(|line| line.trim() == token), "no token for {role}");
        let kept = std::fs::read_to_string(dir.path().join(format!("data/demo/{role}.token"))).unwrap();
        assert_eq!(kept, *token);
    }
    let client = std::fs::read(dir.path().join("data/demo/mcp.json")).unwrap();
    let client: Value = serde_json::from_slice(&client).unwrap();
    let server = &client["mcpServers"]["portcullis"];
    assert_eq!(server["url"], *ready.endpoints["all"]);
    assert_eq!(server["headers"]["Authorization"], format!("Bearer {}", ready.tokens["developer"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_link_leads_to_the_console_where_a_call_that_waits_is_agreed_to() {
    let dir = TempDir::new().unwrap();
    let (process, ready) = start(dir.path(), &["--port", "0"]).await;
    let call = json!({"tool_name": "ops.scale_service", "arguments": {"service": "booking-api", "replicas": 12}});
    let request = Request::post("/mcp/invoke", call.to_string()).bearer(&ready.tokens["developer"]);
    let gateway = authority(&ready.gateway);
    let waits = fetch(gateway, &request).await;
    assert!(waits.text().contains("approv"), "{}", waits.text());
    let lines = process.lines();
    let link = lines.iter().find_map(|line| line.trim().strip_prefix(ready.admin.as_str()));
    let link = format!("{}{}", ready.admin, link.unwrap_or_else(|| panic!("no link: {lines:?}")));
    let seen = approve_by_link(&link).await;
    assert_eq!(seen["wanted"], "ops.scale_service", "{seen}");
    let done = fetch(gateway, &request).await;
    assert_eq!((done.status, &done.message()["isError"]), (200, &json!(false)), "{}", done.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_said_and_passed_over() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (process, ready) = start(dir.path(), &["--port", &port.to_string(), "--admin-port", &port.to_string()]).await;
    let said = process.lines();
    for option in ["--port", "--admin-port"] {
        let told = |line: &String| line.contains(&format!("port {port} is taken")) && line.contains(option);
        assert!(said.iter().any(told), "{said:?}");
    }
    assert!(!ready.gateway.ends_with(&format!(":{port}")) && ready.gateway != ready.admin);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_demo_leaves_the_files_of_the_first_alone() {
    let dir = TempDir::new().unwrap();
    let (_first, _) = start(dir.path(), &["--port", "0"]).await;
    let files = || {
        ["data/demo/gateway.yaml", "data/demo/upstreams.yaml", "ready.json"]
            .map(|name| std::fs::read(dir.path().join(name)).unwrap())
    };
    let before = files();
    let mut second = Process::spawn(&mut command(dir.path(), &["--port", "0"]));
    assert!(!second.end().await);
    let said = second.lines().join("\n");
    assert!(said.contains("another demo") && said.contains("--data"), "{said}");
    assert!(files() == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_takes_its_children_along_however_it_ends() {
    for signal in ["-TERM", "-INT", "-KILL"] {
        let dir = TempDir::new().unwrap();
        let (mut process, _) = start(dir.path(), &["--port", "0"]).await;
        let ports = backends(dir.path());
        assert!(ports.iter().all(|port| answers(*port)));
        process.signal(signal);
        assert_eq!(process.end().await, signal != "-KILL");
        are_gone(&ports).await;
    }
}
