//! `portcullis policy`: what policies do, found out before they are live.

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
    };
    Ok(done.unwrap_or_else(|error| {
        crate::cli::say(&mut std::io::stderr(), &crate::cli::told(&error));
        ExitCode::from(TROUBLE)
    }))
}
