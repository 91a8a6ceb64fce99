//! What a filter is to whoever holds a stream that may last: it may fall silent while its client is asked, end before the
//! answer and be taken up again, and outlive a configuration.

use super::Filter;
use crate::pipeline::session::line::{Line, Renaming};
use crate::pipeline::session::questions::Silence;
use crate::upstream::session::Session;
use portcullis_core::jsonrpc::Object;
use portcullis_core::mcp::method::Method;
use portcullis_core::redact::{Counts, Plan, Unseen};
use std::sync::Arc;

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
