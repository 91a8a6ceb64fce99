//! A call of a modern client to an older upstream that asks by a request on the stream of its call (MCP 2025-11-25
//! "Elicitation", "Sampling", "Roots"): the client is asked by the answer to its call, and the upstream's stream waits until
//! it calls once more (MCP 2026-07-28 "Multi Round-Trip Requests").
//!
//! What the upstream says meanwhile waits too, and passes the filter of the request that hears it. A client that leaves, or
//! does not come back, takes the call back: an older upstream must be told so.

use super::again::Again;
use super::exchange::{Exchange, Resumed, Told};
use super::line::{Line, Stop};
use super::parking::{Binding, Held, Parked as Place, Parking};
use super::reading::{Heard, Reading};
use super::resumption::Place as Rest;
use super::{Parked, unasked};
use crate::pipeline::feed::{Feed, Nature, Speaker};
use crate::pipeline::filter::Form;
use crate::pipeline::forward::{self, PreparedCall, leaves_at_work};
use crate::pipeline::record::{Aside, Ending, Record};
use crate::pipeline::reply::Reply;
use crate::pipeline::{Gateway, Live};
use crate::secrets::seal::Seal;
use crate::telemetry::metrics::Metrics;
use crate::upstream::client::{Client, Failure, Stream};
use crate::upstream::pool::Pool;
use crate::upstream::session::{Owner, Session, Sessions};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use portcullis_core::audit::Outcome;
use portcullis_core::jsonrpc::quote;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::rounds::{Question, Required};
use portcullis_core::policy::Permit;
use portcullis_core::reject::{Era, Rejection};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for more questions after one has come, so that the client is asked for all of them at once.
const GRACE: Duration = Duration::from_millis(20);
/// Questions that may be open in one call.
const OPEN: usize = 64;

/// A call on its way.
struct Call {
    client: Arc<Client>,
    sessions: Arc<Sessions>,
    parking: Arc<Parking>,
    metrics: Arc<Metrics>,
    seal: Seal,
    pool: Arc<Pool>,
    owner: Owner,
    upstream: Arc<Session>,
    capabilities: Capabilities,
    binding: Binding,
    /// What takes it back.
    farewell: Bytes,
    /// From where on the rest of the upstream's stream can be had.
    rest: Rest,
    /// What the client must still answer, by the keys under which it is asked.
    open: BTreeMap<String, Open>,
    /// How many questions there were.
    asked: u64,
    aside: Aside,
    record: Record,
    began: Option<Instant>,
    /// What the request that began it was told, once another has taken its place.
    first: Option<Told>,
    hears: Exchange,
    again: Box<Again>,
    permit: Permit,
    held: Held,
}

/// A question that is open.
struct Open {
    /// The raw id that the upstream gave it.
    id: Bytes,
    question: Question,
}

/// What is sent.
struct Outgoing {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// What the upstream's stream came to.
enum Turn {
    /// The end of the call.
    Complete,
    /// Somebody must be asked.
    Asks,
}

/// Who carries `call`, which may have to wait for its client.
pub fn speaker(gateway: &Gateway, live: &Live, call: PreparedCall, parked: Parked, again: Box<Again>) -> Speaker {
    let (client, sessions) = (Arc::clone(&gateway.client), Arc::clone(&gateway.sessions));
    let (parking, metrics, seal) = (Arc::clone(&gateway.parking), Arc::clone(&gateway.metrics), live.seal.clone());
    Box::new(move |mut record: Record| {
        let (feed, voice) = Feed::new(Nature::Call, call.expires);
        let line = Line::new(voice);
        let (Some(upstream), Some(farewell)) = (call.session, call.farewell) else {
            tokio::spawn(async move {
                line.close(Err(Rejection::Internal.into()), &call.filter, &mut record, None).await;
            });
            return feed;
        };
        let held = parking.hold();
        let hears = Exchange { line, filter: call.filter, places: Some(call.admission), record: None };
        let carried = Call {
            client,
            sessions,
            parking,
            metrics,
            seal,
            pool: call.pool,
            owner: call.owner,
            upstream,
            capabilities: parked.capabilities,
            binding: parked.binding,
            farewell: farewell.message,
            rest: Rest::default(),
            open: BTreeMap::new(),
            asked: 0,
            aside: record.aside(),
            record,
            began: None,
            first: None,
            hears,
            again,
            permit: call.permit,
            held,
        };
        tokio::spawn(carried.run(Outgoing { headers: call.headers, body: call.body }));
        feed
    })
}

impl Call {
    async fn run(mut self, out: Outgoing) {
        let end = self.carry(out).await;
        if self.hears.filter.lost_session() {
            self.sessions.forget(&self.upstream, &self.owner);
        }
        let taken_back = match &end {
            Ok(()) => false,
            Err(Stop::Left) => true,
            Err(Stop::Refused(rejection)) => leaves_at_work(rejection),
        };
        if taken_back {
            self.take_back().await;
        }
        self.settle(end).await;
    }

