//! Reviewed calls of tools whose calls are jobs: people are asked before there is a job, and the job outlives the process.

use super::stores::Store;
use super::{POLICY, Scene, asked, dana, erase, setup, text, upstream};
use crate::support::gateway::{Setup, modern_call};
use crate::support::http::{Connection, Request, Version};
use crate::support::process::{PATIENCE, wait_until};
use serde_json::{Map, Value, json};

fn policy() -> String {
    POLICY.replace("class: destructive }, {", "class: destructive, mode: job }, {")
}

impl Scene {
    /// What the gateway's own tool answers about the job `id` of dana once it has ended.
    async fn job(&self, id: &str) -> Value {
        wait_until("the job has ended", PATIENCE, async || {
            let polled = self.call(&modern_call("crm", "portcullis.job", &json!({"id": id})).bearer(&dana())).await;
            let state = polled["result"]["structuredContent"]["state"].as_str().unwrap_or("done");
            (!["waiting", "queued", "running"].contains(&state)).then_some(polled)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_becomes_a_job_and_survives_restarts() {
    for store in Store::both().await {
        let upstream = upstream().await;
        let with = |setup: Setup| store.used_by(setup, "jobs").with("jobs", json!({"workers": 1, "lease": "1s"}));
        let gateway = with(setup(&upstream, &policy())).start().await;
        let mut scene = Scene { upstream, gateway };
        let call = erase(&dana(), &json!({"id": 1})).header("idempotency-key", "k");
        let approval = scene.asks(&call).await;
        scene.gateway.process.signal("-KILL");
        assert!(!scene.gateway.process.end().await);
        // Approved at another process than the one that was asked, which is killed as soon as there is a job.
        let doomed = with(setup(&scene.upstream, &policy())).variable("PORTCULLIS_CRASH_AT", "job_kept");
        scene.gateway = doomed.start().await;
        scene.approve(&approval).await;
        let mut connection = Connection::open(scene.gateway.authority(), Version::Http1).await;
        assert!(connection.exchange(&call).await.is_err(), "there is nobody to answer");
        assert!(!scene.gateway.process.end().await);
        scene.gateway = with(setup(&scene.upstream, &policy())).start().await;
        let kept = scene.call(&call).await;
        let job = kept["result"]["structuredContent"]["id"].as_str().unwrap_or_else(|| panic!("{kept}")).to_owned();
        assert_eq!(scene.show(&approval).await["state"], "redeemed");
        // The process that was killed may have begun it: then a person must look, and it has not run twice.
        let ended = scene.job(&job).await;
        let (runs, state) = (scene.upstream.calls().len(), &ended["result"]["structuredContent"]["state"]);
        let ran = ended["result"]["content"][0]["text"] == "fine" && runs == 1;
        assert!(ran || state == "needs_review" && runs <= 1, "{ended} {runs}");
        assert_ne!(
            asked(&scene.call(&erase(&dana(), &json!({"id": 1}))).await),
            approval,
            "the next one is asked about"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_is_a_job_whose_rows_name_the_approval() {
    let upstream = upstream().await;
    let gateway = setup(&upstream, &policy()).start().await;
    let scene = Scene { upstream, gateway };
    let call = erase(&dana(), &json!({"id": 1}));
    let approval = scene.asks(&call).await;
    scene.approve(&approval).await;
    let kept = scene.call(&call).await;
    let job = kept["result"]["structuredContent"]["id"].as_str().unwrap_or_else(|| panic!("{kept}")).to_owned();
    assert_eq!(text(&scene.job(&job).await), "fine");
    assert_eq!(scene.upstream.calls().len(), 1);
    let rows = scene.rows(&approval).await;
    let runs = |row: &&Map<String, Value>| row["job_id"] == job.as_str() && row["method"] == "tools/call";
    let of_job: Vec<_> = rows.iter().filter(runs).collect();
    assert_eq!(of_job.len(), 2, "the call that made it, and the one that ran: {rows:?}");
    assert!(of_job.iter().all(|row| row["outcome"] == "ok"), "{rows:?}");
    assert_ne!(scene.asks(&call).await, approval, "the next one is asked about anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_plain_rest_too() {
    let upstream = upstream().await;
    let gateway = setup(&upstream, &policy()).start().await;
    let scene = Scene { upstream, gateway };
    let refused = scene.gateway.rest_invoke(&dana(), "crm.erase", &json!({})).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let row = scene.gateway.ended_call(|row| row["error"] == "needs_approval").await;
    scene.approve(row["approval_id"].as_str().unwrap()).await;
    let kept = scene.gateway.rest_invoke(&dana(), "crm.erase", &json!({})).await;
    assert_eq!(kept.status, 202, "{}", kept.text());
    let id = kept.message()["id"].as_str().unwrap().to_owned();
    let done = wait_until("the job is done", PATIENCE, async || {
        let job = scene.gateway.send(&Request::get(&format!("/jobs/{id}")).bearer(&dana())).await.message();
        (job["state"] == "done").then_some(job)
    })
    .await;
    assert_eq!(text(&done), "fine", "{done}");
    assert_eq!(scene.upstream.calls().len(), 1);
}
