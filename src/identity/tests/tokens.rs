//! One token after another against issuers whose keys are configured (security.md group E, cases 67 to 82).

use super::signing::{AUDIENCE, EC_PUBLIC, ED_PUBLIC, NOW, NOW_SECS, RSA_PUBLIC, Signer, claims_of, dev, issuer};
use crate::config::document::gateway::Algorithm;
use crate::config::snapshot::{Issuer, KeySource};
use crate::identity::Authenticator;
use crate::identity::mint::{MintError, MintRequest, SigningKey, mint};
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn pem(name: &str, pem: &str, algorithm: Algorithm) -> Issuer {
    issuer(name, KeySource::Pem(pem.into()), &[algorithm])
}

fn authenticator(issuers: &[Issuer]) -> Authenticator {
    Authenticator::new(issuers, None, std::sync::Arc::new(|_, _| {})).unwrap()
}

async fn outcome(authenticator: &Authenticator, token: &str, now: Timestamp) -> Result<Arc<Principal>, &'static str> {
    authenticator.authenticate(token, Some("work"), now).await.map_err(|rejection| match rejection {
        Rejection::Unauthenticated { reason } => reason,
        other => other.row().label,
    })
}

fn dev_token(changes: Value) -> String {
    Signer::Secret.sign(None, &claims_of("dev", changes))
}

