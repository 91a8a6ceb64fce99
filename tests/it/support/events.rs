//! A stream of events, read one by one while it is open.

use crate::support::http::Request;
use crate::support::process::PATIENCE;
use crate::support::raw;
use serde_json::Value;
use std::collections::VecDeque;
use tokio::time::timeout;

/// An open stream.
pub struct Events {
    connection: raw::Connection,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// What was read and is no whole event yet.
    rest: String,
    messages: VecDeque<Value>,
    /// Comments so far.
    pub comments: usize,
    over: bool,
}

impl Events {
    /// Sends `request` to `authority` and reads the answer's head.
    pub async fn open(authority: &str, request: &Request) -> Self {
        let mut connection = raw::Connection::open(authority).await;
        connection.send(&request.to_http1(authority)).await.unwrap();
        let (status, headers) = timeout(PATIENCE, connection.read_response_head()).await.expect("a head").unwrap();
        Self { connection, status, headers, rest: String::new(), messages: VecDeque::new(), comments: 0, over: false }
    }

    /// The next message; `None` where the stream ended as it should. Panics where it breaks or takes too long.
    pub async fn next(&mut self) -> Option<Value> {
        timeout(PATIENCE, self.read(true)).await.unwrap_or_else(|_| panic!("nothing comes; so far {:?}", self.rest))
    }

    /// Reads until there were `count` comments; panics where a message comes instead.
    pub async fn until_comments(&mut self, count: usize) {
        while self.comments < count {
            let message = timeout(PATIENCE, self.read(false)).await.expect("a comment");
            assert_eq!(message, None, "a message among comments");
            assert!(!self.over, "the stream ended");
        }
    }

    /// Reads up to the next message, or, where it is not to go `on`, one chunk.
    async fn read(&mut self, on: bool) -> Option<Value> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Some(message);
            }
            if self.over {
                return None;
            }
            match self.connection.read_chunk().await.expect("the stream breaks off") {
                Some(chunk) => self.take(&String::from_utf8(chunk).unwrap()),
                None => self.over = true,
            }
            if !on {
                return self.messages.pop_front();
            }
        }
    }

    fn take(&mut self, text: &str) {
        self.rest.push_str(text);
        while let Some((event, rest)) = self.rest.split_once("\n\n") {
            let data: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
            self.comments += event.lines().filter(|line| line.starts_with(':')).count();
            if !data.is_empty() {
                self.messages.push_back(serde_json::from_str(&data.join("\n")).unwrap());
            }
            self.rest = rest.to_owned();
        }
    }
}
