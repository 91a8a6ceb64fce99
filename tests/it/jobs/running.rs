//! Jobs that run, and what their callers and others are told of them.

use super::stage::{World, ana, ask, hand_in, id_of, poll, until};
use crate::support::gateway::{legacy, modern};
use crate::support::http::Request;
use crate::support::journal;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Answer, Body, Speaks};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_by_rest_becomes_a_job_whose_result_is_fetched_later() {
    for speaks in [Speaks::Modern, Speaks::Legacy] {
        let world = World::of(speaks, super::stage::Store::Sqlite).await;
        let gateway = world.gateway(&json!({})).await;
        let id = hand_in(&gateway, "etl.run", &json!({"n": 7})).await;
        let job = until(&gateway, &id, &["done"]).await;
        assert_eq!(job["result"]["content"][0]["text"], "fine", "{job}");
        assert_eq!(world.upstream.calls().len(), 1);
        let seen = world.upstream.calls().pop().unwrap();
        assert_eq!(seen.json()["params"]["arguments"], json!({"n": 7}));
        assert_eq!(seen.header("x-user-id"), Some("ana"));
        assert_eq!(seen.header("idempotency-key"), Some(id.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_job_is_on_record_under_its_id() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    until(&gateway, &id, &["done"]).await;
    let rows = wait_until("the run is on record", PATIENCE, async || {
        let rows = journal::entries(&gateway.ready.journal).await;
        rows.iter().any(|row| row["kind"] == "outcome").then_some(rows)
    })
    .await;
    let of_job: Vec<_> = rows.iter().filter(|row| row["job_id"] == json!(id)).collect();
    let kinds: Vec<_> = of_job.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(&kinds[..1], ["event"], "it is handed in");
    assert!(kinds.contains(&"intent") && kinds.contains(&"outcome"), "{kinds:?}");
    let outcome = of_job.iter().find(|row| row["kind"] == "outcome").unwrap();
    assert_eq!((&outcome["outcome"], &outcome["subject"]), (&json!("ok"), &json!("ana")), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_no_tasks_polls_with_the_gateways_own_tool() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let answer = gateway.modern_call("etl", &ana(), "run", &json!({})).await.message();
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let id = answer["result"]["structuredContent"]["id"].as_str().unwrap().to_owned();
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains(&id));
    let done = wait_until("the job is done", PATIENCE, async || {
        let polled = poll(&gateway, &ana(), &json!({"id": id})).await;
        assert!(polled["error"].is_null(), "{polled}");
        (polled["result"]["content"][0]["text"] == "fine").then_some(polled)
    })
    .await;
    assert!(done["result"]["structuredContent"].is_null(), "it is the result of the tool itself: {done}");
    let session = gateway.legacy_session("etl", &ana()).await;
    let mut request = legacy("etl", "tools/call", json!({"name": "portcullis.job", "arguments": {"id": id}}));
    request.headers.extend(session);
    let told = gateway.send(&request).await.message();
    assert_eq!(told["result"]["content"][0]["text"], "fine", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_tool_is_listed_for_whoever_may_have_jobs() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let names = async |token: &str| {
        let listed = gateway.send(&modern("etl", "tools/list", json!({})).bearer(token)).await.message();
        let names = listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone());
        Value::from(names.collect::<Vec<_>>())
    };
    assert_eq!(names(&ana()).await, json!(["again", "read", "run", "portcullis.job"]));
    assert_eq!(names(&token("rob", &["reader"])).await, json!([]));
}

/// Cases 160 to 162.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_job_of_one_user_and_one_call() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let call = async |token: &str, key: &str, n: i64| {
        let body = json!({"tool_name": "etl.run", "arguments": {"n": n}});
        let request = Request::post("/mcp/invoke", body.to_string()).bearer(token);
        gateway.send(&request.header("idempotency-key", key)).await
    };
    let first = id_of(&call(&ana(), "k", 1).await);
    until(&gateway, &first, &["done"]).await;
    assert_eq!(id_of(&call(&ana(), "k", 1).await), first, "also once it has ended");
    let other = call(&ana(), "k", 2).await;
    assert_eq!(other.status, 409, "{}", other.text());
    let bob = id_of(&call(&token("bob", &["runner"]), "k", 2).await);
    assert_ne!(bob, first);
    wait_until("both ran", PATIENCE, async || (world.upstream.calls().len() == 2).then_some(())).await;
    for bad in ["", &"k".repeat(256)] {
        assert_eq!(call(&ana(), bad, 1).await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_key_is_one_job_until_that_has_ended() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let gateway = world.gateway(&json!({"workers": 1})).await;
    let first = hand_in(&gateway, "etl.run", &json!({"a": 1, "b": 2})).await;
    let same = gateway.rest_invoke(&ana(), "etl.run", &json!({"b": 2, "a": 1})).await;
    assert_eq!(id_of(&same), first);
    assert_ne!(hand_in(&gateway, "etl.run", &json!({"a": 1})).await, first);
    let end = Request { method: "DELETE".into(), ..Request::get(&format!("/jobs/{first}")) }.bearer(&ana());
    assert_eq!(gateway.send(&end).await.message()["state"], "cancelled");
    assert_ne!(hand_in(&gateway, "etl.run", &json!({"a": 1, "b": 2})).await, first);
}

/// Case 166.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_caller_may_not_call_any_more_is_refused_when_it_runs() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let gateway = world.gateway(&json!({"workers": 1})).await;
    let blocking = hand_in(&gateway, "etl.run", &json!({"n": 1})).await;
    wait_until("the worker is busy", PATIENCE, async || (world.upstream.calls().len() == 1).then_some(())).await;
    let waiting = hand_in(&gateway, "etl.again", &json!({"n": 2})).await;
    let denied =
        super::stage::POLICY.replace("access:", "rules: [{ id: stop, effect: deny, tools: [etl.again] }]\naccess:");
    std::fs::write(gateway.dir().join("policy.yaml"), denied).unwrap();
    wait_until("the change is live", PATIENCE, async || {
        (ask(&gateway, &ana(), &waiting).await.status == 404).then_some(())
    })
    .await;
    let request = Request { method: "DELETE".into(), ..Request::get(&format!("/jobs/{blocking}")) };
    assert_eq!(gateway.send(&request.bearer(&ana())).await.status, 200);
    let refused = gateway
        .ended_call(|call| {
            call["job_id"] == json!(waiting) && call["rule"] == "stop" && call["error"] == "unknown_tool"
        })
        .await;
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(world.upstream.calls().len(), 1);
    std::fs::write(gateway.dir().join("policy.yaml"), super::stage::POLICY).unwrap();
    let job = wait_until("it may be looked at again", PATIENCE, async || {
        let response = ask(&gateway, &ana(), &waiting).await;
        (response.status == 200).then(|| response.message())
    })
    .await;
    assert_eq!(job["state"], "failed");
}

/// Case 167.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_look_at_a_job_or_end_it() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    until(&gateway, &id, &["done"]).await;
    let strangers = [
        token("bob", &["runner"]),
        Claims::new("ana", &["runner"]).with("azp", json!("other-client")).sign(),
        Claims::new("ana", &["runner"]).with("tid", json!("other-tenant")).sign(),
        token("ana", &["reader"]),
    ];
    for stranger in strangers {
        for method in ["GET", "DELETE"] {
            let request = Request { method: method.into(), ..Request::get(&format!("/jobs/{id}")) };
            let response = gateway.send(&request.bearer(&stranger)).await;
            assert_eq!(response.status, 404, "{method}: {}", response.text());
        }
        let told = poll(&gateway, &stranger, &json!({"id": id})).await;
        assert_eq!(told["error"]["code"], -32602, "{told}");
    }
    assert_eq!(gateway.send(&Request::get(&format!("/jobs/{id}"))).await.status, 401);
    let elsewhere = poll(&gateway, &ana(), &json!({"id": id})).await;
    assert_eq!(elsewhere["error"]["code"], -32602, "a job of plain REST is none of an endpoint: {elsewhere}");
    for none in ["job_", "job_0", &format!("job_{:032x}", 7), "x"] {
        assert_eq!(ask(&gateway, &ana(), none).await.status, 404, "{none}");
    }
}

/// Case 168.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_no_more_open_jobs_than_the_quota() {
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let gateway = world.gateway(&json!({"workers": 1, "quota": 3})).await;
    for n in 0..3 {
        hand_in(&gateway, "etl.run", &json!({"n": n})).await;
    }
    let other_client = Claims::new("ana", &["runner"]).with("azp", json!("other-client")).sign();
    for token in [ana(), other_client] {
        let refused = gateway.rest_invoke(&token, "etl.run", &json!({"n": 9})).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{}", refused.text());
    }
    assert_eq!(gateway.rest_invoke(&token("bob", &["runner"]), "etl.run", &json!({"n": 9})).await.status, 202);
    let refused = gateway.ended_call(|call| call["error"] == "too_many_jobs").await;
    assert_eq!(refused["outcome"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_keeps_no_more_jobs_than_there_may_be_ended_ones_included() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({"kept": 2})).await;
    for n in 0..2 {
        let id = hand_in(&gateway, "etl.run", &json!({"n": n})).await;
        until(&gateway, &id, &["done"]).await;
    }
    let refused = gateway.rest_invoke(&ana(), "etl.run", &json!({"n": 9})).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(gateway.rest_invoke(&token("bob", &["runner"]), "etl.run", &json!({"n": 9})).await.status, 202);
}

/// Case 169.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_large_fails_the_job() {
    let world = World::new().await;
    world.upstream.answer(Answer::text(&"x".repeat(4096)));
    let gateway = world.gateway(&json!({"result_bytes": "2KiB"})).await;
    let id = hand_in(&gateway, "etl.again", &json!({})).await;
    let job = until(&gateway, &id, &["failed", "done", "dead"]).await;
    assert_eq!((&job["state"], &job["attempts"]), (&json!("failed"), &json!(1)), "{job}");
    assert!(job["message"].as_str().unwrap().contains("response_too_large"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_filtered_for_whoever_reads_it_when_they_do() {
    let world = World::new().await;
    world.upstream.answer(Answer::text("write to ana@example.com"));
    let gateway = world.gateway(&json!({})).await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    let text = |job: &Value| job["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text(&until(&gateway, &id, &["done"]).await).contains("ana@example.com"));
    let masked = format!("{}\nredaction: [{{ detect: [email], action: mask }}]\n", super::stage::POLICY);
    std::fs::write(gateway.dir().join("policy.yaml"), masked).unwrap();
    wait_until("the address is masked", PATIENCE, async || {
        (!text(&until(&gateway, &id, &["done"]).await).contains("ana@example.com")).then_some(())
    })
    .await;
    let row = gateway.ended_call(|call| call["method"] == "GET" && call["redactions"] != Value::Null).await;
    assert_eq!(row["job_id"], json!(id), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_rest_may_ask_for_a_job_of_any_tool() {
    let world = World::new().await;
    let gateway = world.gateway(&json!({})).await;
    let body = json!({"tool_name": "etl.read", "arguments": {}}).to_string();
    let request = || Request::post("/mcp/invoke", body.clone()).bearer(&ana());
    assert_eq!(gateway.send(&request()).await.status, 200);
    let accepted = gateway.send(&request().header("prefer", "wait=5, respond-async")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    until(&gateway, &id_of(&accepted), &["done"]).await;
}

/// What is kept of a job at rest says nothing of its arguments and its result.
#[tokio::test(flavor = "multi_thread")]
async fn arguments_and_results_are_sealed_at_rest() {
    let world = World::new().await;
    world.upstream.answer(Answer::text("a-very-private-answer"));
    let gateway = world.gateway(&json!({})).await;
    let id = hand_in(&gateway, "etl.run", &json!({"what": "a-very-private-thing"})).await;
    until(&gateway, &id, &["done"]).await;
    assert!(holds_no(&world, b"a-very-private"));
}

fn holds_no(world: &World, secret: &[u8]) -> bool {
    world.files().iter().all(|bytes| !bytes.windows(secret.len()).any(|window| window == secret))
}
