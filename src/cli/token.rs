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
    /// An OAuth scope of the token; repeat it for more.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The one endpoint that the token is good at; without it, all.
    #[arg(long, conflicts_with = "console")]
    endpoint: Option<String>,
    /// A token for the console and the admin API, which is good at no endpoint.
    #[arg(long)]
    console: bool,
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
    warn_of_unknown(&options.roles, &loaded.snapshot.policy);
    let request = MintRequest {
        roles: options.roles.clone(),
        scopes: options.scopes.clone(),
        tenant: options.tenant.clone(),
        agent: options.agent.clone(),
        ..MintRequest::new(issuer, &options.user, options.ttl.0)
    };
    let request = match &options.endpoint {
        None if options.console => request.at_console(&loaded.snapshot.gateway.console),
        Some(endpoint) => {
            ensure!(loaded.snapshot.routes.0.contains_key(endpoint), "there is no endpoint `{endpoint}`");
            request.at(issuer, endpoint)
        }
        None => request,
    };
    ensure!(
        !request.audiences.is_empty(),
        "tokens of `{name}` are good at one endpoint alone; say which with --endpoint"
    );
    let token = sign(issuer, &request)?;
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

/// The token of `issuer` that is asked for.
///
/// # Errors
/// The issuer has no shared secret.
pub fn sign(issuer: &Issuer, request: &MintRequest) -> anyhow::Result<String> {
    Ok(mint(request, &SigningKey::of(issuer)?, clock::now())?)
}
