//! Group E: tokens that are almost good. Those of real issuers, with key sets that change, are in `idp`.

use crate::abuse::stage::{Attack, Stage, good};
use crate::support::http::Request;
use crate::support::tokens::{AUDIENCE, ISSUER, SECRET};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a good token.
fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "dora", "aud": AUDIENCE, "roles": ["developer"], "iat": now(), "exp": now() + 300})
}

/// The same with `claim` set, or left out where null.
fn but(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(claim);
    } else {
        claims[claim] = value;
    }
    claims
}

/// A token with exactly this header, signed well.
fn sign(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn hs256() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

fn refused(name: &'static str, request: Request) -> Attack {
    Attack::new(name, request, 401, -31401, "unauthenticated")
}

fn headers() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for alg in [json!("none"), json!("None"), json!(""), json!("HS384"), json!("RS256"), json!(null), json!(["HS256"])]
    {
        attacks.push(refused("67, 69 algorithm", good().bearer(&sign(&json!({"alg": alg}), &claims()))));
    }
    let signed = sign(&json!({"alg": "none"}), &claims());
    let (message, _) = signed.rsplit_once('.').unwrap();
    attacks.push(refused("67 without a signature", good().bearer(&format!("{message}."))));
    let with = |key: &str, value: Value| {
        let mut header = hs256();
        header[key] = value;
        sign(&header, &claims())
    };
    attacks.push(refused("72 crit", good().bearer(&with("crit", json!(["b64"])))));
    attacks.push(refused("80 encrypted", good().bearer("a.b.c.d.e")));
    attacks.push(refused("79 an ID token's type", good().bearer(&with("typ", json!("dpop+jwt")))));
    for key in ["jku", "x5u", "jwk", "x5c"] {
        let value = json!("http://127.0.0.1:1/keys");
        attacks.push(refused("71 a key of the caller's own", good().bearer(&sign_with_other_key(key, &value))));
    }
    attacks
}

/// A token that brings its own key along, and is signed with it.
fn sign_with_other_key(member: &str, value: &Value) -> String {
    let mut header = hs256();
    header[member] = value.clone();
    let token = sign(&header, &claims());
    let (message, _) = token.rsplit_once('.').unwrap();
    let key = EncodingKey::from_secret(b"a key of the caller's own, long enough for HS256");
    format!("{message}.{}", jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap())
}

fn contents() -> Vec<Attack> {
    let now = now();
    let bad = [
        ("73 expired", but("exp", json!(now - 3600))),
        ("73 no end", but("exp", Value::Null)),
        ("73 a text as end", but("exp", json!((now + 300).to_string()))),
        ("73 a fraction as end", but("exp", json!(now as f64 + 300.5))),
        ("73 a negative end", but("exp", json!(-1))),
        ("74 not yet", but("nbf", json!(now + 3600))),
        ("74 a text as begin", but("nbf", json!("0"))),
        ("75 from the future", but("iat", json!(now + 3600))),
        ("75 too old", but("iat", json!(now - 7 * 24 * 3600))),
        ("76 another issuer", but("iss", json!("evil"))),
        ("76 a slash more", but("iss", json!(format!("{ISSUER}/")))),
        ("76 a list of issuers", but("iss", json!([ISSUER]))),
        ("76 no issuer", but("iss", Value::Null)),
        ("77 another audience", but("aud", json!("elsewhere"))),
        ("77 no audience", but("aud", Value::Null)),
        ("77 an odd audience", but("aud", json!([AUDIENCE, 7]))),
        ("78 nobody", but("sub", json!(""))),
        ("78 no subject", but("sub", Value::Null)),
        ("78 a number", but("sub", json!(7))),
        ("64 a subject with a line break", but("sub", json!("dora\r\nx-user-id: root"))),
        ("64 a subject beyond ASCII", but("sub", json!("d\u{f6}ra"))),
        ("64 a long subject", but("sub", json!("d".repeat(10_000)))),
        ("79 an ID token", but("nonce", json!("n"))),
        ("79 a refresh token", but("typ", json!("Refresh"))),
    ];
    bad.into_iter().map(|(name, claims)| refused(name, good().bearer(&sign(&hs256(), &claims)))).collect()
}

fn fields() -> Vec<Attack> {
    let token = sign(&hs256(), &claims());
    let two = |first: &str, second: &str| {
        let mut request = good().header("authorization", first);
        request.headers.push(("Authorization".into(), second.into()));
        request
    };
    let raw = |value: &str| good().header("authorization", value);
    let bearer = format!("Bearer {token}");
    vec![
        refused("81 no token", good().without("authorization")),
        refused("81 two fields", two(&bearer, &bearer)),
        refused("81 two fields, one of them bad", two("Bearer a.b.c", &bearer)),
        refused("81 the scheme twice", raw(&format!("Bearer {bearer}"))),
        refused("81 a list", raw(&format!("{bearer}, {bearer}"))),
        refused("80 too long", raw(&format!("{bearer}{}", "a".repeat(8192)))),
        refused("80 three dots", raw(&format!("{bearer}.a"))),
        refused("80 padding", raw(&format!("{bearer}="))),
        refused("80 empty", raw("Bearer ")),
        refused("another scheme", raw("Basic ZG9yYTpkb3Jh")),
        Attack::runs("the scheme in lower case", raw(&format!("bearer {token}"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_almost_good_is_none() {
    let stage = Stage::set().await;
    stage.play(headers().into_iter().chain(contents()).chain(fields()).collect()).await;
    let rows = stage.gateway.calls().await;
    let refused: Vec<_> = rows.iter().filter(|row| row["error"] == "unauthenticated").collect();
    assert!(refused.iter().all(|row| row["subject"].is_null() && row["method"].is_null()), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_metadata_and_no_reason() {
    let stage = Stage::set().await;
    for request in [good().without("authorization"), good().bearer(&sign(&hs256(), &but("exp", json!(1))))] {
        let response = stage.gateway.send(&request).await;
        let challenge = response.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("resource_metadata="), "{challenge}");
        assert_eq!(response.message()["error"]["message"], "Authentication is required");
    }
    // 81: a token in the query is refused at the edge, and is not in the log.
    let mut request = good().without("authorization");
    request.path = format!("/crm/mcp?access_token={}", sign(&hs256(), &claims()));
    assert_eq!(stage.gateway.send(&request).await.status, 400);
    assert!(!stage.gateway.process.lines().iter().any(|line| line.contains("access_token=")));
}

/// 82 and 104: what is odd about roles gives none; so does a role that policy does not know.
#[tokio::test(flavor = "multi_thread")]
async fn odd_roles_are_no_roles() {
    let stage = Stage::set().await;
    let mut attacks = Vec::new();
    for roles in [
        json!([]),
        json!(null),
        json!({"developer": true}),
        json!([["developer"]]),
        json!(["developer", 7]),
        json!(vec!["developer"; 257]),
        json!(vec!["developer"; 700]),
        json!(["Developer"]),
        json!(["developer "]),
        json!(["*"]),
        json!("developer,viewer"),
        json!(["admin"]),
    ] {
        // The longest of them makes a token that is too long; that it is refused is enough.
        let token = sign(&hs256(), &but("roles", roles));
        attacks.push(match token.len() {
            ..8192 => Attack::unknown("82 odd roles", good().bearer(&token)),
            _ => refused("82 too many roles", good().bearer(&token)),
        });
    }
    stage.play(attacks).await;
}
