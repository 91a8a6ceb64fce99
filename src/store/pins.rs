//! The definitions that are trusted: what upstreams offered when it was first seen, or what a person has accepted since.
//!
//! They are kept in the state database, an SQLite file that the gateway and the command line share, and in memory, by which
//! the gateway judges. A definition that can't be compared with a pin, because the file can't be read or written, is not
//! trusted: known ones are judged by what is in memory, new ones are held back.

mod database;

#[cfg(test)]
mod tests;

use self::database::Database;
use parking_lot::Mutex;
use portcullis_core::catalog::{Canonical, PinKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The most names of an upstream and kind that are remembered. Beyond it, new ones are held back: an upstream that makes
/// up names must not fill the disk, and none that is remembered is forgotten for it.
const NAMES: usize = 20_000;

/// How long the database may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A definition of the state database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose it is.
    pub upstream: String,
    /// Of what.
    pub kind: PinKind,
    /// Its name; empty where the kind has one of each upstream.
    pub name: String,
    /// What is trusted.
    pub pinned: Text,
    /// What the upstream offers instead, and so is in quarantine.
    pub found: Option<Text>,
    /// Since when the upstream does not offer it, where it does not.
    pub gone_at: Option<String>,
}

impl Row {
    /// The name under which people find it.
    pub fn title(&self) -> String {
        title(&self.upstream, self.kind, &self.name)
    }
}

/// The name under which people find a definition: `upstream.name`, or for an upstream's own words
/// `upstream.instructions`.
pub fn title(upstream: &str, kind: PinKind, name: &str) -> String {
    let name = if kind == PinKind::Instructions { kind.as_str() } else { name };
    format!("{upstream}.{name}")
}

/// A definition in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// JSON.
    pub text: Arc<str>,
    /// Its SHA-256, in hex.
    pub digest: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// What an upstream offers now.
pub struct Offer<'a> {
    /// Whose it is.
    pub upstream: &'a str,
    /// Of what.
    pub kind: PinKind,
    /// By name.
    pub definitions: BTreeMap<&'a str, Canonical>,
    /// Whether changes are held back; else they are trusted as they come.
    pub pinning: bool,
    /// Whether it is an offer to one caller among many: what is not in it may be offered to others, and so may what
    /// differs from it.
    pub personal: bool,
}

/// What is to be thought of an offer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The names that are held back.
    pub held: BTreeSet<String>,
    /// Those of them that were not held back, or for another definition.
    pub news: Vec<News>,
}

/// A definition that is not the trusted one, seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Its name.
    pub name: String,
    /// What is trusted.
    pub pinned: Arc<str>,
    /// What is offered.
    pub found: Arc<str>,
}

/// That a person has accepted a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    id: i64,
    /// When, RFC 3339.
    pub at: String,
    /// Who did: an operator, as their issuer names them, or `os:` and a user of the operating system.
    pub who: String,
    /// Whose definition it is.
    pub upstream: String,
    /// Of what.
    pub kind: PinKind,
    /// Its name.
    pub name: String,
    /// The digest of what was trusted until then.
    pub before: String,
    /// The digest of what is trusted since.
    pub after: String,
}

/// Why the state database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// There is none.
    #[error("there is no state database {}; it is made when the gateway first runs with this configuration", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file or its folder can't be made.
    #[error("the state database {} can't be opened: {source}; make it and its folder writable for this user, or change `state.path`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite can't use it.
    #[error("the state database {} can't be used: {source}; make room on the disk if it is full, make it writable for this user, or put its backup in its place if it is damaged", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// It is of another version.
    #[error("the state database {} has format {found}, which this version does not know; run the version that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// It is somebody else's.
    #[error("{} is a database, and not the state of Portcullis; change `state.path`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It took too long.
    #[error("the state database did not answer within {} s; look at its disk", DEADLINE.as_secs())]
    Late,
    /// It is no longer where it was.
    #[error("the state database {} was moved or removed; put it back, or restart the gateway to begin a new one", path.display())]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
}

/// What memory holds of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pin {
    pinned: String,
    found: Option<String>,
    gone: bool,
}

type Names = BTreeMap<String, Pin>;

/// The pins.
pub struct Pins {
    database: tokio::sync::Mutex<Database>,
    known: Mutex<BTreeMap<(String, PinKind), Names>>,
    failing: AtomicBool,
}

impl Pins {
    /// Opens the state database at `path`, and makes it where it is missing.
    ///
    /// # Errors
    /// It can't be read and written.
    pub async fn open(path: &Path) -> Result<Self, PinsError> {
        let mut database = Database::open(path).await?;
        let known = memory(database.rows().await?);
        let (database, known) = (tokio::sync::Mutex::new(database), Mutex::new(known));
        Ok(Self { database, known, failing: AtomicBool::new(false) })
    }

    /// Remembers `offer` and judges it. Where the database fails, it is judged by what is known, and what is new is held
    /// back.
    pub async fn take(&self, offer: &Offer<'_>) -> Judgement {
        if self.is_remembered(offer) {
            return self.judge(offer);
        }
        let taken = async { self.database.lock().await.take(offer, NAMES).await };
        match self.in_time(taken).await {
            Ok((rows, news)) => {
                self.well();
                let names = memory(rows).remove(&(offer.upstream.to_owned(), offer.kind)).unwrap_or_default();
                self.known.lock().insert((offer.upstream.to_owned(), offer.kind), names);
                Judgement { news, ..self.judge(offer) }
            }
            Err(error) => {
                self.unwell(&error);
                self.judge(offer)
            }
        }
    }

