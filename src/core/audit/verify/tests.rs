//! Whoever changes rows is found out, whatever they change; what nobody can see is said too.

use super::*;
use crate::audit::key::{PublicKey, SigningKey};
use crate::audit::row::{COLUMNS, Cell};
use crate::time::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const INSTANCE: &str = "0198c0de-0000-7000-8000-000000000001";

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

/// A journal of `rows` rows with a checkpoint every `every`, and one at the end.
fn journal(rows: i64, every: i64) -> (Vec<Stored>, Vec<String>) {
    let (mut stored, mut notes, mut hash, mut front) = (Vec::new(), Vec::new(), Hash::ZERO, Front::default());
    for seq in 1..=rows {
        let mut cells = Box::new([const { Cell::Null }; COLUMNS.len()]);
        for (column, cell) in COLUMNS.iter().zip(cells.iter_mut()) {
            *cell = match *column {
                "seq" => Cell::Int(seq),
                "instance" => Cell::Text(INSTANCE.into()),
                "status" => Cell::Null,
                "at_ms" | "bytes_in" => Cell::Int(1000 + seq),
                _ => Cell::Text(format!("{column} {seq}").into()),
            };
        }
        let mut row = Stored::new(cells, hash).unwrap();
        hash = hash.then(&row.canonical());
        row.hash = hash;
        stored.push(row);
        front.push(leaf(&hash.0));
        if seq % every == 0 || seq == rows {
            notes.push(checkpoint(&front, hash).sign(&key()));
        }
    }
    (stored, notes)
}

fn checkpoint(front: &Front, chain: Hash) -> Checkpoint {
    let at = Timestamp::from_secs(1_700_000_000);
    Checkpoint { origin: INSTANCE.into(), size: front.size(), root: front.root(), chain, at }
}

fn opened(notes: &[String]) -> Result<Vec<Checkpoint>, Fault> {
    let keys: [PublicKey; 1] = [key().public()];
    let open = |note: &String| {
        Checkpoint::open(note, &keys)
            .map_err(|error| Fault::Checkpoint { name: note.clone(), reason: error.to_string() })
    };
    notes.iter().map(open).collect()
}

fn verify(rows: &[Stored], notes: &[String]) -> Result<Verified, Fault> {
    compare(rows, opened(notes)?)
}

fn compare(rows: &[Stored], checkpoints: Vec<Checkpoint>) -> Result<Verified, Fault> {
    let mut verifier = Verifier::new(INSTANCE, checkpoints, None)?;
    rows.iter().try_for_each(|row| verifier.row(row))?;
    verifier.finish()
}

/// Gives each row the place and the hash that it would have were all well.
fn rechain(rows: &mut [Stored]) {
    let mut hash = Hash::ZERO;
    for (row, seq) in rows.iter_mut().zip(1..) {
        row.seq = seq;
        row.cells[0] = Cell::Int(seq);
        hash = hash.then(&row.canonical());
        row.hash = hash;
    }
}

#[test]
fn an_untouched_journal_is_right() {
    let (rows, notes) = journal(100, 10);
    let (instance, is_removal_told) = (INSTANCE.into(), true);
    let expected = Verified { instance, first: 1, last: 100, signed: 100, checkpoints: 10, is_removal_told };
    assert_eq!(verify(&rows, &notes), Ok(expected));
}

#[test]
fn the_first_bad_row_is_named() {
    let (rows, notes) = journal(100, 10);
    let changed = |change: &dyn Fn(&mut Vec<Stored>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        verify(&rows, &notes).unwrap_err()
    };
    assert_eq!(changed(&|rows| rows[41].cells[20] = Cell::Text("x".into())), Fault::Changed { seq: 42 });
    assert_eq!(changed(&|rows| rows[41].hash = Hash::ZERO), Fault::Changed { seq: 42 });
    assert_eq!(changed(&|rows| drop(rows.drain(41..45))), Fault::Missing { from: 42, to: 45 });
    assert_eq!(changed(&|rows| rows.swap(41, 43)), Fault::Missing { from: 42, to: 43 });
    assert_eq!(changed(&|rows| rows.insert(42, rows[41].clone())), Fault::Misplaced { seq: 42, expected: 43 });
    assert_eq!(changed(&|rows| rows[41].cells[2] = Cell::Text("y".into())), Fault::Foreign { seq: 42 });
    assert!(matches!(changed(&|rows| rows.truncate(95)), Fault::Cut { last: 95, size: 100, .. }));
    let rewritten = changed(&|rows| {
        rows[41].cells[20] = Cell::Text("x".into());
        rechain(rows);
    });
    assert_eq!(rewritten, Fault::Rewritten { from: 41, to: 50 }, "with all hashes made anew");
    let removed = changed(&|rows| {
        rows.remove(41);
        rechain(rows);
    });
    assert_eq!(removed, Fault::Rewritten { from: 41, to: 50 });
}

