//! What is trusted, what is held back, and what becomes of both when the file fails.

use super::*;
use serde_json::{Map, json};
use tempfile::TempDir;

fn canonical(text: &str) -> Canonical {
    Canonical::of(&Map::from_iter([("description".to_owned(), json!(text))]), &["description"])
}

/// The definitions of an upstream, by name and text.
fn offer<'a>(definitions: &'a [(&'a str, Canonical)], pinning: bool) -> Offer<'a> {
    let definitions = definitions.iter().map(|(name, canonical)| (*name, canonical.clone())).collect();
    Offer { upstream: "crm", kind: PinKind::Tool, definitions, pinning, personal: false }
}

async fn take(pins: &Pins, definitions: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let definitions: Vec<_> = definitions.iter().map(|(name, text)| (*name, canonical(text))).collect();
    let Judgement { held, news } = pins.take(&offer(&definitions, true)).await;
    (held.into_iter().collect(), news.into_iter().map(|news| news.name).collect())
}

fn both(names: &[&str]) -> (Vec<String>, Vec<String>) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    (names.clone(), names)
}

fn held(names: &[&str]) -> (Vec<String>, Vec<String>) {
    (both(names).0, Vec::new())
}

async fn rows(path: &Path) -> Vec<Row> {
    Ledger::open(path).await.unwrap().rows().await.unwrap()
}

#[tokio::test]
async fn what_is_seen_first_is_trusted_and_what_changes_is_held_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("data/state.db");
    let pins = Pins::open(&path).await.unwrap();
    assert_eq!(take(&pins, &[("a", "x"), ("b", "x")]).await, both(&[]));
    assert_eq!(take(&pins, &[("a", "y"), ("b", "x"), ("c", "x")]).await, both(&["a"]));
    assert_eq!(take(&pins, &[("a", "y"), ("b", "x"), ("c", "x")]).await, held(&["a"]), "it is news once");
    assert_eq!(take(&pins, &[("a", "z"), ("b", "x")]).await, both(&["a"]), "another change is news again");
    drop(pins);
    let pins = Pins::open(&path).await.unwrap();
    assert_eq!(take(&pins, &[("a", "z"), ("b", "x")]).await, held(&["a"]), "a restart forgets nothing");
    let gone: Vec<_> = rows(&path).await.into_iter().map(|row| (row.name, row.gone_at.is_some())).collect();
    assert_eq!(gone, [("a".into(), false), ("b".into(), false), ("c".into(), true)]);
    assert_eq!(take(&pins, &[("a", "x"), ("c", "other")]).await, both(&["c"]), "what was gone is still pinned");
    assert_eq!(rows(&path).await[0].found, None, "what is as it was is trusted as it was");
}

#[tokio::test]
async fn what_a_person_accepts_is_noticed_and_trusted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state.db");
    let pins = Pins::open(&path).await.unwrap();
    take(&pins, &[("a", "x")]).await;
    take(&pins, &[("a", "y")]).await;
    assert!(!pins.follow().await, "its own writing is no news");
    let mut ledger = Ledger::open(&path).await.unwrap();
    let row = ledger.rows().await.unwrap().remove(0);
    take(&pins, &[("a", "z")]).await;
    assert!(!ledger.accept(&row, "ana").await.unwrap(), "nobody has looked at what is there now");
    let row = ledger.rows().await.unwrap().remove(0);
    assert!(ledger.accept(&row, "ana").await.unwrap());
    assert!(!ledger.accept(&row, "ana").await.unwrap());
    assert!(pins.follow().await);
    assert!(!pins.follow().await);
    let now = [("a", canonical("z"))];
    assert_eq!(pins.judge(&offer(&now, true)), Judgement::default());
    let unrecorded = pins.unrecorded().await.unwrap();
    let [acceptance] = unrecorded.as_slice() else { panic!("{unrecorded:?}") };
    let digests = (&acceptance.before, &acceptance.after);
    assert_eq!((acceptance.who.as_str(), digests), ("ana", (&canonical("x").digest, &canonical("z").digest)));
    pins.recorded(acceptance).await.unwrap();
    assert_eq!(pins.unrecorded().await.unwrap(), []);
    assert_eq!(take(&pins, &[("a", "x")]).await, both(&["a"]), "the one before is not trusted any more");
}

