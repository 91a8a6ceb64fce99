//! A gateway of our own: its files, its process, and calls to it. `demo` is the other way to start one.

use crate::support::http::{Request, Response, fetch};
use crate::support::journal;
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::tokens;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The value that upstreams find in `X-Gateway-Auth`.
pub const GATEWAY_SECRET: &str = "what-the-gateway-shows-its-upstreams";

/// The `journal.deadline` of tests that are not about it: a disk that others keep busy is no reason to refuse a call.
pub const JOURNAL_DEADLINE: &str = "10s";

/// The files of a gateway. Each may be written as JSON, which YAML includes.
pub struct Setup {
    pub gateway: Value,
    pub upstreams: Value,
    pub policy: String,
    /// Further files beside them, by name.
    pub others: BTreeMap<String, String>,
    /// What it finds in its environment.
    pub environment: BTreeMap<String, String>,
    /// Whether to wait until `/readyz` says yes.
    pub until_ready: bool,
}

impl Setup {
    /// The upstreams by name and URL, each its own endpoint, and `work` with all of them.
    pub fn new(upstreams: &[(&str, String)], policy: &str) -> Self {
        let entry = |(name, url): &(&str, String)| ((*name).to_owned(), json!({"url": url}));
        let mut endpoints: Map<String, Value> =
            upstreams.iter().map(|(name, _)| ((*name).to_owned(), json!({"upstreams": [name]}))).collect();
        let all: Vec<_> = upstreams.iter().map(|(name, _)| name).collect();
        endpoints.insert("work".into(), json!({"upstreams": all}));
        let upstreams: Map<_, _> = upstreams.iter().map(entry).collect();
        Self {
            gateway: json!({
                "version": 1,
                "listen": {"ingress": "127.0.0.1:0", "admin": "127.0.0.1:0"},
                "upstreams": "upstreams.yaml",
                "policy": "policy.yaml",
                "identity": {"issuers": [{
                    "issuer": tokens::ISSUER, "secret": tokens::SECRET, "algorithms": ["HS256"],
                    "audiences": [tokens::AUDIENCE],
                }]},
                "gateway_secret": GATEWAY_SECRET,
                "drain": "1s",
                "threads": 2,
            }),
            upstreams: json!({"version": 1, "upstreams": upstreams, "endpoints": endpoints}),
            policy: policy.to_owned(),
            others: BTreeMap::new(),
            environment: BTreeMap::new(),
            until_ready: true,
        }
    }

    /// The same with `key` of the upstream `name` set.
    pub fn upstream(mut self, name: &str, key: &str, value: Value) -> Self {
        self.upstreams["upstreams"][name][key] = value;
        self
    }

    /// The same with several `urls` for the upstream `name`.
    pub fn replicas(mut self, name: &str, urls: &[String]) -> Self {
        self.upstreams["upstreams"][name].as_object_mut().unwrap().remove("url");
        self.upstream(name, "urls", json!(urls))
    }

    /// The same with `key` of `gateway.yaml` set.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.gateway[key] = value;
        self
    }

    /// The same with the variable `name` in its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with a further file.
    pub fn beside(mut self, name: &str, text: &str) -> Self {
        self.others.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Writes the files into `dir`; the path of the first.
    pub fn write(&self, dir: &Path) -> PathBuf {
        let gateway = dir.join("gateway.yaml");
        std::fs::write(&gateway, format!("{:#}\n", self.gateway)).unwrap();
        std::fs::write(dir.join("upstreams.yaml"), format!("{:#}\n", self.upstreams)).unwrap();
        std::fs::write(dir.join("policy.yaml"), &self.policy).unwrap();
        for (name, text) in &self.others {
            std::fs::write(dir.join(name), text).unwrap();
        }
        gateway
    }

    /// Writes the files and starts the gateway.
    pub async fn start(mut self) -> Gateway {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        if self.gateway["journal"].is_null() {
            self.gateway["journal"] = json!({"path": path("journal.db"), "deadline": JOURNAL_DEADLINE});
        }
        let config = self.write(dir.path());
        let mut command = Command::new(BINARY);
        command.args(["serve", "--config"]).arg(config);
        command.arg("--ready-file").arg(path("ready.json")).current_dir(dir.path());
        command.envs(&self.environment);
        let mut process = Process::spawn(&mut command);
        let ready = Ready::read(&mut process, &path("ready.json")).await;
        let gateway = Gateway { process, ready, dir };
        if self.until_ready {
            gateway.await_ready().await;
        }
        gateway
    }

    /// Starts a gateway that must not start; what it says.
    pub async fn refused(self) -> String {
        let dir = TempDir::new().unwrap();
        let config = self.write(dir.path());
        let mut command = Command::new(BINARY);
        command.args(["serve", "--config"]).arg(config).current_dir(dir.path());
        let mut process = Process::spawn(&mut command);
        assert!(!process.end().await, "it starts");
        process.lines().join("\n")
    }
}

/// The gateway's program.
pub const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// What the gateway writes into its ready file once it listens.
pub struct Ready {
    pub gateway: String,
    pub admin: String,
    pub endpoints: BTreeMap<String, String>,
    pub tokens: BTreeMap<String, String>,
    pub journal: PathBuf,
}

impl Ready {
    /// Waits for the file and reads it.
    pub async fn read(process: &mut Process, path: &Path) -> Self {
        let content = process
            .until("the gateway writes its ready file", async |_| {
                serde_json::from_str::<Value>(&std::fs::read_to_string(path).ok()?).ok()
            })
            .await;
        let text = |key: &str| content[key].as_str().unwrap_or_else(|| panic!("no {key} in {content}")).to_owned();
        let map = |key: &str| -> BTreeMap<String, String> {
            serde_json::from_value(content[key].clone()).unwrap_or_default()
        };
        let (gateway, admin, journal) = (text("gateway"), text("admin"), text("journal").into());
        Self { gateway, admin, endpoints: map("endpoints"), tokens: map("tokens"), journal }
    }
}

