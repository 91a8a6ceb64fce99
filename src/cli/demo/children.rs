//! The demo's backends: started, waited for, started again when they end, and ended with it.

use crate::cli::demo::backend::SECRET;
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long a backend may take to answer its first health check.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a backend may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// The pause before a backend that ended is started again.
const PAUSE: Duration = Duration::from_millis(500);

/// Backends that run.
pub struct Children {
    ending: watch::Sender<bool>,
    keepers: Vec<JoinHandle<()>>,
}

impl Children {
    /// Starts backends, by name and port, and waits until each answers.
    ///
    /// # Errors
    /// One can't be started or does not answer.
    pub async fn start(backends: &[(&str, u16)], secret: &str) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program is not known")?;
        let (ending, _) = watch::channel(false);
        let mut keepers = Vec::new();
        for (name, port) in backends {
            let start = Start { program: program.clone(), name: (*name).into(), port: *port, secret: secret.into() };
            let child = start.spawn()?;
            keepers.push(tokio::spawn(keep(start, child, ending.subscribe())));
        }
        for (name, port) in backends {
            answers(*port).await.with_context(|| format!("the sample backend {name} does not answer"))?;
        }
        Ok(Self { ending, keepers })
    }

    /// Ends them, and waits until they have.
    pub async fn stop(self) {
        let _ = self.ending.send(true);
        for keeper in self.keepers {
            if let Err(error) = keeper.await {
                tracing::error!(%error, "a sample backend was left alone");
            }
        }
    }
}

struct Start {
    program: PathBuf,
    name: String,
    port: u16,
    secret: String,
}

impl Start {
    fn spawn(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(["backend", &self.name, "--port", &self.port.to_string()]).env(SECRET, &self.secret);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        // A Ctrl-C reaches the whole group of the terminal; children must end after the calls that run on them.
        command.process_group(0);
        command.spawn().with_context(|| format!("the sample backend {} can't be started", self.name))
    }
}

async fn keep(start: Start, mut child: Child, mut ending: watch::Receiver<bool>) {
    loop {
        // Held here, since waiting for the child would close it, and the child ends when it is closed.
        let input = child.stdin.take();
        let ended = tokio::select! {
            status = child.wait() => Some(status),
            _ = ending.changed() => None,
        };
        drop(input);
        if ended.is_none() {
            return end(child).await;
        }
        tracing::warn!(backend = start.name, ?ended, "a sample backend ended; starting it again");
        sleep(PAUSE).await;
        match start.spawn() {
            Ok(again) => child = again,
            Err(error) => return tracing::error!(%error, "a sample backend stays away"),
        }
    }
}

/// Waits for a child whose standard input was closed, which is its sign to end.
async fn end(mut child: Child) {
    if timeout(FAREWELL, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::warn!(%error, "a sample backend can't be ended");
    }
}

async fn answers(port: u16) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let deadline = Instant::now() + PATIENCE;
    let url = format!("http://127.0.0.1:{port}/health");
    while Instant::now() < deadline {
        if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("no answer within {PATIENCE:?}")
}
