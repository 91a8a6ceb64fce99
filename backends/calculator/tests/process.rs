//! The calculator as a process: what it prints, that it serves, and how it ends.

#![cfg(test)]

#[path = "../../server/tests/client/mod.rs"]
#[expect(dead_code, reason = "shared by the tests of all backends; this one needs little of it")]
mod client;

use std::process::Stdio;
use std::time::Duration;

use client::Client;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

fn backend(variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-calculator"));
    command.env_remove("HOST").env_remove("PORT").env_remove("TOOL_GATEWAY_SHARED_SECRET");
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn it_says_where_it_listens_serves_and_ends_cleanly_on_sigterm() {
    let mut child = backend(&[("PORT", "0"), ("TOOL_GATEWAY_SHARED_SECRET", "s3cret")]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
    let address = ready.split_once("http://").unwrap().1.split_once("/mcp").unwrap().0;
    assert!(ready.contains("for the gateway only") && !ready.contains("s3cret"), "{ready}");
    let client = Client::new(address.parse().unwrap());
    assert_eq!(client.send("GET", "/health", &[], "").await.status, 200);
    assert_eq!(client.send("POST", "/mcp", &[], "{}").await.status, 401);
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = timeout(Duration::from_secs(20), child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(lines.next_line().await.unwrap(), None, "one line is printed, and no more");
}

#[tokio::test]
async fn a_bad_environment_ends_it_with_a_reason() {
    for (variables, expected) in [
        ([("PORT", "http")], "PORT is \"http\""),
        ([("TOOL_GATEWAY_SHARED_SECRET", "")], "TOOL_GATEWAY_SHARED_SECRET is set but empty"),
        ([("HOST", "192.0.2.1")], "cannot listen on 192.0.2.1:8091"),
    ] {
        let output = timeout(Duration::from_secs(20), backend(&variables).wait_with_output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
}
