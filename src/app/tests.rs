//! A panic inside the process (security.md case 201): it is one request's 500, with its row, and nobody else's business.
//! Nothing that can be sent to the program causes one, so the stages have traps that are built for these tests alone.

use super::{App, prepare};
use crate::identity::mint::{MintRequest, SigningKey, mint};
use crate::pipeline::record::{Origin, Record};
use crate::pipeline::{clock, trap};
use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// What a row of the journal says of a request: outcome, status and error.
type Told = (String, Option<i64>, Option<String>);

struct World {
    app: App,
    folder: TempDir,
    token: String,
    client: reqwest::Client,
}

/// A tool that says `fine`; where its arguments name a trap, its answer does.
async fn answer(body: Bytes) -> Response<Body> {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let result = match message["method"].as_str() {
        Some("server/discover") => {
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 60000, "cacheScope": "public"})
        }
        Some("tools/list") => {
            json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}], "ttlMs": 60000, "cacheScope": "public"})
        }
        _ => json!({"resultType": "complete", "content": [{"type": "text", "text": "fine"}]}),
    };
    let answer = Response::builder().header("content-type", "application/json");
    let trap = message["params"]["arguments"]["trap"].as_str();
    let answer = trap.into_iter().fold(answer, |answer, place| answer.header(trap::FIELD, place));
    answer.body(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string().into()).unwrap()
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let routes = Router::new().route("/mcp", post(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        write("upstreams.yaml", json!({
            "version": 1, "upstreams": {"one": {"url": format!("http://{upstream}/mcp")}}, "endpoints": {"work": {"upstreams": ["one"]}},
        }).to_string());
        write(
            "policy.yaml",
            json!({
                "version": 1, "roles": {"tester": {}}, "tools": [{"match": "one.echo", "class": "read"}],
                "access": [{"roles": ["tester"], "upstreams": ["one"], "level": "read"}],
            })
            .to_string(),
        );
        write("gateway.yaml", json!({
            "version": 1, "listen": {"ingress": "127.0.0.1:0", "admin": "127.0.0.1:0"}, "upstreams": "upstreams.yaml",
            "policy": "policy.yaml", "journal": {"path": folder.path().join("journal.db")},
            "identity": {"issuers": [{
                "issuer": "dev", "secret": "a secret that only this test knows", "algorithms": ["HS256"], "audiences": ["tests"],
            }]},
        }).to_string());
        let (loaded, ingress, admin) = prepare(&folder.path().join("gateway.yaml")).await.unwrap();
        let issuer = loaded.snapshot.gateway.issuers[0].clone();
        let request =
            MintRequest { roles: vec!["tester".into()], ..MintRequest::new(&issuer, "tess", Duration::from_secs(300)) };
        let token = mint(&request, &SigningKey::of(&issuer).unwrap(), clock::now()).unwrap();
        let app = App::start(loaded, ingress, admin).await.unwrap();
        app.discovered().await;
        Self { app, folder, token, client: reqwest::Client::new() }
    }

    /// Calls `echo` with this trap in the request's header and that one in its answer's.
    async fn call(&self, stage: Option<&str>, filter: Option<&str>) -> (u16, Value) {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        });
        let arguments = filter.map_or_else(|| json!({}), |place| json!({ "trap": place }));
        let params = json!({"name": "echo", "arguments": arguments, "_meta": meta});
        let request = self
            .client
            .post(format!("http://{}/work/mcp", self.app.ingress))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "echo");
        let request = stage.into_iter().fold(request, |request, place| request.header(trap::FIELD, place));
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let response = request.body(message.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Ends the process; what is in its record.
    async fn end(self) -> Vec<Told> {
        self.app.stop().await;
        told(&self.folder.path().join("journal.db")).await
    }
}

async fn told(journal: &Path) -> Vec<Told> {
    let options = SqliteConnectOptions::new().filename(journal).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query_as("SELECT outcome, status, error FROM calls WHERE endpoint = 'work' ORDER BY seq")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

fn fine() -> Told {
    ("ok".into(), Some(200), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_stage_or_a_filter_is_its_own_requests_500_with_one_row() {
    let world = World::start().await;
    let mut wanted = Vec::new();
    for (stage, filter, outcome) in [
        (Some("admit"), None, "refused"),
        (Some("judge"), None, "refused"),
        (Some("journaled"), None, "refused"),
        (None, Some("filter"), "failed"),
    ] {
        let (status, body) = world.call(stage, filter).await;
        assert_eq!((status, &body["error"]["code"]), (500, &json!(-32603)), "{stage:?}: {body}");
        assert!(!body.to_string().contains("trap"), "{body}");
        let (status, body) = world.call(None, None).await;
        assert_eq!((status, &body["result"]["content"][0]["text"]), (200, &json!("fine")), "{body}");
        wanted.extend([(outcome.to_owned(), Some(500), Some("internal".to_owned())), fine()]);
    }
    assert_eq!(world.end().await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_nobody_closes_closes_itself() {
    let world = World::start().await;
    let ids = crate::pipeline::arrival::Ids::new(&[]);
    let live = world.app.gateway.live.load_full();
    let origin = Origin { ids: &ids, peer: None, endpoint: Some("work"), at: Instant::now() };
    drop(Record::open(&world.app.gateway, &live, &origin));
    let mut record = Record::open(&world.app.gateway, &live, &origin);
    record.intend().await.unwrap();
    drop(record);
    assert_eq!(world.end().await, vec![("unknown".into(), None, None); 2]);
}
