//! The one writer of the journal: takes what callers hand over, commits it in groups, and keeps it while it can't.
//!
//! It has a thread and a runtime of its own, so that it outlives whichever runtime opened it and no caller's work delays
//! it. Entries are written in the order in which they were handed over.

mod tending;

use self::tending::TENDING;
use super::database::{Database, Settings, part};
use super::outside::Outside;
use super::row::Row;
use super::{JournalError, key, now};
use parking_lot::Mutex;
use portcullis_core::audit::key::SigningKey;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// Entries of one transaction.
const BATCH: usize = 256;

/// How long the writer waits before it tries again.
const RETRY: Duration = Duration::from_millis(200);

/// How long entries that nobody waits for may wait for company.
const LINGER: Duration = Duration::from_millis(5);

/// Tells who waits for an entry that it is written, or why not.
pub(super) type Waiter = oneshot::Sender<Result<(), String>>;

/// What the writer is told.
pub(super) enum Message {
    /// Write this.
    Write(Row, Option<Waiter>),
    /// Write what is left, and end.
    Close,
}

/// What the writer and its callers share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) backlog: AtomicUsize,
    pub(super) backlog_bytes: AtomicUsize,
    pub(super) written: AtomicU64,
    /// Entries that are not in the journal one by one.
    pub(super) dropped: AtomicU64,
    /// Those of them that the journal does not know the number of yet.
    pub(super) uncounted: AtomicU64,
    /// Rows that the last checkpoint speaks of.
    pub(super) signed: AtomicU64,
    /// Bytes that the file's contents take, as last seen.
    pub(super) used: AtomicU64,
    /// Checkpoints that could not be written outside.
    pub(super) unpublished: Arc<AtomicU64>,
    /// The last row that each receiver of rows has taken.
    pub(super) taken: Mutex<BTreeMap<String, i64>>,
    pub(super) state: Mutex<State>,
}

/// How the writer is.
#[derive(Default)]
pub(super) struct State {
    /// Since when nothing can be written, and why.
    pub(super) trouble: Option<(Timestamp, String)>,
    /// When the write began that is under way.
    pub(super) writing_since: Option<Instant>,
}

/// The writer.
pub(super) struct Writer {
    settings: Settings,
    run: Arc<str>,
    shared: Arc<Shared>,
    messages: mpsc::UnboundedReceiver<Message>,
    database: Option<Database>,
    backlog: VecDeque<(Row, Option<Waiter>)>,
    key: SigningKey,
    outside: Option<Outside>,
    /// When to sign and remove next.
    tending: tokio::time::Instant,
    /// Bytes that were written since it was looked how full the file is.
    unseen: u64,
    /// It was said that rows are kept for whoever has not taken them.
    is_held: bool,
    /// When to end, written or not.
    closing: Option<Instant>,
    /// Dropped last but for `ended`: then the file is free.
    _lock: File,
    /// Dropped when the writer has ended, however it did.
    _ended: watch::Sender<()>,
}

impl Writer {
    /// Locks and opens the journal, and ends what an earlier run left open.
    pub(super) async fn open(
        settings: Settings,
        run: Arc<str>,
        shared: Arc<Shared>,
        messages: mpsc::UnboundedReceiver<Message>,
        ended: watch::Sender<()>,
    ) -> Result<Self, JournalError> {
        let lock = super::database::lock(&settings.options.path)?;
        let key = key::load(&settings.options.path, settings.options.checkpoint_key.as_ref())?;
        let failures = Arc::clone(&shared.unpublished);
        let outside = settings.options.checkpoint_file.clone().map(|path| Outside::start(path, failures));
        let outside = outside.transpose().map_err(|source| JournalError::Thread { source })?;
        let mut database = Database::open(&settings).await?;
        let closed = database.close_open_calls(&run, &key).await?;
        if closed > 0 {
            tracing::warn!(
                calls = closed,
                "the last run ended while calls ran; the journal has their outcome as unknown"
            );
        }
        shared.used.store(database.used().await.unwrap_or_default(), Ordering::Relaxed);
        let (database, backlog, tending) = (Some(database), VecDeque::new(), tokio::time::Instant::now() + TENDING);
        let mut writer = Self {
            settings,
            run,
            shared,
            messages,
            database,
            backlog,
            key,
            outside,
            tending,
            unseen: 0,
            is_held: false,
            closing: None,
            _lock: lock,
            _ended: ended,
        };
        // What a run that was killed has left, and its end.
        writer.sign().await;
        Ok(writer)
    }

