//! Reads what an upstream answers, in a task of its own, so that whoever waits for it can do something else meanwhile.

use super::resumption::Place;
use crate::pipeline::filter::Form;
use crate::upstream::client::{Client, Stream};
use bytes::{Bytes, BytesMut};
use portcullis_core::mcp::sse;
use portcullis_core::reject::Rejection;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Messages that are read before somebody hears them.
const AHEAD: usize = 4;

/// A part of an answer.
pub enum Heard {
    /// All of it, where it is no stream.
    Whole(Bytes),
    /// The message of an event.
    Message(Vec<u8>),
    /// Where its stream is, before the message of the same event.
    Place(Place),
    /// A sign of life.
    Alive,
}

/// An answer that is being read. Where it is dropped, its connection is closed.
pub struct Reading(mpsc::Receiver<Result<Heard, Rejection>>);

impl Reading {
    /// Reads `stream`, whose form is `form` and whose messages have at most `limit` bytes each.
    pub fn start(client: Arc<Client>, stream: Stream, form: Form, limit: usize) -> Self {
        let (tell, told) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let reader = Reader { stream, tell, limit };
            match form {
                Form::Whole => reader.whole(&client).await,
                Form::Events => reader.events(&client).await,
            }
        });
        Self(told)
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// Why nothing more comes.
    pub async fn next(&mut self) -> Result<Option<Heard>, Rejection> {
        self.0.recv().await.transpose()
    }
}

struct Reader {
    stream: Stream,
    tell: mpsc::Sender<Result<Heard, Rejection>>,
    limit: usize,
}

impl Reader {
    async fn whole(mut self, client: &Client) {
        let mut held = BytesMut::new();
        while let Some(chunk) = self.chunk().await {
            if held.len() + chunk.len() > self.limit {
                return self.fail(Rejection::ResponseTooLarge).await;
            }
            held.extend_from_slice(&chunk);
        }
        if !self.tell.is_closed() {
            let _ = self.tell.send(Ok(Heard::Whole(held.freeze()))).await;
            client.close(self.stream).await;
        }
    }

    async fn events(mut self, client: &Client) {
        let mut parser = sse::Parser::new(self.limit);
        while let Some(chunk) = self.chunk().await {
            let mut events = Vec::new();
            let parsed = parser.push(&chunk, &mut events);
            for event in events {
                let place = Place::of(&event).map(Heard::Place);
                let heard = match event.data {
                    Some(data) if !data.is_empty() => Heard::Message(data.into_bytes()),
                    _ => Heard::Alive,
                };
                for heard in place.into_iter().chain([heard]) {
                    if self.tell.send(Ok(heard)).await.is_err() {
                        return;
                    }
                }
            }
            if parsed.is_err() {
                return self.fail(Rejection::ResponseTooLarge).await;
            }
        }
        if !self.tell.is_closed() {
            client.close(self.stream).await;
        }
    }

    /// The next piece; `None` at the end, or where nobody listens any more.
    async fn chunk(&mut self) -> Option<Bytes> {
        let chunk = tokio::select! {
            chunk = self.stream.chunk() => chunk,
            () = self.tell.closed() => return None,
        };
        match chunk {
            Ok(chunk) => chunk,
            Err(failure) => {
                let _ = self.tell.send(Err(failure.into())).await;
                self.tell = closed();
                None
            }
        }
    }

    async fn fail(self, rejection: Rejection) {
        // Where nobody listens, nobody is to be told.
        let _ = self.tell.send(Err(rejection)).await;
    }
}

/// A way to tell nobody.
fn closed() -> mpsc::Sender<Result<Heard, Rejection>> {
    mpsc::channel(1).0
}
