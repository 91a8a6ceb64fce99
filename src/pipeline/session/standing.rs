//! The stream of news of a client's session (MCP 2025-11-25 "Listening for Messages"): what its upstreams say by
//! themselves, on streams that the gateway holds open in the sessions with them for as long as the client listens.
//!
//! An upstream with which no session is open has nothing to say, and none is opened for it. That lists have changed is not
//! taken from upstreams: what a caller may see of a change is known to the catalogue alone (`news`). So is what resources
//! do of upstreams that speak to us in newer revisions.

use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::authorise::Viewer;
use crate::pipeline::feed::{Feed, Left, Nature, Speaker, Voice, Word};
use crate::pipeline::filter::{Eras, Filter, Form, Talk, Tasks, Terms, Withheld};
use crate::pipeline::news::{Listener, Wanted, Watch};
use crate::pipeline::record::{Aside, Ending, Record};
use crate::pipeline::reply::Form as Asker;
use crate::pipeline::session::line::{EventIds, Line, STANDING};
use crate::pipeline::session::{ClientSession, Listening, carry};
use crate::pipeline::streams::{Place, StreamEnd};
use crate::pipeline::{Gateway, Live, forward};
use crate::upstream::client::Stream;
use crate::upstream::session::Session;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;
use portcullis_core::audit::Outcome;
use portcullis_core::catalog::Catalog;
use portcullis_core::jsonrpc::{self, Object};
use portcullis_core::mcp::level::Level;
use portcullis_core::mcp::news::{Interests, News};
use portcullis_core::mcp::sse;
use portcullis_core::redact::Counts;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::route::Endpoint;
use portcullis_core::tool::ToolName;
use rand::RngExt;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};

/// How soon a stream that broke is opened again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Who hears the news of a session, and where.
#[derive(Clone)]
pub struct Audience {
    gateway: Arc<Gateway>,
    caller: Arc<Caller>,
    endpoint: Arc<Endpoint>,
    peer: Option<IpAddr>,
}

impl Audience {
    /// Who sent `arrival`; `None` where it is for no endpoint.
    pub fn new(gateway: &Arc<Gateway>, caller: &Arc<Caller>, arrival: &Arrival) -> Option<Self> {
        let Target::Endpoint(endpoint) = &arrival.target else { return None };
        let (gateway, caller, endpoint) = (Arc::clone(gateway), Arc::clone(caller), Arc::clone(endpoint));
        Some(Self { gateway, caller, endpoint, peer: arrival.peer })
    }

    /// Whether it is at an endpoint of several upstreams.
    pub fn is_of_several(&self) -> bool {
        self.endpoint.is_aggregate()
    }

    /// Whether a notification of `upstream` is for this audience in `session`, as policy is now.
    pub fn hears(
        &self,
        session: &ClientSession,
        upstream: &Session,
        method: &str,
        params: Option<&Object>,
        message: &[u8],
    ) -> bool {
        let member = |key: &str| params.and_then(|params| params.value(key)).map(|span| span.of(message));
        match method {
            "notifications/progress" => {
                member("progressToken").is_some_and(|token| session.running.wants_progress(token))
            }
            "notifications/elicitation/complete" => session.capabilities.url,
            "notifications/resources/updated" => {
                let upstream = upstream.pool().upstream.name.as_str();
                let uri = member("uri").and_then(jsonrpc::string);
                uri.is_some_and(|uri| session.wishes.wants(upstream, &uri) && self.may_read(session, upstream, &uri))
            }
            _ => false,
        }
    }

    fn may_read(&self, session: &ClientSession, upstream: &str, uri: &str) -> bool {
        let live = self.gateway.live.load();
        let name = ToolName::new(upstream, uri);
        self.as_viewer(&live, session, |viewer| viewer.may_read(&live, &name))
    }

    /// Whether it may know of anything of `upstream` in `session`, as `live` says: of what `catalog` has, or of a resource
    /// that it wants news of, which need not be listed.
    fn sees_any(&self, live: &Live, catalog: &Catalog, session: &ClientSession, upstream: &str) -> bool {
        self.as_viewer(live, session, |viewer| {
            let wanted = session.wishes.resources(|of| of == upstream);
            catalog.upstreams.get(upstream).is_some_and(|offered| viewer.sees_any(live, offered))
                || wanted.iter().any(|uri| viewer.may_read(live, &ToolName::new(upstream, uri)))
        })
    }

