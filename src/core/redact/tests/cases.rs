//! The abuse cases 134 to 147 of redaction and 122 to 130 as far as they are about one event, by number.

use super::{everything, json, plan, redactor, text};
use crate::principal::RoleSet;
use crate::redact::Redactor;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn masked(message: &str) -> String {
    json(&everything("mask"), message)
}

#[test]
fn case_124_what_two_data_lines_join_to_is_found() {
    assert_eq!(masked("{\"result\":{\"a\":\n\"a@example.com\"}}"), "{\"result\":{\"a\":\n\"[REDACTED:EMAIL]\"}}");
}

#[test]
fn case_130_data_that_is_not_json_is_redacted_as_text() {
    assert!(everything("mask").json(b"from a@example.com").is_err());
    assert_eq!(text(&everything("mask"), "from a@example.com"), "from [REDACTED:EMAIL]");
}

#[test]
fn cases_134_and_135_look_alikes_and_invisible_signs_hide_nothing() {
    for hidden in [
        "４１１１１１１１１１１１１１１１",
        "٤١١١١١١١١١١١١١١١",
        "𝟒𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏",
        "4111\u{200b}1111\u{200d}1111\u{feff}1111",
        "4111\u{ad}111111111111",
        "4111\u{a0}1111\u{202f}1111\u{2009}1111",
        "\u{202e}4111\u{202c}111111111111",
    ] {
        let found = masked(&format!(r#"{{"result":{{"a":"card {hidden}."}}}}"#));
        assert!(found.contains("[REDACTED:CARD]") && !found.contains("11"), "{hidden}: {found}");
    }
    assert_eq!(
        masked("{\"result\":{\"a\":\"é 4\u{200b}111111111111111\u{200b} é\"}}"),
        "{\"result\":{\"a\":\"é [REDACTED:CARD]\u{200b} é\"}}"
    );
}

#[test]
fn case_136_escapes_are_resolved_before_the_search() {
    for (given, expected) in [
        (r"\u00341111111111111\u0031\u0031", "[REDACTED:CARD]"),
        (r"alice\u0040example.com", "[REDACTED:EMAIL]"),
        (r"caf\u00e9 \/ alice\u0040example\u002ecom \ud83d\ude00", r"caf\u00e9 \/ [REDACTED:EMAIL] \ud83d\ude00"),
        (r"-----BEGIN PRIVATE KEY-----\nMII\/abc\n-----END PRIVATE KEY-----\n", r"[REDACTED:SECRET]\n"),
        (r"\u007b\u0022a\u0022:4111111111111111}", r#"\u007b\u0022a\u0022:\"[REDACTED:CARD]\"}"#),
    ] {
        let message = format!(r#"{{"result":{{"a":"{given}"}}}}"#);
        assert_eq!(masked(&message), format!(r#"{{"result":{{"a":"{expected}"}}}}"#));
    }
}

#[test]
fn half_a_sign_is_passed_on_and_hides_nothing() {
    let redacted = everything("mask").json(br#"{"a":"\ud83d alice\u0040example.com \ude00\ud83d"}"#).unwrap();
    assert_eq!(&*redacted.bytes, br#"{"a":"\ud83d [REDACTED:EMAIL] \ude00\ud83d"}"#);
}

#[test]
fn case_137_every_copy_is_found() {
    let message = r#"{"result":{"content":[{"type":"text","text":"{\"ssn\":\"123-45-6789\",\"in\":\"{\\\"ssn\\\":\\\"123-45-6789\\\"}\"}"}],"structuredContent":{"ssn":"123-45-6789","n":123456789,"ssn_last":{"ssn":123456789}},"_meta":{"x":["123-45-6789"]}}}"#;
    let found = masked(message);
    assert!(!found.contains("6789\\\"") && !found.contains("123-45-6789"), "{found}");
    assert_eq!(found.matches("[REDACTED:SSN]").count(), 5, "{found}");
    assert!(found.contains(r#""n":123456789"#) && found.contains(r#"{"ssn":"[REDACTED:SSN]"}"#), "{found}");
}

#[test]
fn case_138_every_part_of_a_message_is_searched() {
    for place in [
        r#"{"error":{"code":-1,"message":"?"}}"#,
        r#"{"error":{"code":-1,"message":"","data":"?"}}"#,
        r#"{"error":{"code":-1,"message":"","data":{"a":["?"]}}}"#,
        r#"{"result":{"isError":true,"content":[{"type":"text","text":"?"}]}}"#,
        r#"{"method":"notifications/message","params":{"level":"info","data":"?"}}"#,
        r#"{"method":"notifications/progress","params":{"progress":1,"message":"?"}}"#,
        r#"{"result":{"tools":[{"name":"x","description":"?","inputSchema":{"description":"?"}}]}}"#,
        r#"{"result":{"resources":[{"name":"?","uri":"file:///?"}]}}"#,
        r#"{"result":{"contents":[{"uri":"x:?","text":"?"}]}}"#,
        r#"{"result":{"_meta":{"x":"?"}}}"#,
        r#"{"result":{"resultType":{"x":"?"}}}"#,
        r#"{"id":{"x":"?"},"result":{"id":"?","method":"?"}}"#,
        r#"[{"result":"?"}]"#,
        r#""?""#,
    ] {
        let found = masked(&place.replace('?', "alice@example.com"));
        assert_eq!(found, place.replace('?', "[REDACTED:EMAIL]"));
    }
    let exempt = r#"{"jsonrpc":"2.0","id":"a@example.com","method":"x","result":{"resultType":"complete"}}"#;
    assert!(everything("mask").json(exempt.as_bytes()).unwrap().counts.is_empty());
}

#[test]
fn case_139_keys_are_replaced_and_kept_apart() {
    let message = r#"{"result":{"a@example.com":1,"b@example.com":{"c@example.com":2},"x":3,"[REDACTED:EMAIL]_2":4}}"#;
    let expected =
        r#"{"result":{"[REDACTED:EMAIL]":1,"[REDACTED:EMAIL]_3":{"[REDACTED:EMAIL]":2},"x":3,"[REDACTED:EMAIL]_2":4}}"#;
    assert_eq!(masked(message), expected);
    let named = r#"{"result":{"123-45-6789":123456789}}"#;
    assert_eq!(masked(named), r#"{"result":{"[REDACTED:SSN]":123456789}}"#);
    let dropped = json(&everything("drop"), r#"{"result":{"a@example.com":1,"\u0062@example.com":2}}"#);
    assert_eq!(dropped, r#"{"result":{"[REDACTED:EMAIL]":1,"[REDACTED:EMAIL]_2":2}}"#);
}

#[test]
fn case_140_text_in_base64_is_redacted_and_encoded_again() {
    let encoded = STANDARD.encode("name,mail\nalice,alice@example.com\n");
    let cleaned = STANDARD.encode("name,mail\nalice,[REDACTED:EMAIL]\n");
    for (given, expected) in [
        (r#"{"uri":"x","mimeType":"text/csv","blob":"?"}"#, &cleaned),
        (r#"{"uri":"x","blob":"?","mimeType":"text/csv; charset=utf-8"}"#, &cleaned),
        (r#"{"blob":"?"}"#, &cleaned),
        (r#"{"data":"?","mimeType":"application/json"}"#, &cleaned),
        (r#"{"mimeType":"image/png","data":"?","mimeType":"text/plain"}"#, &cleaned),
        (r#"{"data":"?"}"#, &encoded),
    ] {
        let message = |text: &str| format!(r#"{{"result":{{"contents":[{}]}}}}"#, given.replace('?', text));
        assert_eq!(masked(&message(&encoded)), message(expected), "{given}");
    }
    let latin = STANDARD.encode([&[0xe9; 60], b" alice@example.com".as_slice()].concat());
    let found = masked(&format!(r#"{{"result":{{"blob":"{latin}","mimeType":"text/plain"}}}}"#));
    assert!(found.contains(&STANDARD.encode([&[0xe9; 60], b" [REDACTED:EMAIL]".as_slice()].concat())), "{found}");
    let twice =
        r#"{"result":{"blob":"a@example.com","blob":"a@example.com","data":"a@example.com","mimeType":"image/png"}}"#;
    assert!(!masked(twice).contains("example"));
}

#[test]
fn case_141_a_card_as_a_number_becomes_a_string() {
    for number in ["4111111111111111", "4111111111111111.0", "4.111111111111111E15"] {
        assert_eq!(masked(&format!(r#"{{"result":{{"pan":{number}}}}}"#)), r#"{"result":{"pan":"[REDACTED:CARD]"}}"#);
    }
    for number in ["4111111111111112", "411111111111111.1", "1700000000000", "123456789", "-5", "1e15"] {
        assert_eq!(masked(&format!(r#"{{"result":{{"n":{number}}}}}"#)), format!(r#"{{"result":{{"n":{number}}}}}"#));
    }
    for (key, number, kind) in [
        ("ssn", "123456789", "SSN"),
        ("social_security", "123456789", "SSN"),
        ("phoneNumber", "41446681800", "PHONE"),
        ("mobile", "[446681800]", "PHONE"),
    ] {
        let found = masked(&format!(r#"{{"result":{{"{key}":{number}}}}}"#));
        assert!(found.contains(&format!("\"[REDACTED:{kind}]\"")), "{found}");
    }
    let dropped = json(&everything("drop"), r#"{"result":{"pan":4111111111111111}}"#);
    assert_eq!(dropped, r#"{"result":{"pan":null}}"#);
}

#[test]
fn case_142_addresses_in_codes_are_found() {
    for hidden in
        ["alice%40example.com", "alice&#64;example.com", "alice&#x40;example.com", "alice&commat;example&period;com"]
    {
        assert_eq!(masked(&format!(r#"{{"result":{{"a":"{hidden}"}}}}"#)), r#"{"result":{"a":"[REDACTED:EMAIL]"}}"#);
    }
}

#[test]
fn case_145_hostile_texts_take_linear_time() {
    let pattern = plan(
        r#"[{"patterns": {"p": "(a+)+$"}, "detect": ["email","phone","iban","card","ssn","ahv","ip","secret"], "action": "mask"}]"#,
    );
    for unit in [
        "a",
        "@",
        "a@",
        "a@a.",
        "4",
        "4 ",
        "4111 ",
        "4111-",
        "1.",
        "1:",
        ":",
        "::",
        "+",
        "+1",
        "(",
        "sk-a-",
        "eyJ",
        "eyJ.",
        "-----BEGIN PRIVATE KEY",
        "-----BEGIN ",
        "://",
        "://a:",
        "Bearer ",
        "sig=",
        "&sig=",
        "&",
        "&#",
        "%",
        "%4",
        "[",
        "[A",
        "[REDACTED:",
        "[REDACTED:EMAIL]",
        "{",
        "{\"a\":",
        "[[",
        "\u{200b}",
        "４",
        "phone ",
        "phone 1 ",
        "ssn 123456789 ",
        "AKIA",
        "ghp_",
        "\"@",
        "756.",
        "CH93",
        "IBAN",
    ] {
        let hostile = unit.repeat(60_000 / unit.len());
        assert!(pattern.text(&hostile).is_ok(), "{unit}");
    }
}

#[test]
fn documents_within_documents_fit_the_stack() {
    let mut message = String::from("4111111111111111");
    for _ in 0..4 {
        let nested = format!("{}{}{}", "[".repeat(128), serde_json::Value::from(message), "]".repeat(128));
        message = nested;
    }
    let redacted = everything("mask").json(message.as_bytes()).unwrap();
    assert!(String::from_utf8_lossy(&redacted.bytes).contains("[REDACTED:CARD]"));
}

#[test]
fn case_146_pictures_are_not_touched() {
    let picture = STANDARD.encode([b"alice@example.com".as_slice(), &[0; 60]].concat());
    let message =
        format!(r#"{{"result":{{"content":[{{"type":"image","data":"{picture}","mimeType":"image/png"}}]}}}}"#);
    assert_eq!(masked(&message), message);
    let disguised = r#"{"result":{"content":[{"type":"image","data":"alice@example.com","mimeType":"image/png"}]}}"#;
    assert!(masked(disguised).contains("[REDACTED:EMAIL]"));
}

#[test]
fn a_long_text_content_is_cut_and_says_so() {
    let cut = |limit: usize, text: &str| {
        let redactor =
            Redactor::compile(&super::documents(r#"[{"detect": ["email","card"], "action": "mask"}]"#), limit, b"k");
        let plan = redactor.unwrap().plan(&RoleSet::default(), None);
        let found = json(&plan, &format!(r#"{{"result":{{"content":[{{"text":"{text}"}}]}}}}"#));
        found.strip_prefix(r#"{"result":{"content":[{"text":""#).unwrap().strip_suffix("\"}]}}").unwrap().to_owned()
    };
    assert_eq!(cut(5, "abcde"), "abcde");
    assert_eq!(cut(5, "abcdef"), "abcde [truncated: 5 of 6 characters shown]");
    assert_eq!(cut(5, "ééééé"), "ééééé");
    assert_eq!(cut(5, r"é\u00e9é\n😀\ud83d\ude00x"), r"é\u00e9é\n😀 [truncated: 5 of 7 characters shown]");
    assert_eq!(cut(20, "mail alice@example.com now"), "mail [REDACTED:EMAIL [truncated: 20 of 25 characters shown]");
    assert_eq!(cut(18, "x 4111111111111111000000000"), "x [REDACTED:CARD] [truncated: 18 of 27 characters shown]");
    assert_eq!(cut(3, "a@example.com"), "[RE [truncated: 3 of 16 characters shown]");
    let elsewhere = r#"{"result":{"structuredContent":{"text":"abcdef"},"content":[{"resource":{"text":"abcdef"}}]}}"#;
    let plan = Redactor::compile(&[], 5, b"k").unwrap().plan(&RoleSet::default(), None);
    assert_eq!(json(&plan, elsewhere), elsewhere);
}

#[test]
fn a_large_clean_document_is_borrowed() {
    let row = r#"{"id":"550e8400-e29b-41d4-a716-446655440000","at":"2024-05-06T12:33:11Z","name":"Zoë – Müller","n":1700000000000,"v":"1.2.3","note":"line one\nline two"},"#;
    let rows = row.repeat(1_000_000 / row.len());
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"structuredContent":[{}0]}}}}"#, rows);
    let plan = redactor(
        r#"[{"detect": ["email","phone","iban","card","ssn","ahv","ip","secret"], "fields": ["$..salary"], "action": "mask"}]"#,
    );
    let redacted = plan.plan(&RoleSet::default(), None);
    assert!(matches!(redacted.json(message.as_bytes()).unwrap().bytes, std::borrow::Cow::Borrowed(_)));
}
