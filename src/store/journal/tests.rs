//! The journal on a real file: what is in it afterwards, and what happens when it can't be written.

mod deed;
mod disk;
mod look;

use super::database::Database;
use super::read::{Filter, Order, Reader};
use super::*;
use portcullis_core::audit::chain::Hash;
use portcullis_core::audit::row::Stored;
use portcullis_core::audit::{EntryKind, Outcome, Termination};
use portcullis_core::tool::Class;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row as _};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::time::Instant;
use tempfile::TempDir;

const PATIENT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/deeper/journal.db");
    (folder, path)
}

async fn open(path: &Path, durability: Durability, deadline: Duration) -> Journal {
    Journal::open(Options::new(path.to_owned(), durability, deadline)).await.unwrap()
}

fn entry(call_id: Uuid, kind: EntryKind, outcome: Option<Outcome>) -> Entry {
    Entry {
        event_id: Uuid::now_v7(),
        call_id,
        kind,
        at: Timestamp::from_secs(1_700_000_000),
        request_id: "request".into(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        issuer: Some("idp".into()),
        subject: Some("alice".into()),
        tenant: None,
        agent: Some("bot".into()),
        roles: Some(r#"["reader"]"#.into()),
        scopes: Some("[]".into()),
        client: Some("192.0.2.1".parse().unwrap()),
        endpoint: Some("work".into()),
        upstream: Some("crm".into()),
        method: Some("tools/call".into()),
        tool: Some("crm.get".into()),
        class: Some(Class::Read),
        arguments: Some(r#"{"id":1}"#.into()),
        arguments_digest: Some("abc".into()),
        decision: Some("allow"),
        rule: Some("read".into()),
        revision: "0123456789ab".into(),
        shadow_decision: Some("deny"),
        shadow_rule: Some("stricter".into()),
        approval_id: Some("approval".into()),
        job_id: Some("job".into()),
        outcome,
        termination: outcome.map(|outcome| Termination::of(outcome, None)),
        status: outcome.map(|_| 200),
        error: None,
        detail: None,
        bytes_in: 10,
        bytes_out: if outcome.is_some() { 20 } else { 0 },
        latency_us: outcome.map(|_| 1500),
        upstream_us: outcome.map(|_| 1000),
        redactions: BTreeMap::from([("email".to_owned(), 2)]),
        protocol: Some("2026-07-28".into()),
    }
}

fn intent(call_id: Uuid) -> Entry {
    entry(call_id, EntryKind::Intent, None)
}

fn outcome(call_id: Uuid, outcome: Outcome) -> Entry {
    entry(call_id, EntryKind::Outcome, Some(outcome))
}

fn refusal() -> Entry {
    entry(Uuid::now_v7(), EntryKind::Event, Some(Outcome::Refused))
}

async fn reader(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

/// The outcome of each call, `-` where there is none, in order.
async fn outcomes(path: &Path) -> Vec<String> {
    let sql = "SELECT coalesce(outcome, '-') FROM calls ORDER BY seq";
    sqlx::query_scalar(sql).fetch_all(&mut reader(path).await).await.unwrap()
}

async fn count(path: &Path, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut reader(path).await).await.unwrap()
}

/// All rows, once it is sure that each follows the one before it.
async fn chained(path: &Path) -> Vec<Stored> {
    let rows = Reader::open(path).await.unwrap().after(0, usize::MAX).await.unwrap();
    let mut hash = Hash::ZERO;
    for (row, seq) in rows.iter().zip(1..) {
        hash = hash.then(&row.canonical());
        assert_eq!((row.seq, row.hash), (seq, hash), "{}", row.json_line());
    }
    rows
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENT;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn in_each_mode_an_intent_and_its_outcome_are_one_call() {
    for durability in [Durability::Async, Durability::Journaled, Durability::Synced] {
        let (_folder, path) = folder();
        let journal = open(&path, durability, PATIENT).await;
        let call = Uuid::now_v7();
        journal.record(&intent(call)).await.unwrap();
        if durability != Durability::Async {
            assert_eq!(outcomes(&path).await, ["-"], "{durability:?} waits until it is written");
        }
        journal.submit(&outcome(call, Outcome::Ok));
        journal.submit(&refusal());
        journal.close().await;
        assert_eq!(outcomes(&path).await, ["ok", "refused"], "{durability:?}");
        let Figures { entries, backlog, backlog_bytes, failing, dropped, signed, .. } = journal.figures();
        assert_eq!((entries, backlog, backlog_bytes, dropped, signed), (3, 0, 0, 0, 3));
        assert!(failing, "a closed journal takes no calls");
        assert!(matches!(journal.record(&intent(call)).await, Err(JournalError::Failing { .. })));
    }
}

/// What `entry` says, and what the test says besides.
const TEXTS: &[(&str, &str)] = &[
    ("at", "2023-11-14T22:13:20.000Z"),
    ("request_id", "request"),
    ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
    ("issuer", "idp"),
    ("subject", "alice"),
    ("tenant", "acme"),
    ("agent", "bot"),
    ("roles", r#"["reader"]"#),
    ("scopes", "[]"),
    ("client", "192.0.2.1"),
    ("endpoint", "work"),
    ("upstream", "crm"),
    ("method", "tools/call"),
    ("tool", "crm.get"),
    ("class", "read"),
    ("arguments", r#"{"id":1}"#),
    ("arguments_digest", "abc"),
    ("decision", "allow"),
    ("rule", "read"),
    ("revision", "0123456789ab"),
    ("shadow_decision", "deny"),
    ("shadow_rule", "stricter"),
    ("approval_id", "approval"),
    ("job_id", "job"),
    ("outcome", "failed"),
    ("termination", "upstream_closed"),
    ("error", "upstream_timeout"),
    ("detail", "slow\n\u{1b}[31m"),
    ("redactions", r#"{"email":2}"#),
    ("protocol", "2026-07-28"),
];

#[tokio::test]
async fn every_field_of_an_entry_is_in_its_column() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let call = Uuid::now_v7();
    journal.record(&intent(call)).await.unwrap();
    journal.submit(&Entry {
        tenant: Some("acme".into()),
        status: Some(502),
        error: Some("upstream_timeout"),
        detail: Some("slow\n\u{1b}[31m".into()),
        ..outcome(call, Outcome::Failed)
    });
    journal.close().await;
    let row = sqlx::query("SELECT * FROM calls").fetch_one(&mut reader(&path).await).await.unwrap();
    for (column, expected) in TEXTS.iter().copied().chain([("run", &*journal.run)]) {
        assert_eq!(row.get::<&str, _>(column), expected, "{column}");
    }
    let numbers = [
        ("at_ms", 1_700_000_000_000),
        ("status", 502),
        ("bytes_in", 10),
        ("bytes_out", 20),
        ("latency_us", 1500),
        ("upstream_us", 1000),
        ("seq", 1),
    ];
    for (column, expected) in numbers {
        assert_eq!(row.get::<i64, _>(column), expected, "{column}");
    }
    assert_eq!(row.get::<String, _>("call_id"), call.to_string());
}

#[tokio::test]
async fn an_event_that_is_recorded_is_there_before_it_is_acted_on() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let read =
        Entry { method: Some("audit/query".into()), ..entry(Uuid::now_v7(), EntryKind::Event, Some(Outcome::Ok)) };
    journal.record(&read).await.unwrap();
    let rows = chained(&path).await;
    assert_eq!((rows.len(), rows[0].text("kind"), rows[0].text("method")), (1, Some("event"), Some("audit/query")));
    assert_eq!(outcomes(&path).await, ["ok"]);
    journal.close().await;
    assert!(journal.record(&read).await.is_err(), "who asks now is shown nothing");
}

#[tokio::test]
async fn a_start_after_a_crash_closes_open_calls_as_unknown_once() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let (finished, open_one, open_two) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for call in [finished, open_one, open_two] {
        journal.record(&intent(call)).await.unwrap();
    }
    journal.submit(&outcome(finished, Outcome::Ok));
    journal.close().await;
    assert_eq!(outcomes(&path).await, ["ok", "-", "-"]);
    for _ in 0..2 {
        open(&path, Durability::Journaled, PATIENT).await.close().await;
        assert_eq!(outcomes(&path).await, ["ok", "unknown", "unknown"]);
        assert_eq!(count(&path, "SELECT count(*) FROM entries").await, 6);
    }
    assert_eq!(count(&path, "SELECT count(DISTINCT run) FROM entries").await, 2);
    assert_eq!(count(&path, "SELECT count(DISTINCT instance) FROM entries").await, 1);
}

#[tokio::test]
async fn nothing_in_the_journal_can_be_changed_or_removed() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    journal.record(&intent(Uuid::now_v7())).await.unwrap();
    let mut connection = reader(&path).await;
    for sql in ["UPDATE entries SET subject = 'bob'", "DELETE FROM entries"] {
        let error = sqlx::query(sql).execute(&mut connection).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    journal.close().await;
}

#[tokio::test]
async fn an_entry_that_comes_twice_is_there_once_and_leaves_no_hole() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let entry = intent(Uuid::now_v7());
    journal.record(&entry).await.unwrap();
    journal.record(&entry).await.unwrap();
    // In one batch, among others, and twice in it.
    let others: Vec<Entry> = (0..20).map(|_| refusal()).collect();
    others.iter().chain([&entry]).chain(&others).for_each(|entry| journal.submit(entry));
    journal.record(&intent(Uuid::now_v7())).await.unwrap();
    journal.close().await;
    assert_eq!(chained(&path).await.len(), 22);
}

/// What the writer does where it can't know whether its last commit reached the file: it looks, and goes on from there.
#[tokio::test]
async fn a_commit_of_unknown_fate_is_neither_doubled_nor_left_out() {
    for reached in [false, true] {
        let (_folder, path) = folder();
        let settings = Settings {
            options: Options::new(path.clone(), Durability::Journaled, PATIENT),
            bounds: BOUNDS,
            max_pages: Arc::default(),
        };
        let run: Arc<str> = "run".into();
        let mut rows: Vec<Row> = (0..5).map(|_| Row::new(&intent(Uuid::now_v7()), &run)).collect();
        if reached {
            let mut first = Database::open(&settings).await.unwrap();
            first.append(rows.iter_mut().take(3).collect()).await.unwrap();
            first.close().await;
        }
        let mut second = Database::open(&settings).await.unwrap();
        let new = second.append(rows.iter_mut().collect()).await.unwrap();
        second.close().await;
        assert_eq!(new, if reached { 2 } else { 5 });
        let ids: Vec<String> =
            chained(&path).await.iter().map(|row| row.text("event_id").unwrap().to_owned()).collect();
        assert_eq!(ids, rows.iter().map(Row::event_id).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_reader_finds_rows_by_what_they_say_while_they_are_written() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let mut calls = Vec::new();
    for (number, subject) in ["ana", "bob", "ana"].iter().enumerate() {
        let (call, at) = (Uuid::now_v7(), Timestamp::from_secs(100 + number as i64));
        let subject = Some((*subject).to_owned());
        journal.record(&Entry { subject: subject.clone(), at, ..intent(call) }).await.unwrap();
        let detail = Some(format!("It's number {number}; 100%_"));
        journal.submit(&Entry { subject, at, detail, status: Some(200 + number as u16), ..outcome(call, Outcome::Ok) });
        calls.push(call);
    }
    let mut reader = Reader::open(&path).await.unwrap();
    assert_eq!(uuid::Uuid::parse_str(reader.instance()).unwrap().get_version_num(), 7);
    until_read(&mut reader, 6).await;
    let equal = |column, value: &str| Filter { equal: vec![(column, value.to_owned())], ..Filter::default() };
    let cases = [
        (Filter::default(), vec![1, 2, 3, 4, 5, 6]),
        (Filter { ended: true, ..equal("subject", "ana") }, vec![2, 6]),
        (equal("status", "201"), vec![4]),
        (equal("status", "many"), vec![]),
        (equal("subject", "an"), vec![]),
        (equal("seq > 0 OR subject", "x"), vec![]),
        (Filter { since: Some(Timestamp::from_secs(101)), ..Filter::default() }, vec![3, 4, 5, 6]),
        (Filter { until: Some(Timestamp::from_secs(101)), ..Filter::default() }, vec![1, 2]),
        (Filter { text: Some("it's NUMBER 1".into()), ..Filter::default() }, vec![4]),
        (Filter { text: Some("100%_".into()), ..Filter::default() }, vec![2, 4, 6]),
        (Filter { text: Some("number_".into()), ..Filter::default() }, vec![]),
    ];
    for (filter, expected) in cases {
        let mut pages = Vec::new();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let (mut found, mut from) = (Vec::new(), None);
            loop {
                let page = reader.page(&filter, order, from, 2).await.unwrap();
                let Some(last) = page.last() else { break };
                from = Some(last.seq);
                found.extend(page.iter().map(|row| row.seq));
            }
            pages.push(found);
        }
        pages[1].reverse();
        assert_eq!((&pages[0], &pages[1]), (&expected, &expected), "{filter:?}");
    }
    let last = reader.after(5, 10).await.unwrap().remove(0);
    assert_eq!((last.text("call_id"), last.int("status")), (Some(calls[2].to_string().as_str()), Some(202)));
    assert_eq!(Stored::parse_line(&last.json_line()), Ok(last));
    journal.close().await;
}

async fn until_read(reader: &mut Reader, last: i64) {
    let end = Instant::now() + PATIENT;
    while reader.last().await.unwrap() < last {
        assert!(Instant::now() < end, "row {last} is not written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reader_of_what_is_no_journal_says_so_and_makes_nothing() {
    let (folder, path) = folder();
    let error = Reader::open(&path).await.err().unwrap().to_string();
    assert!(error.contains("there is no journal at") && !path.exists(), "{error}");
    let foreign = folder.path().join("foreign.db");
    std::fs::write(&foreign, "").unwrap();
    let error = Reader::open(&foreign).await.err().unwrap().to_string();
    assert!(error.contains("no journal of Portcullis"), "{error}");
}

#[tokio::test]
async fn many_callers_at_once_are_all_recorded_in_order() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let calls = (0..500).map(|_| {
        let journal = journal.clone();
        async move {
            let call = Uuid::now_v7();
            journal.record(&intent(call)).await.unwrap();
            journal.submit(&outcome(call, Outcome::Ok));
        }
    });
    futures::future::join_all(calls).await;
    journal.close().await;
    assert_eq!(outcomes(&path).await, vec!["ok"; 500]);
    assert_eq!(chained(&path).await.len(), 1000);
}

/// Abuse case 190: what orders rows is their number, whatever the clock says.
#[tokio::test]
async fn a_clock_that_goes_back_changes_no_order() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let calls: Vec<_> = (0..10).map(|_| Uuid::now_v7()).collect();
    for (back, call) in (0..).zip(&calls) {
        let at = Timestamp::from_millis(1_800_000_000_000 - back * 3_600_000);
        journal.record(&Entry { at, ..intent(*call) }).await.unwrap();
    }
    journal.close().await;
    assert_eq!(chained(&path).await.len(), 10);
    let mut database = reader(&path).await;
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT call_id, at FROM entries ORDER BY seq").fetch_all(&mut database).await.unwrap();
    let order: Vec<_> = rows.iter().map(|(call, _)| call.clone()).collect();
    assert_eq!(order, calls.iter().map(Uuid::to_string).collect::<Vec<_>>());
    assert!(rows.is_sorted_by(|(_, one), (_, next)| one > next), "{rows:?}");
}

#[tokio::test]
async fn a_journal_that_was_moved_away_is_begun_anew() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    journal.record(&intent(Uuid::now_v7())).await.unwrap();
    let old = path.with_extension("old");
    std::fs::rename(&path, &old).unwrap();
    let call = Uuid::now_v7();
    let error = journal.record(&intent(call)).await.unwrap_err();
    assert!(error.to_string().contains("moved or removed"), "{error}");
    journal.submit(&outcome(call, Outcome::Refused));
    until("the journal is well again", || journal.health() == JournalHealth::Ok).await;
    journal.close().await;
    assert_eq!(outcomes(&path).await, ["refused"]);
    assert_eq!(outcomes(&old).await, ["-"], "what was written is where the file is now");
}

#[tokio::test]
async fn what_can_not_be_a_journal_is_refused_with_a_way_out() {
    let (folder, path) = folder();
    let refuse = async |path: &Path, expected: &str| {
        let error =
            Journal::open(Options::new(path.to_owned(), Durability::Journaled, SHORT)).await.err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains(';'), "{error}");
    };
    let journal = open(&path, Durability::Journaled, SHORT).await;
    refuse(&path, "is written by another process").await;
    journal.close().await;
    sqlx::query("PRAGMA user_version = 7").execute(&mut reader(&path).await).await.unwrap();
    refuse(&path, "has format 7").await;
    let foreign = folder.path().join("foreign.db");
    let options = SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    sqlx::query("CREATE TABLE t (x)").execute(&mut options.connect().await.unwrap()).await.unwrap();
    refuse(&foreign, "no journal of Portcullis").await;
    let text = folder.path().join("text.db");
    std::fs::write(&text, "not a database, but long enough to look like something: ".repeat(100)).unwrap();
    refuse(&text, "is not a database").await;
    refuse(&text.join("below/journal.db"), "can't be made").await;
}

#[tokio::test]
async fn the_journal_is_not_for_everybody_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"] {
        let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{name}: {mode:o}");
    }
    journal.close().await;
}
