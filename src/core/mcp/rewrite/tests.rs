//! Edits change what they say and nothing else.

use super::*;
use crate::jsonrpc::{Limits, parse, parse_value};
use crate::mcp::{Body, classify, headers::McpHeaders};
use proptest::prelude::*;
use serde_json::{Value, json};

const INFO: &[u8] = br#"{"name":"portcullis","version":"1"}"#;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const BESIDE: Parent<'static> = Parent { traceparent: PARENT, alone: false };

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn modernised(body: &str) -> String {
    let frame = parse(body.as_bytes(), &Limits::default()).unwrap();
    text(splice(body.as_bytes(), modernise(&frame, INFO, b"{}", None, BESIDE)))
}

#[test]
fn a_renamed_tool_leaves_every_other_byte() {
    let body = "{ \"id\":1e0 ,\"x\":1.10,\"name\" : \"\\u0061\", \"arguments\":{\"name\":\"a\"} }";
    let object = parse_value(body.as_bytes(), &Limits::default()).unwrap().unwrap();
    let renamed = splice(body.as_bytes(), vec![set_text(object.value("name").unwrap(), "b\"\n")]);
    assert_eq!(text(renamed), body.replace(r#""\u0061""#, r#""b\"\n""#));
}

#[test]
fn a_legacy_request_becomes_a_modern_one_and_keeps_its_own_keys() {
    let meta = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"portcullis","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}"#;
    for (legacy, modern) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"} "#,
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{{meta}}}}}}} "#),
        ),
        (
            r#"{"params":{ },"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            format!(r#"{{"params":{{"_meta":{{{meta}}} }},"jsonrpc":"2.0","id":1,"method":"tools/list"}}"#),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","x":1e2}}"#,
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{{{meta}}},"name":"a","x":1e2}}}}"#),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{}}}"#,
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{{{meta}}}}}}}"#),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":7,"traceparent":"00"}}}"#,
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{{{meta},"progressToken":7,"traceparent":"{PARENT}"}}}}}}"#
            ),
        ),
    ] {
        assert_eq!(modernised(legacy), modern);
    }
}

#[test]
fn what_a_legacy_client_claims_to_be_able_to_do_is_replaced() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"a":1}}}"#;
    let message: Value = serde_json::from_str(&modernised(body)).unwrap();
    assert_eq!(message["params"]["_meta"][META_CAPABILITIES], json!({}));
    assert_eq!(message["params"]["_meta"]["a"], 1);
}

#[test]
fn a_legacy_request_says_what_its_session_said() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#;
    let frame = parse(body.as_bytes(), &Limits::default()).unwrap();
    let edits = modernise(&frame, INFO, br#"{"roots":{}}"#, Some("warning"), BESIDE);
    let message: Value = serde_json::from_slice(&splice(body.as_bytes(), edits)).unwrap();
    assert_eq!(message["params"]["_meta"][META_CAPABILITIES], json!({ "roots": {} }));
    assert_eq!(message["params"]["_meta"][META_LOG_LEVEL], "warning");
}

#[test]
fn a_modernised_call_passes_the_checks_of_its_new_era() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
    let own = text(tools_call_request(b"1", "t", b"{\"a\":1e400}", Version::LATEST, INFO));
    for body in [modernised(body), own] {
        let lines = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "t")];
        let headers = McpHeaders::read(lines.map(|(name, value)| (name, value.as_bytes()))).unwrap();
        let frame = parse(body.as_bytes(), &Limits::default()).unwrap();
        let message = classify(body.as_bytes(), &frame, &headers).unwrap();
        assert!(matches!(message.body, Body::Ask(call) if call.name == "t"));
    }
}

#[test]
fn a_call_of_our_own_is_written_for_its_era() {
    let legacy = tools_call_request(b"\"x\"", "a\"b", b"{\"n\":1.10}", Version::V2025_11_25, INFO);
    let expected =
        r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"a\"b","arguments":{"n":1.10}}}"#;
    assert_eq!(text(legacy), expected);
    let list = request(b"2", "tools/list", &[], Version::V2025_06_18, INFO);
    assert_eq!(text(list), r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}"#);
}

