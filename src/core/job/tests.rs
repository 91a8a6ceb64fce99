//! The transitions of jobs, one by one and in any order. The store is not tested here.

use super::{Draft, Ending, Job, JobId, Keep, Owner, Refusal, State, Terms, Tool, backoff};
use crate::policy::{AccessRequest, Arguments, Context, Inventory, Permit, PolicySet, decide};
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::tool::{Kind, ToolName};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
const KEEP: Keep = Keep { ended: DAY, dead: DAY };

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// The permission that a policy gives, where `etl.run` is what is said here.
fn permit(idempotent: bool, attempts: u32) -> Permit {
    let policy = format!(
        "{{\"version\":1,\"roles\":{{\"r\":{{}}}},\"tools\":[{{\"match\":\"etl.run\",\"class\":\"read\",\
         \"mode\":\"job\",\"idempotent\":{idempotent},\"attempts\":{attempts}}}],\
         \"access\":[{{\"roles\":[\"r\"],\"upstreams\":[\"etl\"],\"level\":\"read\"}}]}}"
    );
    let inventory = Inventory { upstreams: ["etl".to_owned()].into(), endpoints: Default::default() };
    let policy = PolicySet::compile(&serde_json::from_str(&policy).unwrap(), &inventory).unwrap();
    let principal = Principal { roles: ["r".to_owned()].into(), ..Principal::new("i", "ana") };
    let roles = policy.roles(&principal);
    let context = Context { endpoint: "work", method: "tools/call", protocol: "2026-07-28", client: None };
    let request = AccessRequest {
        principal: &principal,
        roles: &roles,
        kind: Kind::Tool,
        tool: &ToolName::new("etl", "run"),
        arguments: Arguments::Any,
        context: &context,
    };
    decide(&policy, &request, at(0)).permit().unwrap()
}

fn job(idempotent: bool, attempts: u32) -> Job {
    let owner = Owner { issuer: "i".into(), subject: "ana".into(), tenant: None, agent: None };
    let draft = Draft {
        id: JobId::new(7),
        owner,
        endpoint: "work".into(),
        tool: Tool { upstream: "etl".into(), name: "run".into() },
        digest: "d".into(),
        key: None,
        revision: "1".into(),
        traceparent: String::new(),
    };
    Job::new(draft, &permit(idempotent, attempts), at(0), DAY)
}

fn sent(job: &Job) -> Job {
    let leased = job.lease(job.due(), LEASE).unwrap();
    leased.send(leased.fence, leased.updated, LEASE).unwrap()
}

#[test]
fn an_id_reads_back_and_nothing_else_is_one() {
    let id = JobId::new(0xfe);
    assert_eq!(id.as_str(), "job_000000000000000000000000000000fe");
    assert_eq!(JobId::parse(id.as_str()), Some(id));
    for odd in ["", "job_", "job_00", "job_0000000000000000000000000000000G", "xob_000000000000000000000000000000fe"] {
        assert_eq!(JobId::parse(odd), None, "{odd}");
    }
}

#[test]
fn no_two_owners_have_one_key() {
    let owner = |tenant: Option<&str>, agent: Option<&str>| Owner {
        issuer: "i".into(),
        subject: "s".into(),
        tenant: tenant.map(Into::into),
        agent: agent.map(Into::into),
    };
    let all = [owner(None, None), owner(Some(""), None), owner(None, Some("")), owner(Some("1:a"), None)];
    for (position, one) in all.iter().enumerate() {
        for other in &all[position + 1..] {
            assert_ne!(one.key(), other.key());
        }
    }
    assert_eq!(owner(None, Some("x")).person(), owner(None, None).person());
}

#[test]
fn a_job_is_taken_once_and_when_it_is_due() {
    let job = job(true, 3);
    assert_eq!(job.lease(at(-1), LEASE), Err(Refusal::Early));
    let leased = job.lease(at(0), LEASE).unwrap();
    assert_eq!((leased.attempts, leased.fence, leased.version), (1, 1, 2));
    assert_eq!(leased.lease(at(1), LEASE), Err(Refusal::Stands("running")));
}

#[test]
fn a_late_worker_is_not_heard() {
    let job = sent(&job(true, 3));
    let late = at(31);
    assert_eq!(job.renew(1, late, LEASE), Err(Refusal::Lost), "its lease has run out");
    assert_eq!(job.finish(1, Ending::Done, late, PAUSE, KEEP), Err(Refusal::Lost));
    let again = job.overrun(late, PAUSE, KEEP).unwrap();
    let other = again.lease(again.due(), LEASE).unwrap();
    assert_eq!(other.fence, 2);
    assert_eq!(other.finish(1, Ending::Done, other.updated, PAUSE, KEEP), Err(Refusal::Lost), "another has it");
    let done = other.finish(2, Ending::Done, other.updated, PAUSE, KEEP).unwrap();
    assert_eq!(done.finish(1, Ending::Done, at(40), PAUSE, KEEP), Err(Refusal::Lost));
    assert_eq!(done.cancel(at(40), DAY), Err(Refusal::Stands("done")));
}

