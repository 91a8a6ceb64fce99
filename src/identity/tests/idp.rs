//! An issuer on loopback that can fail in every way a real one would not on demand.

use super::signing::issuer;
use crate::config::document::gateway::Algorithm;
use crate::config::snapshot::{Issuer, KeySource};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// How the issuer answers at one path.
#[derive(Clone)]
pub enum Answer {
    Json(Value),
    Bytes(Vec<u8>),
    Status(u16),
    Redirect(String),
    Never,
}

pub struct Idp {
    /// `http://127.0.0.1:port`.
    pub url: String,
    answers: Mutex<HashMap<String, Answer>>,
    /// Requests by path.
    asked: Mutex<HashMap<String, usize>>,
}

/// reqwest needs one even for plain HTTP.
pub fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

impl Idp {
    /// Starts one with this key set at `/keys`. It ends with the test's runtime.
    pub async fn start(keys: Value) -> Arc<Self> {
        install_tls();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let idp = Arc::new(Self { url, answers: Mutex::default(), asked: Mutex::default() });
        idp.publish(keys);
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&idp));
        tokio::spawn(async move { axum::serve(listener, app).await });
        idp
    }

    pub fn set(&self, path: &str, answer: Answer) {
        self.answers.lock().insert(path.to_owned(), answer);
    }

    pub fn publish(&self, keys: Value) {
        self.set("/keys", Answer::Json(json!({ "keys": keys })));
    }

    /// Requests for the key set.
    pub fn fetches(&self) -> usize {
        self.asked("/keys")
    }

    /// Requests for `path`.
    pub fn asked(&self, path: &str) -> usize {
        self.asked.lock().get(path).copied().unwrap_or_default()
    }

    /// This issuer with its key set's URL.
    pub fn issuer(&self) -> Issuer {
        let keys = KeySource::Jwks(format!("{}/keys", self.url).parse().unwrap());
        issuer(&self.url, keys, &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA])
    }
}

async fn answer(State(idp): State<Arc<Idp>>, uri: Uri) -> Response {
    *idp.asked.lock().entry(uri.path().to_owned()).or_default() += 1;
    let answer = idp.answers.lock().get(uri.path()).cloned();
    match answer {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Answer::Json(value)) => axum::Json(value).into_response(),
        Some(Answer::Bytes(bytes)) => bytes.into_response(),
        Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Answer::Redirect(to)) => Redirect::temporary(&to).into_response(),
        Some(Answer::Never) => std::future::pending().await,
    }
}