    /// What `look` finds for somebody who has the roles that `live` gives the caller.
    fn as_viewer(&self, live: &Live, session: &ClientSession, look: impl FnOnce(&Viewer<'_>) -> bool) -> bool {
        let roles = live.snapshot.policy.roles(&self.caller.principal);
        let caller = Caller { principal: Arc::clone(&self.caller.principal), roles };
        let (endpoint, protocol) = (self.endpoint.name.as_str(), session.version.as_str());
        look(&Viewer { caller: &caller, endpoint, protocol, client: self.peer })
    }

    /// The sessions that `client` has open with upstreams of which it may know anything now: only they are heard.
    fn heard_sessions(&self, live: &Live, catalog: &Catalog, client: &ClientSession) -> Vec<Arc<Session>> {
        let open = open_sessions(&self.gateway, &self.endpoint.name, client).into_iter();
        open.filter(|session| self.sees_any(live, catalog, client, &session.pool().upstream.name)).collect()
    }
}

/// Opens the stream that `arrival` asks for: the news of `session`, or what is left of the stream of a call.
///
/// # Errors
/// [`Rejection::AlreadyListening`], [`Rejection::InvalidRequest`] where nothing is left, [`Rejection::JournalUnavailable`].
pub async fn open(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    caller: &Arc<Caller>,
    session: Arc<ClientSession>,
    record: &mut Record,
) -> Result<Speaker, Rejection> {
    let unknown = Rejection::InvalidRequest("Last-Event-ID names no event of this session");
    let sealed = arrival.last_event.as_ref().map(HeaderValue::to_str).transpose().map_err(|_| unknown.clone())?;
    let open = |sealed| EventIds::open(&live.seal, &session, sealed).ok_or(unknown);
    let until = forward::expiry(live, &caller.principal);
    let last = match sealed.map(open).transpose()? {
        Some((STANDING, last)) => Some(last),
        Some((stream, last)) => {
            let call = carry::take_up(&session, stream).await?;
            return Ok(carry::resumer(session, call, last, until));
        }
        None => None,
    };
    let place = gateway.streams.open(&caller.principal, live.snapshot.gateway.edge.streams)?;
    let listening = session.listen()?;
    record.intend().await?;
    let aside = record.aside();
    let listener = Listener::new(arrival, caller, session.version.as_str(), aside.clone());
    let audience = Audience::new(gateway, caller, arrival).ok_or(Rejection::Internal)?;
    let told = Arc::default();
    let standing = Standing { audience, session, last, aside, told, catalog: Arc::default(), engaged: Vec::new() };
    Ok(Box::new(move |record| {
        let (feed, voice) = Feed::new(Nature::Standing, until);
        tokio::spawn(standing.run(listener, voice, record, (listening, place)));
        feed
    }))
}

/// A stream of news.
struct Standing {
    audience: Audience,
    session: Arc<ClientSession>,
    /// The last event that the client has, where the stream is taken up again.
    last: Option<String>,
    aside: Aside,
    told: Arc<Mutex<Told>>,
    /// What upstreams offer the client, as it knows.
    catalog: Arc<ArcSwap<Catalog>>,
    /// The sessions with upstreams that are listened to, or were until there was nothing more to hear.
    engaged: Vec<Engaged>,
}

/// A session with an upstream that is listened to, until this is dropped.
struct Engaged {
    session: Weak<Session>,
    relay: AbortHandle,
}

impl Drop for Engaged {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// What was said so far.
#[derive(Default)]
struct Told {
    bytes: u64,
    redactions: Counts,
}

impl Standing {
    async fn run(mut self, listener: Listener, voice: Voice, mut record: Record, _places: (Listening, Place)) {
        let mut relays = JoinSet::new();
        let ended = tokio::select! {
            biased;
            () = voice.left() => Err(Left),
            why = voice.stopped() => Ok(StreamEnd::because(&why)),
            ended = self.listen(listener, &mut relays, &voice) => ended,
        };
        self.engaged.clear();
        relays.shutdown().await;
        record.standing(ended.unwrap_or(StreamEnd::ClientLeft));
        let outcome = if ended.is_ok() { Outcome::Ok } else { Outcome::Cancelled };
        let told = self.told.lock();
        let (bytes_out, redactions) = (told.bytes, Some(&told.redactions));
        record.close(&Ending { bytes_out, redactions, ..Ending::plain(outcome, 200, 0) });
    }

