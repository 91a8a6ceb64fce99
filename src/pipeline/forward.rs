//! Stage 9: what leaves for the upstream: the body, with nothing changed that need not be, and headers of our own alone.
//!
//! The client's credentials end here. What an upstream learns of the caller it learns from `X-User-ID`, which nobody but
//! the gateway can have written.

use crate::config::snapshot::Transport;
use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::clock;
use crate::pipeline::converse::{self, Manner, Way};
use crate::pipeline::filter::{Eras, Filter, Talk, Tasks, Terms};
use crate::pipeline::journal::Journaled;
use crate::pipeline::record::Record;
use crate::pipeline::reply::{Form, Reply, rpc_response};
use crate::pipeline::review::Reviewed;
use crate::pipeline::route::Call;
use crate::pipeline::session::carry::Within;
use crate::pipeline::session::line::{EventIds, Line};
use crate::pipeline::session::reach::{reach, reach_older};
use crate::pipeline::session::running::{Run, Ticket};
use crate::pipeline::session::standing::Audience;
use crate::pipeline::session::wishes::Wish;
use crate::pipeline::state::{Asked, StateSeal};
use crate::pipeline::task::{self, TaskSeal};
use crate::pipeline::{Gateway, Live};
use crate::store::limits::local::Admission;
use crate::upstream::CLIENT_INFO;
use crate::upstream::caller::Caller;
use crate::upstream::client::Failure;
use crate::upstream::client::GATEWAY_AUTH;
use crate::upstream::pool::Pool;
use crate::upstream::session::{Owner, Session, SessionError};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use portcullis_core::catalog::Tool;
use portcullis_core::jsonrpc::{self, Frame, Span};
use portcullis_core::mcp::Body;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::extension;
use portcullis_core::mcp::level::Level;
use portcullis_core::mcp::mirror::Mirrored;
use portcullis_core::mcp::rewrite::Parent;
use portcullis_core::mcp::version::Version;
use portcullis_core::mcp::{META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION, headers, rewrite};
use portcullis_core::policy::Permit;
use portcullis_core::principal::Principal;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::Kind;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the headers that repeat arguments begin with.
const PARAM: &str = "mcp-param-";
/// What a call brings to the one that it goes on with (MCP 2026-07-28 "Multi Round-Trip Requests").
const OF_ROUNDS: [&str; 2] = ["inputResponses", "requestState"];

/// A call that is ready to be sent, with all that its answer will need.
pub struct PreparedCall {
    /// Where it may go.
    pub pool: Arc<Pool>,
    /// The session it is part of, where the upstream wants one; it binds the call to a replica.
    pub session: Option<Arc<Session>>,
    /// The header's fields, but for host, framing and session.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
    /// What its answer must pass.
    pub filter: Filter,
    /// When the caller's token ends, and with it a stream that still runs.
    pub expires: Option<Instant>,
    /// Its places under the limits, held until it ends.
    pub admission: Admission,
    /// The proof that policy allowed it.
    pub permit: Permit,
    /// Whose session it is.
    pub owner: Owner,
    /// Its place in the session of its client, where it has one and the upstream speaks an older revision too.
    pub within: Option<Within>,
    /// The raw id under which the upstream knows it.
    pub id: Bytes,
    /// How it is carried where the upstream may ask back; `None` where it can't.
    pub way: Option<Way>,
    /// What takes it back from an older upstream.
    pub farewell: Option<Farewell>,
    /// What its client wishes for by it.
    pub wish: Option<Wish>,
}

/// What takes a call back from an older upstream, which does not take the end of a connection for that (MCP 2025-11-25
/// "Sending Messages to the Server").
pub struct Farewell {
    /// The message.
    pub message: Bytes,
    /// Whether a caller that leaves means that: one of 2026-07-28 does (section "Cancellation"), and so does one of plain
    /// REST; an older one says so itself.
    pub on_leaving: bool,
}

/// Whether an upstream may still be at work on a call that ended so, and must be told that nobody waits for it.
pub fn leaves_at_work(why: &Rejection) -> bool {
    !matches!(why, Rejection::UpstreamUnavailable | Rejection::Cancelled)
}

/// What becomes of a call.
pub enum Prepared {
    /// It goes to the upstream.
    Call(Box<PreparedCall>),
    /// There is nothing to send.
    Done(Reply),
}

