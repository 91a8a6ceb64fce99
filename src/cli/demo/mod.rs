//! `portcullis demo`: the gateway in front of two sample backends, with nothing to set up.
//!
//! It writes an ordinary configuration into its data directory and serves that, so that what is seen here is what
//! `portcullis serve` does, and the files can be edited while it runs.

pub mod backend;
mod children;
mod files;
mod guide;

use crate::app::{self, ReportError};
use crate::cli::ready::{self, Ready};
use crate::cli::serve::{asked_to_end, start};
use crate::cli::{install_crypto, runtime, say};
use crate::config;
use crate::telemetry::log;
use anyhow::Context;
use children::Children;
use files::{Files, write_private};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

/// How many ports are tried where the wanted one is taken.
const TRIES: u16 = 100;

/// How to run the demo.
#[derive(clap::Args)]
pub struct Options {
    /// The gateway's port. Where it is taken, the next free one; with 0, any free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// The admin listener's port, likewise. With `--port 0`, any free one.
    #[arg(long, value_name = "PORT", default_value_t = 9000)]
    admin_port: u16,
    /// The folder for its files: configuration, secrets, tokens, journal.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data: PathBuf,
    /// Write this JSON file once all is ready: addresses, tokens and the journal, for scripts.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// Runs until SIGTERM or Ctrl-C.
///
/// # Errors
/// Why it can't start.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    install_crypto();
    let files = Files::new(&options.data)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    runtime(threads)?.block_on(serve(options, &files))
}

async fn serve(options: &Options, files: &Files) -> anyhow::Result<ExitCode> {
    options.ready_file.as_deref().map_or(Ok(()), ready::clear)?;
    let (ports, ingress, admin) = Ports::choose(options)?;
    files.write(&ports)?;
    let loaded = config::load(&files.gateway(), &app::environment).map_err(ReportError)?;
    let children =
        Children::start(&[("calculator", ports.calculator), ("ops", ports.ops)], files.gateway_secret()).await?;
    let settings = &loaded.snapshot.gateway;
    log::init(settings.telemetry.log, &settings.telemetry.level)?;
    let issuer = settings.issuers.first().context("the demo's configuration was left without an issuer")?.clone();
    write_private(&files.deciding(), &guide::deciding_token(&issuer, &settings.console, guide::LIFETIME)?)?;
    let console = guide::console_link(&issuer, &settings.console)?;
    let app = start(loaded, ingress, admin).await?;
    app.discovered().await;
    let mut ready = Ready::of(&app);
    ready.tokens = guide::tokens(&issuer)?;
    guide::write_files(&ready, files)?;
    say(&mut io::stdout(), &guide::text(&ready, files, &console));
    if let Some(path) = &options.ready_file {
        ready::write(path, &ready)?;
    }
    asked_to_end().await?;
    app.stop().await;
    children.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The ports that the demo takes.
struct Ports {
    gateway: u16,
    admin: u16,
    calculator: u16,
    ops: u16,
}

impl Ports {
    /// With the listeners of the gateway and of the operators, which nobody can take any more.
    fn choose(options: &Options) -> anyhow::Result<(Self, TcpListener, TcpListener)> {
        let admin = if options.port == 0 { 0 } else { options.admin_port };
        // All are held until all are chosen, so that no two are the same.
        let (gateway, admin) = (free(options.port, "--port")?, free(admin, "--admin-port")?);
        let (calculator, ops) = (free(0, "--port")?, free(0, "--port")?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let ports =
            Self { gateway: port(&gateway)?, admin: port(&admin)?, calculator: port(&calculator)?, ops: port(&ops)? };
        gateway.set_nonblocking(true)?;
        admin.set_nonblocking(true)?;
        Ok((ports, gateway, admin))
    }
}

/// The wanted port or the next free one.
fn free(wanted: u16, option: &str) -> anyhow::Result<TcpListener> {
    for port in wanted..=wanted.saturating_add(TRIES) {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            if port != wanted {
                say(&mut io::stdout(), &format!("port {wanted} is taken; using {port} (choose one with {option})"));
            }
            return Ok(listener);
        }
    }
    anyhow::bail!("no free port from {wanted} on; choose one with {option}")
}
