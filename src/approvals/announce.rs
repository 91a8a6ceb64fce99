//! Tells a webhook of new approvals: signed as Standard Webhooks says (specification 1.0, symmetric signatures), or as a Slack
//! message, which Slack takes from whoever knows the URL. Neither says with which arguments the call is made: the page does,
//! to those who may see them.

use crate::secrets::Secret;
use crate::telemetry::metrics::Metrics;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use portcullis_core::approval::Approval;
use portcullis_core::visible::unmistakable;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::json;
use sha2::Sha256;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use url::Url;

/// How often it is tried, each pause twice the last.
const TRIES: u32 = 6;
/// The first of these pauses.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many approvals may wait to be told of; beyond it they are counted and not told.
const WAITING: usize = 100;

/// Who is told.
pub struct Receiver {
    /// Where.
    pub url: Url,
    /// What signs it; none for Slack.
    pub key: Option<Secret<Vec<u8>>>,
    /// Whether it is a Slack message.
    pub slack: bool,
}

/// Tells.
pub(super) struct Announcer {
    metrics: Arc<Metrics>,
    waiting: Arc<Semaphore>,
}

impl Announcer {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, waiting: Arc::new(Semaphore::new(WAITING)) }
    }

    /// Tells `receiver` of `approval`, which is decided at `link`. Comes back at once.
    pub(super) fn tell(&self, receiver: Arc<Receiver>, approval: &Approval, link: &str) {
        let metrics = Arc::clone(&self.metrics);
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            metrics.approval_announced(false);
            tracing::warn!(approval = approval.id, "too many approvals wait to be told of; the webhook misses one");
            return;
        };
        let (id, body) =
            (approval.id.clone(), if receiver.slack { slack(approval, link) } else { event(approval, link) });
        tokio::spawn(async move {
            let delivered = deliver(&receiver, &id, &body).await;
            metrics.approval_announced(delivered.is_ok());
            if let Err(reason) = delivered {
                tracing::error!(approval = id, reason, "the webhook could not be told of an approval");
            }
            drop(place);
        });
    }
}

async fn deliver(receiver: &Receiver, id: &str, body: &str) -> Result<(), String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err("no TLS provider is installed".into());
    }
    let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().timeout(TIMEOUT);
    let client = client.user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION"))).build();
    let client = client.map_err(|_| "no client can be made")?;
    let (mut pause, mut last) = (PAUSE, String::new());
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let headers = headers(receiver, id, seconds, body).ok_or("it can't be signed")?;
        let request = client.post(receiver.url.clone()).headers(headers).header(CONTENT_TYPE, "application/json");
        // The words of an error repeat the URL, which for Slack is the secret.
        last = match request.body(body.to_owned()).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("it answers with status {}", answer.status().as_u16()),
            Err(error) if error.is_timeout() => "it does not answer in time".into(),
            Err(_) => "it can't be reached".into(),
        };
    }
    Err(last)
}

fn headers(receiver: &Receiver, id: &str, seconds: u64, body: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some(key) = &receiver.key else { return Some(headers) };
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
    headers.insert("webhook-timestamp", HeaderValue::from(seconds));
    headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
    Some(headers)
}

fn event(approval: &Approval, link: &str) -> String {
    let Approval { id, requester, matter, terms, created, expires, .. } = approval;
    let data = json!({
        "id": id, "url": link, "requester": requester.subject, "tenant": requester.tenant, "agent": requester.agent,
        "tool": matter.tool, "class": matter.class, "severity": matter.severity, "demands": terms.demands,
        "expires": expires.to_string(),
    });
    json!({ "type": "portcullis.approval.opened", "timestamp": created.to_string(), "data": data }).to_string()
}

fn slack(approval: &Approval, link: &str) -> String {
    let Approval { requester, matter, terms, .. } = approval;
    // What callers write must not become a link, a mention or a format (Slack, "Escaping text").
    let plain = |text: &str| unmistakable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let reasons = terms.demands.iter().filter_map(|demand| demand.why.as_deref());
    let why: String = reasons.map(|why| format!(" {}", plain(why))).collect();
    let text = format!(
        "{} wants to call {} ({}, {}).{why} <{link}|Decide> before {}.",
        plain(&requester.subject),
        plain(&matter.tool),
        matter.class.as_str(),
        matter.severity.as_str(),
        approval.expires
    );
    json!({ "text": text }).to_string()
}