#[test]
fn checkpoints_are_needed_and_must_be_signed() {
    let (rows, notes) = journal(30, 10);
    assert_eq!(verify(&rows, &[]), Err(Fault::NothingSigned { from: 1, to: 30 }));
    let forged = notes[0].replace("\n10\n", "\n11\n");
    assert!(matches!(verify(&rows, &[forged]), Err(Fault::Checkpoint { .. })));
    let (rows, _) = journal(2001, 5000);
    assert_eq!(verify(&rows, &[]), Err(Fault::Unsigned { from: 1, to: 2001 }));
}

/// Takes the lines of an export, the checkpoint `notes[n]` after `places[n]` rows.
fn read_once(rows: &[Stored], notes: &[(usize, &String)]) -> Result<Verified, Fault> {
    let mut verifier = Verifier::new(INSTANCE, Vec::new(), None)?.with_more_checkpoints();
    for taken in 0..=rows.len() {
        for (_, note) in notes.iter().filter(|(place, _)| *place == taken) {
            verifier.checkpoint(opened(&[(*note).clone()])?.remove(0))?;
        }
        rows.get(taken).map_or(Ok(()), |row| verifier.line(&row.json_line()))?;
    }
    verifier.finish()
}

#[test]
fn checkpoints_among_the_rows_are_as_good_as_those_known_before() {
    let (rows, notes) = journal(100, 10);
    let expected = verify(&rows, &notes);
    let at = |place: &dyn Fn(usize) -> usize| -> Vec<(usize, &String)> {
        notes.iter().enumerate().map(|(number, note)| (place(10 * (number + 1)), note)).collect()
    };
    for places in [at(&|size| size), at(&|size| (size + 7).min(100)), at(&|_| 100), at(&|_| 0), at(&|size| 100 - size)]
    {
        assert_eq!(read_once(&rows, &places), expected);
        let twice = [places.as_slice(), &[(100, &notes[3])]].concat();
        assert_eq!(read_once(&rows, &twice).unwrap().checkpoints, 11, "what comes twice is no fault");
        let mut changed = rows.clone();
        changed[41].cells[20] = Cell::Text("x".into());
        rechain(&mut changed);
        assert!(matches!(read_once(&changed, &places), Err(Fault::Rewritten { to: 50, .. })));
    }
    assert!(matches!(read_once(&rows[..95], &at(&|_| 0)), Err(Fault::Cut { last: 95, size: 100, .. })));
    assert_eq!(read_once(&rows, &[]), Err(Fault::NothingSigned { from: 1, to: 100 }));
    let foreign = checkpoint(&Front::default(), Hash::ZERO);
    let foreign = Checkpoint { origin: "other".into(), ..foreign };
    let mut verifier = Verifier::new(INSTANCE, Vec::new(), None).unwrap().with_more_checkpoints();
    assert!(matches!(verifier.checkpoint(foreign), Err(Fault::Checkpoint { .. })));
}

#[test]
fn rows_between_two_checkpoints_are_not_more_than_may_be_however_they_come() {
    let (rows, notes) = journal(4500, 2250);
    for places in [[2250, 4500], [0, 0], [4500, 4500]] {
        let places: Vec<(usize, &String)> = places.into_iter().zip(&notes).collect();
        assert_eq!(read_once(&rows, &places), Err(Fault::Unsigned { from: 1, to: 2250 }));
    }
    let (rows, notes) = journal(4001, 2000);
    assert_eq!(read_once(&rows, &[(2000, &notes[0])]), Err(Fault::Unsigned { from: 2001, to: 4001 }));
    assert!(read_once(&rows, &[(2000, &notes[0]), (4001, &notes[2]), (4001, &notes[1])]).is_ok());
    assert!(read_once(&rows[..4000], &[(2000, &notes[0])]).is_ok(), "so many may follow the last");
    assert_eq!(read_once(&rows, &[]), Err(Fault::NothingSigned { from: 1, to: 4001 }));
}

#[test]
fn what_follows_the_last_checkpoint_is_said_to_be_unsigned() {
    let (rows, mut notes) = journal(25, 10);
    notes.pop();
    let verified = verify(&rows, &notes).unwrap();
    assert_eq!((verified.signed, verified.last), (20, 25));
}

