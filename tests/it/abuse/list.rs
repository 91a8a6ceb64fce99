//! The list of abuse cases: its groups and numbers, which of them Rust code plays, and whether anything is missing.

use super::case::Group;
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
pub const IN_CODE: &[(u16, fn())] = &[(34, super::headers::no_revision_dodges_a_decision)];

/// What there is of a group.
#[derive(Debug, Default, PartialEq)]
pub struct Extent {
    /// Numbers with data that is played.
    pub played: BTreeSet<u16>,
    /// Numbers that only tests in Rust play.
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
            match (case.send.is_empty(), &case.decision) {
                (true, None) => tell("sends nothing, and no decision says why"),
                (true, Some(_)) => drop(extent.decided.insert(case.case)),
                (false, _) => drop(extent.played.insert(case.case)),
            }
            if case.stage.as_ref().is_some_and(|stage| !group.stages.contains_key(stage)) {
                extent.faults.push(format!("{}: {} is played on a stage that there is not", group.file, case.case));
            }
        }
        extent.coded = in_code.iter().copied().filter(|number| numbers.contains(number)).collect();
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
    ] {
        let faults = Extent::of(&group(&format!("{}, {more}", played(106..=113))), &[]).faults;
        assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
    }
    let decided = group(&format!("{}, {{ case: 113, says: a, decision: not here }}", played(106..=112)));
    let extent = Extent::of(&decided, &[]);
    assert_eq!((extent.decided, extent.faults), (BTreeSet::from([113]), Vec::new()));
}
