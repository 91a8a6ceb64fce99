//! Two clients that call at the same time under the same ids, within an era and across: everybody gets what they asked for,
//! and the record says so too (abuse case 200).

use super::stage::POLICY;
use crate::support::gateway::{Gateway, Setup, legacy, modern_call};
use crate::support::http::{Connection, Request, VERSIONS};
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};

/// Calls of each of the two, over so many connections at once.
const EACH: usize = 500;
const AT_ONCE: usize = 25;

/// Says its arguments.
const TOOL: &str = "test_header_mirror";

const CLIENTS: [&str; 2] = ["ana", "bob"];

/// What `user` calls under the id `id`.
fn call(user: &str, session: Option<&Vec<(String, String)>>, id: usize) -> (Request, String) {
    let mark = format!("{user} {id}");
    let arguments = json!({"query": mark});
    let mut request = match session {
        None => modern_call("peer", TOOL, &arguments).bearer(&token(user, &["tester"])),
        Some(_) => legacy("peer", "tools/call", json!({"name": TOOL, "arguments": arguments})),
    };
    for (name, value) in session.into_iter().flatten() {
        request = request.header(name, value);
    }
    let mut message: Value = serde_json::from_slice(&request.body).unwrap();
    message["id"] = json!(id);
    request.body = message.to_string().into_bytes();
    (request, mark)
}

/// Sends all calls of `user`, and checks each answer.
async fn client(gateway: &Gateway, user: &str, era: &str) {
    let session = match era {
        "legacy" => Some(gateway.legacy_session("peer", &token(user, &["tester"])).await),
        _ => None,
    };
    let worker = async |worker: usize| {
        let mut connection = Connection::open(gateway.authority(), VERSIONS[worker % 2]).await;
        for id in (worker..EACH).step_by(AT_ONCE) {
            let (request, mark) = call(user, session.as_ref(), id);
            let response = connection.exchange(&request).await.unwrap();
            let answer = response.message();
            assert_eq!(answer["id"], id, "{}", response.text());
            let said = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
            assert_eq!(said, json!({"query": mark}).to_string(), "{}", response.text());
        }
    };
    futures::future::join_all((0..AT_ONCE).map(worker)).await;
}

/// `flag` says of which era the upstream is; it knows nothing of the other.
async fn no_answer_crosses(era: &str, flag: &str) {
    let server = Server::conformance(&[flag]).await;
    let gateway = Setup::new(&[("peer", server.url())], POLICY).start().await;
    let found = async || gateway.readiness().await["upstreams"]["peer"]["tools"].as_u64();
    wait_until("the tools are known", PATIENCE, found).await;
    futures::future::join_all(CLIENTS.map(|user| client(&gateway, user, era))).await;
    let calls = gateway.ended_calls(CLIENTS.len() * EACH, |call| call["method"] == "tools/call").await;
    assert_eq!(calls.len(), CLIENTS.len() * EACH);
    for call in calls {
        assert_eq!(call["outcome"], "ok", "{call:?}");
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        let caller = arguments["query"].as_str().unwrap().split(' ').next().unwrap().to_owned();
        assert_eq!(caller, call["subject"], "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_crosses_between_modern_peers() {
    no_answer_crosses("modern", "--modern-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_crosses_between_legacy_peers_with_a_session_each() {
    no_answer_crosses("legacy", "--legacy-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_crosses_from_a_legacy_server_to_modern_clients() {
    no_answer_crosses("modern", "--legacy-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_crosses_from_a_modern_server_to_legacy_clients() {
    no_answer_crosses("legacy", "--modern-only").await;
}
