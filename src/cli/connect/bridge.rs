//! What is done with each line of the client, and in which order. Requests go side by side; the handshake of older
//! revisions goes before what comes after it.

use super::exchange::{Answer, Channel, End};
use super::http::Http;
use super::message::{Message, key};
use super::refusal::Refusal;
use super::session::{Lost, Session, Sessions, over};
use super::stdio::{Line, MAX_MESSAGE, Output};
use super::tools::Tools;
use super::{modern, stream};
use parking_lot::Mutex;
use portcullis_core::jsonrpc::Kind;
use portcullis_core::mcp::method::Method;
use portcullis_core::reject::Era;
use reqwest::header::HeaderMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Requests that may be under way at once.
const AT_ONCE: usize = 1024;

/// How long answers are waited for when standard input has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A request that is under way.
struct Flight {
    era: Era,
    /// A stream without an end: nobody waits for it when standard input has ended.
    endless: bool,
    cancelled: CancellationToken,
}

/// Between one client and one server.
pub struct Bridge {
    /// Both sides.
    pub channel: Channel,
    /// What lists of tools said.
    pub tools: Tools,
    sessions: Sessions,
    flights: Mutex<HashMap<Vec<u8>, Flight>>,
    /// What the last modern request spoke.
    revision: Mutex<Option<String>>,
}

/// A step of the handshake holds up what comes after it.
#[derive(Default)]
struct Turn {
    /// Cancelled when the last step is done; `None` before the first.
    before: Option<CancellationToken>,
}

impl Turn {
    /// What has to be waited for, and what to let go of when done.
    fn take(&mut self, holds_up: bool) -> (Option<CancellationToken>, Option<DropGuard>) {
        let before = self.before.clone();
        let mine = holds_up.then(CancellationToken::new);
        if mine.is_some() {
            self.before.clone_from(&mine);
        }
        (before, mine.map(CancellationToken::drop_guard))
    }
}

