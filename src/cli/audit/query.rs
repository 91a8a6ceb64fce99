//! `portcullis audit query`.

use super::JournalFile;
use super::selection::Selection;
use super::show::{Format, show};
use crate::cli::{runtime, say};
use crate::store::journal::read::{Order, Reader};
use std::io;
use std::process::ExitCode;

/// Which calls to print.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: JournalFile,
    #[command(flatten)]
    selection: Selection,
    /// How they are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// At most so many.
    #[arg(long, default_value = "50")]
    limit: usize,
    /// Those before the row of this number, which is the last one of the page before.
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
}

/// Prints them.
///
/// # Errors
/// The journal can't be read.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    runtime(1)?.block_on(async {
        let mut reader = Reader::open(&options.file.path()?).await?;
        let (order, limit) = (Order::NewestFirst, options.limit);
        let rows = options.selection.read(&mut reader, order, options.before, limit).await?;
        let text = show(&rows, options.format, true);
        if !text.is_empty() {
            say(&mut io::stdout(), text.trim_end_matches('\n'));
        }
        if let Some(last) = rows.last().filter(|_| rows.len() == limit) {
            say(&mut io::stderr(), &format!("there may be more: --before {}", last.seq));
        }
        Ok(ExitCode::SUCCESS)
    })
}
