//! Posts batches over HTTP. What is in them is the business of `otlp` and `webhook`.
//!
//! No redirects and no proxies: the record goes where the configuration says, and nowhere else.

use super::sink::Failure;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use std::error::Error;
use std::time::Duration;
use url::Url;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// More of an answer is not read.
const MAX_BODY_BYTES: usize = 64 << 10;

/// A receiver of posts.
pub(super) struct Poster {
    url: Url,
    client: Option<Client>,
}

/// What the receiver says of a post that it took.
pub(super) struct Taken {
    /// The body of its answer, or the beginning of it.
    pub(super) body: Vec<u8>,
}

impl Poster {
    /// The receiver at `url`.
    pub(super) fn new(url: Url) -> Self {
        Self { url, client: None }
    }

    /// Posts a JSON text with further `headers`.
    pub(super) async fn post(&mut self, headers: HeaderMap, body: Vec<u8>) -> Result<Taken, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => client()?,
        };
        let client = self.client.insert(client);
        let request = client.post(self.url.clone()).headers(headers).header(CONTENT_TYPE, "application/json");
        let mut answer = request.body(body).send().await.map_err(unreachable)?;
        let (status, after) = (answer.status(), retry_after(answer.headers()));
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        judge(status, after).map(|()| Taken { body })
    }
}

/// What a status says. The three that speak of the content alone refuse the rows; others may be mended.
fn judge(status: StatusCode, after: Option<Duration>) -> Result<(), Failure> {
    let reason = format!("it answers with status {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        400 | 413 | 422 => Err(Failure::Refused { reason }),
        410 => Err(Failure::Gone { reason }),
        300..=399 => Err(Failure::later(format!("{reason}; redirects are not followed, so write the new URL"))),
        _ => Err(Failure::Later { reason, after }),
    }
}

fn client() -> Result<Client, Failure> {
    // reqwest would panic.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Failure::later("no TLS provider is installed"));
    }
    let client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    client.build().map_err(|error| Failure::later(innermost(&error)))
}

fn unreachable(error: reqwest::Error) -> Failure {
    Failure::later(format!("can't be reached: {}", innermost(&error)))
}

/// The cause at the end of the chain: the outer ones repeat the URL, which may hold what is nobody's business.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// RFC 9110 section 10.2.3, in seconds; a date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_come_again() {
        let of = |status: u16| judge(StatusCode::from_u16(status).unwrap(), Some(Duration::from_secs(7)));
        assert_eq!((of(200), of(204)), (Ok(()), Ok(())));
        for status in [400, 413, 422] {
            assert!(matches!(of(status), Err(Failure::Refused { .. })), "{status}");
        }
        for status in [301, 307, 401, 403, 404, 415, 429, 500, 503] {
            assert!(matches!(of(status), Err(Failure::Later { .. })), "{status}");
        }
        assert!(matches!(of(429), Err(Failure::Later { after: Some(_), .. })));
        assert!(matches!(of(410), Err(Failure::Gone { .. })));
    }
}
