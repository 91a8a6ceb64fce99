//! Policies that must not load.

use super::{KEY, documents};
use crate::redact::Redactor;

fn problems(rules: &str) -> Vec<(String, String)> {
    let problems = Redactor::compile(&documents(rules), 100, KEY).err().unwrap_or_default();
    assert!(problems.iter().all(|problem| problem.hint.is_some()), "a problem without a hint: {problems:?}");
    problems.into_iter().map(|problem| (problem.path.to_string(), problem.message)).collect()
}

#[test]
fn every_problem_is_said_at_once_and_where_it_is() {
    let found = problems(
        r#"[
            {"action": "mask"},
            {"detect": ["email"], "action": "allow"},
            {"detect": ["email"], "action": "allow", "tools": ["*"]},
            {"patterns": {"Employee": "x", "email": "x", "": "x", "field": "x", "redacted": "x"}, "action": "mask"},
            {"patterns": {"a": "(", "b": "x*", "c": "\\b", "d": "(?=x)", "e": "\\w{1000}{1000}"}, "action": "mask"},
            {"patterns": {"f": "x+"}, "fields": ["$.ok", "a", "$[?(@.x)]", "$"], "action": "mask"},
            {"patterns": {"f": "y+"}, "tools": ["crm"], "roles": [], "action": "mask"},
            {"detect": ["email"], "action": "allow", "resources": ["*.*"]},
            {"detect": ["email"], "action": "mask", "prompts": ["greet"], "resources": []}
        ]"#,
    );
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "redaction[0]",
            "redaction[1].action",
            "redaction[2].action",
            "redaction[3].patterns.",
            "redaction[3].patterns.Employee",
            "redaction[3].patterns.email",
            "redaction[3].patterns.field",
            "redaction[3].patterns.redacted",
            "redaction[4].patterns.a",
            "redaction[4].patterns.b",
            "redaction[4].patterns.c",
            "redaction[4].patterns.d",
            "redaction[4].patterns.e",
            "redaction[5].fields[1]",
            "redaction[5].fields[2]",
            "redaction[5].fields[3]",
            "redaction[6].roles",
            "redaction[6].tools[0]",
            "redaction[6].patterns.f",
            "redaction[7].action",
            "redaction[8].resources",
            "redaction[8].prompts[0]",
        ]
    );
}

#[test]
fn hash_without_a_key_is_refused() {
    let rules = documents(r#"[{"detect": ["email"], "action": "hash"}]"#);
    let problems = Redactor::compile(&rules, 100, b"").unwrap_err();
    assert_eq!(problems[0].path.to_string(), "redaction[0].action");
}

#[test]
fn what_the_design_shows_is_accepted() {
    let rules = r#"[
        {"detect": ["email", "phone", "iban", "card", "ssn", "secret"], "action": "mask"},
        {"roles": ["oncall"], "tools": ["crm.get_*"], "detect": ["email"], "action": "allow"},
        {"fields": ["$..salary"], "action": "drop"},
        {"patterns": {"employee": "EMP-[0-9]{6}"}, "action": "hash"},
        {"patterns": {"employee": "EMP-[0-9]{6}"}, "action": "allow", "roles": ["hr"]}
    ]"#;
    assert_eq!(problems(rules), []);
}

#[test]
fn nothing_secret_shows_in_debug_output() {
    let redactor = super::redactor(r#"[{"detect": ["email"], "action": "hash"}]"#);
    assert!(!format!("{redactor:?}").contains("key"), "{redactor:?}");
}
