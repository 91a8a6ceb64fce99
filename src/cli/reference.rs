//! `portcullis reference`.

use crate::cli::say;
use crate::config::{reference, schema};
use std::io;
use std::process::ExitCode;

/// What to print.
#[derive(clap::Args)]
pub struct Options {
    /// Print the JSON schema of this file instead.
    #[arg(long, value_name = "FILE")]
    schema: Option<File>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum File {
    Gateway,
    Upstreams,
    Policy,
    PolicyTest,
}

/// Prints.
pub fn run(options: &Options) -> ExitCode {
    let text = match options.schema {
        None => reference::reference(),
        Some(File::Gateway) => format!("{:#}", schema::gateway()),
        Some(File::Upstreams) => format!("{:#}", schema::upstreams()),
        Some(File::Policy) => format!("{:#}", schema::policy()),
        Some(File::PolicyTest) => format!("{:#}", schema::policy_test()),
    };
    say(&mut io::stdout(), text.trim_end());
    ExitCode::SUCCESS
}
