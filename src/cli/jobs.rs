//! `portcullis jobs`: calls that run when their callers do not wait, and what became of them.

use crate::cli::operator::{Access, query};
use crate::cli::{install_crypto, runtime, say};
use anyhow::bail;
use clap::{Args, Subcommand};
use portcullis_core::job::JobId;
use portcullis_core::visible::visible;
use reqwest::Method;
use serde_json::Value;
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
    /// List the jobs of your tenant, newest first.
    List {
        /// Those in this state alone: waiting, queued, running, done, failed, cancelled, needs_review or dead.
        #[arg(long)]
        state: Option<String>,
        /// Those that were made before this one.
        #[arg(long, value_name = "ID")]
        before: Option<String>,
    },
    /// List those that wait for an operator: that were given up, or may have run.
    Dead,
    /// Show one.
    Show {
        /// Its id.
        id: String,
    },
    /// End one that has not ended.
    Cancel {
        /// Its id.
        id: String,
    },
    /// Try one again that was given up or may have run. One that may have run may then run twice.
    Requeue {
        /// Its id.
        id: String,
    },
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
        Command::List { state, before } => list(access, state.as_deref(), before.as_deref()).await,
        Command::Dead => {
            list(access, Some("dead"), None).await?;
            list(access, Some("needs_review"), None).await
        }
        Command::Show { id } => {
            let job = access.send(Method::GET, &path(id, "")?, None).await?;
            say(&mut io::stdout(), &visible(&serde_json::to_string_pretty(&job)?));
            Ok(())
        }
        Command::Cancel { id } => change(access, &path(id, "/cancel")?).await,
        Command::Requeue { id } => change(access, &path(id, "/requeue")?).await,
    }
}

async fn list(access: &Access, state: Option<&str>, before: Option<&str>) -> anyhow::Result<()> {
    let answer = access.send(Method::GET, &query("jobs", &[("state", state), ("before", before)]), None).await?;
    for job in answer.get("jobs").and_then(Value::as_array).into_iter().flatten() {
        say(&mut io::stdout(), &line(job));
    }
    Ok(())
}

async fn change(access: &Access, path: &str) -> anyhow::Result<()> {
    let job = access.send(Method::POST, path, None).await?;
    say(&mut io::stdout(), &line(&job));
    Ok(())
}

/// The path of the job `id`, which must be one: anything else would name another path.
fn path(id: &str, verb: &str) -> anyhow::Result<String> {
    match JobId::parse(id) {
        Some(id) => Ok(format!("jobs/{id}{verb}")),
        None => bail!("`{}` is no id of a job; `portcullis jobs list` shows them", visible(id)),
    }
}

/// A job in a line.
fn line(job: &Value) -> String {
    let text = |key: &str| visible(job.get(key).and_then(Value::as_str).unwrap_or_default()).replace('\n', " ");
    let (id, state, tool) = (text("id"), text("state"), text("tool"));
    format!("{id}  {state:12}  {tool}  {}  {}  {}", text("subject"), text("updated"), text("reason"))
}