/// Prepares.
///
/// # Errors
/// [`Rejection::UpstreamUnavailable`] or [`Rejection::UpstreamTimeout`] where an older upstream gives no session,
/// [`Rejection::Internal`].
pub async fn step(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    journaled: Journaled,
    record: &mut Record,
) -> Result<Prepared, Rejection> {
    let Reviewed { call, admission, permit, era: newest, tool, state } = journaled.into_reviewed();
    let owner = owner(&call, newest);
    record.sent();
    let session = session(gateway, &call, &owner, newest).await?;
    let era = if session.is_some() { Era::Legacy } else { Era::Modern };
    let wish = wish(&call)?;
    if era == Era::Modern && matches!(call.request.message.body, Body::Subscribe { .. }) {
        wish.into_iter().for_each(Wish::granted);
        let done = rpc_response(call.request.id().as_deref(), "result", &json!({}));
        return Ok(Prepared::Done(Reply::json(200, done)));
    }
    let id = upstream_id(arrival, &call, era)?;
    let manner = converse::manner(&call, era);
    let body = body(&call, era, &id, manner.as_ref(), state);
    let mut headers = identity(arrival, &call)?;
    if era == Era::Modern {
        headers.extend(mirrored(arrival, &call, tool.as_deref())?);
    }
    let within = session.as_ref().and_then(|session| within(&call, &id, session));
    let line = session.as_ref().map(|session| line(gateway, live, arrival, &call, within.as_ref(), session, record));
    let under = permit.approval().map(|id| Asked { approval: id.to_owned(), call: record.call().to_string() });
    let filter = filter(live, &call, id.clone(), era, tool, line).under(under);
    let expires = expiry(live, &call.request.caller.principal);
    let farewell = farewell(&call, era, &id);
    let pool = Arc::clone(&call.pool);
    let way = manner.map(|manner| manner.carry(gateway, call, arrival.peer));
    let call = PreparedCall {
        pool,
        session,
        headers,
        body,
        filter,
        expires,
        admission,
        permit,
        owner,
        within,
        id,
        way,
        farewell,
        wish,
    };
    Ok(Prepared::Call(Box::new(call)))
}

/// What takes the call back that the upstream knows under the raw id `id`.
fn farewell(call: &Call, era: Era, id: &Bytes) -> Option<Farewell> {
    let on_leaving = call.request.message.era == Era::Modern || matches!(call.request.target, Target::Invoke);
    (era == Era::Legacy).then(|| Farewell { message: rewrite::cancellation(id).into(), on_leaving })
}

/// The session that `call` is part of, where its upstream speaks an older revision: the only one, or that of its client.
async fn session(
    gateway: &Gateway,
    call: &Call,
    owner: &Owner,
    newest: Era,
) -> Result<Option<Arc<Session>>, Rejection> {
    let (sessions, pool) = (&gateway.sessions, &call.pool);
    let opened = match (&call.request.session, newest) {
        (Some(client), Era::Modern) => return Ok(reach_older(sessions, client, pool).await),
        (None, Era::Modern) => return Ok(None),
        (Some(client), Era::Legacy) => reach(sessions, client, pool).await,
        (None, Era::Legacy) => sessions.of(pool, owner).await,
    };
    opened.map(Some).map_err(|error| no_session(pool, &error))
}

/// Remembers of which resource the call wants news, or not any more: what it wishes for, where that is new.
fn wish(call: &Call) -> Result<Option<Wish>, Rejection> {
    let (Some(client), Body::Subscribe { on, .. }) = (&call.request.session, &call.request.message.body) else {
        return Ok(None);
    };
    let (upstream, uri) = (&call.tool.upstream, &call.tool.tool);
    let wish = match on {
        true => Wish::of(client, upstream, uri)?,
        false => {
            client.wishes.remove(upstream, uri);
            None
        }
    };
    client.turn();
    Ok(wish)
}

/// The call's place in the session of its client.
fn within(call: &Call, id: &Bytes, upstream: &Arc<Session>) -> Option<Within> {
    let client = Arc::clone(call.request.session.as_ref()?);
    let progress = call.asked.progress_token.map(|span| call.request.body.slice(span.start..span.end));
    let run = Run::new(call.request.id()?, id.clone(), progress, Some(Arc::clone(upstream)));
    let ticket = Ticket::new(&client, run);
    Some(Within { client, ticket })
}

/// What else passes between the caller and an older upstream while the call runs.
fn line(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    call: &Call,
    within: Option<&Within>,
    upstream: &Arc<Session>,
    record: &Record,
) -> Line {
    let line = Line::new(Arc::clone(upstream), record.aside());
    match (within, Audience::new(gateway, &call.request.caller, arrival)) {
        (Some(within), Some(audience)) => {
            let (client, stream) = (&within.client, within.ticket.run.stream);
            // Whose event it is an id does not say: where several upstreams answer, none is given.
            let ids = (!audience.is_of_several()).then(|| EventIds::new(&live.seal, client, stream));
            line.towards(client, audience, ids)
        }
        _ => line,
    }
}

