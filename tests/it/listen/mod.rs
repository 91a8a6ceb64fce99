//! `subscriptions/listen`: who hears of what, and how a stream begins, lives and ends.

mod lists;
mod resources;
mod rmcp;
mod streams;
mod tasks;

use crate::support::events::Events;
use crate::support::gateway::{Gateway, Setup, modern};
use crate::support::http::Request;
use crate::support::tokens::token;
use serde_json::{Value, json};

/// A viewer sees what begins with `open`, a developer everything. Nobody but a developer reads `news://secret`.
const POLICY: &str = r#"
version: 1
roles: { viewer: {}, developer: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [developer], upstreams: ["*"], level: read }]
rules:
  - { id: open, effect: allow, tools: ["*.open*"], roles: [viewer] }
  - { id: prompts, effect: allow, prompts: ["*.*"], roles: [viewer] }
  - { id: watched, effect: allow, resources: ["*.news://watched*"], roles: [viewer] }
"#;

/// The id of the requests here: a string, as those of SDKs are.
const ID: &str = "listen:0";

fn developer() -> String {
    token("dev", &["developer"])
}

fn viewer() -> String {
    token("vera", &["viewer"])
}

fn setup(upstreams: &[(&str, String)]) -> Setup {
    Setup::new(upstreams, POLICY)
}

/// A request to listen at `endpoint` for what `filter` says.
fn ask(endpoint: &str, token: &str, filter: Value) -> Request {
    let mut request = modern(endpoint, "subscriptions/listen", json!({"notifications": filter})).bearer(token);
    let mut message: Value = serde_json::from_slice(&request.body).unwrap();
    message["id"] = json!(ID);
    request.body = message.to_string().into_bytes();
    request
}

/// Listens at `endpoint`; what is honoured, and the stream.
async fn listen(gateway: &Gateway, endpoint: &str, token: &str, filter: Value) -> (Value, Events) {
    let mut events = Events::open(gateway.authority(), &ask(endpoint, token, filter)).await;
    assert_eq!(events.status, 200);
    let first = events.next().await.expect("a first message");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    (of_this(first)["notifications"].clone(), events)
}

/// The params of a message of the subscription, without what says that it is.
fn of_this(message: Value) -> Value {
    let mut params = message["params"].clone();
    let meta = params.as_object_mut().unwrap().remove("_meta");
    assert_eq!(meta, Some(json!({"io.modelcontextprotocol/subscriptionId": ID})), "{message}");
    params
}

/// The next news: its method, and the resource that it is about.
async fn heard(events: &mut Events) -> (String, Option<String>) {
    let message = events.next().await.expect("news, not the end");
    let method = message["method"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
    let uri = of_this(message)["uri"].as_str().map(str::to_owned);
    (method.strip_prefix("notifications/").unwrap().to_owned(), uri)
}

/// The next news, which is about lists.
async fn list(events: &mut Events) -> String {
    heard(events).await.0
}

/// The last message, after which the stream ends.
async fn last(events: &mut Events) {
    let message = events.next().await.expect("a last message");
    assert_eq!(message["id"], ID, "{message}");
    assert_eq!(message["result"]["resultType"], "complete");
    assert_eq!(message["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], ID);
    assert_eq!(events.next().await, None);
}

/// Puts something on a list of the upstream behind `endpoint`, or takes it away.
async fn change(gateway: &Gateway, endpoint: &str, tool: &str, kind: &str, name: &str) {
    let arguments = json!({"kind": kind, "name": name});
    let response = gateway.modern_call(endpoint, &developer(), tool, &arguments).await;
    assert!(response.status == 200 && response.message()["error"].is_null(), "{}", response.text());
}

/// Changes a resource of the upstream behind `endpoint`.
async fn touch(gateway: &Gateway, endpoint: &str, tool: &str, uri: &str) {
    let response = gateway.modern_call(endpoint, &developer(), tool, &json!({"uri": uri})).await;
    assert!(response.status == 200 && response.message()["error"].is_null(), "{}", response.text());
}

/// The row of the record of a stream that ended.
async fn row(gateway: &Gateway) -> serde_json::Map<String, Value> {
    gateway.ended_call(|call| call["method"] == "subscriptions/listen").await
}
