//! The wrapper around the client's session: it replays a request body that was read, judged and perhaps rewritten, and
//! puts every part of the answer through the filter.
//!
//! pingora sends nothing upstream when a body was read before the proxying began, and its response filters can neither
//! wait for the whole body nor change the status after it. A session of its "custom" kind can do both: it says that the
//! body is complete and in the retry buffer, and it receives the answer as tasks. The trait is not part of pingora's stable
//! interface, hence the exact pin of its version and the test `it::replay`.

use crate::server::answer::{Answer, Step};
use crate::server::drain::{Drain, Phase};
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use parking_lot::Mutex;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::{CustomMessageWrite, server::Session as CustomSession};
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use portcullis_core::reject::Rejection;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// The error by which the gateway itself ends a call that runs. pingora takes it for the client's.
pub const CUT_OFF: ErrorType = ErrorType::Custom("CutOff");

/// Where the wrapper leaves the session and what became of the answer, when it is dropped.
#[derive(Clone, Default)]
pub struct Home(Arc<Mutex<Option<Inside>>>);

/// What the wrapper wraps.
type Inside = (Box<ServerSession>, Answer);

/// Puts the wrapper in the place of `session`.
pub fn swap_in(session: &mut Box<ServerSession>, body: Bytes, answer: Answer, drain: Drain) -> Home {
    let home = Home::default();
    // `()` is pingora's empty implementation of the trait: a place holder that is never called.
    let inner = mem::replace(session, Box::new(ServerSession::Custom(Box::new(()))));
    let replay = Replay { inside: Some((inner, answer)), body, home: home.clone(), drain };
    **session = ServerSession::Custom(Box::new(replay));
    home
}

/// Takes the wrapper away again and tells what became of the answer; `None` where that was done before.
///
/// Must come before an error is written: the wrapper does not speak for the connection's keep-alive.
pub fn swap_out(session: &mut Box<ServerSession>, home: &Home) -> Option<Answer> {
    if matches!(**session, ServerSession::Custom(_)) {
        drop(mem::replace(session, Box::new(ServerSession::Custom(Box::new(())))));
    }
    let (real, answer) = home.0.lock().take()?;
    *session = real;
    Some(answer)
}

struct Replay {
    /// `None` only between the drop's first and last statement.
    inside: Option<Inside>,
    body: Bytes,
    home: Home,
    drain: Drain,
}

impl Drop for Replay {
    fn drop(&mut self) {
        *self.home.0.lock() = self.inside.take();
    }
}

impl Replay {
    #[expect(clippy::expect_used, reason = "INVARIANT: `inside` is there until drop")]
    fn session(&self) -> &ServerSession {
        &self.inside.as_ref().expect("there until drop").0
    }

    #[expect(clippy::expect_used, reason = "INVARIANT: `inside` is there until drop")]
    fn parts(&mut self) -> (&mut ServerSession, &mut Answer) {
        let (session, answer) = self.inside.as_mut().expect("there until drop");
        (session, answer)
    }

    fn session_mut(&mut self) -> &mut ServerSession {
        self.parts().0
    }
}

#[async_trait]
impl CustomSession for Replay {
    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let (session, answer) = self.parts();
        let (ready, end) = gather(answer, tasks);
        let due = matches!(end, Ok(true)) || !ready.is_empty();
        let ended = due && session.response_duplex_vec(ready).await?;
        Ok(end? || ended)
    }

    fn is_body_done(&mut self) -> bool {
        true
    }

    fn is_body_empty(&mut self) -> bool {
        self.body.is_empty()
    }

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    /// On every call, not once: pingora asks again for each attempt.
    fn get_retry_buffer(&self) -> Option<Bytes> {
        (!self.body.is_empty()).then(|| self.body.clone())
    }

    /// The body was read: what is waited for is only that the client leaves, or that it can't be made to wait any longer.
    /// pingora waits here whenever it does not write, so that an error from here cuts nothing in two.
    async fn read_body_or_idle(&mut self, _: bool) -> Result<Option<Bytes>> {
        let drain = self.drain.clone();
        let (session, answer) = self.parts();
        let rejection = tokio::select! {
            left = session.read_body_or_idle(true) => return left,
            () = drain.reached(Phase::Cutting) => Rejection::ShuttingDown,
            () = answer.overdue() => Rejection::UpstreamTimeout,
        };
        answer.failure = Some(rejection);
        Error::e_explain(CUT_OFF, "the gateway ended the call")
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn enable_retry_buffering(&mut self) {}

    fn req_header(&self) -> &RequestHeader {
        self.session().req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.session_mut().req_header_mut()
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.session_mut().drain_request_body().await
    }

    async fn write_response_header(&mut self, _: Box<ResponseHeader>, _: bool) -> Result<()> {
        unfiltered()
    }

    async fn write_response_header_ref(&mut self, _: &ResponseHeader, _: bool) -> Result<()> {
        unfiltered()
    }

    async fn write_body(&mut self, _: Bytes, _: bool) -> Result<()> {
        unfiltered()
    }

    async fn write_trailers(&mut self, _: HeaderMap) -> Result<()> {
        unfiltered()
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.session_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.session().get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.session_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.session().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.session_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.session().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.session().request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.session().response_written()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.session_mut().shutdown().await;
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn body_bytes_sent(&self) -> usize {
        self.session().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.session().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.session().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.session_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.session().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.session().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }

    fn is_upgrade_req(&self) -> bool {
        false
    }

    fn was_upgraded(&self) -> bool {
        false
    }
}

/// What of `tasks` may be written by now, to be written at once: a write for each event would cost more than all else that is
/// done to it. And whether that is the end of the answer, or why there is none: then what was ready before is still for the
/// client.
fn gather(answer: &mut Answer, tasks: Vec<HttpTask>) -> (Vec<HttpTask>, Result<bool>) {
    let mut ready = Vec::new();
    for task in tasks {
        match answer.take(task) {
            Ok(Step::Wait) => {}
            Ok(Step::Send(more)) => ready.extend(more),
            Ok(Step::Last(more)) => {
                ready.extend(more);
                return (ready, Ok(true));
            }
            Err(error) => return (ready, Err(error)),
        }
    }
    (ready, Ok(false))
}

/// While the wrapper is in place, only `response_duplex_vec` may write: anything else would pass the filter by.
fn unfiltered<T>() -> Result<T> {
    Error::e_explain(ErrorType::InternalError, "an answer would have passed the filter by")
}
