//! How many calls are under way at the same time, and the bound on them: what comes on top is refused before anything is
//! spent on it, so that the calls that are under way end in time. It knows no callers; their shares are `limits` of the
//! policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places that calls take. Clones share them.
#[derive(Clone, Default)]
pub struct Places(Arc<AtomicUsize>);

/// A call's place, until it is dropped.
pub struct Place(Arc<AtomicUsize>);

impl Places {
    /// A place, where fewer than `most` are taken.
    pub fn take(&self, most: usize) -> Option<Place> {
        let place = Place(Arc::clone(&self.0));
        // Where it is one too many, dropping it gives it back.
        (self.0.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn a_place_is_free_again_when_its_call_has_ended() {
        let places = Places::default();
        let (first, second) = (places.take(2), places.take(2));
        assert!(first.is_some() && second.is_some());
        assert!((0..10).all(|_| places.take(2).is_none()), "those that are refused take none");
        drop(first);
        let third = places.take(2);
        assert!(third.is_some() && places.take(2).is_none());
        assert!(places.take(3).is_some(), "the bound may change");
    }
}
