//! Stage 2: from a bearer token to a principal. Before it, a guard against addresses that send one bad token after another.

use crate::identity::{self, Refusal};
use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::{Gateway, Live, clock};
use http::HeaderValue;
use portcullis_core::principal::{Principal, RoleSet};
use portcullis_core::reject::Rejection;
use std::sync::Arc;

/// A verified caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Arc<Principal>,
    /// The roles that policy knows of them, inherited ones included.
    pub roles: RoleSet,
}

/// Verifies the token.
///
/// # Errors
/// [`Rejection::Unauthenticated`], [`Rejection::TooManyBadTokens`] or [`Rejection::KeysUnavailable`].
pub async fn step(gateway: &Gateway, live: &Live, arrival: &Arrival) -> Result<Caller, Rejection> {
    let token = identity::bearer(arrival.authorization.iter().map(HeaderValue::as_bytes))?;
    let token = token.ok_or(Refusal::NoToken)?;
    let principal = verify(gateway, live, arrival, token).await?;
    let roles = live.snapshot.policy.roles(&principal);
    Ok(Caller { principal, roles })
}

/// A token that is known to be good is good whatever else its address sends: the guard must not be a way to lock others
/// out who share it.
async fn verify(gateway: &Gateway, live: &Live, arrival: &Arrival, token: &str) -> Result<Arc<Principal>, Rejection> {
    let now = clock::now();
    let endpoint = match &arrival.target {
        Target::Endpoint(endpoint) => Some(endpoint.name.as_str()),
        Target::Invoke => None,
    };
    if let Some(known) = live.authenticator.recall(token, endpoint, now) {
        return Ok(known);
    }
    let rate = live.snapshot.gateway.edge.bad_tokens;
    if let Some(peer) = arrival.peer {
        gateway.bad_tokens.check(peer, rate)?;
    }
    live.authenticator.authenticate(token, endpoint, now).await.inspect_err(|rejection| {
        if let (Rejection::Unauthenticated { .. }, Some(peer)) = (rejection, arrival.peer) {
            gateway.bad_tokens.refused(peer, rate);
        }
    })
}
