//! The task of one sink: reads behind its place, hands over, moves the place. What a sink is, is said in `sink`.

use super::book::{Book, Place};
use super::sink::{Batch, Checkpoint, Failure, Sink};
use super::standing::Standing;
use crate::config::snapshot::Sink as Settings;
use crate::store::journal::Journal;
use crate::store::journal::read::Reader;
use crate::telemetry::metrics::Metrics;
use parking_lot::Mutex;
use portcullis_core::audit::row::Stored;
use portcullis_core::time::Timestamp;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep};

/// How often the journal is asked for more, where there was none.
const IDLE: Duration = Duration::from_millis(200);

/// How often it is said how far behind a sink is that does not answer.
const LOOK: Duration = Duration::from_secs(1);

/// How long a sink may take for a batch.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// The pause after the first failure, and the longest. What a sink asks for may be longer.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// The longest pause that a sink may ask for.
const LONGEST: Duration = Duration::from_secs(300);

/// Where so many rows in a row are refused, the fault is not theirs.
const MOST_REFUSED: u32 = 1000;

/// The most checkpoints that are handed over at once.
const CHECKPOINTS: usize = 100;

/// What a task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Serve its sink.
    Go,
    /// The same until there is no more, or the sink fails.
    Finish,
    /// End now.
    Stop,
}

/// What the task of a sink is given.
pub(super) struct Shipper {
    pub(super) settings: Arc<Settings>,
    /// The journal's file.
    pub(super) path: PathBuf,
    pub(super) journal: Journal,
    /// As what the task is known to the journal.
    pub(super) receiver: Arc<str>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) standing: Arc<Mutex<Standing>>,
    pub(super) wish: watch::Receiver<Wish>,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There may be more.
    More,
    /// There was no more.
    Idle,
}

impl Shipper {
    /// Serves the sink until it is told to end.
    pub(super) async fn run(mut self) {
        let mut sink = Sink::of(&self.settings.target);
        let mut work: Option<Work> = None;
        let mut failures = 0_u32;
        loop {
            let is_last = *self.wish.borrow() == Wish::Finish;
            let round = self.round(&mut sink, &mut work).await;
            if *self.wish.borrow() == Wish::Stop {
                break;
            }
            let pause = match round {
                Ok(round) => {
                    failures = 0;
                    self.well();
                    if round == Round::More {
                        continue;
                    }
                    IDLE
                }
                Err(Failure::Gone { reason }) => return self.disable(reason, work).await,
                Err(Failure::Later { reason, after }) => {
                    self.trouble(&reason);
                    failures = failures.saturating_add(1);
                    pause(failures).max(after.unwrap_or_default().min(LONGEST))
                }
                // A round deals with these itself.
                Err(Failure::Refused { reason } | Failure::Partly { reason }) => {
                    self.trouble(&reason);
                    PAUSE.1
                }
            };
            if is_last {
                break;
            }
            self.rest(pause, &mut work).await;
        }
    }

    /// One batch, and the checkpoints that speak of what was taken.
    async fn round(&mut self, sink: &mut Sink, work: &mut Option<Work>) -> Result<Round, Failure> {
        let open = match work.take() {
            Some(open) => open,
            None => Work::open(self).await.map_err(Failure::later)?,
        };
        let open = work.insert(open);
        let rows = open.next(sink.most_rows()).await.map_err(Failure::later)?;
        let Some(last) = rows.last().map(|row| row.seq) else {
            let is_done = self.ship_checkpoints(sink, open).await?;
            self.look(open, None).await.map_err(Failure::later)?;
            // Somebody may have sent some of them again.
            let set_aside = open.book.set_aside().await.map_err(|error| Failure::later(error.to_string()))?;
            self.standing.lock().set_aside = set_aside;
            if open.is_elsewhere() {
                // All that the old file has is taken; whoever moved it away has begun another.
                *work = None;
                return Ok(Round::More);
            }
            return Ok(if is_done { Round::Idle } else { Round::More });
        };
        if let Some(first) = rows.first().map(|row| row.seq).filter(|first| *first > open.place.seq + 1) {
            self.begin_later(sink, open, first).await?;
        }
        let is_full = usize::try_from(sink.most_rows()).is_ok_and(|most| rows.len() >= most);
        open.place.sending = last;
        open.keep().await.map_err(Failure::later)?;
        self.look(open, rows.first()).await.map_err(Failure::later)?;
        self.ship(sink, open, &rows).await?;
        let is_done = self.ship_checkpoints(sink, open).await?;
        self.look(open, None).await.map_err(Failure::later)?;
        Ok(if is_full || !is_done { Round::More } else { Round::Idle })
    }

    /// The rows before `first` were removed before the sink was there to take them. Their checkpoint is handed over in front of
    /// the others, so that these can be checked.
    async fn begin_later(&mut self, sink: &mut Sink, work: &mut Work, first: i64) -> Result<(), Failure> {
        let (from, to) = (work.place.seq + 1, first - 1);
        work.place.seq = to;
        while !self.ship_checkpoints(sink, work).await? {}
        tracing::warn!(
            sink = self.settings.name,
            from,
            to,
            "the sink does not get these rows: their time was over, and they were removed from the journal, while it was not in `journal.sinks`"
        );
        Ok(())
    }

