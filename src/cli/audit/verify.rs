//! `portcullis audit verify`: whether the record, or a copy of it, is whole and as it was written.

use crate::app::{self, ReportError};
use crate::cli::audit::JournalFile;
use crate::cli::audit::resend::named;
use crate::cli::{runtime, say};
use crate::config;
use crate::config::snapshot::Target;
use crate::secrets::Secret;
use crate::ship::copies;
use crate::store::journal::verify::VerifyError;
use crate::store::journal::{JournalError, key, verify};
use anyhow::{Context as _, anyhow, bail, ensure};
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
    /// A sink to check instead of the journal, by its name in `journal.sinks`: its tables in Postgres, or its file. The
    /// journal beside it says what must be there.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["export", "postgres_env"])]
    sink: Option<String>,
    /// A sink's tables to check without a configuration: the environment variable that holds the database's URL, so that
    /// no password is in a list of processes. A role that may SELECT is enough.
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["export", "journal"], requires = "key")]
    postgres_env: Option<String>,
    /// The journal whose rows are meant, where a database holds those of several: its `instance`.
    #[arg(long, value_name = "ID", conflicts_with = "export")]
    instance: Option<String>,
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
    Ok(if let Some(path) = &options.export {
        export(path, &keys(&options.key)?, &outside)?
    } else if let Some(variable) = &options.postgres_env {
        let url =
            std::env::var(variable).with_context(|| format!("the environment variable {variable} can't be read"))?;
        let (keys, instance) = (keys(&options.key)?, options.instance.as_deref());
        runtime(1)?.block_on(copies::verify(&Secret::new(url), instance, &keys, &outside))?
    } else if let Some(name) = &options.sink {
        sink(options, name, outside)?
    } else {
        let path = options.journal.path()?;
        // Before its key is looked for.
        ensure!(path.exists(), JournalError::Absent { path });
        runtime(1)?.block_on(verify::journal(&path, &keys_beside(options, &path)?, &outside))?
    })
}

fn export(path: &Path, keys: &[PublicKey], outside: &[String]) -> anyhow::Result<Verified> {
    if path == Path::new("-") {
        return Ok(verify::export(io::stdin().lock(), keys, outside)?);
    }
    let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    Ok(verify::export(BufReader::new(file), keys, outside)?)
}

/// Checks the sink `name`: also by the checkpoints of the journal that it took.
fn sink(options: &Options, name: &str, mut outside: Vec<String>) -> anyhow::Result<Verified> {
    let loaded = config::load(options.journal.config(), &app::environment).map_err(ReportError)?;
    let gateway = &loaded.snapshot.gateway;
    let sink = named(gateway, name)?;
    let path = options.journal.path()?;
    let (keys, runtime) = (keys_beside(options, &path)?, runtime(1)?);
    let shipped = runtime.block_on(copies::shipped(&path, name)).map_err(|why| anyhow!(why))?;
    let is_of_another = options.instance.as_ref().is_some_and(|instance| *instance != shipped.instance);
    if !is_of_another {
        outside.extend(shipped.checkpoints);
    }
    let instance = options.instance.as_deref().unwrap_or(&shipped.instance);
    let verified = match &sink.target {
        Target::Postgres(url) => {
            runtime.block_on(copies::verify(url, Some(instance), &keys, &outside)).map_err(anyhow::Error::from)
        }
        Target::File(file) => export(file, &keys, &outside),
        Target::Stdout | Target::Otlp(_) | Target::Webhook(..) => {
            bail!("what the sink `{name}` was given can't be read back; only tables in Postgres and files can")
        }
    };
    if shipped.set_aside > 0 {
        let aside =
            format!("{} entries were set aside for this sink: `portcullis audit resend` sends them", shipped.set_aside);
        say(&mut io::stderr(), &aside);
    }
    verified
}

fn keys_beside(options: &Options, journal: &Path) -> anyhow::Result<Vec<PublicKey>> {
    let beside = [key::public_path(journal)];
    keys(if options.key.is_empty() { &beside } else { &options.key })
}

fn text(verified: &Verified) -> String {
    let Verified { instance, first, last, signed, checkpoints, is_removal_told } = verified;
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
    if !is_removal_told {
        text.push_str(
            "\nno row says that the gateway removed them: it was killed right then, or somebody else took them out",
        );
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
