//! What a client is given to keep and must bring back unread and unchanged: session ids, cursors, task ids, the state of a
//! call that waits for an answer.
//!
//! AES-256-GCM with a nonce that is made from the text itself, so that the same text gives the same seal (a task has one
//! id, however often it is asked for) and no counter is shared between replicas. What it is for and whom it is for are
//! bound to it: a seal of one principal, endpoint or purpose does not open as another's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

/// The longest seal that is made, and opened, in bytes, unless [`Seal::up_to`] says otherwise.
const LONGEST: usize = 16 << 10;

/// Seals and opens. Gateways with the same secret open each other's seals.
#[derive(Clone)]
pub struct Seal {
    key: LessSafeKey,
    nonces: hmac::Key,
    longest: usize,
}

impl Seal {
    /// Keys made from `secret`, one for each use; `None` where the cipher takes none (it takes any of 32 bytes).
    pub fn new(secret: &[u8]) -> Option<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = |label: &[u8]| hmac::sign(&root, label);
        let key = UnboundKey::new(&AES_256_GCM, derived(b"portcullis seal key").as_ref()).ok()?;
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, derived(b"portcullis seal nonce").as_ref());
        Some(Self { key: LessSafeKey::new(key), nonces, longest: LONGEST })
    }

    /// The same for seals of up to `longest` bytes.
    #[must_use]
    pub fn up_to(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// Seals `text` for `purpose` and what it is `bound` to. Letters, digits, `-` and `_` alone; `None` where it would be too
    /// long to be opened.
    pub fn seal(&self, purpose: &str, bound: &[&[u8]], text: &[u8]) -> Option<String> {
        self.seal_long(purpose, bound, text).filter(|sealed| sealed.len() <= self.longest)
    }

    /// The same for what is kept here and not given out, of any length.
    pub fn seal_long(&self, purpose: &str, bound: &[&[u8]], text: &[u8]) -> Option<String> {
        let context = context(purpose, bound);
        let mut nonces = hmac::Context::with_key(&self.nonces);
        nonces.update(&context);
        nonces.update(text);
        let tag = nonces.sign();
        let nonce: [u8; NONCE_LEN] = tag.as_ref().get(..NONCE_LEN)?.try_into().ok()?;
        let mut sealed = text.to_vec();
        let aad = Aad::from(context.as_slice());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// The text of a seal; `None` where it was not made here, for this purpose and bound to this.
    pub fn open(&self, purpose: &str, bound: &[&[u8]], sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > self.longest {
            return None;
        }
        self.open_long(purpose, bound, sealed)
    }

    /// The same for what [`Seal::seal_long`] gave.
    pub fn open_long(&self, purpose: &str, bound: &[&[u8]], sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let context = context(purpose, bound);
        let mut text = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(context.as_slice()), &mut text).ok()?;
        Some(opened.to_vec())
    }
}

/// Each part with its length before it, so that no two lists of parts read the same.
fn context(purpose: &str, bound: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in std::iter::once(purpose.as_bytes()).chain(bound.iter().copied()) {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &[u8]) -> Seal {
        Seal::new(secret).unwrap()
    }

    #[test]
    fn a_seal_opens_for_its_purpose_and_its_owner_alone() {
        let ours = seal(b"one");
        let sealed = ours.seal("cursor", &[b"ana", b"work"], b"text").unwrap();
        assert_eq!(ours.open("cursor", &[b"ana", b"work"], &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(seal(b"one").open("cursor", &[b"ana", b"work"], &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(seal(b"two").open("cursor", &[b"ana", b"work"], &sealed), None);
        for (purpose, bound) in [
            ("session", [&b"ana"[..], b"work"]),
            ("cursor", [b"bob", b"work"]),
            ("cursor", [b"ana", b"docs"]),
            ("cursor", [b"anaw", b"ork"]),
        ] {
            assert_eq!(ours.open(purpose, &bound, &sealed), None);
        }
    }

    #[test]
    fn what_is_sealed_can_be_opened() {
        let ours = seal(b"one");
        let (longest, longer) = (vec![b'x'; 12_260], vec![b'x'; 12_261]);
        let sealed = ours.seal("task", &[], &longest).unwrap();
        assert_eq!(sealed.len(), LONGEST);
        assert_eq!(ours.open("task", &[], &sealed), Some(longest));
        assert_eq!(ours.seal("task", &[], &longer), None);
    }

    #[test]
    fn a_seal_is_stable_and_can_t_be_changed() {
        let ours = seal(b"one");
        let sealed = ours.seal("task", &[], b"42").unwrap();
        assert_eq!(ours.seal("task", &[], b"42").unwrap(), sealed);
        assert_ne!(ours.seal("task", &[], b"43").unwrap(), sealed);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(ours.open("task", &[], std::str::from_utf8(&changed).unwrap()), None, "{position}");
        }
        for odd in ["", "A", "=", "é", &"A".repeat(LONGEST + 1)] {
            assert_eq!(ours.open("task", &[], odd), None);
        }
    }
}
