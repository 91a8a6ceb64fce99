//! Which conversation is whose: one for each session and for each modern caller, or one for all; begun when it is first
//! needed, within a bound, and ended when nobody uses it any more.

use crate::config::document::upstreams::Sharing;
use crate::config::snapshot::Stdio;
use crate::upstream::adapter::Running;
use crate::upstream::adapter::backoff::{Backoff, Crashes};
use crate::upstream::adapter::conversation::Conversation;
use crate::upstream::adapter::event_stream::{EventStream, OpenError};
use crate::upstream::adapter::process::{End, Process};
use http::HeaderMap;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sessions of a server that speaks HTTP+SSE, each of which holds a connection.
const STREAMS: usize = 1_000;
/// How long such a session is kept that nobody uses.
const STREAM_IDLE: Duration = Duration::from_secs(600);
/// How long a caller waits for a place, or for a program that may be started again in a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// A rest that is waited for.
const SHORT_REST: Duration = Duration::from_secs(1);

/// Where conversations come from.
pub enum Origin {
    /// Processes of a program.
    Program(Stdio),
    /// Event streams of a server.
    Stream(EventStream),
}

/// Whose a conversation is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    /// A legacy session's.
    Session,
    /// A modern caller's, by digest; the gateway's own has none.
    Caller(String),
    /// That of all legacy sessions.
    Sessions,
    /// That of all modern callers.
    Callers,
}

impl Holder {
    /// Whose it is, where it is one caller's.
    fn caller(&self) -> &str {
        if let Self::Caller(caller) = self { caller } else { "" }
    }
}

/// A legacy session, as the gateway knows it.
pub struct Session {
    /// Its number, under which it listens.
    pub number: u64,
    /// What it is part of.
    pub conversation: Arc<Conversation>,
    /// Whose it is, by digest; the gateway's own has none.
    caller: String,
    used: Mutex<Instant>,
}

/// Why there is no conversation.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The program failed and rests.
    #[error("the program failed and is started again in {0:?}")]
    Rests(Duration),
    /// The program does not start.
    #[error("the program does not start: {0}; look at `stdio.command` and `stdio.cwd`")]
    Start(#[from] std::io::Error),
    /// All places are taken by those who work.
    #[error("all places are at work; raise `stdio.max_processes`")]
    Full,
    /// The server gives no stream.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Only sessions are served.
    #[error("the server speaks no modern revision")]
    NoModern,
    /// The adapter ends.
    #[error("the upstream is no longer configured")]
    Ending,
}

/// All conversations with an upstream.
pub struct Keep {
    name: Arc<str>,
    origin: Origin,
    running: Running,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    sessions: HashMap<String, Arc<Session>>,
    /// Those of callers, and shared ones.
    others: HashMap<Holder, Arc<Conversation>>,
    /// What rests: starts altogether (`None`), or those of one holder.
    resting: HashMap<Option<Holder>, Backoff>,
    crashes: Crashes,
}

/// What came of one look for a conversation.
enum Look {
    Found(Arc<Conversation>),
    /// A place will be free soon.
    Wait,
}

impl Keep {
    /// None yet.
    pub fn new(name: Arc<str>, origin: Origin, running: Running) -> Arc<Self> {
        Arc::new(Self { name, origin, running, state: Mutex::default() })
    }

    /// Whether all sessions are served by one conversation.
    pub fn is_shared(&self) -> bool {
        self.sharing() == Sharing::Shared
    }

    fn sharing(&self) -> Sharing {
        match &self.origin {
            Origin::Program(stdio) => stdio.per,
            Origin::Stream(_) => Sharing::Principal,
        }
    }

    fn most(&self) -> usize {
        match &self.origin {
            Origin::Program(stdio) => stdio.max_processes,
            Origin::Stream(_) => STREAMS,
        }
    }

    fn idle(&self) -> Duration {
        match &self.origin {
            Origin::Program(stdio) => stdio.idle,
            Origin::Stream(_) => STREAM_IDLE,
        }
    }

