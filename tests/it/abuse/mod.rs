//! What an attacker sends, and what must come of it: the list of 202 abuse cases, by their numbers.
//!
//! Cases are data: `tests/cases/abuse/*.yaml`, one file for each group of the list. `every_case_ends_as_written` plays them
//! all on sockets against the real binary with a recording upstream, and checks of each attack, whatever else the case says:
//! a refusal leaves no byte at the upstream, exactly one row is in the audit, with the right error and status, the answer
//! holds nothing of the gateway's inside, and the next request that is in order is served, on the same connection where
//! that is still open. It prints how many cases of each group hold.
//!
//! # To add a case
//! `case.rs` documents every key. In short: `case` (the number), `says` (a sentence), `send` (one or more requests, which all
//! must end in the same way), `expect` (an outcome of `outcomes.yaml`) and `also` (what is beside it: `closed`, `row`,
//! `headers`, `holds`, `lacks`, `seen` at the upstream ..). A number may have several entries. Where the list leaves a choice,
//! `decision` says what was decided; an entry that has only that, and sends nothing, is counted as not met.
//!
//! A request is the call of `get_customer` by dora (a developer) at `/crm/mcp` that is in order, but for what `send` says; or
//! it is `raw`, the exact bytes, or `h2`, frames. `each` repeats an entry, with `{each}` in its place. `stages` in the file start gateways with
//! another policy or configuration; the usual one, its tools and its policy are in `stage.rs`.
//!
//! In all texts of `send` these words stand for something, wherever a brace begins one:
//! `{token:NAME}` a token of that person (dora, vera, otto, nina, or one of the file's `people`); `{host}` the gateway's host
//! and port; `{meta}` the `_meta` of a modern request; `{call}` the body of the call that is in order, `{count}` its length and
//! `{size}` that in hexadecimal, `{fields}` the fields of its header without host and length; `{length}` the number of bytes behind the first
//! empty line; `{repeat: TEXT, N}`; `{hex:0d 0a}` these bytes; `{base64:TEXT}`; `{utf16:TEXT}`; `{each}`.
//!
//! # To add a group
//! Add its file: `a_group_is_whole` fails until each of its numbers has an entry, or a test in Rust that `list::IN_CODE` names.
//! An entry may name tests that are elsewhere (`shown`), by file and name; one that is not there is a fault.
//! `ABUSE=F cargo test --test it abuse::every` plays one group alone.
//!
//! `stage` is the gateway and the recording upstream, `request` and `frames` what is sent, `words` the words, `play` the play, `list` the
//! numbers. The other modules play what data can't say: what comes back (`answers`), what is counted (`limits`), what is
//! common to lists and calls (`listed`), frames in numbers (`floods`), and more than one request at once. Bodies at random are in `tests/fuzz`.

mod addresses;
mod answers;
mod calls;
mod case;
mod floods;
mod frames;
mod headers;
mod limits;
mod list;
mod listed;
mod play;
mod request;
mod stage;
mod tokens;
mod words;

use self::case::{Case, Group, Outcome, Setting};
use self::list::Extent;
use self::play::Player;
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// How many groups are played at the same time.
const AT_ONCE: usize = 3;

fn in_code() -> Vec<u16> {
    list::IN_CODE.iter().map(|(number, _)| *number).collect()
}

