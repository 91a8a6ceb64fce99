//! The calculator over a real loopback socket: its tools in both eras, its health, and the gateway secret.

#![cfg(test)]

#[path = "../../server/tests/client/mod.rs"]
mod client;

use client::{Client, LEGACY, MODERN, call_body, request_body};
use portcullis_calculator::{Options, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn start(secret: Option<&str>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let options = Options { gateway_secret: secret.map(str::to_owned) };
    tokio::spawn(async move { serve(listener, options).await });
    client
}

#[tokio::test]
async fn health_is_open_and_says_ok() {
    let client = start(Some("s3cret")).await;
    let reply = client.send("GET", "/health", &[], "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"status":"ok"}"#));
}

#[tokio::test]
async fn the_secret_is_asked_for_on_mcp_and_nothing_runs_without_it() {
    let mut client = start(Some("s3cret")).await;
    let body = call_body(MODERN, "exact_calculate", r#"{"operator":"add","operands":[1,2]}"#, None);
    for secret in [None, Some("wrong!"), Some("s3crets"), Some("")] {
        client.secret = secret;
        let reply = client.post(MODERN, &body).await;
        assert_eq!(reply.status, 401, "{secret:?}");
        assert!(reply.head.contains("www-authenticate: x-gateway-auth") && !reply.body.contains("s3cret"), "{reply:?}");
        assert_eq!(client.send("GET", "/mcp", &[], "").await.status, 401);
    }
    client.secret = Some("s3cret");
    assert_eq!(client.post(MODERN, &body).await.message()["result"]["structuredContent"]["result"], "3");
}

#[tokio::test]
async fn a_foreign_host_name_is_served_to_the_gateway_only() {
    let (open, mut guarded) = (start(None).await, start(Some("s3cret")).await);
    guarded.secret = Some("s3cret");
    let body = request_body("2025-11-25", "tools/list", json!({}));
    for (client, expected) in [(open, 403), (guarded, 200)] {
        let request = format!(
            "POST /mcp HTTP/1.0\r\nhost: calculator:8091\r\nx-gateway-auth: s3cret\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(client.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.0 {expected}")), "{answer}");
    }
}

#[tokio::test]
async fn every_legacy_revision_gets_its_handshake_and_its_calls_without_a_session() {
    let client = start(None).await;
    for version in LEGACY {
        let params =
            json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        let reply = client.post(version, &request_body(version, "initialize", params)).await;
        assert_eq!((reply.status, reply.content_type.as_str()), (200, "application/json"), "{reply:?}");
        let result = reply.message()["result"].clone();
        assert_eq!(result["protocolVersion"], version);
        assert_eq!(result["serverInfo"]["name"], "portcullis-calculator");
        assert!(!reply.head.contains("mcp-session-id"), "{reply:?}");
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(client.post(version, initialized).await.status, 202);
        assert_eq!(client.tools(version).await.len(), 3);
        let body = call_body(version, "exact_calculate", r#"{"operator":"add","operands":[0.1,"0.2"]}"#, None);
        let reply = client.post(version, &body).await;
        assert_eq!(reply.content_type, "application/json");
        let result = reply.message()["result"].clone();
        assert_eq!(result["structuredContent"], json!({ "result": "0.3", "exact": true }));
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
    }
}

#[tokio::test]
async fn the_modern_revision_is_served_without_a_handshake() {
    let client = start(None).await;
    let discover = client.post(MODERN, &request_body(MODERN, "server/discover", json!({}))).await;
    let versions = discover.message()["result"]["supportedVersions"].clone();
    assert!(versions.as_array().unwrap().contains(&json!(MODERN)), "{discover:?}");
    let tools = client.tools(MODERN).await;
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["convert_units", "exact_calculate", "statistics"]);
    for tool in &tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        assert!(tool["description"].as_str().unwrap().len() > 80, "{tool}");
    }
    let answer =
        client.call("exact_calculate", json!({ "operator": "divide", "operands": ["1", "3"], "precision": 5 })).await;
    assert_eq!(answer, json!({ "result": "0.33333", "exact": false }));
}

