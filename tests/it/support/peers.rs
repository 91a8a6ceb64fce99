//! The real programs of `tests/peers`: servers, clients, the identity provider. `tests/peers/install.sh` brings them.

use crate::support::http::{Request, fetch};
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::rust_client;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// The repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    repository().join("tests/peers")
}

fn program(path: &str) -> Command {
    let program = folder().join(path);
    assert!(program.exists(), "{} is missing: run `make peers`", program.display());
    let mut command = Command::new(program);
    command.current_dir(folder());
    command
}

fn node() -> Command {
    program("node_modules/.bin/node")
}

fn python() -> Command {
    program(".venv/bin/python")
}

/// The official conformance suite. Its own servers stay on 127.0.0.1, and what it starts finds Node first in its path.
pub fn conformance_suite() -> Command {
    let mut command = node();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", folder().join("node_modules/.bin").display()));
    command.args(["-r", "./loopback.cjs", "node_modules/@modelcontextprotocol/conformance/dist/index.js"]);
    command
}

/// A running server.
pub struct Server {
    port: u16,
    _process: Process,
}

impl Server {
    /// The TypeScript SDK's; `style` is how it answers: `json`, `sse` or `auto`.
    pub async fn typescript(style: &str) -> Self {
        Self::start(node().args(["servers/ts.mjs", "0", style])).await
    }

    /// A Python SDK's: `mcp` or `fastmcp`.
    pub async fn python(family: &str) -> Self {
        Self::start(python().args(["servers/py.py", "0", family])).await
    }

    /// The reference server of the older TypeScript SDK, which speaks no modern revision.
    pub async fn legacy() -> Self {
        let everything = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
        Self::start(node().args(["-r", "./loopback.cjs", everything, "streamableHttp"]).env("PORT", "0")).await
    }

    /// A server whose lists and resources change while it runs; `family` is `modern` or `legacy`.
    pub async fn news(family: &str) -> Self {
        Self::start(node().args(["servers/news.mjs", "0", family])).await
    }

    /// A server that shows each user something else; `family` is `modern` or `legacy`.
    pub async fn users(family: &str) -> Self {
        Self::start(node().args(["servers/users.mjs", "0", family])).await
    }

    /// What the official conformance suite looks for, on the TypeScript SDK; `servers/conformance.mjs` has the flags.
    pub async fn conformance(flags: &[&str]) -> Self {
        Self::start(node().args(["servers/conformance.mjs", "0"]).args(flags)).await
    }

    /// The same on HTTP+SSE; [`Server::stream`] is its URL.
    pub async fn everything_sse() -> Self {
        let everything = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
        Self::start(node().args(["-r", "./loopback.cjs", everything, "sse"]).env("PORT", "0")).await
    }

    async fn start(command: &mut Command) -> Self {
        let mut process = Process::spawn(command);
        Self { port: process.ready_port().await, _process: process }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    pub fn stream(&self) -> String {
        format!("http://127.0.0.1:{}/sse", self.port)
    }
}

/// A receiver of the record that judges by official code; `servers/receiver.py` says what it knows.
pub struct Receiver {
    port: u16,
    _process: Process,
}

impl Receiver {
    /// One that knows `secret`.
    pub async fn start(secret: &str) -> Self {
        let mut process = Process::spawn(python().args(["servers/receiver.py", "0", secret]));
        Self { port: process.ready_port().await, _process: process }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority())
    }

    fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Has it answer so from now on.
    pub async fn behave(&self, behaviour: &Value) {
        let request = Request::post("/behave", behaviour.to_string());
        assert_eq!(fetch(&self.authority(), &request).await.status, 200);
    }

    /// What it has taken.
    pub async fn taken(&self) -> Value {
        fetch(&self.authority(), &Request::get("/taken")).await.message()
    }

    /// The same, once that `is_enough`.
    pub async fn taken_when(&self, is_enough: impl Fn(&Value) -> bool) -> Value {
        wait_until("the receiver has taken enough", PATIENCE, async || {
            Some(self.taken().await).filter(|taken| is_enough(taken))
        })
        .await
    }
}

/// A server that speaks on its standard input and output, for the gateway to start.
#[derive(Debug, Clone, Copy)]
pub enum Program<'a> {
    /// The TypeScript SDK's.
    TypeScript,
    /// A Python SDK's: `mcp` or `fastmcp`.
    Python(&'a str),
    /// The reference server of the older TypeScript SDK.
    Everything,
    /// The reference server of files, for this folder.
    Filesystem(&'a str),
    /// Our own, which misbehaves: its arguments.
    Odd(&'a [&'a str]),
}