#[test]
fn a_group_is_whole() {
    let groups = case::groups();
    let faults: Vec<_> = groups.iter().flat_map(|group| Extent::of(group, &in_code()).faults).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    let letters: BTreeSet<_> = groups.iter().map(|group| group.group).collect();
    assert_eq!(letters.len(), groups.len(), "a group is in one file");
    assert!(letters.is_superset(&BTreeSet::from(['A', 'B'])), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_ends_as_written() {
    let mut groups = case::groups();
    if let Ok(letter) = std::env::var("ABUSE") {
        groups.retain(|group| group.group.to_string() == letter);
        assert!(!groups.is_empty(), "there is no group {letter}");
    }
    let outcomes = case::outcomes();
    let outcomes = &outcomes;
    let plays = groups.iter().map(|group| async move { (group, play_group(group, outcomes).await) });
    let mut played: Vec<_> = futures::stream::iter(plays).buffer_unordered(AT_ONCE).collect().await;
    played.sort_by_key(|(group, _)| group.group);
    let (mut faults, mut lines, mut total) = (Vec::new(), Vec::new(), (0, 0));
    for (group, missed) in &played {
        let extent = Extent::of(group, &in_code());
        let held = extent.played.iter().filter(|number| !missed.contains_key(number)).count() + extent.coded.len();
        let all = Extent::numbers(group.group);
        let coded = if extent.coded.is_empty() {
            String::new()
        } else {
            format!(" ({} by tests of their own)", extent.coded.len())
        };
        lines.push(format!("{} {held}/{all}{coded}", group.group));
        total = (total.0 + held, total.1 + all);
        let told = |(number, missed): (&u16, &Vec<String>)| {
            let told = |fault| format!("{} ({}), {number}: {fault}", group.file, group.about);
            missed.iter().map(told).collect::<Vec<_>>()
        };
        faults.extend(missed.iter().flat_map(told));
    }
    // Past the test runner, which keeps what passes to itself.
    let line = format!("abuse: {}, total {}/{}\n", lines.join(", "), total.0, total.1);
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Plays a group; what went wrong, by number.
async fn play_group(group: &Group, outcomes: &BTreeMap<String, Outcome>) -> BTreeMap<u16, Vec<String>> {
    let usual = Setting::default();
    let named = group.stages.iter().map(|(name, setting)| (Some(name), setting));
    let mut missed: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (stage, setting) in std::iter::once((None, &usual)).chain(named) {
        let cases: Vec<&Case> =
            group.cases.iter().filter(|case| case.stage.as_ref() == stage && !case.send.is_empty()).collect();
        let Some(last) = cases.last() else { continue };
        let mut player = Player::start(group, setting, outcomes).await;
        for case in &cases {
            let faults = player.play(case).await;
            if !faults.is_empty() {
                missed.entry(case.case).or_default().extend(faults);
            }
        }
        let late = player.end().await;
        if !late.is_empty() {
            missed.entry(last.case).or_default().extend(late);
        }
    }
    missed
}

/// The play would be worth nothing if it let a wrong end pass.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_not_as_written_is_reported() {
    let text = r#"
group: A
about: ends that are not so
cases:
  - { case: 1, says: no call, send: [{ body: "{" }], expect: P400 }
  - { case: 2, says: another status, send: [{ body: "{" }], expect: P400, also: { status: 401 } }
  - { case: 3, says: another code, send: [{ body: "{" }], expect: P400, also: { code: -32600 } }
  - { case: 4, says: another label, send: [{ body: "{" }], expect: P400, also: { label: invalid_request } }
  - { case: 5, says: a call that runs, send: [{}], expect: P400, also: { status: 200, code: 0 } }
  - { case: 6, says: a call that does not run, send: [{ body: "{" }], expect: runs, also: { status: 400, code: -32700 } }
  - { case: 7, says: no row, send: [{ body: "{" }], expect: P400, also: { rows: 0 } }
  - { case: 8, says: a connection that stays open, send: [{ as: nobody }], expect: "401", also: { closed: false } }
  - { case: 9, says: a word in the answer, send: [{ body: "{" }], expect: P400, also: { holds: [fine] } }
  - { case: 10, says: no word in the answer, send: [{ body: "{" }], expect: P400, also: { lacks: [Parse] } }
  - { case: 11, says: a field that is not there, send: [{}], expect: runs, also: { headers: { x-other: a } } }
  - { case: 12, says: something else at the upstream, send: [{}], expect: runs, also: { seen: { headers: { x-user-id: root } } } }
  - { case: 13, says: an end that there is not, send: [{}], expect: sometimes }
  - { case: 14, says: nobody, send: [{ as: somebody }], expect: runs }
"#;
    let group: Group = serde_saphyr::from_str(text).unwrap();
    let missed = play_group(&group, &case::outcomes()).await;
    assert_eq!(missed.keys().copied().collect::<Vec<_>>(), (2..=14).collect::<Vec<_>>(), "{missed:#?}");
}
