//! The chain of hashes that binds each row to all rows before it: `hash(n) = SHA-256(hash(n-1) || canonical row n)`, and
//! 32 zero bytes before the first. It shows a row that was changed, removed, put in or moved; that the last rows were cut
//! off, only a checkpoint kept elsewhere shows.

use sha2::{Digest, Sha256};
use std::fmt;

/// A SHA-256 value: of a row with all before it, or of a node of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first row.
    pub const ZERO: Self = Self([0; 32]);

    /// Of all `parts`, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }

    /// Of the row whose canonical form is `row`, where this is the hash of the row before it.
    #[must_use]
    pub fn then(&self, row: &[u8]) -> Self {
        Self::of(&[&self.0, row])
    }

    /// From 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(bytes))
    }
}

/// The value of a hex digit.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// 64 hex digits.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_sha_256_of_the_one_before_and_the_row() {
        // python3: hashlib.sha256(bytes(32) + b'[1,"a"]').hexdigest()
        let first = Hash::ZERO.then(br#"[1,"a"]"#);
        assert_eq!(first.to_string(), "a5a757075f6d182636b224a7ec602ce57d13c4d807fc1536e85471643d9c1a06");
        assert_ne!(first.then(br#"[1,"a"]"#), first);
        assert_eq!(Hash::of(&[b"a", b"bc"]), Hash::of(&[b"abc"]));
    }

    #[test]
    fn a_hash_reads_back_and_nothing_else_does() {
        let hash = Hash::of(&[b"x"]);
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66), &"é".repeat(32), &"+0".repeat(32)] {
            assert_eq!(Hash::parse(wrong), None, "{wrong}");
        }
    }
}
