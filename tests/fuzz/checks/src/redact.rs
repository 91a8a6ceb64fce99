//! Redaction: the same outcome however an answer is cut, once is enough, what comes out is JSON, and what is planted is not
//! in it.

use portcullis_core::mcp::sse::{Event, Parser};
use portcullis_core::policy::document::RedactionDocument;
use portcullis_core::principal::RoleSet;
use portcullis_core::redact::{Plan, Redactor, Unseen};
use serde_json::{Value, json};
use std::sync::LazyLock;

const RULES: &str = r#"[
    {"detect": ["email","phone","iban","card","ssn","ahv","ip","secret"], "action": "ACTION"},
    {"fields": ["$..x", "$.content[*].a"], "action": "ACTION"},
    {"patterns": {"vowels": "[aeiou]{2,3}", "digits": "[0-9]{5,}$"}, "action": "ACTION"}
]"#;

static PLANS: LazyLock<[Plan; 3]> = LazyLock::new(|| {
    ["mask", "drop", "hash"].map(|action| {
        let rules: Vec<RedactionDocument> =
            serde_json::from_str(&RULES.replace("ACTION", action)).expect("they are rules");
        Redactor::compile(&rules, 400, b"a key of the checks").expect("they compile").plan(&RoleSet::default(), None)
    })
});

/// One of each kind that checksums or a fixed form make certain.
const PLANTED: [&str; 8] = [
    "alice@example.com",
    "4111111111111111",
    "123-45-6789",
    "756.9217.0769.85",
    "+41446681800",
    "CH9300762011623852957",
    "AKIAIOSFODNN7EXAMPLE",
    "203.0.113.77",
];

const SECRET: &str = "what-the/gateway\"shows?";

static UNSEEN: LazyLock<Unseen> = LazyLock::new(|| Unseen::new([SECRET]));

/// Two bytes that say what is planted, where, and how the stream is cut; then the text around it.
pub fn check(data: &[u8]) {
    let [choice, cut, text @ ..] = data else { return };
    let around = String::from_utf8_lossy(text);
    let planted = PLANTED[usize::from(*choice) % PLANTED.len()];
    let (before, after) = halves(&around, usize::from(*cut));
    let plan = &PLANS[usize::from(*cut) % PLANS.len()];
    settled(plan, text, &around);
    let message = answer(&[&around, planted, &format!("{before}\n{planted}\n{after}")]);
    let redacted = once(plan, message.as_bytes()).expect("an answer of ours is JSON");
    let text = String::from_utf8(redacted.clone()).expect("it is UTF-8");
    assert!(planted_is_gone(&text, planted, &around), "{planted} is in {text}");
    assert_eq!(stream(plan, &message, usize::MAX), stream(plan, &message, usize::from(*cut % 11) + 1));
    assert!(UNSEEN.is_in(answer(&[&format!("{before}{SECRET}{after}")]).as_bytes()), "a secret was not seen");
}

/// Whatever the bytes are: what is passed on is settled.
fn settled(plan: &Plan, bytes: &[u8], text: &str) {
    let _ = once(plan, bytes);
    if let Ok(redacted) = plan.text(text) {
        let again = plan.text(&redacted.text).expect("it was read once").text;
        assert_eq!(again, redacted.text, "a second time changes more");
    }
    if let Ok(redacted) = plan.value(bytes) {
        assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&redacted.bytes).is_ok(), "no longer JSON");
    }
}

/// Redacts a message, which then is JSON still and would not change again.
fn once(plan: &Plan, message: &[u8]) -> Option<Vec<u8>> {
    let redacted = plan.json(message).ok()?;
    assert_eq!(&*redacted.bytes == message, redacted.counts.is_empty(), "the counts say otherwise");
    assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&redacted.bytes).is_ok(), "no longer JSON");
    let again = plan.json(&redacted.bytes).expect("it was read once");
    assert_eq!(
        String::from_utf8_lossy(&again.bytes),
        String::from_utf8_lossy(&redacted.bytes),
        "a second time changes more"
    );
    Some(redacted.bytes.into_owned())
}

fn answer(texts: &[&str]) -> String {
    let content: Vec<Value> = texts.iter().map(|text| json!({ "type": "text", "text": text })).collect();
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": content, "structuredContent": { "s": texts } } })
        .to_string()
}

fn halves(text: &str, at: usize) -> (&str, &str) {
    let middle = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    text.split_at(middle)
}

/// Whether every text is without the planted value, but for what the text around it holds itself in other signs.
fn planted_is_gone(message: &str, planted: &str, around: &str) -> bool {
    around.contains(planted) || !message.contains(planted)
}

/// The redacted messages of a stream that holds `message` and is cut into pieces.
fn stream(plan: &Plan, message: &str, piece: usize) -> Vec<Vec<u8>> {
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    Event::message(message).write(&mut bytes);
    let mut parser = Parser::new(1 << 20);
    bytes.chunks(piece.min(bytes.len())).for_each(|chunk| parser.push(chunk, &mut events).expect("it fits"));
    let data = events.iter().filter_map(|event| event.data.as_deref());
    data.map(|data| once(plan, data.as_bytes()).expect("it is JSON")).collect()
}