    async fn carry(&mut self, out: Outgoing) -> Result<(), Stop> {
        unasked::attend(&self.upstream, &self.aside, || self.parking.hold());
        let sent = self.send(&out);
        let (upstream, stream) = self.hears.line.during(sent).await??;
        self.upstream = upstream;
        drop(out);
        self.began = Some(Instant::now());
        let started = self.hears.filter.start(stream.status, &stream.headers);
        if self.hears.filter.unavailable() {
            self.pool.failed(self.upstream.replica.address);
        }
        let form = started?;
        if form == Form::Events {
            self.hears.line.begin().await?;
        }
        let mut reading = Reading::start(Arc::clone(&self.client), stream, form, self.hears.filter.limit());
        while let Turn::Asks = self.listen(&mut reading).await? {
            while !self.open.is_empty() {
                self.park().await?;
            }
        }
        Ok(())
    }

    /// Hears the upstream until the call is answered or somebody must be asked.
    async fn listen(&mut self, reading: &mut Reading) -> Result<Turn, Stop> {
        // When the client is asked, however much the upstream says after its first question.
        let mut asks: Option<Instant> = None;
        let mut silent_since = Instant::now();
        while asks.is_none_or(|at| Instant::now() < at) {
            let until = asks.unwrap_or_else(|| silent_since + self.pool.upstream.timeout);
            let heard = self.hears.line.during(tokio::time::timeout_at(until.into(), reading.next())).await?;
            let heard = match heard {
                Err(_) if asks.is_some() => break,
                heard => heard.map_err(|_| Rejection::UpstreamTimeout)??,
            };
            let Some(heard) = heard else {
                if asks.is_none() {
                    *reading = self.take_up(&mut silent_since).await?;
                } else if !self.rest.is_known() {
                    return Err(Rejection::UpstreamUnavailable.into());
                } else {
                    break;
                }
                continue;
            };
            silent_since = Instant::now();
            match heard {
                Heard::Alive => {}
                Heard::Place(next) => self.rest.go_on(next),
                Heard::Whole(body) => {
                    let (status, message) = self.hears.filter.whole(&body)?;
                    return self.answer(status, message).await;
                }
                Heard::Message(message) => {
                    if let Some((id, question)) = self.hears.filter.question(&message)? {
                        self.asked_back(id, question).await;
                        asks = asks.or_else(|| (!self.open.is_empty()).then(|| Instant::now() + GRACE));
                    } else if let Some(message) = self.hears.filter.pass(&message)? {
                        if self.hears.filter.is_answered() {
                            return self.answer(200, message.into()).await;
                        }
                        self.hears.line.event(&message).await?;
                    }
                }
            }
        }
        Ok(Turn::Asks)
    }

    /// What is left of the upstream's stream, which it ended. Nothing was heard since `silent_since`, which does not count the
    /// time that the upstream asks for.
    async fn take_up(&mut self, silent_since: &mut Instant) -> Result<Reading, Stop> {
        if !self.rest.is_known() {
            return Err(Rejection::UpstreamUnavailable.into());
        }
        let pause = self.rest.pause();
        self.hears.line.during(tokio::time::sleep(pause)).await?;
        *silent_since += pause;
        let taken = self.rest.take_up(&self.client, &self.upstream, &mut self.hears.filter);
        let until = *silent_since + self.pool.upstream.timeout;
        let taken = self.hears.line.during(tokio::time::timeout_at(until.into(), taken)).await?;
        Ok(taken.map_err(|_| Rejection::UpstreamTimeout)??)
    }

    async fn answer(&mut self, status: u16, message: Bytes) -> Result<Turn, Stop> {
        // Before the client can know: its next call must not meet its last one.
        self.hears.places = None;
        self.hears.line.answer(Reply::json(status, message)).await?;
        Ok(Turn::Complete)
    }

    /// The upstream asks `question` under its own raw id `id`.
    async fn asked_back(&mut self, id: Bytes, question: Question) {
        if question.method == "ping" {
            self.tell(rpc_result(&id, b"{}")).await;
        } else if question.is_for(self.capabilities) && self.open.len() < OPEN {
            self.asked += 1;
            self.aside.asked(&question.method, &self.pool.upstream.name);
            // Of no use to who answers: it has no request of the upstream's whose progress it could tell.
            let question = question.without(&["_meta", "task", "elicitationId"]);
            self.open.insert(self.asked.to_string(), Open { id, question });
        } else {
            self.refuse(&id, &question.method).await;
        }
    }

    /// Tells the upstream that its question, under its own raw id `id`, reaches nobody.
    async fn refuse(&mut self, id: &[u8], method: &str) {
        let rejection = Rejection::MethodNotFound { era: Era::Legacy };
        self.aside.refused(method, &self.pool.upstream.name, &rejection);
        self.tell(unasked::refusal(id)).await;
    }

