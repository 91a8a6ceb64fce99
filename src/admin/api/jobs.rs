//! `/api/jobs`: calls that run when their callers do not wait, as operators see them: never with arguments or results, which
//! are their owners'. An operator sees the jobs of their own tenant; there are no others for them.

use crate::admin::Admin;
use crate::admin::auth::Operator;
use crate::admin::named::named;
use crate::admin::problem::Problem;
use crate::admin::trace::{self, Act};
use crate::store::work::WorkError;
use crate::store::work::jobs::{Changed, JobSelection};
use axum::Json;
use axum::extract::{Path, Query, State};
use portcullis_core::job::{Job, JobId, State as Standing};
use portcullis_core::policy::Power;
use portcullis_core::reject::Rejection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most jobs in an answer.
const MOST: u32 = 200;

/// A job as an operator sees it. Times are RFC 3339.
#[derive(Serialize, JsonSchema)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// `waiting` for people, `queued`, `running`, `done`, `failed`, `cancelled`, `needs_review` or `dead`.
    pub state: String,
    /// Why, where something went wrong: the label of a refusal or failure.
    pub reason: Option<String>,
    /// `upstream.tool`.
    pub tool: String,
    /// The endpoint it was called at; `mcp` for plain REST.
    pub endpoint: String,
    /// Whose it is: the token's issuer.
    pub issuer: String,
    /// The user.
    pub subject: String,
    /// The client that acts for them.
    pub agent: Option<String>,
    /// The approval that its call needs.
    pub approval: Option<String>,
    /// The rule that let it in.
    pub rule: String,
    /// The revision of the configuration that let it in.
    pub revision: String,
    /// How often it was tried.
    pub attempts: u32,
    /// How often it may be.
    pub most_attempts: u32,
    /// Whether its tool may run twice.
    pub idempotent: bool,
    /// When it was made.
    pub created: String,
    /// When it last changed.
    pub updated: String,
    /// From when on it is forgotten.
    pub expires: String,
}

impl JobView {
    /// `job`, to be shown.
    pub fn new(job: &Job) -> Self {
        Self {
            id: job.id.to_string(),
            state: job.state.as_str().to_owned(),
            reason: job.reason.clone(),
            tool: job.tool.full().to_string(),
            endpoint: job.endpoint.clone(),
            issuer: job.owner.issuer.clone(),
            subject: job.owner.subject.clone(),
            agent: job.owner.agent.clone(),
            approval: job.approval().map(str::to_owned),
            rule: job.rule().to_owned(),
            revision: job.revision.clone(),
            attempts: job.attempts,
            most_attempts: job.terms.attempts,
            idempotent: job.terms.idempotent,
            created: job.created.to_string(),
            updated: job.updated.to_string(),
            expires: job.expires.to_string(),
        }
    }
}

/// A list of jobs.
#[derive(Serialize, JsonSchema)]
pub struct JobList {
    /// Newest first.
    pub jobs: Vec<JobView>,
}

/// Which jobs are listed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobQuery {
    /// In this state alone; `dead` and `needs_review` are those that wait for an operator.
    pub state: Option<String>,
    /// Those that were made before this one.
    pub before: Option<String>,
    /// At most so many; without it, 50, and never more than 200.
    pub limit: Option<u32>,
}

/// Lists.
///
/// # Errors
/// They may not read, there is no such state, or the store can't be asked.
pub async fn list(
    State(admin): State<Admin>,
    operator: Operator,
    Query(query): Query<JobQuery>,
) -> Result<Json<JobList>, Problem> {
    let jobs = visible(&admin, &operator, &query).await?.iter().map(JobView::new).collect();
    Ok(Json(JobList { jobs }))
}

/// The jobs that `operator` may see and that `query` is about.
///
/// # Errors
/// As [`list`].
pub async fn visible(admin: &Admin, operator: &Operator, query: &JobQuery) -> Result<Vec<Job>, Problem> {
    operator.require(Power::Read)?;
    let named = |state: &String| Standing::NAMES.into_iter().find(|name| name == state);
    let unknown = || Problem::bad_request(format!("There is no such state; there are {}", Standing::NAMES.join(", ")));
    let state = query.state.as_ref().map(|state| named(state).ok_or_else(unknown)).transpose()?;
    let before = match &query.before {
        Some(id) => Some(found(admin, operator, id).await.map(|job| (job.created, job.id.to_string()))?),
        None => None,
    };
    let selection = JobSelection { state, tenant: Some(operator.principal.tenant.clone()), before };
    let most = query.limit.unwrap_or(50).min(MOST);
    admin.gateway.jobs.work.jobs(&selection, most).await.map_err(|error| unavailable(&error))
}

