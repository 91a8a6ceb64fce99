//! Sinks that are files and standard output.

use super::{World, await_lines, call, is_row, lines, sink_says};
use crate::support::postgres::assert_same;
use crate::support::process::{PATIENCE, wait_until};
use serde_json::{Map, Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_every_row_also_after_it_was_renamed_and_after_a_kill() {
    let world = World::new().await;
    let (path, old) = (world.folder.path().join("audit.jsonl"), world.folder.path().join("audit.jsonl.1"));
    let sinks = json!([{"name": "archive", "file": path}]);
    let mut gateway = world.gateway(&sinks).await;
    call(&gateway, "echo").await;
    let first = world.entries().await;
    await_lines(&path, &first).await;

    std::fs::rename(&path, &old).unwrap();
    call(&gateway, "echo").await;
    let second = world.entries().await;
    await_lines(&path, &second[first.len()..]).await;
    assert_same(&lines(&old), &first);

    gateway.process.signal("-KILL");
    gateway.process.end().await;
    // What a write leaves that breaks off half-way.
    let mut text = std::fs::read_to_string(&path).unwrap();
    let half = text.lines().next().unwrap()[..100].to_owned();
    text.push_str(&half);
    std::fs::write(&path, text).unwrap();
    let gateway = world.gateway(&sinks).await;
    call(&gateway, "echo").await;
    let third = world.entries().await;
    await_lines(&path, &third[first.len()..]).await;
    sink_says(&gateway, "archive", "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_has_every_row_when_the_gateway_ends() {
    let world = World::new().await;
    let mut gateway = world.gateway(&json!([{"name": "out", "file": "-"}])).await;
    for _ in 0..3 {
        call(&gateway, "echo").await;
    }
    let printed = |lines: Vec<String>| -> Vec<Map<String, Value>> {
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).filter(is_row).collect()
    };
    let entries = world.entries().await;
    wait_until("what is there is printed", PATIENCE, async || {
        (printed(gateway.process.lines()).len() >= entries.len()).then_some(())
    })
    .await;
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    assert_same(&printed(gateway.process.lines()), &world.entries().await);
}
