//! `identity.issuers`: whose tokens are accepted, and where the keys that prove them come from.

use crate::config::compile::Draft;
use crate::config::compile::gateway::refuse_short_key;
use crate::config::compile::url::{is_local, web_url};
use crate::config::document::gateway::{Algorithm, ClaimsDocument, IdentityDocument, IssuerDocument};
use crate::config::snapshot::{ENDPOINT, Issuer, KeySource};
use crate::secrets::Secret;
use portcullis_core::problem::Path;
use std::collections::BTreeSet;
use std::time::Duration;
use url::Url;

/// Compiles the issuers. What has a problem is left out: the configuration is refused anyway.
pub fn compile(identity: &IdentityDocument, draft: &mut Draft<'_>, public_url: &str) -> Vec<Issuer> {
    let at = Path::root().then("identity").then("issuers");
    if identity.issuers.is_empty() {
        draft.refuse(&at, "there is no issuer, so no token is accepted", "name at least one");
    }
    let mut names = BTreeSet::new();
    let mut issuers = Vec::new();
    for (index, document) in identity.issuers.iter().enumerate() {
        let at = at.then(index);
        if !names.insert(document.issuer.as_str()) {
            draft.refuse(&at.then("issuer"), "this issuer is here a second time", "keep one entry for each issuer");
        }
        let audiences = audiences(document, draft, &at, public_url);
        issuers.extend(issuer(document, draft, &at, audiences));
    }
    issuers
}

fn issuer(document: &IssuerDocument, draft: &mut Draft<'_>, at: &Path, audiences: Vec<String>) -> Option<Issuer> {
    if document.issuer.is_empty() {
        draft.refuse(&at.then("issuer"), "the issuer is empty", "write the exact value of the claim `iss`");
    }
    claims(&document.claims, draft, &at.then("claims"));
    if document.clock_skew.0 > Duration::from_secs(300) {
        let hint = "keep it below 5m: expired tokens are accepted for as long";
        draft.warn(&at.then("clock_skew"), "the tolerance for clocks is very large", hint);
    }
    let keys = keys(document, draft, at);
    algorithms(document, draft, &at.then("algorithms"));
    Some(Issuer {
        issuer: document.issuer.clone(),
        algorithms: document.algorithms.clone(),
        keys: keys?,
        audiences,
        claims: document.claims.clone(),
        max_token_age: document.max_token_age.0,
        clock_skew: document.clock_skew.0,
    })
}

/// The algorithms must fit the key: a public key taken for an HMAC secret lets anyone sign (RFC 8725 section 2.1).
fn algorithms(document: &IssuerDocument, draft: &mut Draft<'_>, path: &Path) {
    if document.algorithms.is_empty() {
        draft.refuse(path, "no algorithm is accepted", "name what the issuer signs with, such as [RS256]");
    }
    for (index, algorithm) in document.algorithms.iter().enumerate() {
        let path = path.then(index);
        if document.algorithms.iter().take(index).any(|earlier| earlier == algorithm) {
            draft.refuse(&path, "this algorithm is here a second time", "remove it");
        }
        match (document.secret.is_some(), algorithm) {
            (true, Algorithm::HS256) | (false, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) => {}
            (true, _) => {
                draft.refuse(&path, "a shared `secret` signs with HS256 alone", "write [HS256], or another key")
            }
            (false, Algorithm::HS256) => {
                draft.refuse(
                    &path,
                    "HS256 needs a shared `secret`",
                    "write `secret`, or the algorithm of the public keys",
                );
            }
        }
    }
}

fn keys(document: &IssuerDocument, draft: &mut Draft<'_>, at: &Path) -> Option<KeySource> {
    let stated = [
        ("secret", document.secret.is_some()),
        ("public_key", document.public_key.is_some()),
        ("jwks_url", document.jwks_url.is_some()),
    ];
    let stated: Vec<&str> = stated.iter().filter(|(_, stated)| *stated).map(|(key, _)| *key).collect();
    if let [first, second, ..] = stated.as_slice() {
        let message = format!("`{first}` and `{second}` are both here");
        draft.refuse(&at.then(*second), message, "an issuer's keys come from one place: remove the others");
        return None;
    }
    if let Some(secret) = &document.secret {
        refuse_short_key(secret, draft, &at.then("secret"));
        return Some(KeySource::Secret(Secret::new(secret.as_bytes().to_vec())));
    }
    if let Some(pem) = &document.public_key {
        return public_key(pem, draft, &at.then("public_key"));
    }
    if let Some(text) = &document.jwks_url {
        return remote(text, draft, &at.then("jwks_url")).map(KeySource::Jwks);
    }
    discovery(&document.issuer, draft, &at.then("issuer"))
}

