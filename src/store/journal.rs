//! The record of every call: an SQLite file with one writer. What an entry says is `core::audit`'s business.
//!
//! An intent is recorded before its call leaves, and `record` waits as the durability mode demands; an outcome or a
//! refusal is submitted, and never waits. When the file can't be written, `record` refuses, in every mode, and what was
//! submitted is kept and tried again until it is in the file. No caller waits longer than the deadline, however long
//! the disk hangs.
//!
//! **After an error of `record` the call must not run, and the caller submits an outcome `refused` with the same
//! `call_id`.** A caller that leaves before `record` has ended submits an outcome too. Whether the intent itself reached the file is not always known: the commit that took too long may still
//! succeed. Entries keep their order, so an intent that is written late is followed by its refusal, and the view `calls`
//! has one row that says `refused` in either case. A crash in between leaves the intent to be closed as `unknown`.
//!
//! Memory is bounded. Beyond `Bounds::refuse` of entries that wait, no new call runs. Beyond `Bounds::keep`, which by
//! then only refusals can fill, further refusals are counted (`Figures::dropped`), and their number is an entry of its own
//! later; no entry of a call that may have reached an upstream is ever dropped.

mod database;
pub mod deed;
pub mod key;
mod outside;
mod position;
pub mod read;
mod retention;
mod row;
pub mod search;
pub mod verify;
mod writer;

use self::database::Settings;
use self::row::Row;
use self::writer::{Message, Shared, Waiter, Writer};
use crate::config::document::gateway::Durability;
use crate::secrets::Secret;
use portcullis_core::audit::Entry;
use portcullis_core::time::Timestamp;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// Bytes of entries that wait to be written.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Beyond it calls are refused.
    refuse: usize,
    /// Beyond it refusals are counted rather than kept.
    keep: usize,
}

const BOUNDS: Bounds = Bounds { refuse: 32 << 20, keep: 128 << 20 };

/// The journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    messages: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
    ended: watch::Receiver<()>,
    run: Arc<str>,
    durability: Durability,
    deadline: Duration,
    max_bytes: Option<u64>,
    bounds: Bounds,
}

/// Where the journal is, how it is written, and how long it is kept.
#[derive(Clone)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// When an entry counts as written.
    pub durability: Durability,
    /// How long `record` may take.
    pub deadline: Duration,
    /// The key that checkpoints are signed with, as PEM. Without it, one beside the journal.
    pub checkpoint_key: Option<Secret<String>>,
    /// The file that checkpoints are appended to.
    pub checkpoint_file: Option<PathBuf>,
    /// How large the file may become; then calls are refused.
    pub max_bytes: Option<u64>,
    /// How long rows are kept at least.
    pub keep: Option<Duration>,
}

impl Options {
    /// A journal that is kept for ever, signed with a key of its own.
    pub const fn new(path: PathBuf, durability: Durability, deadline: Duration) -> Self {
        Self { path, durability, deadline, checkpoint_key: None, checkpoint_file: None, max_bytes: None, keep: None }
    }
}

/// Whether so much is used that somebody should know: four fifths.
const fn is_nearly_full(used: u64, max_bytes: u64) -> bool {
    used / 4 >= max_bytes / 5
}

/// Whether the journal can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalHealth {
    /// As far as is known.
    Ok,
    /// No: calls are refused until it can.
    Failing {
        /// Since when.
        since: Timestamp,
        /// Why; for the operator alone.
        reason: String,
    },
}

/// What the journal has done, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Entries written by this process.
    pub entries: u64,
    /// Entries that wait to be written.
    pub backlog: usize,
    /// Their size in bytes, about.
    pub backlog_bytes: usize,
    /// Whether calls are refused.
    pub failing: bool,
    /// Entries that are not in the journal one by one. Not 0 only after more than the memory for them could hold, or an
    /// end of the process while the disk failed.
    pub dropped: u64,
    /// Rows that the last checkpoint of this process speaks of.
    pub signed: u64,
    /// Checkpoints that could not be written outside the journal.
    pub unpublished: u64,
    /// Bytes that the file's contents take.
    pub used: u64,
    /// Whether that is four fifths of what is allowed.
    pub nearly_full: bool,
}

