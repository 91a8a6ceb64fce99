//! Room for streams to operators: so many in all, and so many for each of them, so that nobody takes everybody's.

use parking_lot::Mutex;
use portcullis_core::principal::Principal;
use std::collections::HashMap;
use std::sync::Arc;

/// Streams of one kind at the same time.
const ALL: usize = 256;
/// Those of one person: a browser has some of them open for a page that was left.
const OWN: usize = 8;

/// A person: the issuer, and how it names them.
type Who = (String, String);

/// The places that are taken.
#[derive(Default)]
pub struct Places(Mutex<HashMap<Who, usize>>);

/// A place, until it is dropped.
pub struct Place {
    places: Arc<Places>,
    who: Who,
}

impl Places {
    /// A place for `principal`; `None` where they have enough, or all are taken.
    pub fn take(self: &Arc<Self>, principal: &Principal) -> Option<Place> {
        let who = (principal.issuer.clone(), principal.subject.clone());
        let mut taken = self.0.lock();
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&who).copied().unwrap_or_default());
        if all >= ALL || own >= OWN {
            return None;
        }
        taken.insert(who.clone(), own + 1);
        Some(Place { places: Arc::clone(self), who })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        match taken.get_mut(&self.who) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.who)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_does_not_take_the_places_of_others() {
        let places = Arc::new(Places::default());
        let (eve, ana) = (Principal::new("dev", "eve"), Principal::new("dev", "ana"));
        let mut hers: Vec<_> = (0..OWN).map(|_| places.take(&eve).unwrap()).collect();
        assert!(places.take(&eve).is_none());
        assert!(places.take(&Principal::new("other", "eve")).is_some(), "another issuer's is somebody else");
        let his = places.take(&ana).unwrap();
        hers.pop();
        hers.push(places.take(&eve).unwrap());
        drop((hers, his));
        assert!(places.0.lock().is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn there_are_so_many_in_all() {
        let places = Arc::new(Places::default());
        let taken: Vec<_> = (0..ALL).filter_map(|n| places.take(&Principal::new("dev", n.to_string()))).collect();
        assert_eq!(taken.len(), ALL);
        assert!(places.take(&Principal::new("dev", "ana")).is_none());
    }
}
