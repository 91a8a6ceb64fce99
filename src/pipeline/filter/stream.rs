//! What a filter is to whoever holds a stream that may last: it may fall silent while its client is asked, end before the
//! answer and be taken up again, and outlive a configuration.

use super::Filter;
use crate::pipeline::session::line::{Line, Renaming};
use crate::pipeline::session::questions::Silence;
use crate::upstream::session::Session;
use bytes::Bytes;
use portcullis_core::jsonrpc::{self, Answer, Limits, Object};
use portcullis_core::mcp::method::Method;
use portcullis_core::redact::{Counts, Plan, Unseen};
use portcullis_core::reject::Rejection;
use std::sync::Arc;

/// A message that may not be passed on.
pub struct Withheld {
    /// What it is; empty where that can't be read.
    pub method: String,
    /// Why not.
    pub rejection: Rejection,
}

/// What the message `data` tells; `None` where it asks.
fn told(data: &str) -> Option<String> {
    match jsonrpc::answer(data.as_bytes(), &Limits::ANSWER) {
        Ok(Answer::Request { .. }) => None,
        Ok(Answer::Notification { method, .. }) => Some(method),
        _ => Some(String::new()),
    }
}

impl Filter {
    /// What was redacted since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Whether the caller knows from where on it could take the stream up again.
    pub fn resumes(&self) -> bool {
        self.terms.line.as_ref().is_some_and(Line::resumes)
    }

    /// How long the stream may be silent, where its caller can be asked meanwhile.
    pub fn silence(&self) -> Option<Silence> {
        self.terms.line.as_ref().and_then(Line::silence)
    }

    /// The session with the upstream is another one now.
    pub fn reopened(&mut self, upstream: Arc<Session>) {
        if let Some(line) = &mut self.terms.line {
            line.reopened(upstream);
        }
    }

    /// Filters a piece of a stream that answers nothing, as [`Filter::events`] does, but for an event that may not be passed
    /// on: it is left out, and the stream goes on. `withheld` is told of them, but for questions, of which the line is.
    ///
    /// # Errors
    /// [`Rejection::ResponseTooLarge`]: nothing more can be read of it. `withheld` has that too.
    pub fn news(&mut self, chunk: &[u8], out: &mut Vec<u8>, withheld: &mut Vec<Withheld>) -> Result<(), Rejection> {
        let mut events = Vec::new();
        let parser = self.parser.as_mut().ok_or(Rejection::Internal)?;
        let pushed = parser.push(chunk, &mut events);
        for event in events {
            let method = event.data.as_deref().map_or(Some(String::new()), told);
            let passed = self.event(event, out);
            withheld.extend(passed.err().zip(method).map(|(rejection, method)| Withheld { method, rejection }));
        }
        pushed.map_err(|_| {
            withheld.push(Withheld { method: String::new(), rejection: Rejection::ResponseTooLarge });
            Rejection::ResponseTooLarge
        })
    }

    /// Closes the questions that were asked on the stream and that nobody has answered: the raw ids that the upstream gave
    /// them.
    pub fn withdraw_all(&self) -> Vec<Bytes> {
        self.terms.line.as_ref().map(Line::withdraw_all).unwrap_or_default()
    }

    /// The configuration has changed.
    pub fn renew(&mut self, plan: Plan, unseen: Unseen) {
        self.terms.plan = plan;
        self.terms.unseen = unseen;
    }

    /// The upstream's id of the last event that had one.
    pub fn last_event(&mut self) -> Option<String> {
        self.last_event.take()
    }

    /// What else an older upstream tells the client of a session, and how it is renamed; `None` where it is not for it.
    pub(super) fn told(&self, method: &str, params: Option<&Object>, message: &[u8]) -> Option<Option<Renaming>> {
        let line = self.terms.line.as_ref()?;
        match Method::parse(method) {
            Method::Cancelled => line.withdraw(params, message).map(Some),
            _ => line.hears(method, params, message).then_some(None),
        }
    }
}
