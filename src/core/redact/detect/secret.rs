//! Secrets: tokens that say by their first signs what they are, private keys, credentials in headers and URLs.
//!
//! No guessing by entropy: a text without one of `NEEDLES` holds no secret as far as this goes.

use super::text::Text;
use aho_corasick::{AhoCorasick, BuildError, Input, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::ops::Range;

/// Finds secrets.
pub(super) struct Secrets {
    needles: AhoCorasick,
}

/// What a needle begins.
#[derive(Clone, Copy)]
enum Shape {
    /// This needle and from so many on to so many signs that a predicate accepts; no word before it.
    Token(Class, usize, usize),
    /// `sk-` and enough behind it that is no word.
    Sk,
    /// A JSON web token.
    Jwt,
    /// A PEM block.
    Pem,
    /// `Bearer` and a token.
    Bearer,
    /// `Basic` and base64 of user and password.
    Basic,
    /// The rest of a URL after its scheme.
    Url,
    /// The signature of an Azure SAS.
    Sas,
    /// The name of an AWS secret access key.
    AwsSecret,
    /// The name of a header of credentials.
    Authorization,
}

/// The signs of a token.
#[derive(Clone, Copy)]
enum Class {
    Upper,
    Alphanumeric,
    Word,
}

impl Class {
    fn holds(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
        }
    }
}

/// How secrets begin, and what follows.
const NEEDLES: [(&str, Shape); 43] = [
    ("AKIA", Shape::Token(Class::Upper, 16, 16)),
    ("ASIA", Shape::Token(Class::Upper, 16, 16)),
    ("ghp_", Shape::Token(Class::Alphanumeric, 30, 255)),
    ("gho_", Shape::Token(Class::Alphanumeric, 30, 255)),
    ("ghu_", Shape::Token(Class::Alphanumeric, 30, 255)),
    ("ghs_", Shape::Token(Class::Alphanumeric, 30, 255)),
    ("ghr_", Shape::Token(Class::Alphanumeric, 30, 255)),
    ("github_pat_", Shape::Token(Class::Word, 22, 255)),
    ("glpat-", Shape::Token(Class::Word, 20, 300)),
    ("xoxa-", Shape::Token(Class::Word, 10, 255)),
    ("xoxb-", Shape::Token(Class::Word, 10, 255)),
    ("xoxp-", Shape::Token(Class::Word, 10, 255)),
    ("xoxr-", Shape::Token(Class::Word, 10, 255)),
    ("xoxs-", Shape::Token(Class::Word, 10, 255)),
    ("xapp-", Shape::Token(Class::Word, 10, 255)),
    ("sk_live_", Shape::Token(Class::Alphanumeric, 10, 255)),
    ("rk_live_", Shape::Token(Class::Alphanumeric, 10, 255)),
    ("sk_test_", Shape::Token(Class::Alphanumeric, 10, 255)),
    ("AIza", Shape::Token(Class::Word, 35, 35)),
    ("npm_", Shape::Token(Class::Alphanumeric, 36, 36)),
    ("pypi-", Shape::Token(Class::Word, 50, 1024)),
    ("hf_", Shape::Token(Class::Alphanumeric, 34, 64)),
    ("sk-", Shape::Sk),
    ("eyJ", Shape::Jwt),
    ("-----BEGIN ", Shape::Pem),
    ("Bearer ", Shape::Bearer),
    ("bearer ", Shape::Bearer),
    ("BEARER ", Shape::Bearer),
    ("Basic ", Shape::Basic),
    ("basic ", Shape::Basic),
    ("BASIC ", Shape::Basic),
    ("Authorization", Shape::Authorization),
    ("authorization", Shape::Authorization),
    ("AUTHORIZATION", Shape::Authorization),
    ("://", Shape::Url),
    ("sig=", Shape::Sas),
    ("aws_secret_access_key", Shape::AwsSecret),
    ("AWS_SECRET_ACCESS_KEY", Shape::AwsSecret),
    ("secret_access_key", Shape::AwsSecret),
    ("SecretAccessKey", Shape::AwsSecret),
    ("secretAccessKey", Shape::AwsSecret),
    ("secretaccesskey", Shape::AwsSecret),
    ("SECRET_ACCESS_KEY", Shape::AwsSecret),
];

impl Secrets {
    /// Builds the automaton.
    pub(super) fn new() -> Result<Self, BuildError> {
        let needles = NEEDLES.map(|(needle, _)| needle);
        AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(needles).map(|needles| Self { needles })
    }

    /// Where the needles stand. None of them has a sign that ends or escapes a JSON string, so that each is inside one.
    pub(super) fn starts(&self, document: &str) -> Vec<usize> {
        self.needles.find_iter(document).map(|hit| hit.start()).collect()
    }

