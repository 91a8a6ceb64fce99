//! Text of others for a terminal: nothing in it passes unseen, and nothing speaks to the terminal.

use std::fmt::Write as _;

/// `text` with everything in it that can be overlooked, reorders what is read, or speaks to a terminal spelled out. Line
/// feeds stay: JSON has none in its strings.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && (c.is_control() || is_invisible(c)) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters of Unicode's category Cf, blanks that look like nothing, variation selectors and private use.
pub fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x3000 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
        | 0xfff0..=0xfffb | 0xe000..=0xf8ff | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff | 0xf0000..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_an_upstream_says_passes_unseen() {
        for (said, printed) in [
            ("plain text, é and 漢\n", "plain text, é and 漢\n"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}\u{feff}b", "a\\u{200b}\\u{feff}b"),
            ("\u{e0041}\u{9b}\r", "\\u{e0041}\\u{9b}\\u{d}"),
        ] {
            assert_eq!(visible(said), printed);
        }
    }
}
