//! Keys that an issuer publishes: first use, rotation, floods, outages, faults, discovery (security.md cases 83 to 87).

use super::idp::{Answer, Idp};
use super::signing::{NOW, Signer, claims_of};
use crate::config::document::gateway::Algorithm;
use crate::config::snapshot::{Issuer, KeySource};
use crate::identity::Authenticator;
use crate::identity::fetch::{FetchError, Fetcher, Source};
use futures::future::join_all;
use portcullis_core::reject::Rejection;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn token(idp: &Idp, signer: Signer, kid: &str) -> String {
    signer.sign(Some(kid), &claims_of(&idp.url, json!({})))
}

/// Distinct tokens, so that none is remembered.
fn tokens(idp: &Idp, signer: Signer, count: usize, kid: impl Fn(usize) -> String) -> Vec<String> {
    let one = |n: usize| signer.sign(Some(&kid(n)), &claims_of(&idp.url, json!({ "jti": n })));
    (0..count).map(one).collect()
}

async fn label(authenticator: &Authenticator, token: &str, at: Instant) -> &'static str {
    match authenticator.authenticate_at(token, Some("work"), NOW, at).await {
        Ok(_) => "ok",
        Err(Rejection::Unauthenticated { reason }) => reason,
        Err(other) => other.row().label,
    }
}

fn authenticator(issuer: Issuer) -> Authenticator {
    Authenticator::new(&[issuer], None, std::sync::Arc::new(|_, _| {})).unwrap()
}

