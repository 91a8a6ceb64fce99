//! How many streams of news a caller has open: each costs a connection and memory for as long as the caller likes, so
//! that no rate bounds them.

use crate::telemetry::metrics::{Metrics, StreamOpen};
use parking_lot::Mutex;
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
        Principal {
            issuer: "dev".into(),
            subject: subject.into(),
            tenant: None,
            agent: None,
            roles: Default::default(),
            scopes: Default::default(),
            claims: Default::default(),
            expires_at: None,
        }
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
