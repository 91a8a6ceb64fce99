//! What operators do, in the record: a row for each login and each look at it, written before there is an answer; one for each
//! change, before it is made, and another for what became of it; and one for each change that they may not make, for who was not
//! let in, and for ids of what is not there for them. What can't be recorded is not done.

use crate::admin::Admin;
use crate::admin::auth::{Operator, Peer};
use crate::admin::problem::Problem;
use crate::pipeline::strangers::Kind;
use crate::pipeline::{Live, clock};
use crate::store::journal::deed::Deed;
use portcullis_core::audit::{Entry, Outcome, Termination};
use portcullis_core::job::JobId;
use portcullis_core::policy::Power;
use portcullis_core::principal::Principal;
use std::net::IpAddr;
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

/// Writes that `operator` looks at this, and waits until it is written.
///
/// # Errors
/// 503: it can't be written.
pub async fn record(admin: &Admin, operator: &Operator, act: &Act<'_>) -> Result<(), Problem> {
    let (outcome, termination) = (Some(Outcome::Ok), Some(Termination::Complete));
    let entry = Entry { outcome, termination, ..entry(operator, act, None) };
    let written = admin.gateway.journal.record(&entry).await;
    written.map_err(|error| Problem::unavailable("record", &error))
}

/// Writes that `operator` is about to change this, of the job `job` where it is one, and waits until it is written.
///
/// # Errors
/// 503: it can't be written.
pub async fn begin(admin: &Admin, operator: &Operator, act: &Act<'_>, job: Option<&JobId>) -> Result<Deed, Problem> {
    let begun = Deed::begin(&admin.gateway.journal, entry(operator, act, job)).await;
    begun.map_err(|error| Problem::unavailable("record", &error))
}

/// Whether `operator` may manage; that they have tried what they may not is in the record.
///
/// # Errors
/// 403.
pub fn require_manage(admin: &Admin, operator: &Operator, act: &Act<'_>) -> Result<(), Problem> {
    operator.require(Power::Manage).inspect_err(|_| {
        let (outcome, termination) = (Some(Outcome::Refused), Some(Termination::Refused));
        let entry = entry(operator, act, None);
        admin.gateway.journal.submit(&Entry { outcome, termination, error: Some("not_operator"), ..entry });
    })
}

fn entry(operator: &Operator, act: &Act<'_>, job: Option<&JobId>) -> Entry {
    Entry {
        tool: act.tool.map(cut),
        job_id: job.map(ToString::to_string),
        outcome: None,
        termination: None,
        detail: (!act.detail.is_empty()).then(|| cut(act.detail)),
        ..of(act.method, &operator.principal, operator.address(), &operator.live.snapshot.revision)
    }
}

/// Writes that `operator` named the id of `what` which is not there for them.
pub fn wrong_id(admin: &Admin, operator: &Operator, what: &'static str) {
    let revision = &operator.live.snapshot.revision;
    admin.gateway.journal.submit(&Entry {
        outcome: Some(Outcome::Refused),
        termination: Some(Termination::Refused),
        error: Some("unknown_id"),
        detail: Some(format!("of {what}")),
        ..of("operator/look", &operator.principal, operator.address(), revision)
    });
}

/// Writes that `principal` logs in from `peer`, and waits until it is written.
///
/// # Errors
/// As [`record`].
pub async fn login(admin: &Admin, live: &Live, principal: &Principal, peer: Peer) -> Result<(), Problem> {
    let entry = of("operator/login", principal, peer.address(), &live.snapshot.revision);
    let written = admin.gateway.journal.record(&entry).await;
    written.map_err(|error| Problem::unavailable("record", &error))
}

/// Writes that somebody at `peer` was not let in, because of `error`. They are strangers: as those who call, they leave no more
/// rows than `edge.refusal_rows` says.
pub fn login_refused(admin: &Admin, live: &Live, peer: Peer, error: &'static str) {
    let (outcome, client) = (Outcome::Refused, peer.address());
    let kind = Kind { client, outcome, error: Some(error) };
    if !admin.gateway.strangers.has_room(&kind, live.snapshot.gateway.edge.refusal_rows) {
        return admin.gateway.metrics.summarised();
    }
    admin.gateway.journal.submit(&Entry {
        outcome: Some(outcome),
        termination: Some(Termination::Refused),
        error: Some(error),
        ..blank("operator/login", client, &live.snapshot.revision)
    });
}

/// That `principal` has done `method`.
fn of(method: &str, principal: &Principal, client: Option<IpAddr>, revision: &str) -> Entry {
    let roles: Vec<_> = principal.roles.iter().collect();
    Entry {
        issuer: Some(principal.issuer.clone()),
        subject: Some(principal.subject.clone()),
        tenant: principal.tenant.clone(),
        agent: principal.agent.clone(),
        roles: serde_json::to_string(&roles).ok(),
        ..blank(method, client, revision)
    }
}

/// That somebody has.
fn blank(method: &str, client: Option<IpAddr>, revision: &str) -> Entry {
    Entry {
        request_id: Uuid::now_v7().to_string(),
        client,
        method: Some(method.to_owned()),
        revision: revision.to_owned(),
        outcome: Some(Outcome::Ok),
        termination: Some(Termination::Complete),
        ..Entry::new(Uuid::now_v7(), Uuid::now_v7(), clock::now())
    }
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(FIELD)).unwrap_or_default().to_owned()
}
