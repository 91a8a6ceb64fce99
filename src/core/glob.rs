//! Globs over names: `*` stands for any characters, `?` for one. Whole string, case-sensitive, no other signs.

use std::fmt;

/// A compiled glob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Glob {
    pattern: String,
    literal: bool,
    /// What a text must have to match at all: most texts that do not are told by this alone.
    needs: Needs,
}

/// Which bytes there are, each as one of 64 bits, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Needs {
    bytes: u64,
    length: usize,
}

impl Needs {
    fn of(bytes: impl Iterator<Item = u8>) -> Self {
        bytes.fold(Self { bytes: 0, length: 0 }, |needs, byte| Self {
            bytes: needs.bytes | 1 << (byte % 64),
            length: needs.length + 1,
        })
    }

    /// Whether `text` may have all of it. May err on the side of yes.
    fn may_be_in(self, text: &str) -> bool {
        self.length <= text.len() && self.bytes & !Self::of(text.bytes()).bytes == 0
    }
}

impl Glob {
    /// Any text is a glob; one without `*` and `?` matches itself alone.
    pub fn new(pattern: impl Into<String>) -> Self {
        let pattern = pattern.into();
        let literal = !pattern.contains(['*', '?']);
        let needs = Needs::of(pattern.bytes().filter(|byte| !matches!(byte, b'*' | b'?')));
        Self { pattern, literal, needs }
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        if self.literal {
            return self.pattern == text;
        }
        self.needs.may_be_in(text) && wildcard(&self.pattern, text)
    }

    /// Whether it is a plain name.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

/// Linear in practice: on a mismatch only the last star is tried again, one character later.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut last_star = None;
    loop {
        let at = pattern.clone();
        match pattern.next() {
            Some('*') => {
                last_star = Some((pattern.clone(), text.clone()));
                continue;
            }
            Some(wanted) if text.next().is_some_and(|found| wanted == '?' || wanted == found) => continue,
            None if at.as_str().is_empty() && text.as_str().is_empty() => return true,
            _ => {}
        }
        let Some((after_star, star_text)) = last_star.as_mut() else { return false };
        if star_text.next().is_none() {
            return false;
        }
        pattern = after_star.clone();
        text = star_text.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_the_whole_string() {
        for (pattern, text, expected) in [
            ("crm.get_*", "crm.get_user", true),
            ("crm.get_*", "crm.get_", true),
            ("crm.get_*", "xcrm.get_user", false),
            ("crm.get", "crm.get_user", false),
            ("*", "", true),
            ("*", "anything at all", true),
            ("*.delete_*", "crm.delete_user", true),
            ("*.delete_*", "crm.undelete", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("Crm.*", "crm.x", false),
            ("*é*", "aéc", true),
            ("*é*", "aec", false),
            ("a*a", "a", false),
            ("a*?", "aé", true),
            ("*q", "1", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }
}