#[test]
fn a_journal_without_its_first_rows_is_right_from_the_checkpoint_on_that_ends_them() {
    let (rows, notes) = journal(50, 10);
    let mut front = Front::default();
    rows[..20].iter().for_each(|row| front.push(leaf(&row.hash.0)));
    let checkpoints = opened(&notes[1..]).unwrap();
    let start = checkpoints[0].clone();
    let mut verifier = Verifier::new(INSTANCE, checkpoints.clone(), Some((&start, front.clone()))).unwrap();
    rows[20..].iter().try_for_each(|row| verifier.row(row)).unwrap();
    let verified = verifier.finish().unwrap();
    assert_eq!((verified.first, verified.last, verified.checkpoints), (21, 50, 4));
    let wrong = Front::new(20, vec![Hash::ZERO; 2]).unwrap();
    assert!(Verifier::new(INSTANCE, checkpoints, Some((&start, wrong))).is_err());
}

#[test]
fn rows_that_are_gone_without_a_row_that_says_so_are_told_of() {
    let place = |column: &str| COLUMNS.iter().position(|name| *name == column).unwrap();
    let said = |change: &dyn Fn(&mut Stored)| {
        let (mut rows, _) = journal(30, 10);
        change(&mut rows[24]);
        rechain(&mut rows);
        let (mut front, mut notes) = (Front::default(), Vec::new());
        for row in &rows {
            front.push(leaf(&row.hash.0));
            notes.push((front.clone(), checkpoint(&front, row.hash)));
        }
        let (start, last) = (notes[19].clone(), notes[29].1.clone());
        let checkpoints = vec![start.1.clone(), last];
        let mut verifier = Verifier::new(INSTANCE, checkpoints, Some((&start.1, start.0))).unwrap();
        rows[20..].iter().try_for_each(|row| verifier.row(row)).unwrap();
        verifier.finish().unwrap().is_removal_told
    };
    let note = |row: &mut Stored| {
        row.cells[place("method")] = Cell::Text(retention::METHOD.into());
        row.cells[place("request_id")] = Cell::Text("".into());
        row.cells[place("client")] = Cell::Null;
        row.cells[place("detail")] = Cell::Text(retention::words(7, 20).into());
    };
    assert!(said(&note));
    assert!(!said(&|_| {}));
    let other = |column: &'static str, value: Cell| {
        said(&|row| {
            note(row);
            row.cells[place(column)] = value.clone();
        })
    };
    assert!(!other("detail", Cell::Text(retention::words(1, 10).into())), "of the rows before alone");
    assert!(!other("method", Cell::Text("tools/call".into())));
    assert!(!other("request_id", Cell::Text("x".into())), "it is of a request, whose method a caller names");
    assert!(!other("client", Cell::Text("192.0.2.1".into())));
}

/// Edits, deletions, swaps, rows put in and cut tails, half of them with all hashes made anew, as one would who has the
/// file and not the key.
#[test]
fn ten_thousand_random_changes_are_all_found() {
    const ROWS: usize = 24;
    let (rows, notes) = journal(ROWS as i64, 7);
    let checkpoints = opened(&notes).unwrap();
    let mut rng = StdRng::seed_from_u64(189);
    for round in 0..10_000 {
        let mut changed = rows.clone();
        let (at, other) = (rng.random_range(0..ROWS), rng.random_range(0..ROWS));
        let column = rng.random_range(0..COLUMNS.len());
        match rng.random_range(0..6) {
            0 => changed[at].cells[column] = Cell::Text("changed".into()),
            1 => changed[at].cells[column] = Cell::Int(rng.random_range(-9..9)),
            2 => drop(changed.remove(at)),
            3 if at != other => changed.swap(at, other),
            4 => changed.insert(at, rows[other].clone()),
            _ => changed.truncate(at),
        }
        if rng.random_range(0..2) == 0 {
            rechain(&mut changed);
        }
        if changed == rows {
            continue;
        }
        if changed.starts_with(&rows) {
            // Rows that were put in after the last checkpoint, with the right hashes: they are said to be nobody's.
            let signed = compare(&changed, checkpoints.clone()).map_or(ROWS as u64, |verified| verified.signed);
            assert_eq!(signed, ROWS as u64, "round {round}");
            continue;
        }
        let fault = compare(&changed, checkpoints.clone());
        assert!(fault.is_err(), "round {round}: {fault:?}");
        if round % 8 == 0 {
            let places: Vec<(usize, &String)> = notes.iter().map(|note| (changed.len(), note)).collect();
            let fault = read_once(&changed, &places);
            assert!(fault.is_err(), "round {round}, as an export: {fault:?}");
        }
    }
}
