//! The statements about jobs, on SQLite.

use super::*;
use portcullis_core::job::{Draft, Ending, Keep, Owner, Tool};
use portcullis_core::policy::{AccessRequest, Arguments, Context, Inventory, Permit, PolicySet, decide};
use portcullis_core::principal::Principal;
use portcullis_core::tool::{Kind, ToolName};
use std::collections::BTreeSet;
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);
const KEEP: Keep = Keep { ended: DAY, dead: DAY };
/// Pairs of changes that race.
const PAIRS: u128 = 10_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn permit(principal: &Principal) -> Permit {
    let policy = r#"{"version":1,"roles":{"r":{}},"tools":[{"match":"etl.run","class":"read","mode":"job"}],
        "access":[{"roles":["r"],"upstreams":["etl"],"level":"read"}]}"#;
    let inventory = Inventory { upstreams: ["etl".to_owned()].into(), endpoints: BTreeSet::new() };
    let policy = PolicySet::compile(&serde_json::from_str(policy).unwrap(), &inventory).unwrap();
    let roles = policy.roles(principal);
    let context = Context { endpoint: "work", method: "tools/call", protocol: "2026-07-28", client: None };
    let tool = ToolName::new("etl", "run");
    let request = AccessRequest {
        principal,
        roles: &roles,
        kind: Kind::Tool,
        tool: &tool,
        arguments: Arguments::Any,
        context: &context,
    };
    decide(&policy, &request, at(0)).permit().unwrap()
}

fn job(number: u128, subject: &str, key: Option<&str>, digest: &str) -> Job {
    let principal = Principal { roles: ["r".to_owned()].into(), ..Principal::new("dev", subject) };
    let draft = Draft {
        id: JobId::new(number),
        owner: Owner::of(&principal),
        endpoint: "work".into(),
        tool: Tool { upstream: "etl".into(), name: "run".into() },
        digest: digest.into(),
        key: key.map(str::to_owned),
        revision: "1".into(),
        traceparent: String::new(),
    };
    Job::new(draft, &permit(&principal), at(1), DAY)
}

/// In memory, where there is a file system for it: nothing here is about the disk.
async fn work() -> (TempDir, Work) {
    let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
    let work = Work::sqlite(&folder.path().join("work.db")).await.unwrap();
    (folder, work)
}

#[tokio::test]
async fn a_key_is_one_job_and_a_call_without_one_is_while_it_is_open() {
    let (_folder, work) = work().await;
    let enqueue = async |job: &Job| work.enqueue(job, "sealed", 9).await.unwrap();
    let first = job(1, "ana", Some("k"), "d");
    assert!(matches!(enqueue(&first).await, Enqueued::New));
    let Enqueued::Found(found) = enqueue(&job(2, "ana", Some("k"), "d")).await else { panic!("a second job") };
    assert_eq!(*found, first);
    assert!(matches!(enqueue(&job(3, "ana", Some("k"), "other")).await, Enqueued::Conflict));
    assert!(matches!(enqueue(&job(4, "bob", Some("k"), "other")).await, Enqueued::New));
    let plain = job(5, "ana", None, "d");
    assert!(matches!(enqueue(&plain).await, Enqueued::New));
    assert!(matches!(enqueue(&job(6, "ana", None, "d")).await, Enqueued::Found(found) if *found == plain));
    work.step_job(&plain.id, None, |job| job.cancel(at(2), DAY)).await.unwrap();
    assert!(matches!(enqueue(&job(7, "ana", None, "d")).await, Enqueued::New));
}

