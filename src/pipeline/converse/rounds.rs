//! A call of an older client to a modern upstream that asks by its result (MCP 2026-07-28 "Multi Round-Trip Requests"): what
//! it asks for becomes requests to the client on the stream of its call, and with their answers the call is sent again.
//!
//! A client that loses its connection takes no call back by that, but one that has to be asked something (`unheard`). One
//! without a session can be asked nothing, and is carried here for that reason alone.
//!
//! Each time it is judged anew (`again`). That is no retry of a call that may have run: the upstream asked for it, and knows it by its state.

use super::again::Again;
use super::line::{Line, Stop};
use super::parking::{Held, Parking};
use super::reading::{Heard, Reading};
use crate::pipeline::Gateway;
use crate::pipeline::feed::{Feed, Nature, Speaker, Voice};
use crate::pipeline::filter::{Filter, Form};
use crate::pipeline::forward::PreparedCall;
use crate::pipeline::record::{Aside, Record};
use crate::pipeline::reply::Reply;
use crate::pipeline::session::ClientSession;
use crate::pipeline::session::questions::{Asker, PATIENCE, Question};
use crate::pipeline::session::running::{Order, Run, Ticket};
use crate::store::limits::local::Admission;
use crate::upstream::client::Client;
use crate::upstream::pool::Pool;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use portcullis_core::jsonrpc::{self, Limits, quote};
use portcullis_core::mcp::rewrite::cancellation;
use portcullis_core::mcp::rounds::{self, Required};
use portcullis_core::policy::Permit;
use portcullis_core::reject::Rejection;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// How often an upstream may ask in one call.
const ROUNDS: usize = 8;
/// The pause before a call is sent again where nobody had to be asked.
const PAUSE: Duration = Duration::from_millis(250);

/// A call on its way.
struct Rounds {
    client: Arc<Client>,
    /// Where the client is asked, if it can be.
    session: Option<Arc<ClientSession>>,
    aside: Aside,
    pool: Arc<Pool>,
    headers: Vec<(HeaderName, HeaderValue)>,
    filter: Filter,
    places: Option<Admission>,
    line: Line,
    began: Option<Instant>,
    ticket: Option<Ticket>,
    /// Until when its caller's token is good.
    expires: Option<Instant>,
    parking: Arc<Parking>,
    again: Box<Again>,
    /// That for what was sent last.
    permit: Permit,
    /// Its client may leave before it ends: then the process waits for it for a moment.
    _held: Held,
}

/// What an upstream's answer is.
enum Turn {
    /// The end of the call.
    Complete,
    /// It asks for something.
    Asks(Required),
}

/// What the client was asked, and who waits for its answer.
struct Asked {
    key: String,
    id: Vec<u8>,
    answered: oneshot::Receiver<Bytes>,
}

/// Who carries `call` of a client that is asked within `session`, where it has one.
pub fn speaker(
    gateway: &Gateway,
    call: PreparedCall,
    session: Option<Arc<ClientSession>>,
    again: Box<Again>,
) -> Speaker {
    let (client, held) = (Arc::clone(&gateway.client), gateway.parking.hold());
    let parking = Arc::clone(&gateway.parking);
    Box::new(move |mut record: Record| {
        let (feed, voice) = Feed::new(Nature::Call, call.expires);
        let own = Bytes::copy_from_slice(call.filter.asker());
        let ticket = session.as_ref().map(|session| Ticket::new(session, Run::new(own, call.id, None, None)));
        let leaves = voice.clone();
        let rounds = Rounds {
            client,
            session,
            aside: record.aside(),
            pool: call.pool,
            headers: call.headers,
            filter: call.filter,
            places: Some(call.admission),
            line: Line::new(voice),
            began: None,
            ticket,
            expires: call.expires,
            parking,
            again,
            permit: call.permit,
            _held: held,
        };
        tokio::spawn(async move { rounds.run(call.body, leaves, &mut record).await });
        feed
    })
}

impl Rounds {
    /// Carries the call; `leaves` hears when its client does.
    async fn run(mut self, body: Bytes, leaves: Voice, record: &mut Record) {
        let ordered = self.ticket.as_ref().map(Ticket::ordered);
        let (principal, expires) = (self.again.principal(), self.expires);
        let parking = Arc::clone(&self.parking);
        let outstays = async move {
            leaves.left().await;
            parking.unheard.outstay(principal, expires, &parking).await;
        };
        let end = tokio::select! {
            biased;
            order = order(ordered) => Err(match order {
                Order::Cancel => Rejection::Cancelled.into(),
                Order::LetGo | Order::GoOn => Stop::Left,
            }),
            end = self.converse(body, record) => end,
            () = outstays => Err(Stop::Left),
        };
        self.places = None;
        if self.filter.is_outdated() {
            self.pool.ask_again();
        }
        self.line.close(end, &self.filter, record, self.began).await;
    }

