//! A call within a client's session, carried to an upstream of an older revision: both sides may have more to say than one
//! question and one answer, and the stream of it may end and be taken up again.
//!
//! The answer passes the same filter as one that is proxied, and the call is sent once: again only where nothing was sent
//! or the upstream says that it does not know the session (MCP 2025-11-25 "Session Management").

use crate::pipeline::feed::{Feed, Nature, Speaker, Voice, Word};
use crate::pipeline::filter::{Filter, Form};
use crate::pipeline::forward::{self, PreparedCall, leaves_at_work};
use crate::pipeline::record::{Ending, Record};
use crate::pipeline::reply::{Reply, rpc_refusal};
use crate::pipeline::session::ClientSession;
use crate::pipeline::session::reach::reach;
use crate::pipeline::session::running::{Order, Ticket};
use crate::pipeline::session::wishes::Wish;
use crate::pipeline::streams::StreamEnd;
use crate::store::limits::local::Admission;
use crate::upstream::client::{Failure, Stream};
use crate::upstream::session::{Session, Sessions};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use portcullis_core::audit::Outcome;
use portcullis_core::mcp::rewrite::cancellation;
use portcullis_core::mcp::sse::SIGN_OF_LIFE;
use portcullis_core::policy::Permit;
use portcullis_core::reject::{Era, Rejection};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A call on its way, until its record is closed.
pub struct Carried {
    filter: Filter,
    record: Record,
    places: Option<Admission>,
    sessions: Arc<Sessions>,
    upstream: Arc<Session>,
    client: Weak<ClientSession>,
    ticket: Ticket,
    /// What it wishes for.
    wish: Option<Wish>,
    /// Events were sent to the client.
    streams: bool,
    bytes_out: u64,
    began: Option<Instant>,
    _permit: Permit,
}

/// What is sent.
struct Outgoing {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// How a stream of a call ended.
pub enum End {
    /// The client has the answer.
    Answered,
    /// The upstream ended it before that.
    Open,
    /// The client did.
    Left,
    /// It can't go on.
    Refused(Rejection),
}

/// Who carries `call`, which has a place `within` its client's session, in the session `upstream`.
pub fn speaker(sessions: Arc<Sessions>, call: PreparedCall, upstream: Arc<Session>, within: Within) -> Speaker {
    Box::new(move |record| {
        let (feed, voice) = Feed::new(Nature::Call, call.expires);
        let out = Outgoing { headers: call.headers, body: call.body };
        let carried = Carried {
            filter: call.filter,
            record,
            places: Some(call.admission),
            sessions,
            upstream,
            client: Arc::downgrade(&within.client),
            ticket: within.ticket,
            wish: call.wish,
            streams: false,
            bytes_out: 0,
            began: None,
            _permit: call.permit,
        };
        tokio::spawn(async move {
            // The session is in use as long as its call runs.
            let client = within.client;
            carried.begin(&client, out, &voice).await;
        });
        feed
    })
}

/// The place of a call in its client's session.
pub struct Within {
    /// The session.
    pub client: Arc<ClientSession>,
    /// The place.
    pub ticket: Ticket,
}

impl Carried {
    /// The number of its stream.
    pub fn stream(&self) -> u64 {
        self.ticket.run.stream
    }

    async fn begin(mut self, client: &ClientSession, out: Outgoing, voice: &Voice) {
        let ordered = self.ticket.ordered();
        let end = tokio::select! {
            biased;
            () = voice.left() => End::Left,
            order = ordered => end(order),
            end = self.exchange(client, out, voice) => end,
            why = voice.stopped() => End::Refused(why),
        };
        self.settle(end, voice).await;
    }

    /// Takes its stream up again after the event with the upstream's id `last`.
    pub async fn resume(mut self, last: &str, voice: &Voice) {
        self.ticket.go_on();
        let ordered = self.ticket.ordered();
        let end = tokio::select! {
            biased;
            () = voice.left() => End::Left,
            order = ordered => end(order),
            end = self.rest(last, voice) => end,
            why = voice.stopped() => End::Refused(why),
        };
        self.settle(end, voice).await;
    }

    async fn exchange(&mut self, client: &ClientSession, out: Outgoing, voice: &Voice) -> End {
        let deadline = Instant::now() + self.upstream.pool().upstream.timeout;
        let sent = self.send(client, &out).await;
        drop(out);
        match sent {
            Ok(stream) => self.read(stream, deadline, voice).await,
            Err(rejection) => End::Refused(rejection),
        }
    }