/// Shows one.
///
/// # Errors
/// They may not read, or there is none that they may know of.
pub async fn show(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Problem> {
    operator.require(Power::Read)?;
    Ok(Json(JobView::new(&found(&admin, &operator, &id).await?)))
}

/// Ends one that has not ended.
///
/// # Errors
/// They may not manage, there is none that they may know of, or it has ended.
pub async fn cancel(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Problem> {
    change(&admin, &operator, &id, Change::Cancel).await.map(|job| Json(JobView::new(&job)))
}

/// Puts one back that was given up, or that may have run.
///
/// # Errors
/// They may not manage, there is none that they may know of, or it is not one of these.
pub async fn requeue(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
) -> Result<Json<JobView>, Problem> {
    change(&admin, &operator, &id, Change::Requeue).await.map(|job| Json(JobView::new(&job)))
}

/// What an operator does with a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It ends.
    Cancel,
    /// It is tried once more.
    Requeue,
}

/// Does it. That they want it is in the record before it is so, and what became of it after.
///
/// # Errors
/// As [`cancel`] and [`requeue`].
pub async fn change(admin: &Admin, operator: &Operator, id: &str, change: Change) -> Result<Job, Problem> {
    let method = match change {
        Change::Cancel => "operator/jobs.cancel",
        Change::Requeue => "operator/jobs.requeue",
    };
    trace::require_manage(admin, operator, &Act { method, tool: None, detail: id })?;
    let job = found(admin, operator, id).await?;
    let tool = job.tool.full().to_string();
    let detail = format!("of {}, {}", job.owner.subject, job.state.as_str());
    let act = Act { method, tool: Some(&tool), detail: &detail };
    let deed = trace::begin(admin, operator, &act, Some(&job.id)).await?;
    let keep = operator.live.snapshot.gateway.jobs.ttl.0;
    let changed = match change {
        Change::Cancel => admin.gateway.jobs.cancel(&job.id, keep).await,
        Change::Requeue => admin.gateway.jobs.requeue(&job.id, keep).await,
    };
    match changed.map_err(|error| unavailable(&error))? {
        Changed::To(job, _) => {
            void(admin, &job).await;
            deed.done();
            Ok(*job)
        }
        Changed::Unknown => {
            deed.refused("unknown_job");
            Err(Problem::not_found())
        }
        Changed::Refused(refusal) => {
            deed.refused("job_state");
            Err(Problem::conflict(refusal.to_string()))
        }
        Changed::Twin => {
            deed.refused("job_twin");
            Err(Problem::conflict("The same call has an open job already; end that one first"))
        }
    }
}

/// Takes back the approval that `job` has waited for, where an operator has ended it.
async fn void(admin: &Admin, job: &Job) {
    let desk = &admin.gateway.desk;
    let Some(id) = job.redeems().filter(|_| job.state == Standing::Cancelled) else { return };
    let voided = match desk.find(id).await {
        Ok(Some(approval)) => desk.void(&approval, "an operator ended its job").await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = voided {
        tracing::warn!(approval = id, %error, "the approval of a job that was ended could not be taken back");
    }
}

/// The job `id` of the operator's own tenant.
async fn found(admin: &Admin, operator: &Operator, id: &str) -> Result<Job, Problem> {
    let look = async {
        let id = JobId::parse(id).ok_or_else(Problem::not_found)?;
        let kept = admin.gateway.jobs.find(&id).await;
        let kept = kept.map_err(|error: Rejection| Problem::unavailable("jobs", &error.text()))?;
        let job = kept.map(|kept| kept.job).filter(|job| job.owner.tenant == operator.principal.tenant);
        job.ok_or_else(Problem::not_found)
    };
    named(admin, operator, "a job", look).await
}

fn unavailable(error: &WorkError) -> Problem {
    Problem::unavailable("jobs", error)
}
