//! Real clients of every family and era call real servers of every family through the gateway.

use crate::support::demo::Demo;
use crate::support::gateway::Setup;
use crate::support::peers::{Client, Server};
use crate::support::tokens::token;
use serde_json::{Value, json};

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

fn names(list: &Value) -> Vec<&str> {
    let tools = list["tools"].as_array().unwrap_or_else(|| panic!("no tools in {list}"));
    let mut names: Vec<_> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    names.sort_unstable();
    names
}

async fn every_client_adds(url: &str, token: &str) {
    for client in Client::ALL {
        let [list, sum] = client.list_and_call(url, token, "add", &json!({"a": 2, "b": 40})).await;
        assert_eq!(names(&list), ["add", "big", "echo", "leak", "slow"], "{client:?} at {url}");
        assert_eq!(sum["structuredContent"]["sum"], 42, "{client:?} at {url}: {sum}");
        assert_eq!(sum["content"][0]["text"], "42", "{client:?} at {url}: {sum}");
    }
}

/// Where this fails, the peers are at fault, and not the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_server_with_no_gateway_between() {
    let server = Server::typescript("auto").await;
    every_client_adds(&server.url(), "-").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_typescript_server() {
    let server = Server::typescript("auto").await;
    let gateway = Setup::new(&[("ts", server.url())], POLICY).start().await;
    every_client_adds(gateway.endpoint("ts"), &token("ana", &["tester"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_server_that_always_streams() {
    let server = Server::typescript("sse").await;
    let gateway = Setup::new(&[("ts", server.url())], POLICY).start().await;
    every_client_adds(gateway.endpoint("ts"), &token("ana", &["tester"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_python_server() {
    let server = Server::python("mcp").await;
    let gateway = Setup::new(&[("py", server.url())], POLICY).start().await;
    every_client_adds(gateway.endpoint("py"), &token("ana", &["tester"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_fastmcp_server() {
    let server = Server::python("fastmcp").await;
    let gateway = Setup::new(&[("fast", server.url())], POLICY).start().await;
    every_client_adds(gateway.endpoint("fast"), &token("ana", &["tester"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_sees_the_tools_of_several_servers_by_their_names() {
    let (ts, py) = (Server::typescript("auto").await, Server::python("mcp").await);
    let gateway = Setup::new(&[("ts", ts.url()), ("py", py.url())], POLICY).start().await;
    for client in [Client::TypeScript("legacy"), Client::TypeScript("modern"), Client::Python("auto")] {
        let url = gateway.endpoint("work");
        let value = json!({"value": {"x": [1, null, "é"]}});
        let [list, echo] = client.list_and_call(url, &token("ana", &["tester"]), "py.echo", &value).await;
        assert!(["ts.add", "py.add"].iter().all(|name| names(&list).contains(name)), "{client:?}: {list}");
        assert_eq!(echo["structuredContent"], value, "{client:?}: {echo}");
    }
}

/// The gateway speaks both eras on both sides, so that a modern client may call a server that has never heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_server_that_knows_no_modern_revision() {
    let server = Server::legacy().await;
    let gateway = Setup::new(&[("old", server.url())], POLICY).start().await;
    let (url, token) = (gateway.endpoint("old"), token("ana", &["tester"]));
    for client in Client::ALL {
        let [list, echo] = client.list_and_call(url, &token, "echo", &json!({"message": "hi"})).await;
        assert!(names(&list).contains(&"echo"), "{client:?}: {list}");
        assert_eq!(echo["content"][0]["text"], "Echo: hi", "{client:?}: {echo}");
    }
}

/// The demo's calculator is on the Rust SDK.
#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_a_rust_server() {
    let demo = Demo::start().await;
    let (url, token) = (&demo.ready.endpoints["calculator"], &demo.ready.tokens["developer"]);
    for client in Client::ALL {
        let arguments = json!({"operator": "add", "operands": ["2", "40"]});
        let [list, sum] = client.list_and_call(url, token, "exact_calculate", &arguments).await;
        assert!(names(&list).contains(&"exact_calculate"), "{client:?}: {list}");
        assert_ne!(sum["isError"], true, "{client:?}: {sum}");
        assert!(sum.to_string().contains("42"), "{client:?}: {sum}");
    }
}
