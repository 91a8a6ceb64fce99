//! How long rows are kept, and what comes of a journal that fills up meanwhile.

use super::{World, call};
use crate::support::gateway::{BINARY, Gateway, JOURNAL_DEADLINE, Setup};
use crate::support::http::Response;
use crate::support::journal;
use crate::support::peers::Receiver;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use serde_json::{Value, json};
use std::process::Command;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn setup(world: &World, receiver: &Receiver) -> Setup {
    let sinks = json!([{"name": "hook", "webhook": {"url": receiver.url("/hook"), "secret": SECRET}}]);
    let journal = json!({"path": world.journal(), "deadline": JOURNAL_DEADLINE, "sinks": sinks, "keep": "1s", "max_bytes": "2MiB"});
    Setup::new(&[("one", world.upstream.url())], super::POLICY).with("journal", journal)
}

/// A call with as many arguments as a row keeps.
async fn large(gateway: &Gateway) -> Response {
    gateway.modern_call("one", &token("ana", &["tester"]), "echo", &json!({"text": "x".repeat(8000)})).await
}

async fn figure(gateway: &Gateway, name: &str) -> f64 {
    let text = gateway.metrics().await;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap()
}

fn is_logged(gateway: &Gateway, words: &str) -> bool {
    gateway.log().iter().any(|line| line["message"].as_str().is_some_and(|said| said.contains(words)))
}

async fn first(world: &World) -> i64 {
    journal::entries(&world.journal()).await[0]["seq"].as_i64().unwrap()
}

/// The numbers of the rows that the receiver took.
fn taken(taken: &Value) -> Vec<i64> {
    let hooks = taken["hooks"].as_array().unwrap();
    let entries = hooks.iter().flat_map(|hook| hook["body"]["data"]["entries"].as_array().unwrap());
    entries.map(|entry| entry["seq"].as_i64().unwrap()).collect()
}

/// Segments of a signed journal that are old; their rows are in no sink yet.
async fn old_segments(world: &World, receiver: &Receiver) {
    for _ in 0..3 {
        let mut gateway = setup(world, receiver).start().await;
        for _ in 0..3 {
            call(&gateway, "echo").await;
        }
        gateway.process.signal("-TERM");
        gateway.process.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_away_keeps_old_rows_until_the_journal_is_full_and_both_resume_by_themselves() {
    let (world, receiver) = (World::new().await, Receiver::start(SECRET).await);
    receiver.behave(&json!({"status": 503})).await;
    old_segments(&world, &receiver).await;

    let gateway = setup(&world, &receiver).start().await;
    let mut answers = Vec::new();
    wait_until("it is said that the journal is nearly full", 4 * PATIENCE, async || {
        answers.push(large(&gateway).await);
        (figure(&gateway, "portcullis_audit_nearly_full").await == 1.0).then_some(())
    })
    .await;
    assert!(answers.iter().all(|answer| answer.status == 200), "the alarm comes before the refusals");
    let is_said = async || is_logged(&gateway, "the journal is nearly full").then_some(());
    wait_until("the log says so too", PATIENCE, is_said).await;
    wait_until("a call is refused", 4 * PATIENCE, async || {
        answers.push(large(&gateway).await);
        (answers.last()?.status == 503).then_some(())
    })
    .await;
    let readiness = gateway.readiness().await;
    assert!(
        readiness["status"] == "not ready" && readiness["journal"].as_str().unwrap().contains("full"),
        "{readiness}"
    );
    let seen = world.upstream.calls().len();
    wait_until("it is said for whom rows are kept", PATIENCE, async || {
        is_logged(&gateway, "rows of the journal are kept though their time is over").then_some(())
    })
    .await;
    assert_eq!(first(&world).await, 1, "nothing is removed that the sink has not taken");
    assert_eq!(large(&gateway).await.status, 503);
    assert_eq!(world.upstream.calls().len(), seen, "what is refused is not sent");

    receiver.behave(&json!({"status": 200})).await;
    wait_until("calls run again", PATIENCE, async || (large(&gateway).await.status == 200).then_some(())).await;
    assert!(first(&world).await > 1);
    assert_eq!(figure(&gateway, "portcullis_audit_dropped_total").await, 0.0);
    let entries = world.entries().await;
    let last = entries.last().unwrap()["seq"].as_i64().unwrap();
    let all = receiver.taken_when(|all| taken(all).len() >= usize::try_from(last).unwrap()).await;
    assert!(
        taken(&all).into_iter().take(usize::try_from(last).unwrap()).eq(1..=last),
        "the sink has every row, in order"
    );
    assert!(entries.iter().any(|entry| entry["method"] == "journal/retention"), "a row says what was removed");
    assert_verified(&["--journal", world.journal().to_str().unwrap()]);
    let mut gateway = gateway;
    gateway.process.signal("-TERM");
    gateway.process.end().await;
    a_sink_that_comes_later_begins_with_the_checkpoint_of_what_is_gone(&world, &receiver).await;
}

fn assert_verified(arguments: &[&str]) {
    let verified = Command::new(BINARY).args(["audit", "verify"]).args(arguments).output().unwrap();
    let said = String::from_utf8([verified.stdout, verified.stderr].concat()).unwrap();
    assert!(
        verified.status.success() && said.contains("were removed; the checkpoint that ended them is signed"),
        "{said}"
    );
    assert!(!said.contains("no row says that the gateway removed them"), "{said}");
}

async fn a_sink_that_comes_later_begins_with_the_checkpoint_of_what_is_gone(world: &World, receiver: &Receiver) {
    let file = world.folder.path().join("later.jsonl");
    let hook = json!({"name": "hook", "webhook": {"url": receiver.url("/hook"), "secret": SECRET}});
    let gateway = world.gateway(&json!([hook, {"name": "later", "file": file}])).await;
    call(&gateway, "echo").await;
    let entries = world.entries().await;
    wait_until("the file has every row", PATIENCE, async || (super::lines(&file).len() >= entries.len()).then_some(()))
        .await;
    assert!(is_logged(&gateway, "the sink does not get these rows"));
    let key = format!("{}.pub", world.journal().display());
    assert_verified(&["--export", file.to_str().unwrap(), "--key", &key]);
}
