//! Messages and their headers, by the numbers of the abuse cases where they have one.

use super::headers::McpHeaders;
use super::*;
use crate::jsonrpc::{self, Limits};
use crate::reject::Rejection;

const MODERN: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn classified(body: &str, lines: &[(&str, &str)]) -> Result<Message, Rejection> {
    let headers = McpHeaders::read(lines.iter().map(|(name, value)| (*name, value.as_bytes())))?;
    let frame = jsonrpc::parse(body.as_bytes(), &Limits::default())?;
    classify(body.as_bytes(), &frame, &headers)
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

/// A modern request with the right headers.
fn modern(method: &str, params: &str, name: Option<&str>) -> Result<Message, Rejection> {
    let params = if params.is_empty() { MODERN.to_owned() } else { format!("{params},{MODERN}") };
    let mut lines = vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
    lines.extend(name.map(|name| ("Mcp-Name", name)));
    classified(&request(method, &params), &lines)
}

fn legacy(method: &str, params: &str) -> Result<Message, Rejection> {
    classified(&request(method, params), &[("MCP-Protocol-Version", "2025-11-25")])
}

/// The refusal's name.
fn label(result: Result<Message, Rejection>) -> &'static str {
    result.map_or_else(|rejection| rejection.row().label, |message| panic!("accepted: {message:?}"))
}

fn unknown(method: &str) -> Body {
    Body::Unknown { method: method.to_owned() }
}

