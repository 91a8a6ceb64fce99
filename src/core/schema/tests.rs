//! Schemas as upstreams send them, kind and unkind.

use super::*;
use serde_json::{Map, json};
use std::time::Instant;

fn violation(schema: &Value, arguments: &Value) -> Option<(String, String)> {
    let violation = Validator::compile(schema).unwrap().validate(arguments).err()?;
    Some((violation.pointer, violation.problem))
}

#[test]
fn a_violation_says_where_and_what_but_never_the_value() {
    let secret = "sk-THE-VALUE";
    for (schema, arguments, pointer, problem) in [
        (json!({"required": ["a"]}), json!({"b": secret}), "", "`a` is missing"),
        (json!({"properties": {"a": {"type": "integer"}}}), json!({"a": secret}), "/a", "must be an integer"),
        (json!({"properties": {"a": {"type": ["integer", "null"]}}}), json!({"a": secret}), "/a", "or"),
        (json!({"additionalProperties": false}), json!({"b": secret}), "", "a property is not allowed"),
        (
            json!({"properties": {"c": {}}, "additionalProperties": false}),
            json!({"b": secret}),
            "",
            "`b` is not allowed",
        ),
        (
            json!({"properties": {"c": {}}, "additionalProperties": false}),
            json!({"b": secret, "a": 1}),
            "",
            "`a`, `b` are not allowed",
        ),
        (json!({"unevaluatedProperties": false}), json!({"b": secret}), "", "`b` is not allowed"),
        (json!({"properties": {"a": {"enum": ["x", "y"]}}}), json!({"a": secret}), "/a", "must be one of \"x\", \"y\""),
        (
            json!({"properties": {"a": {"enum": (0..13).collect::<Vec<_>>()}}}),
            json!({"a": secret}),
            "/a",
            "must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, or of 3 more that the schema lists",
        ),
        (
            json!({"properties": {"a": {"oneOf": [{"const": "x", "description": "X"}, {"enum": ["y", "z"]}]}}}),
            json!({"a": secret}),
            "/a",
            "must be one of \"x\", \"y\", \"z\"",
        ),
        (
            json!({"properties": {"a": {"oneOf": [{"const": "x"}, {"properties": {"b": {"const": 1}}, "type": "object"}]}}}),
            json!({"a": {"b": secret}}),
            "/a",
            "none of the allowed",
        ),
        (json!({"properties": {"a": {"const": 1}}}), json!({"a": secret}), "/a", "must be 1"),
        (json!({"properties": {"a": {"maximum": 5}}}), json!({"a": 77_777_777}), "/a", "must be at most 5"),
        (json!({"properties": {"a": {"maxLength": 3}}}), json!({"a": secret}), "/a", "at most 3 characters"),
        (json!({"properties": {"a": {"pattern": "^x$"}}}), json!({"a": secret}), "/a", "must match the pattern ^x$"),
        (
            json!({"properties": {"a": {"anyOf": [{"type": "null"}]}}}),
            json!({"a": secret}),
            "/a",
            "none of the allowed",
        ),
        (json!({"properties": {"a": {"not": {}}}}), json!({"a": secret}), "/a", "is not allowed"),
        (json!({"properties": {"a": false}}), json!({"a": secret}), "/a", "is not allowed"),
        (json!({"properties": {"a": {"items": {"type": "null"}}}}), json!({"a": [null, secret]}), "/a/1", "null"),
        (json!({"propertyNames": {"maxLength": 2}}), json!({"sk-THE-VALUE": 1}), "", "name is not allowed"),
    ] {
        let (found_pointer, found_problem) = violation(&schema, &arguments).expect("a violation");
        assert_eq!(found_pointer, pointer, "{schema}");
        assert!(found_problem.contains(problem), "{schema}: {found_problem}");
        assert!(!found_problem.contains("THE-VALUE") && !found_problem.contains("77777777"), "{found_problem}");
    }
}

#[test]
fn case_23_names_of_prototypes_are_names_like_others() {
    let schema = json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false});
    for name in ["__proto__", "constructor", "hasOwnProperty"] {
        assert_eq!(violation(&schema, &json!({name: {}})), Some((String::new(), format!("`{name}` is not allowed"))));
    }
}

#[test]
fn a_name_that_could_be_a_value_is_not_repeated() {
    let long = "n".repeat(65);
    let (_, problem) =
        violation(&json!({"properties": {"c": {}}, "additionalProperties": false}), &json!({ (long.clone()): 1 }))
            .unwrap();
    assert!(!problem.contains("nnn"), "{problem}");
    let schema = json!({"additionalProperties": {"type": "null"}});
    assert_eq!(violation(&schema, &json!({ (long): 1 })).unwrap().0, "/…");
    assert_eq!(violation(&schema, &json!({"a\nb": 1})).unwrap().0, "/…");
}

