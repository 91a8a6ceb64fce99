//! Jobs: calls that run when their callers do not wait. Here a call becomes one; `asked` answers what is asked about it
//! later, and `jobs` runs it.
//!
//! A job is kept before anybody is told of it. It has passed every stage up to here, and passes them again when it runs.

mod asked;
pub mod call;
pub mod desk;
pub mod waiting;

pub use asked::{Inquiry, TOOL, attend, definition, may_use_any, step as asked, to_keep};

use crate::approvals::crash;
use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::authorise::{Authorised, Leave};
use crate::pipeline::record::Record;
use crate::pipeline::reply::{Reply, rpc_response};
use crate::pipeline::review::Reviewed;
use crate::pipeline::validate::Valid;
use crate::pipeline::{Gateway, Live, clock, route, task};
use call::Call;
use desk::JobDesk;
use http::header;
use portcullis_core::approval::canonical;
use portcullis_core::job::{Draft, Job, JobId, Owner, State, Tool};
use portcullis_core::jsonrpc;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::{Kind, Traits};
use serde_json::{Value, json};

/// The key of `_meta` by which a caller names its call. The header `Idempotency-Key` is the same.
pub const META_KEY: &str = "portcullis/idempotencyKey";
/// The longest such name, in bytes.
const LONGEST_KEY: usize = 255;
/// How often it makes sense to ask how a job stands, in milliseconds.
const POLL: u64 = 1000;

/// What becomes of a call that has passed all stages before this.
pub enum Course {
    /// It runs now.
    Goes(Box<Reviewed>),
    /// It is a job, and its caller is told so.
    Kept(Reply),
}

/// Looks, before people are asked and anything is spent, whether the call is a job already, and whether it may become one; the
/// answer where it is.
///
/// # Errors
/// As [`step`].
pub async fn known(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    valid: &Valid,
    record: &mut Record,
) -> Result<Option<Reply>, Rejection> {
    let Authorised { call, leave } = &valid.admitted.authorised;
    let traits = match leave {
        Leave::Permit(permit) => permit.tool(),
        Leave::Review(decision) => decision.tool,
    };
    let becomes = becomes_job(arrival, call, traits);
    let waits = matches!(leave, Leave::Review(_)) && waiting::is_for(call);
    if !becomes && !waits {
        return Ok(None);
    }
    let (desk, settings) = (&gateway.jobs, &live.snapshot.gateway.jobs);
    let (owner, key, digest) = (Owner::of(&call.request.caller.principal), name(call, arrival)?, digest(desk, call)?);
    match desk.of_call(&owner, key.as_deref(), &digest).await? {
        Some(job) => {
            record.job(&job.id);
            record.approval_of(&job);
            Ok(Some(announce(call, &job)))
        }
        // Where there is none for it, its client is told to wait in another way.
        None if !becomes => Ok(None),
        None => desk.check_room(&owner, settings.quota, settings.kept).await.map(|()| None),
    }
}

/// Whether `call` becomes a job: of a tool whose calls do, as `traits` say, or because its caller asks for it.
fn becomes_job(arrival: &Arrival, call: &route::Call, traits: Traits) -> bool {
    let wished = arrival.respond_async && matches!(call.request.target, Target::Invoke);
    (traits.job || wished) && call.asked.kind == Kind::Tool && call.is_use()
}

/// What tells `call` from any other.
fn digest(desk: &JobDesk, call: &route::Call) -> Result<String, Rejection> {
    let arguments = canonical(call.arguments()).ok_or(Rejection::Internal)?;
    let parts = [call.request.target.name(), &call.tool.upstream, &call.tool.tool, &arguments];
    Ok(desk.digest(&parts.map(str::as_bytes)))
}

/// Makes a job of a call of a tool whose calls are jobs, and of one by plain REST that asks for it.
///
/// # Errors
/// [`Rejection::InvalidParams`] for a name that is none, [`Rejection::JobConflict`], [`Rejection::TooManyJobs`],
/// [`Rejection::WorkUnavailable`].
pub async fn step(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    reviewed: Reviewed,
    record: &mut Record,
) -> Result<Course, Rejection> {
    let (call, permit) = (&reviewed.call, &reviewed.permit);
    if !becomes_job(arrival, call, permit.tool()) {
        return Ok(Course::Goes(Box::new(reviewed)));
    }
    let settings = &live.snapshot.gateway.jobs;
    let kept = Call::of(call, arrival).ok_or(Rejection::Internal)?;
    let job = Job::new(draft(gateway, live, arrival, call)?, permit, clock::now(), settings.ttl.0);
    // There was room when people were asked, and what they agreed to is not spent on a refusal.
    let most = if permit.approval().is_some() { u32::MAX } else { settings.quota };
    let job = Box::pin(gateway.jobs.enqueue(job, &kept, most)).await?;
    crash::here("job_kept");
    record.job(&job.id);
    Ok(Course::Kept(announce(call, &job)))
}

/// What there is to say of a job of `call`.
fn draft(gateway: &Gateway, live: &Live, arrival: &Arrival, call: &route::Call) -> Result<Draft, Rejection> {
    let request = &call.request;
    Ok(Draft {
        id: JobId::new(rand::random()),
        owner: Owner::of(&request.caller.principal),
        endpoint: request.target.name().to_owned(),
        tool: Tool::of(&call.tool),
        digest: digest(&gateway.jobs, call)?,
        key: name(call, arrival)?,
        revision: live.snapshot.revision.clone(),
        traceparent: request.ids.traceparent.clone(),
    })
}

