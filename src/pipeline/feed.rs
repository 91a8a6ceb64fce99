//! An answer that the gateway itself writes bit by bit: a stream of its own, or a call in which both sides have more to
//! say than one question and one answer.
//!
//! Who speaks runs in a task of its own and holds a [`Voice`]; the server holds the [`Feed`], writes what comes, and says
//! when it must end. A client that leaves closes the feed, which the voice hears of.

use crate::pipeline::record::Record;
use crate::pipeline::reply::Reply;
use bytes::Bytes;
use portcullis_core::reject::Rejection;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Words that wait for a slow client, before who speaks has to wait too.
const AHEAD: usize = 16;

/// What is said to a client.
#[derive(Debug)]
pub enum Word {
    /// A whole answer, in place of a stream; nothing comes after it.
    Whole(Reply),
    /// Events as they go over the wire. The first begins the stream.
    Events(Bytes),
}

/// What the process's end means for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It answers a call, and may take its time.
    Call,
    /// It waits for news, and ends as soon as the process is about to.
    Standing,
}

/// The server's end.
pub struct Feed {
    words: mpsc::Receiver<Word>,
    stop: watch::Sender<Option<Rejection>>,
    /// When the caller's token ends, and with it the stream.
    pub until: Option<Instant>,
    /// What it is.
    pub nature: Nature,
}

impl Feed {
    /// A feed and its voice.
    pub fn new(nature: Nature, until: Option<Instant>) -> (Self, Voice) {
        let (speak, words) = mpsc::channel(AHEAD);
        let (stop, stopped) = watch::channel(None);
        (Self { words, stop, until, nature }, Voice { words: speak, stopped })
    }

    /// The next word; `None` when all is said.
    pub async fn next(&mut self) -> Option<Word> {
        self.words.recv().await
    }

    /// Asks who speaks to come to an end, and why. What is said after that is still written.
    pub fn stop(&self, why: Rejection) {
        self.stop.send_if_modified(|stop| stop.is_none().then(|| *stop = Some(why)).is_some());
    }
}

/// The client has left: nothing more can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client left")]
pub struct Left;

/// The speaker's end.
#[derive(Clone)]
pub struct Voice {
    words: mpsc::Sender<Word>,
    stopped: watch::Receiver<Option<Rejection>>,
}

impl Voice {
    /// Says it, when the client is ready to hear it.
    ///
    /// # Errors
    /// [`Left`].
    pub async fn say(&self, word: Word) -> Result<(), Left> {
        self.words.send(word).await.map_err(|_| Left)
    }

    /// Whether the client has left.
    pub fn has_left(&self) -> bool {
        self.words.is_closed()
    }

    /// Waits until the client has left.
    pub async fn left(&self) {
        self.words.closed().await;
    }

    /// Waits until it must end; why.
    pub async fn stopped(&self) -> Rejection {
        let mut stopped = self.stopped.clone();
        let why = stopped.wait_for(Option::is_some).await.ok().map(|why| why.clone());
        match why {
            Some(why) => why.unwrap_or(Rejection::Internal),
            // The feed is gone, and with it the client: that is for `left` to say, whichever is looked at first.
            None => std::future::pending().await,
        }
    }
}

/// What begins to speak once the server is ready to write. It closes the record.
pub type Speaker = Box<dyn FnOnce(Record) -> Feed + Send>;
