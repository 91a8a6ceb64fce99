//! Listens to one upstream for news, for somebody who keeps on wanting them: by `subscriptions/listen` where it speaks
//! 2026-07-28, else on the GET stream of a session of one's own.
//!
//! A stream that ends is opened again, later and later where that does not help. Nothing is replayed: what happened
//! between two streams is not known, and whoever listens is told that it is not.

use crate::upstream::CLIENT_INFO;
use crate::upstream::answer::Answer;
use crate::upstream::caller::Caller;
use crate::upstream::client::{Ask, Client, Failure, Stream};
use crate::upstream::discover::modern_headers;
use crate::upstream::pool::{Choice, Pool};
use crate::upstream::session::{self, Session, SessionError};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use portcullis_core::jsonrpc::{self, Limits, quote};
use portcullis_core::mcp::extension::TASKS;
use portcullis_core::mcp::news::{Interests, News, Said};
use portcullis_core::mcp::rewrite;
use portcullis_core::mcp::sse;
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::Era;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How soon a stream that ended is opened again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How soon an upstream is asked again that said that it has no such stream.
const REFUSED: Duration = Duration::from_secs(300);
/// How long a stream must have lasted for its end to be nothing unusual.
const LASTED: Duration = Duration::from_secs(30);
/// The largest event of such a stream, in bytes, where no task is told of: other news are short.
pub const EVENT: usize = 256 << 10;
/// The largest answer to a subscription, in bytes.
const ANSWER: usize = 64 << 10;
/// The id of our request.
const ID: &[u8] = b"\"listen\"";

/// What somebody who listens is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is listened for these from now on. What happened before is not known.
    Begun(Interests),
    /// News.
    News(News),
    /// How a task is now: the upstream's own id of it, and raw params.
    Task {
        /// The id.
        id: String,
        /// The params.
        task: Vec<u8>,
    },
    /// It asked for the method of this name, in vain.
    Asked(String),
    /// It is not listened any more, or not yet. It is tried again.
    Lost,
}

