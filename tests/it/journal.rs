//! The journal of the real gateway, when things go wrong around it: the disk, the process, another one. What holds in
//! each case: no call that is not on record reaches an upstream, and the process goes on by itself once it can.

use crate::support::gateway::{BINARY, Gateway, JOURNAL_DEADLINE, Setup, modern_call};
use crate::support::http::{Connection, Response, Version};
use crate::support::journal;
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Seen, Speaks, Upstream};
use serde_json::{Map, Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.echo", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

const MODES: [&str; 3] = ["async", "journaled", "synced"];

/// How often the gateway is killed while it serves; `make soak` says more.
fn kills() -> usize {
    std::env::var("PORTCULLIS_KILLS").map_or(50, |kills| kills.parse().unwrap())
}

/// Runs `portcullis audit verify` on the journal; what it says, and whether all is right.
fn verify(path: &Path, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(BINARY);
    let done = command.args(["audit", "verify", "--journal"]).arg(path).args(more).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

async fn recorder() -> Upstream {
    Upstream::start(Speaks::Modern, vec![json!({"name": "echo", "inputSchema": {"type": "object"}})]).await
}

fn setup(upstream: &Upstream, path: &Path, journal: &Value) -> Setup {
    let mut all = json!({"path": path});
    all.as_object_mut().unwrap().extend(journal.as_object().unwrap().clone());
    Setup::new(&[("one", upstream.url())], POLICY).with("journal", all)
}

async fn call(gateway: &Gateway) -> Response {
    gateway.modern_call("one", &token("ana", &["tester"]), "echo", &json!({})).await
}

fn request_id(response: &Response) -> String {
    response.header("x-request-id").unwrap().to_owned()
}

fn request_ids(seen: &[Seen]) -> BTreeSet<String> {
    seen.iter().map(|seen| seen.header("x-request-id").unwrap().to_owned()).collect()
}

fn assert_refused(response: &Response) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.message()["error"]["code"], -31503);
    assert_eq!(response.header("retry-after"), Some("1"));
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = gateway.metrics().await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Calls until one is refused because it can't be recorded; gives all answers, that one last.
async fn until_refused(gateway: &Gateway) -> Vec<Response> {
    let mut answers = Vec::new();
    wait_until("a call is refused", PATIENCE, async || {
        answers.push(call(gateway).await);
        (answers.last()?.status != 200).then_some(())
    })
    .await;
    assert_refused(answers.last().unwrap());
    answers
}

/// Waits until calls run again; gives all answers, a good one last.
async fn until_served(gateway: &Gateway) -> Vec<Response> {
    let mut answers = Vec::new();
    wait_until("calls run again", PATIENCE, async || {
        answers.push(call(gateway).await);
        (answers.last()?.status == 200).then_some(())
    })
    .await;
    answers
}

/// Each of these answers has one row, which says what the client was told, and the upstream has seen no other call.
async fn assert_recorded(gateway: &Gateway, upstream: &Upstream, answers: &[Response]) {
    let rows = gateway.ended_calls(answers.len(), |_| true).await;
    let rows: BTreeMap<_, _> = rows.iter().map(|row| (row["request_id"].as_str().unwrap(), row)).collect();
    assert_eq!(rows.len(), answers.len());
    let mut run = BTreeSet::new();
    for answer in answers {
        let (id, refused) = (request_id(answer), answer.status == 503);
        let row = rows[id.as_str()];
        assert_eq!(row["outcome"], if refused { "refused" } else { "ok" }, "{row:?}");
        assert_eq!(row["error"], if refused { json!("journal_unavailable") } else { Value::Null }, "{row:?}");
        if !refused {
            run.insert(id);
        }
    }
    let seen = upstream.calls();
    assert_eq!((request_ids(&seen), seen.len()), (run.clone(), run.len()));
}

/// A disk of its own, so small that a test can fill it. It goes with this value.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let mut command = Command::new("mount");
        let done = command.args(["-t", "tmpfs", "-o", "size=10m", "tmpfs"]).arg(disk.0.path()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "a small disk can't be mounted, which takes root and CAP_SYS_ADMIN: {said}");
        disk
    }

    fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.path().join("filler")).unwrap();
        // First in large pieces, then to the last byte.
        for piece in [64 << 10, 4096, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: after a failure something may still be open.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_calls_until_there_is_room_again() {
    for mode in MODES {
        let (upstream, disk) = (recorder().await, Disk::mount());
        let path = disk.0.path().join("journal.db");
        let gateway = setup(&upstream, &path, &json!({"durability": mode})).start().await;
        let mut answers = vec![call(&gateway).await];
        assert_eq!(answers[0].status, 200);

        disk.fill();
        answers.extend(until_refused(&gateway).await);
        let seen = upstream.calls().len();
        for _ in 0..20 {
            answers.push(call(&gateway).await);
            assert_refused(answers.last().unwrap());
        }
        assert_eq!(upstream.calls().len(), seen, "{mode}");
        let readiness = gateway.readiness().await;
        assert_eq!(readiness["status"], "not ready", "{mode}");
        let reason = readiness["journal"].as_str().unwrap();
        assert!(reason.starts_with("failing since ") && reason.contains("full"), "{mode}: {reason}");
        assert_eq!(metric(&gateway, "portcullis_audit_failing").await, 1.0);
        assert!(metric(&gateway, "portcullis_audit_backlog_entries").await >= 20.0);

        disk.clear();
        answers.extend(until_served(&gateway).await);
        assert_recorded(&gateway, &upstream, &answers).await;
        assert_eq!(gateway.readiness().await["status"], "ready");
        assert_eq!(metric(&gateway, "portcullis_audit_failing").await, 0.0);
        assert_eq!(metric(&gateway, "portcullis_audit_dropped_total").await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_another_program_holds_costs_the_deadline_and_no_more() {
    let (upstream, dir) = (recorder().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    let gateway = setup(&upstream, &path, &json!({"deadline": "300ms"})).start().await;
    let mut answers = vec![call(&gateway).await];
    gateway.ended_calls(1, |_| true).await;

    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    answers.extend(until_refused(&gateway).await);
    assert_eq!(answers.len(), 2, "no call runs while the lock is held");
    // Nothing else waits for the journal: neither operators nor what needs no record.
    // The caller's patience may end a moment before the writer's own.
    let told = async || (gateway.readiness().await["status"] == "not ready").then_some(());
    wait_until("readiness tells of it", PATIENCE, told).await;
    assert!(gateway.send(&crate::support::http::Request::get("/healthz")).await.status == 200);

    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    answers.extend(until_served(&gateway).await);
    assert_recorded(&gateway, &upstream, &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_write_one_journal() {
    let upstream = recorder().await;
    let gateway = setup(&upstream, Path::new("journal.db"), &json!({})).start().await;
    let mut command = Command::new(BINARY);
    command.args(["serve", "--config", "gateway.yaml"]).current_dir(gateway.dir());
    let mut second = Process::spawn(&mut command);
    assert!(!second.end().await);
    let said = second.lines().join("\n");
    assert!(said.contains("journal.db is written by another process; stop that one"), "{said}");
    assert_eq!(call(&gateway).await.status, 200);
}

/// Calls until the gateway is gone.
async fn call_on(authority: String, user: usize) {
    let request = modern_call("one", "echo", &json!({})).bearer(&token(&format!("user-{user}"), &["tester"]));
    let mut connection = Connection::open(&authority, Version::Http1).await;
    while connection.exchange(&request).await.is_ok() {}
}

/// Kills of one journal. Each start checks it whole, so that a larger one would take ever longer.
const KILLS_OF_ONE: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_has_recorded_what_it_sent() {
    let all = kills();
    for begun in (0..all).step_by(KILLS_OF_ONE) {
        kill_often(KILLS_OF_ONE.min(all - begun)).await;
    }
}

/// Kills a gateway so often, with one journal, and compares the whole of that with what its upstream saw.
async fn kill_often(kills: usize) {
    let (upstream, dir) = (recorder().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("journal.db");
    let mut left_open = 0;
    for round in 0..kills {
        let before = upstream.calls().len();
        let mut gateway = setup(&upstream, &path, &json!({})).start().await;
        let open = intents_without_outcome(&path).await;
        assert!(open.is_empty(), "a start ends what the last run left open: {open:?}");
        let (right, said) = verify(&path, &[]);
        assert!(right, "round {round}: {said}");
        let authority = gateway.authority().to_owned();
        let clients: Vec<_> = (0..6).map(|user| tokio::spawn(call_on(authority.clone(), user))).collect();
        let enough = before + 3 + 7 * (round % 9);
        wait_until("calls are at the upstream", PATIENCE, async || (upstream.calls().len() >= enough).then_some(()))
            .await;
        gateway.process.signal("-KILL");
        assert!(!gateway.process.end().await);
        for client in clients {
            client.await.unwrap();
        }
        left_open += intents_without_outcome(&path).await.len();
    }
    let mut gateway = setup(&upstream, &path, &json!({})).start().await;
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await, "{}", gateway.process.lines().join("\n"));
    let (right, said) = verify(&path, &[]);
    assert!(right && !said.contains("not signed yet"), "at the end: {said}");

    let entries = journal::entries(&path).await;
    let ids = |kind: &str, key: &str| -> Vec<String> {
        let of_kind = entries.iter().filter(|entry| entry["kind"] == kind);
        of_kind.map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    };
    let (intents, outcomes) = (ids("intent", "request_id"), ids("outcome", "request_id"));
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    let seen = upstream.calls();
    assert!(request_ids(&seen).is_subset(&set(&intents)), "a call ran that is not on record");
    assert_eq!(request_ids(&seen).len(), seen.len(), "a call was sent twice");
    assert_eq!(
        (set(&intents).len(), set(&outcomes).len()),
        (intents.len(), outcomes.len()),
        "something is there twice"
    );
    assert_eq!(set(&intents), set(&outcomes));
    let unknown = entries.iter().filter(|entry| entry["kind"] == "outcome" && entry["outcome"] == "unknown").count();
    assert_eq!(unknown, left_open);
    assert_eq!(journal::calls(&path).await.len(), intents.len());
}

async fn intents_without_outcome(path: &Path) -> Vec<Map<String, Value>> {
    journal::calls(path).await.into_iter().filter(|call| call["outcome"].is_null()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_on_record_after_an_orderly_end() {
    for mode in MODES {
        let (upstream, dir) = (recorder().await, tempfile::tempdir().unwrap());
        let path = dir.path().join("journal.db");
        let mut gateway =
            setup(&upstream, &path, &json!({"durability": mode, "deadline": JOURNAL_DEADLINE})).start().await;
        let request = modern_call("one", "echo", &json!({})).bearer(&token("ana", &["tester"]));
        let mut connection = Connection::open(gateway.authority(), Version::Http1).await;
        for _ in 0..200 {
            assert_eq!(connection.exchange(&request).await.unwrap().status, 200);
        }
        gateway.process.signal("-TERM");
        assert!(gateway.process.end().await, "{mode}: {}", gateway.process.lines().join("\n"));
        assert!(!dir.path().join("journal.db-wal").exists(), "{mode}: the file is closed in good order");
        let (right, said) = verify(&path, &[]);
        assert!(right && !said.contains("not signed yet"), "{mode}: {said}");
        let calls = journal::calls(&path).await;
        assert_eq!(calls.iter().filter(|call| call["outcome"] == "ok").count(), 200, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_checked_and_each_row_is_proven_by_others() {
    let (upstream, dir) = (recorder().await, tempfile::tempdir().unwrap());
    let (path, outside) = (dir.path().join("journal.db"), dir.path().join("checkpoints"));
    let mut gateway = setup(&upstream, &path, &json!({"checkpoints": {"file": outside}})).start().await;
    for _ in 0..10 {
        assert_eq!(call(&gateway).await.status, 200);
    }
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    let log = gateway.process.lines().join("\n");
    assert!(log.contains("the journal is signed so far") && log.contains("\u{2014} "), "checkpoints are in the log");

    let (key, outside) = (dir.path().join("journal.db.pub"), outside.to_str().unwrap().to_owned());
    let (right, said) = verify(&path, &["--checkpoints", &outside, "--key", key.to_str().unwrap()]);
    assert!(right && said.contains("whole and as they were written"), "{said}");
    // The export knows of no checkpoints but its own.
    let (_, said) = verify(&path, &[]);
    let export = dir.path().join("export");
    let mut command = Command::new(BINARY);
    command.args(["audit", "export", "--checkpoints", "--journal"]).arg(&path).arg("--out").arg(&export);
    assert!(command.status().unwrap().success());
    let mut command = Command::new(BINARY);
    command.args(["audit", "verify", "--export"]).arg(&export).arg("--key").arg(&key);
    let done = command.output().unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), said, "an export is as good as the journal");
    let rows = journal::entries(&path).await;
    let proof = dir.path().join("proof.json");
    for row in rows.iter().step_by(5) {
        let event = row["event_id"].as_str().unwrap();
        let mut command = Command::new(BINARY);
        let printed = command.args(["audit", "prove", event, "--journal"]).arg(&path).output().unwrap();
        let text = String::from_utf8(printed.stdout).unwrap();
        std::fs::write(&proof, &text).unwrap();
        let (ok, said) = check_proof(&proof, &key);
        assert!(ok && said.contains(event), "{said}");
        for (from, to) in [("allow", "al1ow"), ("intent", "event!"), ("\\nchain ", "\\nchain 0")] {
            std::fs::write(&proof, text.replacen(from, to, 1)).unwrap();
            assert!(text.replacen(from, to, 1) == text || !check_proof(&proof, &key).0, "{from}");
        }
    }

    // Somebody who can write the file, and takes the guards away.
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let sql = "DROP TRIGGER entries_are_not_changed; UPDATE entries SET subject = 'bob' WHERE seq = 5;";
    sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
    let (right, said) = verify(&path, &[]);
    assert!(!right && said.contains("row 5 is not as it was written"), "{said}");
    let sql = "DROP TRIGGER entries_are_not_removed; DELETE FROM entries; DELETE FROM checkpoints;";
    sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert!(verify(&path, &[]).0, "an empty journal is no fault in itself");
    let (right, said) = verify(&path, &["--checkpoints", &outside]);
    assert!(!right && said.contains("the end is cut off"), "{said}");
}

fn check_proof(proof: &Path, key: &Path) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check_proof.py");
    let done = Command::new("python3").arg(script).arg(proof).arg(key).output().unwrap();
    (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}
