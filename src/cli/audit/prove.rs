//! `portcullis audit prove`: the proof that one row is in the record, as JSON. `docs/check_proof.py` checks it.

use crate::cli::audit::JournalFile;
use crate::cli::{runtime, say};
use crate::store::journal::verify;
use std::io;
use std::process::ExitCode;

/// Which row.
#[derive(clap::Args)]
pub struct Options {
    /// The row's `event_id`, as `audit query --format json` and exports show it.
    event: String,
    #[command(flatten)]
    journal: JournalFile,
}

/// Prints the proof.
///
/// # Errors
/// There is no such row, or it is not signed yet.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let path = options.journal.path()?;
    let proof = runtime(1)?.block_on(verify::prove(&path, &options.event))?;
    say(&mut io::stdout(), &serde_json::to_string_pretty(&proof)?);
    Ok(ExitCode::SUCCESS)
}
