//! The journal on a disk that is full, locked, hangs or is too slow.

use super::*;

#[tokio::test]
async fn a_full_disk_refuses_calls_and_loses_nothing() {
    for durability in [Durability::Async, Durability::Journaled, Durability::Synced] {
        let (_folder, path) = folder();
        let pages: Arc<AtomicU32> = Arc::default();
        let max_pages = Arc::clone(&pages);
        let settings = Settings { options: Options::new(path.clone(), durability, PATIENT), bounds: BOUNDS, max_pages };
        let journal = Journal::start(settings).await.unwrap();
        let mut recorded = vec![Uuid::now_v7()];
        journal.record(&intent(recorded[0])).await.unwrap();

        pages.store(1, Ordering::SeqCst);
        let mut refused = Vec::new();
        while refused.is_empty() {
            let call = Uuid::now_v7();
            match journal.record(&intent(call)).await {
                Ok(()) => recorded.push(call),
                Err(_) => refused.push(call),
            }
        }
        until("the failure is known", || journal.health() != JournalHealth::Ok).await;
        assert!(matches!(journal.health(), JournalHealth::Failing { reason, .. } if reason.contains("full")));
        refused.push(Uuid::now_v7());
        let asked = Instant::now();
        assert!(journal.record(&intent(refused[1])).await.is_err(), "{durability:?}");
        assert!(asked.elapsed() < Duration::from_secs(5), "a known failure is told at once");
        for call in &recorded {
            journal.submit(&outcome(*call, Outcome::Ok));
        }
        for call in &refused {
            journal.submit(&outcome(*call, Outcome::Refused));
        }
        assert!(journal.figures().failing && journal.figures().backlog >= recorded.len() + refused.len());

        pages.store(0, Ordering::SeqCst);
        until("the journal is well again", || journal.health() == JournalHealth::Ok).await;
        recorded.push(Uuid::now_v7());
        journal.record(&intent(recorded[recorded.len() - 1])).await.unwrap();
        journal.submit(&outcome(recorded[recorded.len() - 1], Outcome::Ok));
        journal.close().await;
        let outcomes = outcomes(&path).await;
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "ok").count(), recorded.len(), "{durability:?}");
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "refused").count(), refused.len(), "{durability:?}");
        assert_eq!(outcomes.len(), recorded.len() + refused.len(), "{durability:?}");
        assert_eq!(journal.figures().dropped, 0);
        chained(&path).await;
    }
}

#[tokio::test]
async fn a_locked_file_holds_no_caller_longer_than_the_deadline() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Journaled, SHORT).await;
    let mut other = reader(&path).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let (call, asked) = (Uuid::now_v7(), Instant::now());
    assert!(journal.record(&intent(call)).await.is_err());
    assert!(asked.elapsed() < SHORT + Duration::from_secs(5), "{:?}", asked.elapsed());
    journal.submit(&outcome(call, Outcome::Refused));
    until("the failure is known", || journal.health() != JournalHealth::Ok).await;
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    until("the journal is well again", || journal.health() == JournalHealth::Ok).await;
    journal.close().await;
    assert_eq!(outcomes(&path).await, ["refused"], "the intent that came late is one call with its refusal");
}

#[tokio::test]
async fn a_disk_that_hangs_refuses_calls_before_the_write_ends() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Async, SHORT).await;
    journal.shared.state.lock().writing_since = Instant::now().checked_sub(SHORT * 2);
    assert!(matches!(journal.health(), JournalHealth::Failing { reason, .. } if reason.contains("has not ended")));
    assert!(matches!(journal.record(&intent(Uuid::now_v7())).await, Err(JournalError::Failing { .. })));
    journal.close().await;
}

#[tokio::test]
async fn a_flood_of_refusals_while_the_disk_fails_is_counted_and_calls_are_kept() {
    let (_folder, path) = folder();
    let pages: Arc<AtomicU32> = Arc::new(1.into());
    let bounds = Bounds { refuse: 50_000, keep: 200_000 };
    let settings = Settings {
        options: Options::new(path.clone(), Durability::Journaled, PATIENT),
        bounds,
        max_pages: Arc::clone(&pages),
    };
    let journal = Journal::start(settings).await.unwrap();
    while journal.health() == JournalHealth::Ok {
        // A page may have room for one or two.
        let _ = journal.record(&intent(Uuid::now_v7())).await;
    }
    (0..1000).for_each(|_| journal.submit(&refusal()));
    let dropped = journal.figures().dropped;
    assert!((800..1000).contains(&dropped), "{dropped}");
    assert!(journal.figures().backlog_bytes < 210_000);
    journal.submit_sum(&Entry { method: Some("journal/summary".into()), ..refusal() });
    assert_eq!(journal.figures().dropped, dropped, "what stands for others is not dropped");
    let call = Uuid::now_v7();
    journal.submit(&outcome(call, Outcome::Ok));
    pages.store(0, Ordering::SeqCst);
    until("the backlog is written", || journal.figures().backlog == 0).await;
    journal.close().await;
    assert_eq!(
        count(&path, "SELECT count(*) FROM calls WHERE outcome = 'ok'").await,
        1,
        "no outcome of a call is lost"
    );
    assert_eq!(count(&path, "SELECT count(*) FROM calls WHERE method = 'journal/summary'").await, 1);
    let detail: String = sqlx::query_scalar("SELECT detail FROM calls WHERE error = 'journal_unavailable'")
        .fetch_one(&mut reader(&path).await)
        .await
        .unwrap();
    assert!(detail.starts_with(&format!("{dropped} refused requests")), "{detail}");
}

#[tokio::test]
async fn a_backlog_that_is_too_large_refuses_calls() {
    let (_folder, path) = folder();
    let journal = open(&path, Durability::Async, PATIENT).await;
    journal.shared.backlog_bytes.fetch_add(BOUNDS.refuse + 1, Ordering::SeqCst);
    assert!(matches!(journal.record(&intent(Uuid::now_v7())).await, Err(JournalError::Behind { .. })));
    journal.close().await;
}
