//! Members that hold base64 (`blob`, `data`): text inside is redacted like any text, anything else is left alone.
//!
//! Pictures and sound are not searched; whether a caller may have them is for the rules of a policy.

use super::detect::Context;
use super::kind::Tally;
use super::leaf::{Form, Leaf, plain};
use super::plan::Failure;
use super::traits::Traits;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What a media type says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// Text, in whatever format.
    Text,
    /// Not text.
    Binary,
}

impl Media {
    /// Of a `mimeType`; `None` for one that says nothing.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (top, sub) = name.split_once('/')?;
        let text = matches!(top, "text" | "message") || TEXTS.iter().any(|mark| sub.contains(mark));
        Some(if text { Self::Text } else { Self::Binary })
    }

    /// Of an object that says it twice: text, if either is.
    pub(super) fn either(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        if one == Some(Self::Text) { one } else { other.or(one) }
    }
}

/// Parts of the names of formats that are text (RFC 6838, 4.2 and 4.2.8).
const TEXTS: [&str; 10] =
    ["json", "xml", "yaml", "javascript", "csv", "html", "form-urlencoded", "sql", "markdown", "toml"];

/// Shorter base64 is no picture, and is searched as the text that it may be.
const SHORTEST_BINARY: usize = 64;

impl Leaf<'_, '_> {
    /// The new body of a member that may be base64; `None` where it stays.
    pub(super) fn settle_media(
        &self,
        raw: &str,
        traits: Traits,
        media: Option<Media>,
        tally: &mut Tally,
    ) -> Result<Option<String>, Failure> {
        let text = plain(raw);
        let long = text.len() >= SHORTEST_BINARY;
        let is_text = media == Some(Media::Text) || media.is_none() && plain(self.context.key) == "blob";
        match (decode(&text).map(String::from_utf8), is_text) {
            (Some(_), false) if long && media.is_some() => Ok(None),
            (Some(Ok(inner)), true) => Ok(self.settle_inner(&inner, tally)?.map(|inner| STANDARD.encode(inner))),
            (Some(Err(_)), true) if long && media.is_none() => Ok(None),
            // Not UTF-8 although it is said to be text: read as Latin-1, in which every byte is a character.
            (Some(Err(bytes)), true) if long => {
                let inner: String = bytes.into_bytes().into_iter().map(char::from).collect();
                let changed = self.settle_inner(&inner, tally)?;
                Ok(changed.map(|inner| STANDARD.encode(latin(&inner))))
            }
            _ => self.settle(raw, traits, tally),
        }
    }

    fn settle_inner(&self, inner: &str, tally: &mut Tally) -> Result<Option<String>, Failure> {
        let leaf = Leaf { form: Form::Plain, context: Context::default(), ..*self };
        leaf.settle(inner, Traits::of_plain(inner), tally)
    }
}

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|sign| u8::try_from(sign).unwrap_or(b'?')).collect()
}

/// Base64 (RFC 4648, 4 and 5), with line breaks or without (RFC 2045, 6.8).
fn decode(text: &str) -> Option<Vec<u8>> {
    let bare: String = text.chars().filter(|sign| !sign.is_ascii_whitespace()).collect();
    STANDARD.decode(&bare).or_else(|_| URL_SAFE.decode(&bare)).ok().filter(|bytes| !bytes.is_empty())
}
