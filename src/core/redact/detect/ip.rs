//! IPv4 and IPv6 addresses, as `std` reads them; version numbers, section numbers, times and fingerprints are none.

use super::text::Text;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// The IPv4 address that begins with the run of digits `start..run_end`.
pub(super) fn v4(text: Text<'_>, start: usize, run_end: usize) -> Option<Range<usize>> {
    let before = text.before(start);
    if run_end - start > 3
        || text.at(run_end) != b'.'
        || before.is_ascii_alphanumeric()
        || matches!(before, b'.' | b'_')
    {
        return None;
    }
    let limit = text.run(start, |byte| byte.is_ascii_digit() || byte == b'.');
    let address = text.part(start..limit).trim_end_matches('.');
    address.parse::<Ipv4Addr>().ok()?;
    let end = start + address.len();
    let numbered = NUMBERED.contains(&last_word(&text.lead(start, 16)));
    (!text.at(end).is_ascii_alphanumeric() && text.at(end) != b'_' && !numbered).then_some(start..end)
}

/// Words before four numbers with dots that are no address.
const NUMBERED: [&str; 6] = ["version", "release", "section", "chapter", "clause", "build"];

fn last_word(lead: &str) -> &str {
    lead.trim_end_matches([' ', ':', '=', '.'])
        .rsplit(|sign: char| !sign.is_ascii_alphabetic())
        .next()
        .unwrap_or_default()
}

/// The IPv6 address around the colon at `colon`, or where to look on.
pub(super) fn v6(text: Text<'_>, colon: usize) -> Result<Range<usize>, usize> {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let start = text.run_back(colon, 4, |byte| byte.is_ascii_hexdigit());
    let limit = text.run(colon, is_part);
    let run = text.part(start..limit);
    let run = run.trim_end_matches('.');
    let address = match run.strip_suffix(':') {
        Some(shorter) if !run.ends_with("::") => shorter,
        _ => run,
    };
    let end = start + address.len();
    let alone = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'_';
    let plausible = address.len() <= 45 && address.bytes().any(|byte| byte.is_ascii_digit()) && !pairs(address);
    match alone(text.before(start)) && alone(text.at(end)) && plausible && address.parse::<Ipv6Addr>().is_ok() {
        true => Ok(start..end),
        false => Err(limit),
    }
}

/// Eight pairs are an EUI-64, not an address.
fn pairs(address: &str) -> bool {
    address.split(':').all(|group| group.len() == 2)
}
