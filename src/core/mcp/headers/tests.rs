//! Headers by themselves.

use super::*;
use proptest::prelude::*;

fn read<'a>(lines: &[(&'a str, &'a str)]) -> Result<McpHeaders<'a>, Rejection> {
    McpHeaders::read(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

#[test]
fn names_are_read_in_any_case_and_values_without_blanks_around() {
    let headers =
        read(&[("MCP-PROTOCOL-VERSION", " 2026-07-28\t"), ("mcp-param-Region", " a b "), ("X", "y")]).unwrap();
    assert_eq!(headers.protocol_version, Some("2026-07-28"));
    assert_eq!(headers.params, [("region".to_owned(), "a b")]);
}

#[test]
fn what_is_there_twice_is_refused() {
    for name in ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-a"] {
        let other = name.to_ascii_uppercase();
        assert!(matches!(read(&[(name, "a"), (&other, "a")]), Err(Rejection::HeaderMismatch(_))), "{name}");
    }
    assert!(read(&[("mcp-param-a", "a"), ("mcp-param-b", "a"), ("accept", "a"), ("accept", "b")]).is_ok());
}

#[test]
fn what_is_not_printable_is_refused() {
    for value in [&b"a\xff"[..], "é".as_bytes(), b"a\0", b"a\r\nb", b"\x7f"] {
        for name in ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-a"] {
            assert!(McpHeaders::read([(name, value)]).is_err(), "{name}: {value:?}");
        }
    }
}

#[test]
fn case_32_a_parameter_is_there_with_its_argument_and_says_the_same() {
    let check = |header: Option<&str>, argument: Option<&str>| {
        let lines: Vec<_> = header.map(|value| ("Mcp-Param-Region", value)).into_iter().collect();
        read(&lines).unwrap().check_param("Region", argument.map(str::as_bytes)).is_ok()
    };
    for (header, argument, expected) in [
        (None, None, true),
        (None, Some("null"), true),
        (Some("eu"), Some("\"eu\""), true),
        (Some("eu"), Some(r#""\u0065u""#), true),
        (Some("=?base64?w6k=?="), Some("\"é\""), true),
        (Some("42"), Some("42"), true),
        (Some("42.0"), Some("42"), true),
        (Some("42"), Some("42.0"), true),
        (Some("true"), Some("true"), true),
        (Some("eu"), None, false),
        (Some("null"), Some("null"), false),
        (Some(""), None, false),
        (None, Some("\"eu\""), false),
        (Some("eu"), Some("\"us\""), false),
        (Some("EU"), Some("\"eu\""), false),
        (Some("=?base64?w6k?="), Some("\"é\""), false),
        (Some("42"), Some("43"), false),
        (Some("9007199254740993"), Some("9007199254740992"), false),
        (Some("42.5"), Some("42"), false),
        (Some("4e1"), Some("40"), false),
        (Some("42"), Some("\"42.0\""), false),
        (Some("True"), Some("true"), false),
        (Some("{}"), Some("{}"), false),
        (Some(""), Some("{}"), false),
    ] {
        assert_eq!(check(header, argument), expected, "{header:?} {argument:?}");
    }
}

#[test]
fn a_value_is_encoded_only_where_it_must_be() {
    for (text, header) in [
        ("get_user", "get_user"),
        ("a b,c", "a b,c"),
        ("é", "=?base64?w6k=?="),
        (" a", "=?base64?IGE=?="),
        ("=?base64?w6k=?=", "=?base64?PT9iYXNlNjQ/dzZrPT89?="),
        ("=?base64?", "=?base64?"),
        ("=?base64?=", "=?base64?="),
    ] {
        assert_eq!(encode(text), header);
        assert_eq!(decode(header).unwrap(), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_encoded_is_decoded_and_travels(text: String) {
        let header = encode(&text);
        prop_assert_eq!(printable(header.as_bytes()).unwrap(), header.as_ref());
        prop_assert_eq!(decode(&header).unwrap(), text.as_str());
    }
}
