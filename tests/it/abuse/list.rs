//! The list of abuse cases: its groups and numbers, which of them Rust code plays, and whether anything is missing.

use super::case::Group;
use crate::support::peers::repository;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The groups of the list and their numbers.
const GROUPS: [(char, RangeInclusive<u16>); 16] = [
    ('A', 1..=25),
    ('B', 26..=37),
    ('C', 38..=57),
    ('D', 58..=66),
    ('E', 67..=88),
    ('F', 89..=105),
    ('G', 106..=113),
    ('H', 114..=121),
    ('I', 122..=133),
    ('J', 134..=147),
    ('K', 148..=159),
    ('L', 160..=170),
    ('M', 171..=177),
    ('N', 178..=184),
    ('O', 185..=193),
    ('P', 194..=202),
];

/// Cases that data can't say, and the tests that play them.
pub const IN_CODE: &[(u16, fn())] = &[
    (34, super::headers::no_revision_dodges_a_decision),
    (111, super::limits::no_limit_reads_the_time_of_day),
    (198, super::addresses::an_address_that_is_not_allowed_is_not_connected_to),
];

/// What there is of a group.
#[derive(Debug, Default, PartialEq)]
pub struct Extent {
    /// Numbers with data that is played.
    pub played: BTreeSet<u16>,
    /// Numbers that only tests of their own show.
    pub coded: BTreeSet<u16>,
    /// Numbers that are only decided: not met here, with the reason.
    pub decided: BTreeSet<u16>,
    /// All that is wrong with it.
    pub faults: Vec<String>,
}

impl Extent {
    /// How many numbers the group has.
    pub fn numbers(letter: char) -> usize {
        GROUPS.iter().find(|(group, _)| *group == letter).map_or(0, |(_, numbers)| numbers.len())
    }

    /// Compares `group` with the list, and with what Rust plays of it.
    pub fn of(group: &Group, in_code: &[u16]) -> Self {
        let mut extent = Self::default();
        let Some((_, numbers)) = GROUPS.iter().find(|(letter, _)| *letter == group.group) else {
            extent.faults.push(format!("{}: the list has no group {}", group.file, group.group));
            return extent;
        };
        for case in &group.cases {
            let mut tell =
                |fault: &str| extent.faults.push(format!("{}: {} ({}) {fault}", group.file, case.case, case.says));
            if !numbers.contains(&case.case) {
                tell("is not of this group");
            }
            for test in case.shown.iter().filter(|test| !is_test(test)) {
                tell(&format!("is shown by {test}, which is no test"));
            }
            match (case.send.is_empty(), case.shown.is_empty(), &case.decision) {
                (true, true, None) => tell("sends nothing, and neither a test nor a decision is named"),
                (true, true, Some(_)) => drop(extent.decided.insert(case.case)),
                (true, false, _) => drop(extent.coded.insert(case.case)),
                (false, ..) => drop(extent.played.insert(case.case)),
            }
            if case.stage.as_ref().is_some_and(|stage| !group.stages.contains_key(stage)) {
                extent.faults.push(format!("{}: {} is played on a stage that there is not", group.file, case.case));
            }
        }
        extent.coded.extend(in_code.iter().copied().filter(|number| numbers.contains(number)));
        extent.coded.retain(|number| !extent.played.contains(number));
        extent.decided.retain(|number| !extent.played.contains(number) && !extent.coded.contains(number));
        let missing = numbers.clone().filter(|number| !extent.has(*number));
        let missing: Vec<_> = missing.map(|number| format!("{}: case {number} is missing", group.file)).collect();
        extent.faults.extend(missing);
        extent
    }

    fn has(&self, number: u16) -> bool {
        [&self.played, &self.coded, &self.decided].iter().any(|numbers| numbers.contains(&number))
    }
}

/// Whether `file::name` is a test that runs with the others.
fn is_test(path: &str) -> bool {
    let Some((file, name)) = path.split_once("::") else { return false };
    let Ok(text) = std::fs::read_to_string(repository().join(file)) else { return false };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let names = |line: &str| line.split_once("fn ").is_some_and(|(_, rest)| rest.starts_with(&format!("{name}(")));
    let found = lines.iter().position(|line| names(line));
    let above = found.map(|at| lines[..at].iter().rev().take_while(|line| line.starts_with("#[")));
    let above: Vec<_> = above.into_iter().flatten().collect();
    let is = |line: &&&&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    above.iter().any(|line| is(&line)) && !above.iter().any(|line| line.starts_with("#[ignore"))
}

#[test]
fn a_test_is_found_by_its_file_and_name() {
    assert!(is_test("tests/it/abuse/list.rs::a_test_is_found_by_its_file_and_name"));
    assert!(is_test("tests/it/abuse/mod.rs::every_case_ends_as_written"));
    assert!(is_test("src/core/policy/tests.rs::case_103_the_order_of_rules_does_not_matter"));
    for other in [
        "tests/it/abuse/list.rs::a_test_is_found",
        "tests/it/abuse/list.rs::is_test",
        "tests/it/abuse/none.rs::is_test",
        "every_case_ends_as_written",
    ] {
        assert!(!is_test(other), "{other}");
    }
}

#[test]
fn the_list_has_202_cases_without_a_gap() {
    let all: Vec<_> = GROUPS.iter().flat_map(|(_, numbers)| numbers.clone()).collect();
    assert_eq!(all, (1..=202).collect::<Vec<_>>());
}

#[test]
fn a_case_that_is_missing_or_out_of_place_is_reported() {
    let group = |cases: &str| -> Group {
        let text = format!("group: G\nabout: limits\ncases: [{cases}]");
        serde_saphyr::from_str(&text).unwrap()
    };
    let played = |numbers: RangeInclusive<u16>| {
        let case = |number| format!("{{ case: {number}, says: a, send: [{{}}], expect: runs }}");
        numbers.map(case).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(Extent::of(&group(&played(106..=113)), &[]).faults, Vec::<String>::new());
    let extent = Extent::of(&group(&played(106..=111)), &[113, 1]);
    assert_eq!(extent.faults, [": case 112 is missing"]);
    assert_eq!(extent.coded, BTreeSet::from([113]));
    for (more, fault) in [
        ("{ case: 5, says: a, send: [{}] }", "is not of this group"),
        ("{ case: 106, says: a }", "sends nothing"),
        ("{ case: 106, says: a, send: [{}], stage: x }", "on a stage that there is not"),
        ("{ case: 106, says: a, shown: [tests/it/main.rs::none] }", "which is no test"),
    ] {
        let faults = Extent::of(&group(&format!("{}, {more}", played(106..=113))), &[]).faults;
        assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
    }
    let decided = group(&format!("{}, {{ case: 113, says: a, decision: not here }}", played(106..=112)));
    let extent = Extent::of(&decided, &[]);
    assert_eq!((extent.decided, extent.faults), (BTreeSet::from([113]), Vec::new()));
}
