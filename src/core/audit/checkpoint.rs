//! A checkpoint: how large the journal was at a time, and the hashes that stand for all of it, signed. A text in the form
//! of transparency logs (C2SP tlog-checkpoint and signed-note), so that their tools read it:
//!
//! ```text
//! <instance>
//! <number of rows>
//! <root of the tree, base64>
//! chain <hash of the last row, hex>
//! time <RFC 3339>
//!
//! — <instance> <key id and signature, base64>
//! ```

use crate::audit::chain::Hash;
use crate::audit::key::{PublicKey, SigningKey};
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What begins the line of a signature: an em dash and a space (C2SP signed-note).
const DASH: &str = "\u{2014} ";

/// Ed25519 in the id of a key (C2SP signed-note, "Signature types").
const ED25519: u8 = 1;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Of which journal: its instance.
    pub origin: String,
    /// How many rows it had.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The hash of the last of them.
    pub chain: Hash,
    /// When.
    pub at: Timestamp,
}

/// Why a text is not a checkpoint that can be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It does not have the form.
    #[error("it is not in the form of a checkpoint")]
    Form,
    /// None of the keys has signed it.
    #[error("its signature is by none of the given keys, or not of this text")]
    Signature,
}

impl Checkpoint {
    /// The signed text.
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        let signature = [key_id(&self.origin, key.public()).as_slice(), &key.sign(text.as_bytes())].concat();
        format!("{text}\n{DASH}{} {}\n", self.origin, STANDARD.encode(signature))
    }

    /// What `note` says, where one of `keys` has signed it.
    ///
    /// # Errors
    /// It is no checkpoint, or nobody known has signed it.
    pub fn open(note: &str, keys: &[PublicKey]) -> Result<Self, CheckpointError> {
        let (text, signatures) = note.split_once("\n\n").ok_or(CheckpointError::Form)?;
        let text = format!("{text}\n");
        let checkpoint = Self::parse(&text).ok_or(CheckpointError::Form)?;
        let by = |key: &PublicKey| {
            let id = key_id(&checkpoint.origin, *key);
            signatures.lines().filter_map(signature).any(|signature| {
                signature.strip_prefix(&id).is_some_and(|signature| key.accepts(text.as_bytes(), signature))
            })
        };
        if keys.iter().any(by) { Ok(checkpoint) } else { Err(CheckpointError::Signature) }
    }

    /// A line of a file of checkpoints or of an export, without its end.
    pub fn line(note: &str) -> String {
        serde_json::json!({"checkpoint": note}).to_string()
    }

    /// The signed text of such a line, and the nodes that an export gives with it; `None` where it is another line.
    pub fn of_line(line: &str) -> Option<(String, Vec<Hash>)> {
        if !line.starts_with("{\"checkpoint\"") {
            return None;
        }
        let value: Value = serde_json::from_str(line).ok()?;
        let front = value.get("front").and_then(Value::as_array).into_iter().flatten();
        let nodes = front.map(|node| node.as_str().and_then(Hash::parse)).collect::<Option<_>>()?;
        Some((value.get("checkpoint")?.as_str()?.to_owned(), nodes))
    }

    fn text(&self) -> String {
        let Self { origin, size, root, chain, at } = self;
        format!("{origin}\n{size}\n{}\nchain {chain}\ntime {at}\n", STANDARD.encode(root.0))
    }

    /// Only what `text` would write is accepted, so that there is one text for each meaning.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let origin = lines.next()?.to_owned();
        let size = lines.next()?.parse().ok()?;
        let root = Hash(STANDARD.decode(lines.next()?).ok()?.try_into().ok()?);
        let chain = Hash::parse(lines.next()?.strip_prefix("chain ")?)?;
        let at = DateTime::parse_from_rfc3339(lines.next()?.strip_prefix("time ")?).ok()?;
        let checkpoint = Self { origin, size, root, chain, at: Timestamp::from_millis(at.timestamp_millis()) };
        (checkpoint.text() == text).then_some(checkpoint)
    }
}

/// The first bytes of a signature: which key made it (C2SP signed-note).
fn key_id(name: &str, key: PublicKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', ED25519]);
    hasher.update(key.0);
    let [first, second, third, fourth, ..] = <[u8; 32]>::from(hasher.finalize());
    [first, second, third, fourth]
}

fn signature(line: &str) -> Option<Vec<u8>> {
    let (_, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    STANDARD.decode(signature).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let (root, chain) = (Hash::of(&[b"root"]), Hash::of(&[b"chain"]));
        Checkpoint { origin: "journal".into(), size: 1000, root, chain, at: Timestamp::from_secs(1_700_000_000) }
    }

    #[test]
    fn a_checkpoint_opens_with_its_key_and_with_no_other() {
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let other = SigningKey::from_seed(&[2; 32]).unwrap().public();
        let note = checkpoint().sign(&key);
        assert_eq!(Checkpoint::open(&note, &[other, key.public()]), Ok(checkpoint()));
        assert_eq!(Checkpoint::open(&note, &[other]), Err(CheckpointError::Signature));
        assert_eq!(Checkpoint::of_line(&Checkpoint::line(&note)), Some((note, Vec::new())));
        assert_eq!(Checkpoint::of_line("{\"seq\":1}"), None);
    }

    #[test]
    fn no_byte_of_a_checkpoint_can_change() {
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let note = checkpoint().sign(&key);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            // The name in the signature's line is not signed, and means nothing.
            let name = note.find(DASH).unwrap() + DASH.len()..note.rfind(' ').unwrap();
            if let Ok(changed) = String::from_utf8(bytes)
                && !name.contains(&at)
                && at + 1 < note.len()
            {
                assert!(Checkpoint::open(&changed, &[key.public()]).is_err(), "{at}: {changed}");
            }
        }
        assert!(Checkpoint::open(&note.replace("1000", "+1000"), &[key.public()]).is_err());
        assert!(Checkpoint::open("", &[key.public()]).is_err());
    }
}
