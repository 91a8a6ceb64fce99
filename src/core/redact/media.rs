//! Members that hold base64 (`blob`, `data`), and `data:` URIs: text inside is redacted like any text, anything else is left alone.
//!
//! Pictures and sound are not searched; whether a caller may have them is for the rules of a policy.

use super::detect::Context;
use super::kind::Tally;
use super::leaf::{Form, Leaf, plain};
use super::plan::Failure;
use super::replace::Edit;
use super::traits::Traits;
use base64::Engine;
use base64::alphabet::{STANDARD as STANDARD_SIGNS, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use memchr::memmem;

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
        match decode(&text) {
            Some(_) if !is_text && long && media.is_some() => Ok(None),
            Some(bytes) if is_text && (media.is_some() || !is_binary(&bytes)) => {
                match self.settle_inner(&bytes, tally)? {
                    Some(changed) => Ok(Some(STANDARD.encode(changed))),
                    None => self.settle(raw, traits, tally),
                }
            }
            Some(_) if is_text && long => Ok(None),
            _ => self.settle(raw, traits, tally),
        }
    }

    /// The edits of `data:` URIs (RFC 2397) whose base64 is text, each of its payload.
    pub(super) fn data_uris(&self, text: &str, tally: &mut Tally) -> Result<Vec<Edit>, Failure> {
        let mut edits = Vec::new();
        for mark in memmem::find_iter(text.as_bytes(), BASE64) {
            let start = mark + BASE64.len();
            let rest = text.get(start..).unwrap_or_default();
            let length = rest.bytes().position(|byte| !is_base64(byte)).unwrap_or(rest.len());
            let (Some(media), Some(payload)) = (media_before(text, mark), rest.get(..length)) else { continue };
            let Some(bytes) = decode(payload) else { continue };
            let is_text = media.is_empty() || Media::of(media).map_or(!is_binary(&bytes), |media| media == Media::Text);
            if let Some(changed) = if is_text { self.settle_inner(&bytes, tally)? } else { None } {
                edits.push(Edit { span: start..start + length, text: STANDARD.encode(changed) });
            }
        }
        Ok(edits)
    }

    fn settle_inner(&self, bytes: &[u8], tally: &mut Tally) -> Result<Option<Vec<u8>>, Failure> {
        let inner = Stray::read(bytes);
        let leaf = Leaf { form: Form::Plain, context: Context::default(), secrets: true, ..*self };
        let changed = leaf.settle(&inner, Traits::of_plain(&inner), tally)?;
        Ok(changed.map(|changed| Stray::write(&changed)))
    }
}

/// What stands between the media type of a `data:` URI and its base64.
const BASE64: &str = ";base64,";

/// The media type of the `data:` URI that goes on at `mark`.
fn media_before(text: &str, mark: usize) -> Option<&str> {
    let from = text.floor_char_boundary(mark.saturating_sub(128));
    let (_, media) = text.get(from..mark)?.rsplit_once(':')?;
    let scheme = text.get(..mark - media.len() - 1)?;
    let named = scheme.len().checked_sub(4).and_then(|start| scheme.get(start..))?.eq_ignore_ascii_case("data");
    named.then_some(media)
}

/// A text with bytes that are no UTF-8, each of them a sign at the end of the last plane for private use.
struct Stray;

impl Stray {
    const FIRST: u32 = 0x10_ff00;

    fn read(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(Self::FIRST + u32::from(*byte))));
        }
        text
    }

    /// A sign of those that the text had from the beginning is written as a byte too: nothing is said in them.
    fn write(text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len());
        for sign in text.chars() {
            match u32::from(sign).checked_sub(Self::FIRST).map(u8::try_from) {
                Some(Ok(byte)) => bytes.push(byte),
                _ => bytes.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes
    }
}

/// Whether bytes that nobody says are text are none: one in sixteen is a control character or no UTF-8.
fn is_binary(bytes: &[u8]) -> bool {
    let control = |byte: &&u8| matches!(byte, 0..=8 | 14..=31 | 127);
    let odd: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    (bytes.iter().filter(control).count() + odd) * 16 > bytes.len()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// Base64 (RFC 4648, 4 and 5), with line breaks or without (RFC 2045, 6.8), padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let bare: String = text.chars().filter(|sign| !sign.is_ascii_whitespace()).collect();
    let alphabet = if bare.contains(['-', '_']) { &URL_SAFE } else { &STANDARD_SIGNS };
    GeneralPurpose::new(alphabet, LENIENT).decode(&bare).ok().filter(|bytes| !bytes.is_empty())
}
