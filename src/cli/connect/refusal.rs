//! What the client is told where there is no answer: a JSON-RPC error that says what to do. Codes are the gateway's own,
//! -31000 less the HTTP status; those of the server stay.

use super::http::{Failure, Http, retry_after};
use super::message::{self, RpcError};
use bytes::Bytes;
use portcullis_core::reject::whole_secs;
use portcullis_core::units::Span;
use reqwest::header::{HeaderMap, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// A refusal's body is not read further.
const MAX_BODY: usize = 1 << 20;

/// Nor for longer.
const BODY: Duration = Duration::from_secs(10);

/// As much of a server's own words as is passed on.
const MAX_WORDS: usize = 300;

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status; 0 where there was no answer.
    pub status: u16,
    /// Whether the server itself said it, in JSON-RPC.
    pub spoken: bool,
    /// The JSON-RPC code.
    pub code: i64,
    text: String,
    data: Option<Value>,
}

impl Refusal {
    /// One of our own.
    pub fn new(code: i64, text: impl Into<String>) -> Self {
        Self { status: 0, spoken: false, code, text: text.into(), data: None }
    }

    /// There was no answer.
    pub fn of(failure: &Failure, http: &Http) -> Self {
        let url = http.shown();
        match failure {
            Failure::NoToken(reason) => Self::new(-31401, format!("no token can be had: {reason}")),
            Failure::Unreachable(reason) => Self::new(
                -31502,
                format!("{url} can't be reached ({reason}); nothing was sent. Check the URL, and that the server runs"),
            ),
            Failure::Broken(reason) => Self::new(
                -31502,
                format!("the answer of {url} broke off ({reason}). The request may have run, so it was not sent again"),
            ),
            Failure::Silent(wait) => Self::new(
                -31504,
                format!("nothing came from {url} for {}. The request may still run; see --timeout", Span(*wait)),
            ),
        }
    }

    /// The answer is a refusal, or none at all.
    pub async fn read(response: Response, http: &Http) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let wait = retry_after(&response);
        let body = body(response).await;
        let spoken = message::outcome(&body).error;
        let words = spoken.as_ref().map(|error| words(&error.message)).filter(|words| !words.is_empty());
        let url = http.shown();
        let text = match status {
            StatusCode::UNAUTHORIZED if http.tokens.expected() => {
                format!("{url} refused the token (401): check that it is valid, and meant for this URL")
            }
            StatusCode::UNAUTHORIZED => {
                format!("{url} wants a token (401): set PORTCULLIS_TOKEN, or use --token-file or --token-command")
            }
            StatusCode::FORBIDDEN => forbidden(&headers, words.as_deref(), &url),
            StatusCode::TOO_MANY_REQUESTS => match wait {
                Some(wait) => format!("a limit of {url} is reached (429): try again in {} s", whole_secs(wait)),
                None => format!("a limit of {url} is reached (429): try again later"),
            },
            _ => match &spoken {
                Some(error) => error.message.clone().into_owned(),
                None => plain(status, &headers, &url),
            },
        };
        let (code, data) = spoken.as_ref().map_or((None, None), told);
        let ours = -31000 - i64::from(status.as_u16());
        Self { status: status.as_u16(), spoken: code.is_some(), code: code.unwrap_or(ours), text, data }
    }

    /// As a response to the request with the raw id `id`.
    pub fn line(&self, id: &[u8]) -> Bytes {
        let mut error = json!({ "code": self.code, "message": self.text });
        if let (Some(error), Some(data)) = (error.as_object_mut(), &self.data) {
            error.insert("data".into(), data.clone());
        }
        message::response(id, "error", error.to_string().as_bytes())
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a log may hold of it: of a server's own words their code, since they may repeat what was sent.
    pub fn logged(&self) -> Cow<'_, str> {
        if self.spoken { format!("error {} (HTTP {})", self.code, self.status).into() } else { (&*self.text).into() }
    }
}

fn told(error: &RpcError<'_>) -> (Option<i64>, Option<Value>) {
    (Some(error.code), error.data.and_then(|data| serde_json::from_str(data.get()).ok()))
}

/// RFC 6750 section 3.1.
fn forbidden(headers: &HeaderMap, words: Option<&str>, url: &str) -> String {
    let challenge = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if parameter(challenge, "error").as_deref() == Some("insufficient_scope") {
        return match parameter(challenge, "scope") {
            Some(scope) => {
                format!("the token lacks a scope that {url} asks for: get one with `{}`", self::words(&scope))
            }
            None => format!("the token lacks a scope that {url} asks for (403)"),
        };
    }
    match words {
        Some(words) => format!("{url} refused access (403): {words}"),
        None => format!("{url} refused access (403): this token may not do that"),
    }
}

/// For an answer that says nothing in JSON-RPC.
fn plain(status: StatusCode, headers: &HeaderMap, url: &str) -> String {
    let code = status.as_u16();
    match code {
        200..=299 => format!("{url} took the request and gave no answer to it ({code}): is it an MCP endpoint?"),
        300..=399 => {
            let there = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let there = there.and_then(|there| Url::parse(there).ok()).map(|there| super::shown(&there));
            let there = there.map_or(String::new(), |there| format!(" to {}", words(&there)));
            format!(
                "{url} redirects{there} ({code}), which is not followed, as the token is for this URL alone; if it is \
                 meant, connect to the other"
            )
        }
        404 => format!("there is nothing at {url} (404): check the path"),
        405 => format!("{url} takes no POST (405): is it an MCP endpoint of Streamable HTTP?"),
        413 => format!("the message is larger than {url} takes (413)"),
        400..=499 => format!("{url} refused the request ({code})"),
        _ => format!("{url} failed with status {code}: try again later"),
    }
}

/// A server's own words, in one line and not too many.
fn words(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_WORDS).collect::<String>().trim().to_owned()
}

/// A parameter of a challenge (RFC 9110 section 11.2).
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some((before, after)) = rest.split_once('=') {
        let key = before.rsplit([' ', ',', '\t']).next().unwrap_or_default();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once([',', ' ']).unwrap_or((after, "")),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after;
    }
    None
}

async fn body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let end = Instant::now() + BODY;
    while let Ok(Ok(Some(chunk))) = timeout_at(end, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY {
            return Vec::new();
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let challenge =
            r#"Bearer resource_metadata="https://a/.well-known/x?a=b, c", error="insufficient_scope", scope="a b""#;
        assert_eq!(parameter(challenge, "error").as_deref(), Some("insufficient_scope"));
        assert_eq!(parameter(challenge, "Scope").as_deref(), Some("a b"));
        assert_eq!(parameter("Bearer error=invalid_token, scope=x", "scope").as_deref(), Some("x"));
        for odd in ["", "Bearer", "Bearer scope=\"open", "=", "a==b", "scope"] {
            assert_eq!(parameter(odd, "scope").filter(|scope| scope != "\"open"), None, "{odd}");
        }
    }

    #[test]
    fn a_servers_words_are_short_and_steer_no_terminal() {
        assert_eq!(words("a\u{1b}[2J\nb "), "a [2J b");
        assert_eq!(words(&"x".repeat(1000)).len(), MAX_WORDS);
    }
}
