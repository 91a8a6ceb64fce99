//! Messages that two parsers could read in two ways, by the numbers of the abuse cases; and that the others are read
//! as they are.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::Instant;

/// What a refusal is, without its words.
#[derive(Debug, PartialEq)]
enum Outcome {
    P400,
    I400,
    V,
    Ok,
}
use Outcome::{I400, P400, V};

fn outcome<T>(result: &Result<T, Rejection>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(Rejection::ParseError) => P400,
        Err(Rejection::InvalidRequest(_)) => I400,
        Err(Rejection::InvalidParams(_)) => V,
        Err(other) => panic!("{other:?}"),
    }
}

fn read(body: impl AsRef<[u8]>) -> Result<Frame, Rejection> {
    parse(body.as_ref(), &Limits::default())
}

fn expect(case: u32, body: impl AsRef<[u8]>, expected: Outcome) {
    let body = body.as_ref();
    assert_eq!(outcome(&read(body)), expected, "case {case}: {}", String::from_utf8_lossy(body));
}

/// A `tools/call` with `inside` as the text of its arguments.
fn call(inside: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{inside}}}}}"#)
}

#[test]
fn a_sound_request_is_read_as_it_is() {
    let body = br#" {"jsonrpc":"2.0", "id" : "a\u0062" ,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":7}}}
"#;
    let frame = read(body).unwrap();
    assert_eq!(frame.kind, Kind::Request);
    assert_eq!(frame.span.of(body), body.trim_ascii());
    assert_eq!(frame.id.unwrap().of(body), br#""a\u0062""#);
    assert_eq!(frame.method, "tools/call");
    assert_eq!(frame.params.unwrap().value("name").unwrap().of(body), br#""t""#);
    let meta = frame.meta.unwrap();
    assert_eq!(meta.span.of(body), br#"{"progressToken":7}"#);
    assert_eq!(meta.members[0].name.of(body), br#""progressToken""#);
    assert_eq!(meta.value("progressToken").unwrap().of(body), b"7");
}

#[test]
fn the_kind_is_what_the_members_say() {
    for (body, kind) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Kind::Request),
        (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Kind::Notification),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Kind::Response),
        (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, Kind::Response),
    ] {
        assert_eq!(read(body).unwrap().kind, kind, "{body}");
    }
}

#[test]
fn cases_1_to_3_a_key_is_there_once() {
    expect(1, r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, I400);
    expect(2, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}"#, I400);
    expect(2, r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"a"}"#, I400);
    expect(2, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"a","name":"b"}}"#, I400);
    expect(2, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"arguments":{},"arguments":{}}}"#, I400);
    expect(3, call(r#"{"a":[{"b":{"c":1,"d":2,"c":3}}]}"#), I400);
    expect(3, call(r#"{"a":1,"\u0061":2}"#), I400);
    expect(3, call(r#"{"":1,"":2}"#), I400);
    expect(3, call(r#"{"a":{"x":1},"b":{"x":1},"x":{"a":1}}"#), Outcome::Ok);
}

#[test]
fn cases_4_and_5_a_key_is_not_there_in_other_letters() {
    for key in ["Method", "METHOD", "method ", "method\\u0000x", "\\u004dethod", "m\u{200b}ethod"] {
        expect(4, format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","{key}":"b"}}"#), I400);
    }
    for key in ["methods", "_method", "метод", "x\u{212a}"] {
        expect(4, format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","{key}":"b"}}"#), Outcome::Ok);
    }
    expect(4, r#"{"jsonrpc":"2.0","id":1,"Method":"a"}"#, I400);
    expect(4, r#"{"jsonrpc":"2.0","id":1,"method":"a","PARAMS":{}}"#, I400);
    expect(4, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"a","Name":"b"}}"#, I400);
    expect(4, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"Arguments":{}}}"#, I400);
    expect(4, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"inputresponses":{}}}"#, I400);
    expect(4, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_META":{}}}"#, I400);
    expect(4, call(r#"{"Name":1,"name":2,"Method":3}"#), Outcome::Ok);
    let meta =
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"io.modelcontextprotocol/ProtocolVersion":"x"}}}"#;
    expect(4, meta, I400);
    expect(5, r#"{"jsonrpc":"2.0","id":1,"method":"a","paramſ":{}}"#, I400);
    expect(5, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"taſk":{}}}"#, I400);
    expect(5, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":{\"tas\u{212a}\":{}}}", I400);
    expect(5, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"ta\u017f\u212a":{}}}"#, I400);
    expect(5, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"urı":"x"}}"#, I400);
    expect(5, r#"{"jsonrpc":"2.0","id":1,"method":"a","İd":1}"#, I400);
}

#[test]
fn case_6_an_escaped_key_is_the_key() {
    let frame = read(r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"a"}"#).unwrap();
    assert_eq!(frame.method, "a");
    expect(6, r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"a","method":"b"}"#, I400);
}

#[test]
fn cases_7_to_9_the_text_is_utf_8_of_scalar_values() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#;
    expect(7, format!("\u{feff}{text}"), P400);
    for order in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        expect(7, text.encode_utf16().flat_map(order).collect::<Vec<_>>(), P400);
    }
    expect(7, text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<_>>(), P400);
    for bad in [&b"\xff"[..], b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80"] {
        let body = [br#"{"jsonrpc":"2.0","id":1,"method":"a"#, bad, br#""}"#].concat();
        expect(8, body, P400);
    }
    for lone in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x", r"\udc00\ud800", r"\ud83d\u0041", r"\ud83d\"] {
        expect(9, call(&format!(r#"{{"a":"{lone}"}}"#)), P400);
        expect(9, call(&format!(r#"{{"{lone}":1}}"#)), P400);
    }
    expect(9, call(r#"{"a":"\ud83d\ude00"}"#), Outcome::Ok);
}

#[test]
fn case_10_a_number_is_a_number_of_json() {
    for bad in [
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        "01",
        "-01",
        ".5",
        "5.",
        "0x1",
        "1e",
        "1e+",
        "-",
        "--1",
        "1_0",
        "1.e1",
        "٣",
    ] {
        expect(10, call(&format!(r#"{{"a":{bad}}}"#)), P400);
    }
    for good in ["0", "-0", "10", "1.5", "1e5", "1E+05", "-1.25e-10"] {
        expect(10, call(&format!(r#"{{"a":{good}}}"#)), Outcome::Ok);
    }
}

#[test]
fn case_11_an_id_is_a_short_string_or_an_integer() {
    let long = format!("\"{}\"", "x".repeat(257));
    for bad in ["123456789012345678901234567890", "1.5", "1e2", "null", "true", "[1]", "{}", &long] {
        expect(11, format!(r#"{{"jsonrpc":"2.0","id":{bad},"method":"a"}}"#), I400);
    }
    let long = format!("\"{}\"", "x".repeat(256));
    for good in ["0", "-7", "12345678901234567890", "\"\"", "\"\\u0000\"", &long] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{good},"method":"a"}}"#);
        assert_eq!(read(&body).unwrap().id.unwrap().of(body.as_bytes()), good.as_bytes());
    }
}

#[test]
fn case_12_numbers_stay_the_bytes_they_were() {
    let arguments = r#"{"a":1e400,"b":9007199254740993,"c":1.10,"d":-0}"#;
    let body = call(arguments);
    let params = read(&body).unwrap().params.unwrap();
    assert_eq!(params.value("arguments").unwrap().of(body.as_bytes()), arguments.as_bytes());
}

#[test]
fn case_13_deep_nesting_is_refused_early_and_without_recursion() {
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // The message, its params and the arguments are three.
    expect(13, call(&format!(r#"{{"a":{}}}"#, nest(61))), Outcome::Ok);
    expect(13, call(&format!(r#"{{"a":{}}}"#, nest(62))), I400);
    expect(13, format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","ignored":{}}}"#, nest(64)), I400);
    expect(13, "[".repeat(1_000_000), I400);
    expect(13, "{\"a\":".repeat(1_000_000), I400);
}

#[test]
fn case_14_long_keys_and_many_values_are_refused() {
    expect(14, call(&format!(r#"{{"{}":1}}"#, "k".repeat(256))), Outcome::Ok);
    expect(14, call(&format!(r#"{{"{}":1}}"#, "k".repeat(257))), I400);
    expect(14, call(&format!(r#"{{"a":[{}1]}}"#, "1,".repeat(9_000))), Outcome::Ok);
    expect(14, call(&format!(r#"{{"a":[{}1]}}"#, "1,".repeat(10_000))), I400);
}

#[test]
fn cases_15_to_17_a_body_is_one_object_of_strict_json() {
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#;
    for tail in ["{}", " x", "\n{}", ",", "]", "}", "\0", "//c"] {
        expect(15, format!("{one}{tail}"), P400);
    }
    for body in [format!("[{one}]"), "[]".into(), format!("[{one},{one}]"), format!("  \n[{one}]"), "[1]".into()] {
        expect(16, &body, I400);
        assert!(matches!(read(&body), Err(Rejection::InvalidRequest(reason)) if reason.contains("batch")));
    }
    for body in ["1", "\"a\"", "null", "true"] {
        expect(16, body, I400);
    }
    for body in
        ["", " ", "{", "}", "{]", "[}", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{a:1}", "{,}", "[1,]", "[,1]", "[1 2]"]
    {
        expect(17, body, P400);
    }
    for arguments in
        ["{/*c*/}", "{\"a\":1,}", "{'a':1}", "{\"a\":tru}", "{\"a\":True}", "{\"a\":nul", "{\"a\"=1}", "{1:1}"]
    {
        expect(17, call(arguments), P400);
    }
    expect(17, "{\"a\":\u{a0}1}", P400);
    expect(17, "{\"a\":\u{c}1}", P400);
}

#[test]
fn case_18_control_characters_are_refused() {
    for control in ["\0", "\n", "\t", "\u{1f}"] {
        expect(18, call(&format!("{{\"a\":\"{control}\"}}")), P400);
    }
    for escape in [r"\x", r"\u12", r"\u00g0", r"\", r"\'", r"\U0041"] {
        expect(18, call(&format!("{{\"a\":\"{escape}\"}}")), P400);
    }
    expect(18, r#"{"jsonrpc":"2.0","id":1,"method":"a\u0000"}"#, I400);
    expect(18, call(r#"{"a":"\u0000\u007f"}"#), Outcome::Ok);
}

#[test]
fn cases_19_to_22_the_envelope_is_that_of_json_rpc() {
    for version in ["", r#""jsonrpc":2.0,"#, r#""jsonrpc":"2","#, r#""jsonrpc":"1.0","#, r#""jsonrpc":null,"#] {
        expect(19, format!(r#"{{{version}"id":1,"method":"a"}}"#), I400);
    }
    expect(20, r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#, I400);
    expect(20, r#"{"jsonrpc":"2.0","id":1,"method":"a","error":{}}"#, I400);
    expect(20, r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, I400);
    expect(20, r#"{"jsonrpc":"2.0","id":1}"#, I400);
    for method in ["1", "null", "[]", "\"\"", "\"a\\n\""] {
        expect(20, format!(r#"{{"jsonrpc":"2.0","id":1,"method":{method}}}"#), I400);
    }
    for params in ["[]", "[{}]", "null", "1", "\"a\""] {
        expect(22, format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{params}}}"#), V);
        expect(22, format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"_meta":{params}}}}}"#), V);
    }
}

#[test]
fn only_the_members_of_the_message_itself_count() {
    let body = br#"{"x":{"params":{"_meta":{"a":1}},"method":"b"},"jsonrpc":"2.0","id":1,"method":"a","params":{"y":{"_meta":{"a":1}}}}"#;
    let frame = read(body).unwrap();
    assert_eq!((frame.method.as_str(), frame.meta), ("a", None));
    assert_eq!(frame.params.unwrap().members.len(), 1);
}

#[test]
fn hostile_shapes_take_no_longer_than_their_size() {
    let started = Instant::now();
    let keys: Vec<String> = (0..9_900).map(|i| format!("\"{}{i}\":1", "k".repeat(250))).collect();
    expect(14, call(&format!("{{{}}}", keys.join(","))), Outcome::Ok);
    let keys: Vec<String> = (0..9_900).map(|i| format!("\"{}{i}\":1", "\\u006b".repeat(250))).collect();
    expect(14, call(&format!("{{{}}}", keys.join(","))), Outcome::Ok);
    expect(14, call(&format!("{{\"a\":\"{}\"}}", "\\u0061".repeat(500_000))), Outcome::Ok);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn any_json_can_be_read_with_its_members() {
    let limits = Limits::default();
    let body = br#"{"tool_name":"a","arguments":{"x":[1]}}"#;
    let object = parse_value(body, &limits).unwrap().unwrap();
    assert_eq!(object.value("arguments").unwrap().of(body), br#"{"x":[1]}"#);
    assert_eq!(object.value("absent"), None);
    assert!(!object.has_lookalike(&["tool_name", "arguments"]));
    assert!(object.has_lookalike(&["Tool_Name"]));
    assert_eq!(parse_value(b"[1,2]", &limits), Ok(None));
    assert_eq!(outcome(&parse_value(br#"[{"a":1,"a":2}]"#, &limits)), I400);
    assert_eq!(outcome(&parse_value(b"", &limits)), P400);
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert_eq!(parse_value(deep.as_bytes(), &Limits::ANSWER), Ok(None));
    assert_eq!(outcome(&parse_value(deep.as_bytes(), &limits)), I400);
}

#[test]
fn a_string_token_is_decoded_or_refused() {
    assert!(matches!(string(b"\"plain\""), Some(Cow::Borrowed("plain"))));
    assert_eq!(string(br#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#).unwrap(), "\"\\/\u{8}\u{c}\n\r\té😀z");
    assert_eq!(string(b"\"\"").unwrap(), "");
    for bad in [&b""[..], b"\"", b"a", b"1", b"\"a\"b\"", b"\"\\\"", b"\"\\q\"", b"\"\n\"", b"\"\xff\"", b"\"\\ud800\""]
    {
        assert_eq!(string(bad), None, "{bad:?}");
    }
}

#[test]
fn ids_are_the_same_by_what_they_stand_for() {
    assert!(same_id(b"1", b"1") && same_id(b"\"A\"", br#""\u0041""#));
    assert!(!same_id(b"1", b"\"1\"") && !same_id(b"1", b"2") && !same_id(b"\"a\"", b"\"A\""));
}

#[test]
fn a_span_that_does_not_fit_is_empty() {
    for span in [Span { start: 2, end: 1 }, Span { start: 0, end: 9 }, Span { start: usize::MAX, end: usize::MAX }] {
        assert_eq!(span.of(b"abc"), b"");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)];
    let scalar =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, ".{0,12}".prop_map(Value::from)];
    scalar.prop_recursive(12, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,12}", inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_a_serialiser_writes_is_read_with_its_values(arguments in value(), pretty: bool) {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"arguments": arguments, "_meta": {"v": arguments}}});
        let body = if pretty { serde_json::to_vec_pretty(&message) } else { serde_json::to_vec(&message) }.unwrap();
        let frame = read(&body).unwrap();
        for (object, key) in [(frame.params.unwrap(), "arguments"), (frame.meta.unwrap(), "v")] {
            let found: Value = serde_json::from_slice(object.value(key).unwrap().of(&body)).unwrap();
            prop_assert_eq!(&found, &arguments);
        }
    }

    #[test]
    fn a_string_is_decoded_as_a_serialiser_wrote_it(text: String) {
        let token = quote(&text);
        prop_assert_eq!(string(&token).unwrap(), text);
    }

    #[test]
    fn whatever_is_accepted_is_json_to_others_too(at in 0_usize..80, byte: u8) {
        let mut body = br#"{"jsonrpc":"2.0","id":12,"method":"a\u0041","params":{"k":[1.5e3,true,null,"\n"],"n":{}}}"#.to_vec();
        if let Some(slot) = body.get_mut(at) {
            *slot = byte;
        }
        let ours = parse_value(&body, &Limits::default());
        let theirs: Result<Value, _> = serde_json::from_slice(&body);
        match ours {
            Ok(_) => prop_assert!(theirs.is_ok()),
            Err(Rejection::ParseError) => prop_assert!(theirs.is_err()),
            Err(_) => {}
        }
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(body: Vec<u8>) {
        let _ = read(&body);
        let _ = answer(&body, &Limits::ANSWER);
        let _ = string(&body);
    }
}
