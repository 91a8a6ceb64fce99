//! What the tests of jobs play on: an upstream, a store that outlives the gateways before it, and what callers say.

use crate::support::gateway::{Gateway, JOURNAL_DEADLINE, Setup, modern};
use crate::support::http::{Request, Response};
use crate::support::postgres::Postgres;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const POLICY: &str = r#"
version: 1
roles: { runner: {}, reader: {} }
tools:
  - { match: "etl.run", class: write, mode: job }
  - { match: "etl.again", class: write, mode: job, idempotent: true, attempts: 2 }
  - { match: "etl.read", class: read }
access: [{ roles: [runner], upstreams: [etl], level: write }]
"#;

/// The key of the digests, which seals jobs too: the same in every gateway of a test.
const KEY: &str = "the digest key of the tests of jobs";

/// Where the store of jobs is.
pub enum Store {
    Sqlite,
    Postgres(Postgres),
}

/// The rest of the world.
pub struct World {
    pub upstream: Upstream,
    folder: TempDir,
    store: Store,
}

impl World {
    pub async fn new() -> Self {
        Self::of(Speaks::Modern, Store::Sqlite).await
    }

    pub async fn of(speaks: Speaks, store: Store) -> Self {
        let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
        let mut run = tool("run");
        run["outputSchema"] = json!({"type": "object"});
        let upstream = Upstream::start(speaks, vec![run, tool("again"), tool("read")]).await;
        Self { upstream, folder: TempDir::new().unwrap(), store }
    }

    pub fn setup(&self, jobs: &Value) -> Setup {
        let mut all = json!({"lease": "15s"});
        all.as_object_mut().unwrap().extend(jobs.as_object().unwrap().clone());
        let at = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        let store = match &self.store {
            Store::Sqlite => at("work.db"),
            Store::Postgres(postgres) => postgres.url("admin"),
        };
        Setup::new(&[("etl", self.upstream.url())], POLICY)
            .with("journal", json!({"path": at("journal.db"), "deadline": JOURNAL_DEADLINE}))
            .with("work", json!({"store": store}))
            .with("digest_key", json!(KEY))
            .with("jobs", all)
    }

    /// What is in the files of the store.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let store = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("work.db"));
        store.map(|path| std::fs::read(path).unwrap()).collect()
    }

    pub async fn gateway(&self, jobs: &Value) -> Gateway {
        self.setup(jobs).start().await
    }
}

pub fn ana() -> String {
    token("ana", &["runner"])
}

/// Hands in a call by plain REST; the job's id.
pub async fn hand_in(gateway: &Gateway, tool: &str, arguments: &Value) -> String {
    let response = gateway.rest_invoke(&ana(), tool, arguments).await;
    assert_eq!(response.status, 202, "{}", response.text());
    id_of(&response)
}

/// The id that an answer to a call by plain REST names.
pub fn id_of(response: &Response) -> String {
    let id = response.message()["id"].as_str().unwrap_or_else(|| panic!("{}", response.text())).to_owned();
    assert_eq!(response.header("location"), Some(format!("/jobs/{id}").as_str()));
    id
}

/// Asks for a job by plain REST.
pub async fn ask(gateway: &Gateway, token: &str, id: &str) -> Response {
    gateway.send(&Request::get(&format!("/jobs/{id}")).bearer(token)).await
}

/// How the job of `ana` stands once its state is one of `states`.
pub async fn until(gateway: &Gateway, id: &str, states: &[&str]) -> Value {
    wait_until(&format!("the job is {states:?}"), PATIENCE, async || {
        let response = ask(gateway, &ana(), id).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let job = response.message();
        states.contains(&job["state"].as_str().unwrap()).then_some(job)
    })
    .await
}

/// A call of `portcullis.job` at the endpoint `etl`.
pub async fn poll(gateway: &Gateway, token: &str, arguments: &Value) -> Value {
    gateway.modern_call("etl", token, "portcullis.job", arguments).await.message()
}

/// A request of a client that knows tasks.
pub fn knowing_tasks(method: &str, params: Value) -> Request {
    let name = params["taskId"].as_str().map(str::to_owned);
    let mut request = modern("etl", method, params);
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    request.body = body.to_string().into_bytes();
    match name {
        Some(name) => request.header("mcp-name", &name),
        None => request,
    }
}