#[test]
fn a_modern_call_is_read_with_all_that_policy_needs() {
    let params = r#""name":"a\u0062","arguments":{"x":1e400},"inputResponses":{},"requestState":"s""#;
    let message = modern("tools/call", params, Some("ab")).unwrap();
    let body = request("tools/call", &format!("{params},{MODERN}"));
    let body = body.as_bytes();
    assert_eq!((message.era, message.version), (Era::Modern, Version::V2026_07_28));
    assert_eq!(message.id.unwrap().of(body), b"1");
    assert_eq!(message.capabilities.unwrap().of(body), b"{}");
    let Body::Ask(call) = message.body else { panic!() };
    assert_eq!((call.name.as_str(), call.has_task), ("ab", false));
    assert_eq!(call.name_span.of(body), br#""a\u0062""#);
    assert_eq!(call.arguments.unwrap().of(body), br#"{"x":1e400}"#);
    assert_eq!(call.input_responses.unwrap().of(body), b"{}");
    assert_eq!(call.request_state.unwrap().of(body), b"\"s\"");
}

#[test]
fn a_legacy_call_needs_no_headers_and_those_it_has_must_be_true() {
    let params = r#""name":"t","task":{},"_meta":{"progressToken":"p"}"#;
    let body = request("tools/call", params);
    for (lines, version) in [
        (&[][..], Version::V2025_03_26),
        (&[("mcp-protocol-version", "2025-06-18")], Version::V2025_06_18),
        (
            &[("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/call"), ("mcp-name", "t")],
            Version::V2025_11_25,
        ),
    ] {
        let message = classified(&body, lines).unwrap();
        assert_eq!((message.era, message.version, message.capabilities), (Era::Legacy, version, None));
        let Body::Ask(call) = message.body else { panic!() };
        assert_eq!((call.name.as_str(), call.has_task, call.arguments), ("t", true, None));
        assert_eq!(call.progress_token.unwrap().of(body.as_bytes()), b"\"p\"");
    }
    for line in [("mcp-method", "ping"), ("mcp-name", "x"), ("mcp-name", "=?base64?eA==?=")] {
        assert!(matches!(classified(&body, &[line]), Err(Rejection::HeaderMismatch(_))), "{line:?}");
    }
    let list = request("tools/list", "");
    assert!(matches!(classified(&list, &[("mcp-name", "t")]), Err(Rejection::HeaderMismatch(_))));
}

#[test]
fn each_method_is_what_its_era_knows() {
    assert_eq!(modern("server/discover", "", None).unwrap().body, Body::Discover);
    assert_eq!(modern("tools/list", "", None).unwrap().body, Body::ToolsList { cursor: None });
    let cursor = Body::ToolsList { cursor: Some("c".to_owned()) };
    assert_eq!(modern("tools/list", r#""cursor":"c""#, None).unwrap().body, cursor);
    assert_eq!(legacy("tools/list", r#""cursor":"c""#).unwrap().body, cursor);
    assert_eq!(legacy("ping", "").unwrap().body, Body::Ping);
    assert_eq!(legacy("server/discover", "").unwrap().body, unknown("server/discover"));
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "x/y", "Tools/call", "rpc.discover"]
    {
        assert_eq!(modern(method, "", None).unwrap().body, unknown(method), "{method}");
    }
    for (method, params, name) in [
        ("prompts/get", r#""name":"p""#, "p"),
        ("resources/read", r#""uri":"file:///a,b""#, "file:///a,b"),
        ("tasks/get", r#""taskId":"t""#, "t"),
    ] {
        let named = |body: Body| match body {
            Body::Ask(asked) => asked.name,
            Body::Task(task) => task.id,
            _ => String::new(),
        };
        assert_eq!(named(modern(method, params, Some(name)).unwrap().body), name);
        assert_eq!(label(modern(method, params, None)), "header_mismatch", "{method}");
        assert_eq!(label(modern(method, params, Some("other"))), "header_mismatch", "{method}");
    }
}

#[test]
fn a_handshake_is_legacy_and_says_what_it_wants() {
    let body = request("initialize", r#""protocolVersion":"2026-07-28","capabilities":{"roots":{}},"clientInfo":{}"#);
    let message = classified(&body, &[]).unwrap();
    assert_eq!(message.body, Body::Initialize { requested: "2026-07-28".to_owned() });
    assert_eq!(message.era, Era::Legacy);
    assert_eq!(message.capabilities.unwrap().of(body.as_bytes()), br#"{"roots":{}}"#);
    assert_eq!(label(legacy("initialize", "")), "invalid_params");
    assert_eq!(label(legacy("initialize", r#""protocolVersion":1"#)), "invalid_params");
}

#[test]
fn case_21_only_older_clients_answer() {
    for body in [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, r#"{"jsonrpc":"2.0","id":1,"error":{}}"#] {
        assert_eq!(label(classified(body, &[("mcp-protocol-version", "2026-07-28")])), "invalid_request");
        for lines in [&[][..], &[("mcp-protocol-version", "2025-11-25")]] {
            assert_eq!(classified(body, lines).unwrap().body, Body::Response);
        }
    }
    assert_eq!(label(classified(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, &[])), "invalid_request");
}

#[test]
fn cases_26_to_28_headers_repeat_the_body_exactly() {
    let body = request("tools/call", &format!(r#""name":"danger",{MODERN}"#));
    let version = ("MCP-Protocol-Version", "2026-07-28");
    let (method, name) = (("Mcp-Method", "tools/call"), ("Mcp-Name", "danger"));
    assert!(classified(&body, &[version, method, name]).is_ok());
    for (case, lines) in [
        (26, vec![version, ("Mcp-Method", "tools/list"), name]),
        (26, vec![version, ("Mcp-Method", "Tools/Call"), name]),
        (27, vec![version, method, ("Mcp-Name", "harmless")]),
        (27, vec![version, method, ("Mcp-Name", "Danger")]),
        (27, vec![version, method, ("Mcp-Name", "")]),
        (28, vec![version, method]),
        (28, vec![version, name]),
        (28, vec![method, name]),
    ] {
        assert_eq!(label(classified(&body, &lines)), "header_mismatch", "case {case}: {lines:?}");
    }
}

#[test]
fn cases_29_to_31_there_is_one_way_to_write_a_name() {
    for (case, header) in [
        (29, "danger, harmless"),
        (29, "harmless,danger"),
        (30, "=?base64?ZGFuZ2Vy"),
        (30, "=?base64?ZGFuZ2VyCg?="),
        (30, "=?base64?ZGFuZ2V?="),
        (30, "=?base64?ZGFuZ2Vz?="),
        (30, "=?base64? ZGFuZ2Vy ?="),
        (30, "=?base64?/////w==?="),
        (30, "=?BASE64?ZGFuZ2Vy?="),
        (31, "danger%20"),
        (31, "%64anger"),
        (31, "\"danger\""),
    ] {
        assert_eq!(
            label(modern("tools/call", r#""name":"danger""#, Some(header))),
            "header_mismatch",
            "case {case}: {header}"
        );
    }
    for header in ["danger", " danger\t", "=?base64?ZGFuZ2Vy?="] {
        assert!(modern("tools/call", r#""name":"danger""#, Some(header)).is_ok(), "{header}");
    }
    // A literal that only looks encoded.
    assert!(modern("tools/call", r#""name":"=?BASE64?ZGFuZ2Vy?=""#, Some("=?BASE64?ZGFuZ2Vy?=")).is_ok());
    let body = request("tools/call", &format!(r#""name":"danger",{MODERN}"#));
    for twice in ["Mcp-Name", "mcp-name", "MCP-NAME"] {
        let lines = [
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "danger"),
            (twice, "danger"),
        ];
        assert_eq!(label(classified(&body, &lines)), "header_mismatch", "case 29: {twice}");
    }
    assert_eq!(label(modern("tools/call", r#""name":"a, b""#, Some("a, b"))), "header_mismatch");
}

#[test]
fn case_33_the_revision_is_the_same_in_both_places_and_known() {
    let body = request("tools/list", MODERN);
    for (header, expected) in [
        ("2025-11-25", "header_mismatch"),
        ("2099-01-01", "header_mismatch"),
        ("2026-07-28, 2026-07-28", "header_mismatch"),
        ("", "header_mismatch"),
    ] {
        let lines = [("MCP-Protocol-Version", header), ("Mcp-Method", "tools/list")];
        assert_eq!(label(classified(&body, &lines)), expected, "{header}");
    }
    let future = body.replace("2026-07-28", "2099-01-01");
    for lines in [&[][..], &[("MCP-Protocol-Version", "2099-01-01")]] {
        let refused = classified(&future, lines).unwrap_err();
        assert_eq!(refused, Rejection::UnsupportedVersion { requested: "2099-01-01".to_owned() });
    }
    let plain = request("tools/list", "");
    assert_eq!(label(classified(&plain, &[("MCP-Protocol-Version", "2024-11-05")])), "unsupported_version");
    let long = "é".repeat(100);
    let Err(Rejection::UnsupportedVersion { requested }) = classified(&body.replace("2026-07-28", &long), &[]) else {
        panic!()
    };
    assert_eq!(requested.chars().count(), 64);
}

#[test]
fn case_34_an_older_revision_is_read_into_the_same_call() {
    let params = r#""name":"t","arguments":{"a":1}"#;
    let bodies = [modern("tools/call", params, Some("t")), legacy("tools/call", params), {
        classified(&request("tools/call", params), &[])
    }];
    for message in bodies {
        let Body::Ask(call) = message.unwrap().body else { panic!() };
        assert_eq!(call.name, "t");
        assert!(call.arguments.is_some());
    }
    // A revision named in `_meta` alone does not make a request modern, nor a header lie about it.
    let named = request("ping", r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}"#);
    assert_eq!(classified(&named, &[]).unwrap().version, Version::V2025_11_25);
    assert_eq!(label(classified(&named, &[("MCP-Protocol-Version", "2025-06-18")])), "header_mismatch");
}

#[test]
fn case_35_a_modern_request_says_what_it_must() {
    let lines = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];
    for meta in [
        r#""_meta":{}"#,
        "",
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#,
        r#""_meta":{"io.modelcontextprotocol/clientCapabilities":{}}"#,
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":[]}"#,
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":20260728,"io.modelcontextprotocol/clientCapabilities":{}}"#,
    ] {
        assert_eq!(label(classified(&request("tools/list", meta), &lines)), "invalid_params", "{meta}");
    }
}

#[test]
fn case_37_a_session_id_means_nothing_here() {
    let headers = McpHeaders::read([("Mcp-Session-Id", &b"\xff"[..]), ("Last-Event-ID", b"1"), ("Host", b"h")]);
    assert_eq!(headers, Ok(McpHeaders::default()));
}

#[test]
fn case_97_a_request_without_an_id_is_never_run() {
    for method in ["tools/call", "tools/list", "initialize", "server/discover", "x"] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"name":"t",{MODERN}}}}}"#);
        for lines in [&[][..], &[("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method), ("Mcp-Name", "t")]] {
            assert_eq!(label(classified(&body, lines)), "invalid_request", "{method}");
        }
    }
    assert_eq!(label(legacy("notifications/initialized", "")), "invalid_request");
}

#[test]
fn a_notification_goes_by_its_header() {
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let version = ("mcp-protocol-version", "2026-07-28");
    for (lines, era) in [
        (&[][..], Era::Legacy),
        (&[("mcp-protocol-version", "2025-11-25")], Era::Legacy),
        (&[version], Era::Modern),
        (&[version, ("mcp-method", "notifications/cancelled")], Era::Modern),
    ] {
        let message = classified(body, lines).unwrap();
        assert_eq!((message.era, message.id), (era, None));
        assert_eq!(message.body, Body::Notification { method: "notifications/cancelled".to_owned() });
    }
    assert_eq!(label(classified(body, &[version, ("mcp-method", "tools/call")])), "header_mismatch");
    assert_eq!(label(classified(body, &[("mcp-protocol-version", "1")])), "unsupported_version");
}

#[test]
fn the_parameters_of_a_call_have_the_shape_they_must() {
    let long = format!(r#""name":"{}""#, "n".repeat(257));
    for params in [
        "",
        r#""name":1"#,
        r#""name":null"#,
        r#""name":"""#,
        r#""name":"a\nb""#,
        r#""name":"a\u009bb""#,
        &long,
        r#""name":"t","arguments":[]"#,
        r#""name":"t","arguments":null"#,
        r#""name":"t","arguments":"{}""#,
        r#""name":"t","inputResponses":[]"#,
        r#""name":"t","requestState":{}"#,
    ] {
        assert_eq!(label(legacy("tools/call", params)), "invalid_params", "{params}");
    }
    assert_eq!(label(classified(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, &[])), "invalid_params");
    assert_eq!(label(legacy("tools/list", r#""cursor":null"#)), "invalid_params");
    assert_eq!(label(modern("tools/call", r#""x":1"#, Some("t"))), "invalid_params");
    // Case 18.
    assert_eq!(label(legacy("tools/call", r#""name":"a\u0000b""#)), "invalid_request");
    assert_eq!(label(modern("resources/read", r#""uri":"a\u0000b""#, Some("a"))), "invalid_request");
}