    /// Writes until it is told to end, or until nobody is left who could hand anything over.
    pub(super) async fn write_all(mut self) {
        while self.gather().await {
            match self.write().await {
                Ok((rows, new)) => self.settle(rows, new),
                Err(reason) => {
                    self.fail(&reason);
                    if self.closing.is_some_and(|end| end < Instant::now()) {
                        return self.give_up();
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
            self.tend().await;
        }
        self.sign().await;
        if let Some(database) = self.database.take() {
            database.close().await;
        }
    }

    /// Waits until there is something to write or to tend to; `false` where there never will be.
    async fn gather(&mut self) -> bool {
        while self.backlog.is_empty() {
            let Ok(message) = tokio::time::timeout_at(self.tending, self.messages.recv()).await else { return true };
            let Some(message) = message else { return false };
            self.take(message);
            self.take_all();
        }
        self.take_all();
        let until = tokio::time::Instant::now() + LINGER;
        while self.may_linger() {
            let Ok(Some(message)) = tokio::time::timeout_at(until, self.messages.recv()).await else { break };
            self.take(message);
        }
        true
    }

    /// Nobody waits for what is there, and there is little of it: a commit can be saved.
    fn may_linger(&self) -> bool {
        self.closing.is_none() && self.backlog.len() < BATCH && self.backlog.iter().all(|(_, waiter)| waiter.is_none())
    }

    fn take_all(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Write(row, waiter) => self.backlog.push_back((row, waiter)),
            Message::Close => {
                self.messages.close();
                self.closing.get_or_insert_with(|| Instant::now() + self.settings.options.deadline);
            }
        }
    }

    /// Commits the oldest entries; how many they were, and how many of them were not there before.
    async fn write(&mut self) -> Result<(usize, u64), String> {
        self.shared.state.lock().writing_since = Some(Instant::now());
        let result = self.try_write().await;
        self.shared.state.lock().writing_since = None;
        result
    }

    /// After an error the connection is given up: the next try begins with a fresh one, and with a new file where the
    /// old one is gone.
    async fn try_write(&mut self) -> Result<(usize, u64), String> {
        if self.backlog.is_empty() {
            return Ok((0, 0));
        }
        let mut database = self.opened().await?;
        let batch = self.batch();
        let rows: Vec<&mut Row> = self.backlog.iter_mut().take(batch).map(|(row, _)| row).collect();
        let (written, result) = (rows.len(), database.append(rows).await);
        match result {
            Ok(new) => {
                self.database = Some(database);
                Ok((written, new))
            }
            Err(reason) => {
                database.close().await;
                Err(reason)
            }
        }
    }

    /// How many of the oldest entries are written at once: what a small file has room for.
    fn batch(&self) -> usize {
        let most = self.settings.options.max_bytes.map_or(u64::MAX, part);
        let mut bytes = 0;
        let fit = self.backlog.iter().take(BATCH).take_while(|(row, _)| {
            bytes += row.bytes as u64;
            bytes <= most
        });
        fit.count().max(1)
    }

    /// The open file, or a fresh connection to it.
    async fn opened(&mut self) -> Result<Database, String> {
        match self.database.take() {
            Some(database) => Ok(database),
            None => Database::open(&self.settings).await.map_err(|error| error.to_string()),
        }
    }

    fn settle(&mut self, rows: usize, new: u64) {
        self.shared.written.fetch_add(new, Ordering::Relaxed);
        if rows == 0 {
            return;
        }
        if let Some((since, _)) = self.shared.state.lock().trouble.take() {
            tracing::info!(%since, "the journal can be written again; calls run again");
        }
        for (row, waiter) in self.backlog.drain(..rows) {
            self.shared.backlog.fetch_sub(1, Ordering::Relaxed);
            self.shared.backlog_bytes.fetch_sub(row.bytes, Ordering::Relaxed);
            self.unseen += row.bytes as u64;
            if let Some(waiter) = waiter {
                // Who no longer waits has been told that the time was up.
                let _ = waiter.send(Ok(()));
            }
        }
        self.count_dropped();
    }

    /// Lets nobody wait for what can't be written now. All of it stays, to be tried again.
    fn fail(&mut self, reason: &str) {
        self.take_all();
        let mut state = self.shared.state.lock();
        if state.trouble.is_none() {
            tracing::error!(reason, path = %self.settings.options.path.display(), "the journal can't be written; calls are refused");
        }
        let since = state.trouble.take().map_or_else(now, |(since, _)| since);
        state.trouble = Some((since, reason.to_owned()));
        drop(state);
        for waiter in self.backlog.iter_mut().filter_map(|(_, waiter)| waiter.take()) {
            // Who no longer waits has been told that the time was up.
            let _ = waiter.send(Err(reason.to_owned()));
        }
    }

    /// The process ends and the disk does not take what is left.
    fn give_up(&self) {
        let lost = self.backlog.len();
        self.shared.dropped.fetch_add(lost as u64, Ordering::Relaxed);
        tracing::error!(entries = lost, "the journal could not be written before the end; these entries are lost");
    }

    /// Says in the journal how many refusals it does not hold one by one.
    fn count_dropped(&mut self) {
        let count = self.shared.uncounted.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.note(&gap(count));
        }
    }

    /// Writes down something of the journal's own.
    fn note(&mut self, entry: &Entry) {
        let row = Row::new(entry, &self.run);
        self.shared.backlog.fetch_add(1, Ordering::Relaxed);
        self.shared.backlog_bytes.fetch_add(row.bytes, Ordering::Relaxed);
        self.backlog.push_back((row, None));
    }
}

fn gap(count: u64) -> Entry {
    Entry {
        outcome: Some(Outcome::Refused),
        termination: Some(Termination::Refused),
        error: Some("journal_unavailable"),
        detail: Some(format!("{count} refused requests are not recorded one by one: there was no room to keep them")),
        ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), now())
    }
}