    /// What is held back of `offer` by what is known.
    pub fn judge(&self, offer: &Offer<'_>) -> Judgement {
        let known = self.known.lock();
        let names = known.get(&(offer.upstream.to_owned(), offer.kind));
        let trusted = |name: &str, canonical: &Canonical| {
            names.and_then(|names| names.get(name)).is_some_and(|pin| !offer.pinning || pin.pinned == canonical.digest)
        };
        let held = offer.definitions.iter().filter(|(name, canonical)| !trusted(name, canonical));
        Judgement { held: held.map(|(name, _)| (*name).to_owned()).collect(), news: Vec::new() }
    }

    /// How many tools and prompts of `upstream` are in quarantine.
    pub fn quarantined(&self, upstream: &str) -> usize {
        let known = self.known.lock();
        let of_it = known.iter().filter(|((name, kind), _)| name == upstream && *kind != PinKind::Instructions);
        of_it.flat_map(|(_, names)| names.values()).filter(|pin| pin.found.is_some() && !pin.gone).count()
    }

    /// Whether the database says the same already.
    fn is_remembered(&self, offer: &Offer<'_>) -> bool {
        let known = self.known.lock();
        let Some(names) = known.get(&(offer.upstream.to_owned(), offer.kind)) else {
            return offer.definitions.is_empty();
        };
        let present = |(name, canonical): (&&str, &Canonical)| {
            names.get(*name).is_some_and(|pin| !pin.gone && pin.remembers(offer, canonical))
        };
        offer.definitions.iter().all(present)
            && (offer.personal
                || names.iter().all(|(name, pin)| pin.gone || offer.definitions.contains_key(name.as_str())))
    }

    /// Reads the database again where somebody else has written to it; whether that was so.
    pub async fn follow(&self) -> bool {
        let news = async { self.database.lock().await.news().await };
        match self.in_time(news).await {
            Ok(None) => {
                self.well();
                false
            }
            Ok(Some(rows)) => {
                self.well();
                *self.known.lock() = memory(rows);
                true
            }
            Err(error) => {
                self.unwell(&error);
                false
            }
        }
    }

    /// What people have accepted and is not in the journal yet, in order.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn unrecorded(&self) -> Result<Vec<Acceptance>, PinsError> {
        self.in_time(async { self.database.lock().await.unrecorded().await }).await
    }

    /// The journal has `acceptance`.
    ///
    /// # Errors
    /// It can't be written.
    pub async fn recorded(&self, acceptance: &Acceptance) -> Result<(), PinsError> {
        self.in_time(async { self.database.lock().await.recorded(acceptance).await }).await
    }

    /// A disk that hangs is no better than a full one.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, PinsError>>) -> Result<T, PinsError> {
        tokio::time::timeout(DEADLINE, work).await.unwrap_or(Err(PinsError::Late))
    }

    fn well(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the state database can be used again");
        }
    }

    fn unwell(&self, error: &PinsError) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "definitions are judged by the pins known before, and new ones are held back");
        }
    }
}

impl Pin {
    /// Whether the database has nothing to learn from `canonical`, which is in `offer`. Of what several callers are shown
    /// the first that differs from the pin is remembered, until it is accepted: what others are shown meanwhile must not
    /// take its place before a person could look at it.
    fn remembers(&self, offer: &Offer<'_>, canonical: &Canonical) -> bool {
        match (&self.found, offer.pinning, offer.personal) {
            (None, false, true) => true,
            (None, ..) => self.pinned == canonical.digest,
            (Some(_), true, true) => true,
            (Some(found), true, false) => *found == canonical.digest,
            (Some(_), false, _) => false,
        }
    }
}

fn memory(rows: Vec<Row>) -> BTreeMap<(String, PinKind), Names> {
    let mut known: BTreeMap<(String, PinKind), Names> = BTreeMap::new();
    for row in rows {
        let pin = row.pin();
        known.entry((row.upstream, row.kind)).or_default().insert(row.name, pin);
    }
    known
}

/// The state database as the command line uses it, beside a gateway that may run.
pub struct Ledger(Database);

impl Ledger {
    /// Opens the one at `path`.
    ///
    /// # Errors
    /// There is none, or it can't be read and written.
    pub async fn open(path: &Path) -> Result<Self, PinsError> {
        if !path.exists() {
            return Err(PinsError::Missing { path: path.to_owned() });
        }
        Database::open(path).await.map(Self)
    }

    /// All definitions, in order.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn rows(&mut self) -> Result<Vec<Row>, PinsError> {
        self.0.rows().await
    }

    /// Trusts what is in quarantine as `row`, if it still is what `row` says, because `who` says so; whether it was.
    ///
    /// # Errors
    /// It can't be written.
    pub async fn accept(&mut self, row: &Row, who: &str) -> Result<bool, PinsError> {
        self.0.accept(row, who).await
    }
}
