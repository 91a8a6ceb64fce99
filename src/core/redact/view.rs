//! Readings of a text, with the way back: JSON escapes resolved, look-alike signs folded, URL and HTML codes resolved.
//!
//! A detector reads a view; what it finds is replaced in the source the view was made of. Nothing is found here.

use memchr::{memchr, memchr2, memchr3};
use std::ops::Range;

/// A reading of a source text.
#[derive(Debug, Default)]
pub(super) struct View {
    text: String,
    pieces: Vec<Piece>,
}

/// A stretch of the view and the stretch of the source it stands for.
#[derive(Debug, Clone, Copy)]
struct Piece {
    view: usize,
    source: usize,
    source_end: usize,
    /// Byte for byte the same; otherwise the piece stands for the whole of its source.
    exact: bool,
}

impl View {
    /// As detectors read it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where a span of the view stands in the source.
    pub(super) fn source(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.piece(span.start).map_or(0, |piece| match piece.exact {
            true => piece.source + (span.start - piece.view),
            false => piece.source,
        });
        let Some(last) = span.end.checked_sub(1).filter(|last| *last >= span.start) else { return start..start };
        let end = self.piece(last).map_or(start, |piece| match piece.exact {
            true => piece.source + (span.end - piece.view),
            false => piece.source_end,
        });
        start..end.max(start)
    }

    /// Resolves the escapes of a JSON string's body. A lone surrogate, which JSON allows and UTF-8 does not, reads as
    /// U+FFFD.
    pub(super) fn unescape(body: &str) -> Self {
        let mut view = Self::default();
        let mut at = 0;
        while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
            let plain = rest.find('\\').unwrap_or(rest.len());
            view.exact(at, rest.get(..plain).unwrap_or_default());
            at += plain;
            let Some(escape) = body.get(at..).filter(|escape| !escape.is_empty()) else { break };
            let (sign, length) = escaped(escape);
            view.replaced(at..at + length, sign.encode_utf8(&mut [0; 4]));
            at += length;
        }
        view
    }

    /// Folds digits of other scripts, full-width and mathematical signs, odd spaces and dashes to ASCII, leaves signs
    /// without width out, and puts U+FFFC in the place of each of `tokens`, so that nothing is found inside them.
    /// `None` where the text has nothing of all this.
    pub(super) fn fold(text: &str, tokens: &[Range<usize>]) -> Option<Self> {
        if tokens.is_empty() && (text.is_ascii() || !text.chars().any(|sign| folded(sign).is_some())) {
            return None;
        }
        let mut view = Self::default();
        let mut at = 0;
        for token in tokens {
            view.fold_part(at, text.get(at..token.start).unwrap_or_default());
            view.replaced(token.clone(), BARRIER);
            at = token.end;
        }
        view.fold_part(at, text.get(at..).unwrap_or_default());
        Some(view)
    }

    fn fold_part(&mut self, offset: usize, part: &str) {
        let mut plain = 0;
        for (at, sign) in part.char_indices().filter(|(_, sign)| !sign.is_ascii()) {
            let Some(fold) = folded(sign) else { continue };
            self.exact(offset + plain, part.get(plain..at).unwrap_or_default());
            plain = at + sign.len_utf8();
            if let Fold::Into(ascii) = fold {
                self.replaced(offset + at..offset + plain, ascii.encode_utf8(&mut [0; 4]));
            }
        }
        self.exact(offset + plain, part.get(plain..).unwrap_or_default());
    }

    /// Resolves `%40`, `&#64;`, `&#x40;`, `&commat;`, `\u0040` and their like, once; in what may be a URL, a plus between
    /// signs is a space. `None` where there are none.
    pub(super) fn resolve_codes(text: &str) -> Option<Self> {
        let mut view = Self::default();
        let (mut plain, mut at) = (0, 0);
        let bytes = text.as_bytes();
        let url = memchr2(b'?', b'&', bytes).is_some() && memchr(b'=', bytes).is_some();
        let begins = |rest: &[u8]| {
            let code = memchr3(b'%', b'&', b'\\', rest);
            let until = rest.get(..code.unwrap_or(rest.len())).unwrap_or_default();
            if url { memchr(b'+', until).or(code) } else { code }
        };
        while let Some(offset) = bytes.get(at..).and_then(begins) {
            at += offset;
            let Some((sign, length)) = text.get(at..).and_then(coded).or_else(|| spaced(text, at)) else {
                at += 1;
                continue;
            };
            view.exact(plain, text.get(plain..at).unwrap_or_default());
            view.replaced(at..at + length, sign.encode_utf8(&mut [0; 4]));
            at += length;
            plain = at;
        }
        if view.pieces.is_empty() {
            return None;
        }
        view.exact(plain, text.get(plain..).unwrap_or_default());
        Some(view)
    }

    fn piece(&self, at: usize) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.view <= at);
        self.pieces.get(after.checked_sub(1)?)
    }

    fn exact(&mut self, source: usize, text: &str) {
        if !text.is_empty() {
            let view = self.text.len();
            self.pieces.push(Piece { view, source, source_end: source + text.len(), exact: true });
            self.text.push_str(text);
        }
    }

    fn replaced(&mut self, source: Range<usize>, text: &str) {
        let view = self.text.len();
        self.pieces.push(Piece { view, source: source.start, source_end: source.end, exact: false });
        self.text.push_str(text);
    }
}

