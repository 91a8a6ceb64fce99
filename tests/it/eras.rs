//! Which family of revisions a request speaks, and how what is not served looks in it: the table of what a gateway's
//! answers tell a client about the server (MCP 2026-07-28 "Backward Compatibility").

use crate::support::gateway::{Gateway, MODERN, Setup, legacy, modern};
use crate::support::http::{Connection, Request, Version};
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};

const POLICY: &str = r#"
version: 1
roles: { developer: {} }
tools: [{ match: "one.*", class: read }]
access: [{ roles: [developer], upstreams: ["*"], level: read }]
"#;

/// What is sent, and what must come back: the status, and the code of the error; 0 for an answer without one.
struct Probe(&'static str, Request, u16, i64);

fn post(body: impl ToString, version: Option<&str>) -> Request {
    let request = Request::post("/one/mcp", body.to_string()).header("accept", "application/json, text/event-stream");
    version.map_or_else(|| request.clone(), |version| request.clone().header("mcp-protocol-version", version))
}

fn verb(method: &str) -> Request {
    let mut request = Request::get("/one/mcp");
    request.method = method.to_owned();
    request
}

fn hello(version: &str) -> Value {
    json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } })
}

/// What is not POST: nothing without a session, and no session that was not given out here.
fn verbs() -> Vec<Probe> {
    let foreign = |method: &str| verb(method).header("mcp-session-id", "00000000-0000-4000-8000-000000000000");
    vec![
        Probe("GET", verb("GET"), 405, -31405),
        Probe("DELETE", verb("DELETE"), 405, -31405),
        Probe("PUT", verb("PUT"), 405, -31405),
        Probe("OPTIONS", verb("OPTIONS"), 405, -31405),
        Probe("GET of a stranger's session", foreign("GET"), 404, -31404),
        Probe("DELETE of a stranger's session", foreign("DELETE"), 404, -31404),
        Probe("PUT in a session", foreign("PUT"), 405, -31405),
        Probe(
            "a message in a stranger's session",
            legacy("one", "ping", json!({})).header("mcp-session-id", "x"),
            404,
            -31404,
        ),
    ]
}

fn modern_ones() -> Vec<Probe> {
    let list = || modern("one", "tools/list", json!({}));
    let meta = |version: &str| {
        json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {} } })
    };
    let request =
        |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let listed =
        |header: Option<&str>| post(request("tools/list", meta(MODERN)), header).header("mcp-method", "tools/list");
    vec![
        Probe("as it should be", list(), 200, 0),
        Probe("discovery", modern("one", "server/discover", json!({})), 200, 0),
        Probe("a session id is nothing to it", list().header("mcp-session-id", "x"), 200, 0),
        Probe("no header of the version", listed(None), 400, -32020),
        Probe("another version in the header", listed(Some("2025-11-25")), 400, -32020),
        Probe("no claim in the body", post(request("tools/list", json!({})), Some(MODERN)), 400, -32602),
        Probe(
            "a version that nobody speaks",
            post(request("tools/list", meta("2031-01-01")), Some("2031-01-01")),
            400,
            -32022,
        ),
        Probe("a version in the header alone that nobody speaks", listed(Some("2031-01-01")), 400, -32020),
        Probe("the handshake", modern("one", "initialize", hello(MODERN)), 404, -32601),
        Probe("ping", modern("one", "ping", json!({})), 404, -32601),
        Probe("logging/setLevel", modern("one", "logging/setLevel", json!({ "level": "info" })), 404, -32601),
        Probe("resources/subscribe", modern("one", "resources/subscribe", json!({ "uri": "x:y" })), 404, -32601),
        Probe("tasks/list", modern("one", "tasks/list", json!({})), 404, -32601),
        Probe("a method of its own", modern("one", "com.example/x", json!({})), 404, -32601),
        Probe(
            "tasks, not declared",
            modern("one", "tasks/get", json!({ "taskId": "t" })).header("mcp-name", "t"),
            400,
            -32021,
        ),
        Probe("a response", post(json!({ "jsonrpc": "2.0", "id": 1, "result": {} }), Some(MODERN)), 400, -32600),
        Probe("a list", post(json!([request("tools/list", meta(MODERN))]), Some(MODERN)), 400, -32600),
        Probe("a notification", post(json!({ "jsonrpc": "2.0", "method": "notifications/x" }), Some(MODERN)), 202, 0),
    ]
}

