//! Which sessions with upstreams are kept, and which go where there are too many, or nobody uses them. It closes none: that is
//! for whoever holds one last.

use crate::upstream::session::owner::{Owner, Who};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Sessions that are kept; beyond it, one goes: of those that nobody uses, where there are such, and of them the one that
/// was not used for longest.
const KEPT: usize = 10_000;
/// The same for the sessions of one principal, which lose one of their own.
const KEPT_EACH: usize = 1_000;
/// How long a session is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(600);

/// The pool's number, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub pool: u64,
    pub owner: Owner,
}

/// A place among the sessions that are kept.
pub(super) struct Kept<S> {
    pub session: Arc<OnceCell<Arc<S>>>,
    pub used: Instant,
}

impl<S> Kept<S> {
    /// Whether somebody holds it: a call, a stream, a question that waits for a person.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.session) > 1 || self.session.get().is_some_and(|held| Arc::strong_count(held) > 1)
    }
}

/// Lets go of what nobody has used for long.
pub(super) fn close_idle<S>(all: &mut HashMap<Key, Kept<S>>, now: Instant) {
    // A client's session says itself when it is over.
    let lasts = |key: &Key| matches!(key.owner.who, Who::Client(_));
    all.retain(|key, kept| lasts(key) || now.saturating_duration_since(kept.used) < IDLE);
}

/// Makes room for one more of `owner`'s.
pub(super) fn make_room<S>(all: &mut HashMap<Key, Kept<S>>, owner: &Owner) {
    make_room_among(all, &owner.principal, KEPT, KEPT_EACH);
}

/// Makes room for one more of `principal` among at most `most`, of which at most `each` are of one principal.
fn make_room_among<S>(all: &mut HashMap<Key, Kept<S>>, principal: &[u8], most: usize, each: usize) {
    let own = |key: &Key| key.owner.principal == principal;
    let too_many = all.keys().filter(|key| own(key)).count() >= each;
    if !too_many && all.len() < most {
        return;
    }
    let open_to = all.iter().filter(|(key, _)| !too_many || own(key));
    let first = open_to.min_by_key(|(_, kept)| (kept.is_in_use(), kept.used)).map(|(key, _)| key.clone());
    if let Some(first) = first {
        all.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::mcp::capabilities::Capabilities;
    use portcullis_core::mcp::version::Version;
    use uuid::Uuid;

    fn owner(subject: &str, who: Who) -> Owner {
        let (principal, capabilities) = (subject.as_bytes().to_vec(), Capabilities::default());
        Owner { who, principal, capabilities, version: Version::LATEST_LEGACY, caller: None }
    }

    fn key(subject: &str) -> Key {
        Key { pool: 1, owner: owner(subject, Who::Principal) }
    }

    fn kept(subjects: &[&str], start: Instant) -> HashMap<Key, Kept<()>> {
        let one = |(second, subject): (u64, &&str)| {
            (key(subject), Kept { session: Arc::default(), used: start + Duration::from_secs(second) })
        };
        (0..).zip(subjects).map(one).collect()
    }

    #[test]
    fn the_session_goes_that_was_not_used_for_longest() {
        let mut all = kept(&["ana", "bob", "cyd"], Instant::now());
        make_room_among(&mut all, b"dan", 4, 2);
        assert_eq!(all.len(), 3);
        make_room_among(&mut all, b"dan", 3, 2);
        assert_eq!(all.len(), 2);
        assert!(!all.contains_key(&key("ana")));
    }

    #[test]
    fn a_principal_with_many_sessions_loses_one_of_its_own() {
        let mut all = kept(&["ana"], Instant::now());
        for number in 0..3 {
            let key = Key { pool: 1, owner: owner("bob", Who::Client(Uuid::from_u128(number))) };
            all.insert(key, Kept { session: Arc::default(), used: Instant::now() });
        }
        make_room_among(&mut all, b"bob", 100, 3);
        assert!(all.contains_key(&key("ana")) && all.len() == 3, "the older one is another's");
        make_room_among(&mut all, b"bob", 100, 3);
        assert_eq!(all.len(), 3, "there is room now");
    }

    #[test]
    fn a_session_that_somebody_uses_goes_last() {
        let mut all = kept(&["ana", "bob"], Instant::now());
        let used = Arc::clone(&all[&key("ana")].session);
        make_room_among(&mut all, b"cyd", 2, 2);
        assert!(all.contains_key(&key("ana")) && all.len() == 1);
        let session = Arc::new(());
        used.set(Arc::clone(&session)).unwrap();
        drop(used);
        let later = Kept { session: Arc::default(), used: Instant::now() + Duration::from_secs(9) };
        all.insert(key("bob"), later);
        make_room_among(&mut all, b"cyd", 2, 2);
        assert!(all.contains_key(&key("ana")) && all.len() == 1, "a call holds it");
        make_room_among(&mut all, b"cyd", 1, 2);
        assert!(all.is_empty(), "there is no other");
    }

    #[test]
    fn a_session_that_nobody_uses_is_closed() {
        let start = Instant::now();
        let mut all = kept(&["ana", "bob"], start);
        close_idle(&mut all, start + IDLE - Duration::from_nanos(1));
        assert_eq!(all.len(), 2);
        close_idle(&mut all, start + IDLE);
        assert!(all.contains_key(&key("bob")) && !all.contains_key(&key("ana")));
    }
}
