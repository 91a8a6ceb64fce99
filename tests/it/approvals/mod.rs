//! A person decides: approvals from the first call to the one that redeems them. Group K of the abuse cases (148 to 159), on
//! the wire.

mod clients;
mod crash;
mod decide;
mod jobs;
mod leaving;
mod preview;
mod races;
mod redeem;
mod rounds;
mod stores;
mod tasks;
mod telling;

use crate::support::gateway::{Gateway, Setup, modern_call};
use crate::support::http::{Request, Response, fetch};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Map, Value, json};

const POLICY: &str = r#"
version: 1
roles: { developer: {}, oncall: {}, security: {}, auditor: {} }
operators: { read: [auditor] }
tools: [{ match: "crm.erase", class: destructive }, { match: "crm.drop", class: destructive }]
rules:
  - { id: destroy, effect: review, classes: [destructive], roles: [developer], approvers: [oncall], ttl: 10m, reason: "It can't be undone." }
redaction: [{ detect: [email], action: mask }]
"#;

/// A gateway before an upstream that records what reaches it.
struct Scene {
    upstream: Upstream,
    gateway: Gateway,
}

async fn upstream() -> Upstream {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    Upstream::start(Speaks::Modern, ["erase", "drop"].map(tool).to_vec()).await
}

fn setup(upstream: &Upstream, policy: &str) -> Setup {
    Setup::new(&[("crm", upstream.url())], policy)
}

async fn scene(policy: &str) -> Scene {
    let upstream = upstream().await;
    let gateway = setup(&upstream, policy).start().await;
    Scene { upstream, gateway }
}

fn dana() -> String {
    token("dana", &["developer"])
}

/// The call of a client that can't be asked for anything.
fn erase(who: &str, arguments: &Value) -> Request {
    modern_call("crm", "erase", arguments).bearer(who)
}

/// Who decides.
#[derive(Clone, Copy)]
struct Who(&'static str, &'static [&'static str]);

const OLLI: Who = Who("olli", &["oncall"]);

impl Who {
    /// Their token for the console of `gateway`.
    fn token(self, gateway: &Gateway) -> String {
        Claims::new(self.0, self.1).with("aud", json!(gateway.ready.admin)).sign()
    }
}

impl Scene {
    async fn call(&self, request: &Request) -> Value {
        self.gateway.send(request).await.message()
    }

    /// Calls, and gives the id of the approval that it needs.
    async fn asks(&self, request: &Request) -> String {
        asked(&self.call(request).await)
    }

    /// Calls the admin API with `token`.
    async fn api(&self, method: &str, path: &str, token: &str, body: Value) -> Response {
        let mut request = if method == "GET" { Request::get(path) } else { Request::post(path, body.to_string()) };
        request = request.bearer(token);
        fetch(self.gateway.admin(), &request).await
    }

    async fn decide(&self, id: &str, verb: &str, who: Who, reason: &str) -> Response {
        decide_at(&self.gateway, id, verb, who, reason).await
    }

    async fn approve(&self, id: &str) {
        let response = self.decide(id, "approve", OLLI, "").await;
        assert_eq!(response.status, 200, "{}", response.text());
    }

    async fn show(&self, id: &str) -> Value {
        self.api("GET", &format!("/api/approvals/{id}"), &OLLI.token(&self.gateway), json!(null)).await.message()
    }

    /// Puts `policy` in the place of policy.yaml and waits until `is_live`.
    async fn policy(&self, policy: &str, is_live: impl AsyncFn() -> bool) {
        let (new, file) = (self.gateway.dir().join("policy.new"), self.gateway.dir().join("policy.yaml"));
        std::fs::write(&new, policy).unwrap();
        std::fs::rename(new, file).unwrap();
        wait_until("the policy is live", PATIENCE, async || is_live().await.then_some(())).await;
    }

    /// The rows of the record that name the approval.
    async fn rows(&self, id: &str) -> Vec<Map<String, Value>> {
        // An answer is there before its row is.
        wait_until("each call has its outcome", PATIENCE, async || {
            let rows: Vec<_> =
                self.gateway.calls().await.into_iter().filter(|call| call["approval_id"] == id).collect();
            rows.iter().all(|row| !row["outcome"].is_null()).then_some(rows)
        })
        .await
    }
}

/// What `who` says of the approval `id` at `gateway`.
async fn decide_at(gateway: &Gateway, id: &str, verb: &str, who: Who, reason: &str) -> Response {
    let body = json!({ "reason": reason }).to_string();
    let request = Request::post(&format!("/api/approvals/{id}/{verb}"), body).bearer(&who.token(gateway));
    fetch(gateway.admin(), &request).await
}

/// The id of the approval in a result that says to come back.
fn asked(message: &Value) -> String {
    let result = &message["result"];
    assert_eq!(result["isError"], true, "{message}");
    let approval = &result["_meta"]["portcullis/approval"];
    let id = approval["id"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
    assert!(approval["url"].as_str().unwrap().ends_with(&format!("/approvals/{id}")), "{message}");
    assert_eq!(id.len(), 32, "128 bits: {message}");
    id
}

fn text(message: &Value) -> &str {
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}"))
}
