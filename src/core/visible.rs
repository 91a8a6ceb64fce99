//! Text of others for people to read: nothing in it passes unseen, speaks to a terminal, or looks like what it is not.

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

/// The same for what somebody decides on: letters of other scripts that look like Latin ones are spelled out too, where they
/// stand in a word that could be taken for a Latin one.
pub fn unmistakable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let letters = || word.chars().filter(|c| c.is_alphabetic());
        let passes_for_latin = letters().all(|c| c.is_ascii() || is_lookalike(c)) || letters().any(|c| c.is_ascii());
        if passes_for_latin && letters().any(is_lookalike) {
            for c in word.chars() {
                if is_lookalike(c) {
                    let _ = write!(out, "{c}\\u{{{:x}}}", u32::from(c));
                } else {
                    out.push(c);
                }
            }
        } else {
            out.push_str(word);
        }
    }
    visible(&out)
}

/// A part of a text, by how much a reader can trust their eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it reads.
    Plain(String),
    /// What can't be seen: its code point.
    Hidden(String),
    /// A letter that looks like another, and its code point.
    LookAlike(String, String),
}

/// `text` in parts, for pages: what [`unmistakable`] spells out is told apart by its looks.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let in_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != in_word).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        let letters = || run.chars().filter(|c| c.is_alphabetic());
        let passes_for_latin = letters().all(|c| c.is_ascii() || is_lookalike(c)) || letters().any(|c| c.is_ascii());
        for c in run.chars() {
            push(&mut out, c, passes_for_latin && is_lookalike(c));
        }
    }
    out
}

fn push(out: &mut Vec<Piece>, c: char, odd: bool) {
    let point = format!("U+{:04X}", u32::from(c));
    if c != '\n' && (c.is_control() || is_invisible(c)) {
        out.push(Piece::Hidden(point));
    } else if odd {
        out.push(Piece::LookAlike(c.to_string(), point));
    } else if let Some(Piece::Plain(text)) = out.last_mut() {
        text.push(c);
    } else {
        out.push(Piece::Plain(c.to_string()));
    }
}

/// Letters of Greek, Cyrillic, Armenian and Cherokee, and Latin ones of other widths and styles: those that can be taken for
/// one of ASCII.
fn is_lookalike(c: char) -> bool {
    const ALIKE: &str = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαιονρυωхАВЕЅІЈКМНОРСТУХаеіјорсуѕԁԛԝһӏԼոսհօցքᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᏔᏃ";
    ALIKE.contains(c) || matches!(u32::from(c), 0xff21..=0xff3a | 0xff41..=0xff5a | 0x1d400..=0x1d7ff | 0x2100..=0x214f)
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
    fn letters_that_look_like_others_are_spelled_out() {
        for (said, printed) in [
            ("plain words, naïve, 漢字", "plain words, naïve, 漢字"),
            ("привет, мир", "привет, мир"),
            ("p\u{430}ypal", "p\u{430}\\u{430}ypal"),
            ("\u{441}\u{43e}\u{440}\u{443}", "\u{441}\\u{441}\u{43e}\\u{43e}\u{440}\\u{440}\u{443}\\u{443}"),
            ("\u{ff41}dmin \u{202e}x", "\u{ff41}\\u{ff41}dmin \\u{202e}x"),
        ] {
            assert_eq!(unmistakable(said), printed);
        }
    }

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

    fn doubtful(text: &str) -> Vec<String> {
        let of = |piece: Piece| match piece {
            Piece::Plain(_) => None,
            Piece::Hidden(point) | Piece::LookAlike(_, point) => Some(point),
        };
        pieces(text).into_iter().filter_map(of).collect()
    }

    #[test]
    fn a_page_tells_letters_apart_that_look_alike() {
        for plain in ["plain.text", "Zürich café", "Привет", "漢字", "naïve", "12:30\n"] {
            assert_eq!(doubtful(plain), [""; 0], "{plain}");
            assert_eq!(pieces(plain), [Piece::Plain(plain.to_owned())]);
        }
        for (text, points) in [
            ("p\u{430}ypal", &["U+0430"][..]),
            ("\u{430}\u{440}\u{440}", &["U+0430", "U+0440", "U+0440"]),
            ("\u{ff41}dmin", &["U+FF41"]),
            ("\u{1d41a}", &["U+1D41A"]),
            ("a\u{202e}b\u{200b}", &["U+202E", "U+200B"]),
        ] {
            assert_eq!(doubtful(text), points, "{text}");
        }
    }
}
