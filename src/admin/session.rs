//! Who is logged in to the console. Logins are kept by this process alone: they end with it, and where there are several
//! replicas, each has its own. What a person may do is not kept: policy is asked at each request.

use crate::config::snapshot::Console;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Logins at the same time; beyond it, the oldest of whoever has the most is ended.
const CAPACITY: usize = 10_000;

/// Logins of one person; beyond it, their oldest is ended.
const OWN: usize = 16;

/// A person who is logged in.
#[derive(Debug)]
pub struct Session {
    /// Who, as they were when they logged in.
    pub principal: Arc<Principal>,
    /// What forms of theirs must bring along, and other sites can't know.
    pub csrf: String,
    /// Until when.
    pub until: Timestamp,
}

impl Session {
    /// Whether a form or script is one of ours.
    pub fn is_ours(&self, csrf: &str) -> bool {
        digest(csrf) == digest(&self.csrf)
    }
}

/// What a login is known by: the digest of what its browser keeps.
type Key = [u8; 32];

/// Everybody who is logged in.
#[derive(Default)]
pub struct Sessions(Mutex<Logins>);

#[derive(Default)]
struct Logins {
    known: HashMap<Key, Arc<Session>>,
    /// The logins of each person, oldest first: the issuer, and how it names them.
    of: HashMap<(String, String), VecDeque<Key>>,
}

impl Logins {
    fn remove(&mut self, key: &Key) {
        let Some(session) = self.known.remove(key) else { return };
        let who = who(&session.principal);
        if let Some(keys) = self.of.get_mut(&who) {
            keys.retain(|known| known != key);
            if keys.is_empty() {
                self.of.remove(&who);
            }
        }
    }

    /// Makes room for a login of `who`: at the cost of their own, or, where all is full, of whoever has the most.
    fn make_room(&mut self, who: &(String, String), now: Timestamp) {
        let own = self.of.get(who).filter(|keys| keys.len() >= OWN).and_then(VecDeque::front).copied();
        if let Some(oldest) = own {
            self.remove(&oldest);
        }
        if self.known.len() < CAPACITY {
            return;
        }
        let over = self.known.iter().filter(|(_, session)| session.until <= now).map(|(key, _)| *key);
        over.collect::<Vec<_>>().iter().for_each(|key| self.remove(key));
        if self.known.len() >= CAPACITY
            && let Some(oldest) = self.of.values().max_by_key(|keys| keys.len()).and_then(VecDeque::front).copied()
        {
            self.remove(&oldest);
        }
    }
}

fn who(principal: &Principal) -> (String, String) {
    (principal.issuer.clone(), principal.subject.clone())
}

impl Sessions {
    /// Lets `principal` in until `until`; returns what their browser must keep.
    pub fn open(&self, principal: Arc<Principal>, until: Timestamp, now: Timestamp) -> String {
        let (key, csrf) = (secret(), secret());
        let (digest, who) = (digest(&key), who(&principal));
        let mut logins = self.0.lock();
        logins.make_room(&who, now);
        logins.of.entry(who).or_default().push_back(digest);
        logins.known.insert(digest, Arc::new(Session { principal, csrf, until }));
        key
    }

    /// Whose browser keeps `key`.
    pub fn find(&self, key: &str, now: Timestamp) -> Option<Arc<Session>> {
        let found = self.0.lock().known.get(&digest(key)).cloned()?;
        (found.until > now).then_some(found)
    }

    /// Logs them out.
    pub fn close(&self, key: &str) {
        self.0.lock().remove(&digest(key));
    }
}

/// The logins that have come back from the issuer: none does twice. The last ones, as many as logins can be.
#[derive(Default)]
pub struct Spent(Mutex<(HashSet<Key>, VecDeque<Key>)>);

impl Spent {
    /// Spends the `state` of a login: whether it was good yet.
    pub fn spend(&self, state: &str) -> bool {
        let key = digest(state);
        let mut guard = self.0.lock();
        let (known, order) = &mut *guard;
        if !known.insert(key) {
            return false;
        }
        order.push_back(key);
        if order.len() > CAPACITY
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }
}

/// What the browser calls the cookie of a login: over https, one that no other host and no page in the clear can set.
pub fn cookie_name(console: &Console) -> &'static str {
    if is_secure(console) { "__Host-portcullis" } else { "portcullis" }
}

/// Whether people reach the console over https.
pub fn is_secure(console: &Console) -> bool {
    console.public_url.starts_with("https://")
}