    /// Listens until the session ends; how it ended.
    async fn listen(&mut self, listener: Listener, relays: &mut JoinSet<()>, voice: &Voice) -> Result<StreamEnd, Left> {
        let mut turns = self.session.turns();
        let mut renewals = self.audience.gateway.renewals.subscribe();
        voice.say(Word::Events(Bytes::from_static(sse::SIGN_OF_LIFE))).await?;
        let lists = Interests { tools: true, prompts: true, resources: true, ..Interests::default() };
        let gateway = Arc::clone(&self.audience.gateway);
        let mut watch = match Watch::begin(&gateway, listener, &lists, Wanted::default()).await {
            Ok(watch) => watch,
            Err(why) => return Ok(StreamEnd::because(&why)),
        };
        loop {
            if turns.borrow_and_update().ended {
                return Ok(StreamEnd::SessionEnded);
            }
            self.catalog.store(Arc::clone(watch.catalog()));
            self.engage(relays, voice);
            let elsewhere = self.elsewhere();
            if elsewhere != watch.interests().updates
                && let Err(why) = watch.follow(elsewhere)
            {
                return Ok(StreamEnd::because(&why));
            }
            tokio::select! {
                news = watch.next() => match news {
                    Ok(news) => self.tell(&news, voice).await?,
                    Err(why) => return Ok(StreamEnd::because(&why)),
                },
                changed = turns.changed() => if changed.is_err() { return Ok(StreamEnd::SessionEnded) },
                // The gateway keeps the sender, and we the gateway. Upstreams may be gone, or not be for the client.
                _ = renewals.changed() => {}
                // One that has ended, for good where its session is still heard.
                Some(_) = relays.join_next(), if !relays.is_empty() => {}
            }
        }
    }

    async fn tell(&self, news: &BTreeSet<News>, voice: &Voice) -> Result<(), Left> {
        let mut events = Vec::new();
        for news in news {
            sse::Event::message(String::from_utf8_lossy(&news.write(None))).write(&mut events);
        }
        self.told.lock().bytes += events.len() as u64;
        voice.say(Word::Events(events.into())).await
    }

    /// The resources of which the client wants news and which no session with an upstream tells of.
    fn elsewhere(&self) -> BTreeSet<String> {
        let open = open_sessions(&self.audience.gateway, &self.audience.endpoint.name, &self.session);
        let names: Vec<_> = open.iter().map(|session| session.pool().upstream.name.as_str()).collect();
        self.session.wishes.resources(|upstream| !names.contains(&upstream))
    }

