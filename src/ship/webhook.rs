//! Batches for a webhook, signed as Standard Webhooks says (specification 1.0, symmetric signatures): the receiver can tell
//! who sent a batch, that nobody changed it, and that it is not an old one sent again.
//!
//! A batch has the same id however often it is tried, by whatever process; an entry has its event id.

use super::http::Poster;
use super::sink::{Batch, Failure};
use crate::secrets::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use portcullis_core::audit::row::Stored;
use reqwest::header::{HeaderMap, HeaderValue};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

/// A receiver of signed batches.
pub(super) struct Webhook {
    poster: Poster,
    key: Secret<Vec<u8>>,
}

impl Webhook {
    /// The receiver at `url`, which knows `key`.
    pub(super) fn new(url: Url, key: Secret<Vec<u8>>) -> Self {
        Self { poster: Poster::new(url), key }
    }

    /// Sends the batch.
    pub(super) async fn deliver(&mut self, batch: Batch<'_>) -> Result<(), Failure> {
        let (id, body) = (id(batch), body(batch));
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let headers = self.headers(&id, seconds, &body).ok_or_else(|| Failure::later("the batch can't be signed"))?;
        self.poster.post(headers, body.into_bytes()).await.map(|_| ())
    }

    fn headers(&self, id: &str, seconds: u64, body: &str) -> Option<HeaderMap> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose()).ok()?;
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from(seconds));
        headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
        Some(headers)
    }
}

/// The same for the same rows.
fn id(batch: Batch<'_>) -> String {
    let Batch { instance, rows, checkpoints } = batch;
    match (rows.first(), rows.last(), checkpoints.last()) {
        (Some(first), Some(last), _) => format!("{instance}_{}_{}", first.seq, last.seq),
        (_, _, Some(checkpoint)) => format!("{instance}_checkpoint_{}", checkpoint.size),
        _ => instance.to_owned(),
    }
}

/// `type`, `timestamp` and `data`, as the specification recommends. The same for the same rows.
fn body(batch: Batch<'_>) -> String {
    let Batch { instance, rows, checkpoints } = batch;
    let entries: Vec<String> = rows.iter().map(Stored::json_line).collect();
    let lines: Vec<&str> = checkpoints.iter().map(|checkpoint| checkpoint.line.as_str()).collect();
    let kind = if rows.is_empty() { "portcullis.audit.checkpoints" } else { "portcullis.audit.entries" };
    let at = rows.last().and_then(|row| row.text("at"));
    // Lines are JSON already, and stay as they are to the byte.
    let at = at.map_or_else(String::new, |at| format!(r#","timestamp":{}"#, serde_json::Value::from(at)));
    let instance = serde_json::Value::from(instance);
    let (entries, checkpoints) = (entries.join(","), lines.join(","));
    format!(
        r#"{{"type":"{kind}"{at},"data":{{"instance":{instance},"entries":[{entries}],"checkpoints":[{checkpoints}]}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the specification's own test vectors: secret, id, timestamp, payload, signature.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let webhook = Webhook::new(Url::parse("https://example.com").unwrap(), Secret::new(key));
        let headers =
            webhook.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
