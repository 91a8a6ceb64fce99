//! The operators' side: who is let in, what they see and change, and a person in a real browser.

mod browser;
mod strain;
mod wire;

use crate::support::gateway::{Gateway, Setup};
use crate::support::http::{Request, Response, fetch};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::Claims;
use crate::support::upstream::{Answer, Seen, Speaks, Upstream};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const POLICY: &str = r#"
version: 1
roles: { guest: {}, developer: {}, oncall: { inherits: [developer] } }
tools: [{ match: "crm.get", class: read }, { match: "crm.delete", class: destructive }]
access: [{ roles: [developer], upstreams: [crm], level: read }]
rules: [{ id: destroy, effect: review, tools: [crm.delete], roles: [developer], approvers: [oncall] }]
operators: { read: [developer], manage: [oncall] }
"#;

/// What tokens for the console say in `aud`.
const AUDIENCE: &str = "the-console";

/// A token for the console.
fn token(subject: &str, roles: &[&str]) -> String {
    claims(subject, roles).sign()
}

fn claims(subject: &str, roles: &[&str]) -> Claims {
    Claims::new(subject, roles).with("aud", json!(AUDIENCE))
}

/// A gateway before an upstream whose tools can change.
struct World {
    gateway: Gateway,
    upstream: Upstream,
    tools: Arc<Mutex<Vec<Value>>>,
}

impl World {
    /// With this in `console`, these issuers beside the usual one, and what else is put `with` it.
    async fn start(console: Value, issuers: &[Value], with: impl FnOnce(Setup) -> Setup) -> Self {
        let tools = Arc::new(Mutex::new(vec![tool("get", "Reads a customer"), tool("delete", "Deletes a customer")]));
        let upstream = Upstream::start(Speaks::Modern, Vec::new()).await;
        let shown = Arc::clone(&tools);
        upstream.behave(move |seen: &Seen| {
            let listed = seen.json()["method"] == "tools/list";
            listed.then(|| Answer::result(&json!({"tools": *shown.lock().unwrap()})))
        });
        let setup = Setup::new(&[("crm", upstream.url())], POLICY).upstream("crm", "refresh", json!("1s"));
        let mut all = setup.gateway["identity"]["issuers"].as_array().unwrap().clone();
        all.extend(issuers.iter().cloned());
        let setup = setup.with("identity", json!({"issuers": all})).with("console", console);
        Self { gateway: with(setup).start().await, upstream, tools }
    }

    async fn plain() -> Self {
        Self::start(json!({"audiences": [AUDIENCE]}), &[], |setup| setup).await
    }

    async fn ask(&self, request: &Request) -> Response {
        fetch(self.gateway.admin(), request).await
    }

    /// What the API says to `token` at `path`.
    async fn api(&self, token: &str, path: &str) -> Value {
        let response = self.ask(&Request::get(path).bearer(token)).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Changes what `get` says of itself; returns once that is held back, with its digest.
    async fn change_a_definition(&self) -> String {
        *self.tools.lock().unwrap() =
            vec![tool("get", "Reads a customer, and sends it on"), tool("delete", "Deletes a customer")];
        let reader = token("eve", &["developer"]);
        wait_until("the change is held back", PATIENCE, async || {
            let catalogue = self.api(&reader, "/api/catalogue").await;
            let held = catalogue["definitions"].as_array()?.iter().find(|one| one["state"] == "quarantined")?.clone();
            assert_eq!(held["changes"][0]["at"], "/description", "{held}");
            held["held"]["digest"].as_str().map(str::to_owned)
        })
        .await
    }
}

fn tool(name: &str, description: &str) -> Value {
    json!({"name": name, "description": description, "inputSchema": {"type": "object"}})
}

fn form(path: &str, body: &str) -> Request {
    Request::post(path, body).header("content-type", "application/x-www-form-urlencoded")
}

/// The cookie of somebody who has logged in with `token`.
async fn logged_in(world: &World, token: &str) -> String {
    let response = world.ask(&form("/login/token", &format!("token={token}"))).await;
    assert_eq!(response.status, 303, "{}", response.text());
    response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}
