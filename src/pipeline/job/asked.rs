//! What is asked about a job, by whichever way: as a task (SEP-2663), by the gateway's own tool, or by plain REST.
//!
//! Whoever asks must own the job, at the endpoint it was made at, and policy as it is now must not deny them its call; to
//! anyone else there is no such job. What the upstream answered passes the filter of the one who asks.

use super::call::ID;
use super::{as_task, insert, result, shown, waiting, words};
use crate::pipeline::arrival::{Arrival, Target, Verb};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::authorise::{self, Viewer};
use crate::pipeline::parse::Request;
use crate::pipeline::record::Record;
use crate::pipeline::reply::{Reply, rpc_response_raw};
use crate::pipeline::route::Call;
use crate::pipeline::{Gateway, Live, forward, limit, task, validate};
use crate::store::work::jobs::{Changed, Kept};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use portcullis_core::catalog::Catalog;
use portcullis_core::job::{Job, JobId, Owner, State};
use portcullis_core::jsonrpc::{self, Answer, Limits};
use portcullis_core::mcp::TaskAsked;
use portcullis_core::mcp::asked::Asked;
use portcullis_core::policy::document::Effect;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::route::{Endpoint, OWN};
use portcullis_core::tool::{Kind, ToolName};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The gateway's own tool.
pub const TOOL: &str = "portcullis.job";

/// A request about a job.
pub struct Inquiry {
    /// Which; `None` where what was asked for can't be one.
    id: Option<JobId>,
    /// What is wanted of it.
    wish: Wish,
    /// By which way, and so how it is answered.
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// To know how it stands.
    Look,
    /// That it ends.
    Cancel,
    /// Nothing that a job takes: it asks for no input.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Task,
    Tool,
}

/// The arguments of the tool.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    id: String,
    #[serde(default)]
    cancel: bool,
}

impl Inquiry {
    /// The request about the task `asked`, where that is a job.
    pub fn of_task(asked: &TaskAsked, method: &str) -> Option<Self> {
        let id = JobId::parse(&asked.id)?;
        let wish = match method {
            "tasks/get" => Wish::Look,
            "tasks/cancel" => Wish::Cancel,
            _ => Wish::Nothing,
        };
        Some(Self { id: Some(id), wish, way: Way::Task })
    }

    /// The call of the gateway's own tool.
    ///
    /// # Errors
    /// [`Rejection::InvalidArguments`].
    pub fn of_tool(request: &Request, asked: &Asked) -> Result<Self, Rejection> {
        let arguments = asked.arguments.map_or(&b"{}"[..], |span| span.of(&request.body));
        let read: Arguments = serde_json::from_slice(arguments).map_err(|_| Rejection::InvalidArguments {
            pointer: String::new(),
            problem: "give the job's id as the string `id`, and `cancel` as true or false or not at all".into(),
        })?;
        let wish = if read.cancel { Wish::Cancel } else { Wish::Look };
        Ok(Self { id: JobId::parse(&read.id), wish, way: Way::Tool })
    }

    fn unknown(&self) -> Rejection {
        match self.way {
            Way::Task => task::unknown(),
            Way::Tool => {
                Rejection::InvalidArguments { pointer: "/id".into(), problem: "you have no such job here".into() }
            }
        }
    }
}

/// A job that its owner may look at.
struct Seen {
    kept: Kept,
    /// Its call, as one of whoever looks.
    call: Call,
}

/// What came of a job, as whoever looks may see it.
enum Outcome {
    /// The result, as JSON text.
    Result(Bytes),
    /// The error that the upstream answered with, as JSON text.
    Error(Bytes),
}

/// Answers what was asked at an endpoint.
///
/// # Errors
/// As the limits say, and as the spec does for a task, or a tool, that does not exist.
pub async fn step(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    (request, inquiry): (Request, Inquiry),
    record: &mut Record,
) -> Result<Reply, Rejection> {
    let endpoint = request.target.name();
    if inquiry.way == Way::Tool {
        // The row names the job's tool, which is not called by this.
        record.method(if inquiry.wish == Wish::Cancel { "jobs/cancel" } else { "jobs/get" });
    }
    let _running = limit::admit(gateway, live, &request.caller, None, endpoint)?;
    let seen = match &inquiry.id {
        Some(id) => look(gateway, live, arrival, &request.caller, endpoint, id, record).await?,
        None => None,
    };
    let mut seen = seen.ok_or_else(|| inquiry.unknown())?;
    if inquiry.wish == Wish::Cancel {
        cancel(gateway, live, arrival, &mut seen).await?;
    }
    let era = request.message.era;
    let answered = match (inquiry.way, inquiry.wish) {
        (Way::Task, Wish::Look) => task_answer(gateway, live, seen, era, record).await?,
        (Way::Task, _) => json!({ "resultType": "complete" }).to_string().into(),
        (Way::Tool, _) => tool_answer(gateway, live, seen, era, record).await?,
    };
    let id = request.id();
    Ok(Reply::json(200, rpc_response_raw(id.as_deref(), "result", &answered)))
}

