//! Answers of tools without anything personal in them, as many as wanted: rows of orders, builds, measurements, logs and
//! texts, with all the numbers, digests and dates that such answers are full of. Whatever is found in them is found wrongly.

use super::random::Random;
use serde_json::{Value, json};

/// JSON-RPC answers of `bytes` together or a little more.
pub fn answers(seed: &str, bytes: usize) -> Vec<String> {
    let mut random = Random::named(seed);
    let mut made = Vec::new();
    let mut length = 0;
    while length < bytes {
        let answer = answer(&mut random).to_string();
        length += answer.len();
        made.push(answer);
    }
    made
}

fn answer(random: &mut Random) -> Value {
    let count = random.between(5, 60);
    let row = [order, build, measurement, page, commit, node][random.below(6)];
    let rows: Vec<Value> = (0..count).map(|_| row(random)).collect();
    let text = if random.once_in(2) { Value::from(rows.clone()).to_string() } else { log(random, count) };
    json!({ "jsonrpc": "2.0", "id": random.below(100_000), "result": {
        "content": [{ "type": "text", "text": text }],
        "structuredContent": { "rows": rows, "total": count, "next": random.token(22) },
        "isError": false,
    }})
}

fn order(random: &mut Random) -> Value {
    json!({
        "id": random.next() % 10_000_000_000, "order": format!("ORD-{}-{}", random.between(2019, 2027), random.digits(6)),
        "sku": format!("{}-{}", random.signs("ABCDEFGHJKLMNPRSTUVWXYZ", 3), random.digits(5)),
        "price": random.below(1_000_000) as f64 / 100.0, "quantity": random.below(50), "placed": random.instant(),
        "tracking": random.number(12), "batch": random.number(11), "status": random.pick(&["open", "paid", "sent"]),
        "ean": random.number(13), "lot": random.number(9), "note": sentence(random),
    })
}

fn build(random: &mut Random) -> Value {
    json!({
        "run": random.next() % 100_000_000_000, "digest": format!("sha256:{}", random.hex(64)), "trace": random.hex(32),
        "version": format!("{}.{}.{}", random.below(40), random.below(30), random.below(99)), "ms": random.below(600_000),
        "started": 1_600_000_000_u64 + random.next() % 200_000_000, "image": format!("registry/app@{}", random.hex(12)),
        "file": format!("src/{}/{}.rs:{}:{}", word(random), word(random), random.below(900), random.below(90)),
    })
}

fn measurement(random: &mut Random) -> Value {
    let at = 1_600_000_000_000_u64 + random.next() % 200_000_000_000;
    let values: Vec<f64> = (0..8).map(|_| (random.below(2_000_000_000) as f64 - 1e9) / 1e6).collect();
    json!({ "at": at, "nanos": at * 1_000_000 + 17, "values": values, "unit": random.pick(&["ms", "°C", "kWh"]),
        "lat": random.below(180_000_000) as f64 / 1e6 - 90.0, "lon": random.below(360_000_000) as f64 / 1e6 - 180.0 })
}

fn page(random: &mut Random) -> Value {
    let (one, two) = (word(random), word(random));
    json!({
        "title": sentence(random), "url": format!("https://docs.example.com/{one}/{two}?page={}&size=50", random.below(90)),
        "body": (0..random.between(1, 6)).map(|_| sentence(random)).collect::<Vec<_>>().join(" "),
        "etag": format!("\"{}\"", random.hex(40)), "bytes": random.below(10_000_000), "updated": random.instant(),
    })
}

fn commit(random: &mut Random) -> Value {
    json!({
        "sha": random.hex(40), "parents": [random.hex(40)], "tree": random.hex(7), "message": sentence(random),
        "id": random.uuid(), "stats": { "additions": random.below(500), "deletions": random.below(500) },
        "tag": format!("v{}.{}.{}-rc.{}", random.below(9), random.below(20), random.below(20), random.below(5)),
    })
}

fn node(random: &mut Random) -> Value {
    let (one, two) = (word(random), word(random));
    json!({
        "name": format!("{one}-{two}-{}", random.hex(8)), "pod": format!("{one}-{}-{}", random.hex(10), random.hex(5)),
        "uid": random.uuid(), "memory": format!("{}Mi", random.below(9000)), "cpu": random.below(64_000),
        "resource_version": random.number(9), "ports": [8000 + random.below(99)], "ready": random.once_in(2),
        "labels": { "app.kubernetes.io/name": one, "pod-template-hash": random.hex(10) }, "chart": "web-12.3.4",
    })
}

fn log(random: &mut Random, lines: usize) -> String {
    let line = |random: &mut Random| {
        let (at, word) = (random.instant(), word(random));
        match random.below(4) {
            0 => format!(
                "{at} INFO {word} done in {}ms request={} seq={}",
                random.below(5000),
                random.uuid(),
                random.number(10)
            ),
            1 => format!(
                "{at} WARN {word}: retry {}/5, offset {} of {}",
                random.below(5),
                random.number(11),
                random.number(12)
            ),
            2 => format!(
                "[{at}] {word} span={} {} bytes, {:.3}s",
                random.hex(16),
                random.below(99_999_999),
                random.below(9999) as f64 / 1e3
            ),
            _ => format!("{at} DEBUG {word} {}", sentence(random)),
        }
    };
    (0..lines).map(|_| line(random)).collect::<Vec<_>>().join("\n")
}

/// Words that begin none of the things that are looked for.
const WORDS: [&str; 40] = [
    "the", "queue", "window", "report", "was", "finished", "by", "a", "worker", "after", "several", "retries", "and",
    "latency", "stays", "low", "cache", "river", "market", "garden", "with", "customer", "shipment", "delayed",
    "until", "morning", "quarter", "invoice", "paid", "table", "of", "results", "shows", "growth", "über", "größer",
    "naïve", "token", "answer", "basic",
];

fn word(random: &mut Random) -> &'static str {
    random.pick(&WORDS)
}

/// A sentence with a number or two.
pub fn sentence(random: &mut Random) -> String {
    let mut words: Vec<String> = (0..random.between(6, 18)).map(|_| word(random).to_owned()).collect();
    if random.once_in(2) {
        let number = match random.below(5) {
            0 => random.below(10_000).to_string(),
            1 => format!("{}.{}%", random.below(100), random.below(10)),
            2 => format!("#{}", random.number(5)),
            3 => format!("{},{:03}", random.below(900), random.below(1000)),
            _ => random.date(2019, 2027),
        };
        let at = random.below(words.len());
        words.insert(at, number);
    }
    words.join(" ") + "."
}