    /// Sends the call. Where the session is lost before the upstream took it, it is sent in another.
    async fn send(&mut self, client: &ClientSession, out: &Outgoing) -> Result<Stream, Rejection> {
        let sent = self.upstream.call(&out.headers, out.body.clone()).await;
        let lost = match &sent {
            Ok(stream) => stream.status == 404 && self.upstream.has_id(),
            Err(failure) => *failure == Failure::Connect,
        };
        if !lost {
            return sent.map_err(Rejection::from);
        }
        self.sessions.forget(&self.upstream, &client.owner);
        let pool = Arc::clone(self.upstream.pool());
        let opened = reach(&self.sessions, client, &pool).await;
        let opened = opened.map_err(|error| forward::no_session(&pool, &error))?;
        *self.ticket.run.upstream.lock() = Some(Arc::clone(&opened));
        self.filter.reopened(Arc::clone(&opened));
        self.upstream = opened;
        self.upstream.call(&out.headers, out.body.clone()).await.map_err(Rejection::from)
    }

    /// Reads what is left of its stream.
    async fn rest(&mut self, last: &str, voice: &Voice) -> End {
        let deadline = Instant::now() + self.upstream.pool().upstream.timeout;
        match self.upstream.listen(Some(last)).await {
            Ok(stream) if stream.status == 200 => self.read(stream, deadline, voice).await,
            Ok(_) => End::Refused(Rejection::UpstreamUnavailable),
            Err(failure) => End::Refused(failure.into()),
        }
    }

    async fn read(&mut self, stream: Stream, deadline: Instant, voice: &Voice) -> End {
        self.began.get_or_insert_with(Instant::now);
        let read = match self.filter.start(stream.status, &stream.headers) {
            Ok(Form::Whole) => self.whole(stream, deadline, voice).await,
            Ok(Form::Events) => self.events(stream, voice).await,
            Err(rejection) => Err(rejection),
        };
        read.unwrap_or_else(End::Refused)
    }

    async fn whole(&mut self, mut stream: Stream, deadline: Instant, voice: &Voice) -> Result<End, Rejection> {
        let mut held = BytesMut::new();
        let limit = self.filter.limit();
        let complete = async {
            while let Some(chunk) = stream.chunk().await.map_err(Rejection::from)? {
                if held.len() + chunk.len() > limit {
                    return Err(Rejection::ResponseTooLarge);
                }
                held.extend_from_slice(&chunk);
            }
            Ok(())
        };
        tokio::time::timeout_at(deadline.into(), complete).await.unwrap_or(Err(Rejection::UpstreamTimeout))?;
        self.upstream.done_with(stream).await;
        let (status, body) = self.filter.whole(&held)?;
        self.places = None;
        self.bytes_out += body.len() as u64;
        Ok(match voice.say(Word::Whole(Reply::json(status, body))).await {
            Ok(()) => End::Answered,
            Err(_) => End::Left,
        })
    }

    async fn events(&mut self, mut stream: Stream, voice: &Voice) -> Result<End, Rejection> {
        let longest = self.upstream.pool().upstream.timeout;
        let silence = self.filter.silence().unwrap_or_default();
        // The head goes at once: the upstream has begun to answer, if it has nothing to say for a while.
        if !self.say(SIGN_OF_LIFE.to_vec(), voice).await {
            return Ok(End::Left);
        }
        loop {
            silence.broken();
            let chunk = tokio::select! {
                chunk = stream.chunk() => chunk.map_err(Rejection::from)?,
                () = silence.too_long(longest) => return Err(Rejection::UpstreamTimeout),
            };
            let Some(chunk) = chunk else { break };
            let mut events = Vec::new();
            let filtered = self.filter.events(&chunk, &mut events);
            if !self.say(events, voice).await {
                return Ok(End::Left);
            }
            filtered?;
        }
        self.upstream.done_with(stream).await;
        Ok(if self.filter.is_answered() { End::Answered } else { End::Open })
    }

    /// Says `events`; whether the client hears them.
    async fn say(&mut self, events: Vec<u8>, voice: &Voice) -> bool {
        if self.filter.is_answered() {
            // Before the client can know: its next call must not meet its last one.
            self.places = None;
        }
        if events.is_empty() {
            return true;
        }
        self.streams = true;
        self.bytes_out += events.len() as u64;
        voice.say(Word::Events(events.into())).await.is_ok()
    }

    /// Its stream has ended.
    async fn settle(mut self, end: End, voice: &Voice) {
        if self.filter.lost_session()
            && let Some(client) = self.client.upgrade()
        {
            self.sessions.forget(&self.upstream, &client.owner);
            client.turn();
        }
        if self.filter.unavailable() {
            self.upstream.pool().failed(self.upstream.replica.address);
        }
        let answered = self.filter.is_answered();
        if let Some(wish) = self.wish.take_if(|_| answered && !self.filter.tool_error()) {
            wish.granted();
        }
        match end {
            End::Answered => self.close(None, false),
            End::Open | End::Left if !answered && self.filter.resumes() => self.keep(),
            End::Left => self.close(None, !answered),
            End::Open => self.refuse(Rejection::UpstreamUnavailable, voice).await,
            End::Refused(_) if answered => self.close(None, false),
            End::Refused(rejection) => self.refuse(rejection, voice).await,
        }
    }

