//! Operators see to jobs: by the admin API and by the command.

use super::stage::{POLICY, World, ana, hand_in, until};
use crate::support::gateway::{BINARY, Gateway, Setup};
use crate::support::http::{Request, Response, fetch};
use crate::support::tokens::Claims;
use crate::support::upstream::{Answer, Body};
use serde_json::{Value, json};
use std::process::Command;

pub const AUDIENCE: &str = "the-console";

pub fn operator(role: &str) -> Claims {
    Claims::new("olga", &[role]).with("aud", json!(AUDIENCE))
}

async fn start(world: &World) -> Gateway {
    setup(world).start().await
}

/// With operators of jobs.
pub fn setup(world: &World) -> Setup {
    let mut setup = world.setup(&json!({})).with("console", json!({"audiences": [AUDIENCE]}));
    let roles = "roles: { runner: {}, reader: {}, watcher: {}, manager: { inherits: [watcher] } }";
    let operators = "operators: { read: [watcher], manage: [manager] }";
    setup.policy = POLICY.replace("roles: { runner: {}, reader: {} }", &format!("{roles}\n{operators}"));
    setup
}

pub async fn ask(gateway: &Gateway, token: &str, method: &str, path: &str) -> Response {
    let request = Request { method: method.into(), ..Request::get(path) };
    let request = if method == "POST" { Request::post(path, "{}") } else { request };
    fetch(gateway.admin(), &request.bearer(token)).await
}

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_put_dead_letters_back_and_that_is_on_record() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Closed));
    let gateway = start(&world).await;
    let id = hand_in(&gateway, "etl.run", &json!({"what": "a-very-private-thing"})).await;
    until(&gateway, &id, &["needs_review"]).await;
    let (manager, watcher) = (operator("manager").sign(), operator("watcher").sign());
    let listed = ask(&gateway, &watcher, "GET", "/api/jobs?state=needs_review").await;
    assert_eq!(listed.status, 200, "{}", listed.text());
    assert_eq!(json_of(&listed)["jobs"][0]["id"], json!(id));
    assert!(!listed.text().contains("a-very-private-thing"));
    let requeue = format!("/api/jobs/{id}/requeue");
    assert_eq!(ask(&gateway, &watcher, "POST", &requeue).await.status, 403);
    assert_eq!(ask(&gateway, &operator("runner").sign(), "GET", "/api/jobs").await.status, 403);
    let stranger = operator("manager").with("tid", json!("other")).sign();
    for path in [format!("/api/jobs/{id}"), "/api/jobs/x".to_owned()] {
        assert_eq!(ask(&gateway, &stranger, "GET", &path).await.status, 404, "{path}");
    }
    assert_eq!(ask(&gateway, &stranger, "POST", &requeue).await.status, 404);
    assert_eq!(ask(&gateway, &watcher, "GET", "/api/jobs?state=odd").await.status, 400);
    world.upstream.answer(Answer::text("at last"));
    let back = ask(&gateway, &manager, "POST", &requeue).await;
    assert_eq!((back.status, &json_of(&back)["state"]), (200, &json!("queued")), "{}", back.text());
    until(&gateway, &id, &["done"]).await;
    assert_eq!(ask(&gateway, &manager, "POST", &requeue).await.status, 409);
    assert_eq!(ask(&gateway, &manager, "POST", &format!("/api/jobs/{id}/cancel")).await.status, 409);
    let ended = async |method: &str, outcome: &str, error: Value| {
        let is_meant = |call: &serde_json::Map<String, Value>| {
            call["method"] == method && call["outcome"] == outcome && call["error"] == error
        };
        gateway.ended_call(is_meant).await
    };
    let row = ended("operator/jobs.requeue", "ok", json!(null)).await;
    assert_eq!((&row["subject"], &row["job_id"]), (&json!("olga"), &json!(id)));
    // What did not happen is not told as done.
    let row = ended("operator/jobs.requeue", "refused", json!("not_operator")).await;
    assert_eq!((&row["subject"], &row["detail"]), (&json!("olga"), &json!(id)));
    let row = ended("operator/jobs.requeue", "refused", json!("job_state")).await;
    assert_eq!((&row["subject"], &row["job_id"]), (&json!("olga"), &json!(id)));
    ended("operator/jobs.cancel", "refused", json!("job_state")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_ends_and_puts_back() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let gateway = start(&world).await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("jobs").args(arguments).args(["--url", &format!("http://{}", gateway.admin())]);
        let done = command.env("PORTCULLIS_ADMIN_TOKEN", operator("manager").sign()).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).unwrap())
    };
    let (good, said) = command(&["list"]);
    assert!(good && said.contains(&id) && said.contains("etl.run") && said.contains("ana"), "{said}");
    let (good, said) = command(&["show", &id]);
    assert!(good && said.contains("\"subject\": \"ana\""), "{said}");
    let (good, said) = command(&["cancel", &id]);
    assert!(good && said.contains("cancelled"), "{said}");
    let (good, said) = command(&["requeue", &id]);
    assert!(!good && said.contains("(409)"), "{said}");
    let (good, said) = command(&["dead"]);
    assert!(good && said.is_empty(), "{said}");
    let (good, said) = command(&["show", "../approvals"]);
    assert!(!good && said.contains("is no id of a job"), "{said}");
    let told = super::stage::ask(&gateway, &ana(), &id).await;
    assert_eq!(told.message()["state"], "cancelled");
}
