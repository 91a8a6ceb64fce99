//! One try of one job: its call once more through the stages, to the upstream, and what came of it into the store.
//!
//! The order is what makes a call run at most once: the store learns that it is about to leave before it does, and from
//! then on a job whose end is not known counts as one that may have run.

use super::ending::{Told, Trouble, finish, unopened, unsure};
use super::{Phase, until};
use crate::approvals::crash;
use crate::pipeline::arrival::{Arrival, Ids, Target, Verb};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::authorise::Leave;
use crate::pipeline::converse::reading::{Heard, Reading};
use crate::pipeline::filter::Form;
use crate::pipeline::forward::{self, Prepared, PreparedCall};
use crate::pipeline::job::call::{Call, ID};
use crate::pipeline::job::to_keep;
use crate::pipeline::limit::Admitted;
use crate::pipeline::presence::Presence;
use crate::pipeline::record::{Ending as Closing, Origin, Record};
use crate::pipeline::reply::rpc_response_raw;
use crate::pipeline::review::{Reviewed, permit_job};
use crate::pipeline::validate::Valid;
use crate::pipeline::{Gateway, Live, authorise, clock, journal, limit, validate};
use crate::store::limits::local::Admission;
use crate::store::work::jobs::{Changed, Kept};
use crate::upstream::client::{Failure, Stream};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use portcullis_core::audit::Outcome;
use portcullis_core::job::{Ending, Job};
use portcullis_core::jsonrpc::{self, Answer, Limits};
use portcullis_core::mcp::sse;
use portcullis_core::redact::Counts;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::Kind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The name under which an upstream that knows such a thing finds all tries of a job to be one.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the upstream answered, ready to be kept.
struct Answered {
    sealed: String,
    tool_error: bool,
    counts: Counts,
}

/// A try under way.
struct Attempt<'a> {
    gateway: &'a Arc<Gateway>,
    live: Arc<Live>,
    job: &'a Job,
    lease: Duration,
    arrival: Arrival,
    record: Record,
    /// Whether the store knows that the call may have left.
    sent: bool,
    began: Option<Instant>,
    /// What takes the call back from an older upstream.
    farewell: Option<(Arc<crate::upstream::session::Session>, Bytes)>,
}

/// Tries the job `kept`, which this worker has for `lease`.
pub async fn run(gateway: &Arc<Gateway>, kept: Kept, lease: Duration, phases: &mut watch::Receiver<Phase>) {
    crash::here("job_taken");
    let (job, live) = (&kept.job, gateway.live.load_full());
    let ended = gateway.jobs.ended(&job.id);
    let Some(call) = gateway.jobs.call(&kept) else {
        return unopened(gateway, job, lease).await;
    };
    if unsure(gateway, job, lease).await {
        return;
    }
    let caller = Arc::new(call.caller(&live, job));
    let tool = job.tool.full();
    let room = match limit::running(gateway, &live, &caller, (Kind::Tool, &tool), &job.endpoint) {
        Ok(room) => room,
        Err(rejection) => {
            finish(gateway, job, Ending::Postponed(rejection.row().label), None, lease).await;
            return;
        }
    };
    let longest = live.snapshot.gateway.jobs.longest.0;
    let mut attempt = Attempt::new(gateway, live, job, lease, (&call, &caller));
    let result = tokio::select! {
        result = attempt.make(&call, caller, room) => result,
        () = ended => Err(Trouble::Cancelled),
        trouble = hold(gateway, job, lease) => Err(trouble),
        () = tokio::time::sleep(longest) => Err(Trouble::Unknown(Rejection::UpstreamTimeout)),
        () = until(phases, Phase::Cutting) => Err(Trouble::Unknown(Rejection::ShuttingDown)),
    };
    attempt.settle(result).await;
}

/// Says again and again that the worker lives; ends when the job is not its own any more, and says why.
async fn hold(gateway: &Gateway, job: &Job, lease: Duration) -> Trouble {
    loop {
        tokio::time::sleep(lease / 3).await;
        match gateway.jobs.step(&job.id, None, |job_now| job_now.renew(job.fence, clock::now(), lease)).await {
            Ok(Changed::To(..)) => {}
            Ok(other) => return Trouble::of(&other),
            Err(error) => tracing::warn!(job = %job.id, %error, "a job's lease could not be renewed"),
        }
    }
}

impl<'a> Attempt<'a> {
    fn new(
        gateway: &'a Arc<Gateway>,
        live: Arc<Live>,
        job: &'a Job,
        lease: Duration,
        (call, caller): (&Call, &Arc<Caller>),
    ) -> Self {
        let target = live.snapshot.routes.0.get(&job.endpoint);
        let parent = HeaderValue::from_str(&job.traceparent).ok();
        let arrival = Arrival {
            verb: Verb::Post,
            target: target.map_or(Target::Invoke, |endpoint| Target::Endpoint(Arc::clone(endpoint))),
            peer: call.client(),
            authorization: Vec::new(),
            mcp: Vec::new(),
            last_event: None,
            idempotency_key: Vec::new(),
            respond_async: false,
            job: None,
            ids: Ids::new(parent.as_slice()),
            at: Instant::now(),
            presence: Presence::default(),
        };
        let origin = Origin { endpoint: Some(&job.endpoint), ..Origin::of(&arrival) };
        let mut record = Record::open(gateway, &live, &origin);
        record.caller(caller);
        record.method("tools/call");
        record.tool(&job.tool.full());
        record.job(&job.id);
        if let Some(approval) = job.approval() {
            record.approval(approval);
        }
        Self { gateway, live, job, lease, arrival, record, sent: false, began: None, farewell: None }
    }

