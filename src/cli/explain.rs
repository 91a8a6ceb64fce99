//! `portcullis explain`.

use crate::app::{self, ReportError};
use crate::cli::question::check_upstream;
use crate::cli::{ConfigFile, nobody, say, warn_of_unknown};
use crate::config::premises::Premises;
use crate::pipeline::clock;
use anyhow::{Error, anyhow, bail};
use portcullis_core::jsonrpc::{Limits, parse_value};
use portcullis_core::mcp::version::Version;
use portcullis_core::policy::question::{self, Question};
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
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
        let (kind, name) = match (&self.tool, &self.prompt, &self.resource) {
            (_, Some(prompt), _) => (Kind::Prompt, prompt.as_str()),
            (_, _, Some(resource)) => (Kind::Resource, resource.as_str()),
            (tool, ..) => (Kind::Tool, tool.as_deref().unwrap_or_default()),
        };
        question::name(kind, name).map(|name| (kind, name)).map_err(|wrong| anyhow!("--{} {wrong}", kind.as_str()))
    }
}

/// Explains.
///
/// # Errors
/// A tool, an endpoint or arguments that make no sense.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let premises = Premises::of(options.config.path(), &app::environment).map_err(ReportError)?;
    let policy = premises.compile(&premises.policy).map_err(ReportError)?;
    let (kind, tool) = options.asked.name()?;
    check_upstream(&tool, &premises).map_err(Error::msg)?;
    let arguments = options.args.as_deref().or((kind == Kind::Resource).then_some("{}"));
    if let Some(arguments) = arguments {
        check(arguments)?;
    }
    warn_of_unknown(&options.roles, &policy);
    let endpoint =
        question::endpoint(options.endpoint.as_deref(), &premises.endpoints, &tool.upstream).map_err(Error::msg)?;
    if endpoint.is_empty() {
        let upstream = &tool.upstream;
        say(&mut io::stderr(), &format!("warning: no endpoint shows `{upstream}`, so nobody can call its tools"));
    }
    let question = Question {
        principal: principal(options),
        kind,
        tool,
        arguments: arguments.map(str::to_owned),
        endpoint: endpoint.to_owned(),
        protocol: Version::LATEST.as_str().to_owned(),
        client: options.client,
        now: clock::now(),
    };
    let explanation = question.explain(&policy);
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