#[tokio::test]
async fn json_numbers_count_digit_by_digit_in_both_eras() {
    let client = start(None).await;
    let arguments = r#"{"operator":"add","operands":[0.12345678901234567890123, 9007199254740993, 1e-400, -1e-400]}"#;
    for version in ["2025-03-26", "2025-11-25", MODERN] {
        let result = client.call_raw(version, "exact_calculate", arguments).await;
        assert_eq!(result["structuredContent"]["result"], "9007199254740993.12345678901234567890123");
    }
    let sum = client.call_raw(MODERN, "statistics", r#"{"values":[0.1,0.1,0.1],"measures":["sum","mean"]}"#).await;
    assert_eq!(sum["structuredContent"], json!({ "sum": "0.3", "mean": "0.1", "rounded": [] }));
}

#[tokio::test]
async fn every_tool_answers() {
    let client = start(None).await;
    let power = client.call("exact_calculate", json!({ "operator": "power", "operands": [2, 1000] })).await;
    assert_eq!(power["result"].as_str().unwrap().len(), 302);
    let summary = client.call("statistics", json!({ "values": ["1", 2, "4"], "precision": 3 })).await;
    assert_eq!(
        (&summary["mean"], &summary["median"], &summary["stddev"]),
        (&json!("2.33"), &json!("2"), &json!("1.53"))
    );
    let converted = client.call("convert_units", json!({ "value": 12, "from": "inch", "to": "m" })).await;
    assert_eq!(converted, json!({ "result": "0.3048", "unit": "m", "exact": true }));
}

#[tokio::test]
async fn what_the_caller_can_mend_is_a_result_with_is_error() {
    let client = start(None).await;
    let cases = [
        ("exact_calculate", json!({ "operator": "divide", "operands": [1, 0] }), "division by zero"),
        ("exact_calculate", json!({ "operator": "add", "operands": ["1", "two"] }), "\"two\" is not a decimal number"),
        ("exact_calculate", json!({ "operator": "power", "operands": [9, "1e9"] }), "too large"),
        ("exact_calculate", json!({ "operator": "sqrt", "operands": [2], "precision": 1001 }), "from 1 to 1000"),
        ("statistics", json!({ "values": [] }), "no values"),
        ("convert_units", json!({ "value": 1, "from": "m", "to": "kg" }), "cannot convert m to kg"),
        ("convert_units", json!({ "value": 1, "from": "cubit", "to": "m" }), "not a unit known here"),
    ];
    for (tool, arguments, expected) in cases {
        let problem = client.fail(tool, arguments).await;
        assert!(problem.contains(expected), "{problem}");
    }
}

#[tokio::test]
async fn arguments_of_the_wrong_shape_are_named_and_an_unknown_tool_is_an_error_of_the_protocol() {
    let client = start(None).await;
    let cases = [
        (json!({}), "missing field `operator`"),
        (json!({ "operator": "launch", "operands": [1] }), "unknown variant `launch`"),
        (json!({ "operator": "add", "operands": [1, 2], "x": 1 }), "unknown field `x`"),
        (json!({ "operator": "add", "operands": [1, true] }), "invalid type: boolean"),
    ];
    for (arguments, expected) in cases {
        let problem = client.fail("exact_calculate", arguments).await;
        assert!(problem.contains(expected), "{problem}");
    }
    let reply = client.post(MODERN, &call_body(MODERN, "launch", "{}", None)).await;
    assert_eq!(reply.message()["error"]["code"], -32602, "{reply:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_it_is_read() {
    let client = start(None).await;
    let body = |operand: usize| {
        call_body(
            MODERN,
            "exact_calculate",
            &format!(r#"{{"operator":"negate","operands":["{}"]}}"#, "1".repeat(operand)),
            None,
        )
    };
    assert_eq!(client.post(MODERN, &body(1 << 20)).await.status, 413);
    let just = body((1 << 20) - body(0).len());
    assert_eq!(client.post(MODERN, &just).await.message()["result"]["isError"], true);
}

#[tokio::test]
async fn only_post_is_served_on_mcp() {
    let client = start(None).await;
    for method in ["GET", "DELETE"] {
        assert_eq!(client.send(method, "/mcp", &[("accept", "text/event-stream")], "").await.status, 405, "{method}");
    }
    assert_eq!(client.send("POST", "/mcp/", &[], "{}").await.status, 404);
}
