//! What a request carries besides its body: `Authorization`, the token in it, `Mcp-*`. What is accepted has one meaning.

use crate::identity::{bearer, parse, strict};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::mcp::headers::{McpHeaders, decode, encode};
use serde_json::Value;

/// Header lines, one to a line; the first two lines are also taken for the header and the claims of a token.
pub fn check(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    authorization(&lines);
    if let Some(text) = lines.first().and_then(|line| std::str::from_utf8(line).ok()) {
        token(text);
        assert_eq!(decode(&encode(text)).as_deref(), Ok(text), "an encoded name reads otherwise");
    }
    if let [header, claims, rest @ ..] = lines.as_slice() {
        let parts = [*header, *claims, rest.first().copied().unwrap_or_default()];
        inside(parts, &parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join("."));
    }
    mcp(&lines);
}

/// One line, one token, of the signs that a token has.
fn authorization(lines: &[&[u8]]) {
    let values = lines.iter().filter_map(|line| line.strip_prefix(b"authorization:"));
    let count = values.clone().count();
    match bearer(values.clone()) {
        Ok(None) => assert_eq!(count, 0),
        Ok(Some(token)) => {
            assert_eq!(count, 1);
            let line = values.last().expect("there is one");
            assert!(line.ends_with(token.as_bytes()) && line.len() == "bearer ".len() + token.len());
            assert!(token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
        }
        Err(_) => assert!(count > 0),
    }
}

/// A token is three parts of canonical base64url, and JSON that has one meaning.
fn token(text: &str) {
    let Some((_, kid, claims)) = parse(text) else { return };
    let parts: Vec<_> = text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("it is base64url")).collect();
    let [header, payload, _] = parts.as_slice() else { panic!("it has {} parts", parts.len()) };
    let [header, payload] = [header, payload].map(|part| serde_json::from_slice::<Value>(part).expect("it is JSON"));
    assert_eq!(header["kid"].as_str(), kid.as_deref());
    assert!(header.get("crit").is_none());
    assert!(["HS256", "RS256", "ES256", "EdDSA", "Ed25519"].contains(&header["alg"].as_str().expect("it has one")));
    assert_eq!(payload, Value::Object(claims));
    let again: Vec<_> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    assert_eq!(text, again.join("."), "a second spelling of the same token");
}

/// The same from within: what is no strict object is in no token.
fn inside(parts: [&[u8]; 3], text: &str) {
    token(text);
    let [header, claims, _] = parts.map(strict);
    assert!(parse(text).is_none() || (header.is_some() && claims.is_some()));
    for part in parts {
        let (strict, plain) = (strict(part).map(Value::Object), serde_json::from_slice::<Value>(part).ok());
        assert!(strict.is_none() || strict == plain, "serde_json reads otherwise");
    }
}

/// What `Mcp-*` lines say, each once, in printable ASCII.
fn mcp(lines: &[&[u8]]) {
    let split = |line: &'_ &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line[..colon].to_vec(), line[colon + 1..].to_vec()))
    };
    let pairs: Vec<_> = lines.iter().filter_map(split).collect();
    let named: Vec<_> =
        pairs.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value))).collect();
    let Ok(headers) = McpHeaders::read(named.iter().map(|(name, value)| (*name, value.as_slice()))) else { return };
    for (name, said) in [("mcp-protocol-version", headers.protocol_version), ("mcp-method", headers.method)] {
        let mut lines = named.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name));
        let only = lines.next().map(|(_, value)| String::from_utf8_lossy(value).trim_matches([' ', '\t']).to_owned());
        assert_eq!((only.as_deref(), lines.next().is_none()), (said, true), "{name}");
    }
    for (name, value) in &headers.params {
        for argument in [&b"null"[..], b"1", b"\"a\"", b"1.0", b"true", value.as_bytes()] {
            let _ = headers.check_param(name, Some(argument));
        }
        assert!(headers.check_param(name, None).is_err(), "a header without its argument");
    }
    if let Some(name) = headers.name.and_then(|name| decode(name).ok()) {
        assert_eq!(decode(&encode(&name)).as_deref(), Ok(&*name));
    }
}
