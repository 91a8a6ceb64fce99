//! Whatever we accept, other readers read alike: serde_json and a reader that folds keys on a million generated messages,
//! Python and Node on the first hundred thousand of them, or on all where `PORTCULLIS_WHOLE` is set.
//!
//! Readers may refuse what we accept. Method, id, name, URI and arguments are compared; numbers as their text, which both
//! Python and Node can be asked for.

use portcullis_checks::reader::{Members, Reading, folding, ours, plain};
use portcullis_checks::{generate, jsonrpc};
use portcullis_core::jsonrpc::{Frame, Limits, parse};
use serde_json::value::RawValue;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;

const MESSAGES: u64 = 1_000_000;

/// What the slow readers get in everyday runs.
const SAMPLE: u64 = 100_000;

fn accepted(body: &[u8]) -> Option<Frame> {
    parse(body, &Limits::default()).ok()
}

#[test]
fn serde_json_and_a_reader_that_folds_keys_read_what_we_accept_as_we_do() {
    let threads = thread::available_parallelism().map_or(2, |count| count.get() as u64);
    let part = |first: u64| {
        let (mut sound, mut told_apart) = (0_u64, 0_u64);
        for number in (first..MESSAGES).step_by(threads as usize) {
            let body = generate::message(number);
            jsonrpc::check(&body);
            if accepted(&body).is_some() {
                sound += 1;
            } else if let (Some(plain), Some(folding)) = (plain(&body), folding(&body)) {
                told_apart += u64::from(plain != folding);
            }
        }
        (sound, told_apart)
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || part(first))).collect();
        running.into_iter().map(|part| part.join().expect("see above for the message")).collect()
    });
    let sound: u64 = parts.iter().map(|(sound, _)| sound).sum();
    let told_apart: u64 = parts.iter().map(|(_, told_apart)| told_apart).sum();
    println!("{MESSAGES} messages, {sound} accepted; {told_apart} refused that the two read differently");
    // Else nothing was compared, or nothing was there to be told apart.
    assert!(sound > MESSAGES * 3 / 10 && MESSAGES - sound > MESSAGES / 10 && told_apart > MESSAGES / 100);
}

#[test]
fn python_reads_what_we_accept_as_we_do() {
    let peers = peers();
    compare(&peers.join(".venv/bin/python"), "reader.py");
}

#[test]
fn node_reads_what_we_accept_as_we_do() {
    let peers = peers();
    compare(&peers.join("node_modules/.bin/node"), "reader.mjs");
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../peers")
}

/// Gives the messages that we accept to a program, and holds what it reads against what we do.
fn compare(program: &Path, script: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers").join(script);
    let started = Command::new(program).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child =
        started.unwrap_or_else(|error| panic!("{}: {error}; run tests/peers/install.sh", program.display()));
    let (mut input, output) =
        (BufWriter::new(child.stdin.take().unwrap()), BufReader::new(child.stdout.take().unwrap()));
    let (expected, given) = sync_channel(4096);
    let writer = thread::spawn(move || {
        let count = if std::env::var_os("PORTCULLIS_WHOLE").is_some() { MESSAGES } else { SAMPLE };
        for number in 0..count {
            let body = generate::message(number);
            let Some(frame) = accepted(&body) else { continue };
            input.write_all(&(body.len() as u32).to_le_bytes()).unwrap();
            input.write_all(&body).unwrap();
            if expected.send((number, line(&ours(&body, &frame)))).is_err() {
                break;
            }
        }
    });
    let (mut lines, mut compared, mut refused) = (output.lines(), 0_u64, 0_u64);
    for (number, expected) in given {
        let said = lines.next().expect("the reader has ended").unwrap();
        compared += 1;
        refused += u64::from(said == "!");
        let body = || String::from_utf8_lossy(&generate::message(number)).into_owned();
        assert!(said == expected || said == "!", "message {number} {}\n{said}\n{expected}", body());
    }
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    println!("{compared} messages compared, {refused} of them refused");
    assert!(compared > SAMPLE * 3 / 10 && refused < compared / 100);
}

/// A reading, as the programs write it.
fn line(reading: &Reading) -> String {
    let text = |text: &Option<String>| text.as_ref().map_or("-".to_owned(), |text| hex(text));
    let raw = |raw: &Option<String>| raw.as_ref().map_or("-".to_owned(), |raw| canonical(raw));
    let Reading { method, id, name, uri, arguments } = reading;
    [text(method), raw(id), text(name), text(uri), raw(arguments)].join(" ")
}

fn hex(text: &str) -> String {
    text.bytes().fold("s".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// A value so that equal values are equal texts: members in order, strings in one spelling, numbers as written.
fn canonical(raw: &str) -> String {
    match raw.as_bytes() {
        [b'{', ..] => {
            let object = Members::read(raw.as_bytes()).unwrap();
            let mut members: Vec<_> =
                object.all().map(|(key, value)| format!("{}:{},", hex(key), canonical(value.get()))).collect();
            members.sort();
            format!("{{{}}}", members.concat())
        }
        [b'[', ..] => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).unwrap();
            format!("[{}]", items.iter().map(|item| format!("{},", canonical(item.get()))).collect::<String>())
        }
        [b'"', ..] => hex(&serde_json::from_str::<String>(raw).unwrap()),
        [b't' | b'f' | b'n', ..] => raw[..1].to_owned(),
        _ => format!("#{raw}"),
    }
}