/// Whose session with an older upstream the call is part of: that of the client's own session, so that what the upstream
/// keeps for it is its own, or that of all calls of the principal that have none.
fn owner(call: &Call, newest: Era) -> Owner {
    let principal = |capabilities| Owner::principal(&call.request.caller.principal, capabilities);
    match (&call.request.session, converse::askable(call, newest)) {
        (_, Some(capabilities)) => principal(capabilities),
        (Some(session), _) => session.owner.clone(),
        (None, _) => principal(Capabilities::default()),
    }
}

/// The instant at which the caller's token is no longer accepted, clock skew included.
pub fn expiry(live: &Live, principal: &Principal) -> Option<Instant> {
    let issuer = live.snapshot.gateway.issuers.iter().find(|issuer| issuer.issuer == principal.issuer)?;
    let until = principal.expires_at?.plus(issuer.clock_skew);
    let left = until.millis().saturating_sub(clock::now().millis());
    Instant::now().checked_add(Duration::from_millis(u64::try_from(left).unwrap_or_default()))
}

/// What it means for a call that there is no session for it.
pub fn no_session(pool: &Pool, error: &SessionError) -> Rejection {
    tracing::warn!(upstream = pool.upstream.name, %error, "the upstream gives no session");
    match error {
        SessionError::Failure(Failure::Timeout) => Rejection::UpstreamTimeout,
        _ => Rejection::UpstreamUnavailable,
    }
}

/// The raw id of the request as the upstream sees it: the client's own, but for a session, which several clients of one
/// principal may share. Their ids may be the same (those of REST always are), and then the upstream would answer the
/// one with what the other asked for.
fn upstream_id(arrival: &Arrival, call: &Call, era: Era) -> Result<Bytes, Rejection> {
    match era {
        Era::Modern => call.request.id().ok_or(Rejection::Internal),
        Era::Legacy => Ok(format!("\"{}\"", arrival.ids.request).into()),
    }
}

/// What the answer to `call` must pass, which the upstream knows under the raw id `id`.
pub fn filter(live: &Live, call: &Call, id: Bytes, era: Era, tool: Option<Arc<Tool>>, line: Option<Line>) -> Filter {
    let snapshot = &live.snapshot;
    let plan = snapshot.redactor.plan(&call.request.caller.roles, Some(call.named()));
    let limit = usize::try_from(snapshot.payload.response.0).unwrap_or(usize::MAX);
    let form = match call.request.target {
        Target::Endpoint(_) => Form::Rpc(call.request.id()),
        Target::Invoke => Form::Rest,
    };
    let capabilities = match converse::session(call, era) {
        Some(session) => Some(session.capabilities.write().into()),
        None => call.request.message.capabilities.map(|span| call.request.body.slice(span.start..span.end)),
    };
    let reads = call.asked.kind == Kind::Resource && call.is_use();
    let unseen = live.unseen.clone();
    let eras = Eras { caller: call.request.message.era, upstream: era };
    let (name, tasks, talk) = (call.tool.clone(), tasks(live, call), talk(call));
    let states = StateSeal::new(live, call, era);
    Filter::new(Terms {
        plan,
        unseen,
        limit,
        id,
        asker: form,
        eras,
        name,
        tool,
        capabilities,
        tasks,
        states,
        talk,
        line,
        reads,
    })
}

/// What an answer may say of tasks.
fn tasks(live: &Live, call: &Call) -> Tasks {
    let request = &call.request;
    let seal = || TaskSeal::new(live, &request.caller.principal, request.target.name(), &call.tool);
    match &call.task {
        Some(_) => Tasks::About(seal()),
        None if call.asked.kind == Kind::Tool && task::check_declared(request.capabilities()).is_ok() => {
            Tasks::Begun(seal())
        }
        None => Tasks::None,
    }
}

/// Which news of itself the call asked for.
fn talk(call: &Call) -> Talk {
    let (request, meta) = (&call.request, call.request.frame.meta.as_ref());
    let level =
        meta.and_then(|meta| meta.value(META_LOG_LEVEL)).and_then(|span| jsonrpc::string(span.of(&request.body)));
    let progress = call.asked.progress_token.map(|span| request.body.slice(span.start..span.end));
    let logs = match request.message.era {
        Era::Legacy => Some(Level::ALL),
        Era::Modern => level.and_then(|level| Level::parse(&level)),
    };
    Talk::of(progress, logs)
}

