//! Jobs as tasks (SEP-2663), for clients that know them, before an upstream that does not.

use super::stage::{World, ana, knowing_tasks};
use crate::support::gateway::{Gateway, modern};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body};
use serde_json::{Value, json};

async fn task(gateway: &Gateway, method: &str, id: &str) -> Value {
    gateway.send(&knowing_tasks(method, json!({"taskId": id})).bearer(&ana())).await.message()
}

async fn begin(gateway: &Gateway) -> String {
    let request = knowing_tasks("tools/call", json!({"name": "run", "arguments": {}}));
    let begun = gateway.send(&request.bearer(&ana())).await.message();
    assert_eq!(
        (&begun["result"]["resultType"], &begun["result"]["status"]),
        (&json!("task"), &json!("working")),
        "{begun}"
    );
    begun["result"]["taskId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_a_task_for_a_client_that_knows_tasks() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let discovered = gateway.send(&modern("etl", "server/discover", json!({})).bearer(&ana())).await.message();
    assert!(
        discovered["result"]["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(),
        "{discovered}"
    );
    let id = begin(&gateway).await;
    let done = wait_until("the task is completed", PATIENCE, async || {
        let told = task(&gateway, "tasks/get", &id).await;
        assert_eq!(told["result"]["resultType"], "complete", "{told}");
        (told["result"]["status"] == "completed").then_some(told)
    })
    .await;
    assert_eq!(done["result"]["result"]["content"][0]["text"], "fine", "{done}");
    let undeclared = modern("etl", "tasks/get", json!({"taskId": id})).header("mcp-name", &id);
    assert_eq!(gateway.send(&undeclared.bearer(&ana())).await.message()["error"]["code"], -32021);
    let stranger = knowing_tasks("tasks/get", json!({"taskId": id})).bearer(&token("bob", &["runner"]));
    assert_eq!(gateway.send(&stranger).await.message()["error"]["code"], -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_upstream_fails_the_task_and_a_failure_of_the_tool_does_not() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let ended = async |id: &str| {
        wait_until("the task has ended", PATIENCE, async || {
            let told = task(&gateway, "tasks/get", id).await["result"].clone();
            (told["status"] != "working").then_some(told)
        })
        .await
    };
    world.upstream.answer(Answer::json(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32050,"message":"no"}}"#));
    let told = ended(&begin(&gateway).await).await;
    assert_eq!((&told["status"], &told["error"]["code"]), (&json!("failed"), &json!(-32050)), "{told}");
    world.upstream.answer(Answer::result(&json!({"content": [], "isError": true})));
    let told = ended(&begin(&gateway).await).await;
    assert_eq!((&told["status"], &told["result"]["isError"]), (&json!("completed"), &json!(true)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_cancelled_stays_so_and_its_upstream_is_left() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let gateway = world.gateway(&json!({})).await;
    let id = begin(&gateway).await;
    wait_until("the call is there", PATIENCE, async || (world.upstream.calls().len() == 1).then_some(())).await;
    assert_eq!(task(&gateway, "tasks/cancel", &id).await["result"], json!({"resultType": "complete"}));
    assert_eq!(task(&gateway, "tasks/get", &id).await["result"]["status"], "cancelled");
    let connection = world.upstream.calls()[0].connection;
    wait_until("the connection ends", PATIENCE, async || world.upstream.has_ended(connection).then_some(())).await;
    let row = gateway.ended_call(|call| call["job_id"] == json!(id) && call["error"] == "cancelled").await;
    assert_eq!(row["outcome"], "cancelled");
    assert_eq!(task(&gateway, "tasks/cancel", &id).await["result"], json!({"resultType": "complete"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_promises_its_output_to_those_alone_who_get_it_as_a_task() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    for (request, promised) in [
        (modern("etl", "tools/list", json!({})), Value::Null),
        (knowing_tasks("tools/list", json!({})), json!({"type": "object"})),
    ] {
        let listed = gateway.send(&request.bearer(&ana())).await.message();
        let tools = listed["result"]["tools"].as_array().unwrap();
        let run = tools.iter().find(|tool| tool["name"] == "run").unwrap();
        assert_eq!(run["outputSchema"], promised, "{listed}");
    }
}
