//! What stands around a value and says what it is: its key, the words before it, the head of its column.
//!
//! Many numbers with check digits are as short as an order's; only beside their name are they what they look like.

use super::text::{Context, Text, words_of};

/// Names of a thing: lower case, words apart by one space. One that ends with `*` may begin a longer word, as `reisepass*`
/// does in `Reisepassnummer`.
pub(super) type Phrases = [&'static str];

/// How far before a value its name may stand, in bytes.
const LEAD: usize = 48;

/// The longest line of a table whose columns are counted, in bytes.
const LINE: usize = 512;

/// Whether the value at `at` stands beside one of `phrases`, with none of `others` between.
pub(super) fn names(text: Text<'_>, at: usize, phrases: &Phrases, others: &Phrases) -> bool {
    key_says(text.context, phrases) || said(text, at, phrases, others)
}

/// The same without the keys.
pub(super) fn said(text: Text<'_>, at: usize, phrases: &Phrases, others: &Phrases) -> bool {
    let says = |words: &str| {
        let Some(end) = last_end(words, phrases) else { return false };
        last_end(words.get(end..).unwrap_or_default(), others).is_none()
    };
    says(Words::of(before(text, at, LEAD)).as_str())
        || head(text, at).is_some_and(|head| says(Words::of(head).as_str()))
}

/// Words of a key that make it one about the thing, or of a part of it.
const BESIDE: [&str; 12] =
    ["id", "type", "count", "model", "total", "version", "timestamp", "at", "length", "hash", "status", "country"];

/// Keys that leave it to the key above to say what they hold.
const GENERIC: [&str; 6] = ["number", "value", "text", "no", "raw", "code"];

fn key_says(context: Context<'_>, phrases: &Phrases) -> bool {
    let says = |key: &str| {
        let words = Words::of(key.as_bytes());
        let words = words.as_str();
        let Some(found) = found(words, phrases) else { return false };
        let rest = [words.get(..found.0), words.get(found.1..)];
        !rest.into_iter().flatten().flat_map(str::split_whitespace).any(|word| BESIDE.contains(&word))
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
    let heads = bytes.iter().take(LINE).position(|byte| *byte == b'\n').and_then(|end| bytes.get(..end))?;
    let start = text.run_back(at, LINE, |byte| byte != b'\n');
    if start <= heads.len() || text.before(start) != b'\n' {
        return None;
    }
    let sign = *[b'\t', b';', b'|', b','].iter().find(|sign| heads.contains(sign))?;
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

    /// A lead may begin inside a sign beyond ASCII: what stands before the first whole one says nothing.
    fn as_str(&self) -> &str {
        let mut signs = self.signs.get(..self.length).unwrap_or_default();
        loop {
            match std::str::from_utf8(signs) {
                Ok(words) => return words,
                Err(error) => signs = signs.get(error.valid_up_to() + 1..).unwrap_or_default(),
            }
        }
    }
}

/// Where one of the phrases stands in the words, the last of them.
fn found(words: &str, phrases: &Phrases) -> Option<(usize, usize)> {
    let standing = |phrase: &str| {
        let bytes = words.as_bytes();
        let (phrase, begins) = phrase.strip_suffix('*').map_or((phrase, false), |phrase| (phrase, true));
        let whole = |at: &usize| {
            let ends = begins || bytes.get(at + phrase.len()).is_none_or(|sign| *sign == b' ');
            at.checked_sub(1).is_none_or(|before| bytes.get(before) == Some(&b' ')) && ends
        };
        let at = words.rmatch_indices(phrase).map(|(at, _)| at).find(whole)?;
        Some((at, at + phrase.len()))
    };
    phrases.iter().filter_map(|phrase| standing(phrase)).max_by_key(|(_, end)| *end)
}

fn last_end(words: &str, phrases: &Phrases) -> Option<usize> {
    found(words, phrases).map(|(_, end)| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, key: &str, phrases: &Phrases) -> bool {
        let at = text.find('#').unwrap_or(0);
        names(Text { text, context: Context { key, outer: "" } }, at, phrases, &["expires"])
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
            assert_eq!(named(text, key, &["bsn", "reisepass*", "passport", "tax id"]), expected, "{key} {text}");
        }
    }
}
