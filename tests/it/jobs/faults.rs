//! Jobs whose upstream, worker or store does not do what it should.

use super::stage::{POLICY, World, ana, ask, hand_in, until};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body};
use serde_json::{Value, json};
use std::time::Duration;

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
        let left = slow.calls().await.iter().any(|call| call["job_id"] == json!(id) && call["outcome"] == "unknown");
        (said || left).then_some(())
    });
    late.await;
    let rows = slow.calls().await;
    let nobody_did = rows.iter().all(|call| call["job_id"] != json!(id) || call["outcome"] != "cancelled");
    assert!(nobody_did, "nobody has cancelled it: {rows:?}");
    assert_eq!(until(&other, &id, &["needs_review"]).await["state"], "needs_review");
    assert_eq!(world.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_may_not_run_twice_any_more_does_not() {
    let mut world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let gateway = world.gateway(&json!({"workers": 1})).await;
    let id = hand_in(&gateway, "etl.again", &json!({})).await;
    wait_until("the call is there", PATIENCE, async || (world.upstream.calls().len() == 1).then_some(())).await;
    let revision = gateway.readiness().await["revision"].clone();
    std::fs::write(gateway.dir().join("policy.yaml"), POLICY.replace("idempotent: true", "idempotent: false")).unwrap();
    wait_until("the policy is live", PATIENCE, async || {
        (gateway.readiness().await["revision"] != revision).then_some(())
    })
    .await;
    world.upstream.answer(Answer::text("twice"));
    world.upstream.stop().await;
    world.upstream.resume().await;
    let job = until(&gateway, &id, &["needs_review", "done", "dead"]).await;
    assert_eq!((&job["state"], world.upstream.calls().len()), (&json!("needs_review"), 1), "{job}");
}

/// Signs of life without end keep no worker busy for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_has_an_end_however_alive_its_upstream_seems() {
    let world = World::new().await;
    let alive = vec![b": alive\n\n".to_vec(); 10_000];
    world.upstream.answer(Answer::new(200, "text/event-stream", Body::Gated(alive)));
    let gateway = world.gateway(&json!({"workers": 1, "longest": "2s"})).await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    let lives = async {
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        loop {
            beat.tick().await;
            world.upstream.release();
        }
    };
    let job = tokio::select! {
        job = until(&gateway, &id, &["needs_review"]) => job,
        () = lives => Value::Null,
    };
    assert!(job["message"].as_str().unwrap().contains("may have run"), "{job}");
    let row = gateway.ended_call(|call| call["job_id"] == json!(id) && call["outcome"] == "unknown").await;
    assert_eq!(row["error"], "upstream_timeout");
}

/// A gateway that can't open a job leaves it to one that can.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_a_gateway_with_another_key() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let mut first = world.gateway(&json!({"workers": 1})).await;
    let busy = hand_in(&first, "etl.run", &json!({"n": 1})).await;
    wait_until("the worker is busy", PATIENCE, async || (world.upstream.calls().len() == 1).then_some(())).await;
    let waiting = hand_in(&first, "etl.run", &json!({"n": 2})).await;
    first.process.signal("-KILL");
    first.process.end().await;
    world.upstream.answer(Answer::text("fine"));
    let other_key = json!("another digest key, of thirty-two bytes");
    let other = world.setup(&json!({"workers": 1})).with("digest_key", other_key).with("journal", json!(null));
    let mut other = other.start().await;
    let row = other
        .ended_call(|call| {
            let detail = call["detail"].as_str().unwrap_or_default();
            call["job_id"] == json!(waiting) && detail.contains("sealed_with_another_key")
        })
        .await;
    assert_eq!((&row["outcome"], &row["tool"]), (&json!("refused"), &json!("etl.run")));
    other.process.signal("-KILL");
    other.process.end().await;
    let last = world.gateway(&json!({"workers": 1})).await;
    let done = until(&last, &waiting, &["done", "failed", "dead", "needs_review"]).await;
    assert_eq!(done["state"], "done", "{done}");
    until(&last, &busy, &["needs_review"]).await;
}

/// What becomes of a job that never left for its upstream is no call of which nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waited_for_too_long_is_on_record_as_never_sent() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let gateway = world.gateway(&json!({"workers": 1, "ttl": "10s"})).await;
    hand_in(&gateway, "etl.run", &json!({"n": 1})).await;
    wait_until("the worker is busy", PATIENCE, async || (world.upstream.calls().len() == 1).then_some(())).await;
    let waiting = hand_in(&gateway, "etl.run", &json!({"n": 2})).await;
    let row = gateway
        .ended_call(|call| {
            let detail = call["detail"].as_str().unwrap_or_default();
            call["job_id"] == json!(waiting) && detail.contains("expired")
        })
        .await;
    assert_eq!((&row["outcome"], &row["termination"]), (&json!("refused"), &json!("timeout")));
}
