//! What constraints say of arguments, and what is refused when they are compiled.

use super::*;
use serde_json::json;

fn constraint(name: &str, document: serde_json::Value) -> Constraint {
    Constraint::compile(name, &serde_json::from_value(document).unwrap()).unwrap()
}

/// `Some(true)` for met, `Some(false)` for not met, `None` for a fault.
fn judge(constraint: &Constraint, arguments: &str) -> Option<bool> {
    let Some(Json::Object(members)) = Json::read(arguments.as_bytes()) else { panic!("{arguments}") };
    constraint.judge(&members).ok().map(|failed| failed.is_none())
}

#[test]
fn case_102_a_missing_or_odd_typed_argument_is_a_fault() {
    let constraints = [
        json!({ "equals": "/srv" }),
        json!({ "one_of": ["/srv", "/tmp"] }),
        json!({ "prefix": "/srv" }),
        json!({ "pattern": ".*" }),
        json!({ "type": "path" }),
        json!({ "type": "path", "prefix": "/srv" }),
        json!({ "type": "url" }),
    ];
    for document in constraints {
        let constraint = constraint("path", document);
        for arguments in ["{}", r#"{"path":null}"#, r#"{"path":1}"#, r#"{"path":["/srv"]}"#, r#"{"path":{"a":"/srv"}}"#]
        {
            assert_eq!(judge(&constraint, arguments), None, "{constraint:?} on {arguments}");
        }
    }
    let deep = constraint("a.b", json!({ "equals": 1 }));
    for (arguments, expected) in [
        (r#"{"a":{"b":1}}"#, Some(true)),
        (r#"{"a":{"b":2}}"#, Some(false)),
        (r#"{"a":{}}"#, None),
        (r#"{"a":1}"#, None),
        (r#"{"a":[{"b":1}]}"#, None),
        (r#"{"a.b":1}"#, None),
    ] {
        assert_eq!(judge(&deep, arguments), expected, "{arguments}");
    }
}

#[test]
fn case_12_a_number_that_readers_read_differently_is_a_fault() {
    let constraints =
        [json!({ "max": 100 }), json!({ "min": -100 }), json!({ "equals": 5 }), json!({ "one_of": [5, "a"] })];
    for document in constraints {
        let constraint = constraint("n", document);
        for number in ["9007199254740993", "-9007199254740993", "1e300", "100.00000000000000001", "5.00000000000000001"]
        {
            assert_eq!(judge(&constraint, &format!(r#"{{"n":{number}}}"#)), None, "{constraint:?} on {number}");
        }
    }
    let list = constraint("n", json!({ "equals": [5] }));
    assert_eq!(judge(&list, r#"{"n":[9007199254740993]}"#), None);
}

#[test]
fn values_are_compared_by_what_they_are() {
    for (document, argument, expected) in [
        (json!({ "equals": 1 }), "1.0", Some(true)),
        (json!({ "equals": 1 }), "true", None),
        (json!({ "equals": "1" }), "1", None),
        (json!({ "equals": true }), "false", Some(false)),
        (json!({ "one_of": [null] }), "null", Some(true)),
        (json!({ "equals": { "a": [1, 2.5] } }), r#"{"a":[1.0,2.50]}"#, Some(true)),
        (json!({ "equals": { "a": 1 } }), r#"{"a":1,"b":2}"#, Some(false)),
        (json!({ "one_of": [1, "a"] }), "\"b\"", Some(false)),
        (json!({ "one_of": [1, "a"] }), "\"a\"", Some(true)),
        (json!({ "one_of": [1, "a"] }), "null", None),
        (json!({ "min": 0.1, "max": 10 }), "0.1", Some(true)),
        (json!({ "min": 0.1, "max": 10 }), "0.09999999999999999", Some(false)),
        (json!({ "min": 0.1, "max": 10 }), "1e1", Some(true)),
        (json!({ "max": 10 }), "\"5\"", None),
        (json!({ "max_len": 2 }), "\"\u{e9}\u{e9}\"", Some(true)),
        (json!({ "max_len": 2 }), "\"abc\"", Some(false)),
        (json!({ "max_len": 2 }), "[1,2,3]", Some(false)),
        (json!({ "max_len": 2 }), "12", None),
        (json!({ "prefix": "ab" }), "\"abc\"", Some(true)),
        (json!({ "prefix": "ab" }), "\"Abc\"", Some(false)),
        (json!({ "type": "path", "max_len": 4 }), "\"/a///////\"", Some(false)),
        (json!({ "type": "path", "equals": "/srv/a/" }), "\"/srv//a\"", Some(true)),
        (json!({ "type": "path", "one_of": ["/a", "/b"] }), "\"/b/.\"", Some(true)),
        (json!({ "type": "path", "pattern": "/srv/[a-z]+" }), "\"/srv//./docs\"", Some(true)),
        (json!({ "type": "url", "equals": "https://EXAMPLE.com" }), "\"https://example.com:443/\"", Some(true)),
        (json!({ "type": "url", "prefix": "https://example.com" }), "\"https://example.com.evil/\"", Some(false)),
        (json!({ "type": "url" }), "\"http://127.0.0.1/\"", None),
    ] {
        let constraint = constraint("a", document);
        assert_eq!(judge(&constraint, &format!(r#"{{"a":{argument}}}"#)), expected, "{constraint:?} on {argument}");
    }
}

#[test]
fn a_pattern_matches_the_whole_text() {
    for (pattern, text, expected) in [
        ("a|b", "b", true),
        ("a|b", "ab", false),
        ("a", "a\\n", false),
        ("(?m)a", "x\\na", false),
        ("a.c", "a\\nc", false),
        ("[a-z]+", "abc", true),
        ("[a-z]+", "abc!", false),
    ] {
        let constraint = constraint("a", json!({ "pattern": pattern }));
        assert_eq!(judge(&constraint, &format!(r#"{{"a":"{text}"}}"#)), Some(expected), "{pattern} on {text}");
    }
}

#[test]
fn a_constraint_that_can_never_be_met_is_refused() {
    for (name, document) in [
        ("a", json!({})),
        ("", json!({ "equals": 1 })),
        ("a..b", json!({ "equals": 1 })),
        ("a", json!({ "one_of": [] })),
        ("a", json!({ "min": 2, "max": 1 })),
        ("a", json!({ "type": "path", "min": 1 })),
        ("a", json!({ "type": "path", "equals": 1 })),
        ("a", json!({ "type": "path", "equals": "a/b" })),
        ("a", json!({ "type": "path", "prefix": "/a/../b" })),
        ("a", json!({ "type": "url", "prefix": "http://localhost/" })),
        ("a", json!({ "min": 1, "equals": "a" })),
        ("a", json!({ "max_len": 1, "max": 1 })),
        ("a", json!({ "prefix": "" })),
        ("a", json!({ "pattern": "(" })),
        ("a", json!({ "pattern": "a)|(?:b" })),
        ("a", json!({ "pattern": "(?x)a # " })),
        ("a", json!({ "pattern": "(?=a)" })),
        ("a", json!({ "pattern": "(?:a{1000}){1000}" })),
        ("a", json!({ "max": 9_007_199_254_740_993_u64 })),
        ("a", json!({ "equals": 9_007_199_254_740_993_u64 })),
    ] {
        let written = serde_json::from_value(document.clone()).unwrap();
        assert!(Constraint::compile(name, &written).is_err(), "{name}: {document}");
    }
}
