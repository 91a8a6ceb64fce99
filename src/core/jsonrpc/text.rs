//! Strings of JSON: reading one token, writing one, and what an escape stands for.

use std::borrow::Cow;

/// The text that the string token `raw` stands for, quotes included in `raw`; `None` where it is not such a token.
pub fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut rest = std::str::from_utf8(inner).ok()?;
    let mut text = String::new();
    while let Some((plain, special)) = rest.find(is_special).and_then(|at| rest.split_at_checked(at)) {
        let (decoded, length) = escape(special.strip_prefix('\\')?.as_bytes())?;
        text.push_str(plain);
        text.push(decoded);
        rest = special.get(1 + length..)?;
    }
    if text.is_empty() && rest.len() == inner.len() {
        return Some(Cow::Borrowed(rest));
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// `text` as a string token, quotes included.
pub fn quote(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// The object of `members`, whose values are raw JSON.
pub fn object(members: &[(&str, &[u8])]) -> Vec<u8> {
    let members: Vec<_> = members.iter().map(|(key, value)| [&quote(key), &b":"[..], value].concat()).collect();
    [b"{", &members.join(&b","[..])[..], b"}"].concat()
}

/// Whether two raw ids are the same id: the same integer, or strings that stand for the same text.
pub fn same_id(one: &[u8], other: &[u8]) -> bool {
    match (string(one), string(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one == other,
        _ => false,
    }
}

/// `text` with the JSON escapes in it resolved, wherever they stand; what is none stays. For searching: the outcome is no
/// JSON any more.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let resolved = if *first == b'\\' { escape(after) } else { None };
        rest = match resolved {
            Some((c, taken)) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                after.get(taken..).unwrap_or_default()
            }
            None => {
                out.push(*first);
                after
            }
        };
    }
    out
}

fn is_special(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\u{1f}')
}

/// What the escape stands for that `rest` goes on with after its backslash, and how many bytes of `rest` it takes.
/// `None` for an unknown escape and for half a surrogate pair (RFC 8259 section 8.2).
pub(super) fn escape(rest: &[u8]) -> Option<(char, usize)> {
    let simple = match rest.first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(rest),
        _ => return None,
    };
    Some((simple, 1))
}

fn unicode(rest: &[u8]) -> Option<(char, usize)> {
    let first = four_digits(rest.get(1..5)?)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first)?, 5));
    }
    let second = four_digits(rest.get(5..11)?.strip_prefix(b"\\u")?)?;
    if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 11))
}

fn four_digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}
