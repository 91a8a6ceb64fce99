//! Searches that look at so many rows and no more.

use super::super::search::{Found, Search};
use super::*;

/// A journal of ten rows, the first and the last of them bob's.
async fn ten() -> (TempDir, PathBuf) {
    let (folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    for place in 1..=10 {
        let subject = if place == 1 || place == 10 { "bob" } else { "alice" };
        journal.submit(&Entry { subject: Some(subject.into()), ..refusal() });
    }
    journal.close().await;
    (folder, path)
}

async fn look(
    path: &Path,
    user: Option<&str>,
    order: Order,
    from: Option<i64>,
    (limit, most): (usize, i64),
) -> (Vec<i64>, i64, bool) {
    let search = Search { user: user.map(str::to_owned), ..Search::default() };
    let mut reader = Reader::open(path).await.unwrap();
    let Found { rows, to, whole } = search.look(&mut reader, order, from, limit, most).await.unwrap();
    (rows.iter().map(|row| row.seq).collect(), to, whole)
}

#[tokio::test]
async fn a_search_for_what_is_rare_ends_and_says_where_to_go_on() {
    let (_folder, path) = ten().await;
    let newest = async |from, bounds| look(&path, Some("bob"), Order::NewestFirst, from, bounds).await;
    assert_eq!(newest(None, (9, 4)).await, (vec![10], 7, false));
    assert_eq!(newest(Some(7), (9, 4)).await, (vec![], 3, false));
    assert_eq!(newest(Some(3), (9, 4)).await, (vec![1], 1, true));
    assert_eq!(newest(None, (9, 1_000_000)).await, (vec![10, 1], 1, true));
    assert_eq!(newest(None, (1, 1_000_000)).await, (vec![10], 10, false));
    let glob = Search { tool: Some("crm.*".into()), ..Search::default() };
    let found = glob.look(&mut Reader::open(&path).await.unwrap(), Order::NewestFirst, None, 9, 4).await.unwrap();
    assert_eq!((found.rows.len(), found.to), (4, 7), "a pattern looks no further");
}

#[tokio::test]
async fn who_follows_goes_on_behind_the_last_row_that_came() {
    let (_folder, path) = ten().await;
    let oldest = async |user, from, bounds| look(&path, user, Order::OldestFirst, Some(from), bounds).await;
    assert_eq!(oldest(Some("bob"), 0, (9, 4)).await, (vec![1], 4, false));
    assert_eq!(oldest(Some("bob"), 8, (9, 4)).await, (vec![10], 10, true));
    assert_eq!(oldest(None, 0, (2, 100)).await, (vec![1, 2], 2, false));
    assert_eq!(oldest(None, 10, (2, 100)).await, (vec![], 10, true));
    assert_eq!(oldest(None, 12, (2, 100)).await, (vec![], 12, true), "no row is taken for a new one");
}