    /// All of it, from policy to the answer.
    async fn make(&mut self, call: &Call, caller: Arc<Caller>, room: Admission) -> Result<Answered, Trouble> {
        let (gateway, live) = (self.gateway, Arc::clone(&self.live));
        let again = call.again(&live, self.job, caller, self.arrival.ids.clone());
        let again = again.ok_or(Trouble::Final(Rejection::NotFound))?;
        self.record.protocol(again.request.protocol());
        self.record.arguments(&live.snapshot, again.arguments());
        let authorised = authorise::step(&live, &self.arrival, again, &mut self.record).map_err(Trouble::Final)?;
        let admitted = Admitted { authorised, admission: room };
        let valid = validate::step(gateway, &live, &self.arrival, admitted, &mut self.record).await;
        let valid = valid.map_err(|rejection| match rejection {
            Rejection::UpstreamUnavailable => Trouble::Unsent(rejection),
            other => Trouble::Final(other),
        })?;
        let Valid { admitted: Admitted { authorised, admission }, era, tool, state, .. } = valid;
        let permit = match authorised.leave {
            Leave::Permit(permit) => permit,
            Leave::Review(decision) => {
                let tool = tool.as_deref().ok_or(Trouble::Final(Rejection::Internal))?;
                let permit = permit_job(gateway, &live, (self.job, &authorised.call), tool, &decision).await;
                permit.map_err(|rejection| match rejection {
                    Rejection::WorkUnavailable => Trouble::Unsent(rejection),
                    other => Trouble::Final(other),
                })?
            }
        };
        let reviewed = Reviewed { call: authorised.call, admission, permit, era, tool, state };
        self.mark().await?;
        crash::here("job_marked");
        let journaled = journal::step(reviewed, &mut self.record).await.map_err(Trouble::Unsent)?;
        crash::here("job_intended");
        let prepared = forward::step(gateway, &live, &self.arrival, journaled, &mut self.record).await;
        match prepared.map_err(Trouble::Unsent)? {
            Prepared::Call(call) => self.send(*call).await,
            Prepared::Done(_) => Err(Trouble::Final(Rejection::Internal)),
        }
    }

    /// Has the store know that the call is about to leave.
    async fn mark(&mut self) -> Result<(), Trouble> {
        let (fence, lease) = (self.job.fence, self.lease);
        let marked = self.gateway.jobs.step(&self.job.id, None, |job| job.send(fence, clock::now(), lease)).await;
        match marked {
            Ok(Changed::To(..)) => {
                self.sent = true;
                Ok(())
            }
            Ok(other) => Err(Trouble::of(&other)),
            Err(error) => {
                tracing::warn!(job = %self.job.id, %error, "a job could not be marked as sent, and was not");
                // The store may have done it, and not said so.
                self.sent = true;
                Err(Trouble::Unsent(Rejection::WorkUnavailable))
            }
        }
    }

    async fn send(&mut self, mut call: PreparedCall) -> Result<Answered, Trouble> {
        if let Ok(key) = HeaderValue::from_str(self.job.id.as_str()) {
            call.headers.push((IDEMPOTENCY_KEY, key));
        }
        let stream = self.open(&mut call).await?;
        crash::here("job_sent");
        self.began = Some(Instant::now());
        let events =
            stream.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let started = call.filter.start(stream.status, &stream.headers);
        let form = started.map_err(|rejection| match rejection {
            Rejection::UpstreamUnavailable => Trouble::Unknown(rejection),
            other => Trouble::Final(other),
        })?;
        let most = usize::try_from(self.live.snapshot.gateway.jobs.result_bytes.0).unwrap_or(usize::MAX);
        let limit = call.filter.limit().min(most);
        let mut reading = Reading::start(Arc::clone(&self.gateway.client), stream, form, limit);
        let answered = self.read(&mut call, &mut reading, events && form == Form::Whole).await;
        if call.filter.is_outdated() {
            call.pool.ask_again();
        }
        let message = answered?;
        crash::here("job_answered");
        let era = if call.session.is_some() { Era::Legacy } else { Era::Modern };
        let sealed = self.gateway.jobs.sealed_answer(&self.job.id, &to_keep(era, &message));
        self.farewell = None;
        Ok(Answered {
            sealed: sealed.ok_or(Trouble::Final(Rejection::Internal))?,
            tool_error: call.filter.tool_error(),
            counts: call.filter.counts().clone(),
        })
    }

