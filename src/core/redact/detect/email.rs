//! E-mail addresses (RFC 5321 in shape, RFC 6531 for letters beyond ASCII), found from their `@`.

use super::text::Text;
use std::ops::Range;

/// The address around the `@` at `at`.
pub(super) fn around(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    let end = domain(text, at + 1)?;
    let start = local(text, at)?;
    let address = text.part(start..end);
    let remote = address.starts_with("git@") && matches!(text.at(end), b':' | b'/');
    (!remote && !scaled_image(text.part(at + 1..end))).then_some(start..end)
}

/// Where the local part begins. RFC 5321, 4.5.3.1.1: at most 64 bytes; of a longer run the last 64 are taken, so that
/// padding hides nothing.
fn local(text: Text<'_>, at: usize) -> Option<usize> {
    if text.before(at) == b'"' {
        let start = text.run_back(at - 1, 64, |byte| !matches!(byte, b'"' | b'\n' | b'\r' | b'@'));
        return (text.before(start) == b'"' && start + 1 < at).then_some(start.saturating_sub(1));
    }
    let mut start = text.run_back(at, 64, is_local);
    while start < at && (!text.text.is_char_boundary(start) || is_edge(text.at(start)) || is_barrier(text, start)) {
        start += 1;
    }
    let run = text.part(start..at);
    let start = run.rfind('\u{fffc}').map_or(start, |barrier| start + barrier + '\u{fffc}'.len_utf8());
    (start < at).then_some(start)
}

/// Where the domain ends: two labels or more, the last one of letters or punycode.
fn domain(text: Text<'_>, start: usize) -> Option<usize> {
    let limit = text.run(start, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') || byte >= 0x80);
    let run = text.part(start..limit.min(start + 255));
    let run = run.split('\u{fffc}').next().unwrap_or_default();
    let run = run.trim_end_matches(['.', '-']);
    let mut end = run.len();
    while let Some(name) = run.get(..end).filter(|name| !name.is_empty()) {
        let (rest, last) = name.rsplit_once('.')?;
        if is_top(last) && rest.split('.').all(is_label) {
            return Some(start + end);
        }
        end = rest.len();
    }
    None
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
}

/// No top-level domain has digits unless it is punycode (RFC 3696, 2).
fn is_top(label: &str) -> bool {
    let letters = label.chars().count() >= 2 && label.chars().all(char::is_alphabetic);
    letters || label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")) && is_label(label)
}

/// `logo@2x.png` is a file.
fn scaled_image(domain: &str) -> bool {
    let Some((scale, kind)) = domain.split_once('.') else { return false };
    let scaled = scale.strip_suffix('x').is_some_and(|number| number.len() == 1 && number.as_bytes().is_ascii());
    scaled && ["png", "jpg", "jpeg", "gif", "webp", "svg", "avif"].contains(&kind.to_ascii_lowercase().as_str())
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%&'*+^_`{|}~-".contains(&byte)
}

/// What stands around an address more often than in it.
fn is_edge(byte: u8) -> bool {
    b".!#&'*`{|}~".contains(&byte)
}

fn is_barrier(text: Text<'_>, at: usize) -> bool {
    text.text.get(at..).is_some_and(|rest| rest.starts_with(|sign: char| !sign.is_ascii() && !sign.is_alphanumeric()))
}