#[tokio::test]
async fn a_user_has_a_bound_and_jobs_are_taken_in_turn_and_forgotten() {
    let (_folder, work) = work().await;
    for number in 0..3 {
        let enqueued = work.enqueue(&job(number, "ana", None, &number.to_string()), "sealed", 2).await.unwrap();
        assert_eq!(matches!(enqueued, Enqueued::Full), number == 2, "{enqueued:?}");
    }
    assert!(work.take_job(at(0), LEASE, 0).await.unwrap().is_none(), "none is due yet");
    let taken = work.take_job(at(2), LEASE, 1).await.unwrap().unwrap();
    assert_eq!((taken.job.id.clone(), taken.call.as_str()), (JobId::new(1), "sealed"));
    let done = taken.job.finish(1, Ending::Done, at(3), LEASE, KEEP).unwrap();
    assert!(work.change_job(&done, Some("answer")).await.unwrap());
    assert_eq!(work.job(&done.id).await.unwrap().unwrap().answer.as_deref(), Some("answer"));
    let counts = work.count_jobs().await.unwrap();
    assert_eq!((counts["queued"], counts["done"], counts["dead"]), (1, 1, 0));
    let list = |tenant| JobSelection { tenant: Some(tenant), ..JobSelection::default() };
    assert_eq!(work.jobs(&list(None), 9).await.unwrap().len(), 2);
    assert!(work.jobs(&list(Some("other".into())), 9).await.unwrap().is_empty());
    assert!(work.overdue_jobs(at(4)).await.unwrap().is_empty());
    assert_eq!(work.overdue_jobs(at(100_000)).await.unwrap().len(), 1, "it has waited for too long");
    assert_eq!(work.forget_jobs(at(100_000)).await.unwrap(), 1);
    assert!(work.job(&done.id).await.unwrap().is_none());
}

#[tokio::test]
async fn the_oldest_results_are_dropped_first_and_their_jobs_stay() {
    let (_folder, work) = work().await;
    for number in 1..4_u32 {
        let job = job(number.into(), "ana", None, &number.to_string());
        assert!(matches!(work.enqueue(&job, "sealed", 9).await.unwrap(), Enqueued::New));
        let running = job.lease(at(1), LEASE).unwrap();
        assert!(work.change_job(&running, None).await.unwrap());
        // The one that was made first ends last.
        let done = running.finish(1, Ending::Done, at(9 - i64::from(number)), LEASE, KEEP).unwrap();
        assert!(work.change_job(&done, Some(&"x".repeat(10 * number as usize))).await.unwrap());
    }
    assert_eq!(work.result_bytes().await.unwrap(), 60);
    let oldest = work.oldest_results().await.unwrap();
    let bytes: Vec<_> = oldest.iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(bytes, [30, 20, 10]);
    let next = oldest[0].0.drop_result(at(9)).unwrap();
    assert!(work.drop_result(&next).await.unwrap());
    assert!(!work.drop_result(&next).await.unwrap(), "once");
    let kept = work.job(&next.id).await.unwrap().unwrap();
    assert!(kept.answer.is_none() && kept.job.has_lost_result());
    assert_eq!((work.result_bytes().await.unwrap(), work.oldest_results().await.unwrap().len()), (30, 2));
}

/// Case 170.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_end_and_a_cancellation_at_the_same_time_one_wins() {
    let (_folder, work) = work().await;
    let (mut done, mut cancelled) = (0, 0);
    for number in 0..PAIRS {
        let job = job(number, "ana", None, &number.to_string());
        assert!(matches!(work.enqueue(&job, "sealed", 9).await.unwrap(), Enqueued::New));
        let running = job.lease(at(1), LEASE).unwrap();
        assert!(work.change_job(&running, None).await.unwrap());
        let change = |finish: bool| {
            let (work, id) = (work.clone(), job.id.clone());
            tokio::spawn(async move {
                let finish = |job: &Job| match finish {
                    true => job.finish(1, Ending::Done, at(2), LEASE, KEEP),
                    false => job.cancel(at(2), DAY),
                };
                work.step_job(&id, None, finish).await.unwrap()
            })
        };
        let (finished, ended) = tokio::join!(change(true), change(false));
        let won = |changed: &Changed| matches!(changed, Changed::To(..));
        let (finished, ended) = (won(&finished.unwrap()), won(&ended.unwrap()));
        assert!(finished != ended, "{number}: finished {finished}, cancelled {ended}");
        let state = work.job(&job.id).await.unwrap().unwrap().job.state;
        assert_eq!(state, if finished { State::Done } else { State::Cancelled });
        (done, cancelled) = (done + u32::from(finished), cancelled + u32::from(ended));
    }
    assert_eq!(u128::from(done + cancelled), PAIRS);
}
