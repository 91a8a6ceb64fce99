//! Journals on real files, changed behind the gateway's back. What each kind of change looks like is tested in
//! `core::audit::verify`; here, that the file's own contents are what is compared.

use super::*;
use crate::config::document::gateway::Durability;
use crate::store::journal::database::{Database, Settings};
use crate::store::journal::retention::Removal;
use crate::store::journal::row::Row as JournalRow;
use crate::store::journal::{BOUNDS, Journal, Options, key};
use portcullis_core::audit::key::SigningKey;
use portcullis_core::audit::{Entry, EntryKind, Outcome};
use portcullis_core::time::Timestamp;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

fn folder() -> (TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut options = Options::new(path, Durability::Journaled, Duration::from_secs(10));
    options.checkpoint_file = Some(folder.path().join("checkpoints"));
    (folder, options)
}

fn event(number: usize) -> Entry {
    Entry {
        detail: Some(format!("{number}: \" \\ / ' \u{7f} \u{1b}[2J \r\n\t \u{8}\u{c} é \u{2028}\u{202e} 😀")),
        outcome: Some(Outcome::Refused),
        ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), Timestamp::from_secs(1_700_000_000))
    }
}

/// Writes `rows` rows and ends, which signs them.
async fn write(options: &Options, rows: usize) {
    let journal = Journal::open(options.clone()).await.unwrap();
    (0..rows).for_each(|number| journal.submit(&event(number)));
    journal.close().await;
}

fn keys(path: &Path) -> Vec<PublicKey> {
    PublicKey::all_from_pem(&std::fs::read_to_string(key::public_path(path)).unwrap())
}

