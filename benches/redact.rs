//! How fast redaction is: clean answers and texts, answers with findings, and texts made to be slow. Prints megabytes per
//! second of one core, the best of several runs: `cargo bench --bench redact`. Nothing is held to a figure here: what
//! else the machine does would decide.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::allow_attributes,
    missing_docs,
    dead_code,
    reason = "a program for developers"
)]

#[path = "../tests/it/redaction/clean.rs"]
mod clean;
#[path = "../tests/it/redaction/random.rs"]
mod random;

use portcullis_core::principal::RoleSet;
use portcullis_core::redact::{Plan, Redactor};
use std::hint::black_box;
use std::time::Instant;

const RUNS: usize = 9;
const BYTES: usize = 4 << 20;

/// What texts are made of that look like findings for as long as possible.
const NEARLY: [&str; 34] = [
    "4111111111111111-",
    "4111 ",
    "4111-",
    "4 ",
    "1.",
    "1.2.3.",
    "1:",
    "::",
    "a@",
    "a@a.",
    "+1",
    "+41 ",
    "(415) ",
    "phone 1 ",
    "ssn 123456789 ",
    "bsn 123456789 ",
    "123456782 ",
    "86095742719 ",
    "12345678Z",
    "756.9217.",
    "CH93",
    "DE89 ",
    "eyJ",
    "eyJ.",
    "sk-a-",
    "AKIA",
    "AIza",
    "ghp_",
    "Bearer ",
    "://a:b",
    "sig=",
    "-----BEGIN ",
    "&#",
    "passport born bic ",
];

fn main() {
    let every = plan(&DETECTORS);

    let answers = clean::answers("bench", BYTES);
    for detector in DETECTORS {
        let alone = plan(&[detector]);
        measure(&format!("clean answers, {detector} alone"), &answers, |answer| {
            drop(black_box(alone.json(answer.as_bytes()).unwrap()))
        });
    }
    let usual = plan(&["email", "phone", "iban", "card", "ssn", "ahv", "secret"]);
    measure("clean answers, the detectors of policy.yaml", &answers, |answer| {
        drop(black_box(usual.json(answer.as_bytes()).unwrap()))
    });
    let fast =
        measure("clean answers (JSON)", &answers, |answer| drop(black_box(every.json(answer.as_bytes()).unwrap())));
    let mut random = random::Random::named("bench");
    let prose: Vec<String> =
        (0..64).map(|_| (0..1000).map(|_| clean::sentence(&mut random)).collect::<Vec<_>>().join("\n")).collect();
    measure("clean prose", &prose, |text| drop(black_box(every.text(text).unwrap())));
    let found: Vec<String> = prose.iter().map(|text| text.replace("invoice", "alice@example.com")).collect();
    measure("prose with an address in every tenth line", &found, |text| drop(black_box(every.text(text).unwrap())));
    let mut slowest = (f64::MAX, "");
    for part in NEARLY {
        let text = [part.repeat((256 << 10) / part.len())];
        let rate = rate(&text, 5, |text| drop(black_box(every.text(text).unwrap())));
        println!("{rate:10.1} MB/s  {part:?} again and again");
        slowest = if rate < slowest.0 { (rate, part) } else { slowest };
    }
    println!("the slowest, {:?}, takes {:.1} times as long as clean answers", slowest.1, fast / slowest.0);
}

/// Every detector by itself, then all.
const DETECTORS: [&str; 20] = [
    "email",
    "phone",
    "ip",
    "mac",
    "bic",
    "passport",
    "birth_date",
    "card",
    "iban",
    "ssn",
    "ahv",
    "steuer_id",
    "bsn",
    "dni",
    "codice_fiscale",
    "nir",
    "pesel",
    "nhs",
    "cpf",
    "secret",
];

fn plan(detectors: &[&str]) -> Plan {
    let rules: Vec<_> = serde_json::from_value(serde_json::json!([{ "detect": detectors, "action": "mask" }])).unwrap();
    Redactor::compile(&rules, usize::MAX, b"a key").unwrap().plan(&RoleSet::default(), None)
}

fn measure(name: &str, texts: &[String], work: impl Fn(&str)) -> f64 {
    let rate = rate(texts, RUNS, work);
    println!("{rate:10.1} MB/s  {name}");
    rate
}

fn rate(texts: &[String], runs: usize, work: impl Fn(&str)) -> f64 {
    let bytes: usize = texts.iter().map(String::len).sum();
    let run = || {
        let begin = Instant::now();
        texts.iter().for_each(|text| work(text));
        bytes as f64 / begin.elapsed().as_secs_f64() / 1e6
    };
    (0..runs).map(|_| run()).fold(0.0, f64::max)
}