    /// Waits for its client to come back.
    fn keep(self) {
        let Some(client) = self.client.upgrade().filter(|client| !client.has_ended()) else { return };
        client.keep.put(self);
        client.turn();
        if client.has_ended() {
            // In the same moment, and perhaps before it was kept.
            client.keep.clear();
        }
    }

    async fn refuse(mut self, rejection: Rejection, voice: &Voice) {
        tracing::warn!(reason = rejection.row().label, "a call failed");
        self.places = None;
        let word = if self.streams {
            // Nobody waits for the answer to a request that was taken back.
            let last =
                if rejection == Rejection::Cancelled { Bytes::new() } else { self.filter.error_event(&rejection) };
            self.bytes_out += last.len() as u64;
            (!last.is_empty()).then_some(Word::Events(last))
        } else {
            let reply = self.filter.refusal(&rejection);
            self.bytes_out += reply.body.len() as u64;
            Some(Word::Whole(reply))
        };
        if let Some(word) = word {
            // Where the client has left, there is nobody to be told.
            let _ = voice.say(word).await;
        }
        if leaves_at_work(&rejection) {
            self.take_back();
        }
        self.close(Some(&rejection), rejection == Rejection::Cancelled);
    }

    /// Tells the upstream that nobody waits for what it is doing or will answer what it has asked: that a connection has
    /// ended does not say so (MCP 2025-11-25 "Sending Messages to the Server").
    fn take_back(&self) {
        let nobody = Rejection::MethodNotFound { era: Era::Legacy };
        let open = self.filter.withdraw_all();
        let refusals = open.iter().map(|id| rpc_refusal(Some(id), &nobody));
        let messages = refusals.chain([cancellation(&self.ticket.run.upstream_id).into()]).collect();
        self.sessions.tell(Arc::clone(&self.upstream), messages);
    }

    fn close(&mut self, rejection: Option<&Rejection>, cancelled: bool) {
        self.places = None;
        let outcome = match rejection {
            _ if cancelled => Outcome::Cancelled,
            Some(_) => Outcome::Failed,
            None if self.filter.tool_error() => Outcome::ToolError,
            None => Outcome::Ok,
        };
        let refused = rejection.filter(|_| !self.streams).map(|rejection| self.filter.refusal(rejection).status);
        let status = refused.or_else(|| self.began.map(|_| 200));
        self.record.close(&Ending {
            outcome,
            status,
            rejection,
            bytes_out: self.bytes_out,
            answered: self.began,
            redactions: Some(self.filter.counts()),
        });
    }
}

/// A call that is let go of while it is kept was given up by its client.
impl Drop for Carried {
    fn drop(&mut self) {
        self.close(None, true);
    }
}

fn end(order: Order) -> End {
    match order {
        Order::Cancel => End::Refused(Rejection::Cancelled),
        Order::LetGo | Order::GoOn => End::Left,
    }
}

/// How long a client that comes back waits for its lost stream to be noticed.
const NOTICE: Duration = Duration::from_secs(5);

/// The call of `client` whose stream has the number `stream`, to be taken up again. Where the gateway has not noticed that
/// the client lost it, it lets go of it now.
///
/// # Errors
/// [`Rejection::InvalidRequest`] where nothing of it is left.
pub async fn take_up(client: &ClientSession, stream: u64) -> Result<Carried, Rejection> {
    let mut turns = client.turns();
    if let Some(run) = client.running.on_stream(stream) {
        run.order(Order::LetGo);
    }
    let kept = async {
        loop {
            turns.borrow_and_update();
            let call = client.keep.take(stream);
            if call.is_some() || client.running.on_stream(stream).is_none() {
                return call;
            }
            if turns.changed().await.is_err() {
                return None;
            }
        }
    };
    let kept = tokio::time::timeout(NOTICE, kept).await.ok().flatten();
    kept.ok_or(Rejection::InvalidRequest("nothing is left of the stream that Last-Event-ID names"))
}

/// Who goes on with `call` after the event with the upstream's id `last`.
pub fn resumer(client: Arc<ClientSession>, call: Carried, last: String, until: Option<Instant>) -> Speaker {
    Box::new(move |mut record| {
        let (feed, voice) = Feed::new(Nature::Call, until);
        tokio::spawn(async move {
            let _in_use = client;
            call.resume(&last, &voice).await;
            record.standing(StreamEnd::CallStream);
            record.close(&Ending::plain(Outcome::Ok, 200, 0));
        });
        feed
    })
}