fn lines(options: &Options) -> Vec<String> {
    let file = options.checkpoint_file.as_ref().unwrap();
    std::fs::read_to_string(file).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// A copy of the journal on which somebody ran `sql` after the guards were taken away.
async fn changed(options: &Options, sql: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("journal.db");
    std::fs::copy(&options.path, &copy).unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&copy).connect().await.unwrap();
    let sql = format!("DROP TRIGGER entries_are_not_changed; DROP TRIGGER entries_are_not_removed; {sql}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    (folder, copy)
}

#[tokio::test]
async fn a_journal_and_its_export_are_right_over_several_runs() {
    let (_folder, options) = folder();
    for _ in 0..3 {
        write(&options, 25).await;
    }
    let keys = keys(&options.path);
    let verified = journal(&options.path, &keys, &lines(&options)).await.unwrap();
    assert_eq!((verified.first, verified.last, verified.signed, verified.checkpoints), (1, 75, 75, 6));
    let export = exported(&options.path).await;
    assert_eq!(super::export(export.as_bytes(), &keys, &lines(&options)).unwrap(), verified);
    let cut: String = export.lines().take(60).map(|line| format!("{line}\n")).collect();
    assert!(super::export(cut.as_bytes(), &keys, &[]).is_ok(), "an export that ends early is a shorter record");
    let error = super::export(cut.as_bytes(), &keys, &lines(&options)).unwrap_err().to_string();
    assert!(error.contains("the end is cut off"), "{error}");
}

#[tokio::test]
async fn an_export_is_read_whatever_its_lines_are_and_no_line_is_longer_than_memory() {
    let (_folder, options) = folder();
    write(&options, 25).await;
    let keys = keys(&options.path);
    let export = exported(&options.path).await;
    let verify = |text: &str| super::export(text.as_bytes(), &keys, &[]);
    let verified = verify(&export).unwrap();
    assert_eq!(verify(export.trim_end()).unwrap(), verified, "its last line may have no end");
    assert_eq!(verify(&export.replace('\n', "\r\n")).unwrap(), verified);
    let spaced = export.replace(",\"", ", \"").replace("\":", "\" : ");
    assert_eq!(
        verify(&spaced.replace("{\"checkpoint\" :", "{\"checkpoint\":")).unwrap(),
        verified,
        "the same in other words"
    );
    let (rows, notes): (Vec<&str>, Vec<&str>) = export.lines().partition(|line| line.starts_with("{\"seq\""));
    assert_eq!(
        verify(&[rows.clone(), notes].concat().join("\n")).unwrap(),
        verified,
        "checkpoints may lie behind all rows"
    );
    let fault = |text: &str| verify(text).unwrap_err().to_string();
    assert!(fault(&rows.join("\n")).contains("no checkpoint speaks of them"));
    assert!(fault(&export.replacen("{\"seq\":13,", "{\"seq\":13,\"seq\":13,", 1)).contains("row 13 can't be read"));
    assert!(fault(&export.replacen("{\"seq\":13,", "{\"seq\":14,", 1)).contains("rows 13 to 13 are missing"));
    assert!(fault(&export.replacen("\u{2028}", "\u{2029}", 1)).contains("row 1 is not as it was written"));
    assert!(fault(&"x".repeat(5 << 20)).contains("a line is longer than"));
    let error = super::export(&b"\xff\n"[..], &keys, &[]).unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

/// As `audit export` writes it: each checkpoint after the rows that it speaks of.
async fn exported(path: &Path) -> String {
    let mut reader = Reader::open(path).await.unwrap();
    let checkpoints = reader.checkpoints(0, i64::MAX).await.unwrap();
    let rows = reader.after(0, usize::MAX).await.unwrap();
    let first = rows[0].seq;
    let mut lines: Vec<String> =
        checkpoints.iter().filter(|(size, _)| *size < first).map(|(_, line)| line.clone()).collect();
    for row in rows {
        lines.push(row.json_line());
        lines.extend(checkpoints.iter().filter(|(size, _)| *size == row.seq).map(|(_, line)| line.clone()));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn whatever_is_changed_in_the_file_is_found() {
    let (_folder, options) = folder();
    for _ in 0..3 {
        write(&options, 10).await;
    }
    let (keys, outside) = (keys(&options.path), lines(&options));
    let cases = [
        ("UPDATE entries SET detail = 'x' WHERE seq = 12", "row 12 is not as it was written"),
        ("UPDATE entries SET subject = '' WHERE seq = 12", "row 12 is not as it was written"),
        ("UPDATE entries SET status = 200 WHERE seq = 12", "row 12 is not as it was written"),
        ("UPDATE entries SET hash = zeroblob(32) WHERE seq = 12", "row 12 is not as it was written"),
        ("UPDATE entries SET hash = x'00' WHERE seq = 12", "row 12 can't be read"),
        ("UPDATE entries SET instance = 'other' WHERE seq = 12", "row 12 is not as it was written"),
        ("DELETE FROM entries WHERE seq = 12", "rows 12 to 12 are missing"),
        ("DELETE FROM entries WHERE seq <= 12", "rows 1 to 12 are missing"),
        ("DELETE FROM entries WHERE seq > 27", "the end is cut off: there are 27 rows"),
        ("DELETE FROM entries; DELETE FROM checkpoints", "the end is cut off: there are 0 rows"),
        (
            "UPDATE entries SET seq = 99 WHERE seq = 12; UPDATE entries SET seq = 12 WHERE seq = 13;
          UPDATE entries SET seq = 13 WHERE seq = 99",
            "row 12 is not as it was written",
        ),
        (
            "INSERT INTO entries SELECT * FROM entries WHERE 0; UPDATE entries SET seq = seq + 1 WHERE seq = 30",
            "rows 30 to 30 are missing",
        ),
        (
            "UPDATE checkpoints SET note = replace(note, char(10) || '20', char(10) || '21') WHERE size = 20",
            "checkpoint of 20 rows can't be relied on",
        ),
        ("UPDATE journal SET instance = 'other'", "none of them is of this journal"),
    ];
    for (sql, expected) in cases {
        let (_copy, path) = changed(&options, sql).await;
        let error = journal(&path, &keys, &outside).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{sql}: {error}");
    }
    // Who cuts the end off and the checkpoints with it is seen from outside alone.
    let sql = "DELETE FROM entries WHERE seq > 20; DELETE FROM checkpoints WHERE size > 20";
    let (_copy, path) = changed(&options, sql).await;
    assert_eq!(journal(&path, &keys, &[]).await.unwrap().last, 20);
    let error = journal(&path, &keys, &outside).await.unwrap_err().to_string();
    assert!(error.contains("there are 20 rows") && error.contains("speaks of 30"), "{error}");
    // Nobody else's signature counts.
    let other = SigningKey::from_seed(&[9; 32]).unwrap().public();
    assert!(journal(&options.path, &[other], &[]).await.is_err());
}

#[tokio::test]
async fn a_journal_whose_end_was_cut_off_is_not_written_on() {
    let (_folder, options) = folder();
    write(&options, 10).await;
    let (_copy, path) = changed(&options, "DELETE FROM entries WHERE seq > 7").await;
    let error = Journal::open(Options { path, ..options }).await.err().unwrap().to_string();
    assert!(error.contains("ends with row 7, and its own checkpoint speaks of 10"), "{error}");
}

fn settings(options: &Options) -> Settings {
    Settings { options: options.clone(), bounds: BOUNDS, max_pages: Arc::default() }
}

#[tokio::test]
async fn what_stays_after_old_parts_are_removed_is_right_and_proven() {
    let (_folder, options) = folder();
    write(&options, 5).await;
    let signing =
        SigningKey::from_pem(&std::fs::read_to_string(options.path.with_file_name("journal.db.key")).unwrap());
    let signing = signing.unwrap();
    let run: Arc<str> = "run".into();
    let mut database = Database::open(&settings(&options)).await.unwrap();
    for part in 0..4 {
        let mut rows: Vec<JournalRow> = (0..7).map(|number| JournalRow::new(&event(number), &run)).collect();
        if part == 2 {
            let intent = Entry { kind: EntryKind::Intent, outcome: None, ..event(0) };
            rows.push(JournalRow::new(&intent, &run));
        }
        database.append(rows.iter_mut().collect()).await.unwrap();
        database.sign(&signing).await.unwrap();
    }
    let far = i64::MAX;
    assert_eq!(database.remove_segment(0, far).await.unwrap(), Removal::Nothing, "nothing is old enough");
    assert_eq!(database.remove_segment(far, 4).await.unwrap(), Removal::Held(5), "somebody has not taken it all");
    assert_eq!(database.remove_segment(far, 12).await.unwrap(), Removal::Removed(1, 5));
    assert_eq!(database.remove_segment(far, far).await.unwrap(), Removal::Removed(6, 12));
    assert_eq!(database.remove_segment(far, far).await.unwrap(), Removal::Removed(13, 19));
    assert_eq!(database.remove_segment(far, far).await.unwrap(), Removal::Nothing, "a call is open in the next");
    database.close().await;

    let keys = keys(&options.path);
    let verified = journal(&options.path, &keys, &[]).await.unwrap();
    assert_eq!((verified.first, verified.last, verified.signed), (20, 34, 34));
    assert!(!verified.is_removal_told, "no writer removed them");
    assert_eq!(super::export(exported(&options.path).await.as_bytes(), &keys, &[]).unwrap(), verified);
    let rows = Reader::open(&options.path).await.unwrap().after(0, usize::MAX).await.unwrap();
    for row in &rows {
        let proof = prove(&options.path, row.text("event_id").unwrap()).await.unwrap();
        assert_eq!(proof["index"], row.seq - 1);
        assert_shown(&proof, &keys);
    }
    let (_copy, path) = changed(&options, "DELETE FROM entries WHERE seq = 20").await;
    let error = journal(&path, &keys, &[]).await.unwrap_err().to_string();
    assert!(error.contains("rows 1 to 20 are missing"), "more is gone than was signed off: {error}");
    // The journal goes on: the open call is closed, and what was removed is not missed.
    write(&options, 3).await;
    assert_eq!(journal(&options.path, &keys, &[]).await.unwrap().last, 38);
}

fn assert_shown(proof: &Value, keys: &[PublicKey]) {
    let hash = |value: &Value| Hash::parse(value.as_str().unwrap()).unwrap();
    let checkpoint = Checkpoint::open(proof["checkpoint"].as_str().unwrap(), keys).unwrap();
    let row = hash(&proof["previous"]).then(proof["row"].as_str().unwrap().as_bytes());
    let path: Vec<Hash> = proof["proof"].as_array().unwrap().iter().map(hash).collect();
    let index = proof["index"].as_u64().unwrap();
    let (size, root) = (checkpoint.size, checkpoint.root);
    assert!(portcullis_core::audit::tree::includes(&leaf(&row.0), index, size, &path, &root), "{proof}");
}

#[tokio::test]
async fn a_journal_that_is_as_large_as_it_may_be_refuses_calls_until_it_may_be_larger() {
    let (_folder, mut options) = folder();
    options.max_bytes = Some(1 << 20);
    let journal = Journal::open(options.clone()).await.unwrap();
    let (mut written, mut refused) = (0, None);
    while refused.is_none() {
        let call = Uuid::now_v7();
        let intent = Entry { call_id: call, kind: EntryKind::Intent, outcome: None, ..event(written) };
        refused = journal.record(&intent).await.err().map(|error| error.to_string());
        written += usize::from(refused.is_none());
    }
    assert!(refused.unwrap().contains("full") && written > 200, "{written}");
    assert!(journal.figures().failing);
    journal.close().await;
    assert!(std::fs::metadata(&options.path).unwrap().len() <= 1 << 20);
    options.max_bytes = Some(16 << 20);
    write(&options, 1).await;
    let verified = super::journal(&options.path, &keys(&options.path), &[]).await.unwrap();
    assert_eq!(verified.last, 2 * written as u64 + 1, "each intent has the end that a start gives it");
}

/// Writes calls until one is refused; how many were not.
async fn fill(journal: &Journal) -> usize {
    let mut written = 0;
    loop {
        let call = Uuid::now_v7();
        let intent = Entry { call_id: call, kind: EntryKind::Intent, outcome: None, ..event(written) };
        let outcome = if journal.record(&intent).await.is_ok() { Outcome::Ok } else { Outcome::Refused };
        journal.submit(&Entry { call_id: call, kind: EntryKind::Outcome, outcome: Some(outcome), ..event(written) });
        if outcome == Outcome::Refused {
            return written;
        }
        written += 1;
    }
}

#[tokio::test]
async fn the_smallest_journal_frees_itself_when_the_time_of_its_rows_is_over() {
    let (_folder, mut options) = folder();
    (options.max_bytes, options.keep) = (Some(1 << 20), Some(Duration::from_millis(1)));
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut written = fill(&journal).await;
    assert!(journal.figures().failing && journal.figures().signed > 0, "{:?}", journal.figures());
    // More than the file has room for, and in rows larger than usual.
    for number in 0..100 {
        let arguments = Some("x".repeat(4000));
        journal.submit(&Entry { kind: EntryKind::Outcome, arguments, ..event(number) });
    }
    let end = std::time::Instant::now() + Duration::from_secs(120);
    for _ in 0..2 {
        while journal.figures().failing || journal.figures().backlog > 0 {
            assert!(std::time::Instant::now() < end, "it does not free itself: {:?}", journal.figures());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        written += fill(&journal).await;
    }
    assert_eq!(journal.figures().dropped, 0);
    journal.close().await;
    assert!(std::fs::metadata(&options.path).unwrap().len() <= 1 << 20);
    options.max_bytes = Some(16 << 20);
    write(&options, 1).await;
    let verified = super::journal(&options.path, &keys(&options.path), &lines(&options)).await.unwrap();
    assert!(verified.is_removal_told);
    assert!(verified.first > 1 && verified.last > 2 * written as u64 + 100, "{verified:?}, {written}");
}

#[tokio::test]
async fn a_key_of_the_configuration_signs_and_none_is_made() {
    let (folder, mut options) = folder();
    let pem = portcullis_core::audit::key::private_pem(&[3; 32]);
    options.checkpoint_key = Some(crate::secrets::Secret::new(pem));
    write(&options, 3).await;
    assert!(!folder.path().join("journal.db.key").exists());
    let own = SigningKey::from_seed(&[3; 32]).unwrap().public();
    assert!(journal(&options.path, &[own], &lines(&options)).await.is_ok());
    options.checkpoint_key = None;
    write(&options, 3).await;
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder.path().join("journal.db.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(journal(&options.path, &[own], &[]).await.is_err(), "the other key is not among those given");
    assert!(journal(&options.path, &keys(&options.path), &[]).await.is_ok(), "beside the journal are both");
}
