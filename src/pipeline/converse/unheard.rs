//! Calls that run on without their clients. One of an older revision that loses its connection takes no call back by that
//! (MCP 2025-11-25 "Sending Messages to the Server"), and to a modern server the end of ours would be just that (MCP
//! 2026-07-28 "Cancellation"): so it is held open to the end of the call, for the record to say what became of it.
//!
//! Nobody can fetch such an answer, and none is kept. How many calls run on so, and for how long, is bounded.

use super::parking::Parking;
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Calls of one principal that run on; beyond it, the one ends whose client left first.
const EACH: usize = 16;
/// The same for all principals together.
const ALL: usize = 1_000;
/// How long a call runs on.
const FOR: Duration = Duration::from_secs(300);
/// How long it does once the process ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// The calls that run on.
#[derive(Default)]
pub struct Unheard(Mutex<Vec<Entry>>);

/// One of them. It is told to end by being dropped.
struct Entry {
    principal: Vec<u8>,
    goes_on: oneshot::Sender<()>,
}

impl Unheard {
    /// Waits until a call of `principal`, whose client has left, must end: when its time is up, the token of its caller
    /// expires, others need its place, or the process ends.
    pub async fn outstay(&self, principal: Vec<u8>, expires: Option<Instant>, parking: &Parking) {
        let ended = self.enter(principal);
        let closed = async {
            parking.closed().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            _ = ended => {}
            () = closed => {}
            () = until(expires) => {}
            () = tokio::time::sleep(FOR) => {}
        }
    }

    /// One more runs on; what comes to an end when it must not any more.
    fn enter(&self, principal: Vec<u8>) -> oneshot::Receiver<()> {
        let (goes_on, ended) = oneshot::channel();
        let mut all = self.0.lock();
        // Those that have come to their end.
        all.retain(|entry| !entry.goes_on.is_closed());
        let first_own = all.iter().position(|entry| entry.principal == principal);
        let own = all.iter().filter(|entry| entry.principal == principal).count();
        match first_own {
            Some(first) if own >= EACH => drop(all.remove(first)),
            _ if all.len() >= ALL => drop(all.remove(0)),
            _ => {}
        }
        all.push(Entry { principal, goes_on });
        ended
    }
}

async fn until(expires: Option<Instant>) {
    match expires {
        Some(expires) => tokio::time::sleep_until(expires.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_run_on_than_may_and_those_go_first_whose_clients_left_first() {
        let unheard = Unheard::default();
        let mut ana: Vec<_> = (0..EACH).map(|_| unheard.enter(b"ana".to_vec())).collect();
        let mut bob = unheard.enter(b"bob".to_vec());
        drop(ana.pop());
        ana.push(unheard.enter(b"ana".to_vec()));
        let runs = |ended: &mut oneshot::Receiver<()>| ended.try_recv() == Err(oneshot::error::TryRecvError::Empty);
        assert!(ana.iter_mut().all(runs), "one has come to its end by itself");
        ana.push(unheard.enter(b"ana".to_vec()));
        assert_eq!(ana.iter_mut().map(runs).collect::<Vec<_>>().iter().position(|runs| *runs), Some(1));
        assert!(runs(&mut bob));
        let others: Vec<_> = (0..ALL).map(|who: usize| unheard.enter(who.to_be_bytes().to_vec())).collect();
        assert!(!runs(&mut bob) && unheard.0.lock().len() == ALL && others.len() == ALL);
    }

    #[tokio::test]
    async fn a_token_that_expires_ends_the_call() {
        let unheard = Unheard::default();
        unheard.outstay(b"ana".to_vec(), Some(Instant::now()), &Parking::new()).await;
    }
}
