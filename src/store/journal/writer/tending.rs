//! What the writer does now and then: signs, removes what is over, and looks how full the file is.

use super::{Shared, Writer};
use crate::store::journal::database::Database;
use crate::store::journal::retention::Removal;
use crate::store::journal::{is_nearly_full, now};
use portcullis_core::audit::{Entry, Outcome, Termination, retention};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often rows are signed where fewer than a checkpoint's worth come, and old ones are removed.
pub(super) const TENDING: Duration = Duration::from_secs(10);

/// Segments that are removed in one go: writing waits for it.
const SEGMENTS: usize = 4;

/// How soon the next go is, where there is more to remove.
const MORE: Duration = Duration::from_millis(100);

/// How full the file is, is looked at again when it has grown by this part of what it may become.
const GROWN: u64 = 32;

impl Writer {
    /// Signs what is due, removes what is over, and looks how full the file is.
    pub(super) async fn tend(&mut self) {
        let due = tokio::time::Instant::now() >= self.tending;
        let signs = due || self.database.as_ref().is_some_and(Database::is_due);
        let is_grown = self.settings.options.max_bytes.is_some_and(|most| self.unseen > most / GROWN);
        if !signs && !is_grown {
            return;
        }
        self.shared.state.lock().writing_since = Some(Instant::now());
        if signs {
            self.sign().await;
        }
        if due {
            self.tending = tokio::time::Instant::now() + TENDING;
            self.remove().await;
        } else if is_grown {
            self.look().await;
        }
        self.shared.state.lock().writing_since = None;
    }

    /// Makes a checkpoint of what is not signed, and sends it out. Where that fails, the next one speaks of it all.
    pub(super) async fn sign(&mut self) {
        // After a failed write there is no connection: also what is in a file that is full must be signed, to be removed.
        let Ok(mut database) = self.opened().await else { return };
        let signed = if database.position().is_unsigned() { Some(database.sign(&self.key).await) } else { None };
        self.database = Some(database);
        match signed {
            None => {}
            Some(Ok((checkpoint, note))) => {
                self.shared.signed.store(checkpoint.size, Ordering::Relaxed);
                tracing::info!(size = checkpoint.size, checkpoint = note, "the journal is signed so far");
                if let Some(outside) = &self.outside {
                    outside.send(&note);
                }
            }
            Some(Err(reason)) => {
                tracing::warn!(reason, "a checkpoint of the journal could not be made; it is tried again");
                self.give_connection_up().await;
            }
        }
    }

    async fn give_connection_up(&mut self) {
        if let Some(database) = self.database.take() {
            database.close().await;
        }
    }

    /// Removes segments that are older than they must be, and looks how full the file is.
    async fn remove(&mut self) {
        let Ok(mut database) = self.opened().await else { return };
        let mut removed: Option<(i64, i64)> = None;
        let result = match self.settings.options.keep {
            Some(keep) => {
                let before = now().minus(keep).millis();
                remove(&mut database, before, self.shared.taken(), &mut removed).await
            }
            None => Ok(Removal::Nothing),
        };
        self.database = Some(database);
        match result {
            Ok(last) => {
                if matches!(last, Removal::Removed(..)) {
                    self.tending = tokio::time::Instant::now() + MORE;
                }
                self.say_held(last);
                self.look().await;
            }
            Err(error) => {
                tracing::warn!(%error, "the journal's oldest rows could not be removed; it is tried again");
                self.give_connection_up().await;
            }
        }
        if let Some((from, to)) = removed {
            tracing::info!(from, to, "rows of the journal were removed: their time was over");
            self.note(&removal(from, to));
        }
    }

    /// Says once that rows are kept longer than they must be, and for whom.
    fn say_held(&mut self, last: Removal) {
        let Removal::Held(to) = last else {
            self.is_held = false;
            return;
        };
        if !std::mem::replace(&mut self.is_held, true) {
            let sinks = self.shared.behind(to).join(", ");
            tracing::warn!(
                sinks,
                "rows of the journal are kept though their time is over: these sinks have not taken them; mend them, or take them out of `journal.sinks`"
            );
        }
    }

    /// Looks how full the file is.
    async fn look(&mut self) {
        let Some(database) = self.database.as_mut() else { return };
        match database.used().await {
            Ok(used) => {
                self.unseen = 0;
                let before = self.shared.used.swap(used, Ordering::Relaxed);
                self.warn_of_size(before, used);
            }
            Err(error) => {
                tracing::warn!(%error, "it could not be seen how full the journal is; it is tried again");
                self.give_connection_up().await;
            }
        }
    }

    fn warn_of_size(&self, before: u64, used: u64) {
        let Some(max_bytes) = self.settings.options.max_bytes else { return };
        if is_nearly_full(used, max_bytes) && !is_nearly_full(before, max_bytes) {
            tracing::error!(
                used,
                max_bytes,
                "the journal is nearly full; when it is, calls are refused: raise `journal.max_bytes`, or lower `journal.keep`"
            );
        }
    }
}

impl Shared {
    /// The last row that every receiver has taken.
    fn taken(&self) -> i64 {
        self.taken.lock().values().copied().min().unwrap_or(i64::MAX)
    }

    /// The receivers that have not taken row `seq`, by the names that they gave.
    fn behind(&self, seq: i64) -> Vec<String> {
        self.taken.lock().iter().filter(|(_, taken)| **taken < seq).map(|(name, _)| name.clone()).collect()
    }
}

/// Removes a few segments, and says in `removed` which rows they held; what became of the last one that was tried.
async fn remove(
    database: &mut Database,
    before: i64,
    taken: i64,
    removed: &mut Option<(i64, i64)>,
) -> sqlx::Result<Removal> {
    let mut last = Removal::Nothing;
    for _ in 0..SEGMENTS {
        last = database.remove_segment(before, taken).await?;
        let Removal::Removed(from, to) = last else { break };
        *removed = Some((removed.map_or(from, |(first, _)| first), to));
    }
    Ok(last)
}

fn removal(from: i64, to: i64) -> Entry {
    Entry {
        method: Some(retention::METHOD.into()),
        outcome: Some(Outcome::Ok),
        termination: Some(Termination::Complete),
        detail: Some(retention::words(from, to)),
        ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), now())
    }
}
