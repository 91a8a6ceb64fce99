//! Gets an issuer's keys over HTTP: metadata, then the key set. One attempt; when to make one is `jwks`' business.
//!
//! What comes back is another party's: it is bounded in size and time, read strictly, and may not send us elsewhere
//! (MCP 2026-07-28 security best practices, "SSRF"): no redirects, no proxies, `https` unless everything is on
//! loopback, and a host that the metadata brought up must have public addresses, which are the ones then connected to.

use super::json;
use super::keys::{KeySet, KeysError};
use super::login::TokenError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use serde_json::{Map, Value};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// Metadata and key set together take no longer.
const DEADLINE: Duration = Duration::from_secs(5);

/// A larger document is not read.
const MAX_BODY_BYTES: usize = 256 << 10;

/// How long a key set is used before it is asked for again, whatever its `Cache-Control` says.
const FRESH: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(600);

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A key set.
    Jwks(Url),
    /// The metadata of this issuer, at this URL, says where.
    Discovery {
        /// The exact issuer.
        issuer: String,
        /// The same, as a URL.
        url: Url,
    },
}

impl Source {
    /// Why nothing may be fetched from here, where nothing may.
    pub fn problem(&self) -> Option<&'static str> {
        let (Self::Jwks(url) | Self::Discovery { url, .. }) = self;
        if url.scheme() != "https" && !is_loopback_http(url) {
            return Some("keys are only fetched by https, or by http on loopback; use an https URL");
        }
        if has_credentials(url) {
            return Some("a URL with a user or password is not fetched; remove them");
        }
        let odd = url.query().is_some() || url.fragment().is_some();
        // RFC 8414 section 2.
        (matches!(self, Self::Discovery { .. }) && odd).then_some("an issuer's URL has no query and no fragment")
    }
}

/// A key set, and how long it is fresh.
pub(super) struct Fetched {
    /// The keys.
    pub keys: KeySet,
    /// From a minute to ten.
    pub fresh_for: Duration,
}

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The HTTP client can't be made.
    #[error("no HTTPS client can be made ({0}); install the system's certificates (package ca-certificates)")]
    NoClient(String),
    /// It did not answer in time.
    #[error("no answer within 5 s")]
    TooSlow,
    /// It can't be reached, or broke off.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// It answered with another status than 200.
    #[error("answered with status {0}; redirects are not followed")]
    Status(u16),
    /// The answer is too large.
    #[error("answered with more than 256 KiB")]
    TooLarge,
    /// The metadata is not metadata.
    #[error("its metadata is not a JSON object with `issuer` and `jwks_uri`")]
    NotMetadata,
    /// The metadata is another issuer's (RFC 8414 section 3.3).
    #[error("its metadata names another issuer; `issuer` in gateway.yaml must be written exactly as there")]
    OtherIssuer,
    /// The metadata sends us where we don't go.
    #[error(
        "its `jwks_uri` is neither on the issuer's host nor a public https URL; set `jwks_url` in gateway.yaml if it is meant"
    )]
    ForeignKeySet,
    /// The key set can't be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// Two HTTP clients: one for hosts that the configuration names, one for those that metadata brought up.
pub(super) struct Fetcher {
    named: Client,
    brought_up: Client,
    observer: Observer,
}

/// Is told of each fetch: the issuer, or the URL of its key set where that is what is configured, and whether it
/// succeeded.
pub type Observer = Arc<dyn Fn(&str, bool) + Send + Sync>;

