//! `portcullis audit verify`: whether the record is whole and as it was written.

use crate::cli::audit::JournalFile;
use crate::cli::{runtime, say};
use crate::store::journal::verify::VerifyError;
use crate::store::journal::{JournalError, key, verify};
use anyhow::{Context as _, anyhow, ensure};
use portcullis_core::audit::key::PublicKey;
use portcullis_core::audit::verify::{Fault, Verified};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to check, and by what.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    journal: JournalFile,
    /// An export (JSON lines) to check instead of a journal; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "journal", requires = "key")]
    export: Option<PathBuf>,
    /// Checkpoints that were kept elsewhere (`journal.checkpoints.file`): only they show that the end was cut off, or that
    /// all was written anew by somebody who has the key.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Public keys, in PEM, that checkpoints may be signed with. Without it, those beside the journal, which whoever can
    /// write there can replace.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
}

/// The exit code where rows are whole and in order, and none of them is signed.
const NOTHING_SIGNED: u8 = 3;

/// Checks, and says what was found: exit code 0 where all is right, 3 where rows follow from one another and nothing is
/// signed.
///
/// # Errors
/// The first thing that is wrong, or why nothing could be checked.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match verify(options) {
        Ok(verified) => {
            say(&mut io::stdout(), &text(&verified));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match error.downcast_ref() {
            Some(VerifyError::Fault(fault @ Fault::NothingSigned { .. })) => {
                say(&mut io::stderr(), &format!("not proved: {fault}. {}", unsigned(options)));
                Ok(ExitCode::from(NOTHING_SIGNED))
            }
            Some(VerifyError::Fault(Fault::Missing { from: 1, .. })) if options.export.is_some() => Err(anyhow!(
                "{error}: an export that begins later must begin with the checkpoint of the row before. Of files that were \
                 renamed, put the older ones in front: `cat audit.jsonl.1 audit.jsonl | portcullis audit verify --export - …`"
            )),
            _ => Err(error),
        },
    }
}

/// What to do where nothing is signed.
fn unsigned(options: &Options) -> &'static str {
    match options.export {
        Some(_) => {
            "Give it checkpoints: `audit export --checkpoints` writes them beside the rows, --checkpoints reads a file"
        }
        None => "The gateway signs its first checkpoint within ten seconds of a row, or when it ends: check again then",
    }
}

fn verify(options: &Options) -> anyhow::Result<Verified> {
    let outside = options.checkpoints.as_deref().map(read).transpose()?.unwrap_or_default();
    let outside: Vec<String> = outside.lines().map(ToOwned::to_owned).collect();
    match &options.export {
        Some(export) => {
            let keys = keys(&options.key)?;
            if export == Path::new("-") {
                Ok(verify::export(io::stdin().lock(), &keys, &outside)?)
            } else {
                let file = File::open(export).with_context(|| format!("{} can't be read", export.display()))?;
                Ok(verify::export(BufReader::new(file), &keys, &outside)?)
            }
        }
        None => {
            let path = options.journal.path()?;
            // Before its key is looked for.
            ensure!(path.exists(), JournalError::Absent { path });
            let beside = [key::public_path(&path)];
            let keys = keys(if options.key.is_empty() { &beside } else { &options.key })?;
            Ok(runtime(1)?.block_on(verify::journal(&path, &keys, &outside))?)
        }
    }
}

fn text(verified: &Verified) -> String {
    let Verified { instance, first, last, signed, checkpoints } = verified;
    if *last < *first {
        return format!("ok: journal {instance} has no rows");
    }
    let mut text = format!(
        "ok: journal {instance}: rows {first} to {last} are whole and as they were written; {checkpoints} signed \
         {} of rows up to {signed}",
        if *checkpoints == 1 { "checkpoint speaks" } else { "checkpoints speak" }
    );
    if *first > 1 {
        text.push_str(&format!("\nrows 1 to {} were removed; the checkpoint that ended them is signed", first - 1));
    }
    if signed < last {
        let from = signed + 1;
        text.push_str(&format!("\nrows {from} to {last} follow from those before them, and are not signed yet"));
    }
    text
}

fn keys(paths: &[PathBuf]) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for path in paths {
        let found = PublicKey::all_from_pem(&read(path)?);
        ensure!(!found.is_empty(), "{} holds no Ed25519 public key in PEM", path.display());
        keys.extend(found);
    }
    Ok(keys)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))
}
