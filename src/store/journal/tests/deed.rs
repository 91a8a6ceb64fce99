//! What people do, in the record: what they were about to do, and what became of it.

use super::super::deed::Deed;
use super::*;

fn act() -> Entry {
    entry(Uuid::now_v7(), EntryKind::Event, Some(Outcome::Ok))
}

#[tokio::test]
async fn an_act_is_on_record_before_it_is_done_and_its_end_after() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    let done = Deed::begin(&journal, act()).await.unwrap();
    let refused = Deed::begin(&journal, act()).await.unwrap();
    let left = Deed::begin(&journal, act()).await.unwrap();
    assert_eq!(outcomes(&path).await, ["-", "-", "-"], "nothing is told as done that is not");
    done.done();
    refused.refused("too_late");
    drop(left);
    journal.close().await;
    assert_eq!(outcomes(&path).await, ["ok", "refused", "unknown"]);
    let sql = "SELECT count(*) FROM calls WHERE error = 'too_late' AND outcome = 'refused' AND termination = 'refused'";
    assert_eq!(count(&path, sql).await, 1);
    assert_eq!(count(&path, "SELECT count(*) FROM entries WHERE kind = 'event'").await, 0);
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_begun() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, PATIENT).await;
    journal.close().await;
    assert!(Deed::begin(&journal, act()).await.is_err());
    assert_eq!(outcomes(&path).await, [""; 0]);
}
