//! `portcullis audit schema`: the tables of a sink in Postgres, for a role that may make tables where the gateway's may
//! not.

use crate::cli::say;
use crate::ship::postgres::SCHEMA;
use std::io;
use std::process::ExitCode;

/// Prints them.
pub fn run() -> ExitCode {
    say(&mut io::stdout(), SCHEMA.trim_end());
    ExitCode::SUCCESS
}
