//! The request's body, read whole within its limit and its time.

use crate::config::snapshot::Snapshot;
use crate::server::connection;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The largest piece of memory that a mere announcement of a body's length gets, in bytes.
const EAGER: usize = 64 << 10;

/// How long a client that was refused may go on sending its body.
pub const LINGER: Duration = Duration::from_secs(2);

/// The memory that bodies may take together, whoever sends them, in KiB. A body takes its share when it is announced, or
/// the largest there may be where it is not, and keeps it until its request ends.
const TOGETHER: u64 = 256 << 10;

/// How much of it the bodies of one principal may take, in KiB: who sends many bodies slowly keeps nobody else from sending.
const EACH: u64 = TOGETHER / 4;

/// The memory for bodies. Clones share it.
#[derive(Clone, Default)]
pub struct Room(Arc<Mutex<Taken>>);

/// What is taken of it, in KiB.
#[derive(Default)]
struct Taken {
    together: u64,
    /// By issuer and subject; nobody with nothing is in it.
    each: HashMap<Sender, u64>,
}

/// Issuer and subject.
type Sender = (String, String);

/// A body's share. It is given back when this is dropped.
pub struct Share {
    room: Room,
    sender: Sender,
    size: u64,
}

impl Room {
    /// Room for a body of `bytes` that `principal` sends.
    ///
    /// # Errors
    /// [`Rejection::Overloaded`].
    fn take(&self, principal: &Principal, bytes: u64) -> Result<Share, Rejection> {
        let size = bytes.div_ceil(1 << 10).clamp(1, EACH);
        let sender = (principal.issuer.clone(), principal.subject.clone());
        let mut taken = self.0.lock();
        let own = taken.each.get(&sender).copied().unwrap_or_default();
        if own + size > EACH || taken.together + size > TOGETHER {
            return Err(Rejection::Overloaded);
        }
        taken.together += size;
        taken.each.insert(sender.clone(), own + size);
        Ok(Share { room: self.clone(), sender, size })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.room.0.lock();
        taken.together = taken.together.saturating_sub(self.size);
        if let Some(own) = taken.each.get_mut(&self.sender) {
            *own = own.saturating_sub(self.size);
            if *own == 0 {
                taken.each.remove(&self.sender);
            }
        }
    }
}

/// Reads the body; and its room, to be kept as long as the body.
///
/// # Errors
/// [`Rejection::PayloadTooLarge`], [`Rejection::Overloaded`], [`Rejection::RequestTimeout`], or [`Rejection::BadRequest`] where it breaks off.
pub async fn read(
    session: &mut Session,
    snapshot: &Snapshot,
    room: &Room,
    principal: &Principal,
) -> Result<(Bytes, Share), Rejection> {
    let limit = snapshot.payload.request.0;
    let announced = announced(session);
    if announced.is_some_and(|length| length > limit) {
        return Err(Rejection::PayloadTooLarge(limit));
    }
    let taken = room.take(principal, announced.unwrap_or(limit))?;
    let deadline = snapshot.gateway.edge.body_deadline.0;
    let reading = async {
        proceed(session).await?;
        collect(session, announced, limit).await
    };
    // pingora bounds each read but not their sum, and those of HTTP/2 not at all.
    let body = tokio::time::timeout(deadline, reading).await.map_err(|_| Rejection::RequestTimeout)??;
    Ok((body, taken))
}

/// Takes what the client still sends after it was answered, for a short while, and throws it away. To close while bytes
/// are on the way resets the connection, and a reset can take the answer from the client before it has read it
/// (RFC 9112 section 9.6).
pub async fn linger(session: &mut Session) {
    if session.as_http1().is_none_or(|http1| http1.will_keepalive()) || session.downstream_session.is_body_done() {
        return;
    }
    session.downstream_session.shutdown().await;
    let discarding = async { while let Ok(Some(_)) = session.downstream_session.read_request_body().await {} };
    if tokio::time::timeout(LINGER, discarding).await.is_err() {
        tracing::debug!("a client went on sending after it was refused");
    }
}

/// Whether a request that was refused so may have more of its body on the way.
pub fn is_unread(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::PayloadTooLarge(_)
            | Rejection::RequestTimeout
            | Rejection::BadRequest(_)
            | Rejection::Unauthenticated { .. }
            | Rejection::TooManyBadTokens { .. }
            | Rejection::KeysUnavailable
            | Rejection::Overloaded
            | Rejection::Internal
    )
}

fn announced(session: &Session) -> Option<u64> {
    session.req_header().headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Answers `Expect: 100-continue` (RFC 9110 section 10.1.1): pingora does not, and clients wait.
async fn proceed(session: &mut Session) -> Result<(), Rejection> {
    if session.req_header().headers.get(header::EXPECT).is_none_or(|expected| !is_continue(expected)) {
        return Ok(());
    }
    let proceed = ResponseHeader::build(100, None).map_err(|_| Rejection::Internal)?;
    let keepalive = session.get_keepalive();
    let written = session.downstream_session.write_response_header(Box::new(proceed)).await;
    // pingora takes it for an answer before the body's end, after which a connection can't be kept.
    session.set_keepalive(keepalive);
    written.map_err(|_| Rejection::BadRequest("the client left"))
}

/// Case does not matter (RFC 9110 section 10.1.1).
fn is_continue(expected: &HeaderValue) -> bool {
    expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

async fn collect(session: &mut Session, announced: Option<u64>, limit: u64) -> Result<Bytes, Rejection> {
    let capacity = usize::try_from(announced.unwrap_or_default()).unwrap_or(EAGER).min(EAGER);
    let mut body = BytesMut::with_capacity(capacity);
    loop {
        match session.downstream_session.read_request_body().await {
            Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 > limit => {
                return Err(Rejection::PayloadTooLarge(limit));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(_) => return Err(connection::refusal().unwrap_or(Rejection::BadRequest("the body breaks off"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EACH, Room, TOGETHER};
    use portcullis_core::principal::Principal;
    use portcullis_core::reject::Rejection;

    fn principal(subject: &str) -> Principal {
        Principal::new("dev", subject)
    }

    #[test]
    fn nobody_takes_all_the_room_for_bodies() {
        let room = Room::default();
        let all = room.take(&principal("a"), u64::MAX).unwrap();
        assert_eq!(room.take(&principal("a"), 0).err(), Some(Rejection::Overloaded));
        assert!(room.take(&principal("b"), u64::MAX).is_ok());
        drop(all);
        let most = room.take(&principal("a"), (EACH - 1) << 10).unwrap();
        assert!(room.take(&principal("a"), 1024).is_ok() && room.take(&principal("a"), 1025).is_err());
        drop(most);
        assert!(room.0.lock().each.is_empty());
    }

    #[test]
    fn bodies_of_all_share_their_memory() {
        let room = Room::default();
        let full = ["a", "b", "c", "d"].map(|subject| room.take(&principal(subject), u64::MAX).unwrap());
        assert_eq!(room.0.lock().together, TOGETHER);
        assert_eq!(room.take(&principal("e"), 0).err(), Some(Rejection::Overloaded));
        drop(full);
        assert_eq!(room.0.lock().together, 0);
        assert!(room.take(&principal("e"), 0).is_ok());
    }
}
