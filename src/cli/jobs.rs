//! `portcullis jobs`: calls that run when their callers do not wait, and what became of them.

use crate::cli::{install_crypto, operator, runtime, say};
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
    /// The gateway's admin listener, or the console's public URL.
    #[arg(long, global = true, env = "PORTCULLIS_ADMIN_URL", default_value = "http://127.0.0.1:9000")]
    url: String,
    /// Your token for the console.
    #[arg(long, global = true, env = "PORTCULLIS_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// List the jobs of your tenant, newest first.
    List {
        /// Those in this state alone: queued, running, done, failed, cancelled, needs_review or dead.
        #[arg(long)]
        state: Option<String>,
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

async fn ask(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::List { state } => list(options, state.as_deref()).await,
        Command::Dead => {
            list(options, Some("dead")).await?;
            list(options, Some("needs_review")).await
        }
        Command::Show { id } => {
            let job = send(options, Method::GET, &path(id, "")?).await?;
            say(&mut io::stdout(), &visible(&serde_json::to_string_pretty(&job)?));
            Ok(())
        }
        Command::Cancel { id } => change(options, &path(id, "/cancel")?).await,
        Command::Requeue { id } => change(options, &path(id, "/requeue")?).await,
    }
}

async fn list(options: &Options, state: Option<&str>) -> anyhow::Result<()> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    let answer = send(options, Method::GET, &format!("jobs?{}", query.finish())).await?;
    for job in answer.get("jobs").and_then(Value::as_array).into_iter().flatten() {
        say(&mut io::stdout(), &line(job));
    }
    Ok(())
}

async fn change(options: &Options, path: &str) -> anyhow::Result<()> {
    let job = send(options, Method::POST, path).await?;
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

async fn send(options: &Options, method: Method, path: &str) -> anyhow::Result<Value> {
    operator::send(&options.url, options.token.as_deref(), method, path, None).await
}

/// A job in a line.
fn line(job: &Value) -> String {
    let text = |key: &str| visible(job[key].as_str().unwrap_or_default()).replace('\n', " ");
    let (id, state, tool) = (text("id"), text("state"), text("tool"));
    format!("{id}  {state:12}  {tool}  {}  {}  {}", text("subject"), text("updated"), text("reason"))
}
