//! `portcullis serve`.

use crate::app::{self, App};
use crate::cli::ready::{self, Ready};
use crate::cli::{ConfigFile, install_crypto, runtime};
use crate::config::Loaded;
use crate::telemetry::log;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What to serve.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// Write this JSON file once all is ready: addresses and the journal, for scripts.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// Why it can't start.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    install_crypto();
    let (loaded, ingress, admin) = runtime(1)?.block_on(app::prepare(options.config.path()))?;
    let settings = &loaded.snapshot.gateway;
    log::init(settings.telemetry.log, &settings.telemetry.level)?;
    let (ingress, admin) = (ingress.into_std()?, admin.into_std()?);
    options.ready_file.as_deref().map_or(Ok(()), ready::clear)?;
    runtime(settings.threads)?.block_on(async {
        let app = start(loaded, ingress, admin).await?;
        if let Some(path) = &options.ready_file {
            app.discovered().await;
            ready::write(path, &Ready::of(&app))?;
        }
        asked_to_end().await?;
        app.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Starts the process on listeners that another runtime may have made.
///
/// # Errors
/// Why it can't start.
pub async fn start(
    loaded: Loaded,
    ingress: std::net::TcpListener,
    admin: std::net::TcpListener,
) -> anyhow::Result<App> {
    let app = App::start(loaded, TcpListener::from_std(ingress)?, TcpListener::from_std(admin)?).await?;
    tracing::info!(ingress = %app.ingress, admin = %app.admin, "portcullis serves");
    Ok(app)
}

/// Waits for SIGTERM or Ctrl-C.
///
/// # Errors
/// The system has no signals to give.
pub async fn asked_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("Ctrl-C can't be waited for")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to end");
    Ok(())
}
