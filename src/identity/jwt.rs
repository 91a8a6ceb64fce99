//! The outside of a token: a compact JWS (RFC 7515 section 3.1), read strictly and before any cryptography.
//!
//! Nothing here is verified: what this module returns says what a token claims, not what is true. Header fields that
//! name or carry keys (`jku`, `jwk`, `x5u`, `x5c`) are never looked at.

use super::json;
use super::refusal::Refusal;
use crate::config::document::gateway::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A longer token is refused unread.
pub(super) const MAX_TOKEN_BYTES: usize = 8 << 10;

/// A longer key id is refused unread; it only ever serves to look a key up in a map.
pub(super) const MAX_KID_BYTES: usize = 128;

/// A token taken apart.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// The algorithm it says it is signed with.
    pub algorithm: Algorithm,
    /// The key it says it is signed with.
    pub kid: Option<String>,
    /// What it claims.
    pub claims: Map<String, Value>,
    /// The signed bytes.
    pub message: &'a str,
    /// The signature, in base64url.
    pub signature: &'a str,
}

/// Takes a token apart.
///
/// # Errors
/// `Malformed`, `Type`, `Critical`, `Algorithm` or `UnknownKey`.
pub(super) fn parse(token: &str) -> Result<Token<'_>, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    // A JWE has five parts (RFC 7516 section 3.1): its further dots are no base64url.
    let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
    let (header, payload, _) = (decode(header)?, decode(payload)?, decode(signature)?);
    let header = json::object(&header).ok_or(Refusal::Malformed)?;
    let (algorithm, kid) = read_header(&header)?;
    let claims = json::object(&payload).ok_or(Refusal::Malformed)?;
    Ok(Token { algorithm, kid, claims, message, signature })
}

/// Base64url without padding, without whitespace, without stray bits.
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Refusal> {
    if header.contains_key("crit") {
        return Err(Refusal::Critical);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if is_access_type(typ) => {}
        Some(_) => return Err(Refusal::Type),
    }
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(algorithm_named).ok_or(Refusal::Algorithm)?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.clone()),
        Some(Value::String(_)) => return Err(Refusal::UnknownKey),
        Some(_) => return Err(Refusal::Malformed),
    };
    Ok((algorithm, kid))
}

/// RFC 9068 section 2.1, and the plain `JWT` of issuers that do not follow it. Media types do not mind case (RFC 7515
/// section 4.1.9).
fn is_access_type(typ: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
}

/// The algorithm of this exact name. `Ed25519` is the name that RFC 9864 gives to EdDSA on that curve, the only curve we
/// know.
pub(super) fn algorithm_named(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" | "Ed25519" => Some(Algorithm::EdDSA),
        _ => None,
    }
}
