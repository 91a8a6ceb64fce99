//! The hot path: pingora's proxy, told by the stages what to do.
//!
//! `request_filter` runs the stages; nothing has left for an upstream when it ends with an answer. What it lets through is
//! sent by pingora with the body and header that `pipeline::forward` prepared, and every byte of the answer passes
//! `answer`. A call is sent once: only a connection that could not be made is tried again elsewhere.

use crate::config::snapshot::Gateway as Settings;
use crate::pipeline::arrival::{Arrival, Ids, Target, Verb};
use crate::pipeline::feed::{Feed, Nature};
use crate::pipeline::forward::leaves_at_work;
use crate::pipeline::record::{Ending, Origin, Record};
use crate::pipeline::reply::{Form, Reply};
use crate::pipeline::{self, Gateway, Live, Verdict};
use crate::server::answer::{self, Answer};
use crate::server::body::{self, Room, Share};
use crate::server::cors::{self, Cors};
use crate::server::drain::Drain;
use crate::server::edge::{self, Asked};
use crate::server::exchange::Exchange;
use crate::server::forwarding::Forwarding;
use crate::server::places::Places;
use crate::server::replay;
use crate::server::reply::Head;
use crate::server::{connection, metadata, stream};
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use http::HeaderValue;
use pingora::apps::HttpServerOptions;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use portcullis_core::audit::Outcome;
use portcullis_core::reject::Rejection;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

/// Idle connections to upstreams that are kept.
const POOLED: usize = 256;

/// The proxy's side of the gateway.
pub struct Proxy {
    gateway: Arc<Gateway>,
    drain: Drain,
    room: Room,
    places: Places,
}

impl Proxy {
    /// The service that listeners hand connections to.
    pub fn serve(gateway: Arc<Gateway>, drain: Drain, settings: &Settings) -> Arc<HttpProxy<Self>> {
        let conf = Arc::new(ServerConf { upstream_keepalive_pool_size: POOLED, ..ServerConf::default() });
        let mut proxy = http_proxy(&conf, Self { gateway, drain, room: Room::default(), places: Places::default() });
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(settings.edge.keepalive.0);
        proxy.server_options = Some(options);
        Arc::new(proxy)
    }

