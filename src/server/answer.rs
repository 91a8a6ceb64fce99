//! The answer of an upstream on its way to the client: held whole or sent event by event, always filtered.
//!
//! It takes pingora's tasks and says what to send; it does no IO. JSON is held until it is complete, so that status and
//! length are right and a failure half-way is a clean 502. Events are sent as they come, each filtered whole, so that a
//! cut never shows half a secret.

use crate::pipeline::filter::{Filter, Form};
use crate::pipeline::reply::Reply;
use crate::server::reply;
use crate::store::limits::local::Admission;
use bytes::{Bytes, BytesMut};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType, Result};
use portcullis_core::reject::Rejection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What to do with a task.
pub enum Step {
    /// Nothing can be sent yet.
    Wait,
    /// Send this; more will come.
    Send(Vec<HttpTask>),
    /// Send this and end the exchange.
    Last(Vec<HttpTask>),
}

/// An answer on its way.
pub struct Answer {
    filter: Filter,
    head: reply::Head,
    deadline: Instant,
    expires: Option<Instant>,
    places: Option<Admission>,
    state: State,
    /// Why the client did not get the upstream's answer, where it did not.
    pub failure: Option<Rejection>,
    /// When the upstream began to answer.
    pub began: Option<Instant>,
    /// The status that the client got.
    pub status: Option<u16>,
    /// Bytes of body that the client was sent.
    pub bytes_out: u64,
}

enum State {
    Header,
    Hold(BytesMut),
    Events,
    Done,
}

impl Answer {
    /// An answer that must be complete at `deadline` if it is held. Where it is a stream, nothing of it is sent once the
    /// caller's token has expired (abuse case 88). `places` under the limits are held until the upstream has said all, and given
    /// back before the client can know: its next call must not meet its last one.
    pub fn new(
        filter: Filter,
        head: reply::Head,
        deadline: Instant,
        expires: Option<Instant>,
        places: Admission,
    ) -> Self {
        let (places, state, failure, began) = (Some(places), State::Header, None, None);
        Self { filter, head, deadline, expires, places, state, failure, began, status: None, bytes_out: 0 }
    }

    /// What the filter found.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Gives the places under the limits back.
    pub fn release(&mut self) {
        self.places = None;
    }

    /// Waits until an answer that is held should have been complete; for ever where it is a stream, since pingora bounds
    /// the time between two events.
    pub async fn overdue(&self) {
        match self.state {
            State::Header | State::Hold(_) => tokio::time::sleep_until(self.deadline.into()).await,
            State::Events | State::Done => std::future::pending().await,
        }
    }

    /// The last event of a stream that was cut off; empty where there is nothing more to say.
    pub fn farewell(&mut self) -> Bytes {
        match (&self.state, &self.failure) {
            (State::Events, Some(rejection)) => {
                let event = self.filter.error_event(rejection);
                self.state = State::Done;
                self.bytes_out += event.len() as u64;
                event
            }
            _ => Bytes::new(),
        }
    }

    /// Takes a task of the upstream's.
    ///
    /// # Errors
    /// The upstream's own failure, where the client has got nothing yet.
    pub fn take(&mut self, task: HttpTask) -> Result<Step> {
        // A panic is this call's failure and nobody else's. What the filter held is thrown away, not sent.
        let taken = catch_unwind(AssertUnwindSafe(|| self.dispatch(task)));
        let step = taken.unwrap_or_else(|_| Ok(self.refuse(Rejection::Internal)));
        if matches!(step, Ok(Step::Last(_)) | Err(_)) {
            self.release();
        }
        step
    }