fn legacy_ones() -> Vec<Probe> {
    let old = Some("2025-11-25");
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let get = || legacy("one", "tools/call", json!({ "name": "get", "arguments": { "region": "eu" } }));
    vec![
        Probe("the handshake", legacy("one", "initialize", hello("2025-06-18")), 200, 0),
        Probe("the handshake of a client that hopes for more", legacy("one", "initialize", hello(MODERN)), 200, 0),
        Probe("without a version", post(&list, None), 200, 0),
        Probe("with one", post(&list, old), 200, 0),
        Probe("a version that nobody spoke", post(&list, Some("2024-01-01")), 400, -32022),
        Probe("ping", legacy("one", "ping", json!({})), 200, 0),
        Probe("discovery", legacy("one", "server/discover", json!({})), 200, -32601),
        Probe("a method of its own", legacy("one", "com.example/x", json!({})), 200, -32601),
        Probe(
            "a header of a later revision that is true",
            legacy("one", "tools/list", json!({})).header("mcp-method", "tools/list"),
            200,
            0,
        ),
        Probe("one that is not", legacy("one", "tools/list", json!({})).header("mcp-method", "ping"), 400, -32020),
        Probe("a name that it has not", legacy("one", "tools/list", json!({})).header("mcp-name", "get"), 400, -32020),
        Probe("another name", get().header("mcp-name", "put"), 400, -32020),
        Probe("another argument", get().header("mcp-param-region", "us"), 400, -32020),
        Probe(
            "a method of what is none",
            post(json!({ "jsonrpc": "2.0", "id": 1, "result": {} }), old).header("mcp-method", "tools/list"),
            400,
            -32020,
        ),
        Probe("a list", post(json!([list]), old), 400, -32600),
        Probe("ready", post(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }), old), 202, 0),
        Probe(
            "an answer that nobody asked for",
            post(json!({ "jsonrpc": "2.0", "id": 1, "result": {} }), old),
            400,
            -32600,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_era_is_told_apart_and_answered_in_its_own_words() {
    let region = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let upstream = Upstream::start(Speaks::Modern, vec![json!({"name": "get", "inputSchema": region})]).await;
    let gateway = Setup::new(&[("one", upstream.url())], POLICY).start().await;
    let mut faults = Vec::new();
    for (era, probes) in [("verbs", verbs()), ("modern", modern_ones()), ("legacy", legacy_ones())] {
        for probe in probes {
            ask(&gateway, era, probe, &mut faults).await;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(upstream.calls().len(), 0);
}

async fn ask(gateway: &Gateway, era: &str, Probe(name, request, status, code): Probe, faults: &mut Vec<String>) {
    let bearer = token("dora", &["developer"]);
    let mut connection = Connection::open(gateway.authority(), Version::Http1).await;
    let response = connection.exchange(&request.bearer(&bearer)).await.unwrap();
    let found = if response.body.is_empty() { 0 } else { response.message()["error"]["code"].as_i64().unwrap_or(0) };
    if (response.status, found) != (status, code) {
        faults.push(format!("{era}: {name}: {} {found}, not {status} {code}", response.status));
    }
    // A client that finds nothing modern in a 400 takes the server for an old one; any other status says nothing of it.
    let says_modern = matches!(found, -32020 | -32021 | -32022 | -32601 | -32602);
    if era == "modern" && response.status == 400 && !says_modern && !matches!(found, -32600) {
        faults.push(format!("{era}: {name}: looks like an older server"));
    }
    let next = connection.exchange(&modern("one", "tools/list", json!({})).bearer(&bearer)).await;
    if next.as_ref().map_or(0, |next| next.status) != 200 && response.header("connection") != Some("close") {
        faults.push(format!("{era}: {name}: the next request fails: {next:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_ends_in_a_revision_that_has_one_and_opens_a_session_of_its_principal() {
    let upstream = Upstream::start(Speaks::Modern, Vec::new()).await;
    let gateway = Setup::new(&[("one", upstream.url()), ("two", upstream.url())], POLICY).start().await;
    let (dora, otto) = (token("dora", &["developer"]), token("otto", &["developer"]));
    for (asked, agreed) in [("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"), (MODERN, "2025-11-25")] {
        let response = gateway.send(&legacy("one", "initialize", hello(asked)).bearer(&dora)).await;
        assert_eq!(response.message()["result"]["protocolVersion"], agreed);
        let session = response.header("mcp-session-id").unwrap().to_owned();
        assert!(session.bytes().all(|byte| byte.is_ascii_graphic()));
        let ping = |endpoint: &str| legacy(endpoint, "ping", json!({})).header("mcp-session-id", &session);
        assert_eq!(gateway.send(&ping("one").bearer(&dora)).await.status, 200);
        assert_eq!(gateway.send(&ping("one").bearer(&otto)).await.status, 404, "another's");
        assert_eq!(gateway.send(&ping("two").bearer(&dora)).await.status, 404, "at another endpoint");
        assert_eq!(gateway.send(&ping("one")).await.status, 401, "it is no proof of who calls");
        let end = verb("DELETE").header("mcp-session-id", &session);
        assert_eq!(gateway.send(&end.clone().bearer(&otto)).await.status, 404);
        assert_eq!(gateway.send(&end.clone().bearer(&dora)).await.status, 204);
        assert_eq!(gateway.send(&ping("one").bearer(&dora)).await.status, 404, "ended");
        assert_eq!(gateway.send(&end.bearer(&dora)).await.status, 404);
    }
}