/// A running gateway. It ends with this value.
pub struct Gateway {
    pub process: Process,
    pub ready: Ready,
    dir: TempDir,
}

impl Gateway {
    /// Host and port of the ingress.
    pub fn authority(&self) -> &str {
        authority(&self.ready.gateway)
    }

    /// Host and port of the admin side.
    pub fn admin(&self) -> &str {
        authority(&self.ready.admin)
    }

    /// The URL of `endpoint`.
    pub fn endpoint(&self, endpoint: &str) -> &str {
        self.ready.endpoints.get(endpoint).unwrap_or_else(|| panic!("no endpoint {endpoint}"))
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts `upstreams` in the place of `upstreams.yaml`.
    pub fn replace_upstreams(&self, upstreams: &Value) {
        let (new, file) = (self.dir().join("upstreams.new"), self.dir().join("upstreams.yaml"));
        std::fs::write(&new, format!("{upstreams:#}\n")).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> Value {
        fetch(self.admin(), &Request::get("/readyz")).await.message()
    }

    /// Sends `request`.
    pub async fn send(&self, request: &Request) -> Response {
        fetch(self.authority(), request).await
    }

    /// Calls a tool as a modern client does.
    pub async fn modern_call(&self, endpoint: &str, token: &str, tool: &str, arguments: &Value) -> Response {
        self.send(&modern_call(endpoint, tool, arguments).bearer(token)).await
    }

    /// Opens a session as a legacy client does; gives the headers that its further requests carry.
    pub async fn legacy_session(&self, endpoint: &str, token: &str) -> Vec<(String, String)> {
        let params = json!({
            "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"},
        });
        let response = self.send(&legacy(endpoint, "initialize", params).bearer(token)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.message()["result"]["protocolVersion"], LEGACY, "{}", response.text());
        let mut headers = vec![
            ("authorization".to_owned(), format!("Bearer {token}")),
            ("mcp-protocol-version".to_owned(), LEGACY.to_owned()),
        ];
        if let Some(session) = response.header("mcp-session-id") {
            headers.push(("mcp-session-id".to_owned(), session.to_owned()));
        }
        let mut initialized = legacy(endpoint, "notifications/initialized", json!({}));
        initialized.body = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec();
        initialized.headers.extend(headers.clone());
        assert_eq!(self.send(&initialized).await.status, 202);
        headers
    }

    /// Calls a tool over plain REST.
    pub async fn rest_invoke(&self, token: &str, tool: &str, arguments: &Value) -> Response {
        let body = json!({"tool_name": tool, "arguments": arguments});
        self.send(&Request::post("/mcp/invoke", body.to_string()).bearer(token)).await
    }

    /// The journal's calls, oldest first.
    pub async fn calls(&self) -> Vec<Map<String, Value>> {
        journal::calls(&self.ready.journal).await
    }

    /// The journal's calls that `matches`, once there are `count` and all have ended.
    pub async fn ended_calls(
        &self,
        count: usize,
        matches: impl Fn(&Map<String, Value>) -> bool,
    ) -> Vec<Map<String, Value>> {
        let what = format!("the journal has {count} calls that have ended");
        wait_until(&what, PATIENCE, async || {
            let calls: Vec<_> = self.calls().await.into_iter().filter(|call| matches(call)).collect();
            (calls.len() >= count && calls.iter().all(|call| !call["outcome"].is_null())).then_some(calls)
        })
        .await
    }

    /// The first call of the journal that `matches` and has ended.
    pub async fn ended_call(&self, matches: impl Fn(&Map<String, Value>) -> bool) -> Map<String, Value> {
        wait_until("the journal has the call", PATIENCE, async || {
            self.calls().await.into_iter().find(|call| !call["outcome"].is_null() && matches(call))
        })
        .await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let response = fetch(self.admin(), &Request::get("/metrics")).await;
        assert_eq!(response.status, 200);
        response.text()
    }

    /// Its log so far: the lines of JSON.
    pub fn log(&self) -> Vec<Value> {
        self.process.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    async fn await_ready(&self) {
        let (admin, request) = (self.admin(), Request::get("/readyz"));
        wait_until("/readyz answers 200", PATIENCE, async || {
            (fetch(admin, &request).await.status == 200).then_some(())
        })
        .await;
    }
}

/// Host and port of `url`.
pub fn authority(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap()
}

/// The modern revision that tests speak.
pub const MODERN: &str = "2026-07-28";
/// The legacy revision that tests speak.
pub const LEGACY: &str = "2025-11-25";

/// A request of a modern client that wants to hear all of it: its progress, under the token 1, and its logs. `params` gets
/// the `_meta` that the revision demands.
pub fn modern(endpoint: &str, method: &str, mut params: Value) -> Request {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/logLevel": "debug",
        "progressToken": 1,
    });
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = Request::post(&format!("/{endpoint}/mcp"), body.to_string())
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", method);
    match params["name"].as_str() {
        Some(name) if method == "tools/call" => request.header("mcp-name", name),
        _ => request,
    }
}

/// A modern client's call of a tool.
pub fn modern_call(endpoint: &str, tool: &str, arguments: &Value) -> Request {
    modern(endpoint, "tools/call", json!({"name": tool, "arguments": arguments}))
}

/// A request of a legacy client, without what its session adds.
pub fn legacy(endpoint: &str, method: &str, params: Value) -> Request {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    Request::post(&format!("/{endpoint}/mcp"), body.to_string()).header("accept", "application/json, text/event-stream")
}
