//! `portcullis audit query`.

use super::JournalFile;
use super::selection::Selection;
use super::show::{Format, show};
use crate::cli::{runtime, say};
use crate::store::journal::read::{Order, Reader};
use anyhow::Context as _;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

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
    /// At most so many.
    #[arg(long, default_value = "50")]
    limit: usize,
    /// Those before the row of this number, which is the last one of the page before.
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
}

/// Prints them, page by page: however many are asked for, a page of them is in memory.
///
/// # Errors
/// The journal can't be read, or nothing can be written.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    runtime(1)?.block_on(async {
        let mut reader = Reader::open(&options.file.path()?).await?;
        let (mut before, mut left, mut head) = (options.before, options.limit, true);
        let mut out = io::stdout().lock();
        while left > 0 {
            let most = left.min(PAGE);
            let rows = options.selection.read(&mut reader, Order::NewestFirst, before, most).await?;
            match out.write_all(show(&rows, options.format, head).as_bytes()).and_then(|()| out.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                written => written.context("the rows can't be written")?,
            }
            (left, head) = (left - rows.len(), false);
            before = rows.last().map_or(before, |last| Some(last.seq));
            if rows.len() < most {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if let Some(last) = before {
            say(&mut io::stderr(), &format!("there may be more: --before {last}"));
        }
        Ok(ExitCode::SUCCESS)
    })
}
