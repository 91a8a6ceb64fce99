//! The room that results take: beyond it the oldest go first, and their jobs say so.

use super::stage::{Store, World, ana, ask, hand_in, knowing_tasks, poll, until};
use crate::support::postgres::Postgres;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Speaks};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_results_make_room_for_newer_ones_and_their_jobs_say_so() {
    for store in [Store::Sqlite, Store::Postgres(Postgres::start().await)] {
        let world = World::of(Speaks::Modern, store).await;
        world.upstream.answer(Answer::text(&"many words ".repeat(400)));
        let gateway = world.gateway(&json!({"keep_bytes": "8KiB", "lease": "6s"})).await;
        // A task, so that it can be asked for at the endpoint.
        let request = knowing_tasks("tools/call", json!({"name": "run", "arguments": {}}));
        let begun = gateway.send(&request.bearer(&ana())).await.message();
        let first = begun["result"]["taskId"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned();
        let task = async || {
            let asked = knowing_tasks("tasks/get", json!({"taskId": first}));
            gateway.send(&asked.bearer(&ana())).await.message()["result"].clone()
        };
        wait_until("the first has its result", PATIENCE, async || {
            let told = task().await;
            (told["status"] == "completed").then(|| assert!(told["result"]["content"].is_array(), "{told}"))
        })
        .await;
        let second = hand_in(&gateway, "etl.run", &json!({"number": 2})).await;
        until(&gateway, &second, &["done"]).await;
        let told = wait_until("the first has lost it", PATIENCE, async || {
            let told = task().await;
            (told["status"] == "failed").then_some(told)
        })
        .await;
        assert!(told["error"]["message"].as_str().unwrap().contains("was dropped"), "{told}");
        assert!(told.get("result").is_none(), "{told}");
        let polled = poll(&gateway, &ana(), &json!({"id": first})).await;
        assert_eq!(polled["result"]["isError"], true, "{polled}");
        let kept = ask(&gateway, &ana(), &second).await.message();
        assert!(kept["result"]["content"][0]["text"].as_str().unwrap().contains("many words"), "{kept}");
        assert_eq!(world.upstream.calls().len(), 2, "none runs again");
        let metrics = gateway.metrics().await;
        assert!(metrics.contains("portcullis_job_results_dropped_total 1\n"), "{metrics}");
    }
}
