//! Real servers of every family on standard input and output, called by real clients of every family.

use super::{POLICY, all_ended, before, start, status, stdio, text};
use crate::support::gateway::{LEGACY, Setup, modern_call};
use crate::support::peers::{Client, Program};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};

/// One client of each family in each era; `peers` has all of them.
pub const CLIENTS: [Client; 4] =
    [Client::TypeScript("legacy"), Client::TypeScript("modern"), Client::TypeScript("v1"), Client::Python("auto")];

async fn every_client_adds(program: Program<'_>, clients: &[Client]) {
    let gateway = start(before(stdio(program, &json!({})))).await;
    for client in clients {
        let (url, token) = (gateway.endpoint("it"), token("ana", &["tester"]));
        let [list, sum] = client.list_and_call(url, &token, "add", &json!({"a": 2, "b": 40})).await;
        assert_eq!(list["tools"].as_array().unwrap().len(), 5, "{client:?}: {list}");
        assert_eq!(sum["structuredContent"]["sum"], 42, "{client:?}: {sum}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_typescript_program() {
    every_client_adds(Program::TypeScript, Client::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_a_python_program() {
    every_client_adds(Program::Python("mcp"), &CLIENTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_a_fastmcp_program() {
    every_client_adds(Program::Python("fastmcp"), &CLIENTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_a_program_that_knows_no_modern_revision() {
    for per in ["principal", "shared"] {
        let gateway = start(before(stdio(Program::Everything, &json!({"per": per})))).await;
        for client in CLIENTS {
            let (url, token) = (gateway.endpoint("it"), token("ana", &["tester"]));
            let [list, echo] = client.list_and_call(url, &token, "echo", &json!({"message": "hi"})).await;
            assert!(list["tools"].as_array().unwrap().len() > 5, "{client:?}: {list}");
            assert_eq!(echo["content"][0]["text"], "Echo: hi", "{client:?}: {echo}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_reads_files_reads_those_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    // The server compares names without links in them.
    let folder = folder.path().canonicalize().unwrap();
    std::fs::write(folder.join("greeting.txt"), "good morning").unwrap();
    let program = Program::Filesystem(folder.to_str().unwrap());
    let gateway = start(before(stdio(program, &json!({"cwd": folder})))).await;
    let path = |name: &str| json!({"path": folder.join(name)});
    assert_eq!(text(&gateway, "ana", "read_text_file", path("greeting.txt")).await, "good morning");
    let outside = text(&gateway, "ana", "read_text_file", json!({"path": "/etc/hostname"})).await;
    assert!(outside.contains("denied"), "{outside}");
    let row = gateway.ended_call(|row| row["tool"] == "it.read_text_file" && row["outcome"] == "ok").await;
    assert_eq!(row["upstream"], "it", "{row:?}");
}

/// Two programs and a server over HTTP, behind one endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn programs_of_both_eras_stand_behind_one_endpoint() {
    let mut setup = Setup::new(&[("new", String::new()), ("old", String::new())], POLICY);
    setup.upstreams["upstreams"]["new"] = stdio(Program::Odd(&["modern"]), &json!({}));
    setup.upstreams["upstreams"]["old"] = stdio(Program::Odd(&["legacy", "chatter"]), &json!({}));
    let gateway = setup.start().await;
    let ana = token("ana", &["tester"]);
    let pid = async |tool: &str| -> String {
        let response = gateway.modern_call("work", &ana, tool, &json!({})).await;
        response.message()["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{response:?}")).to_owned()
    };
    assert_ne!(pid("new.pid").await, pid("old.pid").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_comes_before_the_answer_under_the_callers_own_names() {
    for era in ["modern", "legacy"] {
        let gateway = start(before(stdio(Program::Odd(&[era]), &json!({})))).await;
        let mut request = modern_call("it", "count", &json!({})).bearer(&token("ana", &["tester"]));
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["id"] = json!("mine");
        body["params"]["_meta"]["progressToken"] = json!("news");
        request.body = body.to_string().into_bytes();
        let messages = gateway.send(&request).await.messages();
        let progress: Vec<_> =
            messages.iter().filter(|message| message["method"] == "notifications/progress").collect();
        assert_eq!(progress.len(), 3, "{era}: {messages:?}");
        assert!(progress.iter().all(|message| message["params"]["progressToken"] == "news"), "{era}: {messages:?}");
        assert_eq!(messages[3]["id"], "mine", "{era}: {messages:?}");
        assert_eq!(messages[3]["result"]["content"][0]["text"], "counted", "{era}: {messages:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_passes_in_both_directions() {
    for era in ["modern", "legacy"] {
        let gateway = start(before(stdio(Program::Odd(&[era]), &json!({})))).await;
        let five = 5 << 20;
        assert_eq!(text(&gateway, "ana", "big", json!({"bytes": five})).await.len(), five);
        assert_eq!(text(&gateway, "ana", "echo", json!({"text": "y".repeat(five)})).await, five.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_skipped() {
    let gateway = start(before(stdio(Program::Odd(&["modern", "chatter"]), &json!({})))).await;
    let first = text(&gateway, "ana", "pid", json!({})).await;
    assert_eq!(text(&gateway, "ana", "garbage", json!({})).await, "said");
    assert_eq!(text(&gateway, "ana", "pid", json!({})).await, first, "the process goes on");
    // JSON has no NaN. An answer that can't be read fails at once.
    assert_eq!(status(&gateway, "ana", "odd", json!({})).await, 502);
    let said = |text: &str| gateway.log().iter().any(|line| line.to_string().contains(text));
    for words in ["Server is listening", "a line on standard output is no message"] {
        wait_until(&format!("the log says: {words}"), PATIENCE, async || said(words).then_some(())).await;
    }
    assert!(!said("4711"), "what looks like a message is not logged");
}

/// The program is asked for its era, and in the same process for a session: two processes would be one too many.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_oldest_revision_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let (log, pids) = (folder.path().join("log"), folder.path().join("pids"));
    let env = json!({"ODD_VERSION": "2024-11-05", "ODD_LOG": log, "ODD_PIDS": pids});
    let gateway =
        start(before(stdio(Program::Odd(&["legacy"]), &json!({"env": env}))).upstream("it", "refresh", json!("1h")))
            .await;
    let lines = super::lines(&log);
    let methods: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["method"].clone()).collect();
    assert_eq!(methods, ["server/discover", "initialize", "notifications/initialized", "tools/list"]);
    assert_eq!(super::pids(&pids).len(), 1);
    assert!(lines[1].contains(LEGACY), "{}", lines[1]);
    // The catalogue's session is over, and with it its process.
    all_ended(&pids).await;
    text(&gateway, "ana", "pid", json!({})).await;
}