#[test]
fn the_same_arguments_always_give_the_same_violation() {
    let properties: Map<String, Value> = (0..40).map(|i| (format!("p{i:02}"), json!({"type": "null"}))).collect();
    let schema = json!({"properties": properties, "required": ["z", "y"], "additionalProperties": false});
    let arguments: Value = (0..40).map(|i| (format!("p{i:02}"), json!(i))).collect::<Map<_, _>>().into();
    for _ in 0..5 {
        assert_eq!(violation(&schema, &arguments), Some((String::new(), "`y` is missing".to_owned())));
    }
}

#[test]
fn nothing_outside_the_schema_is_read() {
    for reference in [
        "https://example.com/s.json",
        "http://127.0.0.1:1/s",
        "file:///etc/passwd",
        "other.json",
        "//host/s",
        "#nowhere",
        "#/$defs/nowhere",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let schema = json!({"properties": {"a": {"$ref": reference}}});
        let problem = Validator::compile(&schema).unwrap_err();
        assert!(matches!(problem, SchemaProblem::ForeignReference(_)), "{reference}: {problem}");
    }
    assert!(Validator::compile(&json!({"$schema": "https://example.com/meta"})).is_err());
    let inner = json!({"$defs": {"a": {"$id": "https://example.com/a"}}, "$ref": "#/$defs/a"});
    assert_eq!(Validator::compile(&inner).unwrap_err(), SchemaProblem::InnerResource);
}

#[test]
fn references_into_the_schema_are_followed() {
    for schema in [
        json!({"$defs": {"n": {"type": "null"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}),
        json!({"$defs": {"n": {"$anchor": "n", "type": "null"}}, "properties": {"a": {"$ref": "#n"}}}),
        json!({"$defs": {"n o": {"type": "null"}}, "properties": {"a": {"$ref": "#/$defs/n%20o"}}}),
        json!({"$id": "https://x.test/s", "$defs": {"n": {"type": "null"}},
               "properties": {"a": {"$ref": "https://x.test/s#/$defs/n"}}}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"n": {"type": "null"}},
               "properties": {"a": {"$ref": "#/definitions/n"}}}),
    ] {
        assert_eq!(violation(&schema, &json!({"a": null})), None, "{schema}");
        assert_eq!(violation(&schema, &json!({"a": 1})).unwrap().0, "/a", "{schema}");
    }
}

#[test]
fn a_recursive_schema_of_honest_growth_is_used() {
    let schema = json!({
        "$defs": {"filter": {"anyOf": [
            {"type": "object", "required": ["and"], "properties": {"and": {"type": "array", "items": {"$ref": "#/$defs/filter"}}}},
            {"type": "object", "required": ["not"], "properties": {"not": {"$ref": "#/$defs/filter"}}},
            {"type": "object", "required": ["field"], "properties": {"field": {"type": "string"}}},
        ]}},
        "properties": {"filter": {"$ref": "#/$defs/filter"}},
    });
    let good = json!({"filter": {"and": [{"not": {"not": {"field": "a"}}}, {"and": [{"field": "b"}]}]}});
    assert_eq!(violation(&schema, &good), None);
    let bad = json!({"filter": {"and": [{"not": {"not": {"field": 1}}}]}});
    assert_eq!(violation(&schema, &bad).unwrap().0, "/filter");
}

#[test]
fn a_circle_is_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"not": {"$ref": "#"}}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"$dynamicAnchor": "x", "anyOf": [{"$dynamicRef": "#x"}]}),
    ] {
        assert_eq!(Validator::compile(&schema).unwrap_err(), SchemaProblem::Circular, "{schema}");
    }
}

fn chain(length: usize, link: impl Fn(Value) -> Value) -> Value {
    let mut defs: Map<String, Value> =
        (0..length).map(|i| (format!("d{i}"), link(json!({"$ref": format!("#/$defs/d{}", i + 1)})))).collect();
    defs.insert(format!("d{length}"), json!({"type": "object"}));
    json!({"$defs": defs, "$ref": "#/$defs/d0"})
}