/// Answers `GET` and `DELETE` of `/jobs/{id}`.
///
/// # Errors
/// As the limits say, and [`Rejection::NotFound`].
pub async fn attend(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    (caller, id): (Caller, &JobId),
    record: &mut Record,
) -> Result<Reply, Rejection> {
    let endpoint = arrival.target.name();
    let caller = Arc::new(caller);
    let _running = limit::admit(gateway, live, &caller, None, endpoint)?;
    let seen = look(gateway, live, arrival, &caller, endpoint, id, record).await?;
    let mut seen = seen.ok_or(Rejection::NotFound)?;
    if arrival.verb == Verb::Delete {
        cancel(gateway, live, arrival, &mut seen).await?;
    }
    let (told, open) = (shown(&seen.kept.job), seen.kept.job.state.is_open());
    let outcome = outcome(gateway, live, seen, Era::Legacy, record).await?;
    let reply = Reply::json(200, written(&told, outcome.as_ref()));
    Ok(if open { reply.with(header::RETRY_AFTER, "1") } else { reply })
}

/// The job `id` of `caller` at `endpoint`, where there is one, and policy does not deny them its call.
async fn look(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    caller: &Arc<Caller>,
    endpoint: &str,
    id: &JobId,
    record: &mut Record,
) -> Result<Option<Seen>, Rejection> {
    let Some(kept) = find_own(gateway, live, caller, endpoint, id).await? else { return Ok(None) };
    let job = &kept.job;
    record.job(&job.id);
    record.approval_of(job);
    let tool = job.tool.full();
    record.tool(&tool);
    record.catalogued(&tool);
    let Some(call) = gateway.jobs.call(&kept) else {
        tracing::error!(job = %job.id, "a job was sealed with another key; put the `digest_key` back that it was made with");
        return Err(Rejection::Internal);
    };
    let Some(call) = call.again(live, job, Arc::clone(caller), arrival.ids.clone()) else { return Ok(None) };
    let decision = authorise::decision(live, arrival.peer, &call);
    record.decision(&decision);
    match decision.effect {
        Effect::Deny => Ok(None),
        _ if !decision.scopes.is_empty() => Err(Rejection::InsufficientScope { scope: decision.scopes.join(" ") }),
        // Whoever had to agree has done so before there was a job.
        Effect::Allow | Effect::Review => Ok(Some(Seen { kept, call })),
    }
}

/// The job `id`, where `caller` has made it at `endpoint`. Whoever names others' again and again is not answered for a while.
async fn find_own(
    gateway: &Gateway,
    live: &Live,
    caller: &Caller,
    endpoint: &str,
    id: &JobId,
) -> Result<Option<Kept>, Rejection> {
    let (principal, rate) = (&caller.principal, live.snapshot.gateway.edge.wrong_ids);
    gateway.wrong_ids.check(principal, rate).inspect_err(|_| gateway.metrics.wrong_id("caller", true))?;
    let is_own = |kept: &Kept| kept.job.owner == Owner::of(principal) && kept.job.endpoint == endpoint;
    let found = gateway.jobs.find(id).await?.filter(is_own);
    if found.is_none() {
        gateway.wrong_ids.wrong(principal, rate);
        gateway.metrics.wrong_id("caller", false);
    }
    Ok(found)
}

/// Ends the job, where it has not ended.
async fn cancel(gateway: &Gateway, live: &Live, arrival: &Arrival, seen: &mut Seen) -> Result<(), Rejection> {
    let keep = live.snapshot.gateway.jobs.ttl.0;
    let changed = gateway.jobs.cancel(&seen.kept.job.id, keep).await.map_err(super::desk::unavailable)?;
    match changed {
        Changed::To(job, _) => {
            waiting::withdraw(gateway, live, arrival, &seen.call.request.caller, &job).await;
            seen.kept.job = *job;
        }
        // It has ended in the same moment, and in another way.
        _ => seen.kept = gateway.jobs.find(&seen.kept.job.id).await?.ok_or(Rejection::NotFound)?,
    }
    Ok(())
}

/// What came of the job, where it has run; `None` where it has not.
async fn outcome(
    gateway: &Gateway,
    live: &Live,
    seen: Seen,
    era: Era,
    record: &mut Record,
) -> Result<Option<Outcome>, Rejection> {
    let Seen { kept, mut call } = seen;
    if kept.job.state != State::Done || kept.job.has_lost_result() {
        return Ok(None);
    }
    let answer = gateway.jobs.answer(&kept).ok_or(Rejection::Internal)?;
    let (upstream, message) = read_kept(&answer).ok_or(Rejection::Internal)?;
    let asked_of = std::slice::from_ref(&kept.job.tool.upstream);
    let catalog = gateway.catalog_of(live, asked_of, &call.request.caller.principal).await;
    // What has run has run, also where the tool is not there any more.
    let tool = validate::offered(&catalog, &call).ok().flatten();
    call.request.message.era = era;
    let mut filter = forward::filter(live, &call, Bytes::from_static(ID), upstream, tool, None);
    filter.start(200, &json_headers())?;
    let filtered = filter.whole(message);
    record.redacted(filter.counts());
    let (status, body) = filtered?;
    if matches!(call.request.target, Target::Invoke) {
        return Ok(Some(if status == 200 { Outcome::Result(body) } else { Outcome::Error(body) }));
    }
    let parsed = jsonrpc::answer(&body, &Limits::ANSWER).map_err(|_| Rejection::Internal)?;
    match parsed {
        Answer::Result { result, .. } => Ok(Some(Outcome::Result(body.slice(result.span.start..result.span.end)))),
        Answer::Error { error, .. } => Ok(Some(Outcome::Error(body.slice(error.span.start..error.span.end)))),
        _ => Err(Rejection::Internal),
    }
}

