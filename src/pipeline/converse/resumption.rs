//! The rest of an answer whose stream an older upstream ended before it, to be asked for later (MCP 2025-11-25
//! "Resumability and Redelivery", SEP-1699): from where on it can be had, and how soon. The client hears of none of it.

use super::reading::Reading;
use crate::pipeline::filter::{Filter, Form};
use crate::upstream::client::Client;
use crate::upstream::session::Session;
use portcullis_core::mcp::sse;
use portcullis_core::reject::Rejection;
use std::sync::Arc;
use std::time::Duration;

/// How soon the rest is asked for where the upstream does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest and the longest such pause, whatever the upstream says.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(300));
/// The longest id of an event that is sent back, in bytes.
const EVENT_ID: usize = 1024;

/// What the upstream said of where its stream is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The id of its last event.
    id: Option<String>,
    retry: Option<Duration>,
}

impl Place {
    /// The place that `event` names; `None` where it names none.
    pub fn of(event: &sse::Event) -> Option<Self> {
        let said = event.id.is_some() || event.retry.is_some();
        said.then(|| Self { id: event.id.clone(), retry: event.retry.map(Duration::from_millis) })
    }

    /// The upstream said `next` since.
    pub fn go_on(&mut self, next: Self) {
        self.retry = next.retry.or(self.retry);
        if let Some(id) = next.id {
            // An empty one says that there is nothing to come back to.
            self.id = Some(id).filter(|id| !id.is_empty() && id.len() <= EVENT_ID);
        }
    }

    /// Whether the rest can be asked for.
    pub fn is_known(&self) -> bool {
        self.id.is_some()
    }

    /// How long to wait before that.
    pub fn pause(&self) -> Duration {
        self.retry.unwrap_or(PAUSE).clamp(PAUSES.0, PAUSES.1)
    }

    /// Asks `session` for the rest, which passes `filter`.
    ///
    /// # Errors
    /// Why it can't be had.
    pub async fn take_up(
        &self,
        client: &Arc<Client>,
        session: &Session,
        filter: &mut Filter,
    ) -> Result<Reading, Rejection> {
        let id = self.id.as_deref().ok_or(Rejection::UpstreamUnavailable)?;
        let stream = session.listen(Some(id)).await.map_err(Rejection::from)?;
        let form = filter.start(stream.status, &stream.headers);
        if stream.status != 200 {
            return Err(Rejection::UpstreamUnavailable);
        }
        match form? {
            Form::Events => Ok(Reading::start(Arc::clone(client), stream, Form::Events, filter.limit())),
            Form::Whole => Err(Rejection::UpstreamUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: Option<&str>, retry: Option<u64>) -> sse::Event {
        sse::Event { id: id.map(str::to_owned), retry, ..sse::Event::default() }
    }

    #[test]
    fn a_place_is_that_of_the_last_event_with_an_id() {
        let mut place = Place::default();
        assert!(!place.is_known() && place.pause() == PAUSE && Place::of(&said(None, None)).is_none());
        for (id, retry) in [(Some("1"), Some(70)), (None, Some(80)), (Some("2"), None)] {
            place.go_on(Place::of(&said(id, retry)).unwrap());
        }
        assert_eq!((place.id.as_deref(), place.pause()), (Some("2"), Duration::from_millis(80)));
        for nowhere in ["", &"x".repeat(EVENT_ID + 1)] {
            let mut place = place.clone();
            place.go_on(Place::of(&said(Some(nowhere), None)).unwrap());
            assert!(!place.is_known());
        }
    }

    #[test]
    fn an_upstream_can_neither_be_hurried_after_nor_make_us_wait_for_ever() {
        for (retry, pause) in [(0, PAUSES.0), (u64::MAX, PAUSES.1)] {
            let mut place = Place::default();
            place.go_on(Place::of(&said(None, Some(retry))).unwrap());
            assert_eq!(place.pause(), pause);
        }
    }
}
