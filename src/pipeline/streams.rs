//! How many streams of news a caller has open: each costs a connection and memory for as long as the caller likes, so
//! that no rate bounds them. And how such a stream may end.

use crate::telemetry::metrics::{Metrics, StreamOpen};
use parking_lot::Mutex;
use portcullis_core::audit::Termination;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use std::collections::HashMap;
use std::sync::Arc;

/// The streams that are open, by caller.
pub struct Streams {
    open: Mutex<HashMap<Vec<u8>, usize>>,
    metrics: Arc<Metrics>,
}

/// The place of an open stream, given back when it is dropped.
pub struct Place {
    streams: Arc<Streams>,
    caller: Vec<u8>,
    _counted: StreamOpen,
}

impl Streams {
    /// None is open yet.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), metrics })
    }

    /// A place for one more stream of `principal`, who may have `most`.
    ///
    /// # Errors
    /// [`Rejection::TooManyAtOnce`].
    pub fn open(self: &Arc<Self>, principal: &Principal, most: usize) -> Result<Place, Rejection> {
        let caller = principal.identity();
        let mut open = self.open.lock();
        let count = open.entry(caller.clone()).or_default();
        if *count >= most {
            return Err(Rejection::TooManyAtOnce);
        }
        *count += 1;
        drop(open);
        Ok(Place { streams: Arc::clone(self), caller, _counted: self.metrics.stream_opened() })
    }
}

/// How a stream that has no answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// Its client left.
    ClientLeft,
    /// So did the session that it was part of.
    SessionEnded,
    /// There was nothing to tell.
    NothingHonoured,
    /// It was the stream of a call, which has a record of its own.
    CallStream,
    /// It had to end, because of this.
    Because(&'static str, Termination),
}

impl StreamEnd {
    /// It had to end because of `why`.
    pub fn because(why: &Rejection) -> Self {
        let (words, termination) = match why {
            Rejection::ShuttingDown => ("the gateway ended", Termination::Shutdown),
            Rejection::Unauthenticated { reason: "expired" } => ("the token expired", Termination::Expired),
            Rejection::Unauthenticated { .. } => ("the token is not accepted any more", Termination::Expired),
            Rejection::NotFound => ("the endpoint is gone", Termination::Stopped),
            _ => ("the gateway failed", Termination::Stopped),
        };
        Self::Because(words, termination)
    }

    /// In words, for the record.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ClientLeft => "the client left",
            Self::SessionEnded => "the session ended",
            Self::NothingHonoured => "nothing is honoured",
            Self::CallStream => "the stream of a call",
            Self::Because(words, _) => words,
        }
    }

    /// What ended the exchange.
    pub const fn termination(self) -> Termination {
        match self {
            Self::ClientLeft => Termination::ClientClosed,
            Self::SessionEnded | Self::NothingHonoured | Self::CallStream => Termination::Complete,
            Self::Because(_, termination) => termination,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        if let Some(count) = open.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(subject: &str) -> Principal {
        Principal::new("dev", subject)
    }

    #[test]
    fn a_caller_has_so_many_streams_and_others_have_theirs() {
        let streams = Streams::new(Arc::new(Metrics::new().unwrap()));
        let (ana, bob) = (principal("ana"), principal("bob"));
        let first = streams.open(&ana, 2).unwrap();
        let _second = streams.open(&ana, 2).unwrap();
        assert_eq!(streams.open(&ana, 2).err(), Some(Rejection::TooManyAtOnce));
        assert!(streams.open(&bob, 2).is_ok());
        drop(first);
        assert!(streams.open(&ana, 2).is_ok());
        assert_eq!(streams.open.lock().len(), 1);
    }
}
