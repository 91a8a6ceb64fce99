//! Asking the admin API of a gateway that runs, as an operator: its rules are the rules here.

use anyhow::{Context, bail};
use portcullis_core::visible::visible;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// How long the gateway may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends a request for `path` of the API at `url`; what it answers.
///
/// # Errors
/// There is no token, the gateway can't be asked, or it says no.
pub async fn send(
    url: &str,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<Value> {
    let token = token.context("no token: give --token, or set PORTCULLIS_ADMIN_TOKEN")?;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
    let full = format!("{}/api/{path}", url.trim_end_matches('/'));
    let mut request = client.build()?.request(method, &full).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.with_context(|| format!("{url} can't be reached"))?;
    let status = answer.status();
    let answer: Value = answer.json().await.with_context(|| format!("the answer with status {status} is no JSON"))?;
    if !status.is_success() {
        let detail = answer.get("detail").and_then(Value::as_str).unwrap_or_default();
        bail!("the gateway refuses ({}): {}", status.as_u16(), visible(detail));
    }
    Ok(answer)
}
