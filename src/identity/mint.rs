//! Makes tokens for development: `portcullis token` and the demo. Only for an issuer with a shared secret, which is no
//! way to run in production.

use crate::config::document::gateway::ClaimsDocument;
use crate::config::snapshot::{Console, ENDPOINT, Issuer, KeySource};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis_core::time::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct MintRequest {
    /// The issuer (`iss`).
    pub issuer: String,
    /// Whom it is for (`aud`).
    pub audiences: Vec<String>,
    /// The user.
    pub user: String,
    /// The user's roles.
    pub roles: Vec<String>,
    /// The user's tenant.
    pub tenant: Option<String>,
    /// The agent that acts for the user.
    pub agent: Option<String>,
    /// OAuth scopes.
    pub scopes: Vec<String>,
    /// How long it holds, in whole seconds.
    pub lifetime: Duration,
    /// The claims that these go into, as the issuer's configuration maps them.
    pub claims: ClaimsDocument,
}

impl MintRequest {
    /// A token of this issuer for `user`, with nothing more, for `lifetime`. It is good at every endpoint, where the issuer
    /// has such tokens; else it is meant for nobody.
    pub fn new(issuer: &Issuer, user: impl Into<String>, lifetime: Duration) -> Self {
        Self {
            issuer: issuer.issuer.clone(),
            audiences: issuer
                .audiences
                .iter()
                .filter(|audience| !audience.contains(ENDPOINT))
                .take(1)
                .cloned()
                .collect(),
            user: user.into(),
            roles: Vec::new(),
            tenant: None,
            agent: None,
            scopes: Vec::new(),
            lifetime,
            claims: issuer.claims.clone(),
        }
    }

    /// The same, good at `endpoint` alone where the issuer has such tokens.
    #[must_use]
    pub fn at(self, issuer: &Issuer, endpoint: &str) -> Self {
        let audience = issuer.audiences.iter().find(|audience| audience.contains(ENDPOINT));
        match audience {
            Some(audience) => Self { audiences: vec![audience.replace(ENDPOINT, endpoint)], ..self },
            None => self,
        }
    }

    /// The same, good at the console and the admin API alone.
    #[must_use]
    pub fn at_console(self, console: &Console) -> Self {
        Self { audiences: console.audiences.iter().take(1).cloned().collect(), ..self }
    }

    fn claims_at(&self, now: Timestamp) -> Map<String, Value> {
        // Mapped claims are written under their literal name, dots included: that is where they are looked for first.
        let mut claims = Map::from_iter([
            ("iss".to_owned(), self.issuer.clone().into()),
            ("aud".to_owned(), self.audiences.clone().into()),
            ("iat".to_owned(), now.secs().into()),
            ("exp".to_owned(), now.plus(self.lifetime).secs().into()),
            (self.claims.user.clone(), self.user.clone().into()),
        ]);
        let lists = [(&self.claims.roles, &self.roles), (&self.claims.scopes, &self.scopes)];
        for (claim, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            claims.insert(claim.clone(), list.clone().into());
        }
        for (claim, value) in [(&self.claims.tenant, &self.tenant), (&self.claims.agent, &self.agent)] {
            claims.extend(value.as_ref().map(|value| (claim.clone(), value.clone().into())));
        }
        claims
    }
}

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// We do not have the issuer's key.
    #[error("only an issuer with a `secret` can have tokens made here; ask `{0}` for one")]
    NoSecret(String),
    /// The signature failed.
    #[error("the token can't be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// A shared secret to sign with. Has no Debug.
pub struct SigningKey(EncodingKey);

impl SigningKey {
    /// The secret of `issuer`.
    ///
    /// # Errors
    /// Where it has none.
    pub fn of(issuer: &Issuer) -> Result<Self, MintError> {
        match &issuer.keys {
            KeySource::Secret(secret) => Ok(Self(EncodingKey::from_secret(secret.expose()))),
            KeySource::Pem(_) | KeySource::Jwks(_) | KeySource::Discovery(_) => {
                Err(MintError::NoSecret(issuer.issuer.clone()))
            }
        }
    }
}

/// Makes a token, signed with HS256.
///
/// # Errors
/// Where the library can't sign; it always can with a secret.
pub fn mint(request: &MintRequest, key: &SigningKey, now: Timestamp) -> Result<String, MintError> {
    let header = Header { typ: Some("at+jwt".into()), ..Header::new(Algorithm::HS256) };
    Ok(jsonwebtoken::encode(&header, &request.claims_at(now), &key.0)?)
}