/// Why an upstream is not heard.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    /// It could not be reached, or broke off.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It has no such stream, or none for what is wanted.
    #[error("it offers no such stream: {0}")]
    Refused(&'static str),
    /// It said something that can't be read.
    #[error("the stream can't be read: {0}")]
    Unreadable(&'static str),
    /// Nobody listens any more.
    #[error("nobody listens")]
    Unheard,
}

impl From<Failure> for Deaf {
    fn from(failure: Failure) -> Self {
        SessionError::from(failure).into()
    }
}

/// To whom is listened, for what, and in whose name.
pub struct Ear {
    /// Sends.
    pub client: Arc<Client>,
    /// The upstream.
    pub pool: Arc<Pool>,
    /// What it speaks.
    pub era: Era,
    /// For what.
    pub interests: Interests,
    /// Who listens; `None` where it is the gateway.
    pub caller: Option<Caller>,
    /// More fields for each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The largest event, in bytes.
    pub event: usize,
}

impl Ear {
    /// Listens until nobody hears it, which is when `heard` is closed. What it tells has the number `number`, by which
    /// who has several ears knows them apart.
    pub async fn listen(self, number: u64, heard: mpsc::Sender<(u64, Heard)>) {
        let heard = Mouth { number, heard };
        let mut retry = RETRY.0;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                ended = self.once(&heard) => ended,
                () = heard.heard.closed() => return,
            };
            let pause = match &ended {
                Err(Deaf::Unheard) => return,
                Err(Deaf::Refused(_)) => REFUSED,
                _ => retry,
            };
            let upstream = &self.pool.upstream.name;
            match ended {
                Ok(()) => tracing::debug!(upstream, "the upstream ended its stream of news; opening another"),
                Err(error) => tracing::info!(upstream, %error, "the upstream's news can't be heard; trying again"),
            }
            retry = if began.elapsed() >= LASTED { RETRY.0 } else { (retry * 2).min(RETRY.1) };
            if heard.tell(Heard::Lost).await.is_err() {
                return;
            }
            let mut news = self.pool.news();
            // Not all at the same time.
            let soonest = tokio::time::sleep(RETRY.0.mul_f64(rand::random_range(0.5..=1.0)));
            let latest = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0)));
            tokio::select! {
                () = latest => {}
                // A replica is back, perhaps as another version.
                () = async { soonest.await; drop(news.changed().await) } => {}
                () = heard.heard.closed() => return,
            }
        }
    }

    /// One stream, to its end.
    async fn once(&self, heard: &Mouth) -> Result<(), Deaf> {
        match self.era {
            Era::Modern => self.modern(heard).await,
            Era::Legacy => self.legacy(heard).await,
        }
    }

    async fn modern(&self, heard: &Mouth) -> Result<(), Deaf> {
        let wanted = self.interests.write();
        let params: [(&str, &[u8]); 1] = [("notifications", &wanted)];
        let tasks = format!(r#"{{"extensions":{{"{TASKS}":{{}}}}}}"#);
        let capabilities = if self.interests.tasks.is_empty() { "{}" } else { &tasks };
        let client = (CLIENT_INFO, capabilities.as_bytes());
        let body = rewrite::request_of(ID, "subscriptions/listen", &params, Version::LATEST, client);
        let mut headers = modern_headers("subscriptions/listen");
        headers.extend(self.headers.iter().cloned());
        headers.extend(self.caller.iter().flat_map(|caller| caller.headers(&self.pool)));
        let (_, stream) = self.client.open_any(&self.pool, &headers, body.into()).await?;
        let mut reader = Reader::new(check(stream)?, self.event);
        let honoured = tokio::time::timeout(self.pool.upstream.timeout, reader.next());
        let honoured = match honoured.await.map_err(|_| Failure::Timeout)?? {
            Some(Said::Acknowledged(honoured)) => honoured.within(&self.interests),
            Some(Said::Over) => return Err(Deaf::Refused("it answered at once")),
            _ => return Err(Deaf::Unreadable("it does not begin with what is honoured")),
        };
        if honoured.is_empty() {
            return Err(Deaf::Refused("it honours nothing of what is wanted"));
        }
        heard.tell(Heard::Begun(honoured)).await?;
        loop {
            match reader.next().await? {
                Some(Said::News(news)) => heard.tell(Heard::News(news)).await?,
                Some(Said::Task { id, task }) => heard.tell(Heard::Task { id, task }).await?,
                Some(Said::Over) | None => return Ok(()),
                // Newer servers must not ask on such a stream, and could not be answered.
                Some(Said::Asked { method, .. }) => heard.tell(Heard::Asked(method)).await?,
                Some(Said::Acknowledged(_) | Said::Other) => {}
            }
        }
    }

    /// The stream is opened before anything is subscribed to, so that nothing is missed between.
    async fn legacy(&self, heard: &Mouth) -> Result<(), Deaf> {
        let session = session::open(&self.client, &self.pool, self.caller.clone());
        let session = tokio::time::timeout(self.pool.upstream.timeout, session).await;
        let session = session.map_err(|_| Failure::Timeout)??;
        let headers = session.headers().into_iter().chain(self.headers.iter().cloned()).collect();
        let talk = Talk { ear: self, session, headers };
        let ask = Ask { method: Method::GET, headers: &talk.headers, body: Bytes::new() };
        let stream = self.client.open(&self.pool, talk.replica(), ask, None).await?;
        let mut reader = Reader::new(check(stream)?, self.event);
        let lists = Interests { updates: BTreeSet::new(), tasks: BTreeSet::new(), ..self.interests.clone() };
        let honoured = Interests { updates: talk.subscribe(&self.interests.updates).await?, ..lists };
        if honoured.is_empty() {
            return Err(Deaf::Refused("it honours nothing of what is wanted"));
        }
        heard.tell(Heard::Begun(honoured)).await?;
        loop {
            match reader.next().await? {
                Some(Said::News(news)) => heard.tell(Heard::News(news)).await?,
                Some(Said::Asked { id, method }) => {
                    talk.refuse(&id, &method).await?;
                    if method != "ping" {
                        heard.tell(Heard::Asked(method)).await?;
                    }
                }
                // Answers are for streams of their own, and tasks of this kind unknown to older revisions.
                Some(Said::Over | Said::Acknowledged(_) | Said::Task { .. } | Said::Other) => {}
                None => return Ok(()),
            }
        }
    }
}

