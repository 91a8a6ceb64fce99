//! People who log in to the console: the authorization code flow of OpenID Connect Core section 3.1, with PKCE (RFC 7636,
//! S256) and the checks of RFC 9700. What a browser keeps meanwhile, and for how long, is the console's business.

use super::fetch::{FetchError, Fetcher};
use super::{Authenticator, claims, jwt};
use crate::config::snapshot::Login;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Instant;
use url::Url;

/// What one login is told apart by. All but the verifier travels through the browser.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Where the issuer sends the browser back to.
    pub redirect_uri: String,
    /// Comes back with the browser.
    pub state: String,
    /// Comes back in the token.
    pub nonce: String,
    /// Shows the issuer that who asks for the token is who asked for the code.
    pub verifier: String,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The issuer can't be asked.
    #[error("the issuer `{0}` can't be asked: {1}")]
    Unreachable(String, String),
    /// The issuer's metadata lacks what a login needs.
    #[error("the metadata of the issuer `{0}` names no usable `{1}`; log in with another issuer")]
    NoEndpoint(String, &'static str),
    /// One human has another `sub` at each client (OpenID Connect Core section 8).
    #[error(
        "the issuer `{0}` calls a person by another `sub` at each client, so that who decides can't be told from who called; set `claims.user` of that issuer to a claim that is the same at all clients, such as `oid` or `email`"
    )]
    Pairwise(String),
    /// The issuer did not give a token for the code.
    #[error("the issuer `{0}` gave no token for the code: {1}; check console.client_id and console.client_secret")]
    NoToken(String, String),
    /// The token is not what was asked for.
    #[error("the issuer `{0}` gave a token that is not accepted ({1})")]
    BadToken(String, &'static str),
}

impl Authenticator {
    /// Where the browser must go to log in.
    ///
    /// # Errors
    /// The issuer can't be asked, or can't log people in.
    pub async fn login_url(&self, login: &Login, attempt: &Attempt) -> Result<Url, LoginError> {
        let metadata = self.metadata(login).await?;
        let mut url = endpoint(login, &metadata, "authorization_endpoint")?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.verifier.as_bytes()));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &login.client_id)
            .append_pair("redirect_uri", &attempt.redirect_uri)
            .append_pair("scope", &login.scopes)
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Who has logged in: gets the token for `code`, and believes it where all of OpenID Connect Core section 3.1.3.7 is
    /// true of it.
    ///
    /// # Errors
    /// The issuer can't be asked, or its token is not accepted.
    pub async fn log_in(
        &self,
        login: &Login,
        attempt: &Attempt,
        code: &str,
        now: Timestamp,
    ) -> Result<Principal, LoginError> {
        let metadata = self.metadata(login).await?;
        let url = endpoint(login, &metadata, "token_endpoint")?;
        let name = || login.issuer.issuer.clone();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &attempt.redirect_uri),
            ("code_verifier", &attempt.verifier),
            ("client_id", &login.client_id),
        ];
        // RFC 6749 section 2.3.1: by form where the issuer takes that, else by the header that all must take.
        let by_form = methods(&metadata).contains(&"client_secret_post");
        let secret = login.client_secret.as_ref().map(|secret| secret.expose().as_str());
        form.extend(secret.filter(|_| by_form).map(|secret| ("client_secret", secret)));
        let basic = secret.filter(|_| !by_form).map(|secret| (login.client_id.as_str(), secret));
        let answer = self.fetcher(login)?.token(&login.url, &url, &form, basic).await;
        let answer = answer.map_err(|error| LoginError::NoToken(name(), error.to_string()))?;
        let token = answer.get("id_token").and_then(Value::as_str);
        let token = token.ok_or_else(|| LoginError::NoToken(name(), "the answer has no `id_token`".to_owned()))?;
        self.identify(login, attempt, token, now).await.map_err(|reason| LoginError::BadToken(name(), reason))
    }

    async fn identify(
        &self,
        login: &Login,
        attempt: &Attempt,
        token: &str,
        now: Timestamp,
    ) -> Result<Principal, &'static str> {
        let token = jwt::parse(token).map_err(super::Refusal::label)?;
        let text = |name: &str| token.claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(&login.issuer.issuer) {
            return Err("another issuer's");
        }
        let trust = self.trust_in(token.claims.get("iss")).ok_or("unknown_issuer")?;
        let label = |rejection: Rejection| match rejection {
            Rejection::Unauthenticated { reason } => reason,
            other => other.row().label,
        };
        trust.verify(&token, Instant::now()).await.map_err(label)?;
        claims::window(&token.claims, &login.issuer, now).map_err(super::Refusal::label)?;
        if text("nonce") != Some(&attempt.nonce) {
            return Err("of another login");
        }
        if !is_for_client(&token.claims, &login.client_id) {
            return Err("audience");
        }
        claims::who(token.claims, &login.issuer).map_err(super::Refusal::label)
    }

    async fn metadata(&self, login: &Login) -> Result<Arc<Map<String, Value>>, LoginError> {
        let issuer = &login.issuer.issuer;
        let found = self.described.of(self.fetcher(login)?, issuer, &login.url).await;
        let metadata = found.map_err(|error| LoginError::Unreachable(issuer.clone(), error))?;
        if login.issuer.claims.user == "sub" && is_pairwise(&metadata) {
            return Err(LoginError::Pairwise(issuer.clone()));
        }
        Ok(metadata)
    }

    fn fetcher(&self, login: &Login) -> Result<&Fetcher, LoginError> {
        let none = || LoginError::Unreachable(login.issuer.issuer.clone(), "nothing is fetched here".to_owned());
        self.fetcher.as_deref().ok_or_else(none)
    }
}

