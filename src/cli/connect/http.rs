//! The wire: requests with a token, and what is tried again. Only what provably did not run is: where nobody took the
//! connection (nothing was sent), and where the server refused before it looked (401, 429). Redirects are not followed.

use super::token::Tokens;
use super::{Options, Source, is_loopback, shown};
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Response, StatusCode};
use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;
use url::Url;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Below the five seconds after which Node's and uvicorn's servers close an idle connection: a call that meets the
/// closing can't be sent again.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// How often a dead peer is looked for, under streams that may be silent for hours.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The pauses before a connection that nobody took is tried again, as while a server is restarted.
const RECONNECT: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// How long a request waits in all for a rate to have room again.
const PATIENCE_WITH_LIMITS: Duration = Duration::from_secs(20);

/// The least of it that each wait takes, whatever the server says: so that one that says 0 is not asked without end.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// Names that `--header` may not give: they are what this program is for.
const OURS: [&str; 8] =
    ["accept", "connection", "content-length", "content-type", "host", "last-event-id", "transfer-encoding", "upgrade"];

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// There is no token to send; nothing was sent.
    NoToken(String),
    /// No connection came about; nothing was sent.
    Unreachable(String),
    /// The exchange broke off.
    Broken(String),
    /// Nothing came for so long.
    Silent(Duration),
}

/// Sends requests to one URL.
pub struct Http {
    client: Client,
    url: Url,
    fixed: HeaderMap,
    /// The token.
    pub tokens: Tokens,
}

impl Http {
    /// A client without connections.
    ///
    /// # Errors
    /// A header or a certificate makes no sense.
    pub fn new(options: &Options, source: Source) -> anyhow::Result<Self> {
        let tokens = Tokens::new(source);
        let fixed = headers(&options.headers)?;
        let twice = tokens.expected() && fixed.contains_key(AUTHORIZATION);
        ensure!(!twice, "there is a token and a header Authorization; leave one of them out");
        Ok(Self { client: client(options)?, url: options.url.clone(), fixed, tokens })
    }

    /// The URL, for people.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// POSTs a message. The head of the answer must come within `wait`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(&self, headers: &HeaderMap, body: Bytes, wait: Duration) -> Result<Response, Failure> {
        let mut headers = headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(Method::POST, headers, body, Some(wait)).await
    }

    /// Asks for a stream. Its head may take as long as it likes, since servers send it with the first event.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(&self, headers: &HeaderMap) -> Result<Response, Failure> {
        let mut headers = headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.send(Method::GET, headers, Bytes::new(), None).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn delete(&self, headers: &HeaderMap, wait: Duration) -> Result<Response, Failure> {
        self.send(Method::DELETE, headers.clone(), Bytes::new(), Some(wait)).await
    }

    async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        wait: Option<Duration>,
    ) -> Result<Response, Failure> {
        let mut pauses = RECONNECT.into_iter();
        let mut patience = PATIENCE_WITH_LIMITS;
        let mut replaced = false;
        loop {
            let token = self.tokens.current().await.map_err(Failure::NoToken)?;
            let mut request = self.client.request(method.clone(), self.url.clone());
            request = request.headers(self.fixed.clone()).headers(headers.clone());
            if let Some(token) = &token {
                request = request.header(AUTHORIZATION, token.header.clone());
            }
            if method == Method::POST {
                request = request.body(body.clone());
            }
            let response = match within(wait, request.send()).await? {
                Ok(response) => response,
                Err(error) if is_refused(&error) => match pauses.next() {
                    Some(pause) => {
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    None => return Err(failure(&error)),
                },
                Err(error) => return Err(failure(&error)),
            };
            tracing::debug!(method = %method, status = response.status().as_u16(), "answered");
            match (response.status(), token) {
                (StatusCode::UNAUTHORIZED, Some(token)) if !replaced => {
                    replaced = true;
                    if self.tokens.instead_of(token.serial).await.is_none() {
                        return Ok(response);
                    }
                }
                (StatusCode::TOO_MANY_REQUESTS, _) => match pause(retry_after(&response), &mut patience) {
                    Some(pause) => {
                        tracing::info!(seconds = pause.as_secs(), "a limit is reached; waiting");
                        tokio::time::sleep(pause).await;
                    }
                    None => return Ok(response),
                },
                _ => return Ok(response),
            }
        }
    }
}

