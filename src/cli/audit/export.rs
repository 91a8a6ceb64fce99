//! `portcullis audit export`.

use super::JournalFile;
use super::selection::moment;
use crate::cli::runtime;
use crate::store::journal::read::{Filter, Order, Reader};
use anyhow::Context as _;
use portcullis_core::time::Timestamp;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Rows that are read at once.
const PAGE: usize = 1000;

/// Which rows to write, and where.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: JournalFile,
    /// Not before this time (`2026-11-20T08:00:00Z`), or this long ago (`7d`).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time, or this long ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Those after the row of this number.
    #[arg(long, value_name = "SEQ")]
    after: Option<i64>,
    /// The file to write; it must not be there yet. Without it, standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes them.
///
/// # Errors
/// The journal can't be read, or the file can't be written.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let out: Box<dyn Write> = match &options.out {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            // What is in the record is for nobody else.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.with_context(|| format!("{} can't be made; name a file that is not there", path.display()))?)
        }
    };
    let mut out = BufWriter::new(out);
    runtime(1)?.block_on(async {
        let mut reader = Reader::open(&options.file.path()?).await?;
        let filter = Filter { since: options.since, until: options.until, ..Filter::default() };
        let mut from = options.after;
        loop {
            let rows = reader.page(&filter, Order::OldestFirst, from, PAGE).await?;
            let written = rows.iter().try_for_each(|row| writeln!(out, "{}", row.json_line()));
            match written.and_then(|()| out.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                written => written.context("the export can't be written")?,
            }
            let Some(last) = rows.last() else { return Ok(ExitCode::SUCCESS) };
            from = Some(last.seq);
        }
    })
}