/// The key itself is read by `identity`; here is said what is often written in its place.
fn public_key(pem: &str, draft: &mut Draft<'_>, path: &Path) -> Option<KeySource> {
    let pem = pem.trim();
    if pem.contains("PRIVATE KEY-----") {
        draft.refuse(
            path,
            "this is a private key",
            "write the public one, and replace the private one: it was shown here",
        );
        return None;
    }
    if !pem.starts_with("-----BEGIN ") {
        draft.refuse(
            path,
            "this is not a key in PEM",
            "write the key itself, or where it is: ${file:/path/to/key.pem}",
        );
        return None;
    }
    Some(KeySource::Pem(pem.to_owned()))
}

fn discovery(issuer: &str, draft: &mut Draft<'_>, path: &Path) -> Option<KeySource> {
    if !issuer.contains("://") {
        let hint = "write `secret`, `public_key` or `jwks_url` beside it, or an issuer that is a URL";
        draft.refuse(path, "the issuer is not a URL, so its keys can't be found", hint);
        return None;
    }
    let url = remote(issuer, draft, path)?;
    if url.query().is_some() {
        draft.refuse(
            path,
            "an issuer that is asked for its keys has no query",
            "remove `?` and what follows (RFC 8414)",
        );
    }
    Some(KeySource::Discovery(url))
}

/// A URL that keys may be fetched from: whoever can change the answer can sign any token.
fn remote(text: &str, draft: &mut Draft<'_>, path: &Path) -> Option<Url> {
    match web_url(text) {
        Err((message, hint)) => draft.refuse(path, message, hint),
        Ok(url) if url.scheme() == "http" && !is_local(&url) => {
            draft.refuse(path, "keys can't be trusted over plain http", "use https; http is for loopback alone");
        }
        Ok(url) => return Some(url),
    }
    None
}

fn audiences(document: &IssuerDocument, draft: &mut Draft<'_>, at: &Path, public_url: &str) -> Vec<String> {
    let Some(written) = &document.audiences else {
        // Programs that normalise URLs give an origin a path (RFC 3986 section 6.2.3).
        return ["", "/", &format!("/{ENDPOINT}/mcp"), &format!("/{ENDPOINT}/sse")]
            .map(|path| format!("{public_url}{path}"))
            .to_vec();
    };
    let path = at.then("audiences");
    if written.is_empty() {
        draft.refuse(
            &path,
            "no audience is accepted, so no token is",
            "name one, or remove the key for the public URL",
        );
    }
    for (index, audience) in written.iter().enumerate() {
        if audience.is_empty() {
            draft.refuse(&path.then(index), "the audience is empty", "write the exact value of the claim `aud`");
        } else if audience.matches(['{', '}']).count() != 2 * audience.matches(ENDPOINT).count().min(1) {
            let hint = "write `{endpoint}`, once, for the name of the endpoint that is called";
            draft.refuse(&path.then(index), "the audience holds braces", hint);
        }
    }
    written.clone()
}

fn claims(claims: &ClaimsDocument, draft: &mut Draft<'_>, at: &Path) {
    let ClaimsDocument { user, roles, tenant, agent, scopes } = claims;
    for (key, claim) in [("user", user), ("roles", roles), ("tenant", tenant), ("agent", agent), ("scopes", scopes)] {
        // A URL is a claim's whole name (RFC 7519 section 4.2), with whatever dots it has.
        if claim.is_empty() || (!claim.contains("://") && claim.split('.').any(str::is_empty)) {
            draft.refuse(
                &at.then(key),
                "this is not the name of a claim",
                "write one such as sub or realm_access.roles",
            );
        }
    }
}
