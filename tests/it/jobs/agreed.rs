//! Jobs whose calls people had to agree to: asked once, run once, and looked at again before they run.

use super::stage::{World, ana};
use crate::support::gateway::{Gateway, Setup, modern, modern_call};
use crate::support::http::{Request, Response, fetch};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::Claims;
use crate::support::upstream::{Answer, Body};
use serde_json::{Value, json};

const POLICY: &str = r#"
version: 1
roles: { runner: {}, oncall: {}, security: {}, manager: {} }
operators: { read: [manager], manage: [manager] }
tools:
  - { match: "etl.run", class: destructive, mode: job }
  - { match: "etl.again", class: write, mode: job }
access: [{ roles: [runner], upstreams: [etl], level: write }]
rules: [{ id: destroy, effect: review, classes: [destructive], roles: [runner], approvers: [oncall], ttl: 10m }]
"#;

const AUDIENCE: &str = "the-console";

fn setup(world: &World, jobs: &Value) -> Setup {
    let mut setup = world.setup(jobs).with("console", json!({"audiences": [AUDIENCE]}));
    setup.policy = POLICY.to_owned();
    setup
}

/// What the admin API answers `who` with these roles.
async fn operator(gateway: &Gateway, (who, roles): (&str, &[&str]), method: &str, path: &str) -> Response {
    let token = Claims::new(who, roles).with("aud", json!(AUDIENCE)).sign();
    let request = if method == "POST" { Request::post(path, "{}") } else { Request::get(path) };
    fetch(gateway.admin(), &request.bearer(&token)).await
}

const OLGA: (&str, &[&str]) = ("olga", &["manager"]);

async fn run(gateway: &Gateway, arguments: &Value, key: Option<&str>) -> Response {
    let request = modern_call("etl", "run", arguments).bearer(&ana());
    let request = match key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    };
    gateway.send(&request).await
}

/// The approval that a call is told of.
fn asked(response: &Response) -> String {
    let message = response.message();
    let id = message["result"]["_meta"]["portcullis/approval"]["id"].as_str();
    id.unwrap_or_else(|| panic!("{message}")).to_owned()
}

/// The job that a call is told of.
fn job_of(response: &Response) -> String {
    let message = response.message();
    let id = message["result"]["structuredContent"]["id"].as_str();
    id.unwrap_or_else(|| panic!("{message}")).to_owned()
}

async fn approve(gateway: &Gateway, id: &str) {
    let said = operator(gateway, ("olli", &["oncall"]), "POST", &format!("/api/approvals/{id}/approve")).await;
    assert_eq!(said.status, 200, "{}", said.text());
}

/// Asks, has somebody agree, and calls again; the job.
async fn agreed(gateway: &Gateway, arguments: &Value) -> String {
    let id = asked(&run(gateway, arguments, None).await);
    approve(gateway, &id).await;
    job_of(&run(gateway, arguments, None).await)
}

/// How the job stands for an operator once its state is one of `states`.
async fn until(gateway: &Gateway, id: &str, states: &[&str]) -> Value {
    wait_until(&format!("the job is {states:?}"), PATIENCE, async || {
        let job = operator(gateway, OLGA, "GET", &format!("/api/jobs/{id}")).await.message();
        states.contains(&job["state"].as_str().unwrap_or_else(|| panic!("{job}"))).then_some(job)
    })
    .await
}

/// Keeps the only worker busy until the job it gives is ended.
async fn block(world: &World, gateway: &Gateway) -> String {
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let blocking = job_of(&gateway.modern_call("etl", &ana(), "again", &json!({})).await);
    wait_until("the worker is busy", PATIENCE, async || (world.upstream.calls().len() == 1).then_some(())).await;
    blocking
}

async fn end(gateway: &Gateway, job: &str) {
    assert_eq!(operator(gateway, OLGA, "POST", &format!("/api/jobs/{job}/cancel")).await.status, 200);
}

fn runs(world: &World) -> usize {
    world.upstream.calls().iter().filter(|seen| seen.json()["params"]["name"] == "run").count()
}

