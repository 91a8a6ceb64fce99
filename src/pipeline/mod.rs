//! The policy enforcement point: the stages of a request, in the only order there is.
//!
//! Each stage is a file, and a step from one type to the next: `forward` takes what `journal` gives, `journal` takes what
//! `review` gives, and so on up to `authenticate`. A stage that is skipped does not compile.
//!
//! Authentication comes before the body is read, against its headers alone, so that a stranger's bytes are neither kept
//! nor parsed.

pub mod arrival;
pub mod authenticate;
pub mod authorise;
pub mod clock;
pub mod converse;
pub mod feed;
pub mod filter;
pub mod forward;
pub mod job;
pub mod journal;
pub mod limit;
pub mod local;
pub mod news;
pub mod parse;
pub mod presence;
pub mod record;
pub mod reply;
pub mod review;
pub mod route;
pub mod session;
pub mod state;
pub mod strangers;
pub mod streams;
pub mod task;
#[cfg(test)]
pub mod trap;
pub mod validate;

use crate::approvals::Desk;
use crate::catalogue::personal::{Asking, Personal};
use crate::config::snapshot::Snapshot;
use crate::identity::{Authenticator, BadTokenGuard, WrongIdGuard};
use crate::secrets::seal::Seal;
use crate::store::journal::Journal;
use crate::store::limits::local::LocalLimits;
use crate::store::work::Work;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Pools;
use crate::upstream::client::Client;
use crate::upstream::session::Sessions;
use arc_swap::ArcSwap;
use arrival::{Arrival, Verb};
use authenticate::Caller;
use bytes::Bytes;
use converse::Course;
use converse::parking::Parking;
use feed::Speaker;
use forward::PreparedCall;
use job::desk::JobDesk;
use portcullis_core::catalog::Catalog;
use portcullis_core::principal::Principal;
use portcullis_core::redact::Unseen;
use portcullis_core::reject::Rejection;
use record::Record;
use reply::{Form, Reply};
use session::{ClientSessions, standing};
use std::sync::Arc;
use strangers::Strangers;
use streams::Streams;
use tokio::sync::watch;

/// What a configuration became. Loaded once per request, so that a request is judged by one configuration alone.
pub struct Live {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Whose tokens are accepted.
    pub authenticator: Authenticator,
    /// The same issuers' tokens, for the operators' side alone.
    pub operators: Authenticator,
    /// The upstreams' replicas.
    pub pools: Pools,
    /// What no answer may hold: the secret that upstreams are shown.
    pub unseen: Unseen,
    /// Seals what clients are given to keep.
    pub seal: Seal,
}

/// What all requests share.
pub struct Gateway {
    /// Replaced as a whole when the configuration changes, by [`Gateway::renew`].
    pub live: ArcSwap<Live>,
    /// Counts these changes.
    pub renewals: watch::Sender<u64>,
    /// What upstreams offer; replaced by discovery.
    pub catalog: Arc<ArcSwap<Catalog>>,
    /// The same for upstreams that show each caller something else.
    pub personal: Arc<Personal>,
    /// Counts the changes of it that a client could see.
    pub catalog_changes: watch::Receiver<u64>,
    /// Counters of rates and of calls that run.
    pub limits: LocalLimits,
    /// Counters of refused tokens.
    pub bad_tokens: BadTokenGuard,
    /// Counters of ids that are not of those who name them.
    pub wrong_ids: WrongIdGuard,
    /// Counters of the rows that strangers leave.
    pub strangers: Arc<Strangers>,
    /// Sessions with older upstreams.
    pub sessions: Arc<Sessions>,
    /// Sessions of older clients.
    pub client_sessions: Arc<ClientSessions>,
    /// Calls that wait for their clients, and those that go on without them.
    pub parking: Arc<Parking>,
    /// Streams of news that clients hold open.
    pub streams: Arc<Streams>,
    /// Sends what is not proxied.
    pub client: Arc<Client>,
    /// The record.
    pub journal: Journal,
    /// What operators see.
    pub metrics: Arc<Metrics>,
    /// Approvals and jobs.
    pub work: Work,
    /// Jobs.
    pub jobs: Arc<JobDesk>,
    /// Where people decide.
    pub desk: Arc<Desk>,
}

impl Gateway {
    /// Judges by `live` from now on.
    pub fn renew(&self, live: Live) {
        self.live.store(Arc::new(live));
        self.renewals.send_modify(|count| *count += 1);
    }

    /// What `upstreams` offer `principal`.
    pub async fn catalog_of(&self, live: &Live, upstreams: &[String], principal: &Principal) -> Arc<Catalog> {
        let sees = authorise::knows(live, principal);
        let asking = Asking { principal, revision: &live.snapshot.revision, sees: &sees };
        self.personal.catalog(&live.pools, upstreams, &asking).await
    }
}

/// What becomes of a request that was not refused.
pub enum Verdict {
    /// The gateway answers by itself.
    Answer(Reply),
    /// It goes to an upstream.
    Forward(Box<PreparedCall>),
    /// The gateway answers bit by bit.
    Speak(Speaker),
}

