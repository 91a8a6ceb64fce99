//! URLs and names as the configuration may hold them: no spelling that another reader could take for something else.

use std::net::IpAddr;
use url::{Host, Url};

/// An `http` or `https` URL without user info and fragment.
///
/// # Errors
/// What is wrong and what to do, without the URL: it may hold a credential.
pub fn web_url(text: &str) -> Result<Url, (&'static str, &'static str)> {
    const EXAMPLE: &str = "write one such as https://example.com/mcp";
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or(("this is not an http or https URL", EXAMPLE))?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
        return Err(("the URL has characters that must be encoded", "encode them as %XX, and host names as xn--"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(("the URL holds a user or password", "remove what is before the `@`"));
    }
    if authority.is_empty() {
        return Err(("the URL has no host", EXAMPLE));
    }
    let url = Url::parse(text).map_err(|_| ("this is not a URL", EXAMPLE))?;
    match url.fragment() {
        Some(_) => Err(("the URL has a fragment", "remove `#` and what follows")),
        None => Ok(url),
    }
}

/// Whether requests to this URL can't leave the machine.
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Host and port as `Host` says them: without the scheme's own port, in lower case.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether `name` may name an upstream or an endpoint: it stands in paths, tool names and metrics.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_readers_could_take_for_another_are_refused() {
        for text in [
            "",
            "example.com",
            "ftp://example.com/",
            "HTTP://example.com/",
            "http:/example.com",
            "http:///example.com",
            "http:\\\\example.com",
            "http://example.com\\@evil.com/",
            "http://user@example.com/",
            "http://@example.com/",
            "http://example.com/a b",
            "http://example.com/\u{e9}",
            "http://ex\tample.com/",
            "http://example.com/#x",
            "http://example.com:99999/",
            " http://example.com/",
        ] {
            assert!(web_url(text).is_err(), "{text}");
        }
        assert_eq!(authority(&web_url("https://Example.com:443/mcp").unwrap()), "example.com");
        assert_eq!(authority(&web_url("http://[::1]:8091/mcp").unwrap()), "[::1]:8091");
    }

    #[test]
    fn only_loopback_is_local() {
        for (text, expected) in [
            ("http://127.0.0.1/", true),
            ("http://127.9.9.9:1/", true),
            ("http://[::1]/", true),
            ("http://localhost:8/", true),
            ("http://localhost.evil.com/", false),
            ("http://10.0.0.1/", false),
            ("http://0.0.0.0/", false),
        ] {
            assert_eq!(is_local(&web_url(text).unwrap()), expected, "{text}");
        }
    }
}