impl Fetcher {
    /// Reads the system's certificates.
    ///
    /// # Errors
    /// Where there are none, or where the process has not installed a TLS provider.
    pub fn new(observer: Observer) -> Result<Self, FetchError> {
        // reqwest would panic.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(FetchError::NoClient("no TLS provider is installed".into()));
        }
        let build = |client: ClientBuilder| client.build().map_err(|error| FetchError::NoClient(innermost(&error)));
        Ok(Self { named: build(client())?, brought_up: build(client().dns_resolver(Arc::new(PublicOnly)))?, observer })
    }

    /// Fetches the keys.
    pub async fn keys(&self, source: &Source) -> Result<Fetched, FetchError> {
        let fetched = tokio::time::timeout(DEADLINE, self.keys_at_leisure(source)).await;
        let fetched = fetched.unwrap_or(Err(FetchError::TooSlow));
        let name = match source {
            Source::Jwks(url) => url.as_str(),
            Source::Discovery { issuer, .. } => issuer,
        };
        (self.observer)(name, fetched.is_ok());
        fetched
    }

    async fn keys_at_leisure(&self, source: &Source) -> Result<Fetched, FetchError> {
        let answer = match source {
            Source::Jwks(url) => get(&self.named, url).await?,
            Source::Discovery { issuer, url } => {
                let jwks_uri = self.discover(issuer, url).await?;
                get(self.client_for(&jwks_uri, url)?, &jwks_uri).await?
            }
        };
        Ok(Fetched { keys: KeySet::from_jwks(&answer.body)?, fresh_for: answer.fresh_for })
    }

    /// The issuer's metadata, in time, and how long it is fresh.
    pub async fn metadata(&self, issuer: &str, url: &Url) -> Result<(Map<String, Value>, Duration), FetchError> {
        let found = tokio::time::timeout(DEADLINE, self.describe(issuer, url)).await;
        found.unwrap_or(Err(FetchError::TooSlow))
    }

    /// What the token endpoint at `url` of the issuer at `issuer` gives for `form` (RFC 6749 section 4.1.3).
    pub async fn token(
        &self,
        issuer: &Url,
        url: &Url,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Result<Map<String, Value>, TokenError> {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client_for(url, issuer)?.post(url.clone()).header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(encoded);
        let quoted = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = match basic {
            Some((client, secret)) => request.basic_auth(quoted(client), Some(quoted(secret))),
            None => request,
        };
        let asked = async {
            let response = request.send().await.map_err(|error| FetchError::Unreachable(innermost(&error)))?;
            let status = response.status().as_u16();
            Ok((status, body(response).await?))
        };
        let (status, body) = tokio::time::timeout(DEADLINE, asked).await.unwrap_or(Err(FetchError::TooSlow))?;
        let answer = json::object(&body).unwrap_or_default();
        if status == 200 {
            return Ok(answer);
        }
        let error = answer.get("error").and_then(Value::as_str).unwrap_or("none");
        Err(TokenError::Refused(status, error.chars().filter(char::is_ascii_graphic).take(64).collect()))
    }

    async fn discover(&self, issuer: &str, url: &Url) -> Result<Url, FetchError> {
        let (metadata, _) = self.describe(issuer, url).await?;
        let at = metadata.get("jwks_uri").and_then(Value::as_str).ok_or(FetchError::NotMetadata)?;
        Url::parse(at).map_err(|_| FetchError::NotMetadata)
    }

    /// OpenID Connect Discovery section 4 first, then RFC 8414 section 3.1.
    async fn describe(&self, issuer: &str, url: &Url) -> Result<(Map<String, Value>, Duration), FetchError> {
        let path = url.path().trim_end_matches('/');
        let mut at = url.clone();
        at.set_path(&format!("{path}/.well-known/openid-configuration"));
        let answer = match get(&self.named, &at).await {
            Err(FetchError::Status(400..=499)) => {
                at.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
                get(&self.named, &at).await?
            }
            answer => answer?,
        };
        let metadata = json::object(&answer.body).ok_or(FetchError::NotMetadata)?;
        match metadata.get("issuer").and_then(Value::as_str) {
            Some(named) if named == issuer => Ok((metadata, answer.fresh_for)),
            Some(_) => Err(FetchError::OtherIssuer),
            None => Err(FetchError::NotMetadata),
        }
    }

    fn client_for(&self, jwks_uri: &Url, issuer: &Url) -> Result<&Client, FetchError> {
        let all_on_loopback = is_loopback_http(issuer) && is_loopback_http(jwks_uri);
        if has_credentials(jwks_uri) || (jwks_uri.scheme() != "https" && !all_on_loopback) {
            return Err(FetchError::ForeignKeySet);
        }
        if all_on_loopback || jwks_uri.host() == issuer.host() {
            return Ok(&self.named);
        }
        let address = match jwks_uri.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        // The client asks no resolver about an address.
        if address.is_some_and(|address| !is_public(address)) {
            return Err(FetchError::ForeignKeySet);
        }
        Ok(&self.brought_up)
    }
}