    /// All secrets of the text, in order.
    pub(super) fn find(&self, text: Text<'_>, mut found: impl FnMut(Range<usize>)) {
        if let Some(whole) = keyed(text) {
            found(whole);
        }
        let mut pem_ends = true;
        let mut from = 0;
        while let Some(hit) = self.needles.find(Input::new(text.text).span(from..text.text.len())) {
            let shape = NEEDLES.get(hit.pattern().as_usize()).map(|(_, shape)| *shape);
            let (start, body) = (hit.start(), hit.end());
            let verdict = match shape {
                Some(Shape::Token(class, least, most)) => token(text, start, body, (class, least, most)),
                Some(Shape::Sk) => sk(text, start, body),
                Some(Shape::Jwt) => jwt(text, start),
                Some(Shape::Pem) => pem(text, start, body, &mut pem_ends),
                Some(Shape::Bearer) => bearer(text, start, body),
                Some(Shape::Basic) => basic(text, body),
                Some(Shape::Url) => password(text, body),
                Some(Shape::Sas) => signature(text, start, body),
                Some(Shape::AwsSecret) => aws_secret(text, body),
                Some(Shape::Authorization) => credentials(text, body),
                None => None,
            };
            // What follows `sk-` is one token, whether it is a key or not.
            let token = matches!(shape, Some(Shape::Sk));
            from = if token { text.run(body, |byte| Class::Word.holds(byte)) } else { start + 1 };
            if let Some(span) = verdict {
                from = span.end.max(from);
                found(span);
            }
        }
    }
}

/// Whether a key alone says that its value is a secret.
pub(in crate::redact) fn names_secret(key: &str) -> bool {
    let last = key.as_bytes().last().map_or(0, u8::to_ascii_lowercase);
    matches!(last, b'y' | b'n')
        && (NEEDLES.iter().any(|(needle, shape)| matches!(shape, Shape::AwsSecret) && *needle == key)
            || key.eq_ignore_ascii_case("authorization")
            || key.eq_ignore_ascii_case("proxy-authorization"))
}

/// A value whose key alone says that it is a secret.
fn keyed(text: Text<'_>) -> Option<Range<usize>> {
    let key = text.context.key;
    if text.context.key.eq_ignore_ascii_case("authorization")
        || text.context.key.eq_ignore_ascii_case("proxy-authorization")
    {
        return scheme(text, 0);
    }
    let plausible = text.text.len() == 40 && text.text.bytes().all(is_base64);
    let named = || NEEDLES.iter().any(|(needle, shape)| matches!(shape, Shape::AwsSecret) && *needle == key);
    (plausible && named()).then_some(0..40)
}

/// A prefix with letters only may stand by chance inside a longer word; one with a dash or underscore hardly.
fn token(
    text: Text<'_>,
    start: usize,
    body: usize,
    (class, least, most): (Class, usize, usize),
) -> Option<Range<usize>> {
    let plain = text.part(start..body).bytes().all(|byte| byte.is_ascii_alphanumeric());
    if text.before(start).is_ascii_alphanumeric() && (plain || least < 20) {
        return None;
    }
    let holds = |byte| class.holds(byte);
    let end = if plain { text.run_most(body, most + 1, holds) } else { text.run(body, holds) };
    let length = end - body;
    (length >= least && (length <= most || !plain)).then_some(start..end)
}

/// OpenAI's and Anthropic's keys; `sk-learn-something` is none.
fn sk(text: Text<'_>, start: usize, body: usize) -> Option<Range<usize>> {
    let end = text.run(body, |byte| Class::Word.holds(byte));
    let key = text.part(body..end);
    let vendor = ["ant-", "proj-", "svcacct-", "admin-", "or-"].iter().any(|vendor| key.starts_with(vendor));
    let dense = key.split(['-', '_']).any(|part| part.len() >= 16 && part.bytes().any(|byte| byte.is_ascii_digit()));
    let random = key.len() >= 20 && (dense || vendor && key.bytes().any(|byte| byte.is_ascii_digit()));
    let inside = text.before(start).is_ascii_alphanumeric();
    (random && !inside).then_some(start..end)
}

/// RFC 7515, 7.1: three parts of base64url, the first of them a JSON object with `alg`; five for RFC 7516.
fn jwt(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    if Class::Word.holds(text.before(start)) {
        return None;
    }
    let part = |from: usize| text.run(from, |byte| Class::Word.holds(byte));
    let header_end = part(start);
    let header = URL_SAFE_NO_PAD.decode(text.part(start..header_end)).ok()?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&header).ok()?;
    header.get("alg").filter(|alg| alg.is_string())?;
    let mut end = header_end;
    let mut dots = 0;
    while text.at(end) == b'.' && dots < 4 {
        let next = part(end + 1);
        if dots >= 2 && next == end + 1 {
            break;
        }
        end = next;
        dots += 1;
    }
    (dots >= 2).then_some(start..end)
}

