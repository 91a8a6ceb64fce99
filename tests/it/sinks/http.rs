//! Sinks that are reached over HTTP: OpenTelemetry logs and signed webhooks.

use super::{Load, World, await_lines, call, lines, metric, sink_says};
use crate::support::gateway::Gateway;
use crate::support::peers::Receiver;
use crate::support::postgres::assert_same;
use crate::support::process::{PATIENCE, wait_until};
use serde_json::{Value, json};

/// The secret of the webhook, and another.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn hook(receiver: &Receiver, secret: &str) -> Value {
    json!([{"name": "hook", "webhook": {"url": receiver.url("/hook"), "secret": secret}}])
}

/// The entries that a webhook took, in the order of their arrival.
fn hooked(taken: &Value) -> Vec<Value> {
    let hooks = taken["hooks"].as_array().unwrap();
    hooks.iter().flat_map(|hook| hook["body"]["data"]["entries"].as_array().unwrap().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_logs_are_what_the_official_code_reads() {
    let (world, receiver) = (World::new().await, Receiver::start("").await);
    let gateway = world.gateway(&json!([{"name": "otel", "otlp": receiver.url("")}])).await;
    call(&gateway, "echo").await;
    let entries = world.entries().await;
    let taken = receiver.taken_when(|taken| logs(taken).len() >= entries.len()).await;
    assert_eq!(taken["wrong"], json!([]));
    for (log, entry) in logs(&taken).iter().zip(&entries) {
        let line: Value = serde_json::from_str(log["body"].as_str().unwrap()).unwrap();
        assert_eq!(&line, &Value::Object(entry.clone()));
        assert_eq!(log["trace"], entry["trace_id"]);
        assert_eq!(log["time"].as_i64().unwrap(), entry["at_ms"].as_i64().unwrap() * 1_000_000);
        assert_eq!(log["attributes"]["portcullis.seq"], entry["seq"]);
        assert_eq!(log["attributes"].get("portcullis.tool"), Some(&entry["tool"]).filter(|tool| !tool.is_null()));
        assert_eq!(log["resource"]["service.name"], "portcullis");
        assert_eq!(log["resource"]["service.instance.id"], entry["instance"]);
        assert_eq!((&log["severity"], &log["number"]), (&json!("INFO"), &json!(9)));
    }

    // A collector that takes a part of a batch says how many, and not which.
    receiver.behave(&json!({"partial": 1})).await;
    call(&gateway, "echo").await;
    sink_says(&gateway, "otel", "entries set aside").await;
    assert!(metric(&gateway, "portcullis_sink_set_aside_total", "otel").await >= 1.0);
}

/// The entries among the log records.
fn logs(taken: &Value) -> Vec<Value> {
    let logs = taken["logs"].as_array().unwrap();
    logs.iter().filter(|log| log["event"] == "portcullis.audit.entry").cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_signed_and_sent_again_under_the_same_id() {
    let (world, receiver) = (World::new().await, Receiver::start(SECRET).await);
    receiver.behave(&json!({"status": 503})).await;
    let gateway = world.gateway(&hook(&receiver, SECRET)).await;
    call(&gateway, "echo").await;
    sink_says(&gateway, "hook", "status 503").await;
    let tried = receiver.taken_when(|taken| taken["tries"].as_array().unwrap().len() >= 3).await;
    let ids = tried["tries"].as_array().unwrap();
    assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(tried["hooks"], json!([]));

    receiver.behave(&json!({"status": 200})).await;
    let entries = world.entries().await;
    let taken = receiver.taken_when(|taken| hooked(taken).len() >= entries.len()).await;
    assert_eq!(taken["wrong"], json!([]));
    assert_eq!(taken["hooks"][0]["id"], ids[0]);
    assert_eq!(taken["hooks"][0]["body"]["type"], "portcullis.audit.entries");
    assert_eq!(hooked(&taken), entries.into_iter().map(Value::Object).collect::<Vec<_>>());
    sink_says(&gateway, "hook", "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_not_followed_elsewhere_and_ends_when_it_is_gone() {
    let (world, receiver, other) = (World::new().await, Receiver::start(SECRET).await, Receiver::start(SECRET).await);
    receiver.behave(&json!({"status": 307, "location": other.url("/hook")})).await;
    let gateway = world.gateway(&hook(&receiver, SECRET)).await;
    call(&gateway, "echo").await;
    sink_says(&gateway, "hook", "redirects are not followed").await;
    assert_eq!(other.taken().await["tries"], json!([]));

    receiver.behave(&json!({"status": 410})).await;
    sink_says(&gateway, "hook", "disabled").await;
    assert_eq!(metric(&gateway, "portcullis_sink_up", "hook").await, 0.0);
    let tries = receiver.taken().await["tries"].clone();
    receiver.behave(&json!({"status": 200})).await;
    call(&gateway, "echo").await;
    sink_says(&gateway, "hook", "disabled").await;
    assert_eq!(receiver.taken().await["tries"], tries, "nobody asks it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_used_without_a_restart() {
    let (world, receiver) = (World::new().await, Receiver::start(SECRET).await);
    let gateway = world.gateway(&hook(&receiver, OTHER)).await;
    call(&gateway, "echo").await;
    sink_says(&gateway, "hook", "status 500").await;
    let wrong = receiver.taken().await["wrong"].to_string();
    assert!(wrong.contains("WebhookVerificationError"), "{wrong}");

    replace(&gateway, &world, &hook(&receiver, SECRET));
    let entries = world.entries().await;
    let taken = receiver.taken_when(|taken| hooked(taken).len() >= entries.len()).await;
    assert_eq!(hooked(&taken).len(), entries.len());
    sink_says(&gateway, "hook", "ok").await;

    replace(&gateway, &world, &json!([]));
    wait_until("it is forgotten", PATIENCE, async || {
        let is_gone = gateway.readiness().await["sinks"].is_null();
        (is_gone && !gateway.metrics().await.contains("portcullis_sink_up{")).then_some(())
    })
    .await;
}

/// Puts other sinks into the gateway's file.
fn replace(gateway: &Gateway, world: &World, sinks: &Value) {
    let (new, file) = (gateway.dir().join("gateway.new"), gateway.dir().join("gateway.yaml"));
    std::fs::write(&new, format!("{:#}\n", world.setup(sinks).gateway)).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_holds_up_no_call_and_no_other_sink() {
    let (world, receiver) = (World::new().await, Receiver::start(SECRET).await);
    receiver.behave(&json!({"hang": true})).await;
    let path = world.folder.path().join("audit.jsonl");
    let mut sinks = hook(&receiver, SECRET);
    sinks.as_array_mut().unwrap().push(json!({"name": "archive", "file": path}));
    let mut gateway = world.gateway(&sinks).await;
    let load = Load::start(&gateway, 2);
    receiver.taken_when(|taken| taken["tries"].as_array().unwrap().len() == 1).await;
    let before = lines(&path).len();
    wait_until("the other sink goes on", PATIENCE, async || (lines(&path).len() >= before + 100).then_some(())).await;
    wait_until("it is known how far behind it is", PATIENCE, async || {
        let behind = metric(&gateway, "portcullis_sink_behind_entries", "hook").await;
        (behind >= 100.0).then_some(())
    })
    .await;
    assert!(load.stop().await > 0);
    assert_eq!(receiver.taken().await["tries"].as_array().unwrap().len(), 1, "the first try has not ended");

    await_lines(&path, &world.entries().await).await;
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await, "it ends all the same");
    assert_same(&lines(&path), &world.entries().await);
}
