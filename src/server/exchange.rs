//! What is known of one exchange between its stages, its upstream and its end.

use crate::pipeline::record::{Ending, Record};
use crate::server::answer::Answer;
use crate::server::body::Share;
use crate::server::drain::Running;
use crate::server::forwarding::Forwarding;
use crate::server::places::Place;
use crate::server::reply::Head;
use pingora::{Error, ErrorSource};
use portcullis_core::audit::Outcome;

/// What is known of one exchange.
#[derive(Default)]
pub struct Exchange {
    /// Open until the call ends.
    pub(super) record: Option<Record>,
    /// The call, once it may leave.
    pub(super) call: Option<Box<Forwarding>>,
    /// Back from the wrapper, once the upstream's part is over.
    pub(super) answer: Option<Answer>,
    /// What the head of its answer says.
    pub(super) head: Option<Head>,
    /// The room of its body.
    pub(super) taken: Option<Share>,
    /// Its place among the calls that may be under way; a stream of news has none.
    pub(super) place: Option<Place>,
    /// Counts it among those that run.
    pub(super) _running: Option<Running>,
}

impl Exchange {
    /// Closes the record of a call that was sent.
    pub(super) fn settle(&mut self, error: Option<&Error>) {
        let (Some(record), Some(answer)) = (&mut self.record, &self.answer) else { return };
        let left = error.is_some_and(|error| *error.esource() == ErrorSource::Downstream);
        let outcome = match &answer.failure {
            Some(_) => Outcome::Failed,
            None if left => Outcome::Cancelled,
            None if error.is_some() => Outcome::Failed,
            None if answer.filter().tool_error() => Outcome::ToolError,
            None => Outcome::Ok,
        };
        record.close(&Ending {
            outcome,
            status: answer.status,
            rejection: answer.failure.as_ref(),
            bytes_out: answer.bytes_out,
            answered: answer.began,
            redactions: Some(answer.filter().counts()),
        });
    }
}
