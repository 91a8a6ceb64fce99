//! What can be said of a resource's URI without knowing the server that reads it: whether it may be read in two ways, and
//! the forms in which it must be looked at so that no other spelling of it escapes a rule that forbids.
//!
//! It does not resolve anything. A server may still know two names for one thing, which only it can tell.

/// What ends a piece of a URI in the eyes of one reader or another.
const DELIMITERS: [char; 8] = ['/', '?', '#', '&', '=', ';', ',', ':'];

/// A URI as rules see it.
#[derive(Debug)]
pub(super) struct Uri {
    /// Why it may be read in two ways; `None` where it can't.
    pub ambiguous: Option<&'static str>,
    /// Its forms without regard to case and percent-encoding: as a whole, and up to its query or fragment.
    pub folded: [String; 2],
}

impl Uri {
    pub fn new(text: &str) -> Self {
        let without_query = text.split(['?', '#']).next().unwrap_or_default();
        Self { ambiguous: ambiguity(text), folded: [fold(text), fold(without_query)] }
    }
}

/// `text` decoded (RFC 3986 section 2.1), in lower case. Not an equivalent URI: a net that is too wide, for rules that
/// forbid.
pub(super) fn fold(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, decoded(after)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).to_lowercase()
}

/// The byte that the two hex digits after a percent sign stand for.
fn decoded(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn ambiguity(text: &str) -> Option<&'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("holds a space, a control character or a letter beyond ASCII");
    }
    if text.contains('\\') {
        return Some("holds a backslash");
    }
    let encoded = text.split('%').skip(1).map(|after| decoded(after.as_bytes()));
    let odd = |byte: Option<u8>| byte.is_none_or(is_odd_when_encoded);
    if encoded.into_iter().any(odd) {
        return Some("holds a percent-encoded letter, digit, dot, slash, backslash, percent or control character");
    }
    if text.split(DELIMITERS).any(|piece| matches!(piece, "." | "..")) {
        return Some("holds `.` or `..`");
    }
    location(text)
}

/// What nobody encodes who means one thing: unreserved characters are the same without (RFC 3986 section 6.2.2.2), the
/// others mean something else once they are decoded.
fn is_odd_when_encoded(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte.is_ascii_control() || b"-._~/\\%".contains(&byte)
}

/// What is odd about scheme, authority and path.
fn location(text: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = text.split_once(':') else { return Some("has no scheme") };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    if !is_scheme {
        return Some("has no scheme in lower case");
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let after_slashes = path.strip_prefix("//");
    let authority = after_slashes.unwrap_or_default().split('/').next().unwrap_or_default();
    match scheme {
        "file" if after_slashes.is_none() || !authority.is_empty() => {
            Some("is a file URI that names a host, or has no path")
        }
        "http" | "https" if authority.contains('@') => Some("holds user info"),
        _ if after_slashes.unwrap_or(path).contains("//") => Some("holds an empty segment"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_uri_is_read_in_one_way() {
        for uri in [
            "file:///srv/docs/a.txt",
            "file:///srv/docs/..a/b..c/.../.hidden",
            "https://example.com/a/b?from=2026-01-01&to=x#top",
            "test://template/{id}/data",
            "users://ada%40example.com/%C3%A9t%C3%A9%20x",
            "repo://Owner/Name",
            "urn:isbn:0451450523",
            "demo://resource/{+path}{?query*}",
        ] {
            assert_eq!(ambiguity(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_uri_that_two_readers_take_for_two_things_is_ambiguous() {
        for uri in [
            "file:///srv/docs/../../etc/passwd",
            "file:///srv/docs/./a",
            "file:///srv/docs/..",
            "file:///srv/docs/..;x/a",
            "file:///srv/%2e%2e/etc",
            "file:///srv/.%2E/etc",
            "file:///srv/docs%2f..%2fa",
            "file:///srv/docs%5Ca",
            "file:///srv/docs\\..\\a",
            "file:///srv/%252e%252e/etc",
            "file:///srv/a%00.txt",
            "file:///%65tc/passwd",
            "file:///srv/100%",
            "file:///srv/%zz",
            "file:///srv/%u002e",
            "file:///srv/a\n",
            "file:///srv/a b",
            " file:///srv/a",
            "file:///srv/\u{ff0e}\u{ff0e}/etc",
            "file:////etc/passwd",
            "file:///srv//etc",
            "file://localhost/etc/passwd",
            "file:/etc/passwd",
            "file:etc",
            "FILE:///etc/passwd",
            "/etc/passwd",
            "",
            "https://good.example@evil.example/",
            "api://x?path=/srv/../etc",
            "api://x?path=..",
        ] {
            assert!(ambiguity(uri).is_some(), "{uri}");
        }
    }

    #[test]
    fn a_folded_uri_has_neither_case_nor_encoding() {
        assert_eq!(fold("Users://Ada%40Example.com/%C3%89%zz%"), "users://ada@example.com/é%zz%");
        assert_eq!(Uri::new("a:b?c#d").folded, ["a:b?c#d".to_owned(), "a:b".to_owned()]);
    }
}
