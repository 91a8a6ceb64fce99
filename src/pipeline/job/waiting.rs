//! Jobs that wait for people: how a call that needs an approval is carried to a client that knows tasks, and can't be asked to
//! open a page. The client is told of a task, and need not call again: once people have agreed, the job is run like any
//! other, and redeems the approval when it is. There is one such job of an approval, and it runs once.

use super::call::Call;
use super::draft;
use crate::approvals::Person;
use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::authorise::Viewer;
use crate::pipeline::{Gateway, Live, clock, route, task};
use portcullis_core::approval::{Approval, Invitation, State as Standing, Told};
use portcullis_core::catalog::Catalog;
use portcullis_core::job::{Job, JobId, Keep};
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::policy::Decision;
use portcullis_core::policy::document::Effect;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::route::Endpoint;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::Kind;

/// Whether the client of `call` is told of a task while people decide. Not where it brings what its upstream asked for: a job
/// can't be asked.
pub fn is_for(call: &route::Call) -> bool {
    let request = &call.request;
    let declared = request.message.era == Era::Modern && task::check_declared(request.capabilities()).is_ok();
    let is_plain = call.asked.request_state.is_none() && call.asked.input_responses.is_none();
    let at_endpoint = matches!(request.target, Target::Endpoint(_));
    let can_open = Capabilities::read(request.capabilities()).url;
    declared && is_plain && at_endpoint && !can_open
}

/// Whether a call of `viewer` to some tool of `catalog` at `endpoint` may become such a job.
pub fn may_wait(live: &Live, viewer: Viewer<'_>, endpoint: &Endpoint, catalog: &Catalog) -> bool {
    catalog.tools(endpoint).any(|tool| viewer.effect_of(live, Kind::Tool, &tool.name) == Effect::Review)
}

/// The job that waits for `approval`, or runs because of it.
///
/// # Errors
/// [`Rejection::WorkUnavailable`].
pub async fn of_approval(gateway: &Gateway, approval: &Approval) -> Result<Option<Job>, Rejection> {
    let Some(id) = JobId::of(approval) else { return Ok(None) };
    let found = gateway.jobs.find(&id).await?;
    Ok(found.map(|kept| kept.job).filter(|job| job.state.is_open()))
}

/// Makes a job of `call`, about which `decision` wants people to be asked, that waits for `approval`; `None` where its caller may
/// not have one more, or has ended it before.
///
/// # Errors
/// [`Rejection::JobConflict`], [`Rejection::WorkUnavailable`].
pub async fn keep(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    (call, decision): (&route::Call, &Decision),
    (approval, invitation): (&Approval, &Invitation),
) -> Result<Option<Job>, Rejection> {
    let settings = &live.snapshot.gateway.jobs;
    let kept = Call::of(call, arrival).ok_or(Rejection::Internal)?;
    let mut draft = draft(gateway, live, arrival, call)?;
    draft.id = JobId::of(approval).ok_or(Rejection::Internal)?;
    let note = invitation.text_of_task();
    let job = Job::waiting(draft, decision, approval, note, clock::now(), settings.ttl.0);
    match gateway.jobs.enqueue(job, &kept, settings.quota).await {
        Ok(job) => Ok(Some(job).filter(|job| job.state.is_open() || job.key.is_some())),
        Err(Rejection::TooManyJobs) => Ok(None),
        Err(rejection) => Err(rejection),
    }
}

/// What becomes of `job` at `now`, whose approval is `approval` by now; `None` where people are still asked.
pub fn next(job: &Job, approval: Option<&Approval>, now: Timestamp, keep: Keep) -> Option<Job> {
    // One that is forgotten was closed long ago.
    let state = approval.map_or(Standing::Expired, |approval| approval.state_at(now));
    let told = match state {
        Standing::Pending => return None,
        Standing::Approved => return job.release(now, keep.ended).ok(),
        Standing::Denied => Told::Denied {
            id: job.approval().unwrap_or_default().to_owned(),
            reason: approval.and_then(Approval::denial).map(str::to_owned),
        },
        over => Told::Over(over),
    };
    let (_, _, reason) = told.row();
    job.refuse(reason, Some(told.text().into_owned()), now, keep.ended).ok()
}

/// Takes the approval of `job` back, which `caller` has ended before that was redeemed.
pub async fn withdraw(gateway: &Gateway, live: &Live, arrival: &Arrival, caller: &Caller, job: &Job) {
    let Some(id) = job.redeems() else { return };
    let open = gateway.desk.find(id).await.map(|found| found.is_some_and(|it| it.state_at(clock::now()).is_open()));
    let person = Person {
        principal: &caller.principal,
        roles: &caller.roles,
        policy: &live.snapshot.policy,
        sees_all: false,
        manages: false,
        revision: &live.snapshot.revision,
        client: arrival.peer,
    };
    let withdrawn = match open {
        Ok(false) => return,
        Ok(true) => gateway.desk.withdraw(person, id, Some("its task was cancelled")).await.map(drop),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = withdrawn {
        // The job is ended, and so nothing runs by itself; what is left expires.
        tracing::warn!(approval = id, %error, "the approval of a cancelled task could not be withdrawn");
    }
}
