//! `portcullis audit`: what can be done with the record of calls. Reads it; a gateway may write it meanwhile. Leaves no row
//! in it: whoever can read the file can read it without these commands, so that such rows would prove nothing.

mod export;
mod prove;
mod query;
mod resend;
mod schema;
pub mod selection;
mod show;
mod tail;
mod verify;

use crate::app::{self, ReportError};
use crate::cli::ConfigFile;
use crate::config::premises;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Look for calls, the last ones first.
    Query(query::Options),
    /// Print the last calls, and with -f those that come.
    Tail(tail::Options),
    /// Write every row as a line of JSON, the first ones first.
    Export(export::Options),
    /// Check that the record is whole and as it was written; name the first row that is not. Exit code 0 where all is
    /// right, 3 where rows follow from one another and nothing is signed yet, 1 for anything else.
    Verify(verify::Options),
    /// Print the proof that a row is in the record, for whoever can't see the rest of it.
    Prove(prove::Options),
    /// Send the rows once more that a sink refused for what they are and that were set aside, once that is mended. What a
    /// sink over HTTP may have taken all the same comes twice, under the same `event_id`.
    Resend(resend::Options),
    /// Print the tables of a sink in Postgres, as SQL that may be run again.
    Schema,
}

/// Which journal is meant.
#[derive(clap::Args)]
pub struct JournalFile {
    #[command(flatten)]
    config: ConfigFile,
    /// The journal's file, instead of the one that the configuration names.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl JournalFile {
    /// The configuration's own file.
    pub fn config(&self) -> &Path {
        self.config.path()
    }

    /// Where it is. The configuration's secrets need not be there.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.journal {
            return Ok(path.clone());
        }
        Ok(premises::journal(self.config.path(), &app::environment).map_err(ReportError)?)
    }
}

/// Does as `options` say.
///
/// # Errors
/// Why it can't.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.action {
        Action::Query(options) => query::run(options),
        Action::Tail(options) => tail::run(options),
        Action::Export(options) => export::run(options),
        Action::Verify(options) => verify::run(options),
        Action::Prove(options) => prove::run(options),
        Action::Resend(options) => resend::run(options),
        Action::Schema => Ok(schema::run()),
    }
}
