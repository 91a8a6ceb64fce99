//! The keys that checkpoints are signed with and checked by: Ed25519 (RFC 8032), written as PEM (RFC 8410), so that
//! `openssl` makes and reads them. Where keys are kept is the business of others.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;

/// PKCS #8 of an Ed25519 key, up to its 32 bytes (RFC 8410 section 7).
const PRIVATE: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// SubjectPublicKeyInfo of an Ed25519 key, up to its 32 bytes (RFC 8410 section 4).
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key of this seed, which must be random.
    ///
    /// # Errors
    /// The seed is not one.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, &'static str> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| "it is no Ed25519 key")?;
        Self::of(pair)
    }

    /// The key in a PEM text, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        let der = blocks(text, "PRIVATE KEY").next().ok_or("it holds no `-----BEGIN PRIVATE KEY-----`")?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
        Self::of(pair.map_err(|_| "it is no Ed25519 key; make one: openssl genpkey -algorithm ed25519")?)
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, &'static str> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| "its public key is not 32 bytes long")?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// What its signatures are checked by.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature of `message`.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// The PEM text of the private key with this seed.
pub fn private_pem(seed: &[u8; 32]) -> String {
    pem("PRIVATE KEY", &[PRIVATE.as_slice(), seed].concat())
}

/// Checks signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// All keys in a PEM text; what is not an Ed25519 key is left out.
    pub fn all_from_pem(text: &str) -> Vec<Self> {
        let key = |der: Vec<u8>| Some(Self(der.strip_prefix(&PUBLIC)?.try_into().ok()?));
        blocks(text, "PUBLIC KEY").filter_map(key).collect()
    }

    /// As a PEM text.
    pub fn to_pem(self) -> String {
        pem("PUBLIC KEY", &[PUBLIC.as_slice(), &self.0].concat())
    }

    /// Whether `signature` is that of `message` by this key.
    pub fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

/// Base64, as in a verifier of signed notes.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// The contents of the blocks of `text` with this label (RFC 7468).
fn blocks(text: &str, label: &str) -> impl Iterator<Item = Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let parts: Vec<String> = text.split(&begin).skip(1).map(|part| part.to_owned()).collect();
    parts.into_iter().filter_map(move |part| {
        let (body, _) = part.split_once(&end)?;
        STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    // Never longer than a line of PEM: neither kind of key has more than 48 bytes.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 section 7.1, test 1.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

    fn seed() -> [u8; 32] {
        crate::audit::chain::Hash::parse(SEED).unwrap().0
    }

    #[test]
    fn the_known_key_makes_the_known_signature() {
        let key = SigningKey::from_seed(&seed()).unwrap();
        let hex: String = key.sign(b"").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        assert!(key.public().accepts(b"", &key.sign(b"")) && !key.public().accepts(b"x", &key.sign(b"")));
    }

    #[test]
    fn keys_read_back_from_pem() {
        let key = SigningKey::from_pem(&private_pem(&seed())).unwrap();
        let public = key.public();
        let two = format!("a comment\n{}{}", public.to_pem(), PublicKey([7; 32]).to_pem());
        assert_eq!(PublicKey::all_from_pem(&two), [public, PublicKey([7; 32])]);
        assert!(SigningKey::from_pem(&public.to_pem()).is_err());
        assert!(SigningKey::from_pem(&private_pem(&seed()).replace("MC4", "MC5")).is_err());
    }
}