#[tokio::test]
async fn without_pinning_all_is_trusted_and_remembered() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state.db");
    let pins = Pins::open(&path).await.unwrap();
    take(&pins, &[("a", "x")]).await;
    take(&pins, &[("a", "y")]).await;
    let free = [("a", canonical("y"))];
    assert_eq!(pins.take(&offer(&free, false)).await, Judgement::default());
    assert_eq!(rows(&path).await[0].found, None);
    let free = [("a", canonical("z"))];
    assert_eq!(pins.take(&offer(&free, false)).await, Judgement::default());
    assert_eq!(take(&pins, &[("a", "z")]).await, both(&[]), "pinning begins with what was last offered");
}

#[tokio::test]
async fn where_the_file_fails_the_known_stay_and_the_new_are_held_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state.db");
    let pins = Pins::open(&path).await.unwrap();
    take(&pins, &[("a", "x"), ("b", "x")]).await;
    std::fs::rename(&path, dir.path().join("elsewhere.db")).unwrap();
    assert_eq!(take(&pins, &[("a", "x"), ("b", "y"), ("c", "x")]).await, held(&["b", "c"]));
    assert!(!pins.follow().await);
    std::fs::rename(dir.path().join("elsewhere.db"), &path).unwrap();
    assert_eq!(take(&pins, &[("a", "x"), ("b", "y"), ("c", "x")]).await, both(&["b"]));
}

#[tokio::test]
async fn an_upstream_can_t_have_its_pins_forgotten_by_making_up_names() {
    let dir = TempDir::new().unwrap();
    let mut database = Database::open(&dir.path().join("state.db")).await.unwrap();
    let first = [("a", canonical("x"))];
    database.take(&offer(&first, true), 3).await.unwrap();
    let many = [("b", canonical("x")), ("c", canonical("x")), ("d", canonical("x")), ("e", canonical("x"))];
    let (rows, _) = database.take(&offer(&many, true), 3).await.unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state.db");
    std::fs::write(&path, "this is no database, but a letter to nobody in particular").unwrap();
    assert!(matches!(Pins::open(&path).await, Err(PinsError::Database { .. })));
    assert!(matches!(Pins::open(dir.path()).await, Err(PinsError::File { .. })));
    assert!(matches!(Ledger::open(&dir.path().join("none.db")).await, Err(PinsError::Missing { .. })));
    let mut other =
        sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("other.db")).create_if_missing(true);
    use sqlx::ConnectOptions as _;
    other = other.disable_statement_logging();
    let mut other = other.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE x (y TEXT)").execute(&mut other).await.unwrap();
    assert!(matches!(Pins::open(&dir.path().join("other.db")).await, Err(PinsError::Foreign { .. })));
    sqlx::raw_sql("PRAGMA application_id = 1347375699; PRAGMA user_version = 2").execute(&mut other).await.unwrap();
    assert!(matches!(Pins::open(&dir.path().join("other.db")).await, Err(PinsError::Version { found: 2, .. })));
}

#[tokio::test]
async fn of_what_several_callers_are_shown_the_first_that_differs_waits_for_a_person() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state.db");
    let pins = Pins::open(&path).await.unwrap();
    let shown = async |definitions: &[(&str, &str)]| {
        let definitions: Vec<_> = definitions.iter().map(|(name, text)| (*name, canonical(text))).collect();
        let Judgement { held, news } = pins.take(&Offer { personal: true, ..offer(&definitions, true) }).await;
        (held.into_iter().collect::<Vec<_>>(), news.into_iter().map(|news| news.name).collect::<Vec<_>>())
    };
    assert_eq!(shown(&[("a", "x"), ("b", "x")]).await, both(&[]));
    assert_eq!(shown(&[("a", "x")]).await, both(&[]), "what one caller has not, another may have");
    assert!(rows(&path).await.iter().all(|row| row.gone_at.is_none()));
    assert_eq!(shown(&[("a", "y")]).await, both(&["a"]));
    assert_eq!(pins.quarantined("crm"), 1);
    assert_eq!(shown(&[("a", "z")]).await, held(&["a"]), "no news as long as another waits");
    assert_eq!(shown(&[("a", "x")]).await, both(&[]), "what is pinned stays trusted");
    let mut ledger = Ledger::open(&path).await.unwrap();
    let row = ledger.rows().await.unwrap().remove(0);
    assert_eq!(row.found.as_ref().unwrap().digest, canonical("y").digest);
    assert!(ledger.accept(&row, "ana").await.unwrap());
    assert!(pins.follow().await);
    assert_eq!(shown(&[("a", "y")]).await, both(&[]));
    assert_eq!(shown(&[("a", "x")]).await, both(&["a"]), "one definition of a name is trusted at a time");
}
