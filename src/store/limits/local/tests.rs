//! Who is let in, and when.

use super::*;
use portcullis_core::limit::{LimitSet, LimitSubject};
use portcullis_core::principal::RoleSet;
use portcullis_core::tool::{Kind, ToolName};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

const SECOND: Duration = Duration::from_secs(1);

fn budgets(limits: &str, subject: &str) -> Vec<Budget> {
    let set = LimitSet::compile(&serde_json::from_str::<Vec<_>>(limits).unwrap()).unwrap();
    budgets_of(&set, subject)
}

fn budgets_of(set: &LimitSet, subject: &str) -> Vec<Budget> {
    let tool = ToolName::new("etl", "run");
    let roles = RoleSet::default();
    let (agent, tenant) = (None, None);
    let call = LimitSubject {
        issuer: "idp",
        subject,
        agent,
        tenant,
        roles: &roles,
        named: Some((Kind::Tool, &tool)),
        endpoint: "work",
    };
    set.applicable(&call).collect()
}

fn rate_left(limits: &LocalLimits, budgets: &[Budget], now: Instant) -> usize {
    (0..).take_while(|_| limits.admit_at(budgets.to_vec(), || now).is_ok()).count()
}

fn kept(limits: &LocalLimits) -> usize {
    limits.0.shards.iter().map(|shard| shard.lock().used_to.len()).sum()
}