    fn dispatch(&mut self, task: HttpTask) -> Result<Step> {
        match task {
            HttpTask::Header(header, _) if header.status.is_informational() => Ok(Step::Wait),
            HttpTask::Header(header, end) if matches!(self.state, State::Header) => Ok(self.header(&header, end)),
            HttpTask::Header(..) => Ok(self.refuse(Rejection::ResponseUnreadable("a second header"))),
            HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end) => Ok(self.body(data, end)),
            HttpTask::Trailer(_) | HttpTask::Done => Ok(self.end()),
            HttpTask::Failed(error) => self.failed(error),
        }
    }

    fn header(&mut self, header: &ResponseHeader, end: bool) -> Step {
        #[cfg(test)]
        crate::pipeline::trap::spring(&header.headers, "filter");
        self.began = Some(Instant::now());
        match self.filter.start(header.status.as_u16(), &header.headers) {
            Ok(Form::Whole) => {
                self.state = State::Hold(BytesMut::new());
                if end { self.end() } else { Step::Wait }
            }
            Ok(Form::Events) => {
                self.state = State::Events;
                self.status = Some(200);
                let head = HttpTask::Header(Box::new(self.head.events()), false);
                if end { self.join(vec![head]) } else { Step::Send(vec![head]) }
            }
            Err(rejection) => self.refuse(rejection),
        }
    }

    fn join(&mut self, mut first: Vec<HttpTask>) -> Step {
        if let Step::Last(rest) = self.end() {
            first.extend(rest);
        }
        Step::Last(first)
    }

    fn body(&mut self, data: Option<Bytes>, end: bool) -> Step {
        let data = data.unwrap_or_default();
        let step = match &mut self.state {
            State::Header => return self.refuse(Rejection::ResponseUnreadable("body before header")),
            State::Done => return Step::Wait,
            State::Hold(held) => {
                if held.len() + data.len() > self.filter.limit() {
                    return self.refuse(Rejection::ResponseTooLarge);
                }
                held.extend_from_slice(&data);
                Step::Wait
            }
            State::Events if self.expires.is_some_and(|expires| Instant::now() >= expires) => {
                return self.refuse(Rejection::Unauthenticated { reason: "expired" });
            }
            State::Events => {
                let mut events = Vec::new();
                match self.filter.events(&data, &mut events) {
                    Ok(()) if events.is_empty() => Step::Wait,
                    Ok(()) => Step::Send(vec![self.chunk(events.into(), false)]),
                    Err(rejection) => return self.break_off(events, rejection),
                }
            }
        };
        match step {
            Step::Send(tasks) if end => self.join(tasks),
            _ if end => self.end(),
            step => step,
        }
    }

    fn end(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Header => self.refuse(Rejection::ResponseUnreadable("no answer")),
            State::Hold(held) => match self.filter.whole(&held) {
                Ok((status, body)) => self.whole(Reply::json(status, body)),
                Err(rejection) => self.refuse(rejection),
            },
            State::Events => match self.filter.end() {
                Ok(()) => Step::Last(vec![self.chunk(Bytes::new(), true)]),
                Err(rejection) => {
                    self.state = State::Events;
                    self.refuse(rejection)
                }
            },
            State::Done => Step::Wait,
        }
    }

    /// The upstream broke off. A stream that has begun ends with an error of its own, so that the client need not wait
    /// for its timeout; where nothing was sent, the proxy answers.
    fn failed(&mut self, error: Box<Error>) -> Result<Step> {
        let rejection = rejection(&error);
        match self.state {
            State::Events => Ok(self.refuse(rejection)),
            State::Done => Ok(Step::Last(Vec::new())),
            State::Header | State::Hold(_) => {
                self.failure = Some(rejection);
                Err(error)
            }
        }
    }

    /// Ends the answer with a refusal, in the form that the client still can take.
    fn refuse(&mut self, rejection: Rejection) -> Step {
        if matches!(self.state, State::Events) {
            return self.break_off(Vec::new(), rejection);
        }
        let step = self.whole(self.filter.refusal(&rejection));
        self.failure = Some(rejection);
        step
    }

    /// Ends a stream with its last good events and a refusal.
    fn break_off(&mut self, mut events: Vec<u8>, rejection: Rejection) -> Step {
        self.state = State::Done;
        events.extend_from_slice(&self.filter.error_event(&rejection));
        self.failure = Some(rejection);
        Step::Last(vec![self.chunk(events.into(), true)])
    }

    fn whole(&mut self, reply: Reply) -> Step {
        self.state = State::Done;
        self.status = Some(reply.status);
        let header = self.head.whole(&reply);
        let body = self.chunk(reply.body, true);
        Step::Last(vec![HttpTask::Header(Box::new(header), false), body])
    }

    fn chunk(&mut self, data: Bytes, end: bool) -> HttpTask {
        self.bytes_out += data.len() as u64;
        HttpTask::Body((!data.is_empty()).then_some(data), end)
    }
}

/// The error of pingora's that `rejection` makes of it.
pub fn error(rejection: &Rejection) -> Box<Error> {
    match rejection {
        Rejection::UpstreamTimeout => Error::new_up(ErrorType::ReadTimedout),
        _ => Error::new_up(ErrorType::ConnectError),
    }
}

/// What an error of pingora's means for the client.
pub fn rejection(error: &Error) -> Rejection {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout => Rejection::UpstreamTimeout,
        _ if *error.esource() == pingora::ErrorSource::Upstream => Rejection::UpstreamUnavailable,
        ErrorType::ConnectRefused | ErrorType::ConnectNoRoute | ErrorType::ConnectError => {
            Rejection::UpstreamUnavailable
        }
        _ => Rejection::Internal,
    }
}

#[cfg(test)]
mod tests;
