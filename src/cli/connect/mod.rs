//! `portcullis connect`: a bridge for MCP clients that only speak stdio, to any server of Streamable HTTP.
//!
//! Reads JSON-RPC messages from standard input, one on a line, POSTs each, and writes what comes back to standard output
//! in the same form. It is a client's transport and no more: it decides nothing, and knows nothing of policy. Standard
//! error has its log, in which no token, session id or payload is, and of a server's refusal its code and status alone.
//!
//! | file | is about |
//! |---|---|
//! | `stdio` | lines in and out |
//! | `message` | what a line or an answer says |
//! | `bridge` | what is done with each line, in which order, and how all of it ends |
//! | `exchange` | one request and its answer, JSON or a stream |
//! | `modern`, `tools` | 2026-07-28: headers that repeat the body |
//! | `session`, `stream` | 2025-11-25 and earlier: handshake, session, GET stream, resumption |
//! | `http`, `token` | the wire, and who we are on it |
//! | `refusal` | what the client is told where there is no answer |

mod bridge;
mod exchange;
mod http;
mod message;
mod modern;
mod refusal;
mod session;
mod stdio;
mod stream;
mod token;
mod tools;

use self::bridge::Bridge;
use self::http::Http;
use self::token::Source;
use crate::cli::{install_crypto, runtime, serve};
use crate::config::document::gateway::LogFormat;
use crate::telemetry::log;
use anyhow::{bail, ensure};
use portcullis_core::units::Span;
use std::path::PathBuf;
use std::process::ExitCode;
use url::{Host, Url};

/// Where to connect to, and as whom.
#[derive(clap::Args)]
pub struct Options {
    /// The MCP endpoint, such as https://gateway.example.com/work/mcp.
    #[arg(value_parser = endpoint)]
    url: Url,
    /// The environment variable that holds the bearer token; PORTCULLIS_TOKEN where nothing else gives one.
    #[arg(long, value_name = "NAME", group = "source")]
    token_env: Option<String>,
    /// A file that holds the token. It is read again when the token is refused or about to expire.
    #[arg(long, value_name = "FILE", group = "source")]
    token_file: Option<PathBuf>,
    /// A shell command that prints a token. It is run again when the token is refused or about to expire.
    #[arg(long, value_name = "COMMAND", group = "source")]
    token_command: Option<String>,
    /// The token itself. Others on this machine can see it in the list of processes.
    #[arg(long, value_name = "TOKEN", group = "source")]
    token: Option<String>,
    /// A header to send with every request; repeat it for more.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Trust the authorities in this PEM file, and not the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Give up on an answer of which nothing has come for so long. Streams of notifications may stay silent.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
    /// Also log what is sent where, but never what it says.
    #[arg(long, short)]
    verbose: bool,
}

/// Carries messages until standard input ends, SIGTERM or Ctrl-C.
///
/// # Errors
/// The options make no sense, or a file that they name can't be read.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    install_crypto();
    // Nothing of other crates below a warning: theirs is the wire, and what goes over it is not for logs.
    log::init(LogFormat::Text, if options.verbose { "warn,portcullis=debug" } else { "warn,portcullis=info" })?;
    ensure!(!options.timeout.0.is_zero(), "--timeout must be longer than nothing");
    let source = Source::of(options)?;
    warn(options, &source);
    let http = Http::new(options, source)?;
    let (lines, output) = (stdio::lines()?, stdio::Output::start()?);
    runtime(2)?.block_on(async {
        let bridge = Bridge::new(http, output, options.timeout.0);
        bridge.run(lines, serve::asked_to_end()).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn warn(options: &Options, source: &Source) {
    if options.token.is_some() {
        tracing::warn!("--token can be seen in the list of processes; better give the token by PORTCULLIS_TOKEN");
    }
    let secret = !matches!(source, Source::None) || !options.headers.is_empty();
    if secret && options.url.scheme() == "http" && !is_loopback(&options.url) {
        tracing::warn!(
            url = shown(&options.url),
            "the token goes over plain http, where anybody on the way can read it; use https"
        );
    }
}

fn endpoint(text: &str) -> anyhow::Result<Url> {
    let Ok(url) = Url::parse(text) else { bail!("it is not a URL; write it whole, such as https://host/work/mcp") };
    ensure!(matches!(url.scheme(), "http" | "https") && url.has_host(), "it must begin with http:// or https://");
    ensure!(url.fragment().is_none(), "a URL of MCP has no fragment");
    let credentials = !url.username().is_empty() || url.password().is_some();
    ensure!(!credentials, "leave the user and password out, and give the token in another way");
    Ok(url)
}

/// `url` for people: without the query, which may hold what is secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_of_an_endpoint_and_shows_no_secret() {
        for bad in ["", "gateway/mcp", "ftp://a/mcp", "http://u:p@a/mcp", "https://a/mcp#x", "http:///"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
        let url = endpoint("https://a.example/work/mcp?key=secret").unwrap();
        assert_eq!(shown(&url), "https://a.example/work/mcp");
    }

    #[test]
    fn only_loopback_is_trusted_without_tls() {
        for (url, expected) in [
            ("http://127.0.0.1:8000/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