    /// Asks the client what is open, and waits until it comes back. What it does not answer stays open.
    async fn park(&mut self) -> Result<(), Stop> {
        let entered = self.parking.enter(&self.seal, &self.binding, self.record.call());
        let (mut place, state) = entered?;
        let questions = self.open.iter().map(|(key, open)| (key.clone(), open.question.clone())).collect();
        let required = Required { questions, state: Some(quote(&state)) };
        self.hears.places = None;
        let message = required.response(self.hears.filter.asker());
        self.hears.line.answer(Reply::json(200, message.into())).await?;
        self.hears.rest();
        self.metrics.parked(self.parking.count());
        let resumed = self.waits(&mut place).await;
        drop(place);
        self.metrics.parked(self.parking.count());
        for (key, answer) in resumed? {
            if let Some(open) = self.open.remove(&key) {
                self.give(&open.id, &answer).await?;
            }
        }
        if self.open.is_empty() {
            self.hears.line.begin().await?;
        }
        Ok(())
    }

    /// Waits for the client to come back; what it brings. A call that may not run any more does not wait: it is judged again whenever what it was judged by changes.
    async fn waits(&mut self, place: &mut Place) -> Result<BTreeMap<String, Vec<u8>>, Stop> {
        let mut changes = self.again.changes();
        let resumed = loop {
            tokio::select! {
                biased;
                resumed = place.resumed() => break resumed,
                () = changes.next() => {}
            }
            match self.again.judge(&self.permit, &mut self.hears.filter, &mut self.record).await {
                Ok(permit) => self.permit = permit,
                Err(rejection) => {
                    if let Some(resumed) = place.leave().await {
                        self.hear(resumed);
                    }
                    return Err(rejection.into());
                }
            }
        };
        Ok(self.hear(resumed.ok_or(Stop::Left)?))
    }

    /// Puts the request that came back in the place of the one that was told to; what it brings.
    fn hear(&mut self, resumed: Resumed) -> BTreeMap<String, Vec<u8>> {
        let before = std::mem::replace(&mut self.hears, resumed.exchange);
        self.hears.filter.go_on_from(&before.filter);
        self.first.get_or_insert_with(|| before.told());
        resumed.answers
    }

    async fn give(&self, id: &[u8], answer: &[u8]) -> Result<(), Stop> {
        let given = self.upstream.post(rpc_result(id, answer));
        let given = self.hears.line.during(given).await?.map_err(Rejection::from)?;
        if given.status / 100 == 2 { Ok(()) } else { Err(Rejection::UpstreamUnavailable.into()) }
    }

    /// Tells the upstream something that nothing depends on.
    async fn tell(&self, message: Bytes) {
        if let Err(failure) = self.upstream.post(message).await {
            tracing::debug!(upstream = self.pool.upstream.name, %failure, "an upstream could not be told");
        }
    }

    /// Tells the upstream that nobody waits any more.
    async fn take_back(&mut self) {
        for (_, open) in std::mem::take(&mut self.open) {
            self.tell(unasked::refusal(&open.id)).await;
        }
        self.tell(self.farewell.clone()).await;
    }

    /// Sends the call, and once more in another session where the upstream does not know this one, or can't be reached:
    /// then it did not take the call.
    async fn send(&self, out: &Outgoing) -> Result<(Arc<Session>, Stream), Rejection> {
        let sent = self.upstream.call(&out.headers, out.body.clone()).await;
        let lost = match &sent {
            Ok(stream) => stream.status == 404 && self.upstream.has_id(),
            Err(failure) => *failure == Failure::Connect,
        };
        if !lost {
            return Ok((Arc::clone(&self.upstream), sent.map_err(Rejection::from)?));
        }
        self.sessions.forget(&self.upstream, &self.owner);
        let opened = self.sessions.of(&self.pool, &self.owner).await;
        let opened = opened.map_err(|error| forward::no_session(&self.pool, &error))?;
        unasked::attend(&opened, &self.aside, || self.parking.hold());
        let stream = opened.call(&out.headers, out.body.clone()).await.map_err(Rejection::from)?;
        Ok((opened, stream))
    }

    /// Closes the records: that of the request that is answered now, and that of the call.
    async fn settle(self, end: Result<(), Stop>) {
        // Until its record is closed.
        let Self { hears, mut record, began, first, held: _held, .. } = self;
        let Some(first) = first else {
            let Exchange { line, filter, .. } = hears;
            return line.close(end, &filter, &mut record, began).await;
        };
        let (outcome, rejection) = match &end {
            Ok(()) if hears.filter.tool_error() => (Outcome::ToolError, None),
            Ok(()) => (Outcome::Ok, None),
            Err(Stop::Left) => (Outcome::Cancelled, None),
            Err(Stop::Refused(rejection)) => (Outcome::Failed, Some(rejection.clone())),
        };
        hears.end(end, began).await;
        record.close(&Ending {
            outcome,
            status: Some(200),
            rejection: rejection.as_ref(),
            bytes_out: first.bytes_out,
            answered: began,
            redactions: Some(&first.counts),
        });
    }
}

fn rpc_result(id: &[u8], result: &[u8]) -> Bytes {
    crate::pipeline::reply::rpc_response_raw(Some(id), "result", result)
}
