//! Who waits for what in a conversation, and who listens. What is told to whom is said in `conversation`.

use crate::upstream::adapter::mailbox::Outbox;
use crate::upstream::adapter::message::Original;
use portcullis_core::jsonrpc;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;
use tokio::sync::oneshot;

/// Requests that run on without their askers; beyond it, the oldest is taken back.
const LEFT: usize = 256;

/// What a request is to the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `server/discover`, the question by which a client learns the era.
    Discover,
    /// `initialize`. It may not be cancelled.
    Initialize,
    /// `subscriptions/listen`: answered by news until it ends.
    Listen,
    /// Any other.
    Call,
}

impl Kind {
    /// By the method's name.
    pub fn of(method: &str) -> Self {
        match method {
            "server/discover" => Self::Discover,
            "initialize" => Self::Initialize,
            "subscriptions/listen" => Self::Listen,
            _ => Self::Call,
        }
    }
}

/// A request that waits for its answer.
pub struct Pending {
    /// As its asker wrote it.
    pub original: Original,
    /// What it is.
    pub kind: Kind,
    /// The number of the session that it is part of; modern requests have none.
    pub session: Option<u64>,
    /// What comes before the answer.
    pub news: Outbox,
    /// The answer.
    pub answer: oneshot::Sender<Answered>,
    /// Its asker took it back.
    pub cancelled: bool,
    /// Its asker left, which in a session does not take it back.
    pub left: bool,
}

/// An answer, under the id of the asker's own.
#[derive(Debug)]
pub struct Answered {
    /// The message.
    pub message: Vec<u8>,
    /// The code of the error that it is.
    pub code: Option<i64>,
}

/// All that a conversation remembers.
pub struct State {
    /// The number of the latest request.
    pub next: u64,
    /// The requests that wait, by number.
    pub pending: BTreeMap<u64, Pending>,
    /// Who reads what belongs to no request, by the number of the session.
    pub listeners: HashMap<u64, Outbox>,
    /// Raw ids of questions that the server asked and nobody answered yet.
    pub questions: BTreeSet<Vec<u8>>,
    /// The server answered something.
    pub answered: bool,
    /// It was asked for more than its era, or said that it is modern: so its era is settled.
    pub settled: bool,
    /// When it was used last.
    pub used: Instant,
}

impl State {
    /// Nobody waits yet.
    pub fn new() -> Self {
        Self {
            next: 0,
            pending: BTreeMap::new(),
            listeners: HashMap::new(),
            questions: BTreeSet::new(),
            answered: false,
            settled: false,
            used: Instant::now(),
        }
    }

    /// The one call that runs, where there is one alone.
    pub fn only_call(&self) -> Option<u64> {
        let mut calls = self.pending.iter().filter(|(_, pending)| pending.kind != Kind::Listen);
        calls.next().map(|(number, _)| *number).filter(|_| calls.next().is_none())
    }

    /// The call that began last of those whose askers are there.
    pub fn latest_call(&self) -> Option<&Outbox> {
        let is_there = |pending: &&Pending| pending.kind != Kind::Listen && !pending.left;
        self.pending.values().rfind(is_there).map(|pending| &pending.news)
    }

    /// Who asked for the one call that runs, where there is one alone and it was not left.
    pub fn only_asker(&self) -> Option<&Outbox> {
        let call = self.only_call().and_then(|number| self.pending.get(&number));
        call.filter(|call| !call.left).map(|call| &call.news)
    }

    /// Whoever listens.
    pub fn listener(&self) -> Option<&Outbox> {
        self.listeners.values().find(|listener| !listener.is_closed())
    }

    /// Whether the request `number` is a subscription.
    pub fn is_listen(&self, number: u64) -> bool {
        self.pending.get(&number).is_some_and(|pending| pending.kind == Kind::Listen)
    }

    /// Whoever asked for `number` has left. Gives the request that is taken back with that, if one is: a modern asker who
    /// leaves means it (MCP 2026-07-28 "Cancellation"); in a session it says so, before or after (MCP 2025-11-25 "Sending
    /// Messages to the Server": disconnection is no cancellation).
    pub fn leave(&mut self, number: u64, now: Instant) -> Option<u64> {
        let pending = self.pending.get_mut(&number)?;
        if pending.session.is_some() && !pending.cancelled {
            (pending.left, self.used) = (true, now);
            let mut left = self.pending.iter().filter(|(_, pending)| pending.left);
            let oldest = left.next().map(|(number, _)| *number);
            let oldest = oldest.filter(|_| left.count() >= LEFT)?;
            return self.pending.remove(&oldest).map(|_| oldest);
        }
        let pending = self.pending.remove(&number)?;
        (pending.kind != Kind::Initialize && !pending.cancelled).then_some(number)
    }

    /// The asker in `session` takes back what it calls `id`; the request's number, where one alone has that id.
    pub fn cancel(&mut self, id: &[u8], session: Option<u64>) -> Option<u64> {
        let number = self.number_of(id, session)?;
        let pending = self.pending.get_mut(&number)?;
        pending.cancelled = true;
        if pending.left {
            self.pending.remove(&number);
        }
        Some(number)
    }

    /// Takes back what runs on of `session`, which has ended: the numbers.
    pub fn end_session(&mut self, session: u64) -> Vec<u64> {
        self.listeners.remove(&session);
        let runs_on = |pending: &Pending| pending.left && pending.session == Some(session);
        let left = self.pending.iter().filter(|(_, pending)| runs_on(pending)).map(|(number, _)| *number).collect();
        self.pending.retain(|_, pending| !runs_on(pending));
        left
    }

    /// The number of the pending request of `session` with the raw id `id`, where one alone has it.
    fn number_of(&self, id: &[u8], session: Option<u64>) -> Option<u64> {
        let is_it = |pending: &Pending| pending.session == session && jsonrpc::same_id(&pending.original.id, id);
        let mut same = self.pending.iter().filter(|(_, pending)| is_it(pending));
        same.next().map(|(number, _)| *number).filter(|_| same.next().is_none())
    }
}