    /// Stage 0, and the answers that need no stage.
    async fn arrive(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let live = self.gateway.live.load_full();
        let request = session.req_header();
        let inspect = || edge::inspect(request, peer(session), &live.snapshot.gateway, &live.snapshot.routes);
        let asked = connection::refusal().map_or_else(inspect, Err);
        let reply = match asked {
            Ok(Asked::Call(arrival)) => match self.places.take(live.snapshot.gateway.edge.calls) {
                Some(place) => {
                    exchange.place = Some(place);
                    return self.call(session, exchange, &live, *arrival).await;
                }
                None => return self.turn_away(session, exchange, &live, &Rejection::Overloaded).await,
            },
            Ok(Asked::Health) => Reply::json(200, Bytes::from_static(br#"{"status":"ok"}"#)),
            Ok(Asked::Metadata(resource)) => metadata::document(&live.snapshot, resource),
            Ok(Asked::Preflight) => cors::preflight(request),
            Err(rejection) => return self.turn_away(session, exchange, &live, &rejection).await,
        };
        exchange.head = Some(head(session, &edge::ids(session.req_header()), &live));
        self.reply(session, exchange, reply).await
    }

    /// A request whose header was refused.
    async fn turn_away(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        live: &Live,
        rejection: &Rejection,
    ) -> Result<bool> {
        // What keeps the connection is a request whose end is beyond doubt.
        let clear = matches!(rejection, Rejection::NotFound | Rejection::MethodNotAllowed(_));
        if !clear || !session.downstream_session.is_body_empty() {
            session.set_keepalive(None);
        }
        let (endpoint, form) = edge::meant(session.req_header(), &live.snapshot.routes);
        let ids = edge::ids(session.req_header());
        exchange.head = Some(head(session, &ids, live));
        let reply = form.refusal(rejection);
        let origin = Origin { ids: &ids, peer: peer(session), endpoint, at: Instant::now() };
        Record::open(&self.gateway, live, &origin).refuse(rejection, reply.status, reply.body.len());
        self.reply(session, exchange, reply).await
    }

    async fn call(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        live: &Live,
        arrival: Arrival,
    ) -> Result<bool> {
        exchange._running = Some(self.drain.begin());
        let head = head(session, &arrival.ids, live);
        exchange.head = Some(head.clone());
        let mut record = Record::open(&self.gateway, live, &Origin::of(&arrival));
        // A panic is this request's 500 and nobody else's.
        let staged = AssertUnwindSafe(self.stages(session, live, &arrival, &mut record, &mut exchange.taken));
        let staged = staged.catch_unwind().await;
        let (form, verdict) = staged.unwrap_or_else(|_| (form(&arrival), Err(Rejection::Internal)));
        // The message may have named another trace than its header.
        let head = head.in_trace(record.trace_id());
        exchange.head = Some(head.clone());
        match verdict {
            Ok(Verdict::Answer(reply)) => {
                record.close(&Ending::plain(Outcome::Ok, reply.status, reply.body.len()));
                self.reply(session, exchange, reply).await
            }
            Ok(Verdict::Speak(speaker)) => Box::pin(self.speak(session, exchange, live, head, speaker(record))).await,
            Ok(Verdict::Forward(call)) => {
                exchange.call =
                    Some(Box::new(Forwarding::start(*call, head, &mut session.downstream_session, self.drain.clone())));
                exchange.record = Some(record);
                Ok(false)
            }
            Err(rejection) => {
                let reply = metadata::challenge(
                    &live.snapshot,
                    session.req_header().uri.path(),
                    &rejection,
                    form.refusal(&rejection),
                );
                record.refuse(&rejection, reply.status, reply.body.len());
                if body::is_unread(&rejection) {
                    session.set_keepalive(None);
                }
                self.reply(session, exchange, reply).await
            }
        }
    }

    /// Writes what the gateway itself says bit by bit.
    async fn speak(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        live: &Live,
        head: Head,
        feed: Feed,
    ) -> Result<bool> {
        if feed.nature == Nature::Standing {
            exchange.place = None;
        }
        let silence = live.snapshot.gateway.edge.stream_silence.0;
        match stream::write(session, &head, feed, &self.drain, silence).await? {
            Some(reply) => self.reply(session, exchange, reply).await,
            None => Ok(true),
        }
    }

    /// Runs the stages. What the refusal must look like depends on how far they came.
    async fn stages(
        &self,
        session: &mut Session,
        live: &Live,
        arrival: &Arrival,
        record: &mut Record,
        room: &mut Option<Share>,
    ) -> (Form, Result<Verdict, Rejection>) {
        let mut form = form(arrival);
        let verdict = async {
            let caller = pipeline::admit(&self.gateway, live, arrival, record).await?;
            if arrival.verb != Verb::Post {
                return pipeline::attend(&self.gateway, live, arrival, caller, record).await;
            }
            let (body, taken) = body::read(session, &live.snapshot, &self.room, &caller.principal).await?;
            *room = Some(taken);
            record.body(body.len());
            let judged = pipeline::judge(&self.gateway, live, arrival, caller, body, &mut form, record);
            stream::attended(session, &arrival.presence, judged).await
        };
        let verdict = verdict.await;
        (form, verdict)
    }

    /// Takes the wrapper away and tells the pool how its replica did.
    fn bring_home(&self, session: &mut Session, exchange: &mut Exchange, error: Option<&Error>) {
        let Some(forwarding) = &exchange.call else { return };
        let Some(answer) = replay::swap_out(&mut session.downstream_session, &forwarding.home) else { return };
        let overdue = matches!(answer.failure, Some(Rejection::UpstreamTimeout));
        let failed = overdue || error.is_some_and(|error| *error.esource() == ErrorSource::Upstream);
        if failed || answer.filter().unavailable() {
            forwarding.failed();
        } else if answer.began.is_some() {
            forwarding.succeeded();
        }
        if answer.filter().is_outdated() {
            forwarding.ask_again();
        }
        if answer.filter().lost_session() {
            forwarding.forget_session(&self.gateway.sessions);
        }
        exchange.answer = Some(answer);
    }

    async fn reply(&self, session: &mut Session, exchange: &mut Exchange, reply: Reply) -> Result<bool> {
        let Some(head) = &exchange.head else { return Error::e_explain(ErrorType::InternalError, "no head") };
        let header = head.whole(&reply);
        let without_body = reply.body.is_empty() || session.req_header().method == http::Method::HEAD;
        session.downstream_session.write_response_header(Box::new(header)).await.map_err(|e| e.into_down())?;
        if !without_body {
            session.downstream_session.write_response_body(reply.body, true).await.map_err(|e| e.into_down())?;
        }
        body::linger(session).await;
        Ok(true)
    }

    /// The answer to a call that failed before its client was told anything.
    async fn apologise(&self, session: &mut Session, e: &Error, exchange: &mut Exchange) -> Result<bool> {
        let rejection = match &mut exchange.answer {
            Some(answer) => answer.failure.get_or_insert_with(|| answer::rejection(e)).clone(),
            None => Rejection::Internal,
        };
        tracing::warn!(reason = rejection.row().label, error = %e, "a call failed");
        let filter = exchange.answer.as_ref().map(Answer::filter);
        let reply = filter.map_or_else(|| Form::Rpc(None).refusal(&rejection), |filter| filter.refusal(&rejection));
        if let Some(answer) = &mut exchange.answer {
            answer.release();
            (answer.status, answer.bytes_out) = (Some(reply.status), reply.body.len() as u64);
        }
        session.set_keepalive(None);
        self.reply(session, exchange, reply).await
    }

    /// The last words of a stream that the gateway itself ends.
    async fn say_farewell(session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let farewell = exchange.answer.as_mut().map(Answer::farewell).unwrap_or_default();
        session.downstream_session.write_response_body(farewell, true).await.map_err(|e| e.into_down())?;
        Ok(true)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::default()
    }

    /// None: pingora's own compresses, and what is compressed can't be filtered.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        connection::request_began();
        let edge = &self.gateway.live.load().snapshot.gateway.edge;
        session.set_write_timeout(Some(edge.write_timeout.0));
        let last = self.drain.is_ending() || connection::ends_soon() || edge::is_chunked(session.req_header());
        session.set_keepalive(if last { None } else { Some(edge.keepalive.0.as_secs().max(1)) });
        self.arrive(session, exchange).await
    }

    async fn upstream_peer(&self, _: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        let Some(forwarding) = exchange.call.as_mut() else {
            return Error::e_explain(ErrorType::InternalError, "no call to send");
        };
        forwarding.next(&self.gateway.sessions).await
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let Some(forwarding) = &exchange.call else {
            return Error::e_explain(ErrorType::InternalError, "no call to send");
        };
        // pingora has settled the version by now, and takes it for granted.
        let version = request.version;
        *request = forwarding.header()?;
        request.set_version(version);
        Ok(())
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        _: std::os::unix::io::RawFd,
        _: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(record) = &mut exchange.record {
            record.sent();
        }
        Ok(())
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, exchange: &mut Exchange, mut e: Box<Error>) -> Box<Error> {
        if let Some(forwarding) = &mut exchange.call {
            e.set_retry(forwarding.connect_failed(&self.gateway.sessions));
        }
        e
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        header: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let status = header.status.as_u16();
        match &mut exchange.call {
            Some(call) if status == 404 => call.not_found(&self.gateway.sessions),
            _ => Ok(()),
        }
    }

    /// Never again: the upstream may have run the call, whatever became of the connection (abuse case 57). The one
    /// exception is an upstream that said that it did not.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        _: &mut Session,
        e: Box<Error>,
        exchange: &mut Exchange,
        _: bool,
    ) -> Box<Error> {
        let mut e = e.more_context(format!("peer {peer}"));
        e.set_retry(exchange.call.as_ref().is_some_and(|call| call.wants_session()));
        e
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, exchange: &mut Exchange) -> FailToProxy {
        self.bring_home(session, exchange, Some(e));
        let nothing_said = session.response_written().is_none_or(|head| head.status.is_informational());
        let cut_off = *e.etype() == replay::CUT_OFF;
        let told = match (nothing_said, cut_off || *e.esource() != ErrorSource::Downstream) {
            (true, true) => self.apologise(session, e, exchange).await,
            (false, true) if cut_off => Self::say_farewell(session, exchange).await,
            _ => Ok(true),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "the client left before it was told of a failure");
        }
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, e: Option<&Error>, exchange: &mut Exchange) {
        self.bring_home(session, exchange, e);
        let left = e.is_some_and(|error| *error.esource() == ErrorSource::Downstream);
        let failure = exchange.answer.as_ref().and_then(|answer| answer.failure.as_ref());
        let gave_up = failure.is_some_and(leaves_at_work);
        if let Some(call) = exchange.call.as_mut() {
            match (gave_up, left) {
                (true, _) => call.take_back(&self.gateway.sessions),
                (false, true) => call.abandoned(&self.gateway.sessions),
                (false, false) => {}
            }
        }
        exchange.settle(e);
        connection::request_ended();
    }

    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }
}

fn head(session: &Session, ids: &Ids, live: &Live) -> Head {
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    let http1 = session.as_http1().is_some();
    let cors = Cors::of(&session.req_header().headers, &live.snapshot.gateway.origins);
    Head { request_id: value(&ids.request.to_string()), trace_id: value(&ids.trace), http1, cors }
}

fn peer(session: &Session) -> Option<IpAddr> {
    session.client_addr()?.as_inet().map(SocketAddr::ip)
}

/// How a refusal must look before the body says more.
fn form(arrival: &Arrival) -> Form {
    match arrival.target {
        Target::Invoke => Form::Rest,
        Target::Endpoint(_) => Form::Rpc(None),
    }
}
