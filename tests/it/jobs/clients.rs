//! The official package for tasks (SEP-2663) on the TypeScript SDK, against durable jobs of an upstream that knows no tasks.

use super::stage::{World, ana, ask};
use crate::support::peers;
use crate::support::upstream::Answer;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_waits_for_a_job_as_for_any_task() {
    let world = World::new().await;
    world.upstream.answer(Answer::result(&json!({
        "resultType": "complete", "content": [{"type": "text", "text": "fine"}], "structuredContent": {"rows": 7},
    })));
    let gateway = world.gateway(&json!({"lease": "1m"})).await;
    let script = json!([{"call": "run", "arguments": {"what": "all"}}, {"call": "read"}]);
    let said = peers::ask("tasks.mjs", gateway.endpoint("etl"), "modern", &ana(), &script).await;
    let (run, read) = (&said["done"][0], &said["done"][1]);
    assert_eq!(run["kind"], "task", "{said}");
    assert_eq!(run["outcome"]["result"]["structuredContent"], json!({"rows": 7}), "{said}");
    assert_eq!(read["kind"], "immediate", "what is no job is answered at once: {said}");
    let id = run["task"].as_str().unwrap();
    let job = ask(&gateway, &ana(), id).await;
    assert_eq!(job.status, 404, "it is known where it was made, and not by plain REST: {}", job.text());
    let row =
        gateway.ended_call(|row| row["job_id"] == id && row["method"] == "tools/call" && row["outcome"] == "ok").await;
    assert_eq!((&row["subject"], &row["tool"]), (&json!("ana"), &json!("etl.run")), "{row:?}");
    assert_eq!(world.upstream.calls().len(), 2);
}
