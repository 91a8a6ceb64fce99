//! What is done with findings, for whom, and which action wins.

use super::{blocked, everything, json, plan, redactor, text};
use crate::principal::RoleSet;
use crate::redact::{Failure, Plan};
use crate::tool::{Kind, ToolName};
use std::borrow::Cow;

fn for_roles(rules: &str, roles: &[&str], tool: Option<&str>) -> Plan {
    let roles: RoleSet = roles.iter().map(|role| (*role).to_owned()).collect();
    let tool = tool.and_then(ToolName::parse);
    redactor(rules).plan(&roles, tool.as_ref().map(|tool| (Kind::Tool, tool)))
}

#[test]
fn each_action_does_what_it_says() {
    let given = "mail alice@example.com now";
    assert_eq!(text(&everything("mask"), given), "mail [REDACTED:EMAIL] now");
    assert_eq!(text(&everything("drop"), given), "mail  now");
    let hashed = text(&everything("hash"), given);
    assert!(hashed.starts_with("mail [EMAIL:") && hashed.ends_with("] now") && hashed.len() == 33, "{hashed}");
    assert_eq!(hashed, text(&everything("hash"), "mail ALICE@example.com now"));
    assert_eq!(everything("block").text(given), Err(blocked("email")));
    assert_eq!(everything("block").json(br#"{"result":{"a":4111111111111111}}"#), Err(blocked("card")));
}

#[test]
fn the_strongest_action_wins_whatever_the_order() {
    let entry = |action: &str, more: &str| format!(r#"{{"detect": ["email"], "action": "{action}"{more}}}"#);
    let order = ["hash", "mask", "drop", "block"];
    for (weak, strong) in order.iter().zip(order.iter().skip(1)) {
        for rules in [
            format!("[{}, {}]", entry(weak, ""), entry(strong, "")),
            format!("[{}, {}]", entry(strong, ""), entry(weak, "")),
        ] {
            let one = plan(&rules).text("alice@example.com").map(|redacted| redacted.text.into_owned());
            let alone = everything(strong).text("alice@example.com").map(|redacted| redacted.text.into_owned());
            assert_eq!(one, alone, "{weak} and {strong}");
        }
    }
    let rules = format!("[{}, {}]", entry("block", ""), entry("allow", r#", "roles": ["oncall"]"#));
    assert!(for_roles(&rules, &["oncall"], None).text("alice@example.com").is_ok());
    assert!(for_roles(&rules, &["viewer"], None).text("alice@example.com").is_err());
}

#[test]
fn an_entry_is_for_its_roles_and_tools_only() {
    let rules = r#"[
        {"detect": ["email", "card"], "action": "mask"},
        {"detect": ["email"], "action": "allow", "roles": ["oncall"], "tools": ["crm.get_*"]}
    ]"#;
    let given = "alice@example.com 4111111111111111";
    let masked = "[REDACTED:EMAIL] [REDACTED:CARD]";
    let partly = "alice@example.com [REDACTED:CARD]";
    for (roles, tool, expected) in [
        (&["oncall"][..], Some("crm.get_user"), partly),
        (&["viewer", "oncall"], Some("crm.get_user"), partly),
        (&["oncall"], Some("crm.find_user"), masked),
        (&["oncall"], None, masked),
        (&["viewer"], Some("crm.get_user"), masked),
        (&[], None, masked),
    ] {
        assert_eq!(text(&for_roles(rules, roles, tool), given), expected, "{roles:?} {tool:?}");
    }
}

#[test]
fn an_entry_for_other_tools_finds_nothing() {
    let rules = r#"[{"detect": ["email"], "action": "mask", "tools": ["crm.*"]}]"#;
    assert_eq!(text(&for_roles(rules, &[], Some("files.read")), "a@example.com"), "a@example.com");
    assert_eq!(text(&for_roles(rules, &[], Some("crm.read")), "a@example.com"), "[REDACTED:EMAIL]");
}

#[test]
fn patterns_are_found_under_their_names() {
    let plan = plan(r#"[{"patterns": {"employee": "EMP-[0-9]{6}", "shout": "[A-Z]{4,}"}, "action": "mask"}]"#);
    assert_eq!(text(&plan, "EMP-123456 emp-123456"), "[REDACTED:EMPLOYEE] emp-123456");
    assert_eq!(text(&plan, "EMP-１２３456"), "[REDACTED:EMPLOYEE]");
    assert_eq!(text(&plan, "a LOUD [REDACTED:EMAIL]"), "a [REDACTED:SHOUT] [REDACTED:EMAIL]");
    assert_eq!(json(&plan, r#"{"result":{"a":"\u0045MP-123456"}}"#), r#"{"result":{"a":"[REDACTED:EMPLOYEE]"}}"#);
}

#[test]
fn a_pattern_is_found_in_a_number_too() {
    let plan = plan(r#"[{"patterns": {"badge": "\\b77[0-9]{4}\\b"}, "action": "mask"}]"#);
    assert_eq!(json(&plan, r#"{"result":{"a":771234,"b":12}}"#), r#"{"result":{"a":"[REDACTED:BADGE]","b":12}}"#);
}

#[test]
fn a_replacement_is_never_matched_itself() {
    let rules = r#"[
        {"detect": ["email"], "action": "hash"},
        {"patterns": {"word": "[A-Za-z]+", "rest": "[^a]", "all": ".+"}, "action": "mask"}
    ]"#;
    assert_eq!(text(&plan(rules), "one alice@example.com two"), "[REDACTED:ALL]");
    assert_eq!(text(&plan(rules), "[REDACTED:EMAIL]"), "[REDACTED:EMAIL]");
}

#[test]
fn what_dropping_joins_is_found_as_well() {
    let plan = everything("drop");
    assert_eq!(text(&plan, "411111111<a@example.com>1111111 x"), "411111111<>1111111 x");
    assert_eq!(text(&plan, "alice+41446681800@example.com"), "");
    let eat = super::plan(r#"[{"patterns": {"a": "^a"}, "action": "drop"}]"#);
    assert_eq!(text(&eat, "aaab"), "b");
    assert_eq!(text(&eat, &"a".repeat(50)), "[REDACTED:FIELD]");
}

#[test]
fn counts_say_how_many_of_what() {
    let message = br#"{"result":{"a":"a@example.com b@example.com","b":4111111111111111,"c@example.com":1}}"#;
    let mut counts = everything("mask").json(message).unwrap().counts;
    assert_eq!(counts.iter().collect::<Vec<_>>(), [("card", 1), ("email", 3)]);
    counts.merge(&everything("mask").json(message).unwrap().counts);
    assert_eq!((counts.of("card"), counts.of("email"), counts.of("iban")), (2, 6, 0));
}

#[test]
fn clean_documents_are_borrowed() {
    let message = br#" {"jsonrpc":"2.0","id":1.50,"result":{"a":"caf\u00e9 \/ 12:33","b":[1e400,-0,{}],"c":null}} "#;
    let redacted = everything("mask").json(message).unwrap();
    assert!(matches!(redacted.bytes, Cow::Borrowed(bytes) if bytes == message));
    assert!(redacted.counts.is_empty());
    assert!(matches!(everything("mask").text("nothing here").unwrap().text, Cow::Borrowed(_)));
}

#[test]
fn everything_is_masked_without_condition_and_secrets_always() {
    let rules = r#"[
        {"detect": ["email"], "action": "block", "roles": ["viewer"]},
        {"detect": ["email"], "action": "allow", "roles": ["oncall"]},
        {"detect": ["iban"], "action": "hash", "tools": ["crm.*"]},
        {"fields": ["$..salary"], "action": "drop"}
    ]"#;
    let plan = redactor(rules).unconditional();
    let arguments = br#"{"id":"a@example.com","k":"AKIAIOSFODNN7EXAMPLE","c":"4111111111111111","salary":5,"i":"CH9300762011623852957"}"#;
    let kept = String::from_utf8(plan.value(arguments).unwrap().bytes.into_owned()).unwrap();
    assert!(kept.starts_with(
        r#"{"id":"[REDACTED:EMAIL]","k":"[REDACTED:SECRET]","c":"4111111111111111","salary":"[REDACTED:FIELD]","i":"[IBAN:"#
    ));
    assert_eq!(text(&redactor("[]").unconditional(), "AKIAIOSFODNN7EXAMPLE"), "[REDACTED:SECRET]");
}

#[test]
fn what_is_not_json_is_malformed() {
    for wrong in [
        "",
        " ",
        "{",
        "}",
        "{}{}",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "-",
        "NaN",
        "tru",
        "truex",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"abc",
        "\u{feff}{}",
        "[1 2]",
        "/**/1",
        "\"\\",
        "\"\\u12",
    ] {
        assert_eq!(everything("mask").json(wrong.as_bytes()), Err(Failure::Malformed), "{wrong:?}");
    }
    assert_eq!(everything("mask").json(b"\"\xff\""), Err(Failure::Malformed));
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(everything("mask").json(deep(128).as_bytes()).is_ok());
    assert_eq!(everything("mask").json(deep(129).as_bytes()), Err(Failure::TooDeep));
    assert_eq!(everything("mask").json("[".repeat(100_000).as_bytes()), Err(Failure::TooDeep));
}

#[test]
fn a_plan_is_empty_only_when_nothing_can_change() {
    let roles = RoleSet::default();
    let unbounded = |rules: &str| crate::redact::Redactor::compile(&super::documents(rules), usize::MAX, b"k").unwrap();
    assert!(unbounded("[]").plan(&roles, None).is_empty());
    assert!(!redactor("[]").plan(&roles, None).is_empty());
    assert!(!unbounded(r#"[{"detect": ["ip"], "action": "mask"}]"#).plan(&roles, None).is_empty());
}

#[test]
fn entries_speak_of_prompts_and_resources_by_name() {
    let redactor = redactor(
        r#"[
        {"detect": ["email"], "action": "mask", "resources": ["crm.file:///srv/*"], "prompts": ["crm.greet"]},
        {"detect": ["iban"], "action": "mask"},
        {"detect": ["iban"], "action": "allow", "resources": ["crm.file:///srv/open/*"]}
    ]"#,
    );
    let shown = |named: Option<(Kind, &str)>| {
        let name = named.map(|(kind, name)| (kind, ToolName::new("crm", name)));
        let plan = redactor.plan(&RoleSet::default(), name.as_ref().map(|(kind, name)| (*kind, name)));
        let text = text(&plan, "a@example.com CH9300762011623852957");
        (text.contains("example"), text.contains("CH93"))
    };
    assert_eq!(shown(None), (true, false));
    assert_eq!(shown(Some((Kind::Tool, "greet"))), (true, false), "a tool that is called like a prompt");
    assert_eq!(shown(Some((Kind::Prompt, "greet"))), (false, false));
    assert_eq!(shown(Some((Kind::Resource, "file:///srv/a"))), (false, false));
    assert_eq!(shown(Some((Kind::Resource, "file:///srv/open/a"))), (false, true));
    // What can be read in two ways is masked in either case, and left in none.
    for uri in ["file:///srv/open/../a", "FILE:///srv/open/a", "file:///home/../srv/open/a"] {
        assert_eq!(shown(Some((Kind::Resource, uri))), (false, false), "{uri}");
    }
    assert_eq!(shown(Some((Kind::Resource, "file:///home/a"))), (true, false));
}
