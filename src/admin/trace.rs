//! What operators do, in the record: a row for each look at it and for each change, written before there is an answer. What
//! can't be recorded is not done.

use crate::admin::Admin;
use crate::admin::auth::Operator;
use crate::admin::problem::Problem;
use crate::pipeline::clock;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::job::JobId;
use uuid::Uuid;

/// The longest text that an operator can put into a field of the record, in bytes.
const FIELD: usize = 1024;

/// What an operator does.
pub struct Act<'a> {
    /// What it is, as the record's method.
    pub method: &'static str,
    /// What it is done to, where it is a tool, prompt or resource.
    pub tool: Option<&'a str>,
    /// More about it.
    pub detail: &'a str,
}

/// Writes that `operator` does this, and waits until it is written.
///
/// # Errors
/// 503: it can't be written.
pub async fn record(admin: &Admin, operator: &Operator, act: &Act<'_>) -> Result<(), Problem> {
    write(admin, operator, act, None).await
}

/// The same of what they do with the job `job`.
///
/// # Errors
/// As [`record`].
pub async fn record_of_job(admin: &Admin, operator: &Operator, act: &Act<'_>, job: &JobId) -> Result<(), Problem> {
    write(admin, operator, act, Some(job)).await
}

async fn write(admin: &Admin, operator: &Operator, act: &Act<'_>, job: Option<&JobId>) -> Result<(), Problem> {
    let principal = &operator.principal;
    let names = |names: &mut dyn Iterator<Item = &String>| serde_json::to_string(&names.collect::<Vec<_>>()).ok();
    let entry = Entry {
        request_id: Uuid::now_v7().to_string(),
        issuer: Some(principal.issuer.clone()),
        subject: Some(principal.subject.clone()),
        tenant: principal.tenant.clone(),
        agent: principal.agent.clone(),
        roles: names(&mut principal.roles.iter()),
        client: operator.address(),
        method: Some(act.method.to_owned()),
        tool: act.tool.map(cut),
        job_id: job.map(ToString::to_string),
        revision: operator.live.snapshot.revision.clone(),
        outcome: Some(Outcome::Ok),
        termination: Some(Termination::Complete),
        detail: (!act.detail.is_empty()).then(|| cut(act.detail)),
        ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), clock::now())
    };
    let written = admin.gateway.journal.record(&entry).await;
    written.map_err(|error| Problem::unavailable("record", &error))
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(FIELD)).unwrap_or_default().to_owned()
}