/// Its owner, who is an operator too, can't have it run twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_may_have_run_is_not_put_back_with_the_approval_it_has_spent() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Closed));
    let gateway = setup(&world, &json!({})).start().await;
    let id = agreed(&gateway, &json!({"n": 1})).await;
    let job = until(&gateway, &id, &["needs_review", "dead", "done", "failed"]).await;
    assert_eq!((&job["state"], runs(&world)), (&json!("needs_review"), 1), "{job}");
    assert!(job["approval"].is_string(), "{job}");
    world.upstream.answer(Answer::text("twice"));
    let ana = ("ana", &["runner", "manager"][..]);
    let back = operator(&gateway, ana, "POST", &format!("/api/jobs/{id}/requeue")).await;
    assert_eq!((back.status, &back.message()["approval"]), (200, &Value::Null), "{}", back.text());
    let job = until(&gateway, &id, &["needs_review", "dead", "done", "failed"]).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("failed"), &json!("needs_approval")), "{job}");
    assert_eq!(runs(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_tool_is_another_by_now_is_not_what_people_agreed_to() {
    let world = World::new().await;
    let setup = setup(&world, &json!({"workers": 1}));
    let gateway =
        setup.upstream("etl", "refresh", json!("100ms")).upstream("etl", "pinning", json!("off")).start().await;
    let blocking = block(&world, &gateway).await;
    let id = agreed(&gateway, &json!({"n": 1})).await;
    world.upstream.behave(|seen| {
        let tool = |name: &str| json!({"name": name, "description": "Erases all.", "inputSchema": {"type": "object"}});
        let tools = ["run", "again", "read"].map(tool);
        let list = json!({ "tools": tools });
        (seen.json()["method"] == "tools/list").then(|| Answer::result(&list))
    });
    wait_until("the tool has changed", PATIENCE, async || {
        let listed = gateway.send(&modern("etl", "tools/list", json!({})).bearer(&ana())).await;
        listed.text().contains("Erases all.").then_some(())
    })
    .await;
    end(&gateway, &blocking).await;
    let job = until(&gateway, &id, &["failed", "done"]).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("failed"), &json!("approval_mismatch")), "{job}");
    assert_eq!(runs(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_approvers_may_not_agree_any_more_does_not_run() {
    let world = World::new().await;
    let gateway = setup(&world, &json!({"workers": 1})).start().await;
    let blocking = block(&world, &gateway).await;
    let id = agreed(&gateway, &json!({"n": 1})).await;
    let revision = gateway.readiness().await["revision"].clone();
    std::fs::write(gateway.dir().join("policy.yaml"), POLICY.replace("[oncall], ttl", "[security], ttl")).unwrap();
    wait_until("the policy is live", PATIENCE, async || {
        (gateway.readiness().await["revision"] != revision).then_some(())
    })
    .await;
    end(&gateway, &blocking).await;
    let job = until(&gateway, &id, &["failed", "done"]).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("failed"), &json!("approvers_lost")), "{job}");
    assert_eq!(runs(&world), 0);
    let row = gateway.ended_call(|call| call["error"] == "approvers_lost").await;
    assert_eq!((&row["job_id"], &row["outcome"]), (&json!(id), &json!("refused")));
}

/// Whoever lost the answer gets it again, and nobody is asked twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_a_job_already_is_found_before_people_are_asked() {
    let world = World::new().await;
    let gateway = setup(&world, &json!({})).start().await;
    let asked_for = run(&gateway, &json!({"n": 1}), Some("k")).await;
    approve(&gateway, &asked(&asked_for)).await;
    let job = job_of(&run(&gateway, &json!({"n": 1}), Some("k")).await);
    until(&gateway, &job, &["done"]).await;
    assert_eq!(job_of(&run(&gateway, &json!({"n": 1}), Some("k")).await), job);
    let conflict = run(&gateway, &json!({"n": 2}), Some("k")).await;
    assert!(conflict.text().contains("names another call"), "{}", conflict.text());
    let bad = run(&gateway, &json!({"n": 3}), Some(&"k".repeat(256))).await;
    assert!(bad.text().contains("1 to 255 bytes"), "{}", bad.text());
    let auditor = operator(&gateway, OLGA, "GET", "/api/approvals").await;
    assert_eq!(auditor.message()["approvals"].as_array().map(Vec::len), Some(1), "{}", auditor.text());
    assert_eq!(runs(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_spends_no_approval() {
    let world = World::new().await;
    let gateway = setup(&world, &json!({"workers": 1, "quota": 1})).start().await;
    let id = asked(&run(&gateway, &json!({"n": 1}), None).await);
    let blocking = block(&world, &gateway).await;
    approve(&gateway, &id).await;
    let refused = run(&gateway, &json!({"n": 1}), None).await;
    assert!(refused.text().contains("too many jobs"), "{}", refused.text());
    let approval = operator(&gateway, ("olli", &["oncall"]), "GET", &format!("/api/approvals/{id}")).await;
    assert_eq!(approval.message()["state"], "approved", "{}", approval.text());
    world.upstream.answer(Answer::text("fine"));
    end(&gateway, &blocking).await;
    let job = job_of(&run(&gateway, &json!({"n": 1}), None).await);
    until(&gateway, &job, &["done"]).await;
    assert_eq!(runs(&world), 1);
}

/// What a row says of a look at a job is not what it says of a run.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_job_is_on_record_as_one_and_not_as_a_run() {
    let world = World::new().await;
    let gateway = setup(&world, &json!({})).start().await;
    let id = agreed(&gateway, &json!({"n": 1})).await;
    until(&gateway, &id, &["done"]).await;
    for (cancel, method) in [(false, "jobs/get"), (true, "jobs/cancel")] {
        let arguments = json!({"id": id, "cancel": cancel});
        super::stage::poll(&gateway, &ana(), &arguments).await;
        let row = gateway.ended_call(|call| call["method"] == method).await;
        assert_eq!((&row["job_id"], &row["tool"]), (&json!(id), &json!("etl.run")));
        assert!(row["approval_id"].is_string(), "{row:?}");
    }
    let of_job = |call: &serde_json::Map<String, Value>| call["job_id"] == json!(id) && call["method"] == "tools/call";
    assert_eq!(gateway.ended_calls(2, of_job).await.len(), 2, "it was handed in, and ran");
}