#[test]
fn what_may_have_run_is_left_to_a_person_unless_it_may_run_twice() {
    let once = sent(&job(false, 3));
    assert_eq!(once.overrun(at(30), PAUSE, KEEP).unwrap().state, State::NeedsReview);
    assert_eq!(once.finish(1, Ending::Unknown("x"), at(1), PAUSE, KEEP).unwrap().state, State::NeedsReview);
    let twice = sent(&job(true, 3));
    assert_eq!(twice.overrun(at(30), PAUSE, KEEP).unwrap().state, State::Queued { due: at(31) });
    assert_eq!(twice.finish(1, Ending::Unknown("x"), at(1), PAUSE, KEEP).unwrap().state, State::Queued { due: at(2) });
}

#[test]
fn a_tool_that_may_not_run_twice_any_more_is_taken_at_its_word() {
    let live = Terms { idempotent: false, attempts: 9 };
    let frozen = sent(&job(true, 3));
    assert_eq!(frozen.under(live).overrun(at(30), PAUSE, KEEP).unwrap().state, State::NeedsReview);
    assert_eq!(frozen.under(live).terms.attempts, 3);
    let other = Terms { idempotent: true, ..live };
    assert!(frozen.under(other).terms.idempotent && !job(false, 3).under(other).terms.idempotent);
}

#[test]
fn an_approval_is_spent_once_a_call_may_have_run() {
    let agreed = |idempotent| Job { approval: Some("a".into()), ..job(idempotent, 1) };
    let unsent = agreed(false).lease(at(0), LEASE).unwrap().finish(1, Ending::Unsent("x"), at(1), PAUSE, KEEP).unwrap();
    assert_eq!(unsent.state, State::Dead);
    assert_eq!(unsent.requeue(at(2), DAY).unwrap().approval(), Some("a"), "nothing left");
    for ended in [
        sent(&agreed(false)).finish(1, Ending::Unknown("x"), at(1), PAUSE, KEEP).unwrap(),
        sent(&agreed(false)).overrun(at(30), PAUSE, KEEP).unwrap(),
        sent(&agreed(true)).finish(1, Ending::Unknown("x"), at(1), PAUSE, KEEP).unwrap(),
        sent(&agreed(true)).overrun(at(30), PAUSE, KEEP).unwrap(),
    ] {
        assert_eq!((ended.may_have_run, ended.approval()), (true, Some("a")));
        let back = ended.requeue(at(60), DAY).unwrap();
        assert_eq!((back.may_have_run, back.approval()), (false, None));
    }
}

#[test]
fn what_never_left_is_tried_again_whatever_the_tool() {
    let leased = job(false, 2).lease(at(0), LEASE).unwrap();
    let again = leased.overrun(at(30), PAUSE, KEEP).unwrap();
    assert_eq!(again.state, State::Queued { due: at(31) });
    let last = again.lease(at(31), LEASE).unwrap();
    let dead = last.finish(2, Ending::Unsent("upstream_unavailable"), at(32), PAUSE, KEEP).unwrap();
    assert_eq!((dead.state, dead.reason.as_deref()), (State::Dead, Some("upstream_unavailable")));
    let back = dead.requeue(at(40), DAY).unwrap();
    assert_eq!((back.state, back.attempts, back.fence), (State::Queued { due: at(40) }, 0, 2));
    let postponed = leased.finish(1, Ending::Postponed("x"), at(1), PAUSE, KEEP).unwrap();
    assert_eq!(postponed.attempts, 0, "no try");
}

#[test]
fn a_job_that_waited_too_long_fails() {
    let job = job(true, 1);
    assert_eq!(job.expire(at(1), DAY), Err(Refusal::Early));
    let failed = job.expire(at(86_400), DAY).unwrap();
    assert_eq!((failed.state, failed.reason.as_deref()), (State::Failed, Some("expired")));
}

#[test]
fn a_result_that_is_dropped_leaves_a_job_that_has_run() {
    let running = sent(&job(false, 1));
    assert_eq!(running.drop_result(at(1)), Err(Refusal::Stands("running")));
    let done = running.finish(1, Ending::Done, at(1), PAUSE, KEEP).unwrap();
    let dropped = done.drop_result(at(2)).unwrap();
    assert!(dropped.has_lost_result() && !done.has_lost_result());
    assert_eq!((dropped.state, dropped.expires, dropped.version), (State::Done, done.expires, done.version + 1));
    assert_eq!(dropped.requeue(at(3), DAY), Err(Refusal::Stands("done")), "it is not run again");
}

