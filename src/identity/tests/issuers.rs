//! Which issuers are taken in, and which keys of a set are used.

use super::signing::{EC_PUBLIC, ED_PUBLIC, RSA_PUBLIC, SECRET, Signer, claims_of, dev, issuer};
use crate::config::document::gateway::Algorithm;
use crate::config::snapshot::{Issuer, KeySource};
use crate::identity::Authenticator;
use crate::identity::jwt;
use crate::identity::keys::{KeySet, KeysError};
use crate::identity::refusal::Refusal;
use crate::secrets::Secret;
use serde_json::{Value, json};

const RSA_WEAK: &str = include_str!("../../../tests/keys/rsa-weak.pub.pem");
const P384: &str = include_str!("../../../tests/keys/p384.pub.pem");
const RSA_PRIVATE: &str = include_str!("../../../tests/keys/rsa-a.pem");

fn problems(issuers: &[Issuer]) -> Vec<String> {
    Authenticator::new(issuers, None, std::sync::Arc::new(|_, _| {}))
        .err()
        .map(|error| error.problems)
        .unwrap_or_default()
}

fn url(url: &str) -> url::Url {
    url.parse().unwrap()
}

#[test]
fn an_issuer_that_can_not_be_trusted_is_refused_by_name_without_its_secret() {
    let secret = |secret: &str| KeySource::Secret(Secret::new(secret.as_bytes().to_vec()));
    let pem = |pem: &str| KeySource::Pem(pem.to_owned());
    let text = std::str::from_utf8(SECRET).unwrap();
    for (keys, algorithms, expected) in [
        (secret("hunter2-hunter2-hunter2-hunter2"), &[Algorithm::HS256][..], "shorter than 32 bytes"),
        (secret(text), &[Algorithm::RS256], "not one for RS256"),
        (secret(text), &[Algorithm::HS256, Algorithm::RS256], "not one for RS256"),
        (secret(text), &[], "at least one algorithm"),
        (pem(RSA_PUBLIC), &[Algorithm::HS256], "not one for HS256"),
        (pem(RSA_PUBLIC), &[Algorithm::ES256], "not one for ES256"),
        (pem(EC_PUBLIC), &[Algorithm::EdDSA], "not one for EdDSA"),
        (pem(ED_PUBLIC), &[Algorithm::RS256], "not one for RS256"),
        (pem(RSA_WEAK), &[Algorithm::RS256], "2048"),
        (pem(P384), &[Algorithm::ES256], "P-256"),
        (pem(RSA_PRIVATE), &[Algorithm::RS256], "PUBLIC KEY"),
        (pem("hunter2"), &[Algorithm::RS256], "PUBLIC KEY"),
        (KeySource::Jwks(url("https://idp.example.com/keys")), &[Algorithm::HS256], "HS256 needs a `secret`"),
        (KeySource::Jwks(url("http://idp.example.com/keys")), &[Algorithm::RS256], "https"),
        (KeySource::Discovery(url("http://10.0.0.1/")), &[Algorithm::RS256], "https"),
    ] {
        super::idp::install_tls();
        let found = problems(&[issuer("the-issuer", keys, algorithms)]);
        assert_eq!(found.len(), 1, "{expected}: {found:?}");
        assert!(found[0].contains("the-issuer") && found[0].contains(expected), "{expected}: {found:?}");
        assert!(!found[0].contains("hunter2") && !found[0].contains(text), "{found:?}");
    }
    let nobody = Issuer { audiences: vec![], ..dev() };
    assert_eq!(problems(&[dev(), dev(), nobody]).len(), 2, "all problems at once");
    assert_eq!(problems(&[dev()]), Vec::<String>::new());
}

/// What a set of these keys says of a token that `signer` signed.
fn check(keys: Value, signer: Signer, kid: Option<&str>) -> Result<Refusal, KeysError> {
    let set = KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes())?;
    let token = signer.sign(kid, &claims_of("x", json!({})));
    // `NoToken` stands for none.
    Ok(set.verify(&jwt::parse(&token).unwrap()).err().unwrap_or(Refusal::NoToken))
}

