//! Looking for a few values in much text, whatever the case of its letters: for three bytes of each, by vector
//! instructions, and for the whole value where these are met. An automaton looks at every byte, and costs as much as all
//! else that is done to a long answer.

use aho_corasick::packed::{Config, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, Span};
use std::collections::BTreeMap;

/// The bytes of a value that are looked for first.
const WINDOW: usize = 3;

/// How many of these there may be for vector instructions to be of use.
const MOST: usize = 64;

/// Beyond so many of them in vain, and one more for each `SELDOM` bytes, the text is one that has them all over.
const FREE: usize = 64;

/// See `FREE`.
const SELDOM: usize = 256;

/// Finds values.
#[derive(Debug)]
pub(super) struct Search {
    /// Looks at every byte.
    whole: AhoCorasick,
    windows: Option<Windows>,
}

#[derive(Debug)]
struct Windows {
    searcher: Searcher,
    /// What may stand where a window is, by the number of the window.
    places: Vec<Vec<Place>>,
}

/// A value, in which a window begins at `offset`.
#[derive(Debug)]
struct Place {
    value: Vec<u8>,
    offset: usize,
}

impl Search {
    /// Finds `values`, none of which is empty; `None` where they are too many.
    pub(super) fn new(values: &[String]) -> Option<Self> {
        let whole = AhoCorasickBuilder::new().ascii_case_insensitive(true).build(values).ok()?;
        Some(Self { whole, windows: Windows::new(values) })
    }

    /// Whether one of the values is in `text`.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        let quickly = self.windows.as_ref().and_then(|windows| windows.is_match(text));
        quickly.unwrap_or_else(|| self.whole.is_match(text))
    }
}

impl Windows {
    /// `None` where a value is shorter than a window, there are too many, or this machine has no such instructions.
    fn new(values: &[String]) -> Option<Self> {
        let mut windows: BTreeMap<Vec<u8>, Vec<Place>> = BTreeMap::new();
        for value in values {
            let all = value.as_bytes().windows(WINDOW).enumerate();
            let (offset, fewest) = all.min_by_key(|(_, window)| spellings(window).len())?;
            for spelling in spellings(fewest) {
                windows.entry(spelling).or_default().push(Place { value: value.as_bytes().to_vec(), offset });
            }
        }
        if windows.len() > MOST {
            return None;
        }
        let searcher = Config::new().builder().extend(windows.keys()).build()?;
        Some(Self { searcher, places: windows.into_values().collect() })
    }

    /// Whether one of the values is in `text`; `None` where windows are found too often for this to be a quick way.
    fn is_match(&self, text: &[u8]) -> Option<bool> {
        let (mut start, mut left) = (0, FREE + text.len() / SELDOM);
        while let Some(found) = self.searcher.find_in(text, Span { start, end: text.len() }) {
            let places = self.places.get(found.pattern().as_usize()).into_iter().flatten();
            if places.into_iter().any(|place| place.is_at(text, found.start())) {
                return Some(true);
            }
            // The next one may begin within this one.
            start = found.start() + 1;
            left = left.checked_sub(1)?;
        }
        Some(false)
    }
}

impl Place {
    /// Whether its value is in `text` with the window at `at`.
    fn is_at(&self, text: &[u8], at: usize) -> bool {
        let found = at.checked_sub(self.offset).and_then(|start| text.get(start..)?.get(..self.value.len()));
        found.is_some_and(|found| found.eq_ignore_ascii_case(&self.value))
    }
}

/// The `window` in all spellings that letters have.
fn spellings(window: &[u8]) -> Vec<Vec<u8>> {
    window.iter().fold(vec![Vec::new()], |before, byte| {
        let mut cases = vec![byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        cases.dedup();
        before.iter().flat_map(|start| cases.iter().map(|case| [start.as_slice(), &[*case]].concat())).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    fn text() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[aAbB1%]{0,200}").unwrap()
    }

    proptest! {
        #[test]
        fn both_ways_find_the_same(
            values in proptest::collection::vec("[aAbB1%]{3,9}", 1..5),
            text in text(),
            filler in any::<u8>(),
        ) {
            let search = Search::new(&values).unwrap();
            let mut long = text.clone().into_bytes();
            long.extend(vec![filler; 4096]);
            long.extend(text.bytes());
            for text in [text.as_bytes(), &long] {
                prop_assert_eq!(search.is_match(text), search.whole.is_match(text));
            }
        }
    }

    #[test]
    fn a_text_that_is_full_of_windows_is_left_to_the_other_way() {
        let search = Search::new(&["a-1-2-3-b".to_owned()]).unwrap();
        let windows = search.windows.as_ref().unwrap();
        let mut text = b"-1-2-".repeat(5000);
        assert_eq!(windows.is_match(&text), None);
        assert!(!search.is_match(&text));
        text.extend(b"A-1-2-3-B");
        assert!(search.is_match(&text));
    }

    #[test]
    fn what_is_too_short_for_a_window_is_found_all_the_same() {
        let search = Search::new(&["ab".to_owned()]).unwrap();
        assert!(search.windows.is_none() && search.is_match(b"xAbx") && !search.is_match(b"a b"));
    }
}
