//! One conversation with a server that has one stream of messages each way: which answer is whose, and where everything
//! else goes. It reads and writes nothing itself; `process` and `event_stream` carry the
//! messages.

mod state;

pub use self::state::{Answered, Kind};

use self::state::{Pending, State};
use crate::config::document::upstreams::Sharing;
use crate::telemetry::metrics::Metrics;
use crate::upstream::adapter::mailbox::{Inbox, mailbox};
use crate::upstream::adapter::message::{self, About, Original};
use http::HeaderMap;
use parking_lot::Mutex;
use portcullis_core::jsonrpc::{self, Answer, Frame, Limits};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Messages that wait to be written. Beyond it, whoever asks waits.
const UNWRITTEN: usize = 16;
/// Questions of the server's that wait for an answer; the answer to any other is not passed on.
const QUESTIONS: usize = 1024;

/// What every message holds, and no line of a log.
const MARK: &[u8] = b"\"jsonrpc\"";

const METHOD_NOT_FOUND: i64 = -32601;

/// A message on its way to the server.
pub struct Outgoing {
    /// The message, in one line.
    pub text: Vec<u8>,
    /// Who asks, for servers that are asked over HTTP.
    pub headers: HeaderMap,
    /// The number of the request that it is.
    pub number: Option<u64>,
}

/// The server is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server ended before it answered")]
pub struct Over;

/// A conversation. It is over when the server is gone, or when it was closed.
pub struct Conversation {
    sharing: Sharing,
    metrics: Arc<Metrics>,
    outgoing: mpsc::Sender<Outgoing>,
    state: Mutex<State>,
    over: CancellationToken,
    /// What the server answered to the handshake that all its sessions share.
    pub hello: OnceCell<Vec<u8>>,
}

/// A request that was sent. If this is dropped before the answer came, its asker has left.
pub struct Asked {
    /// The messages that come before the answer; it ends when the answer is there.
    pub news: Inbox,
    answer: oneshot::Receiver<Answered>,
    /// What it is.
    pub kind: Kind,
    /// The raw id that its asker gave it.
    pub id: Vec<u8>,
    conversation: Arc<Conversation>,
    number: u64,
}

impl Asked {
    /// The answer.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn answer(&mut self) -> Result<Answered, Over> {
        (&mut self.answer).await.map_err(|_| Over)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.conversation.abandon(self.number);
    }
}

