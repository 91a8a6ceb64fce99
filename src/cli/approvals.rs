//! `portcullis approvals`: what people are asked, and what they say, through the admin API of a gateway that runs: its rules are
//! the rules here.

use crate::cli::{install_crypto, operator, runtime, say};
use anyhow::bail;
use clap::{Args, Subcommand};
use portcullis_core::visible::visible;
use reqwest::Method;
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;

/// What to do.
#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
    /// The gateway's admin listener, or the console's public URL.
    #[arg(long, global = true, env = "PORTCULLIS_ADMIN_URL", default_value = "http://127.0.0.1:9000")]
    url: String,
    /// Your token for the console.
    #[arg(long, global = true, env = "PORTCULLIS_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// List the approvals that you may see, newest first.
    List {
        /// Those in this state alone: pending, approved, denied, expired, withdrawn or redeemed.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one.
    Show {
        /// Its id.
        id: String,
    },
    /// Agree to a call.
    Approve(Decision),
    /// Refuse it.
    Deny(Decision),
    /// Take a request of your own back.
    Withdraw(Decision),
}

#[derive(Args)]
struct Decision {
    /// The approval's id.
    id: String,
    /// Why; whoever called sees the reason of a refusal.
    #[arg(long)]
    reason: Option<String>,
}

/// Does it.
///
/// # Errors
/// The gateway can't be asked, or says no.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    install_crypto();
    runtime(1)?.block_on(ask(options))?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::List { state } => {
            let query = state.as_deref().map_or_else(String::new, |state| {
                format!(
                    "?{}",
                    url::form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish()
                )
            });
            let answer = send(options, Method::GET, &format!("approvals{query}"), None).await?;
            for approval in answer.get("approvals").and_then(Value::as_array).into_iter().flatten() {
                say(&mut io::stdout(), &line(approval));
            }
        }
        Command::Show { id } => print(&send(options, Method::GET, &path(id, "")?, None).await?),
        Command::Approve(decision) => decide(options, decision, "/approve").await?,
        Command::Deny(decision) => decide(options, decision, "/deny").await?,
        Command::Withdraw(decision) => decide(options, decision, "/withdraw").await?,
    }
    Ok(())
}

async fn decide(options: &Options, decision: &Decision, verb: &str) -> anyhow::Result<()> {
    let body = json!({ "reason": decision.reason });
    let answer = send(options, Method::POST, &path(&decision.id, verb)?, Some(body)).await?;
    say(&mut io::stdout(), &line(&answer));
    Ok(())
}

/// The path of the approval `id`, which must be one: anything else would name another path.
fn path(id: &str, verb: &str) -> anyhow::Result<String> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("`{}` is no id of an approval; `portcullis approvals list` shows them", visible(id));
    }
    Ok(format!("approvals/{id}{verb}"))
}

async fn send(options: &Options, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    operator::send(&options.url, options.token.as_deref(), method, path, body).await
}

/// An approval in a line.
fn line(approval: &Value) -> String {
    let text = |pointer: &str| {
        let value = approval.pointer(pointer).and_then(Value::as_str);
        visible(value.unwrap_or_default()).replace('\n', " ")
    };
    format!(
        "{}  {:9}  {}  {}  {}",
        text("/id"),
        text("/state"),
        text("/matter/tool"),
        text("/requester/subject"),
        text("/matter/arguments"),
    )
}

/// An approval with all that there is to know.
fn print(approval: &Value) {
    let all = serde_json::to_string_pretty(approval).unwrap_or_default();
    say(&mut io::stdout(), &visible(&all));
}