/// A session of an ear's own.
struct Talk<'a> {
    ear: &'a Ear,
    session: Session,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Talk<'_> {
    fn replica(&self) -> &Choice {
        &self.session.replica
    }

    async fn post(&self, body: Vec<u8>) -> Result<Answer, Failure> {
        self.ear.client.post(&self.ear.pool, self.replica(), &self.headers, body.into(), ANSWER).await
    }

    /// Subscribes to each of `uris`; gives those that the upstream agreed to.
    async fn subscribe(&self, uris: &BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
        let mut agreed = BTreeSet::new();
        for (number, uri) in uris.iter().enumerate() {
            let id = (number + 1).to_string();
            let params: [(&str, &[u8]); 1] = [("uri", &quote(uri))];
            let body =
                rewrite::request(id.as_bytes(), "resources/subscribe", &params, Version::LATEST_LEGACY, CLIENT_INFO);
            let answer = self.post(body).await?;
            let response = answer.response(id.as_bytes());
            let read = response.map(|response| jsonrpc::answer(&response, &Limits::ANSWER));
            if matches!(read, Some(Ok(jsonrpc::Answer::Result { .. }))) {
                agreed.insert(uri.clone());
            }
        }
        Ok(agreed)
    }

    /// Answers what the upstream asks: we live, and can do nothing else for it.
    async fn refuse(&self, id: &[u8], method: &str) -> Result<(), Failure> {
        let answer: &[u8] = match method {
            "ping" => br#""result":{}"#,
            _ => br#""error":{"code":-32601,"message":"Method not found"}"#,
        };
        let body = [br#"{"jsonrpc":"2.0","id":"#, id, b",", answer, b"}"].concat();
        self.post(body).await.map(drop)
    }
}

/// Tells somebody what one ear hears.
struct Mouth {
    number: u64,
    heard: mpsc::Sender<(u64, Heard)>,
}

impl Mouth {
    async fn tell(&self, what: Heard) -> Result<(), Deaf> {
        self.heard.send((self.number, what)).await.map_err(|_| Deaf::Unheard)
    }
}

/// What answered is a stream of events.
fn check(stream: Stream) -> Result<Stream, Deaf> {
    let kind = stream.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let encoded = stream.headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity");
    match stream.status {
        200 if kind.starts_with(b"text/event-stream") && !encoded => Ok(stream),
        200 => Err(Deaf::Refused("it answered with something else")),
        400..=499 => Err(Deaf::Refused("it refused")),
        _ => Err(Failure::Broken.into()),
    }
}

/// Reads messages from a stream of events.
struct Reader {
    stream: Stream,
    parser: sse::Parser,
    events: VecDeque<sse::Event>,
}

impl Reader {
    fn new(stream: Stream, event: usize) -> Self {
        Self { stream, parser: sse::Parser::new(event), events: VecDeque::new() }
    }

    /// The next message; `None` at the stream's end.
    async fn next(&mut self) -> Result<Option<Said>, Deaf> {
        loop {
            while let Some(event) = self.events.pop_front() {
                let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
                let read = jsonrpc::answer(data.as_bytes(), &Limits::ANSWER);
                let read = read.map_err(|_| Deaf::Unreadable("a message is none"))?;
                return Ok(Some(Said::read(&read, data.as_bytes())));
            }
            let Some(chunk) = self.stream.chunk().await? else { return Ok(None) };
            let mut events = Vec::new();
            let pushed = self.parser.push(&chunk, &mut events);
            self.events.extend(events);
            pushed.map_err(|_| Deaf::Unreadable("an event is too large"))?;
        }
    }
}
