//! `portcullis catalogue`: what upstreams were seen to offer, and what a person makes of changes.
//!
//! It reads and writes the state database of a configuration, beside a gateway that runs or without one. What upstreams
//! say is printed so that nothing in it can pass unseen or speak to the terminal.

use crate::app::{self, ReportError};
use crate::cli::{ConfigFile, runtime, say};
use crate::config::premises;
use crate::store::pins::{Ledger, Row};
use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use portcullis_core::catalog::{About, PinKind, changes};
use portcullis_core::visible::visible;
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

/// How much of a digest stands for it.
const DIGEST: usize = 16;

/// What to do.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the tools, prompts and instructions that upstreams were seen to offer.
    List(List),
    /// Print a definition: the one that is trusted, and the one that is held back.
    Show(One),
    /// Print how definitions that are held back differ from the ones that are trusted.
    Diff(Several),
    /// Trust definitions that are held back. A gateway that runs notices within two seconds.
    Accept(Accept),
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    config: ConfigFile,
    /// Those of this upstream alone.
    #[arg(long)]
    upstream: Option<String>,
    /// Those that are held back alone.
    #[arg(long)]
    quarantined: bool,
}

#[derive(clap::Args)]
struct One {
    #[command(flatten)]
    config: ConfigFile,
    /// The tool or prompt; UPSTREAM.instructions for what the upstream says of itself.
    #[arg(value_name = "UPSTREAM.NAME")]
    name: String,
    /// Which, where a tool and a prompt have the same name.
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
}

#[derive(clap::Args)]
struct Several {
    #[command(flatten)]
    config: ConfigFile,
    /// The tool or prompt; UPSTREAM.instructions for what the upstream says of itself. Without it, all.
    #[arg(value_name = "UPSTREAM.NAME")]
    name: Option<String>,
    /// Which, where a tool and a prompt have the same name.
    #[arg(long, value_name = "KIND", requires = "name")]
    kind: Option<Kind>,
    /// All of this upstream.
    #[arg(long, conflicts_with = "name")]
    upstream: Option<String>,
}

#[derive(clap::Args)]
struct Accept {
    #[command(flatten)]
    config: ConfigFile,
    /// The tool or prompt; UPSTREAM.instructions for what the upstream says of itself.
    #[arg(value_name = "UPSTREAM.NAME", required_unless_present = "all")]
    name: Option<String>,
    /// Which, where a tool and a prompt have the same name.
    #[arg(long, value_name = "KIND", requires = "name")]
    kind: Option<Kind>,
    /// The definition that was looked at, as `diff` prints it: if it has changed since, nothing is accepted.
    #[arg(long, value_name = "DIGEST", requires = "name")]
    digest: Option<String>,
    /// The upstream of which all is accepted.
    #[arg(long, requires = "all", conflicts_with = "name")]
    upstream: Option<String>,
    /// Accept all that is held back of the upstream.
    #[arg(long, requires = "upstream")]
    all: bool,
}

/// What a definition is of.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Tool,
    Prompt,
    Instructions,
}

impl Kind {
    fn pinned(self) -> PinKind {
        match self {
            Self::Tool => PinKind::Tool,
            Self::Prompt => PinKind::Prompt,
            Self::Instructions => PinKind::Instructions,
        }
    }
}

/// Does it.
///
/// # Errors
/// There is no state database, it can't be used, or it holds no such definition.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = runtime(1).context("no thread to work on")?;
    runtime.block_on(async {
        match &options.action {
            Action::List(options) => list(options).await,
            Action::Show(options) => show(options).await,
            Action::Diff(options) => diff(options).await,
            Action::Accept(options) => accept(options).await,
        }
    })
}

/// The database that the configuration names. Its secrets need not be there.
async fn open(config: &ConfigFile) -> anyhow::Result<Ledger> {
    let path = premises::state(config.path(), &app::environment).map_err(ReportError)?;
    Ok(Ledger::open(&path).await?)
}

