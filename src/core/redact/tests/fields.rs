//! Fields: where they are looked for and what is done with them.

use super::{blocked, json, plan};

fn fields(paths: &str, action: &str) -> crate::redact::Plan {
    plan(&format!(r#"[{{"fields": {paths}, "action": "{action}"}}]"#))
}

#[test]
fn a_dropped_member_takes_its_comma_along() {
    let plan = fields(r#"["$..x", "$..y"]"#, "drop");
    for (given, expected) in [
        (r#"{"x":1}"#, r#"{}"#),
        (r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":2,"x":1}"#, r#"{"a":2}"#),
        (r#"{"a":2,"x":1,"b":3}"#, r#"{"a":2,"b":3}"#),
        (r#"{"x":1,"y":2}"#, r#"{}"#),
        (r#"{"x":1,"y":2,"a":3}"#, r#"{"a":3}"#),
        (r#"{"a":3,"x":1,"y":2}"#, r#"{"a":3}"#),
        (r#"{"x":1,"a":3,"y":2}"#, r#"{"a":3}"#),
        (r#"{"x":1,"x":2}"#, r#"{}"#),
        (r#"{"a":{"x":[1,{"x":2}]},"b":3}"#, r#"{"a":{},"b":3}"#),
        (r#"{ "x" : 1 , "a" : 2 }"#, r#"{  "a" : 2 }"#),
        (r#"{ "a" : 2 , "x" : 1 }"#, r#"{ "a" : 2  }"#),
        (r#"{"\u0078":1}"#, r#"{}"#),
        (r#"{"X":1}"#, r#"{"X":1}"#),
    ] {
        let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{given}}}"#);
        assert_eq!(json(&plan, &message), format!(r#"{{"jsonrpc":"2.0","id":1,"result":{expected}}}"#));
    }
}

#[test]
fn a_dropped_list_member_becomes_null() {
    let plan = fields(r#"["$.a[0]"]"#, "drop");
    assert_eq!(json(&plan, r#"{"result":{"a":[1,2]}}"#), r#"{"result":{"a":[null,2]}}"#);
}

#[test]
fn masked_and_hashed_fields_become_texts_once() {
    let masked = json(&fields(r#"["$..x"]"#, "mask"), r#"{"result":{"x":{"y":[1,"}"]},"a":1.0}}"#);
    assert_eq!(masked, r#"{"result":{"x":"[REDACTED:FIELD]","a":1.0}}"#);
    let hashed = json(&fields(r#"["$..x"]"#, "hash"), r#"{"result":{"x":5,"b":{"x":5},"c":{"x":6}}}"#);
    let value: serde_json::Value = serde_json::from_str(&hashed).unwrap();
    assert_eq!(value["result"]["x"], value["result"]["b"]["x"]);
    assert_ne!(value["result"]["x"], value["result"]["c"]["x"]);
    let blocks = fields(r#"["$..x"]"#, "block");
    assert_eq!(blocks.json(br#"{"result":{"x":null}}"#), Err(blocked("field")));
    assert!(blocks.json(br#"{"result":{"a":null}}"#).is_ok());
}

#[test]
fn a_field_goes_from_structured_content_and_from_its_copy_as_text() {
    let plan = fields(r#"["$..salary"]"#, "drop");
    let message = r#"{"result":{"content":[{"type":"text","text":"{\"name\":\"Bob\",\"salary\":100}"}],"structuredContent":{"name":"Bob","salary":100}}}"#;
    let expected =
        r#"{"result":{"content":[{"type":"text","text":"{\"name\":\"Bob\"}"}],"structuredContent":{"name":"Bob"}}}"#;
    assert_eq!(json(&plan, message), expected);
}

#[test]
fn every_document_of_an_answer_is_a_root() {
    let plan = fields(r#"["$.salary", "$.rows[*].pay"]"#, "drop");
    for (given, expected) in [
        (r#"{"result":{"salary":1}}"#, r#"{"result":{}}"#),
        (r#"{"result":{"structuredContent":{"salary":1}}}"#, r#"{"result":{"structuredContent":{}}}"#),
        (r#"{"result":{"rows":[{"pay":1},{"pay":2}]}}"#, r#"{"result":{"rows":[{},{}]}}"#),
        (r#"{"result":{"content":[{"text":" {\"salary\":1}"}]}}"#, r#"{"result":{"content":[{"text":" {}"}]}}"#),
        (r#"{"error":{"code":1,"message":"","data":{"salary":1}}}"#, r#"{"error":{"code":1,"message":"","data":{}}}"#),
        (r#"{"method":"m","params":{"salary":1}}"#, r#"{"method":"m","params":{}}"#),
        (r#"{"method":"m","params":{"data":{"salary":1}}}"#, r#"{"method":"m","params":{"data":{}}}"#),
        (r#"{"method":"m","params":{"data":"{\"salary\":1}"}}"#, r#"{"method":"m","params":{"data":"{}"}}"#),
        (r#"[{"result":{"salary":1}},{"result":{"salary":2}}]"#, r#"[{"result":{}},{"result":{}}]"#),
        (r#"{"result":{"a":{"salary":1}}}"#, r#"{"result":{"a":{"salary":1}}}"#),
        (r#"{"result":{"a":"{\"b\":\"{\\\"salary\\\":1}\"}"}}"#, r#"{"result":{"a":"{\"b\":\"{}\"}"}}"#),
    ] {
        assert_eq!(json(&plan, given), expected);
    }
}

#[test]
fn an_allowed_field_stays_as_it_is() {
    let rules = r#"[
        {"detect": ["card", "email"], "action": "mask"},
        {"fields": ["$..node"], "action": "allow", "tools": ["figma.*"]},
        {"fields": ["$..node"], "action": "drop"}
    ]"#;
    let redactor = super::redactor(rules);
    let message = r#"{"result":{"node":"4111111111111111","a":"4111111111111111"}}"#;
    let tool = crate::tool::ToolName::new("figma", "get");
    let plan = redactor.plan(&crate::principal::RoleSet::default(), Some((crate::tool::Kind::Tool, &tool)));
    assert_eq!(json(&plan, message), r#"{"result":{"node":"4111111111111111","a":"[REDACTED:CARD]"}}"#);
    let plan = redactor.plan(&crate::principal::RoleSet::default(), None);
    assert_eq!(json(&plan, message), r#"{"result":{"a":"[REDACTED:CARD]"}}"#);
}

#[test]
fn what_the_protocol_needs_can_not_be_dropped() {
    let plan = fields(r#"["$..id", "$..jsonrpc", "$..method", "$..resultType", "$..result"]"#, "drop");
    let message = r#"{"jsonrpc":"2.0","id":"7","method":"m","result":{"resultType":"complete","id":3}}"#;
    assert_eq!(json(&plan, message), r#"{"jsonrpc":"2.0","id":"7","method":"m","result":{"resultType":"complete"}}"#);
}

#[test]
fn a_document_too_deep_to_follow_fields_in_is_withheld() {
    let deep = format!(r#"{{"result":{{"a":"{}1{}"}}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(fields(r#"["$..x"]"#, "drop").json(deep.as_bytes()), Err(crate::redact::Failure::TooDeep));
    assert!(super::everything("mask").json(deep.as_bytes()).is_ok());
}