/// Stands for one of our own replacements while a text is searched: no part of a word, a number or an address.
const BARRIER: &str = "\u{fffc}";

/// The sign that a backslash at the start of `text` introduces, and the bytes that say it.
fn escaped(text: &str) -> (char, usize) {
    match text.as_bytes().get(1) {
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'u') => unicode(text),
        Some(sign) if sign.is_ascii() => (char::from(*sign), 2),
        _ => ('\\', 1),
    }
}

/// `\u` and four hexadecimal digits, or two of them that are one sign (RFC 8259 section 7).
fn unicode(text: &str) -> (char, usize) {
    let Some(first) = hex_unit(text, 2) else { return ('\\', 1) };
    if let Some(sign) = char::from_u32(first) {
        return (sign, 6);
    }
    let second = text.get(6..8).filter(|lead| *lead == "\\u").and_then(|_| hex_unit(text, 8));
    match second {
        Some(low) if (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&low) => {
            let sign = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(sign).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

fn hex_unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// The sign that a URL or HTML code at the start of `text` stands for, and the code's length.
fn coded(text: &str) -> Option<(char, usize)> {
    if let Some(rest) = text.strip_prefix('%') {
        let digits = rest.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        return if code < 0x80 { Some((visible(code)?, 3)) } else { percent_coded(text, code) };
    }
    if let Some(rest) = text.strip_prefix('\\') {
        let (skip, count) = if rest.starts_with('x') { (2, 2) } else { (2, 4) };
        let digits = text.get(skip..skip + count).filter(|_| rest.starts_with(['x', 'u']))?;
        let code =
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())??;
        return Some((visible(code)?, skip + count));
    }
    let entity = text.get(1..text.bytes().take(12).position(|byte| byte == b';')?)?;
    let sign = match entity.strip_prefix('#') {
        Some(number) => visible(match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        })?,
        None => NAMED.iter().find(|(name, _)| *name == entity).map(|(_, sign)| *sign)?,
    };
    Some((sign, entity.len() + 2))
}

/// A sign that detectors look at; one that is folded is read as what it is folded to.
fn visible(code: u32) -> Option<char> {
    let sign = char::from_u32(code)?;
    match folded(sign) {
        Some(Fold::Into(ascii)) => Some(ascii),
        _ => Some(sign).filter(|sign| *sign == ' ' || sign.is_ascii_graphic() || sign.is_alphabetic()),
    }
}

/// A sign of several bytes in UTF-8, the first of which is `lead` (RFC 3986, 2.5).
fn percent_coded(text: &str, lead: u32) -> Option<(char, usize)> {
    let count = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let byte = |place: usize| {
        let code = text.get(3 * place..3 * place + 3)?.strip_prefix('%')?;
        code.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(code, 16).ok())?
    };
    let bytes: Vec<u8> = (0..count).map_while(byte).collect();
    let sign = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    Some((visible(u32::from(sign))?, 3 * count))
}

