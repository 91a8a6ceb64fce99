//! The command line: what there is, and which file does it.

mod approvals;
mod audit;
mod catalogue;
mod check;
mod connect;
#[cfg(feature = "demo")]
mod demo;
mod explain;
mod jobs;
mod operator;
mod policy;
mod question;
mod ready;
mod reference;
mod serve;
mod token;

use crate::app::ReportError;
use clap::{Parser, Subcommand};
use portcullis_core::policy::PolicySet;
use portcullis_core::principal::Principal;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A reverse proxy that enforces policy in front of MCP servers.
#[derive(Parser)]
#[command(name = "portcullis", version, about, max_term_width = 100)]
#[command(
    after_help = "Start here: `portcullis demo` runs the gateway in front of two sample MCP servers and prints what to try."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway with a configuration: a gateway.yaml and the two files that it names.
    Serve(serve::Options),
    /// Check a configuration: print every problem with file, line and what to do.
    Check(check::Options),
    /// Say what policy decides of a call, and what each rule says of it.
    Explain(explain::Options),
    /// Test a policy, or try it on the calls in the record.
    Policy(policy::Options),
    /// Read the record of calls, and check that it is whole.
    Audit(audit::Options),
    /// Look at the calls that wait for people, and decide on them.
    Approvals(approvals::Options),
    /// See to calls that run when their callers do not wait.
    Jobs(jobs::Options),
    /// Look at the tools and prompts that upstreams were seen to offer, and accept changed ones.
    Catalogue(catalogue::Options),
    /// Print what the three files may hold: the reference, or a JSON schema for editors.
    Reference(reference::Options),
    /// Bridge standard input and output to an endpoint, for MCP clients that only speak stdio.
    Connect(connect::Options),
    /// Print a token for development, signed with the shared secret of a configured issuer.
    Token(token::Options),
    /// Run the gateway in front of two sample MCP servers, with three roles and no set-up.
    #[cfg(feature = "demo")]
    Demo(demo::Options),
    /// A sample MCP server, as a child of the demo.
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    Backend(demo::backend::Options),
}

/// The configuration that a command reads.
#[derive(clap::Args)]
struct ConfigFile {
    /// The gateway.yaml; it names the other two files.
    #[arg(
        long = "config",
        value_name = "FILE",
        default_value = "conf/gateway.yaml",
        env = "PORTCULLIS_CONFIG",
        hide_env_values = true
    )]
    path: PathBuf,
}

impl ConfigFile {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the command line and does as it says.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Policy(options) => policy::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Approvals(options) => approvals::run(&options),
        Command::Jobs(options) => jobs::run(&options),
        Command::Catalogue(options) => catalogue::run(&options),
        Command::Reference(options) => Ok(reference::run(&options)),
        Command::Connect(options) => connect::run(&options),
        Command::Token(options) => token::run(&options),
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo::run(&options),
        #[cfg(feature = "demo")]
        Command::Backend(options) => demo::backend::run(&options),
    };
    done.unwrap_or_else(|error| {
        say(&mut io::stderr(), &told(&error));
        ExitCode::FAILURE
    })
}

/// An error and its causes, each said once. Problems of the configuration begin with their own place.
fn told(error: &anyhow::Error) -> String {
    if error.is::<ReportError>() {
        return error.to_string();
    }
    let mut text = String::from("portcullis");
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Warns of roles that the policy does not declare: they are no error, and grant nothing.
fn warn_of_unknown(roles: &[String], policy: &PolicySet) {
    for role in roles {
        let principal = Principal { roles: [role.clone()].into(), ..nobody() };
        if policy.roles(&principal).iter().next().is_none() {
            say(&mut io::stderr(), &format!("warning: the policy declares no role `{role}`, so it grants nothing"));
        }
    }
}

/// A principal without a name or a right.
fn nobody() -> Principal {
    Principal::new("", "")
}

/// Writes a line. Whoever closed the pipe does not want it.
fn say(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

/// What a thread has for its stack, in bytes: calls of upstreams whose lists are their caller's go deep, and without
/// optimisation the usual 2 MiB are not enough. What is not used takes no memory.
const STACK: usize = 8 << 20;

/// The runtime that everything runs on.
///
/// # Errors
/// The system has no threads to give.
fn runtime(threads: usize) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_stack_size(STACK)
        .enable_all()
        .build()
}

/// Chooses ring as the one provider of TLS's cryptography; a second choice would be a panic at first use.
fn install_crypto() {
    // An error says that it was chosen before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