/// What `future` gives, within `wait` where there is one.
///
/// # Errors
/// It took too long.
pub async fn within<T>(wait: Option<Duration>, future: impl Future<Output = T>) -> Result<T, Failure> {
    match wait {
        Some(wait) => tokio::time::timeout(wait, future).await.map_err(|_| Failure::Silent(wait)),
        None => Ok(future.await),
    }
}

/// Why `error` came, without the URL, which may hold what is secret.
pub fn failure(error: &reqwest::Error) -> Failure {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // The outermost one repeats the URL.
    let reason = if error.source().is_some() { cause.to_string() } else { "the exchange failed".into() };
    if error.is_connect() { Failure::Unreachable(reason) } else { Failure::Broken(reason) }
}

/// Whether nobody listens there: the one failure that a restart explains, and that proves that nothing was sent.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// How long to wait where a server has `asked` for that, taken off `patience`; `None` where that is not enough, or where
/// the server did not say.
fn pause(asked: Option<Duration>, patience: &mut Duration) -> Option<Duration> {
    let pause = asked?.max(SHORTEST_WAIT);
    *patience = patience.checked_sub(pause)?;
    Some(pause)
}

/// In seconds alone (RFC 9110 section 10.2.3): a date says nothing without the server's clock.
pub fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn client(options: &Options) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(KEEP_IDLE)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_while_idle(false)
        .user_agent(concat!("portcullis-connect/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&options.url) {
        // A proxy that the environment names is for the world outside.
        builder = builder.no_proxy();
    }
    if let Some(path) = &options.ca {
        let pem = std::fs::read(path).with_context(|| format!("--ca: {} can't be read", path.display()))?;
        let authorities = Certificate::from_pem_bundle(&pem).ok().filter(|authorities| !authorities.is_empty());
        let authorities = authorities.with_context(|| format!("--ca: {} holds no certificate", path.display()))?;
        builder = builder.tls_certs_only(authorities);
    } else if options.url.scheme() == "http" {
        // So that it runs where no certificates are installed.
        builder = builder.tls_certs_only([]);
    }
    builder.build().context("no HTTPS client can be made; install the system's certificates (package ca-certificates)")
}

fn headers(lines: &[String]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (position, line) in lines.iter().enumerate() {
        // The value may be secret, and so may be what was taken for a name.
        let nth = position + 1;
        let Some((name, value)) = line.split_once(':') else { bail!("--header no. {nth} is not `Name: value`") };
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let value = HeaderValue::from_str(value.trim());
        let (Ok(name), Ok(mut value)) = (name, value) else {
            bail!("--header no. {nth} is not `Name: value` of ASCII")
        };
        let ours = OURS.contains(&name.as_str()) || name.as_str().starts_with("mcp-");
        ensure!(!ours, "--header can't set {name}: what it says follows from each message");
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server may say what it likes, in whatever order.
    #[test]
    fn limits_are_waited_for_until_patience_ends() {
        let waits = |asked: &[u64]| {
            let mut patience = PATIENCE_WITH_LIMITS;
            asked.iter().map_while(|asked| pause(Some(Duration::from_secs(*asked)), &mut patience)).count()
        };
        assert_eq!(waits(&[20, 0]), 1, "nothing is left for the second");
        assert_eq!(waits(&[0; 30]), 20);
        assert_eq!(waits(&[19, 1, 0]), 2);
        assert_eq!(waits(&[21]), 0);
        assert_eq!(waits(&[u64::MAX]), 0);
        assert_eq!(pause(None, &mut PATIENCE_WITH_LIMITS.clone()), None);
    }

    #[test]
    fn headers_of_the_protocol_are_not_for_the_command_line() {
        let read = |line: &str| headers(&[line.to_owned()]);
        let good = read("X-Api-Key:  s3cret ").unwrap();
        assert_eq!(good["x-api-key"], "s3cret");
        assert!(good["x-api-key"].is_sensitive());
        for bad in ["X-Api-Key", ": a", "a b: c", "x: a\nb: c", "Host: a", "mcp-session-id: a", "Content-Type: a"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.starts_with("--header") && !error.contains("s3cret"), "{bad}: {error}");
        }
    }
}
