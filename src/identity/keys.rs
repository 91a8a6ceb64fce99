//! The keys of one issuer, and which of them may check a token. Where they come from is `jwks`' and `fetch`'s business.
//!
//! A key is bound to one algorithm when it is read, so that a token can't choose how its key is used (RFC 8725 section
//! 3.1).

use super::json;
use super::jwt::{MAX_KID_BYTES, Token, algorithm_named};
use super::refusal::Refusal;
use crate::config::document::gateway::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{DecodingKey, crypto};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// NIST SP 800-131A: RSA keys below this are disallowed.
const MIN_RSA_BITS: usize = 2048;

/// The greatest that the RSA implementation takes.
const MAX_RSA_BITS: usize = 4096;

/// RFC 7518 section 3.2: a key of HS256 is at least as long as its hash.
pub(super) const MIN_SECRET_BYTES: usize = 32;

/// A key and the one algorithm it is used with.
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Key {
    /// A key that the algorithm accepts; none where it does not. Asking the provider here also means that no key can
    /// fail, or panic, when a token comes.
    fn new(algorithm: Algorithm, key: DecodingKey) -> Option<Self> {
        (DEFAULT_PROVIDER.verifier_factory)(&library_name(algorithm), &key).ok()?;
        Some(Self { algorithm, key })
    }

    fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let n = strip_zeros(n);
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        // An even modulus, and an exponent below 3 or above 2^33, are no RSA.
        let exponent = strip_zeros(e)
            .iter()
            .try_fold(0_u64, |sum, byte| Some((sum << 8) | u64::from(*byte)).filter(|sum| *sum < 1 << 33))?;
        let sane =
            (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) && n.last()? % 2 == 1 && exponent >= 3 && exponent % 2 == 1;
        sane.then(|| DecodingKey::from_rsa_raw_components(n, e)).and_then(|key| Self::new(Algorithm::RS256, key))
    }

    fn p256(x: &[u8], y: &[u8]) -> Option<Self> {
        let point = (x.len() == 32 && y.len() == 32).then(|| [&[4], x, y].concat())?;
        Self::new(Algorithm::ES256, DecodingKey::from_ec_der(&point))
    }

    fn ed25519(x: &[u8]) -> Option<Self> {
        // The library panics on a shorter key and cuts a longer one.
        (x.len() == 32).then(|| DecodingKey::from_ed_der(x)).and_then(|key| Self::new(Algorithm::EdDSA, key))
    }

    /// A key of a key set (RFC 7517, RFC 8037); none where it can't check signatures that we accept.
    fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        // A private or symmetric key in a public set is known to everybody.
        let published = ["d", "k", "p", "q"].iter().any(|name| jwk.contains_key(*name));
        if published || !is_for_signatures(jwk) {
            return None;
        }
        let key = match (text("kty")?, text("crv")) {
            ("RSA", _) => Self::rsa(&bytes("n")?, &bytes("e")?),
            ("EC", Some("P-256")) => Self::p256(&bytes("x")?, &bytes("y")?),
            ("OKP", Some("Ed25519")) => Self::ed25519(&bytes("x")?),
            _ => None,
        }?;
        let pinned = match jwk.get("alg") {
            None => true,
            Some(alg) => alg.as_str().and_then(algorithm_named) == Some(key.algorithm),
        };
        pinned.then_some(key)
    }
}

/// RFC 7517 sections 4.2 and 4.3.
fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    let usage = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operations =
        jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
    usage && operations
}

fn strip_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

const fn library_name(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

/// Why there are no keys. Says nothing of the keys themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeysError {
    /// The shared secret is too short.
    #[error("its secret is shorter than 32 bytes; make one with `openssl rand -hex 32`")]
    ShortSecret,
    /// The PEM text can't be used.
    #[error(
        "its public key can't be used; give one `PUBLIC KEY` in PEM: RSA of 2048 to 4096 bits, EC on P-256, or Ed25519"
    )]
    UnusablePem,
    /// The key set is not one.
    #[error("the key set is not a JSON object with `keys`, an array of objects, without duplicate names")]
    NotAKeySet,
    /// Two keys of the set have the same id.
    #[error("two keys of the key set have the same `kid`")]
    DuplicateKid,
    /// No key of the set can be used.
    #[error("no key of the key set can check RS256, ES256 or EdDSA signatures")]
    NoUsableKey,
}

