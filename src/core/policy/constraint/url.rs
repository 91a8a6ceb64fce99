//! URLs in their one form (WHATWG URL, as browsers and most clients read them), and only those that lead out.
//!
//! It stops a tool from being sent to the inside of the network by an address in whatever spelling. It does not resolve
//! names: a public name may point at a private address, which only the upstream that connects can see.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Names that lead inside: RFC 6761 (localhost), RFC 6762 (local), RFC 8375 (home.arpa), and internal, which ICANN
/// reserved for private use in 2024.
const PRIVATE_NAMES: [&str; 4] = ["localhost", "local", "internal", "home.arpa"];

/// The one form of an http or https URL.
pub(super) fn canonical(text: &str) -> Result<Url, &'static str> {
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("holds a space, a control character or a backslash");
    }
    let authority = authority(text).ok_or("is not an http or https URL with a host")?;
    if authority.contains('@') {
        return Err("holds user info");
    }
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    let path = url.path().to_ascii_lowercase();
    if path.contains("%2f") || path.contains("%5c") || path.contains("%25") {
        return Err("holds a percent-encoded slash, backslash or percent in its path");
    }
    match url.host() {
        Some(Host::Domain(name)) if is_public_name(name) => Ok(url),
        Some(Host::Ipv4(address)) if is_public_v4(address) => Ok(url),
        Some(Host::Ipv6(address)) if is_public_v6(address) => Ok(url),
        Some(_) => Err("leads to a private address or name, or to one that ends with a dot"),
        None => Err("is not an http or https URL with a host"),
    }
}

/// What stands between `//` and the path, as written. `http:host`, `http:/host` and `http:///host`, which readers take
/// for different things, have none.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let authority = rest.split(['/', '?', '#']).next()?;
    (is_web && !authority.is_empty()).then_some(authority)
}

/// A name of one label is looked up in the local network's search path, so it leads inside too. One with a dot at its
/// end is the same name in a second form.
fn is_public_name(name: &str) -> bool {
    let is_below = |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.contains('.') && !name.ends_with('.') && !PRIVATE_NAMES.iter().any(|zone| is_below(zone))
}

/// Not in the IANA IPv4 Special-Purpose Address Registry (RFC 6890), not multicast, not reserved.
fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// In 2000::/3, the only part given out (RFC 4291 section 2.4), so that `::1`, `fc00::/7`, `fe80::/10`, `::ffff:0:0/96`
/// and `64:ff9b::/96` are out; and not in 2001::/23 (Teredo and others), 2001:db8::/32, 2002::/16 (6to4, which holds an
/// IPv4 address) or 3fff::/20.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

/// A scheme, host and port, and a path there with what is below it.
#[derive(Debug)]
pub(super) struct UrlPrefix {
    base: Url,
    /// Without a slash at the end.
    directory: String,
    itself: bool,
}

impl UrlPrefix {
    pub fn new(prefix: &str) -> Result<Self, &'static str> {
        let base = canonical(prefix)?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err("has a query or fragment");
        }
        let directory = base.path().trim_end_matches('/').to_owned();
        let itself = directory.is_empty() || !base.path().ends_with('/');
        Ok(Self { base, directory, itself })
    }

    /// Whether it covers a canonical URL.
    pub fn covers(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        if url.origin() != self.base.origin() {
            return false;
        }
        match url.path().strip_prefix(&self.directory) {
            Some("") => self.itself,
            Some(rest) => rest.starts_with('/') && (self.itself || rest.len() > 1),
            None => false,
        }
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at or below `{}`", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_form() {
        for (text, expected) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/a/../b", "https://example.com/b"),
            ("https://example.com/%2e%2e/b", "https://example.com/b"),
            ("http://example.com:8080/?q=a%2fb", "http://example.com:8080/?q=a%2fb"),
            ("https://8.8.8.8/", "https://8.8.8.8/"),
            ("https://[2606:4700::1]/", "https://[2606:4700::1]/"),
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(canonical(text).map(String::from), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn case_197_an_address_inside_is_refused_in_any_spelling() {
        for host in [
            "169.254.169.254",
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "0",
            "10.1.2.3",
            "100.64.0.1",
            "172.31.0.1",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:7f00:1]",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[2002:7f00:1::]",
            "[64:ff9b::7f00:1]",
            "[2001::1]",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "metadata.google.internal",
            "printer.local",
            "router.home.arpa",
            "kubernetes",
            "%6cocalhost",
            "\u{ff11}27.0.0.1",
            "127\u{3002}0.0.1",
        ] {
            assert!(canonical(&format!("http://{host}/")).is_err(), "{host}");
            assert!(canonical(&format!("https://{host}:8443/a")).is_err(), "{host}");
        }
    }

    #[test]
    fn a_url_that_readers_differ_on_is_refused() {
        for text in [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http:example.com",
            "http:/example.com",
            "http:///example.com",
            "http://",
            "https://user@example.com",
            "https://user:secret@example.com",
            "https://@example.com",
            "https://example.com\\@evil.example",
            "https:\\\\example.com",
            " https://example.com",
            "https://exa\nmple.com",
            "https://example.com./",
            "https://example.com/a%2f..%2fb",
            "https://example.com/a%5c..",
            "https://example.com/%252e%252e/",
            "https://example..com:99999",
        ] {
            assert!(canonical(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_ends_at_the_host_and_at_a_segment() {
        for (prefix, url, expected) in [
            ("https://example.com", "https://example.com/", true),
            ("https://example.com", "https://example.com/a?b", true),
            ("https://example.com/", "https://example.com/", true),
            ("https://example.com", "https://example.com.evil/", false),
            ("https://example.com", "https://example.community/", false),
            ("https://example.com", "http://example.com/", false),
            ("https://example.com", "https://example.com:8443/", false),
            ("https://example.com", "https://a.example.com/", false),
            ("https://example.com/docs", "https://example.com/docs?x", true),
            ("https://example.com/docs", "https://example.com/docs/a", true),
            ("https://example.com/docs", "https://example.com/docs-secret", false),
            ("https://example.com/docs/", "https://example.com/docs", false),
            ("https://example.com/docs/", "https://example.com/docs/a", true),
            ("https://example.com/docs", "https://example.com/docs/../secret", false),
        ] {
            let url = canonical(url).unwrap();
            assert_eq!(UrlPrefix::new(prefix).unwrap().covers(url.as_str()), expected, "{prefix} on {url}");
        }
        for prefix in ["https://example", "example.com", "https://example.com/?a", "https://example.com/#a", ""] {
            assert!(UrlPrefix::new(prefix).is_err(), "{prefix}");
        }
    }
}
