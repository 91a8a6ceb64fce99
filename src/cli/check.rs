//! `portcullis check`.

use crate::app::{self, ReportError};
use crate::cli::{ConfigFile, install_crypto, say};
use crate::config;
use crate::identity::Authenticator;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

/// What to check.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigFile,
}

/// Checks the three files.
///
/// # Errors
/// None: problems of the configuration are printed, and make the exit code.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    install_crypto();
    let loaded = match config::load(options.config.path(), &app::environment) {
        Ok(loaded) => loaded,
        Err(report) => {
            say(&mut io::stdout(), &ReportError(report).to_string());
            return Ok(ExitCode::FAILURE);
        }
    };
    for warning in &loaded.warnings {
        say(&mut io::stdout(), &format!("{warning}"));
    }
    let snapshot = &loaded.snapshot;
    if let Err(error) = Authenticator::new(&snapshot.gateway.issuers, None, Arc::new(|_, _| {})) {
        say(&mut io::stdout(), &format!("{}: {error}", options.config.path().display()));
        return Ok(ExitCode::FAILURE);
    }
    if let Some(Err(report)) = &snapshot.shadow {
        say(&mut io::stdout(), &report.to_string());
        say(&mut io::stdout(), "the gateway would start, without this shadow policy");
        return Ok(ExitCode::FAILURE);
    }
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let upstreams = count(snapshot.upstreams.len(), "upstream");
    let endpoints = count(snapshot.routes.0.len(), "endpoint");
    say(&mut io::stdout(), &format!("ok: {upstreams}, {endpoints}, revision {}", snapshot.revision));
    Ok(ExitCode::SUCCESS)
}
