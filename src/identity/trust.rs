//! One configured issuer with its keys, ready to check tokens.

use super::fetch::{Fetcher, Source};
use super::jwks::{InForce, RemoteKeys};
use super::jwt::Token;
use super::keys::{KeySet, KeysError};
use super::refusal::Refusal;
use crate::config::document::gateway::Algorithm;
use crate::config::snapshot::{Issuer, KeySource};
use portcullis_core::reject::Rejection;
use std::sync::Arc;
use std::time::Instant;

/// An issuer and its keys.
pub(super) struct Trust {
    /// As configured.
    pub issuer: Issuer,
    keys: Keys,
}

enum Keys {
    Configured(InForce),
    Published(Arc<RemoteKeys>),
}

impl Trust {
    /// An issuer with its keys. Where it publishes them, those that `known` holds from the same place are kept, and
    /// `fetcher` is needed.
    ///
    /// # Errors
    /// What is wrong with the key or its place, or with the algorithms beside it.
    pub fn new(issuer: &Issuer, known: Option<&Self>, fetcher: Option<&Arc<Fetcher>>) -> Result<Self, String> {
        let keys = match &issuer.keys {
            KeySource::Secret(secret) => configured(issuer, KeySet::from_secret(secret.expose()))?,
            KeySource::Pem(pem) => configured(issuer, KeySet::from_pem(pem))?,
            KeySource::Jwks(url) => published(issuer, Source::Jwks(url.clone()), known, fetcher)?,
            KeySource::Discovery(url) => {
                let source = Source::Discovery { issuer: issuer.issuer.clone(), url: url.clone() };
                published(issuer, source, known, fetcher)?
            }
        };
        Ok(Self { issuer: issuer.clone(), keys })
    }

    /// The keys at hand; never waits.
    pub fn keys_at_hand(&self, at: Instant) -> Option<InForce> {
        match &self.keys {
            Keys::Configured(keys) => Some(keys.clone()),
            Keys::Published(keys) => keys.at_hand(at),
        }
    }

    /// Checks the signature of a token of this issuer, and returns the generation of the keys that it was checked with.
    /// Waits for keys where there are none, or none for the token.
    ///
    /// # Errors
    /// `Rejection::Unauthenticated`, or `Rejection::KeysUnavailable`.
    pub async fn verify(&self, token: &Token<'_>, at: Instant) -> Result<u64, Rejection> {
        if !self.issuer.algorithms.contains(&token.algorithm) {
            return Err(Refusal::Algorithm.into());
        }
        let remote = match &self.keys {
            Keys::Configured(keys) => {
                keys.keys.verify(token)?;
                return Ok(keys.generation);
            }
            Keys::Published(remote) => remote,
        };
        let known = remote.obtain(at).await.ok_or(Rejection::KeysUnavailable)?;
        match known.keys.verify(token) {
            Ok(()) => Ok(known.generation),
            Err(Refusal::UnknownKey) => {
                let renewed = remote.renew(&known, at).await.ok_or(Refusal::UnknownKey)?;
                renewed.keys.verify(token)?;
                Ok(renewed.generation)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Whether an issuer's keys must be fetched.
pub(super) const fn is_published(keys: &KeySource) -> bool {
    matches!(keys, KeySource::Jwks(_) | KeySource::Discovery(_))
}

fn configured(issuer: &Issuer, keys: Result<KeySet, KeysError>) -> Result<Keys, String> {
    let keys = keys.map_err(|error| error.to_string())?;
    let fitting = keys.configured_algorithm();
    if let Some(odd) = issuer.algorithms.iter().find(|algorithm| Some(**algorithm) != fitting) {
        return Err(format!("its key is not one for {odd:?}; list only the algorithm that fits the key"));
    }
    Ok(Keys::Configured(InForce { keys: Arc::new(keys), generation: 0, arrived: Instant::now() }))
}

fn published(
    issuer: &Issuer,
    source: Source,
    known: Option<&Trust>,
    fetcher: Option<&Arc<Fetcher>>,
) -> Result<Keys, String> {
    if let Some(problem) = source.problem() {
        return Err(problem.to_owned());
    }
    if issuer.algorithms.contains(&Algorithm::HS256) {
        return Err("HS256 needs a `secret`; published keys are public".to_owned());
    }
    if let Some(Keys::Published(kept)) = known.map(|known| &known.keys)
        && *kept.source() == source
    {
        return Ok(Keys::Published(Arc::clone(kept)));
    }
    let fetcher = fetcher.ok_or("its keys can't be fetched")?;
    Ok(Keys::Published(Arc::new(RemoteKeys::new(source, Arc::clone(fetcher)))))
}
