//! The inside of a verified token: when it holds, whom it is for, who calls.
//!
//! The signature is checked elsewhere; no library's leniency is relied on here: an absent or oddly typed claim is
//! refused wherever it matters, and gives nothing (no role, no tenant) wherever it does not.

use super::refusal::Refusal;
use crate::config::document::gateway::ClaimsDocument;
use crate::config::snapshot::Issuer;
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// The least that clocks are taken to differ where a token says it was issued in the future.
const ISSUE_LEEWAY: Duration = Duration::from_secs(60);

/// Longer names of users, tenants, agents, roles and scopes are none.
const MAX_NAME_BYTES: usize = 256;

/// More roles or scopes are none.
const MAX_NAMES: usize = 256;

/// When a token is accepted: from the first instant, until before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    from: Timestamp,
    until: Timestamp,
}

impl Window {
    /// Whether the token is accepted at `now`.
    pub fn contains(self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// When a token with these claims is accepted; `now` is within.
///
/// # Errors
/// `NoExpiry`, `Expired`, `NotYetValid`, `NoIssueTime`, `TooOld`, or `Malformed` where a date is not a whole number of
/// seconds since 1970. RFC 7519 would allow fractions (section 2, NumericDate); no issuer we know writes them.
pub(super) fn window(claims: &Map<String, Value>, issuer: &Issuer, now: Timestamp) -> Result<Window, Refusal> {
    let expires = date(claims, "exp")?.ok_or(Refusal::NoExpiry)?.plus(issuer.clock_skew);
    if now >= expires {
        return Err(Refusal::Expired);
    }
    let mut window = Window { from: Timestamp::from_millis(i64::MIN), until: expires };
    if let Some(begins) = date(claims, "nbf")? {
        window.from = begins.minus(issuer.clock_skew);
    }
    match date(claims, "iat")? {
        Some(issued) => {
            window.from = window.from.max(issued.minus(issuer.clock_skew.max(ISSUE_LEEWAY)));
            if !issuer.max_token_age.is_zero() {
                let last = issued.plus(issuer.max_token_age);
                window.until = window.until.min(last.plus(Duration::from_millis(1)));
            }
        }
        None if issuer.max_token_age.is_zero() => {}
        None => return Err(Refusal::NoIssueTime),
    }
    if now < window.from {
        return Err(Refusal::NotYetValid);
    }
    if now >= window.until {
        return Err(Refusal::TooOld);
    }
    Ok(window)
}

fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let secs = value.as_i64().filter(|secs| *secs >= 0).ok_or(Refusal::Malformed)?;
    Ok(Some(Timestamp::from_secs(secs)))
}

/// Who calls at `endpoint`, by a token whose signature and time are good.
///
/// # Errors
/// `Type`, `Bound`, `Audience` or `Subject`.
pub(super) fn principal(
    claims: Map<String, Value>,
    issuer: &Issuer,
    endpoint: Option<&str>,
) -> Result<Principal, Refusal> {
    refuse_other_kinds(&claims)?;
    if !is_for(&claims, issuer, endpoint) {
        return Err(Refusal::Audience);
    }
    who(claims, issuer)
}

/// When a token with these claims ends: by its own date, or by its age where the issuer's tokens may only get so old.
fn end(claims: &Map<String, Value>, issuer: &Issuer) -> Result<Option<Timestamp>, Refusal> {
    let expires = date(claims, "exp")?;
    let issued = date(claims, "iat")?.filter(|_| !issuer.max_token_age.is_zero());
    let too_old = issued.map(|issued| issued.plus(issuer.max_token_age));
    Ok(expires.into_iter().chain(too_old).min())
}

/// Whom claims speak of; whether they are to be believed, and where, was asked before.
///
/// # Errors
/// `Subject`, or `Malformed`.
pub(super) fn who(claims: Map<String, Value>, issuer: &Issuer) -> Result<Principal, Refusal> {
    let names = &issuer.claims;
    let subject = find(&claims, &names.user).and_then(Value::as_str).filter(|user| fits_a_header(user));
    Ok(Principal {
        issuer: issuer.issuer.clone(),
        subject: subject.ok_or(Refusal::Subject)?.to_owned(),
        tenant: find(&claims, &names.tenant).and_then(name),
        agent: find(&claims, &names.agent).or_else(|| claims.get("client_id")).and_then(name),
        roles: find(&claims, &names.roles).and_then(set_of_names).unwrap_or_default(),
        scopes: scopes(&claims, &names.scopes).and_then(set_of_names).unwrap_or_default(),
        expires_at: end(&claims, issuer)?,
        claims,
    })
}

/// Where nothing else is configured, the claim `scope` (RFC 9068 section 2.2.3), or `scp` as Microsoft and Okta call it.
fn scopes<'a>(claims: &'a Map<String, Value>, configured: &str) -> Option<&'a Value> {
    find(claims, configured).or_else(|| claims.get("scp").filter(|_| configured == ClaimsDocument::default().scopes))
}

