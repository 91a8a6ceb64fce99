//! Tokens of the issuer `dev`, which signs with a shared secret. Tokens of a real issuer come from `peers`.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The issuer that `gateway::Setup` configures.
pub const ISSUER: &str = "dev";
/// Its secret.
pub const SECRET: &str = "a secret that only the tests of portcullis know";
/// The audience it is configured with.
pub const AUDIENCE: &str = "portcullis-tests";

/// What a token says.
#[derive(Debug, Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// A fresh token for `subject` with `roles`, valid for five minutes.
    pub fn new(subject: &str, roles: &[&str]) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": AUDIENCE, "roles": roles,
            "tid": "acme", "azp": "agent-1", "iat": now, "exp": now + 300,
        });
        Self(claims.as_object().unwrap().clone())
    }

    /// The same with this claim, or without it where `value` is null.
    pub fn with(mut self, claim: &str, value: Value) -> Self {
        if value.is_null() {
            self.0.remove(claim);
        } else {
            self.0.insert(claim.to_owned(), value);
        }
        self
    }

    /// The signed token.
    pub fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    /// The token, signed with another secret.
    pub fn sign_with(&self, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &self.0, &key).unwrap()
    }
}

/// A token for `subject` with `roles`.
pub fn token(subject: &str, roles: &[&str]) -> String {
    Claims::new(subject, roles).sign()
}