/// Asks again until the token is answered so: a fetch in the background has then ended.
async fn until(authenticator: &Authenticator, token: &str, at: Instant, expected: &str) {
    let wait = async {
        while label(authenticator, token, at).await != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect(expected);
}

#[tokio::test]
async fn callers_that_come_together_wait_for_one_fetch() {
    let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
    let authenticator = authenticator(idp.issuer());
    let at = Instant::now();
    assert_eq!(idp.fetches(), 0, "nothing is fetched before the first token");
    let tokens = tokens(&idp, Signer::Ec, 30, |_| "e".into());
    let labels = join_all(tokens.iter().map(|token| label(&authenticator, token, at))).await;
    assert_eq!(labels, vec!["ok"; 30]);
    assert_eq!(idp.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_removed_one_no_more() {
    let idp = Idp::start(json!([Signer::RsaA.named("a")])).await;
    let authenticator = authenticator(idp.issuer());
    let (old, new) = (token(&idp, Signer::RsaA, "a"), token(&idp, Signer::RsaB, "b"));
    let at = Instant::now();
    assert_eq!(label(&authenticator, &old, at).await, "ok");
    idp.publish(json!([Signer::RsaA.named("a"), Signer::RsaB.named("b")]));
    let later = Instant::now();
    assert_eq!(label(&authenticator, &new, later).await, "ok");
    assert_eq!((label(&authenticator, &old, later).await, idp.fetches()), ("ok", 2), "while both are published");
    idp.publish(json!([Signer::RsaB.named("b")]));
    let overlap = later + 11 * MINUTE;
    until(&authenticator, &old, overlap, "unknown_key").await;
    assert_eq!(label(&authenticator, &new, overlap).await, "ok");
}

#[tokio::test]
async fn a_key_that_changes_under_the_same_name_is_not_trusted_from_memory() {
    let idp = Idp::start(json!([Signer::RsaA.named("a")])).await;
    let authenticator = authenticator(idp.issuer());
    let old = token(&idp, Signer::RsaA, "a");
    let at = Instant::now();
    assert_eq!(label(&authenticator, &old, at).await, "ok");
    idp.publish(json!([Signer::RsaB.named("a")]));
    until(&authenticator, &old, at + 11 * MINUTE, "signature").await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_fetch_in_ten_seconds() {
    let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
    let authenticator = authenticator(idp.issuer());
    let begun = Instant::now();
    let good = token(&idp, Signer::Ec, "e");
    assert_eq!(label(&authenticator, &good, begun).await, "ok");
    let flood = tokens(&idp, Signer::Ed, 500, |n| format!("made-up-{n}"));
    for (second, fetches) in [(5, 2), (8, 2), (14, 2), (16, 3), (25, 3)] {
        let at = begun + Duration::from_secs(second);
        let labels = join_all(flood.iter().map(|token| label(&authenticator, token, at))).await;
        assert_eq!(labels, vec!["unknown_key"; 500], "{second}");
        assert_eq!(idp.fetches(), fetches, "{second}");
        assert_eq!(label(&authenticator, &good, at).await, "ok");
    }
}

#[tokio::test]
async fn an_unknown_key_on_first_use_causes_no_second_fetch() {
    let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
    let authenticator = authenticator(idp.issuer());
    let odd = token(&idp, Signer::Ed, "x");
    assert_eq!(label(&authenticator, &odd, Instant::now()).await, "unknown_key");
    assert_eq!(idp.fetches(), 1);
}

#[tokio::test]
async fn keys_outlive_an_outage_of_a_day_and_no_longer() {
    let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
    let authenticator = authenticator(idp.issuer());
    let remembered = token(&idp, Signer::Ec, "e");
    let new = tokens(&idp, Signer::Ec, 3, |_| "e".into());
    let begun = Instant::now();
    assert_eq!(label(&authenticator, &remembered, begun).await, "ok");
    idp.set("/keys", Answer::Status(500));
    assert_eq!(label(&authenticator, &new[0], begun + 11 * MINUTE).await, "ok");
    assert_eq!(label(&authenticator, &new[1], begun + DAY - MINUTE).await, "ok");
    let (after, fetches) = (begun + DAY + MINUTE, idp.fetches());
    assert_eq!(label(&authenticator, &remembered, after).await, "keys_unavailable", "even a token that was good");
    assert_eq!(label(&authenticator, &new[2], after).await, "keys_unavailable");
    assert!(idp.fetches() <= fetches + 2, "a failure is remembered for two seconds");
    idp.publish(json!([Signer::Ec.named("e")]));
    assert_eq!(label(&authenticator, &remembered, after + Duration::from_secs(13)).await, "ok");
}

#[tokio::test]
async fn a_failed_first_fetch_is_remembered_shortly() {
    let idp = Idp::start(json!([])).await;
    let authenticator = authenticator(idp.issuer());
    let tokens = tokens(&idp, Signer::Ec, 3, |_| "e".into());
    let begun = Instant::now();
    assert_eq!(label(&authenticator, &tokens[0], begun).await, "keys_unavailable");
    idp.publish(json!([Signer::Ec.named("e")]));
    assert_eq!(label(&authenticator, &tokens[1], begun + Duration::from_secs(1)).await, "keys_unavailable");
    assert_eq!(idp.fetches(), 1);
    assert_eq!(label(&authenticator, &tokens[2], begun + Duration::from_secs(8)).await, "ok");
}

#[tokio::test]
async fn a_bad_key_set_changes_nothing() {
    let good = json!([Signer::RsaA.named("a")]);
    let elsewhere = Idp::start(json!([Signer::RsaB.named("b")])).await;
    let valid = json!({ "keys": [Signer::RsaB.named("b")] }).to_string();
    let huge = [vec![b' '; 10 << 20], valid.into_bytes()].concat();
    let twice = json!({ "keys": [Signer::RsaB.named("b"), Signer::RsaB.named("b")] });
    for answer in [
        Answer::Status(404),
        Answer::Status(204),
        Answer::Redirect(format!("{}/keys", elsewhere.url)),
        Answer::Bytes(b"<html>".to_vec()),
        Answer::Bytes(huge),
        Answer::Json(twice),
        Answer::Json(json!({ "keys": [] })),
        Answer::Json(json!({ "keys": [Signer::RsaWeak.named("b")] })),
        Answer::Json(json!({ "keys": [Signer::RsaB.jwk(json!({ "kid": "b", "use": "enc" }))] })),
    ] {
        let idp = Idp::start(good.clone()).await;
        let authenticator = authenticator(idp.issuer());
        let (old, new) = (token(&idp, Signer::RsaA, "a"), token(&idp, Signer::RsaB, "b"));
        assert_eq!(label(&authenticator, &old, Instant::now()).await, "ok");
        idp.set("/keys", answer);
        assert_eq!(label(&authenticator, &new, Instant::now()).await, "unknown_key");
        assert_eq!((label(&authenticator, &old, Instant::now()).await, idp.fetches()), ("ok", 2));
    }
    assert_eq!(elsewhere.fetches(), 0, "redirects are not followed");
}

#[tokio::test]
async fn an_issuer_that_never_answers_keeps_nobody_longer_than_five_seconds() {
    let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
    let authenticator = authenticator(idp.issuer());
    let (good, odd) = (token(&idp, Signer::Ec, "e"), tokens(&idp, Signer::Ed, 20, |n| format!("x{n}")));
    assert_eq!(label(&authenticator, &good, Instant::now()).await, "ok");
    idp.set("/keys", Answer::Never);
    let begun = Instant::now();
    let waiting = join_all(odd.iter().map(|token| label(&authenticator, token, begun)));
    let served = async {
        while idp.fetches() < 2 {
            tokio::task::yield_now().await;
        }
        (label(&authenticator, &good, Instant::now()).await, begun.elapsed())
    };
    let (labels, (label, served_after)) = tokio::join!(waiting, served);
    assert_eq!((label, served_after < Duration::from_secs(4)), ("ok", true), "others do not wait");
    assert_eq!(labels, vec!["unknown_key"; 20]);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reload_keeps_keys_and_forgets_what_was_verified() {
    let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
    let before = authenticator(idp.issuer());
    let token = token(&idp, Signer::Ec, "e");
    assert_eq!(label(&before, &token, Instant::now()).await, "ok");
    let same = Authenticator::new(&[idp.issuer()], Some(&before), std::sync::Arc::new(|_, _| {})).unwrap();
    assert_eq!((label(&same, &token, Instant::now()).await, idp.fetches()), ("ok", 1));
    let moved = Issuer { audiences: vec!["https://elsewhere.example.com".into()], ..idp.issuer() };
    let moved = Authenticator::new(&[moved], Some(&same), std::sync::Arc::new(|_, _| {})).unwrap();
    assert_eq!(label(&moved, &token, Instant::now()).await, "audience");
    let narrowed = Issuer { algorithms: vec![Algorithm::RS256], ..idp.issuer() };
    let narrowed = Authenticator::new(&[narrowed], Some(&moved), std::sync::Arc::new(|_, _| {})).unwrap();
    assert_eq!(label(&narrowed, &token, Instant::now()).await, "algorithm");
    assert_eq!(idp.fetches(), 1);
    let gone = Authenticator::new(&[super::signing::dev()], Some(&narrowed), std::sync::Arc::new(|_, _| {})).unwrap();
    assert_eq!(label(&gone, &token, Instant::now()).await, "unknown_issuer");
}

#[tokio::test]
async fn a_key_of_one_issuer_signs_nothing_for_another() {
    let first = Idp::start(json!([Signer::RsaA.named("same")])).await;
    let second = Idp::start(json!([Signer::RsaB.named("same")])).await;
    let authenticator =
        Authenticator::new(&[first.issuer(), second.issuer()], None, std::sync::Arc::new(|_, _| {})).unwrap();
    let at = Instant::now();
    assert_eq!(label(&authenticator, &token(&first, Signer::RsaA, "same"), at).await, "ok");
    assert_eq!(label(&authenticator, &token(&second, Signer::RsaB, "same"), at).await, "ok");
    assert_eq!(label(&authenticator, &token(&second, Signer::RsaA, "same"), at).await, "signature");
    assert_eq!(label(&authenticator, &token(&first, Signer::RsaB, "same"), at).await, "signature");
}

/// An issuer with `path`, found by discovery.
fn discovered(idp: &Idp, path: &str) -> Issuer {
    let name = format!("{}{path}", idp.url);
    Issuer { keys: KeySource::Discovery(name.parse().unwrap()), issuer: name, ..idp.issuer() }
}

#[tokio::test]
async fn keys_are_found_where_the_metadata_says() {
    for (path, well_known) in [
        ("", "/.well-known/openid-configuration"),
        ("/", "/.well-known/openid-configuration"),
        ("/realms/x", "/realms/x/.well-known/openid-configuration"),
        ("", "/.well-known/oauth-authorization-server"),
        ("/realms/x", "/.well-known/oauth-authorization-server/realms/x"),
        ("/realms/x/", "/.well-known/oauth-authorization-server/realms/x"),
    ] {
        let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
        let issuer = discovered(&idp, path);
        let metadata = json!({ "issuer": issuer.issuer, "jwks_uri": format!("{}/keys", idp.url), "other": [] });
        idp.set(well_known, Answer::Json(metadata));
        let token = Signer::Ec.sign(Some("e"), &claims_of(&issuer.issuer, json!({})));
        assert_eq!(label(&authenticator(issuer), &token, Instant::now()).await, "ok", "{path} {well_known}");
    }
}

async fn fault(idp: &Idp, metadata: Value) -> FetchError {
    idp.set("/.well-known/openid-configuration", Answer::Json(metadata));
    let source = Source::Discovery { issuer: idp.url.clone(), url: idp.url.parse().unwrap() };
    Fetcher::new(std::sync::Arc::new(|_, _| {})).unwrap().keys(&source).await.err().expect("a fault")
}

#[tokio::test]
async fn metadata_can_not_send_us_elsewhere() {
    let idp = Idp::start(json!([Signer::Ec.named("e")])).await;
    let keys = format!("{}/keys", idp.url);
    for other in [format!("{}/", idp.url), "https://idp.example.com".to_owned(), String::new()] {
        let error = fault(&idp, json!({ "issuer": other, "jwks_uri": keys })).await;
        assert!(matches!(error, FetchError::OtherIssuer), "{other}: {error}");
    }
    for jwks_uri in [
        "http://idp.example.com/keys",
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest",
        "https://[::ffff:10.0.0.1]/keys",
        "https://0x0a.1/keys",
        "https://user:pass@idp.example.com/keys",
        "file:///etc/passwd",
    ] {
        let error = fault(&idp, json!({ "issuer": idp.url, "jwks_uri": jwks_uri })).await;
        assert!(matches!(error, FetchError::ForeignKeySet), "{jwks_uri}: {error}");
    }
    let error = fault(&idp, json!({ "issuer": idp.url, "jwks_uri": "https://localhost:1/keys" })).await;
    assert!(matches!(&error, FetchError::Unreachable(why) if why.contains("not public")), "{error}");
    for odd in [json!({ "issuer": idp.url }), json!({ "issuer": idp.url, "jwks_uri": 7 }), json!([])] {
        let error = fault(&idp, odd.clone()).await;
        assert!(matches!(error, FetchError::NotMetadata), "{odd}: {error}");
    }
    assert_eq!(idp.fetches(), 0);
}