/// Why the journal can't be opened, or an entry is not known to be written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder is not there and can't be made.
    #[error("the journal's folder {} can't be made: {source}; make it, writable for this user, or change `journal.path`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file can't be opened.
    #[error("the journal's file {} can't be opened: {source}; make it and its folder writable for this user, or change `journal.path`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is none to read.
    #[error("there is no journal at {}; name the gateway's file with --journal, or its configuration with --config: `journal.path` there is relative to the folder in which the gateway runs", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("the journal {} can't be read: {source}; run this as the gateway's user, or as one who may read its files", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("the journal {} is written by another process; stop that one, or give this one a `journal.path` of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// SQLite can't use it.
    #[error("the journal {} can't be used: {source}; make room on the disk if it is full, and move the file away if it is damaged", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// It is a journal of another version.
    #[error("the journal {} has format {found}, and this version writes another; move the file away to begin a new journal, and read the old one with the version that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// Rows are missing at its end.
    #[error("the journal {} ends with row {last}, and its own checkpoint speaks of {signed}: rows were removed, or the disk lost them; move the file away, keep it, and look at it with `portcullis audit verify --journal`", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// The last row.
        last: i64,
        /// What was signed.
        signed: i64,
    },
    /// The key of the checkpoints can't be used.
    #[error("the key of the journal's checkpoints, {name}, can't be used: {reason}")]
    Key {
        /// Where it comes from.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is somebody else's database.
    #[error("{} is a database, and no journal of Portcullis; change `journal.path`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The writer can't be started.
    #[error("the journal's thread can't be started: {source}; raise the limit on this user's processes")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
    /// The file can't be written now.
    #[error("the journal can't be written: {reason}")]
    Failing {
        /// Why.
        reason: String,
    },
    /// The file was not written in time.
    #[error("the journal was not written within {} ms", deadline.as_millis())]
    Deadline {
        /// The time.
        deadline: Duration,
    },
    /// Too much waits to be written.
    #[error("the journal is behind: {bytes} bytes wait to be written")]
    Behind {
        /// How much.
        bytes: usize,
    },
    /// It was closed.
    #[error("the journal is closed")]
    Closed,
}

impl Journal {
    /// Opens the journal, makes it where it is missing, and ends what an earlier run left open with an outcome `unknown`.
    pub async fn open(options: Options) -> Result<Self, JournalError> {
        Self::start(Settings {
            options,
            bounds: BOUNDS,
            #[cfg(test)]
            max_pages: Arc::default(),
        })
        .await
    }

    async fn start(settings: Settings) -> Result<Self, JournalError> {
        let (messages, receiver) = mpsc::unbounded_channel();
        let (ended_sender, ended) = watch::channel(());
        let shared = Arc::new(Shared::default());
        let run: Arc<str> = Uuid::now_v7().to_string().into();
        let (bounds, Options { durability, deadline, max_bytes, .. }) = (settings.bounds, settings.options.clone());
        let writer = Writer::open(settings, Arc::clone(&run), Arc::clone(&shared), receiver, ended_sender);
        spawn(writer).await?;
        Ok(Self { messages, shared, ended, run, durability, deadline, max_bytes, bounds })
    }

