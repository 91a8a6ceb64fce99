//! What the issuer that people log in at says of itself: kept as long as it is fresh, and asked for once, however many wait
//! for it. Logins begin with nobody knowing who comes, so that strangers must not make us ask.

use super::fetch::Fetcher;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use url::Url;

/// How long an issuer that could not be asked is left alone.
const REST: Duration = Duration::from_secs(5);

/// The metadata, or why there is none.
type Found = Result<Arc<Map<String, Value>>, String>;

/// The metadata of the last issuer that was asked for.
#[derive(Default)]
pub(super) struct Described(Mutex<Option<Kept>>);

struct Kept {
    issuer: String,
    until: Instant,
    found: Found,
}

impl Described {
    /// The metadata of the issuer at `url`, or why it can't be had.
    pub async fn of(&self, fetcher: &Fetcher, issuer: &str, url: &Url) -> Found {
        // Whoever comes while it is fetched waits here, and finds it kept.
        let mut kept = self.0.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.issuer == issuer && Instant::now() < kept.until) {
            return kept.found.clone();
        }
        let (found, fresh_for) = match fetcher.metadata(issuer, url).await {
            Ok((metadata, fresh_for)) => (Ok(Arc::new(metadata)), fresh_for),
            Err(error) => (Err(error.to_string()), REST),
        };
        let until = Instant::now() + fresh_for;
        *kept = Some(Kept { issuer: issuer.to_owned(), until, found: found.clone() });
        found
    }
}
