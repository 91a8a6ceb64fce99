//! Values that may be in no answer at all, such as the secret that the gateway shows its upstreams: found by what they
//! are, not by what they look like, in every spelling that JSON, URLs and base64 have for them.

mod search;

use self::search::Search;
use crate::jsonrpc::unescape;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::borrow::Cow;
use std::sync::Arc;

/// How many times JSON may stand in JSON.
const LEVELS: usize = 4;

/// The shortest encoded spelling that is looked for: a shorter one is found everywhere.
const SHORTEST: usize = 8;

/// Values that may be in no answer.
#[derive(Clone, Default)]
pub struct Unseen(Option<Arc<Search>>);

impl std::fmt::Debug for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unseen")
    }
}

impl Unseen {
    /// Looks for `values`; an empty one is passed over.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let spellings: Vec<_> = values.into_iter().filter(|value| !value.is_empty()).flat_map(spellings).collect();
        if spellings.is_empty() {
            return Self::default();
        }
        // Letters are compared without their case, for the sake of hexadecimal digits.
        Self(Search::new(&spellings).map(Arc::new))
    }

    /// Whether `message`, JSON, holds one of the values.
    pub fn is_in(&self, message: &[u8]) -> bool {
        let Some(search) = &self.0 else { return false };
        let mut text = Cow::Borrowed(message);
        for _ in 0..LEVELS {
            if search.is_match(&text) {
                return true;
            }
            if !text.contains(&b'\\') {
                return false;
            }
            text = Cow::Owned(unescape(&text));
        }
        search.is_match(&text)
    }
}

fn spellings(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let percent = |kept: fn(u8) -> bool| bytes.iter().map(|byte| percent(*byte, kept)).collect::<String>();
    let mut all = vec![
        percent(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
        percent(|byte| byte.is_ascii_alphanumeric()),
        percent(|_| false),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for shift in 0..3 {
        all.push(within_base64(&STANDARD_NO_PAD, bytes, shift));
        all.push(within_base64(&URL_SAFE_NO_PAD, bytes, shift));
    }
    all.retain(|spelling| spelling.len() >= SHORTEST);
    all.push(value.to_owned());
    all
}

fn percent(byte: u8, kept: fn(u8) -> bool) -> String {
    if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }
}

/// The signs that `value` has in base64 wherever it begins `shift` bytes after a multiple of three, whatever stands
/// around it.
fn within_base64(engine: &impl Engine, value: &[u8], shift: usize) -> String {
    let shifted: Vec<u8> = std::iter::repeat_n(0, shift).chain(value.iter().copied()).collect();
    let text = engine.encode(shifted);
    let first = (shift * 8).div_ceil(6);
    let last = (shift + value.len()) * 8 / 6;
    text.get(first..last).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const SECRET: &str = "what-the/gateway\"shows?";

    #[test]
    fn a_value_is_found_in_every_spelling() {
        let unseen = Unseen::new([SECRET]);
        let json = serde_json::to_string(SECRET).unwrap();
        let escaped: String = SECRET.bytes().map(|byte| format!("\\u{byte:04X}")).collect();
        for text in [
            SECRET.to_owned(),
            json.clone(),
            serde_json::to_string(&json).unwrap(),
            escaped.clone(),
            serde_json::to_string(&escaped).unwrap(),
            "a=what-the%2Fgateway%22shows%3F".to_owned(),
            STANDARD.encode(SECRET),
            STANDARD.encode(format!("x{SECRET}")),
            STANDARD.encode(format!("xyuser:{SECRET}!")),
            SECRET.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ] {
            assert!(unseen.is_in(format!("[\"{text}\"]").as_bytes()), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_found() {
        let unseen = Unseen::new([SECRET]);
        for text in ["", "what-the", "\\\\\\", "a\\u00", "\"gateway\\nshows\""] {
            assert!(!unseen.is_in(text.as_bytes()), "{text}");
        }
        assert!(!Unseen::default().is_in(SECRET.as_bytes()));
        assert!(!Unseen::new([""]).is_in(b"anything"));
    }
}
