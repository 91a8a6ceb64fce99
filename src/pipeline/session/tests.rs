//! Which sessions are held, and which ids are taken.

use super::*;
use portcullis_core::principal::Principal;

fn principal(subject: &str) -> Principal {
    Principal::new("idp", subject)
}

fn session(subject: &str, number: u128) -> Arc<ClientSession> {
    let (version, late) = (Version::LATEST_LEGACY, Timestamp::from_millis(1_000));
    let (id, capabilities) = (Uuid::from_u128(number), Capabilities::default());
    Arc::new(ClientSession::new(&principal(subject), id, version, capabilities, late))
}

fn store(sessions: &[&Arc<ClientSession>]) -> Store {
    let open = sessions.iter().map(|session| (session.id, Arc::clone(session))).collect();
    Store { open, ..Store::default() }
}

#[test]
fn a_session_that_somebody_uses_goes_last() {
    let (used, idle) = (session("ana", 1), session("ana", 2));
    let mut store = store(&[&used, &idle]);
    let number = idle.id;
    drop(idle);
    let gone = store.make_room(&session("bob", 3), 2, 2).unwrap();
    assert_eq!(gone.id, number, "the older one has a stream, or a question that a person thinks about");
    assert_eq!(store.make_room(&session("bob", 3), 1, 2).unwrap().id, used.id, "there is no other");
}

#[test]
fn ended_sessions_of_others_stay_ended() {
    let (ours, now) = (session("ana", 1), Timestamp::from_millis(0));
    let mut store = Store::default();
    store.end(&ours, now);
    for number in 0..2 * ENDED_EACH as u128 {
        store.end(&session("bob", 10 + number), now);
    }
    assert!(store.has_ended(&ours));
    let kept: usize = store.ended.values().map(VecDeque::len).sum();
    assert_eq!(kept, 1 + ENDED_EACH);
    store.forget_late(Timestamp::from_millis(999));
    assert!(store.has_ended(&ours), "its id is still good");
    store.forget_late(Timestamp::from_millis(1_000));
    assert!(store.ended.is_empty());
}

#[test]
fn an_id_says_until_when_it_is_good() {
    let text = session("ana", 1).text();
    let read = |now| ClientSession::read(&principal("ana"), &text, Timestamp::from_millis(now));
    let found = read(999).unwrap();
    assert_eq!(
        (found.id, found.version, found.late),
        (Uuid::from_u128(1), Version::LATEST_LEGACY, Timestamp::from_millis(1_000))
    );
    assert!(read(1_000).is_none());
}
