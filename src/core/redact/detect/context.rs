//! What stands around a value and says what it is: its key, the words before it, the head of its column.
//!
//! Many numbers with check digits are as short as an order's; only beside their name are they what they look like.

use super::text::{Context, LINE, Table, Text, words_of};

/// Names of a thing: lower case, words apart by one space. One that ends with `*` may begin a longer word, as `reisepass*`
/// does in `Reisepassnummer`.
pub(super) struct Phrases {
    list: &'static [&'static str],
    /// One bit for each of their first signs, by its last five bits: most words begin none of them.
    begins: u32,
}

impl Phrases {
    /// These names.
    #[expect(
        clippy::indexing_slicing,
        reason = "const evaluation: a wrong index is a compile error, and iterators are not const"
    )]
    pub(super) const fn new(list: &'static [&'static str]) -> Self {
        let (mut begins, mut at) = (0, 0);
        while at < list.len() {
            begins |= bit(list[at].as_bytes()[0]);
            at += 1;
        }
        Self { list, begins }
    }

    /// Where the one of them that ends last stands in the words.
    fn last(&self, words: &[u8]) -> Option<(usize, usize)> {
        let mut last: Option<(usize, usize)> = None;
        let mut start = true;
        for (at, sign) in words.iter().enumerate() {
            if start && self.begins & bit(*sign) != 0 {
                let rest = words.get(at..).unwrap_or_default();
                let lengths = self.list.iter().filter_map(|phrase| standing(rest, phrase));
                let end = lengths.max().map(|length| at + length);
                last = end.filter(|end| last.is_none_or(|(_, before)| before <= *end)).map(|end| (at, end)).or(last);
            }
            start = *sign == b' ';
        }
        last
    }
}

const fn bit(sign: u8) -> u32 {
    1 << (sign & 31)
}

/// The length of the phrase, if the words begin with it.
fn standing(words: &[u8], phrase: &str) -> Option<usize> {
    let (phrase, begins) = phrase.strip_suffix('*').map_or((phrase, false), |phrase| (phrase, true));
    let ends = begins || words.get(phrase.len()).is_none_or(|sign| *sign == b' ');
    (ends && words.starts_with(phrase.as_bytes())).then_some(phrase.len())
}

/// No names.
pub(super) const NONE: &Phrases = &Phrases::new(&[]);

/// How far before a value its name may stand, in bytes.
const LEAD: usize = 48;

/// Whether the value at `at` stands beside one of `phrases`, with none of `others` between.
pub(super) fn names(text: Text<'_>, at: usize, phrases: &Phrases, others: &Phrases) -> bool {
    key_says(text.context, phrases) || said(text, at, phrases, others)
}

/// The same without the keys.
pub(super) fn said(text: Text<'_>, at: usize, phrases: &Phrases, others: &Phrases) -> bool {
    let says = |words: &[u8]| {
        let Some((_, end)) = phrases.last(words) else { return false };
        others.last(words.get(end..).unwrap_or_default()).is_none()
    };
    at > 0
        && (says(Words::of(before(text, at, LEAD)).as_bytes())
            || head(text, at).is_some_and(|head| says(Words::of(head).as_bytes())))
}

/// Words of a key that make it one about the thing, or of a part of it.
const BESIDE: [&str; 12] =
    ["id", "type", "count", "model", "total", "version", "timestamp", "at", "length", "hash", "status", "country"];

/// Keys that leave it to the key above to say what they hold.
const GENERIC: [&str; 6] = ["number", "value", "text", "no", "raw", "code"];