    /// Hands `rows` over. Where some are refused, halves are tried, until those are found that must be set aside.
    async fn ship(&mut self, sink: &mut Sink, work: &mut Work, rows: &[Stored]) -> Result<(), Failure> {
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            let Some(last) = part.last() else { continue };
            let moved = Place { seq: last.seq, ..work.place };
            let aside = match self.deliver(sink, work, part, &[]).await {
                Ok(()) => None,
                Err(Failure::Refused { reason }) if part.len() == 1 => Some(reason),
                Err(Failure::Refused { .. }) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                    continue;
                }
                Err(Failure::Partly { reason }) => Some(reason),
                Err(other) => return Err(other),
            };
            match aside {
                None => {
                    work.refused = 0;
                    work.place = moved;
                    work.keep().await.map_err(Failure::later)?;
                    self.metrics.sink_shipped(&self.settings.name, part.len());
                }
                Some(reason) => self.set_aside(work, moved, part, &reason).await?,
            }
            self.journal.taken(&self.receiver, work.place.seq);
        }
        Ok(())
    }

    async fn set_aside(&mut self, work: &mut Work, moved: Place, rows: &[Stored], reason: &str) -> Result<(), Failure> {
        if work.refused >= MOST_REFUSED {
            let why = format!("{MOST_REFUSED} entries in a row were refused, so the fault is hardly theirs: {reason}");
            return Err(Failure::later(why));
        }
        let kept = work.book.put_aside(moved, rows, reason, now()).await;
        kept.map_err(|error| Failure::later(error.to_string()))?;
        work.place = moved;
        work.refused = work.refused.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        let name = &self.settings.name;
        self.metrics.sink_set_aside(name, rows.len());
        self.standing.lock().set_aside += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        for row in rows {
            let event_id = row.text("event_id");
            tracing::error!(sink = name, seq = row.seq, event_id, reason, "an entry is set aside: the sink refuses it");
        }
        Ok(())
    }

    /// Hands over the checkpoints of rows that are taken; whether those were all.
    async fn ship_checkpoints(&mut self, sink: &mut Sink, work: &mut Work) -> Result<bool, Failure> {
        let checkpoints = work.checkpoints().await.map_err(Failure::later)?;
        let Some(last) = checkpoints.last() else { return Ok(true) };
        match self.deliver(sink, work, &[], &checkpoints).await {
            Ok(()) => {}
            Err(Failure::Refused { reason } | Failure::Partly { reason }) => {
                tracing::error!(sink = self.settings.name, reason, "checkpoints are left out: the sink refuses them");
            }
            Err(other) => return Err(other),
        }
        work.place.checkpoint = last.size;
        work.keep().await.map_err(Failure::later)?;
        Ok(checkpoints.len() < CHECKPOINTS)
    }

    /// Hands over, and looks at the journal meanwhile.
    async fn deliver(
        &mut self,
        sink: &mut Sink,
        work: &mut Work,
        rows: &[Stored],
        checkpoints: &[Checkpoint],
    ) -> Result<(), Failure> {
        let oldest = rows.first();
        let may_be_left = sink.may_be_left();
        let mut wish = self.wish.clone();
        let instance = Arc::clone(&work.instance);
        let end = Instant::now() + DEADLINE;
        let mut looks = interval(LOOK);
        let left = {
            let mut delivery = std::pin::pin!(sink.deliver(Batch { instance: &instance, rows, checkpoints }));
            loop {
                tokio::select! {
                    done = &mut delivery => return done,
                    () = tokio::time::sleep_until(end), if may_be_left => break Failure::later("no answer within 30 s"),
                    () = told_to_stop(&mut wish), if may_be_left => break Failure::later("it is stopped"),
                    // A journal that can't be read is found out by the next round.
                    _ = looks.tick() => drop(self.look(work, oldest).await),
                }
            }
        };
        sink.reset();
        Err(left)
    }

    /// Says how far behind the sink is; `oldest` is the first row that it has not taken, where one is at hand.
    async fn look(&self, work: &mut Work, oldest: Option<&Stored>) -> Result<(), String> {
        let last = work.reader.last().await.map_err(|error| error.to_string())?;
        let behind = last.saturating_sub(work.place.seq).max(0);
        let at = match oldest {
            Some(row) => row.int("at_ms"),
            None if behind > 0 => work.oldest().await?,
            None => None,
        };
        let waits = |at: i64| now().millis().saturating_sub(at).max(0) / 1000;
        let seconds = at.map_or(0, waits);
        self.metrics.sink_behind(&self.settings.name, behind, seconds);
        let mut standing = self.standing.lock();
        (standing.behind, standing.seconds) = (behind, seconds);
        Ok(())
    }

    /// Waits, as long as nothing else is wished, and looks at the journal meanwhile.
    async fn rest(&mut self, pause: Duration, work: &mut Option<Work>) {
        let until = Instant::now() + pause;
        let mut wish = self.wish.clone();
        while *wish.borrow() == Wish::Go {
            let step = LOOK.min(until.saturating_duration_since(Instant::now()));
            if step.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(step) => {}
                changed = wish.changed() => match changed {
                    Ok(()) => continue,
                    // Nobody wishes anything any more.
                    Err(_) => return,
                },
            }
            if step == LOOK
                && let Some(open) = work
                && self.look(open, None).await.is_err()
            {
                *work = None;
            }
        }
    }

    /// The sink takes what it is given.
    fn well(&self) {
        self.metrics.sink_up(&self.settings.name, true);
        if self.standing.lock().trouble.take().is_some() {
            tracing::info!(sink = self.settings.name, "the sink takes entries again");
        }
    }

    /// The sink takes nothing for now.
    fn trouble(&self, reason: &str) {
        let name = &self.settings.name;
        self.metrics.sink_failed(name);
        self.metrics.sink_up(name, false);
        let before = self.standing.lock().trouble.replace(reason.to_owned());
        if before.as_deref() != Some(reason) {
            tracing::warn!(
                sink = name,
                reason,
                "the sink takes no entries; they wait in the journal, and it is tried again"
            );
        }
    }

    /// The sink wants nothing any more: waits to be told to end, and says how much it misses.
    async fn disable(&mut self, reason: String, mut work: Option<Work>) {
        self.trouble(&reason);
        self.standing.lock().is_disabled = true;
        tracing::error!(
            sink = self.settings.name,
            reason,
            "the sink is disabled until it is configured anew or the gateway is restarted; the journal keeps what it lacks, so remove it from `journal.sinks` if that is meant"
        );
        while *self.wish.borrow() == Wish::Go && self.wish.has_changed().is_ok() {
            self.rest(LOOK, &mut work).await;
        }
    }
}