#[test]
fn work_that_doubles_with_every_reference_is_refused_at_once() {
    let started = Instant::now();
    let schema = chain(40, |next| json!({"allOf": [next, next]}));
    assert_eq!(Validator::compile(&schema).unwrap_err(), SchemaProblem::TooComplex);
    let schema = chain(5_000, |next| next);
    assert_eq!(Validator::compile(&schema).unwrap_err(), SchemaProblem::TooComplex);
    let schema = chain(120, |next| json!({"properties": {"x": next}}));
    assert!(Validator::compile(&schema).unwrap().validate(&json!({})).is_ok());
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn work_that_doubles_with_every_level_is_refused_where_the_value_is_deep() {
    let nested = |depth| (0..depth).fold(json!({}), |value, _| json!({"x": value}));
    for schema in [
        json!({"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}),
        json!({"properties": {"x": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}, "patternProperties": {"x": {"$ref": "#"}}}),
        chain(60, |next| json!({"properties": {"x": {"anyOf": [next, next]}}})),
    ] {
        let validator = Validator::compile(&schema).unwrap();
        assert_eq!(validator.validate(&nested(5)), Ok(()), "{schema}");
        let started = Instant::now();
        assert!(validator.validate(&nested(60)).unwrap_err().problem.contains("too large"), "{schema}");
        assert!(started.elapsed().as_secs() < 10);
    }
}

#[test]
fn long_lists_against_long_lists_are_refused() {
    let options: Vec<Value> = (0..20_000).map(Value::from).collect();
    let schema = json!({"properties": {"a": {"items": {"enum": options}}}});
    assert_eq!(violation(&schema, &json!({"a": [1, 2, 19_999]})), None);
    assert_eq!(violation(&schema, &json!({"a": [1, 2, 20_000]})).unwrap().0, "/a/2");
    assert!(violation(&schema, &json!({"a": vec![19_999; 9_000]})).unwrap().1.contains("too large"));
}

#[test]
fn the_longest_allowed_chains_fit_the_stack_of_a_thread() {
    let nested = (0..63).fold(json!({}), |value, _| json!({"x": value}));
    for schema in [
        chain(120, |next| next),
        chain(120, |next| json!({"allOf": [{"allOf": [next]}]})),
        chain(250, |next| json!({"properties": {"x": {"properties": {"x": next}}}})),
        chain(250, |next| json!({"properties": {"x": {"allOf": [next]}}})),
    ] {
        match Validator::compile(&schema) {
            Ok(validator) => assert_eq!(validator.validate(&nested), Ok(())),
            Err(problem) => assert_eq!(problem, SchemaProblem::TooComplex),
        }
    }
}

#[test]
fn a_schema_out_of_bounds_is_refused() {
    let deep = (0..70).fold(json!({}), |schema, _| json!({"not": schema}));
    assert_eq!(Validator::compile(&deep).unwrap_err(), SchemaProblem::TooDeep);
    let large = json!({"description": "x".repeat(MAX_BYTES)});
    assert_eq!(Validator::compile(&large).unwrap_err(), SchemaProblem::TooLarge);
    for pattern in ["(?=a)b", r"(a)\1", "(", "((a{100}){100}){100}"] {
        let schema = json!({"properties": {"a": {"pattern": pattern}}});
        assert!(matches!(Validator::compile(&schema), Err(SchemaProblem::Invalid { .. })), "{pattern}");
    }
    assert!(matches!(Validator::compile(&json!({"type": "nonsense"})), Err(SchemaProblem::Invalid { .. })));
    assert!(matches!(Validator::compile(&json!(3)), Err(SchemaProblem::Invalid { .. })));
    assert!(Validator::compile(&json!(true)).is_ok());
}

#[test]
fn arguments_too_deep_to_be_checked_are_refused() {
    let deep = (0..70).fold(json!({}), |value, _| json!({"x": value}));
    assert!(violation(&json!({}), &deep).unwrap().1.contains("too deeply"));
}

#[test]
fn reading_a_hostile_schema_takes_neither_time_nor_memory() {
    let started = Instant::now();
    let many = |count: usize, value: Value| -> Map<String, Value> {
        (0..count).map(|i| (i.to_string(), value.clone())).collect()
    };
    // A long key above many values; many closures with many steps; many patterns.
    let long = json!({ ("k".repeat(100_000)): {"properties": many(8_000, json!({}))} });
    assert!(Validator::compile(&json!({"properties": long})).is_ok());
    let wide = json!({"$defs": {"big": {"properties": many(5_000, json!({}))}}, "anyOf": vec![json!({"allOf": [{"$ref": "#/$defs/big"}]}); 1_000]});
    assert_eq!(Validator::compile(&wide).unwrap_err(), SchemaProblem::TooComplex);
    let patterns = json!({"properties": many(5_000, json!({"pattern": "[a-z]{9}"}))});
    assert_eq!(Validator::compile(&patterns).unwrap_err(), SchemaProblem::TooComplex);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn common_patterns_fit() {
    for pattern in [r"^[\w.-]{1,64}$", r"^\p{L}{1,32}$", r"^\d{4}-\d{2}-\d{2}$", "^[^@]+@[^@]+$", "^.{1,255}$"] {
        let schema =
            json!({"properties": (0..8).map(|i| (i.to_string(), json!({"pattern": pattern}))).collect::<Map<_, _>>()});
        assert!(Validator::compile(&schema).is_ok(), "{pattern}");
    }
}