    /// Records an intent, or an event that must be on record before it is acted on, as when somebody asks to see the
    /// record. `Ok` says that the call may run: with `journaled` and `synced` its record is as safe as the mode promises,
    /// with `async` nothing speaks against it. After an error of an intent, see the module; after that of an event,
    /// nothing is done or shown.
    pub async fn record(&self, entry: &Entry) -> Result<(), JournalError> {
        if let JournalHealth::Failing { reason, .. } = self.health() {
            return Err(JournalError::Failing { reason });
        }
        let bytes = self.shared.backlog_bytes.load(Ordering::Relaxed);
        if bytes > self.bounds.refuse {
            return Err(JournalError::Behind { bytes });
        }
        let row = Row::new(entry, &self.run);
        if self.durability == Durability::Async {
            return self.send(row, None);
        }
        let (waiter, written) = oneshot::channel();
        self.send(row, Some(waiter))?;
        match tokio::time::timeout(self.deadline, written).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(reason))) => Err(JournalError::Failing { reason }),
            Ok(Err(_)) => Err(JournalError::Closed),
            Err(_) => Err(JournalError::Deadline { deadline: self.deadline }),
        }
    }

    /// Hands an outcome or an event over to be written. Does not wait.
    pub fn submit(&self, entry: &Entry) {
        let row = Row::new(entry, &self.run);
        if row.is_refusal && self.is_behind() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            self.shared.uncounted.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.keep(row);
    }

    /// The same with an entry that stands for others, and is kept however much waits to be written. Whoever has the choice
    /// waits with it while [`Self::is_behind`].
    pub fn submit_sum(&self, entry: &Entry) {
        self.keep(Row::new(entry, &self.run));
    }

    /// Whether so much waits to be written that refusals are counted rather than kept.
    pub fn is_behind(&self) -> bool {
        self.shared.backlog_bytes.load(Ordering::Relaxed) > self.bounds.keep
    }

    fn keep(&self, row: Row) {
        if self.send(row, None).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::error!("an entry came after the journal was closed, and is lost");
        }
    }

    fn send(&self, row: Row, waiter: Option<Waiter>) -> Result<(), JournalError> {
        let bytes = row.bytes;
        // Before it is sent: the writer takes away what it finds.
        self.shared.backlog.fetch_add(1, Ordering::Relaxed);
        self.shared.backlog_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.messages.send(Message::Write(row, waiter)).map_err(|_| {
            self.shared.backlog.fetch_sub(1, Ordering::Relaxed);
            self.shared.backlog_bytes.fetch_sub(bytes, Ordering::Relaxed);
            JournalError::Closed
        })
    }

    /// `receiver` has taken all rows up to `seq`: what is not taken by every receiver that has said so is not removed,
    /// however old it is.
    pub fn taken(&self, receiver: &str, seq: i64) {
        self.shared.taken.lock().insert(receiver.to_owned(), seq);
    }

    /// Nothing is kept for `receiver` any more.
    pub fn released(&self, receiver: &str) {
        self.shared.taken.lock().remove(receiver);
    }

    /// Whether the journal can be written, as far as is known without trying. A write that takes longer than the
    /// deadline counts as a failure before it ends: a disk that hangs is no better than a full one.
    pub fn health(&self) -> JournalHealth {
        let failing = |since, reason| JournalHealth::Failing { since, reason };
        let state = self.shared.state.lock();
        if let Some((since, reason)) = &state.trouble {
            return failing(*since, reason.clone());
        }
        let took = state.writing_since.map(|since| since.elapsed()).unwrap_or_default();
        if took > self.deadline {
            return failing(now().minus(took), format!("a write has not ended after {} ms", took.as_millis()));
        }
        if self.messages.is_closed() {
            return failing(now(), JournalError::Closed.to_string());
        }
        JournalHealth::Ok
    }

    /// What the journal has done.
    pub fn figures(&self) -> Figures {
        let used = self.shared.used.load(Ordering::Relaxed);
        Figures {
            entries: self.shared.written.load(Ordering::Relaxed),
            backlog: self.shared.backlog.load(Ordering::Relaxed),
            backlog_bytes: self.shared.backlog_bytes.load(Ordering::Relaxed),
            failing: self.health() != JournalHealth::Ok,
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            signed: self.shared.signed.load(Ordering::Relaxed),
            unpublished: self.shared.unpublished.load(Ordering::Relaxed),
            used,
            nearly_full: self.max_bytes.is_some_and(|max_bytes| is_nearly_full(used, max_bytes)),
        }
    }

    /// Writes all that was handed over, and closes the file; waits for both. Where the disk fails, for the deadline
    /// again; then what could not be written is lost, and the log says how much.
    pub async fn close(&self) {
        // Where nobody listens any more, it is closed.
        let _ = self.messages.send(Message::Close);
        let mut ended = self.ended.clone();
        // The last write may itself take the deadline, and the one before it that is under way.
        let patience = self.deadline.saturating_mul(4) + Duration::from_secs(1);
        // Nothing is ever sent: an error says that the writer is gone.
        if tokio::time::timeout(patience, ended.changed()).await.is_err() {
            let entries = self.shared.backlog.load(Ordering::Relaxed);
            tracing::error!(entries, "the journal's disk hangs; entries that it did not take may be lost");
        }
    }
}

/// Runs the writer that `opening` makes on a thread of its own; waits until it is open.
async fn spawn(
    opening: impl Future<Output = Result<Writer, JournalError>> + Send + 'static,
) -> Result<(), JournalError> {
    let thread = |source| JournalError::Thread { source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(thread)?;
    let (opened, ready) = oneshot::channel();
    let run = async move {
        match opening.await {
            // Who opened it may have left: then nobody can hand anything over, and the writer ends by itself.
            Ok(writer) => {
                let _ = opened.send(Ok(()));
                writer.write_all().await;
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        }
    };
    std::thread::Builder::new().name("journal".into()).spawn(move || runtime.block_on(run)).map_err(thread)?;
    ready.await.map_err(|_| JournalError::Closed)?
}

/// The clock's time.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(0).plus(since)
}

#[cfg(test)]
mod tests;