fn dev_header(header: &str) -> String {
    Signer::Secret.sign_parts(header, &claims_of("dev", json!({})).to_string())
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_good_token_of_each_algorithm_names_its_principal() {
    let authenticator = authenticator(&[
        dev(),
        pem("rsa", RSA_PUBLIC, Algorithm::RS256),
        pem("ec", EC_PUBLIC, Algorithm::ES256),
        pem("ed", ED_PUBLIC, Algorithm::EdDSA),
    ]);
    for (name, signer) in [("dev", Signer::Secret), ("rsa", Signer::RsaA), ("ec", Signer::Ec), ("ed", Signer::Ed)] {
        let token = signer.sign(Some("any"), &claims_of(name, json!({})));
        let principal = outcome(&authenticator, &token, NOW).await.unwrap();
        assert_eq!((principal.issuer.as_str(), principal.subject.as_str()), (name, "alice"));
        assert_eq!(principal.tenant.as_deref(), Some("acme"));
        assert_eq!(principal.agent.as_deref(), Some("agent-1"), "client_id stands in for azp");
        assert_eq!(principal.roles, names(&["analyst"]));
        assert_eq!(principal.scopes, names(&["mcp:read", "mcp:write"]));
        assert_eq!(principal.expires_at, Some(Timestamp::from_secs(NOW_SECS + 600)));
        assert_eq!(principal.claims["iat"], NOW_SECS - 10);
        let forged = signer.sign(Some("any"), &claims_of(name, json!({ "sub": "bob" })));
        let (message, _) = forged.rsplit_once('.').unwrap();
        let mixed = format!("{message}.{}", token.rsplit_once('.').unwrap().1);
        assert_eq!(outcome(&authenticator, &mixed, NOW).await, Err("signature"), "{name}");
    }
}

#[tokio::test]
async fn a_token_of_another_shape_is_refused_unverified() {
    let authenticator = authenticator(&[dev()]);
    let good = dev_token(json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let twice = r#"{"iss":"dev","sub":"alice","sub":"root"}"#;
    for (token, reason) in [
        (String::new(), "malformed"),
        ("...".into(), "malformed"),
        (message.into(), "malformed"),
        (format!("{good}.{signature}"), "malformed"),
        (format!("{good}.{signature}.{signature}"), "malformed"),
        (format!("{good}="), "malformed"),
        (format!("{good} "), "malformed"),
        (format!(" {good}"), "malformed"),
        (format!("{good}\n"), "malformed"),
        (good.replacen('.', "+.", 1), "malformed"),
        (format!("{good}{}", "A".repeat(9_000)), "malformed"),
        (Signer::Secret.sign_parts("[]", "{}"), "malformed"),
        (Signer::Secret.sign_parts(r#"{"alg":"HS256"}"#, "not json"), "malformed"),
        (Signer::Secret.sign_parts(r#"{"alg":"HS256"}"#, twice), "malformed"),
        (Signer::Secret.sign_parts(r#"{"alg":"HS256","alg":"none"}"#, "{}"), "malformed"),
        (format!("{message}."), "signature"),
        (format!("{message}.{}", &signature[..40]), "signature"),
        (format!("{message}.{signature}AAAAA"), "signature"),
    ] {
        assert_eq!(outcome(&authenticator, &token, NOW).await, Err(reason), "{token}");
    }
}

#[tokio::test]
async fn a_header_can_not_choose_how_it_is_verified() {
    let authenticator = authenticator(&[dev(), pem("rsa", RSA_PUBLIC, Algorithm::RS256)]);
    let long = "k".repeat(129);
    for (header, reason) in [
        (r#"{"alg":"none"}"#.to_owned(), "algorithm"),
        (r#"{"alg":"None"}"#.into(), "algorithm"),
        (r#"{"alg":""}"#.into(), "algorithm"),
        (r#"{"alg":null}"#.into(), "algorithm"),
        (r#"{"alg":["HS256"]}"#.into(), "algorithm"),
        (r#"{"alg":"hs256"}"#.into(), "algorithm"),
        (r#"{"alg":"HS512"}"#.into(), "algorithm"),
        (r#"{"alg":"RS256"}"#.into(), "algorithm"),
        (r#"{"typ":"JWT"}"#.into(), "algorithm"),
        (r#"{"alg":"HS256","crit":["exp"]}"#.into(), "critical"),
        (r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#.into(), "critical"),
        (r#"{"alg":"HS256","typ":"logout+jwt"}"#.into(), "type"),
        (r#"{"alg":"HS256","typ":"dpop+jwt"}"#.into(), "type"),
        (r#"{"alg":"HS256","typ":"oauth-id-jag+jwt"}"#.into(), "type"),
        (r#"{"alg":"HS256","typ":["at+jwt"]}"#.into(), "type"),
        (r#"{"alg":"HS256","typ":null}"#.into(), "type"),
        (format!(r#"{{"alg":"HS256","kid":"{long}"}}"#), "unknown_key"),
        (r#"{"alg":"HS256","kid":7}"#.into(), "malformed"),
        (r#"{"alg":"HS256","kid":null}"#.into(), "malformed"),
    ] {
        assert_eq!(outcome(&authenticator, &dev_header(&header), NOW).await, Err(reason), "{header}");
    }
    let unsigned = dev_header(r#"{"alg":"none"}"#);
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    assert_eq!(outcome(&authenticator, &unsigned, NOW).await, Err("algorithm"));
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":"application/at+jwt"}"#,
        r#"{"alg":"HS256","kid":"../../etc/passwd"}"#,
        r#"{"alg":"HS256","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","jwk":{"kty":"oct","k":"AA"},"x5c":["x"]}"#,
    ] {
        assert!(outcome(&authenticator, &dev_header(header), NOW).await.is_ok(), "{header}");
    }
}

#[tokio::test]
async fn an_rsa_public_key_is_no_shared_secret() {
    let authenticator = authenticator(&[pem("rsa", RSA_PUBLIC, Algorithm::RS256)]);
    let claims = claims_of("rsa", json!({}));
    for secret in [RSA_PUBLIC.as_bytes(), RSA_PUBLIC.trim().as_bytes()] {
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        assert_eq!(outcome(&authenticator, &token, NOW).await, Err("algorithm"));
    }
    let other = Signer::RsaB.sign(None, &claims);
    assert_eq!(outcome(&authenticator, &other, NOW).await, Err("signature"));
}

#[tokio::test]
async fn a_token_with_a_bad_claim_is_refused_with_its_reason() {
    let authenticator = authenticator(&[dev()]);
    let long = "x".repeat(257);
    for (changes, reason) in [
        (json!({ "exp": NOW_SECS - 31 }), "expired"),
        (json!({ "exp": NOW_SECS - 30 }), "expired"),
        (json!({ "exp": 0 }), "expired"),
        (json!({ "exp": null }), "no_exp"),
        (json!({ "exp": (NOW_SECS + 600).to_string() }), "malformed"),
        (json!({ "exp": (NOW_SECS + 600) as f64 + 0.5 }), "malformed"),
        (json!({ "exp": 1e18 }), "malformed"),
        (json!({ "exp": -1 }), "malformed"),
        (json!({ "exp": u64::MAX }), "malformed"),
        (json!({ "exp": [NOW_SECS + 600] }), "malformed"),
        (json!({ "nbf": NOW_SECS + 31 }), "not_yet_valid"),
        (json!({ "nbf": NOW_SECS.to_string() }), "malformed"),
        (json!({ "nbf": true }), "malformed"),
        (json!({ "iat": NOW_SECS + 61 }), "not_yet_valid"),
        (json!({ "iat": NOW_SECS - 3601 }), "too_old"),
        (json!({ "iat": null }), "no_iat"),
        (json!({ "iat": "now" }), "malformed"),
        (json!({ "iss": "dev/" }), "unknown_issuer"),
        (json!({ "iss": "Dev" }), "unknown_issuer"),
        (json!({ "iss": null }), "unknown_issuer"),
        (json!({ "iss": ["dev"] }), "unknown_issuer"),
        (json!({ "aud": null }), "audience"),
        (json!({ "aud": "https://elsewhere.example.com" }), "audience"),
        (json!({ "aud": format!("{AUDIENCE}/") }), "audience"),
        (json!({ "aud": [] }), "audience"),
        (json!({ "aud": [AUDIENCE, 7] }), "audience"),
        (json!({ "aud": { "url": AUDIENCE } }), "audience"),
        (json!({ "sub": null }), "subject"),
        (json!({ "sub": "" }), "subject"),
        (json!({ "sub": 42 }), "subject"),
        (json!({ "sub": ["alice"] }), "subject"),
        (json!({ "sub": " alice" }), "subject"),
        (json!({ "sub": "alice " }), "subject"),
        (json!({ "sub": "alice\r\nX-User-Roles: admin" }), "subject"),
        (json!({ "sub": "al\u{0}ice" }), "subject"),
        (json!({ "sub": "аlice" }), "subject"),
        (json!({ "sub": long }), "subject"),
        (json!({ "nonce": "n-1" }), "type"),
        (json!({ "at_hash": "h" }), "type"),
        (json!({ "events": {} }), "type"),
        (json!({ "typ": "ID" }), "type"),
        (json!({ "typ": "Refresh" }), "type"),
        (json!({ "token_use": "id" }), "type"),
        (json!({ "cnf": { "jkt": "x" } }), "bound"),
    ] {
        assert_eq!(outcome(&authenticator, &dev_token(changes.clone()), NOW).await, Err(reason), "{changes}");
    }
}

#[tokio::test]
async fn a_token_just_within_its_bounds_is_a_good_one() {
    let authenticator = authenticator(&[dev()]);
    for changes in [
        json!({ "exp": NOW_SECS - 29 }),
        json!({ "nbf": NOW_SECS + 30 }),
        json!({ "iat": NOW_SECS + 60 }),
        json!({ "iat": NOW_SECS - 3600 }),
        json!({ "aud": ["https://elsewhere.example.com", AUDIENCE] }),
        json!({ "sub": "Alice Q. <alice@example.com>" }),
        json!({ "typ": "Bearer", "token_use": "access" }),
    ] {
        assert!(outcome(&authenticator, &dev_token(changes.clone()), NOW).await.is_ok(), "{changes}");
    }
}

#[tokio::test]
async fn an_issuer_without_a_greatest_age_needs_no_issue_time() {
    let authenticator = authenticator(&[Issuer { max_token_age: Duration::ZERO, ..dev() }]);
    for changes in [json!({ "iat": null }), json!({ "iat": 1 })] {
        assert!(outcome(&authenticator, &dev_token(changes), NOW).await.is_ok());
    }
    let future = dev_token(json!({ "iat": NOW_SECS + 61 }));
    assert_eq!(outcome(&authenticator, &future, NOW).await, Err("not_yet_valid"));
}

#[tokio::test]
async fn odd_roles_are_no_roles() {
    let authenticator = authenticator(&[dev()]);
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    for (roles, expected) in [
        (json!(["a", "b", "a"]), &["a", "b"][..]),
        (json!("a  b"), &["a", "b"]),
        (json!(["Domain Admins"]), &["Domain Admins"]),
        (json!([]), &[]),
        (json!(""), &[]),
        (json!(7), &[]),
        (json!(["a", 7]), &[]),
        (json!(["a", null]), &[]),
        (json!(["a", ["b"]]), &[]),
        (json!({ "a": true }), &[]),
        (json!(["a", ""]), &[]),
        (json!(["a\n"]), &[]),
        (json!(many), &[]),
        (json!(many.join(" ")), &[]),
    ] {
        let principal = outcome(&authenticator, &dev_token(json!({ "roles": roles })), NOW).await.unwrap();
        assert_eq!(principal.roles, names(expected), "{roles}");
    }
}

#[tokio::test]
async fn claims_are_found_under_the_names_that_the_issuer_uses() {
    let mut mapped = dev();
    mapped.claims.user = "email".into();
    mapped.claims.roles = "realm_access.roles".into();
    mapped.claims.tenant = "https://example.com/tenant".into();
    let authenticator = authenticator(&[mapped]);
    let token = dev_token(json!({
        "email": "alice@example.com", "realm_access": { "roles": ["r"] }, "https://example.com/tenant": "t",
        "azp": ["odd"], "scope": ["s1", "s2"],
    }));
    let principal = outcome(&authenticator, &token, NOW).await.unwrap();
    assert_eq!(principal.subject, "alice@example.com");
    assert_eq!(principal.roles, names(&["r"]));
    assert_eq!(principal.tenant.as_deref(), Some("t"));
    assert_eq!(principal.agent, None, "an odd claim is not made up for by another");
    assert_eq!(principal.scopes, names(&["s1", "s2"]));
    let without = dev_token(json!({ "email": "a@example.com", "realm_access": "roles" }));
    assert_eq!(outcome(&authenticator, &without, NOW).await.unwrap().roles, names(&[]));
}

#[tokio::test]
async fn a_remembered_token_is_refused_when_a_new_one_would_be() {
    let authenticator = authenticator(&[dev()]);
    let token = dev_token(json!({ "nbf": NOW_SECS, "exp": NOW_SECS + 60 }));
    assert_eq!(authenticator.recall(&token, Some("work"), NOW), None);
    let first = outcome(&authenticator, &token, NOW).await.unwrap();
    assert!(Arc::ptr_eq(&first, &outcome(&authenticator, &token, NOW).await.unwrap()), "the second costs a hash");
    assert!(Arc::ptr_eq(&first, &authenticator.recall(&token, Some("work"), NOW).unwrap()));
    let at = |secs| Timestamp::from_secs(NOW_SECS + secs);
    assert!(outcome(&authenticator, &token, at(89)).await.is_ok());
    assert_eq!(outcome(&authenticator, &token, at(90)).await, Err("expired"));
    assert!(outcome(&authenticator, &token, NOW).await.is_ok());
    assert_eq!(outcome(&authenticator, &token, at(-31)).await, Err("not_yet_valid"), "the clock was set back");
    let old = dev_token(json!({ "iat": NOW_SECS, "exp": NOW_SECS + 90_000 }));
    assert!(outcome(&authenticator, &old, at(3600)).await.is_ok());
    assert_eq!(outcome(&authenticator, &old, at(3601)).await, Err("too_old"));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let other = format!("{message}.{first}{}", &signature[1..]);
    assert_eq!(outcome(&authenticator, &other, NOW).await, Err("signature"), "one bit off is another token");
}

#[tokio::test]
async fn a_principal_lasts_no_longer_than_its_token_is_accepted() {
    let mut aging = dev();
    aging.max_token_age = Duration::from_secs(60);
    let token = Signer::Secret.sign(Some("any"), &claims_of("dev", json!({})));
    let principal = outcome(&authenticator(&[aging]), &token, NOW).await.unwrap();
    assert_eq!(principal.expires_at, Some(Timestamp::from_secs(NOW_SECS - 10 + 60)), "by its age, before its `exp`");
}

#[tokio::test]
async fn a_minted_token_is_a_good_one() {
    let mut mapped = dev();
    mapped.claims.roles = "realm_access.roles".into();
    let key = SigningKey::of(&mapped).unwrap();
    let mut request = MintRequest::new(&mapped, "alice", Duration::from_secs(900));
    request.roles = vec!["oncall".into(), "viewer".into()];
    request.tenant = Some("acme".into());
    request.agent = Some("agent-7".into());
    request.scopes = vec!["mcp:read".into()];
    let token = mint(&request, &key, NOW).unwrap();
    let principal = outcome(&authenticator(&[mapped]), &token, NOW).await.unwrap();
    assert_eq!(principal.subject, "alice");
    assert_eq!(principal.roles, names(&["oncall", "viewer"]));
    assert_eq!(principal.tenant.as_deref(), Some("acme"));
    assert_eq!(principal.agent.as_deref(), Some("agent-7"));
    assert_eq!(principal.scopes, names(&["mcp:read"]));
    assert_eq!(principal.expires_at, Some(NOW.plus(Duration::from_secs(900))));
    let refused = SigningKey::of(&pem("rsa", RSA_PUBLIC, Algorithm::RS256));
    assert!(matches!(refused.err(), Some(MintError::NoSecret(name)) if name == "rsa"));
}