fn client() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .timeout(DEADLINE)
        // A connection that idles for ten minutes is of no use.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
}

struct Answer {
    body: Vec<u8>,
    fresh_for: Duration,
}

async fn get(client: &Client, url: &Url) -> Result<Answer, FetchError> {
    let unreachable = |error: reqwest::Error| FetchError::Unreachable(innermost(&error));
    let request = client.get(url.clone()).header(ACCEPT, "application/json");
    let response = request.send().await.map_err(unreachable)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let fresh_for = freshness(response.headers());
    Ok(Answer { body: body(response).await?, fresh_for })
}

async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, FetchError> {
    let unreachable = |error: reqwest::Error| FetchError::Unreachable(innermost(&error));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether people's browsers and their codes may go to `url`, which the metadata of the issuer at `issuer` has brought up.
pub(super) fn is_safe_beside(url: &Url, issuer: &Url) -> bool {
    let all_on_loopback = is_loopback_http(issuer) && is_loopback_http(url);
    !has_credentials(url) && (url.scheme() == "https" || all_on_loopback)
}

/// RFC 9111 section 5.2.2, within our own bounds: an issuer can't make us ask at each call, nor keep a key for a day.
fn freshness(headers: &HeaderMap) -> Duration {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut fresh_for = *FRESH.end();
    for directive in directives.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase()) {
        let limit = match directive.strip_prefix("max-age=") {
            Some(secs) => secs.trim_matches('"').parse().ok(),
            None => matches!(directive.as_str(), "no-store" | "no-cache").then_some(0),
        };
        fresh_for = fresh_for.min(limit.map_or(fresh_for, Duration::from_secs));
    }
    fresh_for.max(*FRESH.start())
}

/// The cause at the end of the chain: the outer ones only repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_loopback_http(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && loopback
}

/// Resolves names to public addresses only: one that is not spoils all, as in a rebinding attack.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| !is_public(address.ip())) {
                return Err("the host of `jwks_uri` has an address that is not public".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is on the public internet (IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (b == 18 || b == 19);
    let protocol = a == 192 && b == 0 && c == 0;
    // 0/8 is this network; 224/4 and 240/4 are multicast and reserved.
    let special = a == 0 || a >= 224 || shared || benchmark || protocol;
    !(special || address.is_private() || address.is_loopback() || address.is_link_local() || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Global unicast is 2000::/3. Of it 2001::/23 (Teredo and others), 2001:db8::/32 and 3fff::/20 (documentation) are
    // special, and 2002::/16 (6to4) carries any IPv4 address. NAT64 (64:ff9b::/96) is outside of it.
    let special = a == 0x2001 && (b < 0x200 || b == 0xdb8) || a == 0x2002 || a == 0x3fff && b < 0x1000;
    a & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for address in ["8.8.8.8", "100.63.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_key_set_is_fresh_from_one_to_ten_minutes() {
        for (value, secs) in [
            ("", 600),
            ("public, max-age=300", 300),
            ("Max-Age=300, must-revalidate", 300),
            ("max-age=5", 60),
            ("max-age=86400", 600),
            ("no-store", 60),
            ("max-age=-1", 600),
            ("max-age=99999999999999999999999", 600),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, value.parse().unwrap())]);
            assert_eq!(freshness(&headers), Duration::from_secs(secs), "{value}");
        }
    }

    #[test]
    fn keys_are_not_fetched_in_the_clear() {
        let jwks = |url: &str| Source::Jwks(Url::parse(url).unwrap()).problem();
        for url in
            ["https://idp.example.com/keys?v=1", "http://127.0.0.1:1/keys", "http://[::1]/keys", "http://localhost/"]
        {
            assert_eq!(jwks(url), None, "{url}");
        }
        for url in
            ["http://idp.example.com/keys", "http://10.0.0.1/", "file:///etc/passwd", "https://u:p@idp.example.com/"]
        {
            assert!(jwks(url).is_some(), "{url}");
        }
        let issuer = "https://idp.example.com/?tenant=1";
        assert!(Source::Discovery { issuer: issuer.into(), url: Url::parse(issuer).unwrap() }.problem().is_some());
    }
}