/// Whether a token is for this client, and no other is meant beside it but with its word (`azp`).
fn is_for_client(claims: &Map<String, Value>, client: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(audience)) => audience == client,
        Some(Value::Array(list)) => {
            let azp = claims.get("azp").and_then(Value::as_str);
            list.iter().any(|audience| audience == client) && (list.len() == 1 || azp == Some(client))
        }
        _ => false,
    }
}

/// Whether an issuer says that it calls nobody by the same `sub` at all clients (OpenID Connect Discovery section 3).
fn is_pairwise(metadata: &Map<String, Value>) -> bool {
    let kinds = metadata.get("subject_types_supported").and_then(Value::as_array);
    kinds.is_some_and(|kinds| !kinds.iter().any(|kind| kind == "public"))
}

fn endpoint(login: &Login, metadata: &Map<String, Value>, name: &'static str) -> Result<Url, LoginError> {
    let text = metadata.get(name).and_then(Value::as_str);
    let url = text.and_then(|text| Url::parse(text).ok()).filter(|url| super::fetch::is_safe_beside(url, &login.url));
    url.ok_or_else(|| LoginError::NoEndpoint(login.issuer.issuer.clone(), name))
}

/// How clients may show who they are at the token endpoint (OpenID Connect Discovery section 3).
fn methods(metadata: &Map<String, Value>) -> Vec<&str> {
    let listed = metadata.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Why the token endpoint gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// It can't be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It refused (RFC 6749 section 5.2).
    #[error("it answered with status {0} and the error `{1}`")]
    Refused(u16, String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_for_another_client_logs_nobody_in() {
        for (claims, expected) in [
            (json!({"aud": "console"}), true),
            (json!({"aud": ["console"]}), true),
            (json!({"aud": ["console", "other"], "azp": "console"}), true),
            (json!({"aud": ["console", "other"]}), false),
            (json!({"aud": ["console", "other"], "azp": "other"}), false),
            (json!({"aud": "other"}), false),
            (json!({"aud": []}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_for_client(claims.as_object().unwrap(), "console"), expected, "{claims}");
        }
    }
}