/// Issuers mark tokens that are no access tokens in many ways: by claims that only ID tokens have (OpenID Connect Core
/// sections 2 and 3.1.3.6), logout tokens (Back-Channel Logout section 2.4), Keycloak's `typ`, Cognito's `token_use`.
fn refuse_other_kinds(claims: &Map<String, Value>) -> Result<(), Refusal> {
    const OTHERS: [&str; 4] = ["id", "refresh", "offline", "logout"];
    let alien = ["nonce", "at_hash", "c_hash", "events"].iter().any(|claim| claims.contains_key(*claim));
    let marked = ["typ", "token_use"]
        .iter()
        .filter_map(|claim| claims.get(*claim)?.as_str())
        .any(|kind| OTHERS.iter().any(|other| kind.eq_ignore_ascii_case(other)));
    if alien || marked {
        return Err(Refusal::Type);
    }
    if claims.contains_key("cnf") {
        return Err(Refusal::Bound);
    }
    Ok(())
}

/// Whether a token is meant for `endpoint`. `aud` is a string or an array of strings (RFC 7519 section 4.1.3); one of ours
/// among others is enough.
pub(super) fn is_for(claims: &Map<String, Value>, issuer: &Issuer, endpoint: Option<&str>) -> bool {
    let is_ours = |audience: &str| issuer.accepts(audience, endpoint);
    match claims.get("aud") {
        Some(Value::String(audience)) => is_ours(audience),
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string) && list.iter().filter_map(Value::as_str).any(is_ours)
        }
        _ => false,
    }
}

/// The claim of this name, or else the one that its dots lead to through objects. The literal name comes first because
/// issuers use URLs as names.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, key| value.as_object()?.get(key))
}

/// The user goes into a header of the request to the upstream: no control characters, nothing that a parser would trim,
/// nothing that has two encodings.
fn fits_a_header(user: &str) -> bool {
    let printable = user.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    !user.is_empty() && user.len() <= MAX_NAME_BYTES && printable && user.trim() == user
}

fn name(value: &Value) -> Option<String> {
    value.as_str().filter(|name| is_name(name)).map(str::to_owned)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control)
}

/// A list of strings, or one string with spaces between. One odd entry makes all of them none: half of a list that
/// was meant otherwise is worse than no list.
fn set_of_names(value: &Value) -> Option<BTreeSet<String>> {
    let names: Vec<&str> = match value {
        Value::String(names) => names.split(' ').filter(|name| !name.is_empty()).take(MAX_NAMES + 1).collect(),
        Value::Array(names) if names.len() <= MAX_NAMES => names.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    let sane = names.len() <= MAX_NAMES && names.iter().all(|name| is_name(name));
    sane.then(|| names.into_iter().map(str::to_owned).collect())
}
