//! `portcullis token`.

use crate::app::{self, ReportError};
use crate::cli::{ConfigFile, say, warn_of_unknown};
use crate::config;
use crate::config::snapshot::{Issuer, KeySource, Snapshot};
use crate::identity::mint::{MintRequest, SigningKey, mint};
use crate::pipeline::clock;
use anyhow::{Context as _, ensure};
use portcullis_core::units::Span;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// The token to print.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// The user.
    #[arg(long)]
    user: String,
    /// A role of the user; repeat it for more.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The user's tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// The client that acts for the user.
    #[arg(long)]
    agent: Option<String>,
    /// Which of the issuers that have a shared secret; without it, the first.
    #[arg(long)]
    issuer: Option<String>,
    /// How long the token is good for; at most the issuer's `max_token_age`.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: Span,
}

/// Prints a token.
///
/// # Errors
/// No configured issuer has a shared secret, or it would not accept the token.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let loaded = config::load(options.config.path(), &app::environment).map_err(ReportError)?;
    let issuer = issuer(&loaded.snapshot, options.issuer.as_deref())?;
    let printable = |byte: &u8| (b' '..=b'~').contains(byte);
    ensure!(
        !options.user.is_empty() && options.user.as_bytes().iter().all(printable),
        "--user must be printable ASCII, and somebody; the gateway refuses tokens of others"
    );
    let (name, oldest) = (&issuer.issuer, issuer.max_token_age);
    ensure!(
        oldest.is_zero() || options.ttl.0 <= oldest,
        "the gateway refuses tokens of `{name}` after {}; choose a shorter --ttl, or raise max_token_age",
        Span(oldest)
    );
    warn_of_unknown(&options.roles, &loaded.snapshot);
    let roles: Vec<_> = options.roles.iter().map(String::as_str).collect();
    let token = sign(issuer, &options.user, &roles, options.tenant.clone(), options.agent.clone(), options.ttl.0)?;
    say(&mut io::stdout(), &token);
    Ok(ExitCode::SUCCESS)
}

fn issuer<'a>(snapshot: &'a Snapshot, wanted: Option<&str>) -> anyhow::Result<&'a Issuer> {
    let mut shared = snapshot.gateway.issuers.iter().filter(|issuer| matches!(issuer.keys, KeySource::Secret(_)));
    let found = match wanted {
        Some(wanted) => shared.find(|issuer| issuer.issuer == wanted),
        None => shared.next(),
    };
    found.context("no such issuer has a `secret`; the others' tokens only they can make. For development, add an issuer with a `secret` to gateway.yaml")
}

/// A token of `issuer` for `user`.
///
/// # Errors
/// The issuer has no shared secret.
pub fn sign(
    issuer: &Issuer,
    user: &str,
    roles: &[&str],
    tenant: Option<String>,
    agent: Option<String>,
    lifetime: Duration,
) -> anyhow::Result<String> {
    let request = MintRequest {
        audiences: issuer.audiences.iter().take(1).cloned().collect(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        tenant,
        agent,
        ..MintRequest::new(issuer, user, lifetime)
    };
    Ok(mint(&request, &SigningKey::of(issuer)?, clock::now())?)
}
