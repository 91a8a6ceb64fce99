//! A request of a client whose call may wait: the one that began it, or one that came back to it. Each has a filter, places
//! under the limits and a record of its own; the call goes from one to the next.

use super::line::{Line, Stop};
use crate::pipeline::feed::{Feed, Nature, Speaker};
use crate::pipeline::filter::Filter;
use crate::pipeline::record::Record;
use crate::store::limits::local::Admission;
use portcullis_core::audit::Outcome;
use portcullis_core::redact::Counts;
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The client's request that is answered now.
pub struct Exchange {
    /// Its client.
    pub line: Line,
    /// What its answer passes.
    pub filter: Filter,
    /// Its places under the limits.
    pub places: Option<Admission>,
    /// Its own record, where it is not the request that began the call.
    pub record: Option<Record>,
}

/// What an exchange was told that has ended.
pub struct Told {
    /// Bytes of it.
    pub bytes_out: u64,
    /// What was redacted.
    pub counts: Counts,
}

/// What a client that came back brings.
pub struct Resumed {
    /// Its request.
    pub exchange: Exchange,
    /// What the call waited for.
    pub answers: BTreeMap<String, Vec<u8>>,
}

/// A call that waits, and whose client has come back.
pub struct Waiting {
    /// The number of its intent in the record.
    pub call: Uuid,
    /// How it is reached.
    pub resume: mpsc::Sender<Resumed>,
}

impl Waiting {
    /// Goes on with the call: what it says passes `filter`, and `answers` are what it waited for.
    pub fn resume(
        self,
        filter: Filter,
        places: Admission,
        answers: BTreeMap<String, Vec<u8>>,
        expires: Option<Instant>,
    ) -> Speaker {
        Box::new(move |record| {
            let (feed, voice) = Feed::new(Nature::Call, expires);
            let exchange = Exchange { line: Line::new(voice), filter, places: Some(places), record: Some(record) };
            let resumed = Resumed { exchange, answers };
            if let Err(back) = self.resume.try_send(resumed) {
                // It ended in the same moment.
                let exchange = back.into_inner().exchange;
                tokio::spawn(exchange.end(Err(super::parking::unknown().into()), None));
            }
            feed
        })
    }
}

impl Exchange {
    /// It ends, as a request with a record of its own.
    pub async fn end(mut self, end: Result<(), Stop>, began: Option<Instant>) {
        self.places = None;
        if let Some(mut record) = self.record.take() {
            self.line.close(end, &self.filter, &mut record, began).await;
        }
    }

    /// It has been answered, and the call waits: what is recorded of it must not wait too.
    pub fn rest(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.close(&self.line.ending(Outcome::Ok, None, &self.filter));
        }
    }

    /// What it was told.
    pub fn told(&self) -> Told {
        Told { bytes_out: self.line.bytes(), counts: self.filter.counts().clone() }
    }
}
