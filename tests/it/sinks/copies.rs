//! Copies in a real Postgres, checked where they lie: whatever somebody with the database does to them is found and named.

use super::{World, call, metric, sink_says};
use crate::support::gateway::{BINARY, Gateway};
use crate::support::postgres::Postgres;
use crate::support::process::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::process::Command;

fn sinks(url: &str) -> Value {
    json!([{"name": "warehouse", "postgres": url}])
}

/// What `portcullis audit` says, beside the gateway's configuration, and whether all is right.
fn audit(gateway: &Gateway, arguments: &[&str], url: &str) -> (bool, String) {
    let mut command = Command::new(BINARY);
    command.arg("audit").args(arguments).env("AUDIT_DATABASE", url).current_dir(gateway.dir());
    let done = command.output().unwrap();
    (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

fn verify_sink(gateway: &Gateway) -> (bool, String) {
    audit(gateway, &["verify", "--config", "gateway.yaml", "--sink", "warehouse"], "")
}

/// Changes of a copy of `rows` rows, and what is said of each; `signed` is a checkpoint before the last one.
fn changes(rows: usize, signed: i64) -> Vec<(String, String)> {
    let entries = "portcullis_audit_entries";
    let update = |what: &str, said: &str| (format!("UPDATE {entries} SET {what}"), said.to_owned());
    let delete = |which: &str, said: String| (format!("DELETE FROM {entries} WHERE {which}"), said);
    let cut = |last: i64| format!("the end is cut off: there are {last} rows");
    let last = i64::try_from(rows).unwrap();
    vec![
        update("subject = 'bob' WHERE seq = 3", "row 3 is not as it was written"),
        update("status = 200 WHERE seq = 3", "row 3 is not as it was written"),
        update("detail = '' WHERE seq = 3", "row 3 is not as it was written"),
        update("hash = decode(repeat('00', 32), 'hex') WHERE seq = 3", "row 3 is not as it was written"),
        update("hash = '\\x00' WHERE seq = 3", "row 3 can't be read"),
        update("seq = 7 - seq WHERE seq IN (3, 4)", "row 3 is not as it was written"),
        update("seq = 3 WHERE seq = 4", "row 3"),
        update("instance = 'other' WHERE seq = 3", "rows 3 to 3 are missing"),
        delete("seq = 3", "rows 3 to 3 are missing".into()),
        delete("seq <= 3", "rows 1 to 3 are missing".into()),
        delete("seq IN (3, 4, 5)", "rows 3 to 5 are missing".into()),
        delete(&format!("seq = {last}"), cut(last - 1)),
        // With the checkpoints that tell, so that only the journal knows.
        delete(&format!("seq > {signed}; DELETE FROM portcullis_audit_checkpoints WHERE size > {signed}"), cut(signed)),
        delete("true", "holds no row of the journal".into()),
        (
            format!(
                "CREATE TEMP TABLE another AS SELECT * FROM {entries} WHERE seq = 3; \
                 UPDATE another SET event_id = 'another'; INSERT INTO {entries} SELECT * FROM another"
            ),
            "row 3".into(),
        ),
        (
            "UPDATE portcullis_audit_checkpoints SET line = replace(line, 'time 2', 'time 3')".into(),
            "can't be relied on".into(),
        ),
        (
            "DELETE FROM portcullis_audit_checkpoints; DROP TABLE portcullis_audit_entries CASCADE".into(),
            "holds no record".into(),
        ),
    ]
}

/// A copy that two runs of a gateway have shipped, and the last of them, which has ended; a checkpoint stands for each run.
async fn shipped(world: &World, postgres: &Postgres) -> Gateway {
    for _ in 0..2 {
        let mut gateway = world.gateway(&sinks(&postgres.url("admin"))).await;
        for _ in 0..3 {
            call(&gateway, "echo").await;
        }
        postgres.await_entries(&world.entries().await).await;
        gateway.process.signal("-TERM");
        assert!(gateway.process.end().await);
        if world.entries().await.len() >= 12 {
            return gateway;
        }
    }
    panic!("two runs leave twelve rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_a_copy_in_postgres_is_named() {
    let (world, postgres) = (World::new().await, Postgres::start().await);
    let gateway = shipped(&world, &postgres).await;
    let rows = world.entries().await.len();
    let whole = format!("rows 1 to {rows} are whole");
    let (is_right, said) = verify_sink(&gateway);
    assert!(is_right && said.contains(&whole), "{said}");
    let checkpoints = postgres.rows("portcullis_audit_checkpoints", "size").await;
    let signed = checkpoints[checkpoints.len() - 2]["size"].as_i64().unwrap();
    assert!(signed > 5 && signed < i64::try_from(rows).unwrap(), "{signed}");

    let tables = ["portcullis_audit_entries", "portcullis_audit_checkpoints"];
    for table in tables {
        postgres.run(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    for (sql, expected) in changes(rows, signed) {
        postgres.run(&sql).await;
        let (is_right, said) = verify_sink(&gateway);
        assert!(!is_right && said.contains(&expected), "{sql}: {said}");
        if !sql.contains("DROP TABLE") {
            for table in tables {
                postgres.run(&format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept_{table}")).await;
            }
            assert!(verify_sink(&gateway).0, "after {sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_checked_without_the_gateway_and_without_a_password_in_the_command() {
    let (world, postgres) = (World::new().await, Postgres::start().await);
    let url = postgres.url("admin");
    let gateway = shipped(&world, &postgres).await;
    let key = world.folder.path().join("journal.db.pub");
    let verify = |more: &[&str], url: &str| {
        let plain = ["verify", "--postgres-env", "AUDIT_DATABASE", "--key", key.to_str().unwrap()];
        audit(&gateway, &[&plain, more].concat(), url)
    };
    let (is_right, said) = verify(&[], &url);
    assert!(is_right && said.contains("are whole"), "{said}");
    for (wrong, expected) in [
        ("postgres://x:secret@nowhere:port/", "can't be read"),
        ("postgres://admin:secret@127.0.0.1:1/x", "can't be read"),
    ] {
        let (is_right, said) = verify(&[], wrong);
        assert!(!is_right && said.contains(expected) && !said.contains("secret"), "{said}");
    }
    assert!(
        !audit(&gateway, &["verify", "--postgres-env", "AUDIT_DATABASE"], &url).0,
        "whose signature counts is said"
    );

    postgres.run("CREATE TABLE more AS TABLE portcullis_audit_entries; UPDATE more SET instance = 'b', event_id = 'b' || event_id; INSERT INTO portcullis_audit_entries SELECT * FROM more").await;
    let (is_right, said) = verify(&[], &url);
    assert!(!is_right && said.contains("name one with --instance"), "{said}");
    let instance = world.entries().await[0]["instance"].as_str().unwrap().to_owned();
    assert!(verify(&["--instance", &instance], &url).0);
    let (is_right, said) = verify(&["--instance", "b"], &url);
    assert!(!is_right && said.contains("row 1 is not as it was written"), "{said}");
    assert!(verify_sink(&gateway).0, "the journal's own rows are meant");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_set_aside_are_sent_again_once_the_sink_is_mended() {
    let (world, mut postgres) = (World::new().await, Postgres::start().await);
    let schema = Command::new(BINARY).args(["audit", "schema"]).output().unwrap();
    postgres.run(&String::from_utf8(schema.stdout).unwrap()).await;
    postgres.run("ALTER TABLE portcullis_audit_entries ADD CONSTRAINT taste CHECK (tool <> 'one.poison')").await;
    let gateway = world.gateway(&sinks(&postgres.url("admin"))).await;
    for tool in ["echo", "poison", "echo", "poison", "echo"] {
        call(&gateway, tool).await;
    }
    let entries = world.entries().await;
    sink_says(&gateway, "warehouse", "ok; 4 entries set aside").await;
    wait_until("the others are there", PATIENCE, async || {
        (metric(&gateway, "portcullis_sink_behind_entries", "warehouse").await == 0.0).then_some(())
    })
    .await;
    let resend = |more: &[&str]| {
        audit(&gateway, &[&["resend", "--config", "gateway.yaml", "--sink", "warehouse"], more].concat(), "")
    };
    let (is_right, said) = resend(&["--list"]);
    assert!(is_right && said.lines().count() == 4 && said.matches("\"taste\" (SQLSTATE 23514)").count() == 4, "{said}");
    let (is_right, said) = resend(&[]);
    assert!(!is_right && said.contains("refused again") && said.contains("0 sent; 4 are still set aside"), "{said}");
    let (is_right, said) = verify_sink(&gateway);
    assert!(!is_right && said.contains("are missing") && said.contains("4 entries were set aside"), "{said}");

    postgres.stop().await;
    let (is_right, said) = resend(&[]);
    assert!(!is_right && said.contains("what was not sent is still set aside"), "{said}");
    postgres.resume().await;
    postgres.run("ALTER TABLE portcullis_audit_entries DROP CONSTRAINT taste").await;
    let (is_right, said) = resend(&[]);
    assert!(is_right && said.contains("ok: 4 sent, none is set aside"), "{said}");
    let (is_right, said) = resend(&["--list"]);
    assert!(is_right && said.is_empty(), "{said}");
    postgres.await_entries(&entries).await;
    wait_until("the gateway knows", PATIENCE, async || {
        (gateway.readiness().await["sinks"]["warehouse"] == "ok").then_some(())
    })
    .await;
    sink_says(&gateway, "warehouse", "ok").await;
    let (is_right, said) = audit(&gateway, &["resend", "--config", "gateway.yaml", "--sink", "nowhere"], "");
    assert!(!is_right && said.contains("it has: warehouse"), "{said}");
}
