//! What holds for every document.

use super::{KEY, documents, everything};
use crate::principal::RoleSet;
use crate::redact::{Plan, Redactor};
use proptest::prelude::*;
use std::borrow::Cow;

fn plans() -> Vec<Plan> {
    let rules = r#"[
        {"detect": ["email","phone","iban","card","ssn","ahv","ip","secret"], "action": "ACTION"},
        {"fields": ["$..x", "$.content[*].a"], "action": "ACTION"},
        {"patterns": {"vowels": "[aeiou]{2,3}", "digits": "[0-9]{5,}$"}, "action": "ACTION"}
    ]"#;
    let compile = |action: &str| {
        let redactor = Redactor::compile(&documents(&rules.replace("ACTION", action)), 40, KEY).unwrap();
        redactor.plan(&RoleSet::default(), None)
    };
    ["mask", "drop", "hash"].map(compile).into()
}

/// Texts made of what detectors look at.
fn fragments() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("4111111111111111"),
        Just("4111 1111 1111 1111"),
        Just("alice@example.com"),
        Just("@"),
        Just("123-45-6789"),
        Just("+41446681800"),
        Just("756.9217.0769.85"),
        Just("CH9300762011623852957"),
        Just("10.0.0.1"),
        Just("::1"),
        Just("AKIAIOSFODNN7EXAMPLE"),
        Just("eyJ"),
        Just("https://a:b@c.de/"),
        Just("phone "),
        Just("ssn "),
        Just(" "),
        Just("-"),
        Just("."),
        Just("[REDACTED:EMAIL]"),
        Just("[EMAIL:0a1b2c3d4e5f6a7b]"),
        Just("[CARD:"),
        Just("]"),
        Just("%40"),
        Just("&#64;"),
        Just("\u{200b}"),
        Just("４"),
        Just("é"),
        Just("\n"),
        Just("\""),
        Just("\\"),
        Just("{\"x\":1}"),
        Just("{"),
        Just("}"),
        Just("["),
        Just("1"),
        Just("123456789"),
        Just("aei"),
        Just(","),
        Just(":"),
        Just(" [truncated: 40 of 99 characters shown]"),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn values() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from(4_111_111_111_111_111_u64)),
        fragments().prop_map(Value::from),
        (fragments(), fragments()).prop_map(|(a, b)| Value::from(serde_json::json!({"x": a, "b": [b]}).to_string())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![Just("x".to_owned()), Just("data".to_owned()), Just("mimeType".to_owned()), fragments()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

/// The same text with some of its signs escaped.
fn escaped(text: &str, every: usize) -> String {
    let sign = |(place, sign): (usize, char)| match place % every {
        0 => sign.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        _ => sign.to_string(),
    };
    text.chars().enumerate().map(sign).collect()
}

/// The same digits in another script.
fn disguised(text: &str, zero: u32) -> String {
    text.chars().map(|sign| sign.to_digit(10).and_then(|digit| char::from_u32(zero + digit)).unwrap_or(sign)).collect()
}

/// Every text of a value: keys, strings, numbers as they are printed.
fn texts(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Number(number) => found.push(number.to_string()),
        serde_json::Value::Array(members) => members.iter().for_each(|member| texts(member, found)),
        serde_json::Value::Object(members) => members.iter().for_each(|(key, member)| {
            found.push(key.clone());
            texts(member, found);
        }),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redacting_twice_is_redacting_once(content in values(), structured in values()) {
        let message = serde_json::json!({
            "jsonrpc": "2.0", "id": 1,
            "result": {"content": [{"text": content.to_string(), "a": content}], "structuredContent": structured},
        }).to_string();
        for plan in plans() {
            let once = plan.json(message.as_bytes()).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&once.bytes).is_ok());
            let twice = plan.json(&once.bytes).unwrap();
            prop_assert_eq!(std::str::from_utf8(&twice.bytes).unwrap(), std::str::from_utf8(&once.bytes).unwrap());
            prop_assert!(twice.counts.is_empty(), "{:?}", twice.counts);
        }
    }

    #[test]
    fn a_text_is_redacted_once(text in fragments()) {
        for plan in plans() {
            let once = plan.text(&text).unwrap().text;
            prop_assert_eq!(&plan.text(&once).unwrap().text, &once, "from {}", text);
        }
    }

    #[test]
    fn a_clean_document_is_not_copied(words in prop::collection::vec("[a-z ]{0,20}", 0..20), number in -9999_i32..9999) {
        let message = serde_json::json!({"id": number, "result": {"a": words, "n": number}}).to_string();
        let message = message.replace(",", " ,\t");
        let redacted = everything("mask").json(message.as_bytes()).unwrap();
        prop_assert!(matches!(redacted.bytes, Cow::Borrowed(_)));
    }

    #[test]
    fn a_planted_value_never_survives(
        value in prop::sample::select(vec![
            "4111111111111111", "alice@example.com", "123-45-6789", "756.9217.0769.85", "+41446681800",
            "CH9300762011623852957", "AKIAIOSFODNN7EXAMPLE", "203.0.113.77",
        ]),
        before in "[a-z ]{0,6}[ (,;\"]", after in "[ ),;\"][a-z ]{0,6}",
        every in 1_usize..9, zero in prop::sample::select(vec![0x30_u32, 0xff10, 0x660, 0x966]), nesting in 0_usize..3,
    ) {
        let text = format!("{before}{}{after}", disguised(value, zero));
        let mut body = escaped(&text, every).replace('"', "\\\"");
        for _ in 0..nesting {
            body = serde_json::Value::from(format!("{{\"k\":\"{body}\"}}")).to_string();
            body = body[1..body.len() - 1].to_owned();
        }
        let message = format!(r#"{{"result":{{"content":[{{"text":"{body}"}}],"s":["{body}"],"{body}":0}}}}"#);
        let redacted = everything("mask").json(message.as_bytes()).unwrap();
        let result: serde_json::Value = serde_json::from_slice(&redacted.bytes).unwrap();
        let mut found = Vec::new();
        texts(&result, &mut found);
        for text in found {
            prop_assert!(!text.contains(&disguised(value, zero)), "{value} is in {text}");
        }
        prop_assert!(redacted.counts.iter().map(|(_, count)| count).sum::<u64>() >= 2);
    }

    #[test]
    fn bytes_around_a_finding_stay(before in "[a-z éß€]{0,12}", after in "[a-z éß€]{0,12}", every in 1_usize..5) {
        let (before, after) = (escaped(&format!("{before} "), every), escaped(&format!(" {after}"), every));
        let message = format!(r#" {{ "result" : [ 1.50 , "{before}alice@example.com{after}" , 1e3 ] }} "#);
        let redacted = everything("mask").json(message.as_bytes()).unwrap();
        let expected = message.replace("alice@example.com", "[REDACTED:EMAIL]");
        prop_assert_eq!(std::str::from_utf8(&redacted.bytes).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "\\PC{0,40}") {
        for plan in plans() {
            let _ = plan.json(&bytes);
            let _ = plan.text(&text);
            let _ = plan.json(format!("\"{text}\"").as_bytes());
        }
    }

    #[test]
    fn damaged_documents_never_panic(value in values(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        for plan in plans() {
            let _ = plan.json(&bytes);
        }
    }
}

/// Whatever begins like a finding and then is none, again and again: were the work the square of the length, this would
/// not end in an hour.
#[test]
fn what_nearly_is_a_finding_costs_no_more_the_longer_it_is() {
    let plan = super::everything("mask");
    let nearly =
        ["-AIza", "AKIA", "SecretAccessKey", "&sig=x", "sig=", "4111111111111111-", "eyJ.", "ghp_", "sk-a-", "xoxb-"];
    for part in
        nearly.into_iter().chain(["Bearer ", "://a:b", "-----BEGIN ", "756.9217.", "DE89 ", "1.2.3.", "a@", "+41 "])
    {
        let text = part.repeat((1 << 20) / part.len());
        super::json(&plan, &format!(r#"{{"result":{{"a":"{text}"}}}}"#));
    }
}
