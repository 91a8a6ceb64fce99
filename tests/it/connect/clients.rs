//! Real clients over stdio, in every mode.

use super::{Bridge, call, command, modern, request};
use crate::support::gateway::{BINARY, Gateway, Setup, authority};
use crate::support::peers::{Client, Server};
use crate::support::tokens::token;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

const CLIENTS: [Client; 7] = [
    Client::TypeScript("legacy"),
    Client::TypeScript("auto"),
    Client::TypeScript("modern"),
    Client::TypeScript("v1"),
    Client::Python("legacy"),
    Client::Python("auto"),
    Client::Python("2026-07-28"),
];

/// The command that speaks for `url`, as the clients of `tests/peers` take it.
fn stdio(url: &str) -> String {
    format!("stdio:{}", json!([BINARY, "connect", url]))
}

fn has(list: &Value, tool: &str) -> bool {
    list["tools"].as_array().is_some_and(|tools| tools.iter().any(|found| found["name"] == tool))
}

async fn every_client_adds(url: &str, token: &str) {
    for client in CLIENTS {
        let [list, sum] = client.list_and_call(&stdio(url), token, "add", &json!({"a": 2, "b": 40})).await;
        assert!(has(&list, "add"), "{client:?}: {list}");
        assert_eq!(sum["structuredContent"]["sum"], 42, "{client:?}: {sum}");
    }
}

async fn before(server: &Server) -> Gateway {
    Setup::new(&[("peer", server.url())], POLICY).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_typescript_server_through_the_gateway() {
    let server = Server::typescript("auto").await;
    let gateway = before(&server).await;
    every_client_adds(gateway.endpoint("peer"), &token("ana", &["tester"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_python_server_through_the_gateway() {
    let server = Server::python("mcp").await;
    let gateway = before(&server).await;
    every_client_adds(gateway.endpoint("peer"), &token("ana", &["tester"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_server_that_has_no_gateway_before_it() {
    let server = Server::typescript("sse").await;
    every_client_adds(&server.url(), "-").await;
    let server = Server::python("fastmcp").await;
    every_client_adds(&server.url(), "-").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_can_reach_a_server_that_knows_no_modern_revision() {
    let server = Server::legacy().await;
    let gateway = before(&server).await;
    let token = token("ana", &["tester"]);
    for client in CLIENTS {
        let [list, echo] =
            client.list_and_call(&stdio(gateway.endpoint("peer")), &token, "echo", &json!({"message": "hi"})).await;
        assert!(has(&list, "echo"), "{client:?}: {list}");
        assert_eq!(echo["content"][0]["text"], "Echo: hi", "{client:?}: {echo}");
    }
    // `revision` tells what a server of both eras would agree on, so only those that agree on the older one.
    for client in [Client::TypeScript("legacy"), Client::TypeScript("v1"), Client::Python("legacy")] {
        let [list, _] = client.list_and_call(&stdio(&server.url()), "-", "echo", &json!({"message": "hi"})).await;
        assert!(has(&list, "echo"), "{client:?}: {list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_fit_on_a_line() {
    let server = Server::typescript("auto").await;
    let mut bridge = Bridge::to(&server.url(), &[]);
    let big = bridge.ask(&modern(1, "tools/call", call("big", json!({"bytes": 8 << 20})))).await;
    assert_eq!(big["result"]["content"][0]["text"].as_str().map(str::len), Some(8 << 20));
    let value = "é\n\u{2028}\"".repeat(200_000);
    let echo = bridge.ask(&modern(2, "tools/call", call("echo", json!({"value": value})))).await;
    assert_eq!(echo["result"]["structuredContent"]["value"], value);
    bridge.end().await;
}

/// Passes connections on to wherever the gateway is now.
async fn relay(target: Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let target = target.lock().unwrap().clone();
            tokio::spawn(async move {
                let Ok(mut to) = TcpStream::connect(target).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    address.to_string()
}

/// What was under way when the gateway went may be lost, and is not sent again; the connection is not.
#[tokio::test(flavor = "multi_thread")]
async fn clients_outlive_the_gateway() {
    let server = Server::typescript("auto").await;
    let target = Arc::new(Mutex::new(String::new()));
    let address = relay(target.clone()).await;
    let start = async || {
        let mut setup = Setup::new(&[("peer", server.url())], POLICY);
        setup.gateway["listen"]["hosts"] = json!([address]);
        let gateway = setup.start().await;
        *target.lock().unwrap() = authority(&gateway.ready.gateway).to_owned();
        gateway
    };
    let gateway = start().await;
    let url = format!("http://{address}/peer/mcp");
    let token = token("ana", &["tester"]);
    let mut command = command(&url, &[]);
    command.env("PORTCULLIS_TOKEN", token);
    let mut old = Bridge::spawn(command);
    old.shake_hands().await;
    let add = |id| request(id, "tools/call", call("add", json!({"a": 2, "b": id})));
    assert_eq!(old.ask(&add(1)).await["result"]["structuredContent"]["sum"], 3);
    drop(gateway);
    let _gateway = start().await;
    for id in 2.. {
        let answer = old.ask(&add(id)).await;
        if answer["error"].is_null() {
            assert_eq!(answer["result"]["structuredContent"]["sum"], 2 + id, "{answer}");
            break;
        }
        assert!([-31502, -31404].contains(&answer["error"]["code"].as_i64().unwrap()) && id < 10, "{answer}");
    }
    old.end().await;
}
