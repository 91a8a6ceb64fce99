//! What `tests/peers/README.md` says of the suites before an upstream of the other era, held to the lists of `through/`.

use crate::conformance::suite::Results;
use crate::support::peers::repository;
use std::collections::BTreeMap;

/// What a table says of one scenario in one list.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    verdict: String,
    why_not: String,
}

/// What the table says that has a column for `list`, by scenario.
fn said(list: &str) -> BTreeMap<String, Said> {
    let text = std::fs::read_to_string(repository().join("tests/peers/README.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let mut lines = text.lines().skip_while(|line| !line.starts_with('|') || !cells(line).contains(&list.to_owned()));
    let head = cells(lines.next().unwrap_or_else(|| panic!("no table has a column for {list}")));
    let column = head.iter().position(|cell| cell == list).unwrap();
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    let said = |row: Vec<String>| {
        let said = Said { verdict: row[column].clone(), why_not: row.last().unwrap().clone() };
        (row[0].clone(), said)
    };
    rows.map(said).collect()
}

/// Panics where the table for `list` does not say of the scenarios in `direct` what `must` says of them.
pub fn hold(list: &str, direct: &Results, must: impl Fn(&str) -> bool) {
    let mut said = said(list);
    let mut faults = Vec::new();
    for scenario in direct.keys() {
        let expected = if must(scenario) { "yes" } else { "no" };
        match said.remove(scenario) {
            None => faults.push(format!("{scenario} is missing")),
            Some(said) if said.verdict != expected => faults.push(format!("{scenario}: {said:?}, not {expected}")),
            Some(said) if expected == "no" && said.why_not.is_empty() => faults.push(format!("{scenario}: why not?")),
            Some(_) => {}
        }
    }
    let others = said.into_iter().filter(|(_, said)| said.verdict != "-");
    faults.extend(others.map(|(scenario, _)| format!("{scenario} is no scenario of this suite")));
    assert!(faults.is_empty(), "tests/peers/README.md on {list}:\n{}", faults.join("\n"));
}
