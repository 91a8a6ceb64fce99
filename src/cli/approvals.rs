//! `portcullis approvals`: what people are asked, and what they say, through the admin API of a gateway that runs: its rules are
//! the rules here.

use crate::cli::operator::{Access, query};
use crate::cli::{install_crypto, runtime, say};
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
    #[command(flatten)]
    access: Access,
}

#[derive(Subcommand)]
enum Command {
    /// List the approvals that you may see, newest first.
    List {
        /// Those in this state alone: pending, approved, denied, expired, withdrawn or redeemed.
        #[arg(long)]
        state: Option<String>,
        /// Those that were asked for before this one.
        #[arg(long, value_name = "ID")]
        before: Option<String>,
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

async fn ask(Options { access, command }: &Options) -> anyhow::Result<()> {
    match command {
        Command::List { state, before } => list(access, state.as_deref(), before.as_deref()).await?,
        Command::Show { id } => print(&access.send(Method::GET, &path(id, "")?, None).await?),
        Command::Approve(decision) => decide(access, decision, "/approve").await?,
        Command::Deny(decision) => decide(access, decision, "/deny").await?,
        Command::Withdraw(decision) => decide(access, decision, "/withdraw").await?,
    }
    Ok(())
}

async fn list(access: &Access, state: Option<&str>, before: Option<&str>) -> anyhow::Result<()> {
    let answer = access.send(Method::GET, &query("approvals", &[("state", state), ("before", before)]), None).await?;
    for approval in answer.get("approvals").and_then(Value::as_array).into_iter().flatten() {
        say(&mut io::stdout(), &line(approval));
    }
    if let Some(next) = answer.get("next").and_then(Value::as_str) {
        say(&mut io::stderr(), &format!("there are older ones; add --before {}", visible(next)));
    }
    Ok(())
}

async fn decide(access: &Access, decision: &Decision, verb: &str) -> anyhow::Result<()> {
    let body = json!({ "reason": decision.reason });
    let answer = access.send(Method::POST, &path(&decision.id, verb)?, Some(body)).await?;
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
