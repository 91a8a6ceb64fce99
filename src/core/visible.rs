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

/// The same for what somebody decides on: characters that look like others are spelled out too, letters where they stand in
/// a word that could be taken for a Latin one.
pub fn unmistakable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    look(text, |c, looks| {
        if looks != Looks::Hidden {
            out.push(c);
        }
        if looks != Looks::Plain {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    });
    out
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
    look(text, |c, looks| {
        let point = || format!("U+{:04X}", u32::from(c));
        match (looks, out.last_mut()) {
            (Looks::Hidden, _) => out.push(Piece::Hidden(point())),
            (Looks::Alike, _) => out.push(Piece::LookAlike(c.to_string(), point())),
            (Looks::Plain, Some(Piece::Plain(text))) => text.push(c),
            (Looks::Plain, _) => out.push(Piece::Plain(c.to_string())),
        }
    });
    out
}

/// How a character looks where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    Plain,
    Hidden,
    Alike,
}

/// Tells `see` of each character of `text`.
fn look(text: &str, mut see: impl FnMut(char, Looks)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let in_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != in_word).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        let letters = || run.chars().filter(|c| c.is_alphabetic());
        let passes_for_latin = letters().all(|c| c.is_ascii() || is_lookalike(c)) || letters().any(|c| c.is_ascii());
        for c in run.chars() {
            let looks = match c {
                '\n' => Looks::Plain,
                c if c.is_control() || is_invisible(c) => Looks::Hidden,
                c if is_mark(c) || passes_for_latin && is_lookalike(c) => Looks::Alike,
                _ => Looks::Plain,
            };
            see(c, looks);
        }
    }
}

/// Letters and digits that can be taken for one of ASCII: of Greek, Cyrillic, Armenian and Cherokee, and Latin ones of other
/// widths and styles, Roman numerals among them.
fn is_lookalike(c: char) -> bool {
    const ALIKE: &str = "ıɑɡΑΒΕΖΗΙΚΜΝΟΡΤΥΧαιονρυωхАВЕЅІЈКМНОРСТУХаеіјорсуѕԁԛԝһӏԼոսհօցքᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᏔᏃ";
    let styled = matches!(u32::from(c),
        0xff10..=0xff19 | 0xff21..=0xff3a | 0xff41..=0xff5a | 0x1d400..=0x1d7ff | 0x2100..=0x214f | 0x2160..=0x217f);
    ALIKE.contains(c) || styled && c.is_alphanumeric()
}

/// Marks that can be taken for the dots, dashes, slashes and colons of names, paths and addresses, whatever is around them.
fn is_mark(c: char) -> bool {
    const ALIKE: &str = "\u{2010}\u{2011}\u{2024}\u{2044}\u{2212}\u{2215}\u{2216}\u{2236}\u{29f5}\u{29f8}\u{a789}\u{fe52}\u{fe68}\u{fe6b}\u{ff0d}\u{ff0e}\u{ff0f}\u{ff20}\u{ff3c}";
    ALIKE.contains(c)
}

/// Characters of Unicode's category Cf, blanks that look like nothing, variation selectors and private use.
pub fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xa0 | 0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x2800 | 0x3000 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
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
            ("adm\u{131}n", "adm\u{131}\\u{131}n"),
            ("a\u{2215}b", "a\u{2215}\\u{2215}b"),
            ("pay\u{a0}now\u{2800}", "pay\\u{a0}now\\u{2800}"),
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
            ("\u{a0}\u{2800}", &["U+00A0", "U+2800"]),
            ("adm\u{131}n \u{261}\u{251}te \u{217f}ain", &["U+0131", "U+0261", "U+0251", "U+217F"]),
            ("\u{ff11}00 \u{1d7d0}", &["U+FF11", "U+1D7D0"]),
            (
                "\u{6f22}\u{2024}exe\u{2044}\u{2215}\u{ff0f}\u{ff0e}",
                &["U+2024", "U+2044", "U+2215", "U+FF0F", "U+FF0E"],
            ),
        ] {
            assert_eq!(doubtful(text), points, "{text}");
        }
    }
}