#[test]
fn what_waits_for_people_is_run_once_they_agree_and_by_none_before() {
    let until = at(100);
    let asks = Job { state: State::Waiting { until }, note: Some("here".into()), redeems: true, ..job(false, 1) };
    let asks = Job { approval: Some("a".into()), ..asks };
    assert!(asks.state.is_open() && asks.due() == until);
    assert_eq!(asks.redeems(), Some("a"), "nobody has redeemed it");
    assert_eq!(asks.lease(at(200), LEASE), Err(Refusal::Stands("waiting")));
    assert_eq!(asks.expire(at(200), DAY), Err(Refusal::Stands("waiting")), "its approval does");
    let agreed = asks.release(at(5), DAY).unwrap();
    assert_eq!((agreed.state, agreed.note.as_deref()), (State::Queued { due: at(5) }, None));
    assert_eq!(agreed.release(at(6), DAY), Err(Refusal::Stands("queued")), "once");
    assert_eq!(agreed.refuse("late", None, at(6), DAY), Err(Refusal::Stands("queued")));
    let refused = asks.refuse("approval_denied", Some("no".into()), at(5), DAY).unwrap();
    assert_eq!((refused.state, refused.reason.as_deref()), (State::Failed, Some("approval_denied")));
    assert_eq!(refused.release(at(6), DAY), Err(Refusal::Stands("failed")));
    assert_eq!(asks.cancel(at(5), DAY).unwrap().release(at(6), DAY), Err(Refusal::Stands("cancelled")));
    let read: Job = serde_json::from_str(&serde_json::to_string(&asks).unwrap()).unwrap();
    assert_eq!(read, asks);
}

#[test]
fn pauses_grow_to_a_bound() {
    assert_eq!(backoff(1, 0.0), Duration::from_secs(1));
    assert_eq!(backoff(1, 1.0), Duration::from_millis(500));
    assert_eq!(backoff(4, 0.0), Duration::from_secs(8));
    assert_eq!(backoff(u32::MAX, 0.0), Duration::from_mins(5));
}

#[derive(Debug, Clone)]
enum Event {
    Lease,
    Send(u64),
    Finish(u64, Ending<'static>),
    Overrun,
    Cancel,
    Expire,
}

fn event() -> impl Strategy<Value = Event> {
    let ending = prop_oneof![
        Just(Ending::Done),
        Just(Ending::Failed("f")),
        Just(Ending::Unsent("u")),
        Just(Ending::Unknown("k")),
        Just(Ending::Postponed("p")),
    ];
    prop_oneof![
        4 => Just(Event::Lease),
        4 => (1_u64..4).prop_map(Event::Send),
        2 => (1_u64..4, ending).prop_map(|(fence, ending)| Event::Finish(fence, ending)),
        2 => Just(Event::Overrun),
        1 => Just(Event::Cancel),
        1 => Just(Event::Expire),
    ]
}

proptest! {
    /// Whatever happens in whichever order: a call that must not run twice is sent once, but where nothing of it left.
    #[test]
    fn a_call_is_sent_as_often_as_it_may_be(
        idempotent in any::<bool>(),
        attempts in 1_u32..4,
        events in proptest::collection::vec((event(), 0_i64..40), 0..60),
    ) {
        let (mut job, mut now, mut may_have_run, mut leased) = (job(idempotent, attempts), 0, 0_u32, 0_u32);
        for (event, passed) in events {
            now += passed;
            let before = job.clone();
            let next = match &event {
                Event::Lease => job.lease(at(now), LEASE),
                Event::Send(fence) => job.send(*fence, at(now), LEASE),
                Event::Finish(fence, ending) => job.finish(*fence, *ending, at(now), PAUSE, KEEP),
                Event::Overrun => job.overrun(at(now), PAUSE, KEEP),
                Event::Cancel => job.cancel(at(now), DAY),
                Event::Expire => job.expire(at(now), DAY),
            };
            let Ok(next) = next else { continue };
            assert_eq!(next.version, before.version + 1);
            assert!(before.state.is_open(), "an end is an end");
            match event {
                Event::Send(_) => may_have_run += 1,
                Event::Finish(_, Ending::Unsent(_) | Ending::Postponed(_))
                    if matches!(before.state, State::Running { sent: true, .. }) => may_have_run -= 1,
                Event::Lease => leased += 1,
                _ => {}
            }
            if matches!(event, Event::Finish(_, Ending::Postponed(_))) {
                leased -= 1;
            }
            job = next;
            assert!(leased <= attempts);
            assert!(may_have_run <= if idempotent { attempts } else { 1 });
        }
    }
}