    /// Listens to the sessions that are heard now and were not, and no longer to those that are not.
    fn engage(&mut self, relays: &mut JoinSet<()>, voice: &Voice) {
        let live = self.audience.gateway.live.load_full();
        let heard = self.audience.heard_sessions(&live, &self.catalog.load(), &self.session);
        let is = |known: &Engaged, session: &Arc<Session>| known.session.as_ptr() == Arc::as_ptr(session);
        self.engaged.retain(|known| heard.iter().any(|session| is(known, session)));
        for session in heard {
            if self.engaged.iter().any(|known| is(known, &session)) {
                continue;
            }
            let known = Arc::downgrade(&session);
            let relay = Relay {
                audience: self.audience.clone(),
                client: Arc::clone(&self.session),
                catalog: Arc::clone(&self.catalog),
                live: Arc::clone(&live),
                told: Arc::clone(&self.told),
                aside: self.aside.clone(),
                upstream: session,
            };
            let relay = relays.spawn(relay.run(self.last.take(), voice.clone()));
            self.engaged.push(Engaged { session: known, relay });
        }
    }
}

/// The sessions that `client` has open with upstreams of `endpoint`, as it is now.
pub fn open_sessions(gateway: &Gateway, endpoint: &str, client: &ClientSession) -> Vec<Arc<Session>> {
    let live = gateway.live.load();
    let endpoint = live.snapshot.routes.0.get(endpoint);
    let members = endpoint.into_iter().flat_map(|endpoint| &endpoint.upstreams);
    let pools = members.filter_map(|name| live.pools.0.get(name));
    pools.filter_map(|pool| gateway.sessions.open_one(pool, &client.owner)).collect()
}

/// What one upstream says by itself.
struct Relay {
    audience: Audience,
    client: Arc<ClientSession>,
    catalog: Arc<ArcSwap<Catalog>>,
    live: Arc<Live>,
    told: Arc<Mutex<Told>>,
    aside: Aside,
    upstream: Arc<Session>,
}

impl Relay {
    async fn run(mut self, mut last: Option<String>, voice: Voice) {
        let mut pause = AGAIN.0;
        while self.is_current() {
            let listened = self.upstream.listen(last.as_deref()).await;
            self.upstream.heard();
            match listened {
                Ok(stream) if stream.status == 200 => {
                    pause = AGAIN.0;
                    if !self.pass(stream, &mut last, &voice).await {
                        return;
                    }
                }
                // It has nothing to say by itself, or nothing that could be taken up again.
                Ok(stream) if stream.status == 405 => return,
                Ok(stream) if stream.status == 404 => {
                    let sessions = &self.audience.gateway.sessions;
                    return sessions.forget(&self.upstream, &self.client.owner);
                }
                // Another stream of the session is not known to be gone, or the upstream is not well.
                Ok(_) => last = None,
                Err(_) => {}
            }
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// Passes on what it says until it breaks off; whether it may be asked again. `last` becomes the id of its last event.
    async fn pass(&mut self, mut stream: Stream, last: &mut Option<String>, voice: &Voice) -> bool {
        let mut filter = self.filter();
        if !matches!(filter.start(stream.status, &stream.headers), Ok(Form::Events)) {
            return false;
        }
        loop {
            let Ok(Some(chunk)) = stream.chunk().await else { break };
            if !self.renew(&mut filter) {
                return false;
            }
            let mut events = Vec::new();
            let mut withheld = Vec::new();
            let filtered = filter.news(&chunk, &mut events, &mut withheld);
            self.count(&mut filter, events.len());
            if !events.is_empty() && voice.say(Word::Events(events.into())).await.is_err() {
                return false;
            }
            for Withheld { method, rejection } in &withheld {
                let (upstream, reason) = (&self.upstream.pool().upstream.name, rejection.row().label);
                tracing::warn!(upstream, reason, "what an upstream says by itself can't be passed on");
                self.aside.withheld(method, upstream, rejection);
            }
            if filtered.is_err() {
                // From where it went on, it would say the same again.
                *last = None;
                return true;
            }
        }
        *last = filter.last_event().or(last.take());
        true
    }

    fn filter(&self) -> Filter {
        let (audience, live) = (&self.audience, &self.live);
        let pool = self.upstream.pool();
        let roles = live.snapshot.policy.roles(&audience.caller.principal);
        let ids = (!audience.is_of_several()).then(|| EventIds::new(&live.seal, &self.client, STANDING));
        let line = Line::new(Arc::clone(&self.upstream), self.aside.clone());
        Filter::new(Terms {
            plan: live.snapshot.redactor.plan(&roles, None),
            unseen: live.unseen.clone(),
            limit: usize::try_from(live.snapshot.payload.response.0).unwrap_or(usize::MAX),
            // Nothing is an answer to nothing.
            id: Bytes::new(),
            asker: Asker::Rpc(None),
            eras: Eras { caller: Era::Legacy, upstream: Era::Legacy },
            name: ToolName::new(&pool.upstream.name, ""),
            tool: None,
            capabilities: None,
            tasks: Tasks::None,
            states: None,
            talk: Talk::of(None, Some(Level::ALL)),
            reads: false,
            line: Some(line.towards(&self.client, audience.clone(), ids)),
        })
    }

    /// Whether the session is still the client's own with an upstream of the endpoint, and one of which the client may
    /// know anything.
    fn is_current(&self) -> bool {
        let live = self.audience.gateway.live.load();
        let heard = self.audience.heard_sessions(&live, &self.catalog.load(), &self.client);
        heard.iter().any(|session| Arc::ptr_eq(session, &self.upstream))
    }

    /// Goes by the configuration as it is now; whether the upstream may be heard by it.
    fn renew(&mut self, filter: &mut Filter) -> bool {
        let live = self.audience.gateway.live.load_full();
        if Arc::ptr_eq(&live, &self.live) {
            return true;
        }
        let roles = live.snapshot.policy.roles(&self.audience.caller.principal);
        filter.renew(live.snapshot.redactor.plan(&roles, None), live.unseen.clone());
        self.live = live;
        self.is_current()
    }

    fn count(&self, filter: &mut Filter, bytes: usize) {
        let mut told = self.told.lock();
        told.bytes += bytes as u64;
        told.redactions.merge(&filter.take_counts());
    }
}