/// RFC 7468: to the end line, or, without one, as far as base64 goes. `ends` is false once no end line follows.
fn pem(text: Text<'_>, start: usize, body: usize, ends: &mut bool) -> Option<Range<usize>> {
    let label_end = text.run(body, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    let label = text.part(body..label_end);
    if !label.ends_with("PRIVATE KEY") && !label.ends_with("PRIVATE KEY BLOCK") {
        return None;
    }
    let close = if *ends { text.text.get(label_end..)?.find("-----END ") } else { None };
    let Some(close) = close else {
        *ends = false;
        let end =
            text.run(label_end, |byte| is_base64(byte) || byte.is_ascii_whitespace() || matches!(byte, b'-' | b'\\'));
        return Some(start..end);
    };
    let name = label_end + close + "-----END ".len();
    let end = text.run(name, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    Some(start..text.run(end, |byte| byte == b'-'))
}

/// RFC 6750, 2.1. Beside the word `authorization` any token; elsewhere one that is no word.
fn bearer(text: Text<'_>, start: usize, body: usize) -> Option<Range<usize>> {
    let from = text.run(body, |byte| byte == b' ');
    let end = text.run(from, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    let token = text.part(from..end);
    let named = authorization(text, start) && token.len() >= 6;
    let random = token.len() >= 16 && token.bytes().any(|byte| byte.is_ascii_digit());
    let inside = text.before(start).is_ascii_alphanumeric();
    ((named || random) && !inside).then_some(from..end)
}

fn authorization(text: Text<'_>, start: usize) -> bool {
    text.context.names(&["authorization", "auth"]) || text.lead(start, 24).contains("authorization")
}

/// The credentials of a header line (RFC 9110, 11.6.2), in whatever scheme and quotes.
fn credentials(text: Text<'_>, name: usize) -> Option<Range<usize>> {
    let quote = text.run_most(name, 2, |byte| matches!(byte, b'"' | b'\'' | b'\\'));
    let colon = text.run_most(quote, 3, |byte| byte == b' ');
    if !matches!(text.at(colon), b':' | b'=') {
        return None;
    }
    scheme(text, text.run_most(colon + 1, 8, |byte| matches!(byte, b' ' | b'"' | b'\'' | b'\\')))
}

/// What follows the name of a scheme, or stands without one and is no word; what is read by itself is left to it.
fn scheme(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(&byte);
    let first = text.run(start, is_sign);
    let own = ["bearer", "basic"].iter().any(|own| text.part(start..first).eq_ignore_ascii_case(own));
    let from = text.run_most(first, 4, |byte| byte == b' ');
    let end = text.run(from, is_sign);
    let random = |span: Range<usize>| span.len() >= 8 && text.part(span).bytes().any(|byte| byte.is_ascii_digit());
    match (from > first && end > from, own) {
        (_, true) => None,
        (true, false) if random(from..end) => Some(from..end),
        _ => random(start..first).then_some(start..first),
    }
}

/// RFC 7617, 2: base64 of a text with a colon.
fn basic(text: Text<'_>, body: usize) -> Option<Range<usize>> {
    let from = text.run(body, |byte| byte == b' ');
    let end = text.run(from, is_base64);
    let decoded = STANDARD.decode(text.part(from..end)).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let credentials = decoded.len() >= 3 && decoded.contains(':') && !decoded.chars().any(char::is_control);
    credentials.then_some(from..end)
}

/// The password of `scheme://user:password@host` (RFC 3986, 3.2.1).
fn password(text: Text<'_>, authority: usize) -> Option<Range<usize>> {
    let end = text.run(authority, |byte| !byte.is_ascii_whitespace() && !b"/?#\"'<>\\".contains(&byte));
    let userinfo = text.part(authority..end).rsplit_once('@').map(|(userinfo, _)| userinfo)?;
    let (user, password) = userinfo.split_once(':')?;
    let start = authority + user.len() + 1;
    (!password.is_empty()).then_some(start..start + password.len())
}

/// `sig=` and 256 bits or more in base64, URL-encoded or not.
fn signature(text: Text<'_>, start: usize, body: usize) -> Option<Range<usize>> {
    if !matches!(text.before(start), 0 | b'?' | b'&' | b';' | b' ' | b'"') {
        return None;
    }
    let end = text.run(body, |byte| is_base64(byte) || matches!(byte, b'%' | b'-' | b'_'));
    (end - body >= 40).then_some(body..end)
}

/// 40 signs of base64 shortly after the name.
fn aws_secret(text: Text<'_>, body: usize) -> Option<Range<usize>> {
    let from = text.run_most(body, 7, |byte| matches!(byte, b' ' | b'=' | b':' | b'"' | b'\'' | b'>'));
    let end = text.run_most(from, 41, |byte| is_base64(byte) && byte != b'=');
    (from > body && from - body <= 6 && end - from == 40).then_some(from..end)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}