impl Program<'_> {
    /// Its command.
    pub fn command(self) -> Vec<String> {
        let file = |path: &str| {
            let file = folder().join(path);
            assert!(file.exists(), "{} is missing: run `make peers`", file.display());
            file.to_str().unwrap().to_owned()
        };
        let (node, python) = ("node_modules/.bin/node", ".venv/bin/python");
        let reference = |name: &str| file(&format!("node_modules/@modelcontextprotocol/{name}/dist/index.js"));
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (program, script, arguments) = match self {
            Self::TypeScript => (node, file("servers/ts.mjs"), words(&["stdio"])),
            Self::Python(family) => (python, file("servers/py.py"), words(&["stdio", family])),
            Self::Everything => (node, reference("server-everything"), words(&["stdio"])),
            Self::Filesystem(folder) => (node, reference("server-filesystem"), words(&[folder])),
            Self::Odd(arguments) => (python, file("servers/odd.py"), words(arguments)),
        };
        [vec![file(program), script], arguments].concat()
    }
}

/// A client program, and how it opens the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The TypeScript SDK: `legacy`, `auto`, `modern` or `v1`.
    TypeScript(&'static str),
    /// The Python SDK: `legacy`, `auto` or `2026-07-28`.
    Python(&'static str),
    /// The Rust SDK: `legacy`, `auto` or `modern`.
    Rust(&'static str),
    /// The Inspector's command line: `legacy`, `auto` or `modern`.
    Inspector(&'static str),
}

impl Client {
    /// Every client in every mode.
    pub const ALL: &[Self] = &[
        Self::TypeScript("legacy"),
        Self::TypeScript("auto"),
        Self::TypeScript("modern"),
        Self::TypeScript("v1"),
        Self::Python("legacy"),
        Self::Python("auto"),
        Self::Python("2026-07-28"),
        Self::Rust("legacy"),
        Self::Rust("auto"),
        Self::Rust("modern"),
        Self::Inspector("legacy"),
        Self::Inspector("modern"),
    ];

    /// The revision that it and a server of both eras agree on; `None` where the client does not tell.
    pub fn revision(self) -> Option<&'static str> {
        match self {
            Self::TypeScript("legacy" | "v1") | Self::Python("legacy") | Self::Rust("legacy") => Some("2025-11-25"),
            Self::TypeScript(_) | Self::Python(_) | Self::Rust(_) => Some("2026-07-28"),
            Self::Inspector(_) => None,
        }
    }

    /// Lists the tools at `url` and calls `tool`: the list's and the call's result.
    pub async fn list_and_call(self, url: &str, token: &str, tool: &str, arguments: &Value) -> [Value; 2] {
        let script = json!([{"list": "tools"}, {"call": tool, "arguments": arguments}]);
        let said = self.perform(url, token, &script).await;
        if let Some(revision) = self.revision() {
            assert_eq!(said["protocol"], revision, "{self:?} of {said}");
        }
        [0, 1].map(|at| {
            let result = &said["results"][at];
            assert!(result["error"].is_null(), "{self:?} at {url}: {result}");
            result["ok"].clone()
        })
    }

    /// Runs `script` at `url`. `clients/ts.mjs` says what it may hold, and what comes back.
    pub async fn perform(self, url: &str, token: &str, script: &Value) -> Value {
        let text = script.to_string();
        match self {
            Self::TypeScript(mode) => self.run(node().args(["clients/ts.mjs", url, mode, token, &text])).await,
            Self::Python(mode) => self.run(python().args(["clients/py.py", url, mode, token, &text])).await,
            Self::Rust(mode) => rust_client::perform(url, mode, token, script).await,
            Self::Inspector(_) => {
                let mut results = Vec::new();
                for operation in script.as_array().unwrap() {
                    results.push(self.inspect(url, token, operation).await);
                }
                json!({"protocol": null, "results": results})
            }
        }
    }

    async fn inspect(self, url: &str, token: &str, operation: &Value) -> Value {
        let text = |key: &str| operation[key].as_str();
        let mut command = self.inspector(url, token);
        // The Inspector keeps files in the home folder: not in that of whoever runs the tests.
        let home = tempfile::tempdir().unwrap();
        command.env("HOME", home.path()).arg("--method");
        let arguments = match (text("list"), text("prompt"), text("read"), text("call")) {
            (Some(kind), ..) => {
                command.arg(format!("{kind}/list"));
                None
            }
            (_, Some(name), ..) => {
                command.args(["prompts/get", "--prompt-name", name]);
                Some("--prompt-args")
            }
            (_, _, Some(uri), _) => {
                command.args(["resources/read", "--uri", uri]);
                None
            }
            (.., name) => {
                command.args(["tools/call", "--tool-name", name.unwrap()]);
                Some("--tool-arg")
            }
        };
        let given = operation["arguments"].as_object().filter(|given| !given.is_empty());
        if let (Some(flag), Some(given)) = (arguments, given) {
            command.arg(flag);
            let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            command.args(given.iter().map(|(name, value)| format!("{name}={}", plain(value))));
        }
        let said = self.said(&mut Process::spawn(&mut command)).await.1;
        match said.get("result") {
            Some(result) => json!({"ok": result}),
            None => said,
        }
    }

    fn inspector(self, url: &str, token: &str) -> Command {
        let Self::Inspector(era) = self else { panic!("{self:?} is not the Inspector") };
        let mut command = program("node_modules/.bin/mcp-inspector");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder().join("node_modules/.bin").display()));
        command.args(["--cli", url, "--transport", "http", "--protocol-era", era, "--format", "json"]);
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
        command
    }

    /// Listens at `url` for what `filter` says: the program, which prints a line of JSON for each thing that happens.
    pub fn listen(self, url: &str, token: &str, filter: &Value) -> Process {
        let filter = filter.to_string();
        let mut command = match self {
            Self::TypeScript(_) => node(),
            Self::Python(_) => python(),
            Self::Rust(_) | Self::Inspector(_) => panic!("{self:?} does not listen"),
        };
        match self {
            Self::TypeScript(mode) => command.args(["clients/news.mjs", url, mode, token, &filter]),
            _ => command.args(["clients/news.py", url, token, &filter]),
        };
        Process::spawn(&mut command)
    }

    async fn run(self, command: &mut Command) -> Value {
        let (well, said) = self.said(&mut Process::spawn(command)).await;
        assert!(well, "{self:?} ended badly: {said}");
        said
    }

    /// Whether `process` ends well, and the JSON that it prints.
    async fn said(self, process: &mut Process) -> (bool, Value) {
        let well = process.end_within(3 * PATIENCE).await;
        let output = process.lines().join("\n");
        // The Inspector prints its JSON over several lines; the others print one.
        let whole = output
            .find('{')
            .and_then(|start| serde_json::Deserializer::from_str(&output[start..]).into_iter().next()?.ok());
        (well, whole.unwrap_or_else(|| panic!("{self:?} printed no JSON:\n{output}")))
    }
}