/// The keys of one issuer at one time.
pub(super) struct KeySet {
    keys: Vec<Key>,
    by_kid: HashMap<String, usize>,
    /// A key that was configured, rather than found, is meant whatever `kid` says.
    configured: bool,
    /// SHA-256 of what it was read from.
    digest: [u8; 32],
}

impl KeySet {
    /// The one key that a shared secret is.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeysError> {
        let long_enough = secret.len() >= MIN_SECRET_BYTES;
        let key = long_enough.then(|| Key::new(Algorithm::HS256, DecodingKey::from_secret(secret))).flatten();
        Ok(Self::configured(key.ok_or(KeysError::ShortSecret)?))
    }

    /// The one key that a PEM text holds. Certificates and private keys are refused.
    pub fn from_pem(pem: &str) -> Result<Self, KeysError> {
        let pem = pem.trim();
        if !pem.starts_with("-----BEGIN PUBLIC KEY-----") && !pem.starts_with("-----BEGIN RSA PUBLIC KEY-----") {
            return Err(KeysError::UnusablePem);
        }
        let key = rsa_from_pem(pem).or_else(|| ec_from_pem(pem)).or_else(|| ed_from_pem(pem));
        Ok(Self::configured(key.ok_or(KeysError::UnusablePem)?))
    }

    fn configured(key: Key) -> Self {
        Self { keys: vec![key], by_kid: HashMap::new(), configured: true, digest: [0; 32] }
    }

    /// The usable keys of a key set (RFC 7517 section 5): those that can't be used are left out, as that section asks.
    pub fn from_jwks(body: &[u8]) -> Result<Self, KeysError> {
        let document = json::object(body).ok_or(KeysError::NotAKeySet)?;
        let jwks = document.get("keys").and_then(Value::as_array).ok_or(KeysError::NotAKeySet)?;
        let mut set =
            Self { keys: vec![], by_kid: HashMap::new(), configured: false, digest: Sha256::digest(body).into() };
        let mut kids = HashSet::new();
        for jwk in jwks {
            let jwk = jwk.as_object().ok_or(KeysError::NotAKeySet)?;
            if jwk.get("kid").and_then(Value::as_str).is_some_and(|kid| !kids.insert(kid)) {
                return Err(KeysError::DuplicateKid);
            }
            set.add(jwk);
        }
        if set.keys.is_empty() { Err(KeysError::NoUsableKey) } else { Ok(set) }
    }

    fn add(&mut self, jwk: &Map<String, Value>) {
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.clone()),
            Some(_) => return,
        };
        let Some(key) = Key::from_jwk(jwk) else { return };
        if let Some(kid) = kid {
            self.by_kid.insert(kid, self.keys.len());
        }
        self.keys.push(key);
    }

    /// Whether both were read from the same bytes.
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The algorithm of the configured key.
    pub fn configured_algorithm(&self) -> Option<Algorithm> {
        self.keys.first().filter(|_| self.configured).map(|key| key.algorithm)
    }

    /// Checks the signature of `token`.
    ///
    /// # Errors
    /// `UnknownKey` (a newer set may help), `Algorithm` or `Signature`.
    pub fn verify(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let key = self.select(token.kid.as_deref(), token.algorithm)?;
        let algorithm = library_name(key.algorithm);
        match crypto::verify(token.signature, token.message.as_bytes(), &key.key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::Signature),
        }
    }

    fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, Refusal> {
        let key = match kid {
            Some(kid) if !self.configured => {
                let position = *self.by_kid.get(kid).ok_or(Refusal::UnknownKey)?;
                self.keys.get(position)
            }
            _ if self.configured => self.keys.first(),
            // Trying each key in turn would let a token be checked by a key that it was not meant for.
            _ => {
                let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
                fitting.next().filter(|_| fitting.next().is_none())
            }
        };
        let key = key.ok_or(Refusal::UnknownKey)?;
        if key.algorithm == algorithm { Ok(key) } else { Err(Refusal::Algorithm) }
    }
}

fn rsa_from_pem(pem: &str) -> Option<Key> {
    let key = DecodingKey::from_rsa_pem(pem.as_bytes()).ok()?;
    let (n, e) = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(key.try_get_as_bytes().ok()?).ok()?;
    Key::rsa(&n, &e)
}

fn ec_from_pem(pem: &str) -> Option<Key> {
    Key::new(Algorithm::ES256, DecodingKey::from_ec_pem(pem.as_bytes()).ok()?)
}

fn ed_from_pem(pem: &str) -> Option<Key> {
    Key::ed25519(DecodingKey::from_ed_pem(pem.as_bytes()).ok()?.try_get_as_bytes().ok()?)
}