const GOOD: Result<Refusal, KeysError> = Ok(Refusal::NoToken);

#[test]
fn a_key_is_used_for_its_own_algorithm_and_for_signatures_alone() {
    for (signer, pin) in
        [(Signer::RsaA, "RS256"), (Signer::Ec, "ES256"), (Signer::Ed, "EdDSA"), (Signer::Ed, "Ed25519")]
    {
        let with = |more: Value| check(json!([signer.jwk(more)]), signer, Some("k"));
        assert_eq!(with(json!({ "kid": "k", "alg": pin, "use": "sig", "key_ops": ["verify"] })), GOOD, "{pin}");
        for odd in [
            json!({ "kid": "k", "alg": "PS256" }),
            json!({ "kid": "k", "alg": "HS256" }),
            json!({ "kid": "k", "alg": 7 }),
            json!({ "kid": "k", "use": "enc" }),
            json!({ "kid": "k", "key_ops": ["sign"] }),
            json!({ "kid": "k", "key_ops": "verify" }),
            json!({ "kid": "k", "d": "AA" }),
            json!({ "kid": 7 }),
            json!({ "kid": "k".repeat(129) }),
            json!({ "kid": "k", "kty": "oct", "k": "AAAA" }),
            json!({ "kid": "k", "x": "AAAA", "n": "AAAA" }),
        ] {
            assert_eq!(with(odd.clone()), Err(KeysError::NoUsableKey), "{pin} {odd}");
        }
    }
    let short = json!([{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "AAAA" }]);
    assert_eq!(check(short, Signer::Ed, Some("k")), Err(KeysError::NoUsableKey), "and does not panic");
    assert_eq!(check(json!([Signer::RsaWeak.named("k")]), Signer::RsaWeak, Some("k")), Err(KeysError::NoUsableKey));
    let tiny = Signer::RsaA.jwk(json!({ "kid": "k", "e": "AQ", "alg": "RS256" }));
    assert_eq!(check(json!([tiny]), Signer::RsaA, Some("k")), Err(KeysError::NoUsableKey), "with e = 1 all is signed");
}

#[test]
fn the_key_of_a_token_is_the_one_it_names() {
    let both = json!([Signer::RsaA.named("a"), Signer::RsaB.named("b"), Signer::Ec.named("c")]);
    assert_eq!(check(both.clone(), Signer::RsaA, Some("a")), GOOD);
    assert_eq!(check(both.clone(), Signer::RsaA, Some("b")), Ok(Refusal::Signature));
    assert_eq!(check(both.clone(), Signer::RsaA, Some("c")), Ok(Refusal::Algorithm));
    assert_eq!(check(both.clone(), Signer::RsaA, Some("' OR 1=1 --")), Ok(Refusal::UnknownKey));
    assert_eq!(check(both.clone(), Signer::Ec, None), GOOD, "the only one that fits needs no name");
    assert_eq!(check(both, Signer::RsaA, None), Ok(Refusal::UnknownKey), "two fit");
    let rest = json!([{ "kty": "oct", "k": "AA" }, Signer::RsaWeak.named("w"), Signer::RsaA.named("a")]);
    assert_eq!(check(rest, Signer::RsaA, Some("a")), GOOD, "keys that can't be used are left out");
}

#[test]
fn what_is_no_key_set_is_refused_whole() {
    let twice = json!([Signer::RsaA.named("a"), Signer::RsaB.named("a")]);
    assert_eq!(check(twice, Signer::RsaA, Some("a")), Err(KeysError::DuplicateKid));
    assert_eq!(check(json!([]), Signer::RsaA, None), Err(KeysError::NoUsableKey));
    assert_eq!(check(json!([7]), Signer::RsaA, None), Err(KeysError::NotAKeySet));
    assert_eq!(check(json!({}), Signer::RsaA, None), Err(KeysError::NotAKeySet));
    for body in ["", "<html>", "[]", "{}", r#"{"keys":[],"keys":[]}"#, r#"{"keys":[{"kid":"a","kid":"b"}]}"#] {
        assert_eq!(KeySet::from_jwks(body.as_bytes()).err(), Some(KeysError::NotAKeySet), "{body}");
    }
}
