//! Two runs of the suite side by side, and the list of what has to be as good in the second one. A list is a file of
//! scenarios in `through/`, or the one word `all`; `UPDATE=1` writes what is as good now.

use crate::conformance::suite::{Check, Outcome, Results};
use crate::support::peers::repository;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What is worse in `through` than in `direct`, one line each.
fn losses(direct: &Outcome, through: &Outcome) -> Vec<String> {
    let lost = |check: &&Check| check.status == "SUCCESS" && !is_kept(check, through);
    let mut losses: Vec<_> = direct.0.iter().filter(lost).map(|check| describe(check, through)).collect();
    let failed = through.0.iter().filter(|check| {
        check.status == "FAILURE" && direct.status_of(&check.name).is_none_or(|same| same.status != "FAILURE")
    });
    for check in failed {
        let line = format!("{}: FAILURE {}", check.name, check.error);
        if !losses.contains(&line) {
            losses.push(line);
        }
    }
    losses
}

fn is_kept(check: &Check, through: &Outcome) -> bool {
    // A server may answer with JSON where another streams; then the suite has nothing to say of the streams. And who may be
    // asked nothing declares nothing: the requests that the gateway makes for itself, where the server has no more than lists.
    let free = match () {
        () if check.name.starts_with("server-sse-streams-functional") => Some("INFO"),
        () if check.name.starts_with("sep-2575-client-declares-") => Some("SKIPPED"),
        () => None,
    };
    through.status_of(&check.name).is_some_and(|same| same.status == "SUCCESS" || Some(&*same.status) == free)
}

fn describe(check: &Check, through: &Outcome) -> String {
    match through.status_of(&check.name) {
        Some(same) => format!("{}: {} {}", check.name, same.status, same.error),
        None => format!("{}: was not reached", check.name),
    }
}

/// The list of one comparison.
pub struct Ratchet {
    path: PathBuf,
    all: bool,
    named: BTreeSet<String>,
}

impl Ratchet {
    pub fn read(name: &str) -> Self {
        let path = repository().join("tests/it/conformance/through").join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let named: BTreeSet<_> = text.lines().map(str::to_owned).collect();
        Self { path, all: named.contains("all"), named }
    }

    /// Panics where a scenario of the list is worse in `through` than in `direct`.
    pub fn hold(&self, direct: &Results, through: &Results) {
        let nothing = Outcome::default();
        let mut kept = BTreeSet::new();
        let (mut broken, mut table) = (Vec::new(), String::new());
        for (scenario, first) in direct {
            let second = through.get(scenario).unwrap_or(&nothing);
            let losses = losses(first, second);
            if losses.is_empty() {
                kept.insert(scenario.clone());
                continue;
            }
            let must = self.must(scenario);
            let _ = writeln!(table, "{}", row(scenario, must, first, second, &losses));
            if must {
                broken.push(scenario.as_str());
            }
        }
        let gone: Vec<_> = self.named.iter().filter(|name| *name != "all" && !direct.contains_key(*name)).collect();
        if std::env::var_os("UPDATE").is_some() {
            self.write(&kept, kept.len() == direct.len());
            return;
        }
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        println!("{name}: {} of {} scenarios as good as direct\n{table}", kept.len(), direct.len());
        assert!(gone.is_empty(), "{name}: the suite has no such scenarios: {gone:?}");
        assert!(broken.is_empty(), "{name}: worse than without the gateway: {broken:?}\n{table}");
    }

    /// Whether `scenario` is on the list.
    pub fn must(&self, scenario: &str) -> bool {
        self.all || self.named.contains(scenario)
    }

    fn write(&self, kept: &BTreeSet<String>, all: bool) {
        let text = if all { "all\n".to_owned() } else { kept.iter().map(|name| format!("{name}\n")).collect() };
        std::fs::write(&self.path, text).unwrap();
    }
}

fn row(scenario: &str, must: bool, first: &Outcome, second: &Outcome, losses: &[String]) -> String {
    let ((passed, failed), (then_passed, then_failed)) = (first.tally(), second.tally());
    let mark = if must { "!" } else { " " };
    let mut row =
        format!("{mark} {scenario:<46} direct {passed:>2}/{failed:<2} through {then_passed:>2}/{then_failed:<2}");
    for loss in losses {
        let line: String = loss.chars().take(300).collect();
        let _ = write!(row, "\n      {line}");
    }
    row
}