/// Whether the keys above a value name it.
pub(super) fn key_says(context: Context<'_>, phrases: &Phrases) -> bool {
    let says = |key: &str| {
        let words = Words::of(key.as_bytes());
        let words = words.as_bytes();
        let Some((start, end)) = phrases.last(words) else { return false };
        let rest = [words.get(..start), words.get(end..)];
        let mut rest = rest.into_iter().flatten().flat_map(|words| words.split(|sign| *sign == b' '));
        !rest.any(|word| BESIDE.iter().any(|beside| beside.as_bytes() == word))
    };
    let generic = || words_of(context.key).all(|word| GENERIC.iter().any(|known| known.eq_ignore_ascii_case(word)));
    !context.key.is_empty() && says(context.key) || !context.outer.is_empty() && generic() && says(context.outer)
}

fn before(text: Text<'_>, at: usize, most: usize) -> &[u8] {
    text.text.as_bytes().get(at.saturating_sub(most)..at).unwrap_or_default()
}

/// The head of the column that `at` stands in, where the text begins with the line of heads of a table.
fn head(text: Text<'_>, at: usize) -> Option<&[u8]> {
    let bytes = text.text.as_bytes();
    let start = text.run_back(at, LINE, |byte| byte != b'\n');
    let Table { heads, sign } = (text.before(start) == b'\n').then(|| Table::of(text.text))??;
    if start <= heads {
        return None;
    }
    let heads = bytes.get(..heads)?;
    let mut quoted = false;
    let column = bytes.get(start..at)?.iter().filter(|byte| {
        quoted ^= **byte == b'"';
        **byte == sign && !quoted
    });
    heads.split(|byte| *byte == sign).nth(column.count())
}

/// The words of a text in lower case, one space before and behind each.
struct Words {
    signs: [u8; 2 * LEAD],
    length: usize,
}

impl Words {
    fn of(bytes: &[u8]) -> Self {
        let mut words = Self { signs: [b' '; 2 * LEAD], length: 1 };
        let mut small = false;
        for byte in bytes.iter().copied().take(LEAD) {
            let letter = byte.is_ascii_alphabetic() || byte >= 0x80;
            if !letter || small && byte.is_ascii_uppercase() {
                words.push(b' ');
            }
            if letter {
                words.push(byte.to_ascii_lowercase());
            }
            small = byte.is_ascii_lowercase();
        }
        words.push(b' ');
        words
    }

    fn push(&mut self, sign: u8) {
        let again = sign == b' ' && self.length.checked_sub(1).and_then(|last| self.signs.get(last)) == Some(&b' ');
        if let Some(free) = self.signs.get_mut(self.length).filter(|_| !again) {
            *free = sign;
            self.length += 1;
        }
    }

    /// A lead may begin inside a sign beyond ASCII, which is then a part of a word that is no name.
    fn as_bytes(&self) -> &[u8] {
        self.signs.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, key: &str, phrases: &Phrases) -> bool {
        let at = text.find('#').unwrap_or(0);
        names(Text::new(text, Context { key, outer: "" }), at, phrases, &Phrases::new(&["expires"]))
    }

    #[test]
    fn a_name_is_a_key_a_word_before_or_the_head_of_a_column() {
        for (text, key, expected) in [
            ("BSN: #", "", true),
            ("my bsn is (#", "", true),
            ("bsnx #", "", false),
            ("Reisepassnummer #", "", true),
            ("passport expires #", "", false),
            ("#", "bsn", true),
            ("#", "customerBsn", true),
            ("#", "bsn_hash", false),
            ("#", "tax_id", true),
            ("#", "tax_id_count", false),
            ("a,bsn,b\n1,#", "", true),
            ("a,bsn,b\n\"1,2\",#", "", true),
            ("a,bsn,b\na cell that is so long that the head is far away from what comes,#", "", true),
            ("a,b,bsn\na cell that is so long that the head is far away from what comes,#", "", false),
            ("| a | BSN |\n|---|---|\n| x | #", "", true),
            ("bsn of which nothing more is said in the next forty-eight bytes, whatever it is #", "", false),
            ("customerBsn=#", "", true),
        ] {
            assert_eq!(
                named(text, key, &Phrases::new(&["bsn", "reisepass*", "passport", "tax id"])),
                expected,
                "{key} {text}"
            );
        }
    }
}