/// The client's own bytes, unless the tool or the request has another name upstream, the upstream speaks another family of
/// revisions, or the message brings the context of a trace or a `state`.
fn body(call: &Call, era: Era, id: &Bytes, manner: Option<&Manner>, state: Option<Vec<u8>>) -> Bytes {
    let mut edits = call.edits.clone();
    // To a program no header goes.
    let alone = matches!(call.pool.upstream.transport, Transport::Stdio(_));
    let parent = Parent { traceparent: &call.request.ids.traceparent, alone };
    if call.request.id().as_ref() != Some(id) {
        edits.extend(call.request.frame.id.map(|span| (span, id.to_vec())));
    }
    if let Some(task) = &call.task {
        edits.push(rewrite::set_text(call.asked.name_span, &task.id));
    } else if call.asked.name != call.tool.tool {
        edits.push(rewrite::set_text(call.asked.name_span, &call.tool.tool));
    }
    match (call.request.message.era, era) {
        (Era::Legacy, Era::Modern) => {
            // Without a session nothing could carry an upstream's questions back.
            let capabilities = match manner {
                Some(Manner::Session(session)) => session.capabilities.write(),
                _ => b"{}".to_vec(),
            };
            let level = call.request.session.as_ref().and_then(|session| session.wishes.level());
            let frame = &call.request.frame;
            edits.extend(rewrite::modernise(frame, CLIENT_INFO, &capabilities, level.as_deref(), parent));
            // They mean nothing in its revision, and nobody has proved them to be its own.
            edits.extend(frame.params.iter().flat_map(|params| rewrite::change(params, &[], &OF_ROUNDS)));
        }
        (Era::Modern, Era::Legacy) => edits.extend(outdate(&call.request.frame, parent)),
        (caller, _) => {
            edits.extend(rewrite::name_parent(&call.request.frame, parent));
            if caller == Era::Modern {
                edits.extend(extension::strip(&call.request.body, &call.request.frame));
                edits.extend(call.asked.request_state.zip(state));
            }
        }
    }
    match edits.as_slice() {
        [] => call.request.body.clone(),
        _ => rewrite::splice(&call.request.body, edits).into(),
    }
}

/// Takes away what an older upstream reads nothing in, or takes for a client that it can't serve.
fn outdate(frame: &Frame, parent: Parent<'_>) -> Vec<(Span, Vec<u8>)> {
    let of_meta = [META_VERSION, META_CLIENT, META_CAPABILITIES, META_LOG_LEVEL];
    let meta = frame.meta.iter().flat_map(|meta| rewrite::change_meta(meta, &[], &of_meta, parent));
    // A `task` says nothing today, and asked for something else then.
    let of_params = [&OF_ROUNDS[..], &["task"]].concat();
    meta.chain(frame.params.iter().flat_map(|params| rewrite::change(params, &[], &of_params))).collect()
}

fn identity(arrival: &Arrival, call: &Call) -> Result<Vec<(HeaderName, HeaderValue)>, Rejection> {
    let mut headers = vec![
        (HeaderName::from_static("x-request-id"), value(&arrival.ids.request.to_string())?),
        (HeaderName::from_static("traceparent"), value(&call.request.ids.traceparent)?),
    ];
    headers.extend(call.pool.gateway_auth.clone().map(|secret| (GATEWAY_AUTH, secret)));
    let caller = Caller::of(&call.request.caller.principal).ok_or(Rejection::Internal)?;
    headers.extend(caller.headers(&call.pool));
    Ok(headers)
}

/// The headers that repeat the body (MCP 2026-07-28 "Standard Headers"), written from it: also for callers that do not know
/// them. Headers of arguments that the catalogue does not know of pass as a modern client sent them (section "Custom
/// Headers": an intermediary forwards them untouched), for the upstream to compare.
fn mirrored(arrival: &Arrival, call: &Call, tool: Option<&Tool>) -> Result<Vec<(HeaderName, HeaderValue)>, Rejection> {
    let mut headers = vec![
        (HeaderName::from_static("mcp-protocol-version"), value(Version::LATEST.as_str())?),
        (HeaderName::from_static("mcp-method"), value(&call.request.frame.method)?),
    ];
    if !call.asked.completes {
        let name = call.task.as_ref().map_or(&call.tool.tool, |task| &task.id);
        headers.push((HeaderName::from_static("mcp-name"), value(&headers::encode(name))?));
    }
    let none = Mirrored::default();
    let repeated = tool.map_or(&none, |tool| &tool.mirrored);
    if call.request.message.era == Era::Modern {
        let unknown = |name: &HeaderName| name.as_str().strip_prefix(PARAM).is_some_and(|name| !repeated.repeats(name));
        headers.extend(arrival.mcp.iter().filter(|(name, _)| unknown(name)).cloned());
    }
    for (name, text) in repeated.write(call.arguments()) {
        let name = HeaderName::from_bytes(format!("{PARAM}{name}").as_bytes()).map_err(|_| Rejection::Internal)?;
        headers.push((name, value(&text)?));
    }
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue, Rejection> {
    HeaderValue::from_str(text).map_err(|_| Rejection::Internal)
}
