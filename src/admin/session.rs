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
use std::collections::HashMap;
use std::sync::Arc;

/// Logins at the same time; beyond it, the one that would end first is ended.
const CAPACITY: usize = 10_000;

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

/// Everybody who is logged in, by the digest of what their browser keeps.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<[u8; 32], Arc<Session>>>);

impl Sessions {
    /// Lets `principal` in until `until`; returns what their browser must keep.
    pub fn open(&self, principal: Arc<Principal>, until: Timestamp, now: Timestamp) -> String {
        let (key, csrf) = (secret(), secret());
        let mut known = self.0.lock();
        if known.len() >= CAPACITY {
            known.retain(|_, session| session.until > now);
        }
        if known.len() >= CAPACITY
            && let Some(first) = known.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key)
        {
            known.remove(&first);
        }
        known.insert(digest(&key), Arc::new(Session { principal, csrf, until }));
        key
    }

    /// Whose browser keeps `key`.
    pub fn find(&self, key: &str, now: Timestamp) -> Option<Arc<Session>> {
        let found = self.0.lock().get(&digest(key)).cloned()?;
        (found.until > now).then_some(found)
    }

    /// Logs them out.
    pub fn close(&self, key: &str) {
        self.0.lock().remove(&digest(key));
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
    fn logins_are_bounded_and_the_one_that_ends_first_gives_way() {
        let (sessions, now) = (Sessions::default(), Timestamp::from_secs(1_000));
        let end = |seconds| now.plus(Duration::from_secs(seconds));
        let first = sessions.open(somebody(), end(10), now);
        let second = sessions.open(somebody(), end(20), now);
        (2..CAPACITY).for_each(|_| drop(sessions.open(somebody(), end(100), now)));
        assert!(sessions.find(&first, now).is_some());
        sessions.open(somebody(), end(100), now);
        assert!(sessions.find(&first, now).is_none() && sessions.find(&second, now).is_some());
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
