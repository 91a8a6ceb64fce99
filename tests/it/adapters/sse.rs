//! Servers that speak HTTP+SSE of 2024-11-05.

use super::programs::CLIENTS;
use super::{before, start, status};
use crate::support::gateway::{GATEWAY_SECRET, Gateway};
use crate::support::peers::Server;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use futures::Stream;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_a_real_server_of_http_and_sse() {
    let server = Server::everything_sse().await;
    let gateway = start(before(json!({"sse": server.stream()}))).await;
    for client in CLIENTS {
        let (url, token) = (gateway.endpoint("it"), token("ana", &["tester"]));
        let [list, echo] = client.list_and_call(url, &token, "echo", &json!({"message": "hi"})).await;
        assert!(list["tools"].as_array().unwrap().len() > 5, "{client:?}: {list}");
        assert_eq!(echo["content"][0]["text"], "Echo: hi", "{client:?}: {echo}");
    }
}

/// A server of our own, as the revision has it.
#[derive(Clone, Default)]
struct Old {
    state: Arc<Mutex<OldState>>,
}

#[derive(Default)]
struct OldState {
    streams: HashMap<String, UnboundedSender<Event>>,
    /// What it says of where messages go, with `{}` for the session.
    endpoint: String,
    opened: usize,
    seen: Vec<(Value, HeaderMap)>,
    /// Methods that it refuses with 500, and those at which its stream ends.
    refuses: Vec<String>,
    breaks: Vec<String>,
}

impl Old {
    async fn start(endpoint: &str) -> (Self, String) {
        let old = Self::default();
        old.state.lock().unwrap().endpoint = endpoint.to_owned();
        let routes = Router::new().route("/v1/sse", get(stream)).route("/v1/messages", post(message));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/sse", listener.local_addr().unwrap());
        let routes = routes.with_state(old.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (old, url)
    }

    fn open(&self) -> usize {
        let mut state = self.state.lock().unwrap();
        state.streams.retain(|_, stream| !stream.is_closed());
        state.streams.len()
    }

    fn calls(&self) -> Vec<(Value, HeaderMap)> {
        let seen = self.state.lock().unwrap().seen.clone();
        seen.into_iter().filter(|(message, _)| message["method"] == "tools/call").collect()
    }
}

async fn stream(State(old): State<Old>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (sender, receiver) = unbounded_channel();
    let mut state = old.state.lock().unwrap();
    state.opened += 1;
    let session = state.opened.to_string();
    let endpoint = state.endpoint.replace("{}", &session);
    sender.send(Event::default().event("endpoint").data(endpoint)).unwrap();
    state.streams.insert(session, sender);
    let events = futures::stream::unfold(receiver, async |mut receiver| Some((Ok(receiver.recv().await?), receiver)));
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn message(
    State(old): State<Old>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let message: Value = serde_json::from_str(&body).unwrap();
    let mut state = old.state.lock().unwrap();
    state.seen.push((message.clone(), headers));
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    if state.refuses.contains(&method) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    if state.breaks.contains(&method) {
        state.streams.remove(&query["session"]);
        return StatusCode::ACCEPTED;
    }
    let result = match method.as_str() {
        "initialize" => {
            json!({"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}})
        }
        "tools/list" => json!({"tools": [{"name": "session", "inputSchema": {"type": "object"}}]}),
        "tools/call" => json!({"content": [{"type": "text", "text": query["session"]}]}),
        _ => return StatusCode::ACCEPTED,
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    let sent = state
        .streams
        .get(&query["session"])
        .map(|stream| stream.send(Event::default().event("message").data(answer.to_string())));
    if sent.is_some() { StatusCode::ACCEPTED } else { StatusCode::NOT_FOUND }
}

async fn session(gateway: &Gateway, user: &str) -> String {
    super::text(gateway, user, "session", json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_principal_has_a_stream_of_its_own() {
    let (old, url) = Old::start("/v1/messages?session={}").await;
    let gateway = start(before(json!({"sse": url})).upstream("it", "refresh", json!("1h"))).await;
    let first = session(&gateway, "ana").await;
    assert_eq!(session(&gateway, "ana").await, first);
    assert_ne!(session(&gateway, "bob").await, first);
    wait_until("the catalogue's own is closed", PATIENCE, async || (old.open() == 2).then_some(())).await;
    for (message, headers) in old.calls() {
        assert_eq!(headers["x-gateway-auth"], GATEWAY_SECRET, "{message}");
        assert!(headers.contains_key("x-user-id") && headers.contains_key("x-request-id"), "{headers:?}");
        assert!(
            !headers.contains_key("authorization") && !headers.contains_key("x-portcullis-principal"),
            "{headers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_stream_ends_fails_at_once_and_the_next_opens_another() {
    let (old, url) = Old::start("messages?session={}").await;
    let gateway = start(before(json!({"sse": url})).upstream("it", "refresh", json!("1h"))).await;
    let first = session(&gateway, "ana").await;
    let set = |refuses: &[&str], breaks: &[&str]| {
        let own = |methods: &[&str]| methods.iter().map(|method| (*method).to_owned()).collect();
        let mut state = old.state.lock().unwrap();
        (state.refuses, state.breaks) = (own(refuses), own(breaks));
    };
    set(&[], &["tools/call"]);
    assert_eq!(status(&gateway, "ana", "session", json!({})).await, 502);
    set(&["tools/call"], &[]);
    assert_eq!(status(&gateway, "ana", "session", json!({})).await, 502);
    set(&[], &[]);
    assert_ne!(session(&gateway, "ana").await, first);
    assert_eq!(old.calls().len(), 4, "no call was sent twice");
}

/// With our messages goes the secret by which the server knows the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn messages_go_to_no_other_server_than_the_one_that_is_configured() {
    let (elsewhere, other) = Old::start("/v1/messages?session={}").await;
    let other = other.replace("/v1/sse", "/v1/messages");
    for endpoint in [other.as_str(), &other.replace("http:", ""), "http://user@127.0.0.1/x", "file:///etc/passwd"] {
        let (_, url) = Old::start(endpoint).await;
        let gateway = before(json!({"sse": url})).start().await;
        let refused = async || {
            let log = gateway.process.lines().join("\n");
            log.contains("names an endpoint on another server").then_some(())
        };
        wait_until("it is refused", PATIENCE, refused).await;
        assert_eq!(gateway.readiness().await["upstreams"]["it"]["tools"], Value::Null);
    }
    assert!(elsewhere.state.lock().unwrap().seen.is_empty());
}