/// What a client that can be asked says of `script` at `url`: `asked.mjs` or `asked.py`, in its `mode`.
pub async fn ask(client: &str, url: &str, mode: &str, token: &str, script: &Value) -> Value {
    let mut command = if client.ends_with(".py") { python() } else { node() };
    command.args([&format!("clients/{client}"), url, mode, token, &script.to_string()]);
    Client::TypeScript("legacy").run(&mut command).await
}

/// What the TypeScript SDK says of `script` at `url` when it must get its tokens by itself, as `client` of the identity
/// provider. `mode` is `legacy` or `modern`.
pub async fn oauth_client(url: &str, mode: &str, client: &str, script: &Value) -> Value {
    let mut process = Process::spawn(node().args(["clients/oauth.mjs", url, mode, client, &script.to_string()]));
    let well = process.end_within(3 * PATIENCE).await;
    let output = process.lines().join("\n");
    assert!(well, "the client ended badly:\n{output}");
    output.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("no JSON:\n{output}"))
}

/// The identity provider.
pub struct Idp {
    port: u16,
    _process: Process,
}

/// Plays a person at the console at `url`, who is `user` to the identity provider and agrees to `approval`; what they saw,
/// with pictures in `folder`.
pub async fn person_at_the_console(url: &str, user: &str, approval: &str, folder: &std::path::Path) -> Value {
    let mut command = node();
    command.args(["clients/console.mjs", url, user, approval]).arg(folder);
    in_browser(&mut command).await
}

/// Plays an operator who follows `link`, tries `job` again and cancels the other one that waits; what they saw, with pictures
/// in `folder`.
pub async fn at_the_jobs(link: &str, job: &str, folder: &std::path::Path) -> Value {
    let mut command = node();
    command.args(["clients/jobs.mjs", link, job]).arg(folder);
    in_browser(&mut command).await
}

/// Plays somebody who opens `link` and agrees to the only approval that waits; what they saw.
pub async fn approve_by_link(link: &str) -> Value {
    in_browser(node().args(["clients/link.mjs", link])).await
}

async fn in_browser(command: &mut Command) -> Value {
    let mut process = Process::spawn(command);
    let well = process.end_within(3 * PATIENCE).await;
    let lines = process.lines();
    assert!(well, "{}", lines.join("\n"));
    let said = lines.iter().rev().find_map(|line| serde_json::from_str(line).ok());
    said.unwrap_or_else(|| panic!("{}", lines.join("\n")))
}

impl Idp {
    pub async fn start() -> Self {
        let mut process = Process::spawn(node().args(["idp.mjs", "0"]));
        Self { port: process.ready_port().await, _process: process }
    }

    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A token for `client` (`viewer`, `developer`, `oncall`, `developer-es256`) and the audience `resource`.
    pub async fn token(&self, client: &str, resource: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret=s3cret&resource={}",
            resource.replace(':', "%3A").replace('/', "%2F")
        );
        let request = Request::post("/token", form).header("content-type", "application/x-www-form-urlencoded");
        let response = fetch(&self.authority(), &request).await;
        let answer = response.message();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Signs with new keys from now on, and forgets the old ones unless they are to be kept.
    pub async fn rotate(&self, keep: bool) {
        let path = if keep { "/admin/rotate?keep" } else { "/admin/rotate" };
        assert_eq!(fetch(&self.authority(), &Request::post(path, "")).await.status, 204);
    }

    /// How often the key set was asked for.
    pub async fn key_set_reads(&self) -> u64 {
        let response = fetch(&self.authority(), &Request::post("/admin/requests", "")).await;
        response.message()["jwks"].as_u64().unwrap()
    }
}