    /// The conversation of a modern caller.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn of_caller(self: &Arc<Self>, caller: &str) -> Result<Arc<Conversation>, Refusal> {
        if matches!(self.origin, Origin::Stream(_)) {
            return Err(Refusal::NoModern);
        }
        let holder = if self.is_shared() { Holder::Callers } else { Holder::Caller(caller.to_owned()) };
        self.find(&holder).await
    }

    /// The conversation of a modern caller, where there is one.
    pub fn caller(&self, caller: &str) -> Option<Arc<Conversation>> {
        let holder = if self.is_shared() { Holder::Callers } else { Holder::Caller(caller.to_owned()) };
        self.state.lock().others.get(&holder).filter(|conversation| !conversation.is_over()).cloned()
    }

    /// A conversation for a session that begins. It may be one that was asked for its era alone, as a client that falls
    /// back asks over stdio.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn for_session(self: &Arc<Self>, headers: HeaderMap) -> Result<Arc<Conversation>, Refusal> {
        if let Origin::Stream(stream) = &self.origin {
            return self.open(stream, headers).await;
        }
        self.find(if self.is_shared() { &Holder::Sessions } else { &Holder::Session }).await
    }

    async fn find(self: &Arc<Self>, holder: &Holder) -> Result<Arc<Conversation>, Refusal> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut places = self.running.places();
            match self.look(holder) {
                Ok(Look::Found(conversation)) => return Ok(conversation),
                Ok(Look::Wait) if Instant::now() >= until => return Err(Refusal::Full),
                Ok(Look::Wait) => {
                    let _ = tokio::time::timeout_at(until.into(), places.changed()).await;
                }
                Err(Refusal::Rests(rest)) if rest <= SHORT_REST && Instant::now() < until => {
                    tokio::time::sleep(rest).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// One look: what is there, what can be taken over, or a new process.
    fn look(self: &Arc<Self>, holder: &Holder) -> Result<Look, Refusal> {
        let mut state = self.state.lock();
        if self.running.is_ending() {
            return Err(Refusal::Ending);
        }
        if let Some(conversation) = state.others.get(holder).filter(|conversation| !conversation.is_over()) {
            return Ok(Look::Found(Arc::clone(conversation)));
        }
        let conversation = match state.unsettled(holder) {
            Some(conversation) => conversation,
            None => {
                let now = Instant::now();
                let rest =
                    [None, Some(holder.clone())].iter().filter_map(|key| state.resting.get(key)?.rests(now)).max();
                if let Some(rest) = rest {
                    return Err(Refusal::Rests(rest));
                }
                if self.running.count() >= self.most() {
                    return state.make_room(self.running.count()).then_some(Look::Wait).ok_or(Refusal::Full);
                }
                self.start(holder, &mut state)?
            }
        };
        if *holder != Holder::Session {
            state.others.insert(holder.clone(), Arc::clone(&conversation));
        }
        Ok(Look::Found(conversation))
    }

    fn start(self: &Arc<Self>, holder: &Holder, state: &mut State) -> Result<Arc<Conversation>, Refusal> {
        let Origin::Program(stdio) = &self.origin else { return Err(Refusal::NoModern) };
        let process = Process::start(stdio, Arc::clone(&self.name)).inspect_err(|error| {
            tracing::error!(upstream = %self.name, %error, "the program does not start; look at `stdio.command`");
            state.resting.entry(None).or_default().failed(Instant::now(), Duration::ZERO);
        })?;
        let (conversation, outgoing) = Conversation::new(stdio.per, self.running.metrics());
        let (keep, attended, holder) = (Arc::clone(self), Arc::clone(&conversation), holder.clone());
        let place = self.running.take();
        tokio::spawn(async move {
            let (end, lived) = process.attend(&attended, outgoing).await;
            keep.ended(&holder, &attended, &end, lived);
            drop(place);
        });
        self.end_with_adapter(&conversation);
        Ok(conversation)
    }

    async fn open(self: &Arc<Self>, stream: &EventStream, headers: HeaderMap) -> Result<Arc<Conversation>, Refusal> {
        if self.running.is_ending() {
            return Err(Refusal::Ending);
        }
        if self.running.count() >= self.most() && !self.state.lock().make_room(self.running.count()) {
            return Err(Refusal::Full);
        }
        let place = self.running.take();
        let open = stream.open(headers).await?;
        let (conversation, outgoing) = Conversation::new(Sharing::Principal, self.running.metrics());
        let attended = Arc::clone(&conversation);
        tokio::spawn(async move {
            open.attend(&attended, outgoing).await;
            drop(place);
        });
        self.end_with_adapter(&conversation);
        Ok(conversation)
    }

    fn end_with_adapter(&self, conversation: &Arc<Conversation>) {
        let (ending, conversation) = (self.running.ending(), Arc::clone(conversation));
        tokio::spawn(async move {
            tokio::select! {
                () = ending.cancelled() => conversation.end(),
                () = conversation.over() => {}
            }
        });
    }

    /// A process ended.
    fn ended(&self, holder: &Holder, conversation: &Arc<Conversation>, end: &End, lived: Duration) {
        let End::ByItself(status) = end else { return };
        let upstream = &*self.name;
        tracing::warn!(upstream, %status, ?lived, "a process of the upstream ended by itself");
        self.running.crashed();
        let (mut state, now) = (self.state.lock(), Instant::now());
        // One that never said a word fails for everybody; one that did fails for those whom it served.
        let key = match (conversation.has_answered(), holder) {
            (false, _) => Some(None),
            (true, Holder::Session) => None,
            (true, holder) => Some(Some(holder.clone())),
        };
        if let Some(key) = key {
            state.resting.entry(key).or_default().failed(now, lived);
        }
        if state.crashes.add(now) {
            tracing::error!(upstream, "processes of the upstream end by themselves again and again");
        }
    }

    /// A process answered for the first time: starts don't fail.
    pub fn works(&self) {
        self.state.lock().resting.remove(&None);
    }

    /// Remembers the session `id` of `conversation`, which is that of `caller` alone.
    pub fn remember(&self, id: &str, conversation: &Arc<Conversation>, caller: &str) {
        let mut state = self.state.lock();
        state.next += 1;
        let (number, used) = (state.next, Mutex::new(Instant::now()));
        let session = Session { number, conversation: Arc::clone(conversation), caller: caller.to_owned(), used };
        state.sessions.insert(id.to_owned(), Arc::new(session));
    }

    /// The session `id` of `caller`, where it is known and its server is there.
    pub fn session(&self, id: &str, caller: &str) -> Option<Arc<Session>> {
        let mut state = self.state.lock();
        let session = Arc::clone(state.sessions.get(id).filter(|session| session.caller == caller)?);
        if session.conversation.is_over() {
            state.sessions.remove(id);
            return None;
        }
        *session.used.lock() = Instant::now();
        Some(session)
    }

    /// Ends the session `id` of `caller`; whether it was there.
    pub fn forget(&self, id: &str, caller: &str) -> bool {
        let mut state = self.state.lock();
        if state.sessions.get(id).is_none_or(|session| session.caller != caller) {
            return false;
        }
        let session = state.sessions.remove(id);
        drop(state);
        session.iter().for_each(|session| self.part(session));
        true
    }

    /// A session ends: with it its conversation, unless that is everybody's.
    fn part(&self, session: &Session) {
        if self.is_shared() {
            session.conversation.part(session.number);
        } else {
            session.conversation.end();
        }
    }

    /// Whether a call would find a server.
    pub async fn is_well(&self, patience: Duration) -> bool {
        match &self.origin {
            Origin::Stream(stream) => stream.is_well(patience).await,
            Origin::Program(_) => {
                let state = self.state.lock();
                let failing = |key: &Option<Holder>, backoff: &Backoff| {
                    matches!(key, None | Some(Holder::Sessions | Holder::Callers)) && backoff.is_failing()
                };
                !state.resting.iter().any(|(key, backoff)| failing(key, backoff))
                    && !state.crashes.is_loop(Instant::now())
            }
        }
    }

    /// Ends what nobody uses, again and again, until the adapter ends.
    pub async fn tidy(self: Arc<Self>) {
        let pause = (self.idle() / 4).clamp(Duration::from_millis(50), Duration::from_secs(30));
        let ending = self.running.ending();
        while tokio::time::timeout(pause, ending.cancelled()).await.is_err() {
            let now = Instant::now();
            let gone = self.state.lock().unused(self.idle(), now);
            gone.iter().for_each(|session| self.part(session));
        }
    }
}

impl State {
    /// A conversation that was asked for its era alone, and said that it is no modern one, for a session that begins.
    fn unsettled(&mut self, holder: &Holder) -> Option<Arc<Conversation>> {
        let asked = match holder {
            Holder::Session => Holder::Caller(String::new()),
            Holder::Sessions => Holder::Callers,
            Holder::Caller(_) | Holder::Callers => return None,
        };
        let conversation = Arc::clone(self.others.get(&asked)?);
        if !conversation.claim() {
            return None;
        }
        self.others.remove(&asked);
        Some(conversation)
    }

    /// Makes a place free where all `running` are taken; whether there will be one. It is a place of the caller who has
    /// the most, so that nobody's many sessions end those of others.
    fn make_room(&mut self, running: usize) -> bool {
        let now = Instant::now();
        let sessions = self.sessions.values().map(|session| (session.caller.as_str(), &session.conversation));
        let others = self.others.iter().map(|(holder, conversation)| (holder.caller(), conversation));
        let mut all: Vec<_> = sessions.chain(others).filter(|(_, conversation)| !conversation.is_over()).collect();
        all.sort_by_key(|(_, conversation)| Arc::as_ptr(conversation));
        all.dedup_by(|(_, one), (_, other)| Arc::ptr_eq(one, other));
        if all.len() < running {
            // One ends already, or is just being opened.
            return true;
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        all.iter().for_each(|(caller, _)| *places.entry(caller).or_default() += 1);
        let free = all.iter().filter(|(_, conversation)| !conversation.is_busy());
        match free.max_by_key(|(caller, conversation)| (places.get(caller), conversation.unused_for(now))) {
            Some((_, conversation)) => {
                conversation.end();
                true
            }
            None => false,
        }
    }

    /// Takes out the sessions that nobody used for `idle`, and ends the conversations of callers that nobody used.
    fn unused(&mut self, idle: Duration, now: Instant) -> Vec<Arc<Session>> {
        let long_ago = |used: Instant| now.saturating_duration_since(used) >= idle;
        let mut gone = Vec::new();
        self.sessions.retain(|_, session| {
            let unused = long_ago(*session.used.lock()) && !session.conversation.is_held();
            if unused {
                gone.push(Arc::clone(session));
            }
            !unused && !session.conversation.is_over()
        });
        self.others.retain(|_, conversation| {
            if conversation.unused_for(now) >= idle && !conversation.is_held() {
                conversation.end();
            }
            !conversation.is_over()
        });
        self.resting.retain(|_, backoff| !backoff.is_past(now));
        gone
    }
}
