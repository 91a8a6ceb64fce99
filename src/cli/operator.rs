//! Asking the admin API of a gateway that runs, as an operator: its rules are the rules here.

use anyhow::{Context, bail};
use clap::Args;
use portcullis_core::visible::visible;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// How long the gateway may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Where the gateway is, and who asks.
#[derive(Args)]
pub struct Access {
    /// The gateway's admin listener, or the console's public URL.
    #[arg(long, global = true, env = "PORTCULLIS_ADMIN_URL", default_value = "http://127.0.0.1:9000")]
    url: String,
    /// Your token for the console.
    #[arg(long, global = true, env = "PORTCULLIS_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Access {
    /// Sends a request for `path` of the API; what it answers.
    ///
    /// # Errors
    /// There is no token, the gateway can't be asked, or it says no.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let token = self.token.as_deref().context("no token: give --token, or set PORTCULLIS_ADMIN_TOKEN")?;
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let full = format!("{}/api/{path}", self.url.trim_end_matches('/'));
        let mut request = client.timeout(TIMEOUT).build()?.request(method, &full).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("{} can't be reached", self.url))?;
        let status = answer.status();
        let answer: Value =
            answer.json().await.with_context(|| format!("the answer with status {status} is no JSON"))?;
        if !status.is_success() {
            let detail = answer.get("detail").and_then(Value::as_str).unwrap_or_default();
            bail!("the gateway refuses ({}): {}", status.as_u16(), visible(detail));
        }
        Ok(answer)
    }
}

/// `path` with those of `pairs` that have a value as its query.
pub fn query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    query.extend_pairs(pairs.iter().filter_map(|(name, value)| Some((name, (*value)?))));
    query.finish()
}