/// A plus that stands for a space, as forms write it (WHATWG URL, 5.1).
fn spaced(text: &str, at: usize) -> Option<(char, usize)> {
    let inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"()%./-".contains(byte));
    let bytes = text.as_bytes();
    let between = inside(bytes.get(at.checked_sub(1)?)) && inside(bytes.get(at + 1));
    (bytes.get(at) == Some(&b'+') && between).then_some((' ', 1))
}

/// The entities of HTML that stand inside what detectors look for.
const NAMED: [(&str, char); 9] = [
    ("commat", '@'),
    ("period", '.'),
    ("plus", '+'),
    ("lowbar", '_'),
    ("hyphen", '-'),
    ("dash", '-'),
    ("nbsp", ' '),
    ("colon", ':'),
    ("sol", '/'),
];

/// What becomes of a sign.
enum Fold {
    /// It is read as this one.
    Into(char),
    /// It has no width and is not read.
    Away,
}

/// `None` for a sign that is read as it is. After NFKC (UAX 15) for digits, Latin letters and signs, and beyond it for
/// what has no width.
fn folded(sign: char) -> Option<Fold> {
    let code = u32::from(sign);
    match code {
        0..=0x9f | 0xba..=0x34e => None,
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180e | 0x200b..=0x200f => {
            Some(Fold::Away)
        }
        0x202a..=0x202e | 0x2060..=0x206f | 0xfe00..=0xfe0f | 0xfeff | 0xe0000..=0xe01ef => Some(Fold::Away),
        0xa0 | 0x1680 | 0x2000..=0x200a | 0x202f | 0x205f | 0x3000 => Some(Fold::Into(' ')),
        0x2010..=0x2015 | 0x2212 | 0xfe58 | 0xfe63 => Some(Fold::Into('-')),
        0x2024 | 0x3002 | 0xfe52 | 0xff61 => Some(Fold::Into('.')),
        0xfe6b => Some(Fold::Into('@')),
        0xfe62 => Some(Fold::Into('+')),
        0xff01..=0xff5e => ascii(code - 0xff01 + 0x21),
        0x1d400..=0x1d6a3 => letter((code - 0x1d400) % 52),
        0x1d7ce..=0x1d7ff => ascii(0x30 + (code - 0x1d7ce) % 10),
        0xb2 | 0xb3 => ascii(code - 0x80),
        0xb9 => ascii(0x31),
        0x2070 | 0x2074..=0x2079 => ascii(code - 0x2040),
        0x2080..=0x2089 => ascii(code - 0x2050),
        0x2460..=0x2468 => ascii(code - 0x2460 + 0x31),
        0x24ea => ascii(0x30),
        _ => {
            let after = ZEROS.partition_point(|zero| *zero <= code);
            let zero = ZEROS.get(after.checked_sub(1)?)?;
            (code - zero < 10).then(|| ascii(0x30 + code - zero))?
        }
    }
}

fn ascii(code: u32) -> Option<Fold> {
    char::from_u32(code).map(Fold::Into)
}

fn letter(position: u32) -> Option<Fold> {
    ascii(if position < 26 { 0x41 + position } else { 0x61 + position - 26 })
}

/// The zeros of the scripts that have decimal digits (Unicode, general category Nd), in order.
const ZEROS: [u32; 58] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450,
    0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16b50, 0x1e140,
    0x1e2f0, 0x1e950, 0x1fbf0,
];
