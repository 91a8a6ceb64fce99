//! Jobs whose upstream, worker or store does not do what it should.

use super::stage::{World, ana, ask, hand_in, until};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body};
use serde_json::json;

/// Case 164.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_keeps_failing_is_given_up_and_holds_nobody_up() {
    let world = World::new().await;
    world.upstream.behave(|seen| {
        let poison = seen.json()["params"]["arguments"]["poison"] == true;
        poison.then(|| Answer::new(200, "application/json", Body::Closed))
    });
    let gateway = world.gateway(&json!({"workers": 1})).await;
    let poison = hand_in(&gateway, "etl.again", &json!({"poison": true})).await;
    let good = hand_in(&gateway, "etl.again", &json!({})).await;
    until(&gateway, &good, &["done"]).await;
    let dead = until(&gateway, &poison, &["dead"]).await;
    assert_eq!(dead["attempts"], 2, "{dead}");
    let ran = world.upstream.calls().iter().filter(|seen| seen.json()["params"]["arguments"]["poison"] == true).count();
    assert_eq!(ran, 2);
    // The store knows a moment before it is counted.
    let counted = "portcullis_job_changes_total{state=\"dead\"} 1";
    wait_until("it is counted", PATIENCE, async || gateway.metrics().await.contains(counted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_broke_off_is_left_to_a_person_unless_it_may_run_twice() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Closed));
    let gateway = world.gateway(&json!({})).await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    let job = until(&gateway, &id, &["needs_review", "dead", "done", "failed"]).await;
    assert_eq!(job["state"], "needs_review", "{job}");
    assert_eq!(world.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_could_not_leave_is_tried_again_whatever_its_tool() {
    let mut world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    world.upstream.stop().await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    wait_until("it was tried", PATIENCE, async || {
        let job = ask(&gateway, &ana(), &id).await.message();
        (job["attempts"].as_u64().unwrap() >= 1 && job["state"] == "queued").then_some(())
    })
    .await;
    world.upstream.resume().await;
    until(&gateway, &id, &["done"]).await;
    assert_eq!(world.upstream.calls().len(), 1);
}

/// Case 165: a process that was stopped for longer than its lease comes back, and is not heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_away_too_long_is_not_heard() {
    let world = World::new().await;
    let whole =
        br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"late"}],"resultType":"complete"}}"#;
    world.upstream.answer(Answer::new(200, "application/json", Body::Gated(vec![whole.to_vec()])));
    let slow = world.gateway(&json!({"workers": 1, "lease": "3s"})).await;
    let id = hand_in(&slow, "etl.run", &json!({})).await;
    wait_until("the call is there", PATIENCE, async || (world.upstream.calls().len() == 1).then_some(())).await;
    slow.process.signal("-STOP");
    let other = world.setup(&json!({"workers": 1, "lease": "3s"})).with("journal", json!(null)).start().await;
    let job = until(&other, &id, &["needs_review"]).await;
    assert_eq!(job["attempts"], 1, "{job}");
    world.upstream.release();
    slow.process.signal("-CONT");
    slow.ended_call(|call| {
        call["job_id"] == json!(id) && call["outcome"] != "refused" && call["method"] == "tools/call"
    })
    .await;
    let late = wait_until("the worker is refused or leaves", PATIENCE, async || {
        let said = slow
            .log()
            .iter()
            .any(|line| line.to_string().contains("comes too late") || line.to_string().contains("came too late"));
        let left = slow.calls().await.iter().any(|call| call["job_id"] == json!(id) && call["error"] == "cancelled");
        (said || left).then_some(())
    });
    late.await;
    assert_eq!(until(&other, &id, &["needs_review"]).await["state"], "needs_review");
    assert_eq!(world.upstream.calls().len(), 1);
}
