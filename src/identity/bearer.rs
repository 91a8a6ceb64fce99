//! The bearer token of a request, from its `Authorization` fields alone (RFC 6750 section 2.1). A token in the query or
//! the body is not one.

use super::jwt::MAX_TOKEN_BYTES;
use super::refusal::Refusal;
use portcullis_core::reject::Rejection;

/// Reads the lines of the field `Authorization`: none is no token; anything but one line with one bearer token is
/// refused. The scheme may be in any case (RFC 9110 section 11.1).
///
/// # Errors
/// `Rejection::Unauthenticated` with the reason `malformed`.
pub fn bearer<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Rejection> {
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(token_of(value).ok_or(Refusal::Malformed)?)),
        (Some(_), Some(_)) => Err(Refusal::Malformed.into()),
    }
}

fn token_of(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let fits = !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(is_token68);
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}

/// RFC 9110 section 11.2, `token68`. A space, a comma or a second scheme is none of it.
const fn is_token68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(lines: &[&'a [u8]]) -> Result<Option<&'a str>, Rejection> {
        bearer(lines.iter().copied())
    }

    #[test]
    fn one_bearer_token_is_read_in_any_case_of_its_scheme() {
        assert_eq!(read(&[]), Ok(None));
        for line in ["Bearer a.b-c._", "bearer a.b-c._", "BEARER a.b-c._"] {
            assert_eq!(read(&[line.as_bytes()]), Ok(Some("a.b-c._")));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let huge = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
        for line in [
            "",
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            "DPoP a.b.c",
            "a.b.c",
            "Bearer  a.b.c",
            " Bearer a.b.c",
            "Bearer a.b.c ",
            "Bearer\ta.b.c",
            "Bearer Bearer a.b.c",
            "Bearer a.b.c, Bearer d.e.f",
            "Bearer a.b.c,d",
            "Bearer a.b.\u{e9}",
            "Bearer a.b\r\nX-User-ID: root",
            "Bearer \"a.b.c\"",
            &huge,
        ] {
            let refused = read(&[line.as_bytes()]);
            assert_eq!(refused, Err(Rejection::Unauthenticated { reason: "malformed" }), "{line:?}");
        }
        assert!(read(&[b"Bearer \xff\xfe"]).is_err());
        assert!(read(&[b"Bearer a.b.c", b"Bearer a.b.c"]).is_err(), "two lines, even the same");
        assert!(read(&[b"Bearer a.b.c", b""]).is_err());
    }
}
