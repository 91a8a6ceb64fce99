//! The store of approvals on SQLite; `tests/it` runs whole gateways on Postgres.

use super::Work;
use super::approvals::{Opened, Selection};
use portcullis_core::approval::{Approval, Demand, Matter, Requester, State, Terms};
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Class, Severity};
use std::path::Path;
use tempfile::TempDir;

/// A pending approval that `subject` asks for.
pub(super) fn approval(id: &str, digest: &str, subject: &str) -> Approval {
    Approval {
        id: id.into(),
        version: 1,
        state: State::Pending,
        digest: digest.into(),
        requester: Requester { issuer: "dev".into(), subject: subject.into(), tenant: None, agent: None },
        matter: Matter {
            endpoint: "work".into(),
            upstream: "crm".into(),
            tool: "crm.delete".into(),
            definition: "0".into(),
            class: Class::Destructive,
            severity: Severity::High,
            arguments: "{}".into(),
            answers: None,
            preview: None,
        },
        terms: Terms {
            revision: "r".into(),
            demands: vec![Demand { rule: "destroy".into(), why: None, approvers: vec!["oncall".into()], quorum: 1 }],
        },
        created: Timestamp::from_secs(1),
        expires: Timestamp::from_secs(100),
        votes: Vec::new(),
        closing: None,
        call: None,
    }
}

async fn work(folder: &Path) -> Work {
    Work::sqlite(&folder.join("work.db")).await.unwrap()
}

#[tokio::test]
async fn one_call_has_one_open_approval_and_a_requester_a_bound() {
    let folder = TempDir::new().unwrap();
    let work = work(folder.path()).await;
    assert!(matches!(work.open_approval(&approval("a", "1", "dana"), 2).await.unwrap(), Opened::New));
    let Opened::Found(found) = work.open_approval(&approval("b", "1", "dana"), 2).await.unwrap() else { panic!() };
    assert_eq!(*found, approval("a", "1", "dana"));
    assert!(matches!(work.open_approval(&approval("b", "2", "dana"), 2).await.unwrap(), Opened::New));
    assert!(matches!(work.open_approval(&approval("c", "3", "dana"), 2).await.unwrap(), Opened::Full));
    assert!(matches!(work.open_approval(&approval("c", "3", "dora"), 2).await.unwrap(), Opened::New));
    assert_eq!(work.pending_approvals(Timestamp::from_secs(99)).await.unwrap(), 3);
    assert_eq!(work.overdue_approvals(Timestamp::from_secs(100)).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_change_is_made_once_and_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    let first = work(folder.path()).await;
    first.open_approval(&approval("a", "1", "dana"), 2).await.unwrap();
    let key = first.key("test", [7; 32]).await.unwrap();
    let found = first.approval("a").await.unwrap().unwrap();
    let approved = Approval { state: State::Approved, ..found.clone() };
    let denied = Approval { state: State::Denied, ..found };
    let now = Timestamp::from_secs(2);
    assert!(first.change_approval(&approved, now).await.unwrap());
    assert!(!first.change_approval(&denied, now).await.unwrap());
    first.close().await;
    let second = work(folder.path()).await;
    let found = second.approval("a").await.unwrap().unwrap();
    assert_eq!((found.state, found.version), (State::Approved, 2));
    assert_eq!(second.key("test", [8; 32]).await.unwrap().expose(), key.expose());
    let selection = Selection { state: Some((State::Pending, now)), ..Selection::default() };
    assert!(second.approvals(&selection, 10).await.unwrap().is_empty());
    assert_eq!(second.approvals(&Selection::default(), 10).await.unwrap(), [found]);
}

#[tokio::test]
async fn what_is_listed_is_of_one_tenant_and_in_the_state_that_it_has_by_now() {
    let folder = TempDir::new().unwrap();
    let work = work(folder.path()).await;
    for (id, tenant, created) in [("a", Some("one"), 1), ("b", Some("other"), 2), ("c", None, 3), ("d", Some("one"), 4)]
    {
        let mut approval = approval(id, id, "dana");
        approval.requester.tenant = tenant.map(str::to_owned);
        (approval.created, approval.expires) = (Timestamp::from_secs(created), Timestamp::from_secs(100 * created));
        assert!(matches!(work.open_approval(&approval, 9).await.unwrap(), Opened::New));
    }
    let list = async |selection: Selection, most| {
        let found = work.approvals(&selection, most).await.unwrap();
        found.into_iter().map(|approval| approval.id).collect::<String>()
    };
    let tenant = |tenant: Option<&str>| Selection { tenant: Some(tenant.map(str::to_owned)), ..Selection::default() };
    assert_eq!(list(Selection::default(), 9).await, "dcba");
    assert_eq!(list(tenant(Some("one")), 9).await, "da");
    assert_eq!(list(tenant(None), 9).await, "c", "of no tenant, and not of any");
    let before = Some((Timestamp::from_secs(4), "d".to_owned()));
    assert_eq!(list(Selection { before, ..tenant(Some("one")) }, 9).await, "a");
    let at = |state, secs| Selection { state: Some((state, Timestamp::from_secs(secs))), ..Selection::default() };
    assert_eq!(list(at(State::Pending, 100), 9).await, "dcb", "its time is over, whether that was written or not");
    assert_eq!(list(at(State::Expired, 200), 1).await, "b");
    assert_eq!(list(at(State::Expired, 99), 9).await, "");
}

/// Ten thousand pairs of changes at once, each from the same version: one of each pair is made, and the record is what that one
/// says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_at_once_one_is_made() {
    // In memory, where there is such a place: it is not the disk that is tried here.
    let place = Path::new("/dev/shm");
    let folder = if place.exists() { TempDir::new_in(place) } else { TempDir::new() }.unwrap();
    let work = work(folder.path()).await;
    work.open_approval(&approval("a", "1", "dana"), 2).await.unwrap();
    let mut current = work.approval("a").await.unwrap().unwrap();
    for round in 0..10_000 {
        let change = |call: &str| Approval { call: Some(format!("{call} {round}")), ..current.clone() };
        let (one, other) = (change("one"), change("other"));
        let now = Timestamp::from_secs(round);
        let (first, second) = tokio::join!(
            tokio::spawn({
                let (work, one) = (work.clone(), one.clone());
                async move { work.change_approval(&one, now).await.unwrap() }
            }),
            work.change_approval(&other, now)
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first != second, "round {round}: {first} {second}");
        let winner = if first { one } else { other };
        let found = work.approval("a").await.unwrap().unwrap();
        assert_eq!((found.version, &found.call), (current.version + 1, &winner.call), "round {round}");
        current = found;
    }
}