/// How the caller of `call` learns of `job`.
pub fn announce(call: &route::Call, job: &Job) -> Reply {
    let request = &call.request;
    let id = request.id();
    match request.target {
        Target::Invoke => {
            let reply = Reply::json(202, shown(job).to_string().into());
            reply.with(header::LOCATION, &format!("/jobs/{}", job.id)).with(header::RETRY_AFTER, "1")
        }
        Target::Endpoint(_) => {
            let result = match request.message.era {
                Era::Modern if task::check_declared(request.capabilities()).is_ok() => {
                    let mut task = as_task(job);
                    insert(&mut task, "resultType", "task".into());
                    task
                }
                _ => pointer(job),
            };
            Reply::json(200, rpc_response(id.as_deref(), "result", &result))
        }
    }
}

/// The caller's own name for its call, of the header or of `_meta`.
fn name(call: &route::Call, arrival: &Arrival) -> Result<Option<String>, Rejection> {
    let refuse = |what: &'static str| Rejection::InvalidParams(what.into());
    let header = match arrival.idempotency_key.as_slice() {
        [] => None,
        [only] => Some(only.to_str().map_err(|_| refuse("Idempotency-Key must be printable ASCII"))?.to_owned()),
        _ => return Err(refuse("there must be one Idempotency-Key")),
    };
    let body = &call.request.body;
    let meta = call.request.frame.meta.as_ref().and_then(|meta| meta.value(META_KEY));
    let meta =
        meta.map(|span| jsonrpc::string(span.of(body)).ok_or_else(|| refuse("the idempotency key must be a string")));
    let meta = meta.transpose()?.map(std::borrow::Cow::into_owned);
    let key = match (header, meta) {
        (Some(header), Some(meta)) if header != meta => return Err(refuse("two idempotency keys differ")),
        (header, meta) => header.or(meta),
    };
    match key {
        Some(key) if key.is_empty() || key.len() > LONGEST_KEY || key.contains(char::is_control) => {
            Err(refuse("the idempotency key must have 1 to 255 bytes, without control characters"))
        }
        key => Ok(key),
    }
}

/// What a client is told that knows no tasks: a result that says where to ask.
fn pointer(job: &Job) -> Value {
    let said = words(job).map(|words| format!(" {words}")).unwrap_or_default();
    let text = format!(
        "The call was accepted as the job {id} and runs in the background; this is not its result yet.{said} Call the tool \
         {TOOL} with {{\"id\": \"{id}\"}} to learn how it stands, and for its result once it has ended.",
        id = job.id
    );
    result(&text, shown(job), false)
}

/// A result of a tool: `text` for the model, `structured` for its program.
fn result(text: &str, structured: Value, is_error: bool) -> Value {
    json!({
        "resultType": "complete", "content": [{ "type": "text", "text": text }],
        "structuredContent": structured, "isError": is_error,
    })
}

/// How a job stands, for its owner.
fn shown(job: &Job) -> Value {
    let mut shown = json!({
        "id": job.id, "state": job.state.as_str(), "tool": job.tool.full().to_string(),
        "created": job.created.to_string(), "updated": job.updated.to_string(), "expires": job.expires.to_string(),
        "attempts": job.attempts,
    });
    if let Some(words) = words(job) {
        insert(&mut shown, "message", words.into());
    }
    shown
}

/// The same as a task (SEP-2663 "Task").
fn as_task(job: &Job) -> Value {
    let status = match job.state {
        State::Waiting { .. } | State::Queued { .. } | State::Running { .. } => "working",
        // A completed task has its result, always.
        State::Done if job.has_lost_result() => "failed",
        State::Done => "completed",
        State::Cancelled => "cancelled",
        State::Failed | State::Dead | State::NeedsReview => "failed",
    };
    let ttl = job.expires.millis().saturating_sub(job.created.millis());
    let mut task = json!({
        "taskId": job.id, "status": status, "createdAt": job.created.to_string(),
        "lastUpdatedAt": job.updated.to_string(), "ttlMs": ttl, "pollIntervalMs": POLL,
    });
    if let Some(words) = words(job) {
        insert(&mut task, "statusMessage", words.into());
    }
    task
}

/// What there is to say of how a job stands, where its state does not say it.
fn words(job: &Job) -> Option<String> {
    let reason = job.reason.as_deref().unwrap_or("unknown");
    match job.state {
        State::Waiting { .. } => job.note.clone(),
        State::Failed if job.note.is_some() => job.note.clone(),
        State::Queued { .. } if job.attempts > 0 => Some(format!("It is tried again after a failure: {reason}.")),
        State::Done if job.has_lost_result() => Some(
            "It has run, and its result was dropped to make room for newer ones. Look whether that is enough before you \
             call again: a second call runs again."
                .into(),
        ),
        State::Failed => Some(format!("It failed: {reason}.")),
        State::Dead => Some(format!("It was given up after {} tries: {reason}.", job.attempts)),
        State::NeedsReview => Some(
            "It may have run, and how it ended is not known. It is not run again unless an operator says so; look \
             whether it ran before you call again."
                .into(),
        ),
        _ => None,
    }
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