/// What is kept of the answer `message` of an upstream that spoke as `era`.
pub fn to_keep(era: Era, message: &[u8]) -> Vec<u8> {
    [if era == Era::Modern { &b"m"[..] } else { b"l" }, message].concat()
}

fn read_kept(kept: &[u8]) -> Option<(Era, &[u8])> {
    match kept.split_first()? {
        (b'm', message) => Some((Era::Modern, message)),
        (b'l', message) => Some((Era::Legacy, message)),
        _ => None,
    }
}

/// The header of an answer that is kept.
pub fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

/// The result of `tasks/get` (SEP-2663 "Getting Tasks").
async fn task_answer(
    gateway: &Gateway,
    live: &Live,
    seen: Seen,
    era: Era,
    record: &mut Record,
) -> Result<Bytes, Rejection> {
    let mut told = as_task(&seen.kept.job);
    insert(&mut told, "resultType", "complete".into());
    if told.get("status").is_some_and(|status| status == "failed") {
        insert(&mut told, "error", failure(&seen.kept.job));
    }
    let outcome = outcome(gateway, live, seen, era, record).await?;
    if matches!(outcome, Some(Outcome::Error(_))) {
        insert(&mut told, "status", "failed".into());
    }
    Ok(written(&told, outcome.as_ref()))
}

/// Why a job failed, as an error of JSON-RPC.
fn failure(job: &Job) -> Value {
    json!({ "code": -32603, "message": words(job).unwrap_or_else(|| "It failed.".into()) })
}

/// The result of the gateway's own tool: that of the job's tool, once there is one.
async fn tool_answer(
    gateway: &Gateway,
    live: &Live,
    seen: Seen,
    era: Era,
    record: &mut Record,
) -> Result<Bytes, Rejection> {
    let job = seen.kept.job.clone();
    let told = match outcome(gateway, live, seen, era, record).await? {
        Some(Outcome::Result(result)) => return Ok(result),
        Some(Outcome::Error(error)) => {
            let error: Value = serde_json::from_slice(&error).map_err(|_| Rejection::Internal)?;
            let message = error.get("message").and_then(Value::as_str).unwrap_or("The server gave an error.");
            result(message, json!({ "job": shown(&job), "error": error }), true)
        }
        None if job.state.is_open() => {
            let said = words(&job).map(|words| format!(" {words}")).unwrap_or_default();
            let text = format!("The job {} is {}.{said} Ask again in a second or later.", job.id, job.state.as_str());
            result(&text, shown(&job), false)
        }
        None => {
            let said = words(&job).unwrap_or_else(|| format!("The job {} was cancelled.", job.id));
            result(&said, shown(&job), true)
        }
    };
    Ok(told.to_string().into())
}

/// `told` with what came of the job, as JSON text: not a byte of that changes.
fn written(told: &Value, outcome: Option<&Outcome>) -> Bytes {
    let mut text = told.to_string();
    let (key, json) = match outcome {
        Some(Outcome::Result(json)) => ("result", json),
        Some(Outcome::Error(json)) => ("error", json),
        None => return text.into(),
    };
    // The object is never empty.
    text.pop();
    let mut out = format!("{text},\"{key}\":").into_bytes();
    out.extend_from_slice(json);
    out.push(b'}');
    out.into()
}

/// Whether `viewer` may use a tool of `catalog` at `endpoint` whose calls are jobs.
pub fn may_use_any(live: &Live, viewer: Viewer<'_>, endpoint: &Endpoint, catalog: &Catalog) -> bool {
    let policy = &live.snapshot.policy;
    catalog.tools(endpoint).any(|tool| policy.traits(&tool.name).job && viewer.sees(live, Kind::Tool, &tool.name))
}

/// The definition of the gateway's own tool.
pub fn definition() -> (ToolName, Vec<u8>) {
    let definition = json!({
        "name": TOOL,
        "title": "Job",
        "description": "How a job of yours stands that an earlier call has started, and the result of that call once the \
            job has ended. Give the job's id as it was given to you. With `cancel`, ends the job.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "id": { "type": "string", "description": "The job's id." },
                "cancel": { "type": "boolean", "description": "End the job." },
            },
            "required": ["id"],
            "additionalProperties": false,
        },
        "annotations": { "openWorldHint": false },
    });
    (ToolName::new(OWN, "job"), definition.to_string().into_bytes())
}
