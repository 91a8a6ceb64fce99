//! Whoever calls at the same time, under whatever ids: everybody gets what they asked for.

use super::stage::POLICY;
use crate::support::gateway::{Gateway, Setup, legacy, modern_call};
use crate::support::http::{Connection, Version};
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::json;

/// Calls of one client, over so many connections at once.
const EACH: usize = 500;
const AT_ONCE: usize = 25;

/// Sends `EACH` calls of `user`, all under the same ids as any other's, and checks each answer.
async fn call(gateway: &Gateway, endpoint: &str, user: &str, modern: bool) {
    let session = if modern { Vec::new() } else { gateway.legacy_session(endpoint, &token(user, &["tester"])).await };
    let workers = (0..AT_ONCE).map(|worker| {
        let session = session.clone();
        async move {
            let mut connection = Connection::open(gateway.authority(), Version::Http1).await;
            for number in 0..EACH / AT_ONCE {
                let message = format!("{user}-{worker}-{number}");
                let arguments = json!({"message": message, "value": message});
                let mut request = if modern {
                    modern_call(endpoint, "echo", &arguments).bearer(&token(user, &["tester"]))
                } else {
                    legacy(endpoint, "tools/call", json!({"name": "echo", "arguments": arguments}))
                };
                for (name, value) in &session {
                    request = request.header(name, value);
                }
                let response = connection.exchange(&request).await.unwrap();
                let answer = response.message();
                assert_eq!(answer["id"], 1);
                let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
                assert!(text.contains(&message), "{message}: {}", response.text());
                assert!(!text.contains(if user == "ana" { "bob" } else { "ana" }), "{message}: {text}");
            }
        }
    });
    futures::future::join_all(workers).await;
}

async fn no_answer_crosses(server: Server) {
    let gateway = Setup::new(&[("peer", server.url())], POLICY).start().await;
    let found = async || gateway.readiness().await["upstreams"]["peer"]["tools"].as_u64();
    wait_until("the tools are known", PATIENCE, found).await;
    tokio::join!(call(&gateway, "peer", "ana", true), call(&gateway, "peer", "bob", true));
    tokio::join!(call(&gateway, "peer", "ana", true), call(&gateway, "peer", "bob", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_modern_server_crosses() {
    no_answer_crosses(Server::typescript("auto").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_an_older_server_crosses() {
    no_answer_crosses(Server::legacy().await).await;
}
