//! The crash matrix: the process is killed at each named step of a job's life, in both stores, and another takes over. The
//! upstream counts: a call that must not run twice never does, and no job that was announced is lost.

use super::stage::{Store, World, ana, until};
use crate::support::http::Request;
use crate::support::http::{Connection, Version};
use crate::support::postgres::Postgres;
use crate::support::upstream::Speaks;
use serde_json::{Value, json};

/// The steps, in their order, and what becomes of a job that was there: of one that must not run twice, and of one that may.
const STEPS: [(&str, &str, &str); 7] = [
    ("job_kept", "done", "done"),
    ("job_taken", "done", "done"),
    ("job_marked", "needs_review", "done"),
    ("job_intended", "needs_review", "done"),
    ("job_sent", "needs_review", "done"),
    ("job_answered", "needs_review", "done"),
    ("job_finished", "done", "done"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_runs_no_job_twice_and_loses_none_in_sqlite() {
    matrix(async || Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_runs_no_job_twice_and_loses_none_in_postgres() {
    matrix(async || Store::Postgres(Postgres::start().await)).await;
}

async fn matrix(store: impl AsyncFn() -> Store) {
    let world = World::of(Speaks::Modern, store().await).await;
    for (step, once, twice) in STEPS {
        survives(&world, step, "run", once).await;
        survives(&world, step, "again", twice).await;
    }
}

/// Kills a gateway at `step` of a job of `tool`, starts another, and waits until the job is `expected`.
async fn survives(world: &World, step: &str, tool: &str, expected: &str) {
    let arguments = json!({"step": step});
    let runs = || {
        let is_it = |seen: &Value| seen["params"]["arguments"] == arguments && seen["params"]["name"] == tool;
        world.upstream.calls().iter().filter(|seen| is_it(&seen.json())).count()
    };
    let mut setup = world.setup(&json!({"workers": 1, "lease": "3s"}));
    setup.environment.insert("PORTCULLIS_CRASH_AT".into(), step.into());
    let mut doomed = setup.start().await;
    // Whoever is not answered asks again, under the same key.
    let key = format!("{step}-{tool}");
    let body = json!({"tool_name": format!("etl.{tool}"), "arguments": arguments}).to_string();
    let request = Request::post("/mcp/invoke", body).bearer(&ana()).header("idempotency-key", &key);
    let answered = Connection::open(doomed.authority(), Version::Http1).await.exchange(&request).await;
    assert!(!doomed.process.end().await, "{step}: it is killed");
    let next = world.gateway(&json!({"workers": 1, "lease": "3s"})).await;
    let again = next.send(&request).await;
    assert_eq!(again.status, 202, "{step} {tool}: {}", again.text());
    let id = super::stage::id_of(&again);
    if let Ok(answered) = answered {
        assert_eq!(super::stage::id_of(&answered), id, "{step} {tool}: what was announced is there");
    }
    let job = until(&next, &id, &["done", "failed", "dead", "needs_review"]).await;
    assert_eq!(job["state"], expected, "{step} {tool}: {job}");
    let most = if tool == "run" { 1 } else { 2 };
    assert!(runs() <= most, "{step} {tool}: it ran {} times", runs());
    if expected == "done" {
        assert!(runs() >= 1, "{step} {tool}: it never ran");
    }
}
