//! Approvals carried by tasks (SEP-2663): a client that knows tasks, and can't be asked to open a page, calls once.

use super::stores::Store;
use super::{OLLI, POLICY, Scene, dana, erase, scene, setup, text, upstream};
use crate::support::gateway::{Setup, modern};
use crate::support::http::{Connection, Request, Version};
use crate::support::peers;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};

/// A request of a client that knows tasks.
fn knowing(method: &str, params: Value, who: &str) -> Request {
    let name = params["taskId"].as_str().map(str::to_owned);
    let mut request = modern("crm", method, params).bearer(who);
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    request.body = body.to_string().into_bytes();
    match name {
        Some(name) => request.header("mcp-name", &name),
        None => request,
    }
}

fn erasing(who: &str, arguments: &Value) -> Request {
    knowing("tools/call", json!({"name": "erase", "arguments": arguments}), who)
}

/// The ids of the task and of the approval in an answer that tells of a task.
fn begun(message: &Value) -> (String, String) {
    let task = &message["result"];
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{message}");
    let words = task["statusMessage"].as_str().unwrap_or_else(|| panic!("{message}"));
    let link = words.split_once("is decided at ").unwrap().1.split_once(';').unwrap().0;
    let (_, approval) = link.rsplit_once("/approvals/").unwrap();
    (task["taskId"].as_str().unwrap().to_owned(), approval.to_owned())
}

impl Scene {
    async fn task(&self, method: &str, id: &str, who: &str) -> Value {
        self.call(&knowing(method, json!({"taskId": id}), who)).await
    }