    /// Sends the call; where its session is lost, in another: then the upstream did not take it.
    async fn open(&mut self, call: &mut PreparedCall) -> Result<Stream, Trouble> {
        let failed = |failure| match failure {
            Failure::Connect | Failure::NoReplica => Trouble::Unsent(failure.into()),
            _ => Trouble::Unknown(failure.into()),
        };
        let Some(session) = call.session.clone() else {
            let opened = self.gateway.client.open_any(&call.pool, &call.headers, call.body.clone()).await;
            return opened.map(|(_, stream)| stream).map_err(failed);
        };
        let farewell = call.farewell.as_ref().map(|farewell| farewell.message.clone());
        self.farewell = farewell.clone().map(|message| (Arc::clone(&session), message));
        let opened = session.call(&call.headers, call.body.clone()).await;
        let lost = match &opened {
            Ok(stream) => stream.status == 404 && session.has_id(),
            Err(failure) => *failure == Failure::Connect,
        };
        if !lost {
            return opened.map_err(failed);
        }
        let sessions = &self.gateway.sessions;
        sessions.forget(&session, &call.owner);
        let again = sessions.of(&call.pool, &call.owner).await;
        let again = again.map_err(|error| Trouble::Unsent(forward::no_session(&call.pool, &error)))?;
        self.farewell = farewell.map(|message| (Arc::clone(&again), message));
        let opened = again.call(&call.headers, call.body.clone()).await;
        call.session = Some(again);
        opened.map_err(failed)
    }

    /// The upstream's answer, once the filter has found nothing wrong with it, as it was before the filter.
    async fn read(
        &self,
        call: &mut PreparedCall,
        reading: &mut Reading,
        hides_in_events: bool,
    ) -> Result<Bytes, Trouble> {
        loop {
            let heard = tokio::time::timeout(call.pool.upstream.timeout, reading.next()).await;
            let heard = heard.map_err(|_| Trouble::Unknown(Rejection::UpstreamTimeout))?.map_err(broken)?;
            let message = match heard.ok_or(Trouble::Unknown(Rejection::UpstreamUnavailable))? {
                Heard::Place(_) | Heard::Alive => continue,
                Heard::Whole(body) => {
                    call.filter.whole(&body).map_err(Trouble::Final)?;
                    if hides_in_events { answer_among(&body, &call.id) } else { Some(body) }
                }
                Heard::Message(message) => {
                    let passed = call.filter.pass(&message).map_err(Trouble::Final)?;
                    if passed.is_none() || !call.filter.is_answered() {
                        continue;
                    }
                    Some(message.into())
                }
            };
            let own = message.and_then(|message| under_own_id(&message));
            return own.ok_or(Trouble::Final(Rejection::ResponseUnreadable("no_answer")));
        }
    }

    /// Closes the record, and has the store know how the try ended.
    async fn settle(mut self, result: Result<Answered, Trouble>) {
        if let (Some((session, message)), true) = (self.farewell.take(), result.is_err()) {
            self.gateway.sessions.tell(session, vec![message]);
        }
        let Told { outcome, rejection, ending } = match &result {
            Ok(answered) => {
                let outcome = if answered.tool_error { Outcome::ToolError } else { Outcome::Ok };
                Told { outcome, rejection: None, ending: Some(Ending::Done) }
            }
            Err(trouble) => trouble.told(self.sent, self.began.is_some()),
        };
        let answered = result.as_ref().ok();
        self.record.close(&Closing {
            outcome,
            status: None,
            rejection,
            bytes_out: 0,
            answered: self.began,
            redactions: answered.map(|answered| &answered.counts),
        });
        if let Some(ending) = ending {
            finish(self.gateway, self.job, ending, answered.map(|answered| answered.sealed.as_str()), self.lease).await;
        }
        crash::here("job_finished");
    }
}

/// What it means that nothing more can be read.
fn broken(rejection: Rejection) -> Trouble {
    match rejection {
        // It has answered, and more than is taken.
        Rejection::ResponseTooLarge => Trouble::Final(rejection),
        other => Trouble::Unknown(other),
    }
}

/// The answer to the request with the raw id `id` in a body of events.
fn answer_among(body: &[u8], id: &[u8]) -> Option<Bytes> {
    let mut events = Vec::new();
    sse::Parser::new(body.len()).push(body, &mut events).ok()?;
    let mut messages = events.into_iter().filter_map(|event| event.data).map(String::into_bytes);
    let is_ours = |message: &Vec<u8>| match jsonrpc::answer(message, &Limits::ANSWER) {
        Ok(Answer::Result { id: own, .. } | Answer::Error { id: Some(own), .. }) => {
            jsonrpc::same_id(own.of(message), id)
        }
        _ => false,
    };
    messages.find(is_ours).map(Bytes::from)
}

/// `message`, an answer, as one to the id that all kept answers have.
fn under_own_id(message: &[u8]) -> Option<Bytes> {
    match jsonrpc::answer(message, &Limits::ANSWER).ok()? {
        Answer::Result { result, .. } => Some(rpc_response_raw(Some(ID), "result", result.span.of(message))),
        Answer::Error { error, .. } => Some(rpc_response_raw(Some(ID), "error", error.span.of(message))),
        _ => None,
    }
}
