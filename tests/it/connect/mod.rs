//! `portcullis connect`: clients that only speak stdio reach any server, and the gateway, through it.
//!
//! Real clients are in `clients`; everywhere else a test is the client itself, line by line.

mod clients;
mod legacy;
mod modern;
mod refusals;
mod token;

use crate::support::gateway::{BINARY, LEGACY, MODERN};
use crate::support::process::{PATIENCE, Process, wait_until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{ChildStdin, Command};

/// A running bridge, and its client.
struct Bridge {
    process: Process,
    input: Option<ChildStdin>,
}

impl Bridge {
    /// To `url`, with more `options`.
    fn to(url: &str, options: &[&str]) -> Self {
        Self::spawn(command(url, options))
    }

    fn spawn(mut command: Command) -> Self {
        let (process, input) = Process::spawn_talking(&mut command);
        Self { process, input: Some(input) }
    }

    /// To `url`, with a handshake done by a client of 2025-11-25 that can do everything.
    async fn legacy(url: &str, options: &[&str]) -> Self {
        let mut bridge = Self::to(url, options);
        bridge.shake_hands().await;
        bridge
    }

    async fn shake_hands(&mut self) {
        self.send(&hello());
        assert_eq!(self.answer(0).await["result"]["protocolVersion"], LEGACY);
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    fn line(&mut self, line: &[u8]) {
        let input = self.input.as_mut().expect("standard input is open");
        input.write_all(&[line, b"\n"].concat()).unwrap();
    }

    fn send(&mut self, message: &Value) {
        self.line(message.to_string().as_bytes());
    }

    fn close(&mut self) {
        self.input = None;
    }

    /// All messages so far.
    fn messages(&self) -> Vec<Value> {
        let lines = self.process.lines();
        lines.iter().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What it has logged.
    fn log(&self) -> String {
        let lines = self.process.lines().into_iter().filter(|line| !line.starts_with('{'));
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn message(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let found = async || self.messages().into_iter().find(|message| matches(message));
        let result = tokio::time::timeout(PATIENCE, wait_until(what, PATIENCE * 2, found)).await;
        result.unwrap_or_else(|_| panic!("no {what}: {:?}\n{}", self.messages(), self.log()))
    }

    async fn answer(&self, id: i64) -> Value {
        let what = format!("answer {id}");
        self.message(&what, |message| message["id"] == id && message["method"].is_null()).await
    }

    /// Sends a request and gives its answer.
    async fn ask(&mut self, message: &Value) -> Value {
        self.send(message);
        self.answer(message["id"].as_i64().unwrap()).await
    }

    /// Closes its input and waits for its end.
    async fn end(mut self) {
        self.close();
        assert!(self.process.end().await, "{}", self.log());
    }
}

fn command(url: &str, options: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("connect").arg(url).arg("--verbose").args(options).env_remove("PORTCULLIS_TOKEN");
    command
}

fn hello() -> Value {
    request(
        0,
        "initialize",
        json!({
            "protocolVersion": LEGACY,
            "capabilities": {"roots": {}, "sampling": {}, "elicitation": {}},
            "clientInfo": {"name": "tests", "version": "1"},
        }),
    )
}

fn request(id: i64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A request of a modern client.
fn modern(id: i64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    request(id, method, params)
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}
