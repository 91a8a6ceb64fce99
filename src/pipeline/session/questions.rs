//! What a client was asked and has not answered: the questions of a session, under ids of the gateway's own.
//!
//! Upstreams number their questions alike, from 0. The id that a client sees is random, so that no client can answer what
//! it was not asked, and stands for one question of one upstream; it is good for one answer.

use crate::upstream::session::Session;
use bytes::Bytes;
use parking_lot::Mutex;
use portcullis_core::jsonrpc;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// How long a person may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// Questions that may be open in one session; an upstream that asks more is refused.
pub const OPEN: usize = 64;

/// Who waits for an answer.
pub enum Asker {
    /// An upstream, in a session with it, under the raw id that it chose.
    Upstream {
        /// The session in which it asked.
        session: Arc<Session>,
        /// The raw id.
        id: Bytes,
    },
    /// A task of the gateway's, which gets the whole message.
    Task(oneshot::Sender<Bytes>),
}

/// A question that is open.
pub struct Question {
    /// What is asked for.
    pub method: String,
    /// Who asks.
    pub asker: Asker,
    /// When nobody waits for the answer any more.
    pub until: Instant,
    /// Says that the stream on which it was asked may be silent meanwhile, where it was asked on one.
    pub waiting: Option<Waiting>,
}

/// The open questions of a session.
#[derive(Default)]
pub struct Questions(Mutex<HashMap<String, Question>>);

impl Questions {
    /// Keeps `question`; the raw id under which the client is to be asked, `None` where too many are open.
    pub fn put(&self, question: Question) -> Option<Vec<u8>> {
        let mut open = self.0.lock();
        forget_late(&mut open, Instant::now());
        if open.len() >= OPEN {
            return None;
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let raw = jsonrpc::quote(&id);
        open.insert(id, question);
        Some(raw)
    }

    /// The question with the raw id `id`, which is closed by that; `None` where none is open under it.
    pub fn take(&self, id: &[u8]) -> Option<Question> {
        let id = jsonrpc::string(id)?;
        let mut open = self.0.lock();
        forget_late(&mut open, Instant::now());
        open.remove(id.as_ref())
    }

    /// Closes the question that `session` asked under the raw id `id`; the raw id under which the client was asked.
    pub fn withdraw(&self, session: &Arc<Session>, id: &[u8]) -> Option<Vec<u8>> {
        let asked = |question: &Question| match &question.asker {
            Asker::Upstream { session: of, id: raw } => Arc::ptr_eq(of, session) && jsonrpc::same_id(raw, id),
            Asker::Task(_) => false,
        };
        let mut open = self.0.lock();
        let ours = open.iter().find(|(_, question)| asked(question)).map(|(ours, _)| ours.clone())?;
        open.remove(&ours);
        Some(jsonrpc::quote(&ours))
    }

    /// Closes the questions of upstreams on the stream whose silence is `silence`; the raw ids that they gave them.
    pub fn withdraw_all(&self, silence: &Silence) -> Vec<Bytes> {
        let on_it = |question: &Question| question.waiting.as_ref().is_some_and(|waiting| waiting.is_on(silence));
        let gone: Vec<_> = self.0.lock().extract_if(|_, question| on_it(question)).collect();
        let raw = |(_, question): (String, Question)| match question.asker {
            Asker::Upstream { id, .. } => Some(id),
            Asker::Task(_) => None,
        };
        gone.into_iter().filter_map(raw).collect()
    }

    /// Forgets the questions that nobody waits for any more.
    pub fn let_go(&self, now: Instant) {
        forget_late(&mut self.0.lock(), now);
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

fn forget_late(open: &mut HashMap<String, Question>, now: Instant) {
    open.retain(|_, question| question.until > now);
}

/// How long the stream of a call may be silent: as long as a call may take, but for the time in which its client is
/// asked. Clones share it.
#[derive(Debug, Clone)]
pub struct Silence(watch::Sender<Quiet>);

#[derive(Debug, Clone, Copy)]
struct Quiet {
    /// The questions that wait for an answer.
    open: usize,
    /// When something was last said, by either side.
    since: Instant,
}

/// A question that is open on a stream.
#[derive(Debug)]
pub struct Waiting(Silence);

impl Default for Silence {
    fn default() -> Self {
        Self(watch::Sender::new(Quiet { open: 0, since: Instant::now() }))
    }
}

impl Silence {
    /// Something is said.
    pub fn broken(&self) {
        self.0.send_modify(|quiet| quiet.since = Instant::now());
    }

    /// A question is asked, and open until the value is dropped.
    pub fn ask(&self) -> Waiting {
        self.0.send_modify(|quiet| *quiet = Quiet { open: quiet.open + 1, since: Instant::now() });
        Waiting(self.clone())
    }

    /// Waits until it has been silent for `longest`; while a question is open, for as long as a person may take.
    pub async fn too_long(&self, longest: Duration) {
        let mut changes = self.0.subscribe();
        loop {
            let Quiet { open, since } = *changes.borrow_and_update();
            let until = since + if open > 0 { longest.max(PATIENCE) } else { longest };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => return,
                // The sender is `self`.
                _ = changes.changed() => {}
            }
        }
    }
}

impl Waiting {
    fn is_on(&self, silence: &Silence) -> bool {
        self.0.0.same_channel(&silence.0)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let now = Instant::now();
        self.0.0.send_modify(|quiet| *quiet = Quiet { open: quiet.open.saturating_sub(1), since: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(until: Instant) -> (Question, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        (Question { method: "roots/list".into(), asker: Asker::Task(sender), until, waiting: None }, receiver)
    }

    #[test]
    fn a_question_is_good_for_one_answer_under_its_own_id() {
        let questions = Questions::default();
        let until = Instant::now() + PATIENCE;
        let one = questions.put(question(until).0).unwrap();
        let other = questions.put(question(until).0).unwrap();
        assert_ne!(one, other);
        for unknown in [&b"0"[..], b"\"\"", b"null", b"\"00000000000000000000000000000000\""] {
            assert!(questions.take(unknown).is_none());
        }
        assert!(questions.take(&one).is_some() && questions.take(&one).is_none());
        assert!(questions.take(&other).is_some());
    }

    #[test]
    fn no_more_are_open_than_may_be_and_late_ones_make_room() {
        let questions = Questions::default();
        let now = Instant::now();
        for _ in 0..OPEN {
            assert!(questions.put(question(now + PATIENCE).0).is_some());
        }
        assert!(questions.put(question(now + PATIENCE).0).is_none());
        questions.let_go(now + PATIENCE);
        let late = questions.put(question(now).0).unwrap();
        assert!(questions.take(&late).is_none(), "nobody waits for it");
        assert!(questions.put(question(now + PATIENCE).0).is_some());
    }

    #[tokio::test]
    async fn a_stream_may_be_silent_while_its_client_is_asked() {
        let (silence, short) = (Silence::default(), Duration::from_millis(20));
        silence.too_long(short).await;
        let waiting = silence.ask();
        assert!(tokio::time::timeout(short * 5, silence.too_long(short)).await.is_err());
        drop(waiting);
        silence.too_long(short).await;
    }
}