/// Waits until the task is to end.
async fn told_to_stop(wish: &mut watch::Receiver<Wish>) {
    // An error says that nobody wishes anything any more.
    let _ = wish.wait_for(|wish| *wish == Wish::Stop).await;
}

/// The pause after so many failures in a row. Not the same for all, lest they all come at once.
fn pause(failures: u32) -> Duration {
    let pause = PAUSE.0.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(PAUSE.1);
    pause.mul_f64(rand::random_range(0.5..=1.0))
}

/// The clock's time.
fn now() -> Timestamp {
    Timestamp::from_millis(0).plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// An open journal, and where the sink stands in it.
struct Work {
    reader: Reader,
    book: Book,
    instance: Arc<str>,
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
    place: Place,
    /// Rows in a row that were set aside.
    refused: u32,
}

impl Work {
    async fn open(shipper: &Shipper) -> Result<Self, String> {
        // Before it is opened: a file that is replaced in between is looked at once too often.
        let identity = identity(&shipper.path);
        let reader = Reader::open(&shipper.path).await.map_err(|error| error.to_string())?;
        let instance: Arc<str> = reader.instance().into();
        let name = &shipper.settings.name;
        let mut book = Book::open(&shipper.path, name, &instance).await?;
        let place = book.place().await.map_err(|error| error.to_string())?;
        let set_aside = book.set_aside().await.map_err(|error| error.to_string())?;
        shipper.standing.lock().set_aside = set_aside;
        shipper.journal.taken(&shipper.receiver, place.seq);
        Ok(Self { reader, book, instance, path: shipper.path.clone(), identity, place, refused: 0 })
    }

    /// Whether another journal is where this one was.
    fn is_elsewhere(&self) -> bool {
        identity(&self.path).is_some_and(|identity| self.identity != Some(identity))
    }

    /// The next rows, at most `most`: those that were begun and not taken before any others.
    async fn next(&mut self, most: i64) -> Result<Vec<Stored>, String> {
        let begun = self.place.sending.saturating_sub(self.place.seq);
        let limit = if begun > 0 { begun.min(most) } else { most };
        let rows = self.reader.after(self.place.seq, usize::try_from(limit).unwrap_or(1)).await;
        rows.map_err(|error| error.to_string())
    }

    /// When the first row was written that is not taken.
    async fn oldest(&mut self) -> Result<Option<i64>, String> {
        let rows = self.reader.after(self.place.seq, 1).await.map_err(|error| error.to_string())?;
        Ok(rows.first().and_then(|row| row.int("at_ms")))
    }

    /// The next checkpoints of rows that are taken.
    async fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, String> {
        let Place { seq, checkpoint, .. } = self.place;
        let found = self.reader.checkpoints(checkpoint.saturating_add(1), seq).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.into_iter().take(CHECKPOINTS).map(|(size, line)| Checkpoint { size, line }).collect())
    }

    async fn keep(&mut self) -> Result<(), String> {
        self.book.put(self.place).await.map_err(|error| error.to_string())
    }
}