impl Conversation {
    /// A conversation, and the messages that must be carried to the server. `metrics` count what it asks in vain.
    pub fn new(sharing: Sharing, metrics: Arc<Metrics>) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (outgoing, unwritten) = mpsc::channel(UNWRITTEN);
        let (state, over) = (Mutex::new(State::new()), CancellationToken::new());
        (Arc::new(Self { sharing, metrics, outgoing, state, over, hello: OnceCell::new() }), unwritten)
    }

    /// Sends the request in `body`, of the session with this number where it is part of one.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn ask(
        self: &Arc<Self>,
        session: Option<u64>,
        body: &[u8],
        frame: &Frame,
        headers: HeaderMap,
    ) -> Result<Asked, Over> {
        let kind = Kind::of(&frame.method);
        let original = Original::of(body, frame);
        let ((outbox, news), (sender, answer)) = (mailbox(), oneshot::channel());
        let id = original.id.clone();
        let number = {
            let mut state = self.state.lock();
            if self.is_over() {
                return Err(Over);
            }
            state.used = Instant::now();
            state.settled |= kind != Kind::Discover;
            state.next += 1;
            let number = state.next;
            let (cancelled, left) = (false, false);
            let pending = Pending { original, kind, session, news: outbox, answer: sender, cancelled, left };
            state.pending.insert(number, pending);
            number
        };
        // From here on, dropping it is leaving it.
        let asked = Asked { news, answer, kind, id, conversation: Arc::clone(self), number };
        let text = message::numbered(body, frame, number);
        self.send(Outgoing { text, headers, number: Some(number) }).await?;
        Ok(asked)
    }

    /// Passes a notification on, with the number of the request that it means where it means one.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn notify(
        &self,
        session: Option<u64>,
        body: &[u8],
        frame: &Frame,
        headers: HeaderMap,
    ) -> Result<(), Over> {
        // Modern callers who share a process choose their ids alike; they cancel by leaving.
        let of_its_own = session.is_some() || !self.is_shared();
        let text = match frame.method.as_str() {
            "notifications/cancelled" if of_its_own => {
                let span = frame.params.as_ref().and_then(|params| params.value("requestId"));
                let number = span.and_then(|span| self.state.lock().cancel(span.of(body), session));
                let Some((span, number)) = span.zip(number) else { return Ok(()) };
                message::with(body, span, number.to_string().as_bytes())
            }
            // All that a caller can say of itself is about a server that is its own.
            _ if self.is_shared() => return Ok(()),
            _ => body.to_vec(),
        };
        self.state.lock().used = Instant::now();
        self.send(Outgoing { text: message::line(text), headers, number: None }).await
    }

    /// Tells a server that sessions share that its one handshake is done.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn greeted(&self) -> Result<(), Over> {
        let text = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec();
        self.send(Outgoing { text, headers: HeaderMap::new(), number: None }).await
    }

    /// Passes the answer to a question of the server's on, where it asked that question.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn reply(&self, body: &[u8], frame: &Frame, headers: HeaderMap) -> Result<(), Over> {
        let id = frame.id.map(|id| id.of(body)).unwrap_or_default();
        if !self.state.lock().questions.remove(id) {
            return Ok(());
        }
        self.send(Outgoing { text: message::line(body.to_vec()), headers, number: None }).await
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(), Over> {
        tokio::select! {
            sent = self.outgoing.send(outgoing) => sent.map_err(|_| Over),
            () = self.over.cancelled() => Err(Over),
        }
    }

    /// Sends what is not worth waiting for: a server that does not read what it is sent does not get it.
    fn send_now(&self, text: Vec<u8>) {
        let _ = self.outgoing.try_send(Outgoing { text, headers: HeaderMap::new(), number: None });
    }

    /// Reads what belongs to no request, in the name of the session `number`, until the conversation is over. Who read in
    /// that name before reads no more.
    pub fn listen(&self, number: u64) -> Inbox {
        let (outbox, inbox) = mailbox();
        let mut state = self.state.lock();
        state.used = Instant::now();
        if !self.is_over() {
            state.listeners.insert(number, outbox);
        }
        inbox
    }

    /// The session `number` has ended, and not the conversation.
    pub fn part(&self, number: u64) {
        let left = self.state.lock().end_session(number);
        left.into_iter().for_each(|number| self.send_now(message::cancellation(number, "the session ended")));
    }

    /// Takes a message of the server's.
    ///
    /// # Errors
    /// Where it is no message of JSON-RPC.
    pub fn take(&self, text: &[u8]) -> Result<(), Garbage> {
        let reply = match jsonrpc::answer(text, &Limits::ANSWER) {
            Ok(answer @ (Answer::Result { .. } | Answer::Error { .. })) => {
                self.take_answer(text, &answer);
                None
            }
            Ok(Answer::Notification { method, params }) => {
                let about = About::read(text, &method, params.as_ref());
                self.take_news(text, &method, about);
                None
            }
            Ok(Answer::Request { id, method, .. }) => self.take_question(text, id.of(text), &method),
            Err(_) => return self.take_odd(text).inspect_err(|Garbage| self.miss(text)),
        };
        if let Some(text) = reply {
            self.send_now(text);
        }
        Ok(())
    }

    fn take_answer(&self, text: &[u8], answer: &Answer) {
        let mut state = self.state.lock();
        let number = match answer {
            Answer::Result { id, .. } | Answer::Error { id: Some(id), .. } => message::number(id.of(text)),
            // It could not read a request. Which, is clear where there is only one.
            _ => state.only_call(),
        };
        let Some(pending) = number.and_then(|number| state.pending.remove(&number)) else { return };
        state.answered = true;
        state.settled |= pending.kind == Kind::Discover && matches!(answer, Answer::Result { .. });
        state.used = Instant::now();
        let code = match answer {
            Answer::Error { error, .. } => error
                .value("code")
                .and_then(|code| std::str::from_utf8(code.of(text)).ok().and_then(|code| code.parse().ok())),
            _ => None,
        };
        let message = message::answered(text, answer, &pending.original);
        // The asker may have left.
        let _ = pending.answer.send(Answered { message, code });
    }

    fn take_news(&self, text: &[u8], method: &str, about: About) {
        let mut state = self.state.lock();
        match about {
            About::Progress(number, span) => {
                let Some(pending) = state.pending.get(&number) else { return };
                let Some(token) = &pending.original.token else { return };
                pending.news.put(message::with(text, span, token));
            }
            About::Subscription(number, span) => {
                let Some(pending) = state.pending.get(&number) else { return };
                pending.news.put(message::with(text, span, &pending.original.id));
            }
            About::End(number) if state.is_listen(number) => {
                let Some(pending) = state.pending.remove(&number) else { return };
                let message = message::subscription_ended(&pending.original.id);
                let _ = pending.answer.send(Answered { message, code: None });
            }
            About::End(_) | About::Nothing if self.is_shared() => {
                if method.ends_with("/list_changed") {
                    for listener in state.listeners.values() {
                        listener.put(text.to_vec());
                    }
                }
            }
            About::End(_) | About::Nothing => {
                let of_a_call = !method.ends_with("/list_changed") && method != "notifications/resources/updated";
                let place = state.only_asker().filter(|_| of_a_call).or_else(|| state.listener());
                // Where nobody reads, it is lost, as it is with servers over HTTP.
                place.map(|place| place.put(text.to_vec()));
            }
        }
    }

    /// Passes a question of the server's to a caller; gives the answer where nobody can be asked.
    fn take_question(&self, text: &[u8], id: &[u8], method: &str) -> Option<Vec<u8>> {
        if method == "ping" {
            return Some(message::result(id, b"{}"));
        }
        let nobody = || {
            self.metrics.question(method, "refused");
            Some(message::error(id, METHOD_NOT_FOUND, "There is nobody here who could be asked"))
        };
        // It could be about any of the callers, and is for none of them.
        if self.is_shared() {
            return nobody();
        }
        let mut state = self.state.lock();
        let place = state.only_asker().or_else(|| state.listener()).or_else(|| state.latest_call());
        let taken = state.questions.len() < QUESTIONS && place.is_some_and(|place| place.put(text.to_vec()));
        if !taken {
            return nobody();
        }
        state.questions.insert(id.to_vec());
        None
    }

    /// What is no sound message may still be the answer that somebody waits for: then it is theirs to refuse.
    fn take_odd(&self, text: &[u8]) -> Result<(), Garbage> {
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|_| Garbage)?;
        let id = value.as_object().ok_or(Garbage)?.get("id").ok_or(Garbage)?.to_string();
        let mut state = self.state.lock();
        let pending = message::number(id.as_bytes()).and_then(|number| state.pending.remove(&number));
        let pending = pending.ok_or(Garbage)?;
        let _ = pending.answer.send(Answered { message: text.to_vec(), code: None });
        Ok(())
    }

    /// What looks like a message and can't be read was one for somebody.
    fn miss(&self, text: &[u8]) {
        if text.windows(MARK.len()).any(|window| window == MARK) {
            self.lost();
        }
    }

    /// A message was lost. Where only one can have been meant, its asker need not wait.
    pub fn lost(&self) {
        let mut state = self.state.lock();
        if let Some(number) = state.only_call() {
            state.pending.remove(&number);
        }
    }

    /// The request `number` could not be delivered.
    pub fn undelivered(&self, number: u64) {
        self.state.lock().pending.remove(&number);
    }

    /// The asker of the request `number` does not wait any more.
    fn abandon(&self, number: u64) {
        let taken_back = self.state.lock().leave(number, Instant::now());
        if let Some(number) = taken_back.filter(|_| !self.is_over()) {
            self.send_now(message::cancellation(number, "the caller left"));
        }
    }

    /// Settles the era of a server that was asked for nothing else and is free; whether it was so.
    pub fn claim(&self) -> bool {
        let mut state = self.state.lock();
        let free = !state.settled && state.pending.is_empty() && !self.is_over();
        state.settled |= free;
        free
    }

    /// Whether the server works on something. Who listens does not count: that can be begun again elsewhere.
    pub fn is_busy(&self) -> bool {
        self.state.lock().pending.values().any(|pending| pending.kind != Kind::Listen)
    }

    /// Whether somebody waits or listens.
    pub fn is_held(&self) -> bool {
        let mut state = self.state.lock();
        state.listeners.retain(|_, listener| !listener.is_closed());
        state.pending.values().any(|pending| !pending.left) || !state.listeners.is_empty()
    }

    /// Since when nobody used it.
    pub fn unused_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.state.lock().used)
    }

    /// Whether the server answered anything.
    pub fn has_answered(&self) -> bool {
        self.state.lock().answered
    }

    fn is_shared(&self) -> bool {
        self.sharing == Sharing::Shared
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits until it is over.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Ends it: whoever waits learns it at once.
    pub fn end(&self) {
        self.over.cancel();
        let mut state = self.state.lock();
        state.pending.clear();
        state.listeners.clear();
        state.questions.clear();
    }
}

/// What is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage;

#[cfg(test)]
mod tests;
