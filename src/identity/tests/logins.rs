//! What is asked of the issuer that people log in at, and of which one nobody does.

use super::idp::{Answer, Idp};
use crate::config::snapshot::{Issuer, Login};
use crate::identity::Authenticator;
use crate::identity::login::{Attempt, LoginError};
use futures::future::join_all;
use serde_json::{Value, json};

const METADATA: &str = "/.well-known/openid-configuration";

fn login(issuer: Issuer) -> Login {
    let url = issuer.issuer.parse().unwrap();
    Login { issuer, url, client_id: "console".into(), client_secret: None, scopes: "openid".into() }
}

fn attempt() -> Attempt {
    let word = |text: &str| text.to_owned();
    Attempt { redirect_uri: word("http://127.0.0.1/x"), state: word("s"), nonce: word("n"), verifier: word("v") }
}

fn authenticator(issuer: Issuer) -> Authenticator {
    Authenticator::new(&[issuer], None, std::sync::Arc::new(|_, _| {})).unwrap()
}

fn metadata(idp: &Idp, subjects: Value) -> Answer {
    let at = format!("{}/authorize", idp.url);
    Answer::Json(json!({"issuer": idp.url, "authorization_endpoint": at, "subject_types_supported": subjects}))
}

#[tokio::test]
async fn an_issuer_is_asked_about_itself_once_however_many_begin_a_login() {
    let idp = Idp::start(json!([])).await;
    idp.set(METADATA, metadata(&idp, json!(["public"])));
    let (authenticator, login) = (authenticator(idp.issuer()), login(idp.issuer()));
    let begun = join_all((0..30).map(|_| async { authenticator.login_url(&login, &attempt()).await.is_ok() })).await;
    assert_eq!(begun, vec![true; 30]);
    assert_eq!(idp.asked(METADATA), 1);
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_for_a_while() {
    let idp = Idp::start(json!([])).await;
    idp.set(METADATA, Answer::Status(500));
    let (authenticator, login) = (authenticator(idp.issuer()), login(idp.issuer()));
    for _ in 0..3 {
        let failed = authenticator.login_url(&login, &attempt()).await;
        assert!(matches!(failed, Err(LoginError::Unreachable(..))), "{failed:?}");
    }
    assert_eq!(idp.asked(METADATA), 1);
}

#[tokio::test]
async fn nobody_logs_in_under_a_name_that_no_other_client_knows() {
    for (subjects, user, accepted) in [
        (json!(["pairwise"]), "sub", false),
        (json!([]), "sub", false),
        (json!(["pairwise"]), "email", true),
        (json!(["pairwise", "public"]), "sub", true),
        (json!(null), "sub", true),
    ] {
        let idp = Idp::start(json!([])).await;
        idp.set(METADATA, metadata(&idp, subjects.clone()));
        let mut issuer = idp.issuer();
        issuer.claims.user = user.into();
        let (authenticator, login) = (authenticator(idp.issuer()), login(issuer));
        let begun = authenticator.login_url(&login, &attempt()).await;
        assert_eq!(begun.is_ok(), accepted, "{subjects} {user}");
        let ended = authenticator.log_in(&login, &attempt(), "code", super::signing::NOW).await;
        assert_eq!(matches!(ended, Err(LoginError::Pairwise(_))), !accepted, "{subjects} {user}");
    }
}
