//! `portcullis explain`.

use crate::app::{self, ReportError};
use crate::cli::{ConfigFile, nobody, say, warn_of_unknown};
use crate::config;
use crate::config::snapshot::Snapshot;
use crate::pipeline::clock;
use anyhow::{Context as _, bail};
use portcullis_core::jsonrpc::{Limits, parse_value};
use portcullis_core::mcp::version::Version;
use portcullis_core::policy::{AccessRequest, Arguments, CallArguments, Context, explain};
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::route::INVOKE;
use portcullis_core::tool::{Kind, ToolName};
use std::io;
use std::net::IpAddr;
use std::process::ExitCode;

/// The call to explain.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// The caller.
    #[arg(long, default_value = "someone")]
    user: String,
    /// A role of the caller; repeat it for more.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// An OAuth scope of the caller's token; repeat it for more.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The caller's tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// The client that acts for the caller.
    #[arg(long)]
    agent: Option<String>,
    #[command(flatten)]
    asked: Asked,
    /// The arguments, a JSON object. Without it: whether there are arguments with which the call may pass, which is
    /// what decides whether the caller sees the tool.
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// The endpoint that is called. Without it, the one that shows the tool and the fewest other upstreams.
    #[arg(long)]
    endpoint: Option<String>,
    /// The address that the call comes from.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is asked for: one of them.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Asked {
    /// The tool, as `upstream.tool`.
    #[arg(long, value_name = "UPSTREAM.TOOL")]
    tool: Option<String>,
    /// The prompt, as `upstream.prompt`.
    #[arg(long, value_name = "UPSTREAM.PROMPT")]
    prompt: Option<String>,
    /// The resource or template, as `upstream.uri`.
    #[arg(long, value_name = "UPSTREAM.URI")]
    resource: Option<String>,
}

impl Asked {
    fn name(&self) -> anyhow::Result<(Kind, ToolName)> {
        let (kind, name, example) = match (&self.tool, &self.prompt, &self.resource) {
            (_, Some(prompt), _) => (Kind::Prompt, prompt.as_str(), "crm.summarise"),
            (_, _, Some(resource)) => (Kind::Resource, resource.as_str(), "docs.file:///srv/docs/a.txt"),
            (tool, ..) => (Kind::Tool, tool.as_deref().unwrap_or_default(), "crm.get_customer"),
        };
        let what = kind.as_str();
        let parsed = ToolName::parse(name);
        Ok((kind, parsed.with_context(|| format!("--{what} must have its upstream before it, such as {example}"))?))
    }
}

/// Explains.
///
/// # Errors
/// A tool, an endpoint or arguments that make no sense.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let loaded = config::load(options.config.path(), &app::environment).map_err(ReportError)?;
    let snapshot = &loaded.snapshot;
    let (kind, tool) = options.asked.name()?;
    if !snapshot.upstreams.contains_key(&tool.upstream) {
        let known: Vec<_> = snapshot.upstreams.keys().map(String::as_str).collect();
        bail!("there is no upstream `{}`; there are: {}", tool.upstream, known.join(", "));
    }
    let arguments = options.args.as_deref().or((kind == Kind::Resource).then_some("{}"));
    if let Some(arguments) = arguments {
        check(arguments)?;
    }
    warn_of_unknown(&options.roles, snapshot);
    let endpoint = endpoint(options.endpoint.as_deref(), snapshot, &tool.upstream)?;
    let principal = principal(options);
    let roles = snapshot.policy.roles(&principal);
    let arguments = arguments.map(|arguments| CallArguments::new(arguments.as_bytes()));
    let context =
        Context { endpoint, method: kind.method(), protocol: Version::LATEST.as_str(), client: options.client };
    let request = AccessRequest {
        principal: &principal,
        roles: &roles,
        kind,
        tool: &tool,
        arguments: arguments.as_ref().map_or(Arguments::Any, Arguments::Of),
        context: &context,
    };
    let explanation = explain(&snapshot.policy, &request, clock::now());
    let text = if options.json { serde_json::to_string_pretty(&explanation)? } else { explanation.to_string() };
    say(&mut io::stdout(), text.trim_end());
    if options.endpoint.is_none() && !endpoint.is_empty() {
        say(&mut io::stderr(), &format!("asked of the endpoint `{endpoint}`; choose another with --endpoint"));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(arguments: &str) -> anyhow::Result<()> {
    match parse_value(arguments.as_bytes(), &Limits::default()) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => bail!("--args must be a JSON object"),
        Err(Rejection::ParseError) => bail!("--args is not JSON; in a shell, put it in single quotes"),
        Err(refusal) => bail!("--args: {}", refusal.text()),
    }
}

/// The endpoint that is meant; empty where none shows the upstream.
fn endpoint<'a>(wanted: Option<&'a str>, snapshot: &'a Snapshot, upstream: &str) -> anyhow::Result<&'a str> {
    let endpoints = &snapshot.routes.0;
    let Some(wanted) = wanted else {
        let showing = endpoints.values().filter(|endpoint| endpoint.upstreams.iter().any(|name| name == upstream));
        let closest = showing.min_by_key(|endpoint| endpoint.upstreams.len());
        if closest.is_none() {
            say(&mut io::stderr(), &format!("warning: no endpoint shows `{upstream}`, so nobody can call its tools"));
        }
        return Ok(closest.map_or("", |endpoint| &endpoint.name));
    };
    match endpoints.get(wanted) {
        Some(endpoint) if endpoint.upstreams.iter().any(|name| name == upstream) => Ok(&endpoint.name),
        // Plain REST is an endpoint to policy, and shows what any other shows.
        None if wanted == INVOKE => Ok(INVOKE),
        Some(_) => bail!("the endpoint `{wanted}` does not show `{upstream}`"),
        None => {
            let known: Vec<_> = endpoints.keys().map(String::as_str).collect();
            bail!("there is no endpoint `{wanted}`; there are: {}", known.join(", "))
        }
    }
}

fn principal(options: &Options) -> Principal {
    Principal {
        issuer: "explain".into(),
        subject: options.user.clone(),
        tenant: options.tenant.clone(),
        agent: options.agent.clone(),
        roles: options.roles.iter().cloned().collect(),
        scopes: options.scopes.iter().cloned().collect(),
        ..nobody()
    }
}
