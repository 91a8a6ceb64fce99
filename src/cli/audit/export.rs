//! `portcullis audit export`.

use super::JournalFile;
use super::selection::moment;
use crate::cli::runtime;
use crate::store::journal::JournalError;
use crate::store::journal::read::{Filter, Order, Reader};
use anyhow::Context as _;
use portcullis_core::audit::row::Stored;
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
    /// With the signed checkpoints, each a line after the rows that it speaks of: then `audit verify --export` can check
    /// what was written.
    #[arg(long)]
    checkpoints: bool,
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
        let (mut from, mut is_first) = (options.after, true);
        loop {
            let rows = reader.page(&filter, Order::OldestFirst, from, PAGE).await?;
            let checkpoints =
                if options.checkpoints { beside(&mut reader, is_first, &rows).await? } else { Vec::new() };
            let written = write(&mut out, &rows, &checkpoints);
            match written.and_then(|()| out.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                written => written.context("the export can't be written")?,
            }
            let Some(last) = rows.last() else { return Ok(ExitCode::SUCCESS) };
            (from, is_first) = (Some(last.seq), false);
        }
    })
}

/// The checkpoints that speak of rows up to one of `rows`, and, with the first page, of those right before.
async fn beside(reader: &mut Reader, is_first: bool, rows: &[Stored]) -> Result<Vec<(i64, String)>, JournalError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    reader.checkpoints(first.seq - i64::from(is_first), last.seq).await
}

fn write(out: &mut dyn Write, rows: &[Stored], checkpoints: &[(i64, String)]) -> io::Result<()> {
    let mut checkpoints = checkpoints.iter().peekable();
    for row in rows {
        while let Some((_, line)) = checkpoints.next_if(|(size, _)| *size < row.seq) {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "{}", row.json_line())?;
    }
    checkpoints.try_for_each(|(_, line)| writeln!(out, "{line}"))
}