/// The value of the cookie `name`; none where there are several, since one of them was set by somebody else.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// `Set-Cookie` of a cookie for our pages and nobody's scripts. `Lax`, so that a link to an approval finds a person
/// logged in: what follows from a link changes nothing.
pub fn set_cookie(console: &Console, name: &str, value: &str, seconds: u64) -> String {
    let secure = if is_secure(console) { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

/// 256 random bits, as text.
pub fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is compared instead of secrets: how much of a guess is right can't be told from the time it takes.
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn somebody() -> Arc<Principal> {
        Arc::new(Principal {
            issuer: "dev".into(),
            subject: "ana".into(),
            tenant: None,
            agent: None,
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            claims: serde_json::Map::new(),
            expires_at: None,
        })
    }

    #[test]
    fn a_login_holds_until_its_end_or_until_it_is_ended() {
        let (sessions, now) = (Sessions::default(), Timestamp::from_secs(1_000));
        let until = now.plus(Duration::from_secs(60));
        let key = sessions.open(somebody(), until, now);
        let session = sessions.find(&key, now).unwrap();
        assert!(session.is_ours(&session.csrf.clone()) && !session.is_ours("") && !session.is_ours(&key));
        assert!(sessions.find("", now).is_none() && sessions.find(&session.csrf, now).is_none());
        assert!(sessions.find(&key, until).is_none(), "its time is up");
        sessions.close(&key);
        assert!(sessions.find(&key, now).is_none(), "logged out");
    }

    #[test]
    fn a_person_who_logs_in_again_and_again_ends_their_own_logins_alone() {
        let (sessions, now) = (Sessions::default(), Timestamp::from_secs(1_000));
        let until = now.plus(Duration::from_secs(60));
        let other = sessions.open(Arc::new(Principal::new("dev", "olli")), now.plus(Duration::from_secs(1)), now);
        let keys: Vec<_> = (0..=OWN).map(|_| sessions.open(somebody(), until, now)).collect();
        let held: Vec<_> = keys.iter().map(|key| sessions.find(key, now).is_some()).collect();
        assert_eq!(held, [vec![false], vec![true; OWN]].concat());
        assert!(sessions.find(&other, now).is_some(), "nobody else's, though it ends first");
        keys.iter().for_each(|key| sessions.close(key));
        assert_eq!(sessions.0.lock().of.len(), 1, "nothing is kept of who has left");
    }

    #[test]
    fn where_all_is_full_whoever_has_the_most_gives_way() {
        let (sessions, now) = (Sessions::default(), Timestamp::from_secs(1_000));
        let until = now.plus(Duration::from_secs(60));
        let many: Vec<_> = (0..2).map(|_| sessions.open(somebody(), until, now)).collect();
        let one = |n: usize| Arc::new(Principal::new("dev", n.to_string()));
        let others: Vec<_> = (2..=CAPACITY).map(|n| sessions.open(one(n), until, now)).collect();
        assert!(sessions.find(&many[0], now).is_none() && sessions.find(&many[1], now).is_some());
        assert!(others.iter().all(|key| sessions.find(key, now).is_some()));
        let later = sessions.open(one(0), until.plus(Duration::from_secs(60)), until);
        let logins = sessions.0.lock();
        assert_eq!((logins.known.len(), logins.of.len()), (1, 1), "those that are over go first");
        drop(logins);
        assert!(sessions.find(&later, until).is_some());
    }

    #[test]
    fn a_login_comes_back_once() {
        let spent = Spent::default();
        assert!(spent.spend("a") && spent.spend("b") && !spent.spend("a"));
        (0..CAPACITY).for_each(|n| assert!(spent.spend(&n.to_string())));
        let guard = spent.0.lock();
        assert_eq!((guard.0.len(), guard.1.len()), (CAPACITY, CAPACITY), "memory has a bound");
    }

    #[test]
    fn a_cookie_that_stands_twice_is_none() {
        let read = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).unwrap()));
            cookie(&lines.collect::<HeaderMap>(), "portcullis").map(str::to_owned)
        };
        assert_eq!(read(&["a=1; portcullis=x; b=2"]).as_deref(), Some("x"));
        assert_eq!(read(&["a=1"]), None);
        assert_eq!(read(&["xportcullis=x"]), None);
        assert_eq!(read(&["portcullis=x; portcullis=y"]), None);
        assert_eq!(read(&["portcullis=x", "portcullis=x"]), None);
    }
}
