//! `portcullis audit resend`: another try for rows that a sink refused for what they are.

use crate::app::{self, ReportError};
use crate::cli::{ConfigFile, runtime, say};
use crate::config;
use crate::config::snapshot::{Gateway, Sink};
use crate::ship::resend;
use anyhow::{anyhow, ensure};
use portcullis_core::visible::visible;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

/// Which sink.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// The sink, by its name in `journal.sinks`.
    #[arg(long, value_name = "NAME")]
    sink: String,
    /// Only print which rows are set aside, and why.
    #[arg(long)]
    list: bool,
}

/// Sends them, in the order of the record, and says what became of each: exit code 0 where the sink has all of them now.
///
/// # Errors
/// The sink takes nothing now, or it is not known what was set aside.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let loaded = config::load(options.config.path(), &app::environment).map_err(ReportError)?;
    let journal = &loaded.snapshot.gateway.journal.path;
    let runtime = runtime(1)?;
    if options.list {
        let see = |row: &resend::Aside| print(&format!("{} {} {}: {}", row.seq, row.event_id, row.at, row.reason));
        runtime.block_on(resend::list(journal, &options.sink, see)).map_err(|why| anyhow!(why))?;
        return Ok(ExitCode::SUCCESS);
    }
    let sink = named(&loaded.snapshot.gateway, &options.sink)?;
    let see = |row: &resend::Aside, refused: Option<&str>| match refused {
        None => print(&format!("{} {}: sent", row.seq, row.event_id)),
        Some(reason) => print(&format!("{} {}: refused again: {reason}", row.seq, row.event_id)),
    };
    let resent = runtime.block_on(resend::resend(journal, sink, see));
    let resent = resent.map_err(|why| anyhow!("{why}; what was not sent is still set aside"))?;
    ensure!(resent.refused == 0, "{} sent; {} are still set aside", resent.taken, resent.refused);
    print(&format!("ok: {} sent, none is set aside", resent.taken));
    Ok(ExitCode::SUCCESS)
}

/// The sink of this name.
///
/// # Errors
/// There is none.
pub fn named<'a>(gateway: &'a Gateway, name: &str) -> anyhow::Result<&'a Arc<Sink>> {
    let sinks = &gateway.sinks;
    let names = || sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>().join(", ");
    sinks
        .iter()
        .find(|sink| sink.name == name)
        .ok_or_else(|| anyhow!("`journal.sinks` has no sink `{name}`; it has: {}", names()))
}

/// A sink's own words are in it.
fn print(line: &str) {
    say(&mut io::stdout(), &visible(line).replace('\n', "\\u{a}"));
}