#[test]
fn a_burst_passes_and_then_the_rate_holds() {
    let (limits, now) = (LocalLimits::new(), Instant::now());
    let budgets = budgets(r#"[{"per": ["user"], "rate": "60/m", "burst": 5}]"#, "alice");
    assert_eq!(rate_left(&limits, &budgets, now), 5);
    let refused = limits.admit_at(budgets.clone(), || now).err();
    assert_eq!(refused, Some(Refused::Rate { index: 0, retry_after: SECOND }));
    assert_eq!(rate_left(&limits, &budgets, now + SECOND - Duration::from_nanos(1)), 0);
    assert_eq!(rate_left(&limits, &budgets, now + SECOND), 1);
    assert_eq!(rate_left(&limits, &budgets, now + SECOND * 3600), 5, "never more than the burst");
}

#[test]
fn no_window_edge_lets_more_through_than_burst_and_rate() {
    let (limits, now) = (LocalLimits::new(), Instant::now());
    let budgets = budgets(r#"[{"per": ["user"], "rate": "7/s", "burst": 10}]"#, "alice");
    let steps = (0..3000).map(|milli| now + Duration::from_millis(milli));
    let admitted: usize = steps.map(|at| rate_left(&limits, &budgets, at)).sum();
    assert_eq!(admitted, 10 + 7 * 3 - 1, "the 21st comes due at 3.0 s, after the last step");
}

#[test]
fn users_do_not_draw_on_each_other() {
    let (limits, now) = (LocalLimits::new(), Instant::now());
    let rule = r#"[{"per": ["user"], "rate": "2/m"}]"#;
    assert_eq!(rate_left(&limits, &budgets(rule, "alice"), now), 2);
    assert_eq!(rate_left(&limits, &budgets(rule, "bob"), now), 2);
}

#[test]
fn a_refused_call_charges_no_budget() {
    let (limits, now) = (LocalLimits::new(), Instant::now());
    let both = budgets(r#"[{"per": ["user"], "rate": "5/m"}, {"per": ["tool"], "rate": "2/m"}]"#, "alice");
    assert_eq!(rate_left(&limits, &both, now), 2);
    assert_eq!(rate_left(&limits, &both[..1], now), 3, "only the two that passed were charged");
}

#[test]
fn a_refusal_by_concurrency_charges_no_rate_and_frees_with_the_guard() {
    let (limits, now) = (LocalLimits::new(), Instant::now());
    let all = budgets(r#"[{"per": ["user"], "rate": "5/m"}, {"per": ["user"], "concurrency": 1}]"#, "alice");
    let running = limits.admit_at(all.clone(), || now).ok().unwrap();
    assert_eq!(limits.admit_at(all.clone(), || now).err(), Some(Refused::Concurrency { index: 1 }));
    drop(running);
    assert_eq!(rate_left(&limits, &all, now), 4);
    assert!(limits.0.shards.iter().all(|shard| shard.lock().running.is_empty()), "nothing is kept of calls that ended");
}

#[test]
fn the_longest_wait_is_named_and_concurrency_before_rates() {
    let (limits, now) = (LocalLimits::new(), Instant::now());
    let rates = budgets(
        r#"[{"per": ["user"], "rate": "1/s"}, {"per": ["user"], "rate": "1/m"}, {"per": ["user"], "rate": "1/m", "burst": 2}]"#,
        "alice",
    );
    assert!(limits.admit_at(rates.clone(), || now).is_ok());
    let refused = limits.admit_at(rates, || now).err().unwrap();
    assert_eq!(refused, Refused::Rate { index: 1, retry_after: SECOND * 60 });
    assert_eq!(refused.graver(Refused::Concurrency { index: 3 }), Refused::Concurrency { index: 3 });
    assert_eq!(Rejection::from(refused), Rejection::RateLimited { retry_after: SECOND * 60 });
}

#[test]
fn a_reload_refills_nobody() {
    let (limits, now) = (LocalLimits::new(), Instant::now());
    let before = r#"[{"per": ["user"], "rate": "60/m", "burst": 30}]"#;
    assert_eq!(rate_left(&limits, &budgets(before, "alice"), now), 30);
    assert_eq!(rate_left(&limits, &budgets(before, "alice"), now), 0, "the same again");
    let larger = r#"[{"per": ["tool"], "rate": "9/s"}, {"per": ["user"], "rate": "60/m", "burst": 40}]"#;
    assert_eq!(rate_left(&limits, &budgets(larger, "alice")[1..], now), 10, "what was taken stays taken");
    let smaller = budgets(r#"[{"per": ["user"], "rate": "1/s", "burst": 1}]"#, "alice");
    let refused = limits.admit_at(smaller.clone(), || now).err();
    assert_eq!(refused, Some(Refused::Rate { index: 0, retry_after: SECOND }), "its own patience, not the old one's");
}

#[test]
fn threads_at_once_are_admitted_exactly_up_to_the_limit() {
    let limits = LocalLimits::new();
    let rates = budgets(r#"[{"per": ["user"], "rate": "100/d"}, {"per": ["tool"], "rate": "150/d"}]"#, "alice");
    let slots = budgets(r#"[{"per": [], "concurrency": 7}]"#, "alice");
    let (admitted, held, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..50 {
                    admitted.fetch_add(usize::from(limits.admit(rates.clone()).is_ok()), Ordering::SeqCst);
                }
                let mine: Vec<_> = (0..5).filter_map(|_| limits.admit(slots.clone()).ok()).collect();
                held.fetch_add(mine.len(), Ordering::SeqCst);
                start.wait();
            });
        }
    });
    assert_eq!(admitted.into_inner(), 100);
    assert_eq!(held.into_inner(), 7);
    assert!(limits.admit(slots).is_ok(), "all were freed");
}

#[test]
fn a_million_subjects_leave_few_budgets_once_they_are_full_again() {
    let set = LimitSet::compile(&serde_json::from_str::<Vec<_>>(r#"[{"per": ["user"], "rate": "1/s"}]"#).unwrap());
    let (limits, set, start) = (LocalLimits::new(), set.unwrap(), Instant::now());
    for number in 0..1_000_000_u64 {
        let at = start + Duration::from_micros(number * 50);
        assert!(limits.admit_at(budgets_of(&set, &number.to_string()), || at).is_ok());
    }
    assert!(kept(&limits) <= 64 * (SWEEP_FROM + 1), "{} budgets are kept", kept(&limits));
}

#[test]
fn a_budget_in_use_is_never_forgotten() {
    let set = LimitSet::compile(&serde_json::from_str::<Vec<_>>(r#"[{"per": ["user"], "rate": "1/h"}]"#).unwrap());
    let (limits, set, now) = (LocalLimits::new(), set.unwrap(), Instant::now());
    for number in 0..200_000_u64 {
        assert!(limits.admit_at(budgets_of(&set, &number.to_string()), || now).is_ok());
    }
    assert_eq!(kept(&limits), 200_000);
    for number in (0..200_000_u64).step_by(97) {
        assert!(limits.admit_at(budgets_of(&set, &number.to_string()), || now + SECOND).is_err());
    }
    let bytes: usize = limits.0.shards.iter().map(|shard| shard.lock().used_to.capacity() * 8 / 7 * 25).sum();
    assert!(bytes < 64 << 20, "{bytes} bytes");
}
