//! Keys, tokens and issuers for the tests.

use crate::config::document::gateway::{Algorithm, ClaimsDocument};
use crate::config::snapshot::{Issuer, KeySource};
use crate::secrets::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, crypto};
use portcullis_core::time::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

pub const NOW_SECS: i64 = 1_800_000_000;
pub const NOW: Timestamp = Timestamp::from_secs(NOW_SECS);
pub const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests";
pub const AUDIENCE: &str = "https://gateway.example.com/work/mcp";
pub const RSA_PUBLIC: &str = include_str!("../../../tests/keys/rsa-a.pub.pem");
pub const EC_PUBLIC: &str = include_str!("../../../tests/keys/ec.pub.pem");
pub const ED_PUBLIC: &str = include_str!("../../../tests/keys/ed.pub.pem");

/// A key to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    Secret,
    RsaA,
    RsaB,
    RsaWeak,
    Ec,
    Ed,
}

impl Signer {
    pub const fn algorithm(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Secret => jsonwebtoken::Algorithm::HS256,
            Self::RsaA | Self::RsaB | Self::RsaWeak => jsonwebtoken::Algorithm::RS256,
            Self::Ec => jsonwebtoken::Algorithm::ES256,
            Self::Ed => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    fn key(self) -> EncodingKey {
        let rsa = |pem: &str| EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        match self {
            Self::Secret => EncodingKey::from_secret(SECRET),
            Self::RsaA => rsa(include_str!("../../../tests/keys/rsa-a.pem")),
            Self::RsaB => rsa(include_str!("../../../tests/keys/rsa-b.pem")),
            Self::RsaWeak => rsa(include_str!("../../../tests/keys/rsa-weak.pem")),
            Self::Ec => EncodingKey::from_ec_pem(include_bytes!("../../../tests/keys/ec.pem")).unwrap(),
            Self::Ed => EncodingKey::from_ed_pem(include_bytes!("../../../tests/keys/ed.pem")).unwrap(),
        }
    }

    /// The public half, as a key set shows it, with `more` members.
    pub fn jwk(self, more: Value) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key(), self.algorithm()).unwrap()).unwrap();
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    }

    /// The same, with an id.
    pub fn named(self, kid: &str) -> Value {
        self.jwk(json!({ "kid": kid }))
    }

    /// A token over any header and payload.
    pub fn sign_parts(self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = crypto::sign(message.as_bytes(), &self.key(), self.algorithm()).unwrap();
        format!("{message}.{signature}")
    }

    /// A token with these claims and this `kid`.
    pub fn sign(self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "typ": "at+jwt", "alg": format!("{:?}", self.algorithm()) });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.sign_parts(&header.to_string(), &claims.to_string())
    }
}

/// What a good token of `issuer` claims, with `changes`; a null takes a claim away.
pub fn claims_of(issuer: &str, changes: Value) -> Value {
    let mut claims = json!({
        "iss": issuer, "aud": AUDIENCE, "sub": "alice", "iat": NOW_SECS - 10, "exp": NOW_SECS + 600,
        "roles": ["analyst"], "scope": "mcp:read mcp:write", "tid": "acme", "client_id": "agent-1",
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

pub fn issuer(name: &str, keys: KeySource, algorithms: &[Algorithm]) -> Issuer {
    Issuer {
        issuer: name.into(),
        algorithms: algorithms.to_vec(),
        keys,
        audiences: vec!["https://gateway.example.com".into(), AUDIENCE.into()],
        claims: ClaimsDocument::default(),
        max_token_age: Duration::from_secs(3600),
        clock_skew: Duration::from_secs(30),
    }
}

/// The issuer `dev`, with a shared secret.
pub fn dev() -> Issuer {
    issuer("dev", KeySource::Secret(Secret::new(SECRET.to_vec())), &[Algorithm::HS256])
}