async fn list(options: &List) -> anyhow::Result<ExitCode> {
    let mut rows = open(&options.config).await?.rows().await?;
    rows.retain(|row| options.upstream.as_ref().is_none_or(|wanted| *wanted == row.upstream));
    rows.retain(|row| if options.quarantined { row.found.is_some() } else { is_worth_listing(row) });
    for row in &rows {
        let (state, since) = match (&row.found, &row.gone_at) {
            (Some(found), _) => ("quarantined", &found.since),
            (None, Some(gone)) => ("inactive", gone),
            (None, None) => ("trusted", &row.pinned.since),
        };
        say(&mut io::stdout(), &format!("{state:<11}  {since}  {:<12}  {}", row.kind.as_str(), visible(&row.title())));
    }
    let held = rows.iter().filter(|row| row.found.is_some()).count();
    if held > 0 {
        say(&mut io::stderr(), &format!("{held} held back; look at the changes with `portcullis catalogue diff`"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(options: &One) -> anyhow::Result<ExitCode> {
    let rows = open(&options.config).await?.rows().await?;
    let row = find(rows, &options.name, options.kind)?;
    let versions = [("trusted", Some(&row.pinned)), ("held back", row.found.as_ref())];
    for (state, text) in versions.into_iter().filter_map(|(state, text)| Some((state, text?))) {
        let definition: Value = serde_json::from_str(&text.text).context("the state database holds no JSON")?;
        let head = format!("{} ({}), {state} since {}", row.title(), row.kind.as_str(), text.since);
        say(&mut io::stdout(), &visible(&head));
        say(&mut io::stdout(), &format!("digest {}", text.digest));
        say(&mut io::stdout(), &visible(&format!("{definition:#}")));
    }
    Ok(ExitCode::SUCCESS)
}

async fn diff(options: &Several) -> anyhow::Result<ExitCode> {
    let mut rows = open(&options.config).await?.rows().await?;
    if let Some(name) = &options.name {
        rows = vec![find(rows, name, options.kind)?];
    }
    rows.retain(|row| options.upstream.as_ref().is_none_or(|wanted| *wanted == row.upstream));
    rows.retain(|row| row.found.is_some());
    if rows.is_empty() {
        say(&mut io::stderr(), "nothing is held back");
    }
    rows.iter().for_each(|row| say(&mut io::stdout(), &difference(row)));
    Ok(ExitCode::SUCCESS)
}

async fn accept(options: &Accept) -> anyhow::Result<ExitCode> {
    let mut ledger = open(&options.config).await?;
    let mut rows = ledger.rows().await?;
    match &options.name {
        Some(name) => rows = vec![find(rows, name, options.kind)?],
        None => rows.retain(|row| options.upstream.as_ref() == Some(&row.upstream)),
    }
    rows.retain(|row| row.found.is_some());
    ensure!(
        !rows.is_empty(),
        "nothing of that is held back, so there is nothing to accept; `portcullis catalogue list --quarantined` says what is"
    );
    let who = format!("os:{}", user());
    for row in &rows {
        check_digest(row, options.digest.as_deref())?;
        let accepted = ledger.accept(row, &who).await?;
        ensure!(accepted, "{} has changed in this moment; look at it again", row.title());
        say(&mut io::stdout(), &format!("accepted: {}", difference(row)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Who runs this, by the operating system: the name, where it has one for the user's number, and else that.
fn user() -> String {
    let number = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    };
    users.lines().find_map(name).unwrap_or(number)
}

fn check_digest(row: &Row, wanted: Option<&str>) -> anyhow::Result<()> {
    let found = row.found.as_ref().map_or("", |found| &found.digest);
    match wanted {
        None => Ok(()),
        Some(wanted) if wanted.len() >= DIGEST && found.starts_with(wanted) => Ok(()),
        Some(wanted) if wanted.len() < DIGEST => bail!("--digest must have at least {DIGEST} digits"),
        Some(_) => bail!("{} is not the definition with this digest; look at it again", row.title()),
    }
}

/// The definition called `name`.
fn find(rows: Vec<Row>, name: &str, kind: Option<Kind>) -> anyhow::Result<Row> {
    let wanted = |row: &Row| row.title() == name && kind.is_none_or(|kind| kind.pinned() == row.kind);
    let mut found: Vec<_> = rows.into_iter().filter(wanted).collect();
    ensure!(found.len() < 2, "several are called `{name}`; say which with --kind");
    found.pop().with_context(|| format!("`{name}` was never seen; `portcullis catalogue list` says what was"))
}

/// How what is held back differs from what is trusted.
fn difference(row: &Row) -> String {
    let Some(found) = &row.found else { return row.title() };
    let digest = found.digest.get(..DIGEST).unwrap_or_default();
    let mut text =
        format!("{} ({}), since {}, --digest {digest}", visible(&row.title()), row.kind.as_str(), found.since);
    for change in changes(&row.pinned.text, &found.text) {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {}", visible(&change.at));
        for (mark, value) in [('-', change.before), ('+', change.after)] {
            if let Some(value) = value {
                let _ = write!(text, "\n    {mark} {}", visible(&value));
            }
        }
    }
    text
}

/// That an upstream says nothing of itself is remembered, and says nothing to people.
fn is_worth_listing(row: &Row) -> bool {
    row.found.is_some() || *row.pinned.text != *About::default().canonical().text
}