    /// How the task of `who` stands once it has ended.
    async fn ended(&self, id: &str, who: &str) -> Value {
        wait_until("the task has ended", PATIENCE, async || {
            let told = self.task("tasks/get", id, who).await;
            assert_eq!(told["result"]["resultType"], "complete", "{told}");
            (told["result"]["status"] != "working").then(|| told["result"].clone())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_goes_on_by_itself_and_runs_once() {
    let scene = scene(POLICY).await;
    let (arguments, who) = (json!({"id": 1}), dana());
    let discovered = scene.call(&modern("crm", "server/discover", json!({})).bearer(&who)).await;
    let extensions = &discovered["result"]["capabilities"]["extensions"];
    assert!(extensions["io.modelcontextprotocol/tasks"].is_object(), "{discovered}");
    let call = erasing(&who, &arguments);
    let (task, approval) = begun(&scene.call(&call).await);
    assert_eq!(begun(&scene.call(&call).await), (task.clone(), approval.clone()), "one call, one task");
    let told = scene.task("tasks/get", &task, &who).await;
    assert_eq!(told["result"]["status"], "working", "{told}");
    assert!(told["result"]["statusMessage"].as_str().unwrap().contains(&approval), "{told}");
    for stranger in [token("dora", &["developer"]), token("olli", &["oncall"])] {
        assert_eq!(scene.task("tasks/get", &task, &stranger).await["error"]["code"], -32602);
    }
    assert!(scene.upstream.calls().is_empty());
    scene.approve(&approval).await;
    let done = scene.ended(&task, &who).await;
    assert_eq!((&done["status"], text(&done)), (&json!("completed"), "fine"), "{done}");
    let calls = scene.upstream.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].json()["params"]["arguments"], arguments);
    let shown = scene.show(&approval).await;
    assert_eq!(shown["state"], "redeemed", "{shown}");
    let row = scene.gateway.ended_call(|row| row["job_id"] == task.as_str() && row["outcome"] == "ok").await;
    assert_eq!(row["approval_id"], approval.as_str(), "{row:?}");
    let (next, other) = begun(&scene.call(&call).await);
    assert!(next != task && other != approval, "the next call is asked about anew");
    assert_eq!(scene.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_refuse_or_leave_fails_the_task_and_leaves_one_row() {
    let scene = scene(&POLICY.replace("ttl: 10m", "ttl: 3s")).await;
    let who = dana();
    let (task, approval) = begun(&scene.call(&erasing(&who, &json!({"id": 1}))).await);
    assert_eq!(scene.decide(&approval, "deny", OLLI, "Not on a Friday.").await.status, 200);
    let told = scene.ended(&task, &who).await;
    assert_eq!(told["status"], "failed", "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("Not on a Friday."), "{told}");
    let (late, left) = begun(&scene.call(&erasing(&who, &json!({"id": 2}))).await);
    let told = scene.ended(&late, &who).await;
    assert_eq!(told["status"], "failed", "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("expired"), "{told}");
    for (id, approval, state) in [(task, approval, "approval_denied"), (late, left, "approval_expired")] {
        let rows = scene.rows(&approval).await;
        let ends: Vec<_> = rows
            .iter()
            .filter(|row| row["job_id"] == id.as_str() && row["detail"].to_string().contains(state))
            .collect();
        assert_eq!(ends.len(), 1, "{rows:?}");
        assert_eq!(ends[0]["outcome"], "refused", "{rows:?}");
    }
    assert!(scene.upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_takes_its_approval_back() {
    let scene = scene(POLICY).await;
    let who = dana();
    let call = erasing(&who, &json!({}));
    let (task, approval) = begun(&scene.call(&call).await);
    let other = token("dora", &["developer"]);
    assert_eq!(scene.task("tasks/cancel", &task, &other).await["error"]["code"], -32602);
    assert_eq!(scene.task("tasks/cancel", &task, &who).await["result"], json!({"resultType": "complete"}));
    assert_eq!(scene.ended(&task, &who).await["status"], "cancelled");
    assert_eq!(scene.show(&approval).await["state"], "withdrawn");
    assert_eq!(scene.decide(&approval, "approve", OLLI, "").await.status, 409);
    let row = scene.gateway.ended_call(|row| row["method"] == "approvals/withdraw").await;
    assert_eq!((&row["approval_id"], &row["subject"]), (&json!(approval), &json!("dana")));
    assert_ne!(begun(&scene.call(&call).await).0, task, "it may be asked for anew");
    assert!(scene.upstream.calls().is_empty());
}

/// 154: policy is asked again when the call runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_deny_that_came_while_a_task_waited_wins() {
    let scene = scene(POLICY).await;
    let who = dana();
    let (task, approval) = begun(&scene.call(&erasing(&who, &json!({}))).await);
    let deny = POLICY
        .replace("rules:", "rules:\n  - { id: freeze, effect: deny, tools: [\"crm.erase\"], roles: [developer] }");
    scene.policy(&deny, async || scene.call(&erase(&who, &json!({"n": 1}))).await["error"]["code"] == -32602).await;
    scene.approve(&approval).await;
    let row = scene.gateway.ended_call(|row| row["job_id"] == task.as_str() && row["decision"] == "deny").await;
    assert_eq!(row["outcome"], "refused", "{row:?}");
    assert_eq!(scene.task("tasks/get", &task, &who).await["error"]["code"], -32602, "nor is it shown any more");
    assert!(scene.upstream.calls().is_empty());
}

/// 148: whoever redeems first has it.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_made_plainly_and_by_a_task_runs_once() {
    let scene = scene(POLICY).await;
    let who = dana();
    let arguments = json!({"id": 7});
    let (task, approval) = begun(&scene.call(&erasing(&who, &arguments)).await);
    assert_eq!(scene.asks(&erase(&who, &arguments)).await, approval, "it is the same that people are asked");
    scene.approve(&approval).await;
    let plain = scene.call(&erase(&who, &arguments)).await;
    let told = scene.ended(&task, &who).await;
    let by_task = told["status"] == "completed";
    assert_eq!(plain["result"]["content"][0]["text"] == "fine", !by_task, "{plain} {told}");
    assert_eq!(scene.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_open_a_page_or_may_have_no_job_more_gets_no_task() {
    let upstream = upstream().await;
    let gateway = setup(&upstream, POLICY).with("jobs", json!({"quota": 1})).start().await;
    let scene = Scene { upstream, gateway };
    begun(&scene.call(&erasing(&dana(), &json!({"id": 1}))).await);
    scene.asks(&erasing(&dana(), &json!({"id": 2}))).await;
    let mut both = erasing(&dana(), &json!({}));
    let mut body: Value = serde_json::from_slice(&both.body).unwrap();
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]["elicitation"] = json!({"url": {}});
    both.body = body.to_string().into_bytes();
    assert_eq!(scene.call(&both).await["result"]["resultType"], "input_required");
}

/// The steps, and what a task that was there comes to.
const STEPS: [(&str, &str); 6] = [
    ("job_waits", "completed"),
    ("job_taken", "completed"),
    ("redeem.before", "completed"),
    ("redeem.after", "completed"),
    ("job_marked", "failed"),
    ("job_sent", "failed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_never_runs_a_task_twice_and_loses_no_approval() {
    for store in Store::both().await {
        for (round, (step, end)) in STEPS.into_iter().enumerate() {
            let upstream = upstream().await;
            let name = format!("task-{round}");
            let with = |setup: Setup| store.used_by(setup, &name).with("jobs", json!({"lease": "1s", "workers": 1}));
            let gateway = with(setup(&upstream, POLICY)).variable("PORTCULLIS_CRASH_AT", step).start().await;
            let mut scene = Scene { upstream, gateway };
            let call = erasing(&dana(), &json!({ "round": round }));
            let mut connection = Connection::open(scene.gateway.authority(), Version::Http1).await;
            let told = connection.exchange(&call).await.ok().map(|answer| begun(&answer.message()));
            assert_eq!(told.is_none(), step == "job_waits", "{step}");
            if let Some((_, approval)) = &told {
                scene.approve(approval).await;
            }
            assert!(!scene.gateway.process.end().await, "{step}: it is killed");
            scene.gateway = with(setup(&scene.upstream, POLICY)).start().await;
            let (task, approval) = match told {
                Some(told) => told,
                // Whoever was not answered calls again, and finds what is there.
                None => begun(&scene.call(&call).await),
            };
            if step == "job_waits" {
                scene.approve(&approval).await;
            }
            let ended = scene.ended(&task, &dana()).await;
            assert_eq!(ended["status"], end, "{step}: {ended}");
            let runs = scene.upstream.calls().len();
            assert!(runs == 1 || (runs == 0 && end == "failed"), "{step}: it ran {runs} times");
            assert_eq!(scene.show(&approval).await["state"], "redeemed", "{step}");
        }
    }
}

/// The tasks extension's own client calls once, and polls.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_the_extension_is_carried_through() {
    for (verb, end) in [("approve", "fine"), ("deny", "Not today.")] {
        let scene = scene(POLICY).await;
        let deciding = json!({"admin": scene.gateway.ready.admin, "token": OLLI.token(&scene.gateway), "verb": verb});
        let script = json!({"call": "erase", "arguments": {"id": 1}, "deciding": deciding});
        let said = peers::ask("tasked.mjs", scene.gateway.endpoint("crm"), "modern", &dana(), &script).await;
        assert_eq!(said["statuses"][0], "working", "{said}");
        assert!(said["outcome"].to_string().contains(end), "{said}");
        assert_eq!(scene.upstream.calls().len(), usize::from(verb == "approve"), "{said}");
    }
}