impl Bridge {
    /// Nothing is sent yet.
    pub fn new(http: Http, output: Output, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            channel: Channel { http, output, timeout },
            tools: Tools::default(),
            sessions: Sessions::default(),
            flights: Mutex::default(),
            revision: Mutex::default(),
        })
    }

    /// Carries `lines` until they end, nobody reads the answers any more, or `asked` to end.
    ///
    /// # Errors
    /// The system has no signals to give.
    pub async fn run(
        self: &Arc<Self>,
        mut lines: mpsc::Receiver<Line>,
        asked: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        let carried = async {
            let mut turn = Turn::default();
            while let Some(line) = lines.recv().await {
                while tasks.try_join_next().is_some() {}
                self.take(line, &mut turn, &mut tasks);
            }
            tracing::debug!("standard input ended");
            self.flights.lock().values().filter(|flight| flight.endless).for_each(|flight| flight.cancelled.cancel());
            let answered = async { while tasks.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
        };
        let ended = tokio::select! {
            () = carried => Ok(()),
            () = self.channel.output.closed.cancelled() => Ok(()),
            ended = asked => ended,
        };
        drop(tasks);
        if let Some(session) = self.sessions.current() {
            session.close(&self.channel).await;
        }
        self.channel.output.finish(LAST_LINES).await;
        ended
    }

    fn take(self: &Arc<Self>, line: Line, turn: &mut Turn, tasks: &mut JoinSet<()>) {
        let bridge = self.clone();
        let read = match line {
            Line::Text(body) => Message::read(body).map_err(|unreadable| {
                let rejection = unreadable.rejection;
                (unreadable.id, Refusal::new(rejection.row().code.into(), rejection.text()))
            }),
            Line::TooLong => {
                let text = format!("the message is larger than {MAX_MESSAGE} bytes");
                Err((Some("null".into()), Refusal::new(-31413, text)))
            }
        };
        let message = match read {
            Ok(message) => message,
            Err((id, refusal)) => {
                tracing::warn!(error = %refusal.logged(), "a line of standard input is no message");
                tasks.spawn(async move {
                    if let Some(id) = id {
                        bridge.channel.output.say(refusal.line(&id)).await;
                    }
                });
                return;
            }
        };
        let revision = message.revision().map(|revision| revision.into_owned());
        if revision.is_some() {
            self.revision.lock().clone_from(&revision);
        }
        match (message.frame.kind, revision) {
            (Kind::Request, revision) => self.take_request(message, revision, turn, tasks),
            (Kind::Notification, revision) => self.take_notification(message, revision, turn, tasks),
            // Holding it up would hold up the call that waits for it.
            (Kind::Response, _) => _ = tasks.spawn(async move { bridge.tell_session(&message).await }),
        }
    }

    fn take_request(
        self: &Arc<Self>,
        message: Message,
        revision: Option<String>,
        turn: &mut Turn,
        tasks: &mut JoinSet<()>,
    ) {
        let Some(id) = message.id().map(<[u8]>::to_vec) else { return };
        let method = Method::parse(&message.frame.method);
        let era = if revision.is_some() { Era::Modern } else { Era::Legacy };
        let endless = era == Era::Modern && method == Method::Listen;
        let landing = self.clone().depart(&id, Flight { era, endless, cancelled: CancellationToken::new() });
        let (before, done) = match era {
            Era::Legacy => turn.take(method == Method::Initialize),
            Era::Modern => (None, None),
        };
        let bridge = self.clone();
        tasks.spawn(async move {
            let landing = match landing {
                Ok(landing) => landing,
                Err(refusal) => return bridge.channel.output.say(refusal.line(&id)).await,
            };
            let answered = async {
                wait_for(before).await;
                match &revision {
                    Some(revision) => modern::ask(&bridge, &message, &id, revision).await,
                    None if method == Method::Initialize => bridge.initialize(&message, &id).await,
                    None => bridge.ask_session(&message, &id).await,
                }
            };
            let answered = tokio::select! {
                biased;
                () = landing.cancelled.cancelled() => return,
                answered = answered => answered,
            };
            drop((landing, done));
            match answered {
                Ok(answer) => {
                    bridge.channel.output.say(answer.line.clone()).await;
                    answer.part().await;
                }
                Err(refusal) => {
                    if !refusal.spoken {
                        tracing::info!(error = %refusal.logged(), "a request failed");
                    }
                    bridge.channel.output.say(refusal.line(&id)).await;
                }
            }
        });
    }

    fn take_notification(
        self: &Arc<Self>,
        message: Message,
        revision: Option<String>,
        turn: &mut Turn,
        tasks: &mut JoinSet<()>,
    ) {
        let bridge = self.clone();
        let method = Method::parse(&message.frame.method);
        let cancels = message.param("requestId").filter(|_| method == Method::Cancelled);
        let cancelled = cancels.and_then(|id| self.flight(id));
        let revision = revision.or_else(|| self.revision.lock().clone().filter(|_| self.sessions.current().is_none()));
        match (cancelled, revision) {
            _ if method == Method::Initialized => {
                let (before, done) = turn.take(true);
                tasks.spawn(async move {
                    wait_for(before).await;
                    bridge.ready(&message).await;
                    drop(done);
                });
            }
            // MCP 2026-07-28 "Cancellation": over HTTP, who goes away cancels.
            (Some((Era::Modern, flight)), _) => flight.cancel(),
            (None, Some(_)) if method == Method::Cancelled => {}
            (None, Some(revision)) => _ = tasks.spawn(async move { bridge.tell_modern(&message, &revision).await }),
            (cancelled, _) => {
                let (before, _) = turn.take(false);
                tasks.spawn(async move {
                    wait_for(before).await;
                    bridge.tell_session(&message).await;
                    // The server was told why before it sees the stream close.
                    cancelled.inspect(|(_, flight)| flight.cancel());
                });
            }
        }
    }

    fn depart(self: Arc<Self>, id: &[u8], flight: Flight) -> Result<Landing, Refusal> {
        let cancelled = flight.cancelled.clone();
        let key = key(id);
        let mut flights = self.flights.lock();
        if flights.len() >= AT_ONCE {
            return Err(Refusal::new(
                -31429,
                format!("more than {AT_ONCE} requests are under way: wait for some to end"),
            ));
        }
        // Whoever uses an id again waits for the new answer.
        if let Some(earlier) = flights.insert(key.clone(), flight) {
            earlier.cancelled.cancel();
        }
        drop(flights);
        Ok(Landing { bridge: self, key, cancelled })
    }

    fn flight(&self, id: &[u8]) -> Option<(Era, CancellationToken)> {
        self.flights.lock().get(&key(id)).map(|flight| (flight.era, flight.cancelled.clone()))
    }

    async fn initialize(self: &Arc<Self>, message: &Message, id: &[u8]) -> Result<Answer, Refusal> {
        let end = self.channel.ask(&HeaderMap::new(), message.body.clone(), id, Some(self.channel.timeout)).await;
        let answer = self.answered(end)?;
        if let Some(earlier) = self.sessions.open(message, &answer) {
            let bridge = self.clone();
            tokio::spawn(async move { earlier.close(&bridge.channel).await });
        }
        Ok(answer)
    }

    /// The client is ready, and so is the session's own stream.
    async fn ready(self: &Arc<Self>, message: &Message) {
        let Some(session) = self.sessions.ready() else { return };
        self.tell_session(message).await;
        tokio::spawn(stream::listen(self.clone(), session));
    }

    async fn ask_session(self: &Arc<Self>, message: &Message, id: &[u8]) -> Result<Answer, Refusal> {
        let mut session = self.sessions.current();
        let mut again = true;
        loop {
            let headers = session.as_ref().map(|session| session.headers()).unwrap_or_default();
            let end = self.channel.ask(&headers, message.body.clone(), id, Some(self.channel.timeout)).await;
            match (end, &session) {
                (End::Refused(refusal), Some(lost)) => match lost.is_lost(&refusal) {
                    Some(Lost::Unknown) if again => {
                        again = false;
                        session = Some(self.renew(lost).await?);
                    }
                    Some(_) => {
                        self.renew_for_nobody(lost);
                        return Err(over("and another is being opened. This request was not sent again: repeat it"));
                    }
                    None => return Err(refusal),
                },
                (End::Broken { place: Some(place), .. }, Some(session)) => {
                    let line = stream::resume(self, session, id, place).await?;
                    return Ok(Answer::of(line));
                }
                (end, _) => return self.answered(end),
            }
        }
    }

    fn answered(&self, end: End) -> Result<Answer, Refusal> {
        match end {
            End::Answered(answer) => Ok(*answer),
            End::Refused(refusal) => Err(refusal),
            End::Broken { failure, .. } => Err(Refusal::of(&failure, &self.channel.http)),
        }
    }

    /// A session instead of `lost`.
    ///
    /// # Errors
    /// Why there is none.
    async fn renew(self: &Arc<Self>, lost: &Arc<Session>) -> Result<Arc<Session>, Refusal> {
        let renewed = self.sessions.renew(&self.channel, lost).await?;
        if renewed.follow {
            tokio::spawn(stream::listen(self.clone(), renewed.session.clone()));
        }
        Ok(renewed.session)
    }

    /// The same in the background, for requests to come.
    pub fn renew_for_nobody(self: &Arc<Self>, lost: &Arc<Session>) {
        let (bridge, lost) = (self.clone(), lost.clone());
        tokio::spawn(async move {
            if let Err(refusal) = bridge.renew(&lost).await {
                tracing::warn!(error = %refusal.logged(), "the session ended and can't be opened anew");
            }
        });
    }

    async fn tell_session(&self, message: &Message) {
        let headers = self.sessions.current().map(|session| session.headers()).unwrap_or_default();
        note(self.channel.tell(&headers, message.body.clone()).await);
    }

    async fn tell_modern(&self, message: &Message, revision: &str) {
        match modern::headers(message, revision, &self.tools) {
            Ok(headers) => note(self.channel.tell(&headers, message.body.clone()).await),
            Err(refusal) => note(Err(refusal)),
        }
    }
}

/// Nobody waits for what becomes of a notification.
fn note(told: Result<(), Refusal>) {
    if let Err(refusal) = told {
        tracing::warn!(error = %refusal.logged(), "a notification or response was not taken");
    }
}

async fn wait_for(before: Option<CancellationToken>) {
    if let Some(before) = before {
        before.cancelled().await;
    }
}

/// Takes a request out of those under way when it is dropped.
struct Landing {
    bridge: Arc<Bridge>,
    key: Vec<u8>,
    cancelled: CancellationToken,
}

impl Drop for Landing {
    fn drop(&mut self) {
        // A cancelled one may have been replaced by another with its id.
        let mut flights = self.bridge.flights.lock();
        if !self.cancelled.is_cancelled()
            || flights.get(&self.key).is_some_and(|flight| flight.cancelled.is_cancelled())
        {
            flights.remove(&self.key);
        }
    }
}
