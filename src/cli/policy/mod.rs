//! `portcullis policy`: what policies do, found out before they are live.

mod replay;
mod test;

use clap::Subcommand;
use std::process::ExitCode;

/// What to do with policies.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run the tests of a policy: `*.policy-test.yaml` files that say what it must decide.
    ///
    /// Neither secrets nor a gateway are needed. The exit code is 0 where all tests pass, 1 where one fails or rules are
    /// not covered as wanted, and 2 where tests can't be run.
    Test(test::Options),
    /// Decide every recorded call again under another policy, and say what would change.
    ///
    /// A call whose decision depends on what the record does not hold (arguments that were redacted or cut, claims of
    /// tokens) counts as one that can't be told. The exit code is 0 where nothing would change, 1 where something would,
    /// and 2 where that can't be found out.
    Replay(replay::Options),
}

/// What the exit code says beside success.
const FOUND: u8 = 1;
/// Nothing could be found out.
const TROUBLE: u8 = 2;

/// Does as the options say.
///
/// # Errors
/// None: what goes wrong is printed, and makes the exit code.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let done = match &options.action {
        Action::Test(options) => test::run(options),
        Action::Replay(options) => replay::run(options),
    };
    Ok(done.unwrap_or_else(|error| {
        crate::cli::say(&mut std::io::stderr(), &crate::cli::told(&error));
        ExitCode::from(TROUBLE)
    }))
}
