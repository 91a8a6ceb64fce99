//! `portcullis audit tail`.

use super::JournalFile;
use super::selection::Selection;
use super::show::{Format, show};
use crate::cli::runtime;
use crate::store::journal::read::{Order, Reader};
use crate::store::journal::search::Found;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How often a journal is looked at that is followed.
const POLL: Duration = Duration::from_millis(250);
/// Rows that are read at once.
const PAGE: usize = 1000;

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
    /// The last so many, unless --since says which.
    #[arg(long, short = 'n', default_value = "10")]
    lines: usize,
    /// Print those that come, until it is ended.
    #[arg(long, short = 'f')]
    follow: bool,
}

/// Prints them.
///
/// # Errors
/// The journal can't be read, or nothing can be written.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    runtime(1)?.block_on(async {
        let mut reader = Reader::open(&options.file.path()?).await?;
        let end = reader.last().await?;
        let mut from = match options.selection.since {
            Some(_) => 0,
            None => {
                // Rows after the end are left to be followed.
                let (order, before) = (Order::NewestFirst, Some(end.saturating_add(1)));
                let mut rows = options.selection.read(&mut reader, order, before, options.lines).await?;
                rows.reverse();
                if !print(&show(&rows, options.format, true))? {
                    return Ok(ExitCode::SUCCESS);
                }
                if !options.follow {
                    return Ok(ExitCode::SUCCESS);
                }
                end
            }
        };
        loop {
            let Found { rows, to, whole } = options.selection.after(&mut reader, from, PAGE).await?;
            from = to;
            if !print(&show(&rows, options.format, false))? {
                return Ok(ExitCode::SUCCESS);
            }
            match (whole, options.follow) {
                (true, false) => return Ok(ExitCode::SUCCESS),
                (true, true) => tokio::time::sleep(POLL).await,
                (false, _) => {}
            }
        }
    })
}

/// Whether somebody still reads.
fn print(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
