//! The way of a client's session to an upstream: the session with it that is its own, opened when it is first needed, and
//! told what its client wants.

use crate::pipeline::session::ClientSession;
use crate::upstream::pool::Pool;
use crate::upstream::session::{Session, SessionError, Sessions};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long the first call in a session waits until the upstream is listened to. Some say nothing on such a stream, not even
/// that it is open, before they have news.
const LISTENED: Duration = Duration::from_millis(500);

/// The session that `client` has with the upstream of `pool`. Where it is a new one and the client waits for news, the
/// upstream is listened to first: servers lose what they say while nobody listens, and may ask on that stream what the call
/// needs.
///
/// # Errors
/// Why it can't be opened.
pub async fn reach(
    sessions: &Sessions,
    client: &ClientSession,
    pool: &Arc<Pool>,
) -> Result<Arc<Session>, SessionError> {
    let known = sessions.open_one(pool, &client.owner);
    let session = sessions.of(pool, &client.owner).await?;
    let untold = client.wishes.untold(&session);
    if !untold.is_empty() {
        tell(&session, untold).await;
    }
    if known.is_none_or(|known| !Arc::ptr_eq(&known, &session)) {
        client.turn();
        if client.is_listening() {
            session.until_heard(LISTENED).await;
        }
    }
    Ok(session)
}

/// The same with an upstream that also speaks newer revisions: `None` where it can be had in those alone. Where it can
/// be had in its client's own, everything that those know passes as it is.
pub async fn reach_older(sessions: &Sessions, client: &ClientSession, pool: &Arc<Pool>) -> Option<Arc<Session>> {
    // One that it has is its own, whatever is known of others.
    let has_one = sessions.open_one(pool, &client.owner).is_some_and(|session| session.has_id());
    if !has_one && sessions.keeps_none(pool) {
        return None;
    }
    match reach(sessions, client, pool).await {
        Ok(session) if session.has_id() => Some(session),
        // Without a session nothing can be asked of its client.
        Ok(session) => {
            sessions.forget(&session, &client.owner);
            sessions.note_none(pool);
            None
        }
        Err(error) => {
            if error.is_of_all() {
                sessions.note_none(pool);
            }
            // Else it is not known whether it keeps any; the call will tell.
            None
        }
    }
}

/// The client said these things before; the call that is waited for is not worse off where the upstream does not listen.
async fn tell(session: &Arc<Session>, untold: Vec<Bytes>) {
    for message in untold {
        if let Err(failure) = session.post(message).await {
            tracing::warn!(upstream = session.pool().upstream.name, %failure, "a wish could not be passed on again");
            return;
        }
    }
}
