//! The request's body, read whole within its limit and its time.

use crate::config::snapshot::Snapshot;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use portcullis_core::reject::Rejection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest piece of memory that a mere announcement of a body's length gets, in bytes.
const EAGER: usize = 64 << 10;

/// How long a client that was refused may go on sending its body.
const LINGER: Duration = Duration::from_secs(2);

/// The memory that bodies may take together, whoever sends them, in KiB. A body takes its share when it is announced, or
/// the largest there may be where it is not, and keeps it until its request ends.
const TOGETHER: usize = 256 << 10;

/// The memory for bodies. Clones share it.
#[derive(Clone)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOGETHER)))
    }
}

impl Room {
    /// Room for a body of `bytes`.
    ///
    /// # Errors
    /// [`Rejection::Overloaded`].
    fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Rejection> {
        let share = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, TOGETHER as u32);
        Arc::clone(&self.0).try_acquire_many_owned(share).map_err(|_| Rejection::Overloaded)
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
) -> Result<(Bytes, OwnedSemaphorePermit), Rejection> {
    let limit = snapshot.payload.request.0;
    let announced = announced(session);
    if announced.is_some_and(|length| length > limit) {
        return Err(Rejection::PayloadTooLarge(limit));
    }
    let taken = room.take(announced.unwrap_or(limit))?;
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
            Err(_) => return Err(Rejection::BadRequest("the body breaks off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, TOGETHER};
    use portcullis_core::reject::Rejection;

    #[test]
    fn bodies_share_their_memory() {
        let room = Room::default();
        let all = room.take(u64::MAX).unwrap();
        assert_eq!(room.take(0).err(), Some(Rejection::Overloaded));
        drop(all);
        let most = room.take(((TOGETHER - 1) << 10) as u64).unwrap();
        assert!(room.take(1024).is_ok() && room.take(1025).is_err());
        drop(most);
    }
}
