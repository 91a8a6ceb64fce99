//! Who calls: a bearer token to a principal. Everything about tokens is here; what a principal may do is not.
//!
//! A token's way: `bearer` reads the header, `jwt` takes the token apart, `trust` finds the issuer's keys (`jwks` keeps
//! them, `fetch` gets them, `keys` checks with them), `claims` judges time and audience and names the principal,
//! `verified` remembers. `guard` bounds how many bad tokens an address may send,
//! `wrong_ids` how many ids of others' things a user may name, both by the `buckets`; `mint` makes tokens for development.
//!
//! An issuer is chosen by the exact value of `iss`, and from then on its own keys and algorithms alone count: neither a
//! `kid` nor a header can reach another's.

mod bearer;
mod buckets;
mod claims;
mod described;
mod fetch;
mod guard;
mod json;
mod jwks;
mod jwt;
mod keys;
pub mod login;
pub mod mint;
mod recent;
mod refusal;
mod trust;
mod verified;
mod wrong_ids;

#[cfg(test)]
mod tests;

pub use bearer::bearer;
pub use fetch::Observer;
pub use guard::{BadTokenGuard, subscriber};
pub use refusal::Refusal;
pub use wrong_ids::WrongIdGuard;

use crate::config::snapshot::Issuer;
use described::Described;
use fetch::{FetchError, Fetcher};
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use trust::Trust;
use verified::{Verified, VerifiedTokens};

/// The issuers can't be used as configured; one line for each problem. None holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct IdentityError {
    /// What is wrong with which issuer, and what to do about it.
    pub problems: Vec<String>,
}

/// Checks tokens against a fixed set of issuers. Made anew whenever the configuration is.
pub struct Authenticator {
    trusts: HashMap<String, Arc<Trust>>,
    fetcher: Option<Arc<Fetcher>>,
    verified: VerifiedTokens,
    described: Described,
}

impl Authenticator {
    /// Takes in the issuers, and tells `observer` of each time that keys are fetched. Published keys that `previous` holds, and that still come from the same place, are kept.
    ///
    /// # Errors
    /// Where a key can't be used, a secret is too short, algorithms do not fit keys, keys would come over an unsafe URL,
    /// or two issuers have the same name.
    pub fn new(issuers: &[Issuer], previous: Option<&Self>, observer: Observer) -> Result<Self, IdentityError> {
        let mut problems = Vec::new();
        let fetcher = fetcher_for(issuers, previous, observer).unwrap_or_else(|error| {
            problems.push(error.to_string());
            None
        });
        let mut trusts: HashMap<String, Arc<Trust>> = HashMap::new();
        for issuer in issuers {
            let name = &issuer.issuer;
            let known = previous.and_then(|previous| previous.trusts.get(name)).map(Arc::as_ref);
            match trust_of(issuer, known, fetcher.as_ref()) {
                Err(problem) => problems.push(format!("issuer `{name}`: {problem}")),
                Ok(_) if trusts.contains_key(name) => problems.push(format!("issuer `{name}` stands twice; keep one")),
                Ok(trust) => drop(trusts.insert(name.clone(), Arc::new(trust))),
            }
        }
        if !problems.is_empty() {
            return Err(IdentityError { problems });
        }
        Ok(Self { trusts, fetcher, verified: VerifiedTokens::new(), described: Described::default() })
    }

    /// Who calls at `endpoint`, where this very token was verified before and would be now. Never waits. With it, a client
    /// whose token is good is served even while `BadTokenGuard` blocks its address.
    pub fn recall(&self, token: &str, endpoint: Option<&str>, now: Timestamp) -> Option<Arc<Principal>> {
        if token.len() > jwt::MAX_TOKEN_BYTES {
            return None;
        }
        self.verified.recall(&verified::digest(token), endpoint, now, Instant::now())
    }

    /// Who calls at `endpoint`; `None` for what is no endpoint, where tokens for a single one are not accepted. May wait up to
    /// five seconds for an issuer's keys; call it within a tokio runtime.
    ///
    /// # Errors
    /// `Rejection::Unauthenticated` with a label of [`Refusal`], or `Rejection::KeysUnavailable`.
    pub async fn authenticate(
        &self,
        token: &str,
        endpoint: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, Rejection> {
        self.authenticate_at(token, endpoint, now, Instant::now()).await
    }

    /// The same at another point of the clock that the age of keys is measured with.
    async fn authenticate_at(
        &self,
        text: &str,
        endpoint: Option<&str>,
        now: Timestamp,
        at: Instant,
    ) -> Result<Arc<Principal>, Rejection> {
        if text.len() > jwt::MAX_TOKEN_BYTES {
            return Err(Refusal::Malformed.into());
        }
        let digest = verified::digest(text);
        if let Some(principal) = self.verified.recall(&digest, endpoint, now, at) {
            return Ok(principal);
        }
        let token = jwt::parse(text)?;
        let trust = self.trust_in(token.claims.get("iss")).ok_or(Refusal::UnknownIssuer)?;
        let generation = trust.verify(&token, at).await?;
        let window = claims::window(&token.claims, &trust.issuer, now)?;
        let principal = Arc::new(claims::principal(token.claims, &trust.issuer, endpoint)?);
        let trust = Arc::clone(trust);
        let verified = Verified { principal: Arc::clone(&principal), window, trust, generation };
        self.verified.remember(digest, verified);
        Ok(principal)
    }

    fn trust_in(&self, issuer: Option<&Value>) -> Option<&Arc<Trust>> {
        self.trusts.get(issuer?.as_str()?)
    }
}

fn trust_of(issuer: &Issuer, known: Option<&Trust>, fetcher: Option<&Arc<Fetcher>>) -> Result<Trust, String> {
    if issuer.algorithms.is_empty() || issuer.audiences.is_empty() {
        return Err("needs at least one algorithm and one audience".to_owned());
    }
    Trust::new(issuer, known, fetcher)
}

/// None where nothing is to be fetched: then the process needs no certificates.
fn fetcher_for(
    issuers: &[Issuer],
    previous: Option<&Authenticator>,
    observer: Observer,
) -> Result<Option<Arc<Fetcher>>, FetchError> {
    if let Some(fetcher) = previous.and_then(|previous| previous.fetcher.clone()) {
        return Ok(Some(fetcher));
    }
    let needed = issuers.iter().any(|issuer| trust::is_published(&issuer.keys));
    needed.then(|| Fetcher::new(observer).map(Arc::new)).transpose()
}
