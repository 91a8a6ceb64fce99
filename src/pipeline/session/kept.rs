//! Calls whose streams ended before they were answered (SEP-1699): the upstream ended it, for the client to ask later, or
//! the client lost it. They wait for their client to come back, with all that their answers have to pass.

use crate::pipeline::session::carry::Carried;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Calls that are kept in one session; beyond it, the one goes that waits for longest.
const MOST: usize = 16;
/// How long a call is kept.
const FOR: Duration = Duration::from_secs(300);

/// The calls of a session that are kept.
#[derive(Default)]
pub struct Keep(Mutex<Vec<(Instant, Carried)>>);

impl Keep {
    /// Keeps `call`.
    pub fn put(&self, call: Carried) {
        let mut all = self.0.lock();
        let oldest = if all.len() >= MOST { Some(all.remove(0)) } else { None };
        all.push((Instant::now(), call));
        drop(all);
        drop(oldest);
    }

    /// The call whose stream has the number `stream`.
    pub fn take(&self, stream: u64) -> Option<Carried> {
        let mut all = self.0.lock();
        let place = all.iter().position(|(_, call)| call.stream() == stream)?;
        Some(all.remove(place).1)
    }

    /// Lets go of what is kept for too long.
    pub fn let_go(&self, now: Instant) {
        let gone: Vec<_> =
            self.0.lock().extract_if(.., |(since, _)| now.saturating_duration_since(*since) >= FOR).collect();
        drop(gone);
    }

    /// Lets go of all.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *self.0.lock());
        drop(gone);
    }
}
