//! The answers of an adapter as HTTP: one JSON body, or a stream of events.

use crate::upstream::adapter::conversation::{Answered, Asked, Kind, Over};
use crate::upstream::adapter::mailbox::Inbox;
use crate::upstream::adapter::message;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use portcullis_core::mcp::sse::{Event, SIGN_OF_LIFE};
use portcullis_core::reject::Era;
use std::convert::Infallible;
use std::time::Duration;

const INTERNAL_ERROR: i64 = -32603;

/// The answer to `asked`, once the server says something; `answered` is called when it is the answer itself.
pub async fn of(mut asked: Asked, era: Era, pulse: Duration, answered: impl Fn() + Send + 'static) -> Response {
    match asked.news.next().await {
        Some(first) => {
            let pulse = (asked.kind == Kind::Listen).then_some(pulse);
            let speech = Speech { asked, first: Some(first), pulse, answered, said: false };
            events(stream::unfold(speech, |mut speech| async move { Some((speech.next().await?, speech)) }))
        }
        None => match asked.answer().await {
            Ok(Answered { message, code }) => {
                answered();
                json(status(era, code), message)
            }
            Err(Over) => json(StatusCode::BAD_GATEWAY, broken(&asked.id)),
        },
    }
}

/// What belongs to no request, until the session ends.
pub fn stream(inbox: Inbox, pulse: Duration) -> Response {
    events(stream::unfold(inbox, move |mut inbox| async move {
        let event = match tokio::time::timeout(pulse, inbox.next()).await {
            Ok(message) => event(&message?),
            Err(_) => Bytes::from_static(SIGN_OF_LIFE),
        };
        Some((event, inbox))
    }))
}

/// `text` as a whole answer.
pub fn json(status: StatusCode, text: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// What a server says before its answer, and the answer.
struct Speech<F> {
    asked: Asked,
    first: Option<Vec<u8>>,
    pulse: Option<Duration>,
    answered: F,
    said: bool,
}

impl<F: Fn()> Speech<F> {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(event(&first));
        }
        if self.said {
            return None;
        }
        let news = match self.pulse {
            None => self.asked.news.next().await,
            Some(pulse) => match tokio::time::timeout(pulse, self.asked.news.next()).await {
                Ok(news) => news,
                Err(_) => return Some(Bytes::from_static(SIGN_OF_LIFE)),
            },
        };
        if let Some(news) = news {
            return Some(event(&news));
        }
        self.said = true;
        match self.asked.answer().await {
            Ok(Answered { message, .. }) => {
                (self.answered)();
                Some(event(&message))
            }
            Err(Over) => Some(event(&broken(&self.asked.id))),
        }
    }
}

fn events(events: impl futures::Stream<Item = Bytes> + Send + 'static) -> Response {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
    ];
    let body = futures::StreamExt::map(events, Ok::<_, Infallible>);
    (headers, Body::from_stream(body)).into_response()
}

fn event(message: &[u8]) -> Bytes {
    let mut out = Vec::new();
    Event::message(String::from_utf8_lossy(message)).write(&mut out);
    out.into()
}

fn broken(id: &[u8]) -> Vec<u8> {
    message::error(id, INTERNAL_ERROR, &Over.to_string())
}

/// The status that MCP 2026-07-28 ("Receiving Messages") gives an error; older revisions know none.
fn status(era: Era, code: Option<i64>) -> StatusCode {
    match (era, code) {
        (Era::Modern, Some(-32601)) => StatusCode::NOT_FOUND,
        (Era::Modern, Some(-32700 | -32600 | -32022..=-32020)) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}