/// Stage 2, before the body is read.
///
/// # Errors
/// Why the caller is not let in.
pub async fn admit(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    record: &mut Record,
) -> Result<Caller, Rejection> {
    #[cfg(test)]
    trap::spring(arrival.mcp.iter().map(|(name, value)| (name, value)), "admit");
    let caller = authenticate::step(gateway, live, arrival).await?;
    record.caller(&caller);
    Ok(caller)
}

/// Stages 1 and 3 to 9, with the whole body. On an error nothing has left for an upstream, and the request has counted under
/// the caller's limits all the same. `form` learns the request's id
/// as soon as it is known, so that a refusal can carry it.
///
/// # Errors
/// Why the request is refused.
pub async fn judge(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    caller: Caller,
    body: Bytes,
    form: &mut Form,
    record: &mut Record,
) -> Result<Verdict, Rejection> {
    #[cfg(test)]
    trap::spring(arrival.mcp.iter().map(|(name, value)| (name, value)), "judge");
    // What is rare is boxed: a call's own future holds the room for all that is not.
    let caller = Arc::new(caller);
    let refused = |rejection| limit::refusal(gateway, live, &caller, arrival.target.name(), rejection);
    let request = parse::step(gateway, live, arrival, Arc::clone(&caller), body, form, record).map_err(refused)?;
    let call = match route::step(gateway, live, request, record).await.map_err(refused)? {
        route::Routed::Local(asked) => {
            return Box::pin(local::answer(gateway, live, arrival, asked)).await.map(Verdict::Answer);
        }
        route::Routed::Said(request) => {
            return Box::pin(session::said::step(gateway, live, request, record)).await.map(Verdict::Answer);
        }
        route::Routed::Job(asked) => {
            return Box::pin(job::asked(gateway, live, arrival, *asked, record)).await.map(Verdict::Answer);
        }
        route::Routed::News(asked) => return Box::pin(news::subscribe(gateway, live, arrival, asked, record)).await,
        route::Routed::Call(call) => call,
    };
    let authorised = authorise::step(live, arrival, *call, record).map_err(refused)?;
    let admitted = limit::step(gateway, live, authorised)?;
    let valid = validate::step(gateway, live, arrival, admitted, record).await?;
    let valid = match converse::step(gateway, live, valid, record)? {
        Course::Goes(valid) => *valid,
        Course::Resumes(speaker) => return Ok(Verdict::Speak(speaker)),
    };
    if let Some(reply) = Box::pin(job::known(gateway, live, arrival, &valid, record)).await? {
        return Ok(Verdict::Answer(reply));
    }
    let (reviewed, renewed) = match review::step(gateway, live, arrival, valid, record).await? {
        review::Course::Goes(reviewed, renewed) => (*reviewed, renewed),
        review::Course::Kept(reply) => return Ok(Verdict::Answer(reply)),
    };
    let live = renewed.as_deref().unwrap_or(live);
    let reviewed = match job::step(gateway, live, arrival, reviewed, record).await? {
        job::Course::Goes(reviewed) => *reviewed,
        job::Course::Kept(reply) => return Ok(Verdict::Answer(reply)),
    };
    let journaled = journal::step(reviewed, record).await?;
    #[cfg(test)]
    trap::spring(arrival.mcp.iter().map(|(name, value)| (name, value)), "journaled");
    match forward::step(gateway, live, arrival, journaled, record).await? {
        forward::Prepared::Call(call) => Ok(converse::verdict(gateway, live, *call)),
        forward::Prepared::Done(reply) => Ok(Verdict::Answer(reply)),
    }
}

/// The stages of a request without a body: about a job, by plain REST, or the end of a session, or news within it (MCP
/// 2025-11-25 "Session Management", "Listening for Messages").
///
/// # Errors
/// Why the request is refused.
pub async fn attend(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    caller: Caller,
    record: &mut Record,
) -> Result<Verdict, Rejection> {
    record.method(if arrival.verb == Verb::Delete { "DELETE" } else { "GET" });
    if let Some(id) = &arrival.job {
        return job::attend(gateway, live, arrival, (caller, id), record).await.map(Verdict::Answer);
    }
    limit::message(gateway, live, &caller, arrival.target.name())?;
    let id = arrival.session_id()?.ok_or(Rejection::UnknownSession)?;
    let session = gateway.client_sessions.find(live, &caller.principal, arrival.target.name(), id)?;
    session.check_version(arrival.mcp_headers()?.protocol_version)?;
    record.session(session.id);
    record.protocol(session.version.as_str());
    match arrival.verb {
        Verb::Delete => {
            gateway.client_sessions.end(&session);
            Ok(Verdict::Answer(Reply::empty(204)))
        }
        Verb::Get | Verb::Post => {
            let speaker = standing::open(gateway, live, arrival, &Arc::new(caller), session, record).await?;
            Ok(Verdict::Speak(speaker))
        }
    }
}
