//! A backend as a process of its own: what it reads from the environment, the one line it prints, and how it ends.

use std::env::{self, VarError};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::time;

use crate::{Options, serve};

/// How long open exchanges may take to end after the order to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a backend until SIGTERM or ctrl-c. Reads `HOST` (default 127.0.0.1), `PORT` (default `default_port`, 0 takes a
/// free one) and `TOOL_GATEWAY_SHARED_SECRET`, and prints one line when it is ready.
pub async fn run(name: &str, default_port: u16, app: impl FnOnce(Options) -> Router) -> ExitCode {
    match start(name, default_port, app).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Where even standard error is gone, the exit code still says it.
            drop(writeln!(io::stderr(), "{name}: {problem}"));
            ExitCode::FAILURE
        }
    }
}

async fn start(name: &str, default_port: u16, app: impl FnOnce(Options) -> Router) -> Result<(), String> {
    let settings = Settings::read(default_port, |key| env::var(key))?;
    let address = (settings.host.as_str(), settings.port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {}:{}: {error}", settings.host, settings.port))?;
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    let audience = match settings.options.gateway_secret {
        Some(_) => "for the gateway only",
        None => "without a gateway secret, loopback host names only",
    };
    // Nobody has to read this line: a closed standard output is no reason to end.
    drop(writeln!(io::stdout(), "{name} ready on http://{bound}/mcp ({audience})"));
    tokio::select! {
        outcome = serve(listener, app(settings.options), stop_signal()) => outcome.map_err(|error| error.to_string()),
        () = grace_over() => Ok(()),
    }
}

async fn grace_over() {
    stop_signal().await;
    time::sleep(GRACE).await;
}

#[cfg(unix)]
async fn stop_signal() {
    use signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = signal::ctrl_c() => {}
        },
        Err(_) => drop(signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn stop_signal() {
    drop(signal::ctrl_c().await);
}

struct Settings {
    host: String,
    port: u16,
    options: Options,
}

impl Settings {
    /// An empty or unreadable value is an error, not a default: `TOOL_GATEWAY_SHARED_SECRET=` must not open the server.
    fn read(default_port: u16, variable: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, String> {
        let filled = |key: &str| match variable(key) {
            Ok(value) if value.is_empty() => Err(format!("{key} is set but empty: give it a value or unset it")),
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(format!("{key} is not UTF-8: give it a value that is")),
        };
        let port = match filled("PORT")? {
            None => default_port,
            Some(text) => text.parse().map_err(|_| format!("PORT is {text:?}: give a number from 0 to 65535"))?,
        };
        let host = filled("HOST")?.unwrap_or_else(|| "127.0.0.1".to_owned());
        let gateway_secret = filled("TOOL_GATEWAY_SHARED_SECRET")?;
        Ok(Self { host, port, options: Options { gateway_secret } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(8091, |key| {
            let variable = variables.iter().find(|(name, _)| *name == key);
            variable.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn an_empty_environment_means_loopback_and_the_default_port() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.host.as_str(), settings.port), ("127.0.0.1", 8091));
        assert!(settings.options.gateway_secret.is_none());
    }

    #[test]
    fn the_environment_is_taken_as_it_is() {
        let settings = read(&[("HOST", "::1"), ("PORT", "0"), ("TOOL_GATEWAY_SHARED_SECRET", " s ")]).unwrap();
        assert_eq!((settings.host.as_str(), settings.port), ("::1", 0));
        assert_eq!(settings.options.gateway_secret.as_deref(), Some(" s "));
    }

    #[test]
    fn an_empty_secret_or_a_bad_port_is_refused_by_name() {
        let secret = read(&[("TOOL_GATEWAY_SHARED_SECRET", "")]).err().unwrap();
        assert!(secret.contains("TOOL_GATEWAY_SHARED_SECRET"), "{secret}");
        let port = read(&[("PORT", "70000")]).err().unwrap();
        assert!(port.contains("PORT") && port.contains("65535"), "{port}");
    }
}
