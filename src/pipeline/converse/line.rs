//! The client's end of a call that is carried by a task: what it is told, and that it may leave.

use crate::pipeline::feed::{Left, Voice, Word};
use crate::pipeline::filter::Filter;
use crate::pipeline::record::{Ending, Record};
use crate::pipeline::reply::Reply;
use bytes::Bytes;
use portcullis_core::audit::Outcome;
use portcullis_core::mcp::sse;
use portcullis_core::reject::Rejection;
use std::time::Instant;

/// Why a call does not go on.
#[derive(Debug)]
pub enum Stop {
    /// Its client has left.
    Left,
    /// It is refused.
    Refused(Rejection),
}

impl From<Left> for Stop {
    fn from(_: Left) -> Self {
        Self::Left
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

/// A client that waits for the answer to a request.
pub struct Line {
    /// `None` once all is said.
    voice: Option<Voice>,
    /// The status that it got.
    status: Option<u16>,
    bytes: u64,
}

impl Line {
    /// Nothing has been said to it.
    pub fn new(voice: Voice) -> Self {
        Self { voice: Some(voice), status: None, bytes: 0 }
    }

    /// Whether nothing has been said to it.
    pub fn is_silent(&self) -> bool {
        self.status.is_none()
    }

    /// Bytes that were said to it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Does `work`, unless the client leaves or has to be left meanwhile.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let Some(voice) = &self.voice else { return Ok(work.await) };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = voice.left() => Err(Stop::Left),
            why = voice.stopped() => Err(Stop::Refused(why)),
        }
    }

    /// The same for work that goes on where the client leaves: one of an older revision that loses its connection does not
    /// take its call back by that (MCP 2025-11-25 "Sending Messages to the Server").
    ///
    /// # Errors
    /// [`Stop::Refused`], where the client has to be left.
    pub async fn throughout<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let Some(voice) = &self.voice else { return Ok(work.await) };
        tokio::select! {
            biased;
            done = work => Ok(done),
            why = voice.stopped() => Err(Stop::Refused(why)),
        }
    }

    /// Whether there is nobody any more to be told.
    pub fn has_left(&self) -> bool {
        self.voice.as_ref().is_none_or(Voice::has_left)
    }

    /// Begins a stream, so that the client sees that it is heard.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn begin(&mut self) -> Result<(), Left> {
        if self.is_silent() { self.say(sse::SIGN_OF_LIFE.to_vec()).await } else { Ok(()) }
    }

    /// Says `message` on the stream.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn event(&mut self, message: &[u8]) -> Result<(), Left> {
        let mut event = Vec::with_capacity(message.len() + 8);
        sse::Event::message(String::from_utf8_lossy(message)).write(&mut event);
        self.say(event).await
    }

    /// Says the last there is to say: whole where nothing was said before.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn answer(&mut self, reply: Reply) -> Result<(), Left> {
        if !self.is_silent() {
            let said = self.event(&reply.body).await;
            self.voice = None;
            return said;
        }
        self.status = Some(reply.status);
        self.bytes += reply.body.len() as u64;
        self.voice.take().ok_or(Left)?.say(Word::Whole(reply)).await
    }

    async fn say(&mut self, events: Vec<u8>) -> Result<(), Left> {
        self.status = Some(200);
        self.bytes += events.len() as u64;
        self.voice.as_ref().ok_or(Left)?.say(Word::Events(Bytes::from(events))).await
    }

    /// How `record` ends whose client was told all this.
    pub fn ending<'a>(&self, outcome: Outcome, rejection: Option<&'a Rejection>, filter: &'a Filter) -> Ending<'a> {
        Ending {
            outcome,
            status: self.status,
            rejection,
            bytes_out: self.bytes,
            answered: None,
            redactions: Some(filter.counts()),
        }
    }

    /// Tells the client of the end where it was not told yet, and closes `record`.
    pub async fn close(mut self, end: Result<(), Stop>, filter: &Filter, record: &mut Record, began: Option<Instant>) {
        let (outcome, rejection) = match end {
            Ok(()) if filter.tool_error() => (Outcome::ToolError, None),
            Ok(()) => (Outcome::Ok, None),
            Err(Stop::Left) => (Outcome::Cancelled, None),
            Err(Stop::Refused(Rejection::Cancelled)) => {
                if self.is_silent() {
                    let _ = self.answer(filter.refusal(&Rejection::Cancelled)).await;
                }
                (Outcome::Cancelled, Some(Rejection::Cancelled))
            }
            Err(Stop::Refused(rejection)) => {
                tracing::warn!(reason = rejection.row().label, "a call failed");
                // Where the client has left there is nobody to be told.
                let _ = self.answer(filter.refusal(&rejection)).await;
                (Outcome::Failed, Some(rejection))
            }
        };
        record.close(&Ending { answered: began, ..self.ending(outcome, rejection.as_ref(), filter) });
    }
}
