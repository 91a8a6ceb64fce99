//! One request and its answer: JSON at once, or a stream of events that ends with it. What else comes on the stream is
//! passed on as it comes.

use super::http::{self, Failure, Http, within};
use super::message::{Incoming, incoming};
use super::refusal::Refusal;
use super::stdio::{MAX_MESSAGE, Output};
use bytes::Bytes;
use portcullis_core::mcp::sse;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::collections::VecDeque;
use std::time::Duration;

/// The header that carries the session of older revisions.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// How long the end of a stream is waited for whose answer has come. A server that is left at once may count the call
/// as abandoned, and a connection that was read to its end can be used again.
const FAREWELL: Duration = Duration::from_secs(2);

/// Both sides, and how long an answer may be silent.
pub struct Channel {
    /// The server.
    pub http: Http,
    /// The client.
    pub output: Output,
    /// How long an answer may be silent.
    pub timeout: Duration,
}

/// How a request ended.
pub enum End {
    /// With its response, which is not passed on yet.
    Answered(Box<Answer>),
    /// With a refusal in the words of HTTP.
    Refused(Refusal),
    /// Without an answer.
    Broken {
        /// Why.
        failure: Failure,
        /// Where the stream may be taken up again.
        place: Option<Place>,
    },
}

/// The response to a request.
pub struct Answer {
    /// It, on one line.
    pub line: Bytes,
    /// The session that it opens.
    pub session: Option<HeaderValue>,
    /// What is left of its stream.
    rest: Option<Events>,
}

impl Answer {
    /// One whose stream is over.
    pub fn of(line: Bytes) -> Self {
        Self { line, session: None, rest: None }
    }

    /// Waits for the end of its stream, but not for long.
    pub async fn part(self) {
        if let Some(mut rest) = self.rest {
            let end = async { while let Ok(Some(_)) = rest.next().await {} };
            let _ = tokio::time::timeout(FAREWELL, end).await;
        }
    }
}

/// Where a stream broke off.
#[derive(Debug, Clone)]
pub struct Place {
    /// `Last-Event-ID`.
    pub id: HeaderValue,
    /// How long the server would have us wait.
    pub retry: Option<Duration>,
}

impl Channel {
    /// POSTs the request `body` with the raw id `id`, and passes on what comes before its response. A stream may be
    /// silent for `silence`, or for ever.
    pub async fn ask(&self, headers: &HeaderMap, body: Bytes, id: &[u8], silence: Option<Duration>) -> End {
        let broken = |failure| End::Broken { failure, place: None };
        let response = match self.http.post(headers, body, self.timeout).await {
            Ok(response) => response,
            Err(failure) => return broken(failure),
        };
        let session = response.headers().get(SESSION_ID).cloned();
        match kind(&response) {
            Some(Kind::Json) => match whole(response, self.timeout).await {
                Ok(body) => match incoming(&body, Some(id)) {
                    Some(Incoming::Response(line)) => End::Answered(Box::new(Answer { line, session, rest: None })),
                    Some(_) => broken(Failure::Broken("it answers something else".into())),
                    None => broken(Failure::Broken("it is not JSON-RPC".into())),
                },
                Err(failure) => broken(failure),
            },
            Some(Kind::Events) => {
                let mut events = Events::new(response, silence);
                match self.follow(&mut events, Some(id)).await {
                    Ok(Some(line)) => End::Answered(Box::new(Answer { line, session, rest: Some(events) })),
                    Ok(None) => {
                        let failure = Failure::Broken("its stream ended before the answer".into());
                        End::Broken { failure, place: events.place() }
                    }
                    Err(failure) => End::Broken { failure, place: events.place() },
                }
            }
            None => End::Refused(Refusal::read(response, &self.http).await),
        }
    }

    /// POSTs what wants no answer: a notification, or a response of the client.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn tell(&self, headers: &HeaderMap, body: Bytes) -> Result<(), Refusal> {
        match self.http.post(headers, body, self.timeout).await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(Refusal::read(response, &self.http).await),
            Err(failure) => Err(Refusal::of(&failure, &self.http)),
        }
    }

    /// Passes on what `events` bring until the response to the request with the raw id `id`; `None` where the stream ended
    /// before.
    ///
    /// # Errors
    /// Why the stream can't be read on.
    pub async fn follow(&self, events: &mut Events, id: Option<&[u8]>) -> Result<Option<Bytes>, Failure> {
        while let Some(data) = events.next().await? {
            match incoming(data.as_bytes(), id) {
                Some(Incoming::Response(line)) => return Ok(Some(line)),
                Some(Incoming::Other(line)) => self.output.say(line).await,
                Some(Incoming::Stray) => tracing::warn!("an answer to something else came on a stream; left out"),
                None => tracing::warn!("an event is not JSON-RPC; left out"),
            }
        }
        Ok(None)
    }
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As one JSON text.
    Json,
    /// As events.
    Events,
}

/// How `response` answers; `None` where it does not.
pub fn kind(response: &Response) -> Option<Kind> {
    let named = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    match response.status().as_u16() {
        200 if essence.eq_ignore_ascii_case("application/json") => Some(Kind::Json),
        200 if essence.eq_ignore_ascii_case("text/event-stream") => Some(Kind::Events),
        _ => None,
    }
}

async fn whole(mut response: Response, silence: Duration) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let chunk = within(Some(silence), response.chunk()).await?.map_err(|error| http::failure(&error))?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > MAX_MESSAGE {
            return Err(Failure::Broken(format!("it is larger than {MAX_MESSAGE} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
}

/// The events of a stream.
pub struct Events {
    response: Response,
    silence: Option<Duration>,
    parser: sse::Parser,
    ready: VecDeque<sse::Event>,
    refused: Option<sse::TooLarge>,
    /// How many events have come, of whatever kind.
    pub count: u64,
    id: Option<String>,
    retry: Option<Duration>,
}

impl Events {
    /// The events that `response` brings.
    pub fn new(response: Response, silence: Option<Duration>) -> Self {
        let parser = sse::Parser::new(MAX_MESSAGE);
        let (ready, refused) = (VecDeque::new(), None);
        Self { response, silence, parser, ready, refused, count: 0, id: None, retry: None }
    }

    /// The data of the next event that has any; `None` at the end.
    ///
    /// # Errors
    /// The stream broke off, was silent for too long, or holds what is too large.
    pub async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                self.count += 1;
                self.retry = event.retry.map(Duration::from_millis).or(self.retry);
                self.id = event.id.or(self.id.take());
                let message = event.event.is_none_or(|kind| kind == "message");
                if let Some(data) = event.data.filter(|data| message && !data.is_empty()) {
                    return Ok(Some(data));
                }
            }
            if let Some(refused) = self.refused {
                return Err(Failure::Broken(refused.to_string()));
            }
            let chunk = within(self.silence, self.response.chunk()).await?.map_err(|error| http::failure(&error))?;
            let Some(chunk) = chunk else { return Ok(None) };
            let mut events = Vec::new();
            self.refused = self.parser.push(&chunk, &mut events).err();
            self.ready.extend(events);
        }
    }

    /// Where it may be taken up again, if anywhere.
    pub fn place(&self) -> Option<Place> {
        let id = self.id.as_deref().filter(|id| !id.is_empty())?;
        Some(Place { id: HeaderValue::from_str(id).ok()?, retry: self.retry })
    }
}