    async fn converse(&mut self, mut body: Bytes, record: &mut Record) -> Result<(), Stop> {
        for round in 0..=ROUNDS {
            let required = match self.ask_upstream(body.clone()).await? {
                Turn::Complete => return Ok(()),
                // Nobody is asked for what would not be sent.
                Turn::Asks(_) if round == ROUNDS => break,
                Turn::Asks(required) => required,
            };
            let state = required.state.clone();
            let answers = self.ask_client(required).await?;
            // What is in flight under one id is one request (MCP 2026-07-28 "Requests").
            let id = quote(&Uuid::new_v4().to_string());
            let frame = jsonrpc::parse(&body, &Limits::ANSWER)?;
            body = rounds::again(&body, &frame, &id, &answers, state.as_deref()).ok_or(Rejection::Internal)?.into();
            self.filter.again(id.into());
            self.permit = self.line.throughout(self.again.judge(&self.permit, &mut self.filter, record)).await??;
        }
        Err(Rejection::InputMissing("it asked too often").into())
    }

    async fn ask_upstream(&mut self, body: Bytes) -> Result<Turn, Stop> {
        let sent = self.client.open_any(&self.pool, &self.headers, body);
        let (choice, stream) = self.line.throughout(sent).await?.map_err(Rejection::from)?;
        self.began.get_or_insert_with(Instant::now);
        let started = self.filter.start(stream.status, &stream.headers);
        if self.filter.unavailable() {
            self.pool.failed(choice.address);
        }
        let form = started?;
        if form == Form::Events {
            // Where the client has left, the call goes on.
            let _ = self.line.begin().await;
        }
        let mut reading = Reading::start(Arc::clone(&self.client), stream, form, self.filter.limit());
        loop {
            let heard = tokio::time::timeout(self.pool.upstream.timeout, reading.next());
            let heard = self.line.throughout(heard).await?.map_err(|_| Rejection::UpstreamTimeout)??;
            match heard.ok_or(Rejection::UpstreamUnavailable)? {
                // Newer servers' streams can't be taken up again.
                Heard::Place(_) | Heard::Alive => {}
                Heard::Whole(body) => {
                    let (status, message) = self.filter.whole(&body)?;
                    return self.turn(status, message).await;
                }
                Heard::Message(message) => match self.filter.pass(&message)? {
                    Some(message) if self.filter.is_answered() => return self.turn(200, message.into()).await,
                    Some(message) if !self.line.has_left() => {
                        let _ = self.line.event(&message).await;
                    }
                    _ => {}
                },
            }
        }
    }

    /// The answer has come.
    async fn turn(&mut self, status: u16, message: Bytes) -> Result<Turn, Stop> {
        if let Some(required) = Required::read(&message)? {
            return Ok(Turn::Asks(required));
        }
        // Before the client can know: its next call must not meet its last one.
        self.places = None;
        if !self.line.has_left() {
            self.line.answer(Reply::json(status, message)).await?;
        }
        Ok(Turn::Complete)
    }

    /// Asks the client all of `required`, and gives its answers by their keys.
    async fn ask_client(&mut self, required: Required) -> Result<BTreeMap<String, Vec<u8>>, Stop> {
        if required.questions.is_empty() {
            self.line.throughout(tokio::time::sleep(PAUSE)).await?;
            return Ok(BTreeMap::new());
        }
        // The filter lets no questions through where nobody can be asked.
        let session = self.session.clone().ok_or(Rejection::Internal)?;
        let mut open = Vec::new();
        let end = self.ask(&session, required, &mut open).await;
        for asked in open {
            // Nobody waits for it any more.
            session.questions.take(&asked.id);
            self.line.event(&cancellation(&asked.id)).await?;
        }
        end
    }

    /// `open` is what was asked and not answered.
    async fn ask(
        &mut self,
        session: &ClientSession,
        required: Required,
        open: &mut Vec<Asked>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Stop> {
        let until = Instant::now() + PATIENCE;
        for (key, question) in required.questions {
            if !question.is_for(session.capabilities) {
                return Err(Rejection::UpstreamIncompatible("it asks for input that you can't give").into());
            }
            let (asker, answered) = oneshot::channel();
            let method = question.method.clone();
            let entry = Question { method, asker: Asker::Task(asker), until, waiting: None };
            let id = session.questions.put(entry);
            let id = id.ok_or(Rejection::InputMissing("too many questions are open"))?;
            // Pages are known by an id in 2025-11-25, and by none later.
            let question = question.with_page_id(&Uuid::new_v4().to_string());
            self.line.event(&question.request(&id)).await?;
            self.aside.asked(&question.method, &self.pool.upstream.name);
            open.push(Asked { key, id, answered });
        }
        let mut answers = BTreeMap::new();
        while let Some(Asked { answered, .. }) = open.first_mut() {
            let answered = self.line.during(tokio::time::timeout_at(until.into(), answered)).await?;
            let Asked { key, .. } = open.remove(0);
            let answer = answered.map_err(|_| Rejection::InputMissing("nobody answered in time"))?;
            let answer = answer.map_err(|_| Rejection::InputMissing("the session has ended"))?;
            match rounds::reply(&answer) {
                Some(rounds::Reply::Result(result)) => answers.insert(key, result),
                _ => return Err(Rejection::InputMissing("you gave none").into()),
            };
        }
        Ok(answers)
    }
}

/// Waits for the order that `ordered` gives, where anybody can give one.
async fn order(ordered: Option<impl Future<Output = Order>>) -> Order {
    match ordered {
        Some(ordered) => ordered.await,
        None => std::future::pending().await,
    }
}