#[test]
fn what_an_edit_covers_never_survives() {
    let span = |start, end| Span { start, end };
    for (edits, expected) in [
        (vec![], "0123456789"),
        (vec![(span(8, 9), b"b".to_vec()), (span(1, 2), b"a".to_vec())], "0a234567b9"),
        (vec![(span(1, 5), b"a".to_vec()), (span(3, 7), b"b".to_vec())], "0ab789"),
        (vec![(span(1, 7), b"a".to_vec()), (span(3, 4), b"b".to_vec())], "0ab789"),
        (vec![(span(3, 3), b"a".to_vec()), (span(3, 3), b"b".to_vec())], "012ab3456789"),
        (vec![(span(8, 99), b"a".to_vec())], "01234567a"),
        (vec![(span(50, 99), b"a".to_vec())], "0123456789a"),
        (vec![(span(5, 2), b"a".to_vec())], "01234a56789"),
    ] {
        assert_eq!(text(splice(b"0123456789", edits.clone())), expected, "{edits:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn members_are_set_and_removed_as_in_a_map(
        before in prop::collection::btree_map("[a-f]", 0_u8..9, 0..5),
        set in prop::collection::btree_map("[a-h]", 10_u8..99, 0..4),
        remove in prop::collection::btree_set("[a-h]", 0..4),
        pretty: bool,
    ) {
        let body = if pretty { serde_json::to_vec_pretty(&before) } else { serde_json::to_vec(&before) }.unwrap();
        let object = parse_value(&body, &Limits::default()).unwrap().unwrap();
        let values: Vec<(String, Vec<u8>)> = set
            .iter()
            .filter(|(key, _)| !remove.contains(*key))
            .map(|(key, value)| (key.clone(), value.to_string().into_bytes()))
            .collect();
        let values: Vec<(&str, &[u8])> = values.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
        let gone: Vec<&str> = remove.iter().map(String::as_str).collect();
        let after: Value = serde_json::from_slice(&splice(&body, change(&object, &values, &gone))).unwrap();
        let mut expected = before;
        expected.extend(set);
        expected.retain(|key, _| !remove.contains(key));
        prop_assert_eq!(after, serde_json::to_value(expected).unwrap());
    }

    #[test]
    fn no_edits_make_it_panic_and_none_is_lost(
        body: Vec<u8>,
        edits in prop::collection::vec((any::<u8>(), any::<u8>()), 0..6),
    ) {
        let edits: Vec<_> =
            edits.iter().map(|(start, end)| (Span { start: (*start).into(), end: (*end).into() }, b"!".to_vec())).collect();
        let count = edits.len();
        let marks = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'!').count();
        prop_assert!(marks(&splice(&body, edits)) >= count);
    }
}

/// Where no header goes on, the message says what it would.
#[test]
fn a_message_that_goes_without_headers_names_our_span() {
    let alone = Parent { traceparent: PARENT, alone: true };
    for params in [r#"{"name":"a"}"#, r#"{"name":"a","_meta":{"progressToken":1}}"#, r#"{"_meta":{"traceparent":"x"}}"#]
    {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
        let frame = parse(body.as_bytes(), &Limits::default()).unwrap();
        let edits = [name_parent(&frame, alone), modernise(&frame, INFO, b"{}", None, alone)];
        for edits in edits {
            let edited = splice(body.as_bytes(), edits);
            let frame = parse(&edited, &Limits::default()).unwrap();
            assert_eq!(frame.meta.unwrap().value(TRACEPARENT).unwrap().of(&edited), quote(PARENT), "{params}");
        }
        let beside = splice(body.as_bytes(), name_parent(&frame, BESIDE));
        assert_eq!(text(beside).contains(PARENT), params.contains("traceparent"), "{params}");
    }
}

/// Of the context of a trace, the span is ours and nothing else passes.
#[test]
fn a_message_names_our_span_where_it_names_one_and_brings_no_baggage() {
    for (meta, expected) in [
        (r#"{}"#, r#"{}"#.to_owned()),
        (r#"{"progressToken":1}"#, r#"{"progressToken":1}"#.to_owned()),
        (r#"{"baggage":"user=ana"}"#, "{}".to_owned()),
        (
            r#"{"traceparent":"00-theirs","tracestate":"x=1","progressToken":1,"baggage":"user=ana"}"#,
            format!(r#"{{"traceparent":"{PARENT}","progressToken":1}}"#),
        ),
        (r#"{"baggage":1,"traceparent":{},"tracestate":[]}"#, format!(r#"{{"traceparent":"{PARENT}"}}"#)),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{meta}}}}}"#);
        let frame = parse(body.as_bytes(), &Limits::default()).unwrap();
        let edits = change_meta(frame.meta.as_ref().unwrap(), &[], &[], BESIDE);
        let expected = body.replace(meta, &expected);
        assert_eq!(text(splice(body.as_bytes(), edits)), expected, "{meta}");
        let modern: Value = serde_json::from_str(&modernised(&body)).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        for key in ["traceparent", "tracestate", "baggage", "progressToken"] {
            assert_eq!(modern["params"]["_meta"].get(key), expected["params"]["_meta"].get(key), "{meta} {key}");
        }
    }
}
