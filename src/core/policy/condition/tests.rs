//! What conditions find in a request, and what is refused when they are compiled.

use super::*;
use crate::policy::arguments::CallArguments;
use crate::policy::request::{AccessRequest, Context};
use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use crate::tool::{Class, Kind, Severity, ToolName, Traits};

fn judge(source: &str, arguments: &str) -> Result<bool, Fault> {
    let condition =
        Condition::compile(source, &Language::default()).unwrap_or_else(|error| panic!("{source}: {error:?}"));
    let principal = Principal {
        issuer: "https://idp.example".into(),
        subject: "ada".into(),
        tenant: None,
        agent: Some("cli".into()),
        roles: ["developer".to_owned()].into(),
        scopes: ["mcp".to_owned()].into(),
        claims: serde_json::from_str(r#"{"level": 3, "mfa": true, "id": 9007199254740993}"#).unwrap(),
        expires_at: None,
    };
    let roles: RoleSet = ["developer".to_owned(), "viewer".to_owned()].into_iter().collect();
    let tool = ToolName::new("ops", "scale_service");
    let context =
        Context { endpoint: "ops", method: "tools/call", protocol: "2026-07-28", client: Some([192, 0, 2, 1].into()) };
    let arguments = CallArguments::new(arguments.as_bytes());
    let request = AccessRequest {
        principal: &principal,
        roles: &roles,
        kind: Kind::Tool,
        tool: &tool,
        arguments: Arguments::Of(&arguments),
        context: &context,
    };
    let traits = Traits { class: Class::Write, severity: Severity::Medium, ..Traits::READS };
    condition.judge(&Facts::new(&request, tool.to_string(), traits, Timestamp::from_secs(1_700_000_000)))
}

#[test]
fn a_condition_sees_arguments_principal_tool_and_request() {
    for source in [
        "args.replicas <= 10 && args.replicas > -1",
        "args['replicas'] == 3.0",
        "has(args.replicas) && !has(args.force)",
        "'service' in args && size(args) == 3",
        "args.tags.all(tag, tag.startsWith('t'))",
        "args.tags.exists(tag, tag in ['t1'])",
        "args.tags.map(tag, tag + '!')[0] == 't1!'",
        "args.service.matches('^w[a-z]+$')",
        "principal.subject == 'ada' && principal.tenant == null && principal.agent == 'cli'",
        "principal.roles.exists(role, role == 'viewer') && 'mcp' in principal.scopes",
        "principal.claims.level >= 3 && principal.claims.mfa",
        "principal.claims.id == 9007199254740993",
        "tool.name == 'ops.scale_service' && tool.upstream == 'ops' && tool.class != 'read' && !tool.pii",
        "tool.severity in ['medium', 'high']",
        "request.endpoint == 'ops' && request.method == 'tools/call' && request.protocol >= '2026-01-01'",
        "request.client == '192.0.2.1'",
        "request.time > timestamp('2023-01-01T00:00:00Z') && request.time.getHours() == 22",
        "request.time.getDayOfWeek('Europe/Zurich') == 2",
        "type(args.replicas) == int",
        "true",
    ] {
        assert_eq!(judge(source, r#"{"replicas":3,"service":"web","tags":["t1","t2"]}"#), Ok(true), "{source}");
    }
}

#[test]
fn every_function_that_is_let_through_exists() {
    for function in check::FUNCTIONS {
        let call = match function {
            "@not_strictly_false" => continue,
            "contains" | "startsWith" | "endsWith" | "matches" => format!("'a'.{function}('a')"),
            "bool" => "bool('true')".to_owned(),
            "bytes" => "bytes('a') == b'a'".to_owned(),
            "dyn" => "dyn(true)".to_owned(),
            "duration" => "duration('1s') < duration('2s')".to_owned(),
            "timestamp" => "timestamp('2023-01-01T00:00:00Z') < request.time".to_owned(),
            "type" => "type(1) == int".to_owned(),
            "size" => "size('a') == 1".to_owned(),
            "string" => "string(1) == '1'".to_owned(),
            "int" | "uint" | "double" => format!("{function}('1') == {function}(1)"),
            getter => format!("request.time.{getter}() >= 0"),
        };
        assert_eq!(judge(&call, "{}"), Ok(true), "{call}");
    }
}

#[test]
fn a_condition_that_fails_is_a_fault() {
    for (source, arguments) in [
        ("args.precision > 100", "{}"),
        ("args.precision > 100", r#"{"precision":"101"}"#),
        ("args.precision > 100", r#"{"precision":null}"#),
        ("args.precision > 100", r#"{"precision":[101]}"#),
        ("args.precision > 100", r#"{"precision":9007199254740993}"#),
        ("has(args.precision) && args.precision > 100", r#"{"precision":1e300}"#),
        ("args.precision > 100", r#"{"precision":1,"precision":101}"#),
        ("args.precision > 100", "[]"),
        ("args.flag", r#"{"flag":1}"#),
        ("args.a.b == 1", r#"{"a":1}"#),
        ("args.a[5] == 1", r#"{"a":[1]}"#),
        ("args.a / args.b == 1", r#"{"a":1,"b":0}"#),
        ("args.a * 9007199254740991 == 1", r#"{"a":9007199254740991}"#),
        ("args.text.size() == 1", r#"{"text":1}"#),
        ("args.list.all(x, x < 5)", r#"{"list":[1,"2"]}"#),
        ("principal.claims.absent == 1", "{}"),
        ("principal.tenant.startsWith('a')", "{}"),
        ("timestamp(args.at) < request.time", r#"{"at":"tomorrow"}"#),
    ] {
        assert!(judge(source, arguments).is_err(), "{source} on {arguments}");
    }
}

#[test]
fn an_inexact_number_disturbs_only_who_reads_it() {
    let arguments = r#"{"precision":50,"operands":[123456789012345678901234567890, 0.12345678901234567890123]}"#;
    assert_eq!(judge("args.precision > 100", arguments), Ok(false));
    assert_eq!(judge("args.operands.size() > 1", arguments), Err(Fault::InexactNumber));
    assert_eq!(judge("args.size() > 1", arguments), Err(Fault::InexactNumber));
}

#[test]
fn a_loop_over_too_much_is_a_fault() {
    let long = format!(r#"{{"a":[{}1],"b":[1]}}"#, "1,".repeat(5_000));
    assert_eq!(judge("args.a.all(x, x == 1)", &long), Err(Fault::TooLarge));
    assert_eq!(judge("args.b.all(x, x == 1)", &long), Ok(true));
    assert_eq!(judge("args.a.size() == 5001", &long), Ok(true));
    assert_eq!(judge("[1, 2].exists(x, x in args.a)", &long), Ok(true));
    let shorter = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(1_000));
    assert_eq!(judge("args.a.all(x, x == 1)", &shorter), Ok(true));
    assert_eq!(judge("args.a.all(x, args.a.exists(y, x == y))", &shorter), Err(Fault::TooLarge));
}

#[test]
fn a_fault_never_repeats_a_value_of_the_caller() {
    for source in [
        "args.a < 5",
        "args.a.matches('x') || args.b",
        "-args.a == 1",
        "args.a[0] == 1",
        "args.a.b == 1",
        "principal.claims[args.a]",
    ] {
        let fault = judge(source, r#"{"a":"hunter2","b":"hunter2"}"#).unwrap_err();
        assert!(!fault.to_string().contains("hunter2"), "{source}: {fault}");
    }
}

#[test]
fn what_can_never_work_is_refused_at_load() {
    for (source, reason) in [
        ("", "empty"),
        ("args.a >", "column"),
        ("args.?a == 1", "unsupported"),
        ("arg.a == 1", "no variable `arg`"),
        (".args.a == 1", "no variable"),
        ("optional.of(1).hasValue()", "no function"),
        ("foo(args.a)", "no function or macro `foo`"),
        ("has(args.a, args.b)", "no function or macro `has`"),
        ("principal.role == 'a'", "`principal` has no `role`"),
        ("principal['role'] == 'a'", "`principal` has no `role`"),
        ("has(tool.klass)", "`tool` has no `klass`"),
        ("tool.class == 'destroy'", "never `destroy`"),
        ("'worst' != tool.severity", "never `worst`"),
        ("tool.pii == 'yes'", "never text"),
        ("request.time > 5", "never a number"),
        ("request.endpoint", "must be true or false"),
        ("args", "must be true or false"),
        ("1 + 1", "must be true or false"),
        ("'yes'", "must be true or false"),
        ("args.a && tool.name", "must be true or false"),
        ("!request.time", "must be true or false"),
        ("tool.name ? true : false", "must be true or false"),
        ("args.a ? 1 : 2", "must be true or false"),
        ("size(args.a)", "must be true or false"),
        ("[true]", "must be true or false"),
        ("args.a.matches('(')", "not a regular expression"),
        ("args.a.matches(args.b)", "literal"),
        ("args.a.all(args, args == 1)", "which has a meaning"),
        ("args.a.all(x, x.all(y, y.all(z, z == 1)))", "more than 2 loops"),
        ("args{a: 1} == 1", "no such values"),
    ] {
        let problems = Condition::compile(source, &Language::default()).expect_err(source).join("; ");
        assert!(problems.contains(reason), "{source}: {problems}");
    }
}

#[test]
fn a_huge_expression_is_refused_and_not_recursed_into() {
    for source in [
        format!("true{}", " ".repeat(5_000)),
        format!("{}true{}", "(".repeat(400), ")".repeat(400)),
        format!("{}true", "!".repeat(2_000)),
        format!("1{} == 1", "+1".repeat(2_000)),
        format!("1{} == 1", "+1".repeat(400)),
        format!("args{} == 1", ".a".repeat(2_000)),
        format!("args.a{} == 1", "[0]".repeat(400)),
        format!("{}1{} == 1", "[".repeat(1_000), "]".repeat(1_000)),
        format!("args.a{}", ".map(x, x)".repeat(300)),
    ] {
        assert!(Condition::compile(&source, &Language::default()).is_err(), "{}", source.get(..20).unwrap_or(&source));
    }
}
