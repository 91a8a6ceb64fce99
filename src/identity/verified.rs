//! Tokens that were verified, so that the next call with the same one costs a hash instead of a signature.
//!
//! An entry says yes only where a full verification would: within the token's times, and while the keys that it was
//! verified with are in force. A reload of the configuration starts with none.

use super::claims::{self, Window};
use super::recent::Recent;
use super::trust::Trust;
use parking_lot::Mutex;
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Instant;

/// Tokens remembered.
const CAPACITY: usize = 10_000;

/// Parts with a lock each, so that threads seldom wait for one another.
const SHARDS: usize = 16;

/// SHA-256 of a token: the token itself is not kept.
pub(super) type TokenDigest = [u8; 32];

/// The digest of a token.
pub(super) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

/// What a verified token has shown.
#[derive(Clone)]
pub(super) struct Verified {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// When it is accepted.
    pub window: Window,
    /// Who issued it.
    pub trust: Arc<Trust>,
    /// The generation of the keys that it was verified with.
    pub generation: u64,
}

impl Verified {
    fn holds(&self, now: Timestamp, at: Instant) -> bool {
        self.window.contains(now) && self.trust.keys_at_hand(at).is_some_and(|keys| keys.generation == self.generation)
    }
}

/// Tokens that were verified.
pub(super) struct VerifiedTokens {
    shards: [Mutex<Recent<TokenDigest, Verified>>; SHARDS],
}

impl VerifiedTokens {
    /// None yet.
    pub fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(Recent::new(CAPACITY / SHARDS))) }
    }

    /// What this token has shown, where that still holds and the token is meant for `endpoint`.
    pub fn recall(
        &self,
        token: &TokenDigest,
        endpoint: Option<&str>,
        now: Timestamp,
        at: Instant,
    ) -> Option<Arc<Principal>> {
        let verified = self.shard(token)?.lock().look_up(*token)?;
        if !verified.holds(now, at) {
            self.shard(token)?.lock().remove(token);
            return None;
        }
        claims::is_for(&verified.principal.claims, &verified.trust.issuer, endpoint).then_some(verified.principal)
    }

    /// Remembers what a token has shown.
    pub fn remember(&self, token: TokenDigest, verified: Verified) {
        if let Some(shard) = self.shard(&token) {
            shard.lock().insert(token, verified);
        }
    }

    fn shard(&self, token: &TokenDigest) -> Option<&Mutex<Recent<TokenDigest, Verified>>> {
        let [first, ..] = token;
        self.shards.get(usize::from(*first) % SHARDS)
    }
}
