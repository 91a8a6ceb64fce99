//! Group A: bodies that two readers could read in two ways.

use crate::abuse::stage::{Attack, Stage, call, good, with_body, with_members, with_params};
use serde_json::json;

fn duplicates() -> Vec<Attack> {
    let params = r#""params":{"name":"get_customer","arguments":{"id":"c-1"},"_meta":$META}"#;
    let bad = |name, members: &str| Attack::malformed(name, with_members(members), -32600);
    vec![
        bad("1 two methods", &format!(r#""method":"tools/list",{params}"#)),
        bad("2 two params", &format!("{params},{params}")),
        bad("2 two ids", &format!(r#"{params},"id":2"#)),
        bad("2 two names", r#""params":{"name":"get_customer","name":"delete_customer","_meta":$META}"#),
        Attack::malformed("2 two arguments", with_params(r#""arguments":{},"arguments":{"id":"x"}"#), -32600),
        Attack::malformed("2 two _meta", with_params(r#""_meta":{},"arguments":{}"#), -32600),
        Attack::malformed("3 deep", with_params(r#""arguments":{"deep":[{"a":{"b":1,"\u0062":2}}]}"#), -32600),
        bad("4 Method", &format!(r#""Method":"tools/list",{params}"#)),
        bad("4 PARAMS", &format!(r#""PARAMS":{{}},{params}"#)),
        bad("4 Name", r#""params":{"name":"get_customer","Name":"delete_customer","_meta":$META}"#),
        bad("4 NAME alone", r#""params":{"NAME":"get_customer","_meta":$META}"#),
        bad("4 Arguments", r#""params":{"name":"get_customer","Arguments":{},"_meta":$META}"#),
        bad("5 long s", &format!("\"param\u{17f}\":{{}},{params}")),
        bad("5 Kelvin", "\"params\":{\"name\":\"get_customer\",\"tas\u{212a}\":{},\"_meta\":$META}"),
        Attack::runs(
            "6 an escaped key alone",
            with_body(
                r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"tools/call","params":{"name":"get_customer","_meta":$META}}"#,
            ),
        ),
        bad("6 an escaped key beside the plain one", &format!(r#""\u006dethod":"tools/call",{params}"#)),
    ]
}

fn no_json() -> Vec<Attack> {
    let plain = String::from_utf8(good().body).unwrap();
    let wide: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let within = |bytes: &[u8]| {
        let mut body = plain.clone().into_bytes();
        let at = plain.find("c-1").unwrap();
        body.splice(at..at + 3, bytes.iter().copied());
        body
    };
    let arguments = |value: &str| with_params(&format!(r#""arguments":{{"n":{value}}}"#));
    let bad = |name, request| Attack::malformed(name, request, -32700);
    let mut attacks = vec![
        bad("7 BOM", with_body(format!("\u{feff}{plain}"))),
        bad("7 UTF-16", with_body([b"\xff\xfe", wide.as_slice()].concat())),
        bad("8 not UTF-8", with_body(within(b"\xff"))),
        bad("8 overlong", with_body(within(b"\xc0\xaf"))),
        bad("8 CESU-8", with_body(within(b"\xed\xa0\x81\xed\xb0\x80"))),
        bad("9 half a pair", arguments(r#""\ud800""#)),
        bad("9 the other half", arguments(r#""\udc00\ud800""#)),
        bad("15 two texts", with_body(format!("{plain}{plain}"))),
        bad("15 trailing", with_body(format!("{plain} x"))),
        bad("15 lines", with_body(format!("{plain}\n{plain}\n"))),
        bad("17 comment", with_body(format!("/* a */{plain}"))),
        bad("17 trailing comma", arguments(r#"1,"#)),
        bad("17 single quotes", arguments("'a'")),
        bad("18 raw control", arguments("\"a\nb\"")),
        bad("an empty body", with_body("")),
    ];
    for number in ["NaN", "Infinity", "+1", "01", ".5", "1.", "0x1", "-", "1e", "--1"] {
        attacks.push(bad("10 no number", arguments(number)));
    }
    attacks
}

fn shapes() -> Vec<Attack> {
    let plain = String::from_utf8(good().body).unwrap();
    let bad = |name, request| Attack::malformed(name, request, -32600);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let id = |id: &str| with_body(plain.replace(r#""id":1"#, &format!(r#""id":{id}"#)));
    let deep = |depth| with_params(&format!(r#""arguments":{{"deep":{}}}"#, nested(depth)));
    let mut attacks = vec![
        Attack::runs("13 deep, within the limit", deep(61)),
        bad("13 deep", deep(62)),
        bad("13 very deep", deep(100_000)),
        bad("13 deep, in a member that nobody reads", with_members(&format!(r#""x":{},"params":{{}}"#, nested(64)))),
        bad("14 a long key", with_params(&format!(r#""arguments":{{"{}":1}}"#, "k".repeat(257)))),
        bad("14 many values", with_params(&format!(r#""arguments":{{"deep":[0{}]}}"#, ",0".repeat(10_000)))),
        bad("16 a batch", with_body(format!("[{plain},{plain}]"))),
        bad("16 a batch of one", with_body(format!("  \n[{plain}]"))),
        bad("16 an empty batch", with_body("[]")),
        bad("a string", with_body("\"tools/call\"")),
        bad("null", with_body("null")),
        bad("18 NUL in the method", with_body(plain.replace("tools/call", "tools/call\\u0000"))),
        bad("18 NUL in the tool", with_body(plain.replace("get_customer", "get_customer\\u0000"))),
        bad("19 no version", with_body(plain.replace(r#""jsonrpc":"2.0","#, "").replace(r#","jsonrpc":"2.0""#, ""))),
        bad("19 a number as version", with_body(plain.replace(r#""2.0""#, "2.0"))),
        bad("20 method and result", with_members(r#""result":{},"params":{}"#)),
        bad("20 method and error", with_members(r#""error":{},"params":{}"#)),
        bad("21 a response", with_body(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#)),
        bad("21 an error", with_body(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"a"}}"#)),
        Attack::malformed("22 params as a list", with_members(r#""params":["get_customer",{}]"#), -32602),
        Attack::malformed("22 arguments as a list", with_params(r#""arguments":["c-1"]"#), -32602),
        Attack::malformed("arguments null", with_params(r#""arguments":null"#), -32602),
        Attack::malformed("arguments in a string", with_params(r#""arguments":"{}""#), -32602),
        Attack::runs("no arguments", with_params(r#""x":1"#)),
        Attack::runs("empty arguments", with_params(r#""arguments":{}"#)),
    ];
    let long = format!("\"{}\"", "i".repeat(257));
    for odd in ["123456789012345678901234567890", "1.5", "1e3", "null", "true", "[]", "{}", long.as_str()] {
        attacks.push(bad("11 an odd id", id(odd)));
    }
    let closed = |name| {
        Attack::new(name, with_params(&format!(r#""arguments":{{{name}:1}}"#)), 200, -32602, "invalid_arguments")
    };
    attacks.extend([closed(r#""__proto__""#), closed(r#""constructor""#)]);
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_can_be_read_in_two_ways_reaches_nobody() {
    let stage = Stage::set().await;
    stage.play(duplicates().into_iter().chain(no_json()).chain(shapes()).collect()).await;
}

/// 12 and 25: what is not rewritten is the client's own bytes. A number beyond every double can't be checked against a
/// schema, so a call with one is refused rather than sent unchecked.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_readers_differ_on_pass_as_written_and_no_rule_takes_them() {
    let stage = Stage::set().await;
    let number = |value: &str| with_params(&format!(r#""arguments":{{"n":{value}}}"#));
    let percent = |value: &str| {
        let mut request = call("set_discount", &json!({}));
        request.body = with_body(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"set_discount","_meta":$META,"arguments":{{"percent":{value}}}}}}}"#
        ))
        .body;
        request
    };
    let mut attacks: Vec<_> =
        ["9007199254740993", "123456789012345678901234567890", "1.0000000000000000000001", "-0", "1E+2"]
            .into_iter()
            .map(|value| Attack::runs("12 as written", number(value)))
            .collect();
    attacks.push(Attack::new("12 beyond every double", number("1e400"), 200, -32602, "invalid_arguments"));
    for value in
        ["9007199254740993", "30.00000000000000000001", "1e400", "-1e400", "31", "\"30\"", "null", "[30]", "{}"]
    {
        attacks.push(Attack::unknown("12, 102 a number that a deny rule can't judge", percent(value)));
    }
    attacks.push(Attack::runs("a number that it can", percent("30")));
    stage.play(attacks).await;
    for value in ["9007199254740993", "1.0000000000000000000001"] {
        let request = number(value);
        assert_eq!(stage.gateway.send(&request).await.status, 200);
        assert_eq!(stage.upstream.calls().pop().unwrap().body, request.body);
    }
}
