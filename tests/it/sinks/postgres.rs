//! A sink in Postgres: each row once, whatever ends or fails in between.

use super::{Load, World, call, metric, sink_says};
use crate::support::gateway::BINARY;
use crate::support::postgres::{Postgres, assert_same};
use crate::support::process::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How often the gateway is killed while it ships.
const KILLS: usize = 4;

/// How long Postgres is away, at least.
const OUTAGE: Duration = Duration::from_secs(4);

fn sinks(url: &str) -> Value {
    json!([{"name": "warehouse", "postgres": url}])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_arrives_once_however_often_it_is_sent() {
    let (world, postgres) = (World::new().await, Postgres::start().await);
    let sinks = sinks(&postgres.url("admin"));
    let gateway = world.gateway(&sinks).await;
    for _ in 0..3 {
        call(&gateway, "echo").await;
    }
    let entries = world.entries().await;
    postgres.await_entries(&entries).await;
    wait_until("the gateway knows", PATIENCE, async || {
        let behind = metric(&gateway, "portcullis_sink_behind_entries", "warehouse").await;
        (behind == 0.0).then_some(())
    })
    .await;
    assert_eq!(metric(&gateway, "portcullis_sink_shipped_total", "warehouse").await, entries.len() as f64);
    assert_eq!(metric(&gateway, "portcullis_sink_up", "warehouse").await, 1.0);
    sink_says(&gateway, "warehouse", "ok").await;
    drop(gateway);

    // Without its book a gateway sends everything again.
    for name in ["journal.sinks.db", "journal.sinks.db-wal", "journal.sinks.db-shm"] {
        let _ = std::fs::remove_file(world.folder.path().join(name));
    }
    let gateway = world.gateway(&sinks).await;
    call(&gateway, "echo").await;
    let more = world.entries().await;
    assert!(more.len() > entries.len());
    postgres.await_entries(&more).await;
    wait_until("all is sent again", PATIENCE, async || {
        let shipped = metric(&gateway, "portcullis_sink_shipped_total", "warehouse").await;
        (shipped == more.len() as f64).then_some(())
    })
    .await;
    assert_same(&postgres.entries().await, &more);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_a_while_loses_nothing_and_fails_no_call() {
    let (world, mut postgres) = (World::new().await, Postgres::start().await);
    let gateway = world.gateway(&sinks(&postgres.url("admin"))).await;
    let load = Load::start(&gateway, 4);
    wait_until("rows arrive", PATIENCE, async || (!postgres.entries().await.is_empty()).then_some(())).await;

    postgres.stop().await;
    let away = Instant::now();
    sink_says(&gateway, "warehouse", "failing").await;
    wait_until("it is away for a while", PATIENCE, async || (away.elapsed() >= OUTAGE).then_some(())).await;
    assert!(metric(&gateway, "portcullis_sink_behind_entries", "warehouse").await > 0.0);
    assert_eq!(metric(&gateway, "portcullis_sink_up", "warehouse").await, 0.0);
    postgres.resume().await;
    let outage = away.elapsed();
    let back = Instant::now();
    wait_until("the backlog is gone", PATIENCE, async || {
        let behind = metric(&gateway, "portcullis_sink_behind_seconds", "warehouse").await;
        (behind == 0.0 && metric(&gateway, "portcullis_sink_up", "warehouse").await == 1.0).then_some(())
    })
    .await;
    println!("away for {outage:?}, its backlog gone {:?} after, under load", back.elapsed());
    let answers = load.stop().await;
    let entries = world.entries().await;
    assert!(entries.len() >= 2 * answers, "{} rows of {answers} calls", entries.len());
    postgres.await_entries(&entries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_is_set_aside_and_the_others_go_on() {
    let (world, postgres) = (World::new().await, Postgres::start().await);
    let schema = Command::new(BINARY).args(["audit", "schema"]).output().unwrap();
    let schema = String::from_utf8(schema.stdout).unwrap();
    // Twice, as its words promise.
    postgres.run(&schema).await;
    postgres.run(&schema).await;
    postgres.run("ALTER TABLE portcullis_audit_entries ADD CONSTRAINT taste CHECK (tool <> 'one.poison')").await;
    let gateway = world.gateway(&sinks(&postgres.url("admin"))).await;
    for tool in ["echo", "poison", "echo", "poison", "echo"] {
        call(&gateway, tool).await;
    }
    let entries = world.entries().await;
    let (poison, good): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry["tool"] == "one.poison");
    assert_eq!((poison.len(), good.len() >= 6), (4, true));
    postgres.await_entries(&good).await;
    wait_until("all four are set aside", PATIENCE, async || {
        let set_aside = metric(&gateway, "portcullis_sink_set_aside_total", "warehouse").await;
        (set_aside == 4.0).then_some(())
    })
    .await;
    sink_says(&gateway, "warehouse", "ok; 4 entries set aside").await;
    let logged = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("set aside"));
    let logged = wait_until("the log says so of each", PATIENCE, async || {
        Some(gateway.log().into_iter().filter(logged).collect::<Vec<_>>()).filter(|lines| lines.len() >= 4)
    })
    .await;
    assert_eq!(logged.len(), 4);
    assert!(logged[0]["reason"].as_str().unwrap().contains("\"taste\" (SQLSTATE 23514)"), "{:?}", logged[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_while_it_ships_loses_nothing_and_doubles_nothing() {
    let (world, postgres) = (World::new().await, Postgres::start().await);
    let sinks = sinks(&postgres.url("admin"));
    let mut shipped = 0;
    for _ in 0..KILLS {
        let mut gateway = world.gateway(&sinks).await;
        let load = Load::start(&gateway, 4);
        let enough = shipped + 40;
        wait_until("rows arrive", PATIENCE, async || (postgres.entries().await.len() >= enough).then_some(())).await;
        gateway.process.signal("-KILL");
        assert!(!gateway.process.end().await);
        load.stop().await;
        shipped = postgres.entries().await.len();
    }
    let _gateway = world.gateway(&sinks).await;
    postgres.await_entries(&world.entries().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_add_and_read_is_enough() {
    let (world, postgres) = (World::new().await, Postgres::start().await);
    postgres.run("CREATE ROLE gateway LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let gateway = world.gateway(&sinks(&postgres.url("gateway"))).await;
    call(&gateway, "echo").await;
    sink_says(&gateway, "warehouse", "portcullis audit schema").await;
    let schema = Command::new(BINARY).args(["audit", "schema"]).output().unwrap();
    postgres.run(&String::from_utf8(schema.stdout).unwrap()).await;
    sink_says(&gateway, "warehouse", "grant the role SELECT and INSERT").await;
    postgres
        .run(
            "GRANT SELECT, INSERT ON portcullis_audit_entries, portcullis_audit_checkpoints TO gateway; \
             GRANT SELECT ON portcullis_audit_version TO gateway",
        )
        .await;
    postgres.await_entries(&world.entries().await).await;
    sink_says(&gateway, "warehouse", "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_can_be_checked_as_the_journal_can() {
    let (world, postgres) = (World::new().await, Postgres::start().await);
    let file = world.folder.path().join("audit.jsonl");
    let mut sinks = sinks(&postgres.url("admin"));
    sinks.as_array_mut().unwrap().push(json!({"name": "archive", "file": file}));
    let mut gateway = world.gateway(&sinks).await;
    for _ in 0..3 {
        call(&gateway, "echo").await;
    }
    postgres.await_entries(&world.entries().await).await;
    super::await_lines(&file, &world.entries().await).await;
    // The last checkpoint is made when it ends.
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    let verify = |export: &Path| {
        let mut command = Command::new(BINARY);
        command.args(["audit", "verify", "--key"]).arg(world.folder.path().join("journal.db.pub"));
        let output = command.arg("--export").arg(export).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let lines = async || {
        let export = world.folder.path().join("postgres.jsonl");
        std::fs::write(&export, postgres.lines().await).unwrap();
        export
    };
    let rows = world.entries().await.len();
    for export in [file.clone(), lines().await] {
        let (is_right, said) = verify(&export);
        assert!(is_right && said.contains(&format!("rows 1 to {rows} are whole")), "{said}");
        assert!(said.contains(&format!("of rows up to {rows}")), "{said}");
    }
    postgres.run("UPDATE portcullis_audit_entries SET subject = 'bob' WHERE seq = 3").await;
    let (is_right, said) = verify(&lines().await);
    assert!(!is_right && said.contains("row 3 is not as it was written"), "{said}");
}
