//! The table of behaviours: each file in `tests/cases` says what comes in, what the upstream answers, and what must come
//! of it. Adding a behaviour is adding a file. `case` is the format, `run` plays a case through a real gateway.

mod case;
mod decide;
mod run;

use self::case::Case;
use crate::support::peers::repository;
use futures::{FutureExt, StreamExt};
use std::any::Any;
use std::panic::AssertUnwindSafe;

/// How many gateways run at the same time.
const AT_ONCE: usize = 3;

fn cases() -> Vec<Case> {
    let folder = repository().join("tests/cases");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    files.iter().map(|path| Case::read(path)).collect()
}

#[test]
fn every_case_can_be_read_and_has_a_name_of_its_own() {
    let cases = cases();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    assert_eq!(names.len(), cases.len());
}

#[test]
fn the_core_decides_every_case_as_written() {
    let mut asked = 0;
    for case in cases() {
        let Some(expected) = &case.expect.decision else { continue };
        let decision = decide::decision(&case);
        asked += 1;
        let said = (decision.effect.as_str(), &*decision.rule);
        assert_eq!(said, (expected.effect.as_str(), expected.rule.as_str()), "{} ({})", case.file, case.name);
    }
    assert!(asked >= 10, "{asked} cases");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_comes_out_as_written() {
    let runs = cases().into_iter().map(|case| async move {
        let (file, name) = (case.file.clone(), case.name.clone());
        let faults = AssertUnwindSafe(run::play(case)).catch_unwind().await.unwrap_or_else(|panic| vec![told(&panic)]);
        let tell = |fault: String| format!("{file} ({name}): {fault}");
        faults.into_iter().map(tell).collect::<Vec<_>>()
    });
    let faults: Vec<_> = futures::stream::iter(runs).buffer_unordered(AT_ONCE).concat().await;
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// What a panic said.
fn told(panic: &Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".to_owned())
}
