//! Looking again at what people agreed to, before the call of a job is made that has redeemed it: a job may have waited for
//! long, and all may have changed that an approval hangs on. A job that has waited for people (`job::waiting`) redeems it here.

use super::matter::Petition;
use super::state::Beside;
use super::{refused, told};
use crate::approvals::RedeemError;
use crate::pipeline::job::desk::unavailable;
use crate::pipeline::route::Call;
use crate::pipeline::{Gateway, Live};
use portcullis_core::approval::{Approval, Expected, Refusal, State, Told, stands};
use portcullis_core::catalog::Tool;
use portcullis_core::job::Job;
use portcullis_core::policy::{Decision, Permit};
use portcullis_core::reject::Rejection;

/// The permission to make `call`, that of `job`, for which `decision` wants people to agree: where they have, to this very call
/// and to `tool` as it is defined now, and could do so today.
///
/// # Errors
/// [`Rejection::NeedsApproval`] where nobody has agreed, [`Rejection::Review`] where it is not what they agreed to or they may
/// not agree any more, [`Rejection::WorkUnavailable`] where that can't be looked up.
pub async fn permit_job(
    gateway: &Gateway,
    live: &Live,
    (job, call): (&Job, &Call),
    tool: &Tool,
    decision: &Decision,
) -> Result<Permit, Rejection> {
    let needed = || Rejection::NeedsApproval { approvers: decision.approvers() };
    let id = job.approval().ok_or_else(needed)?;
    // A job keeps the arguments of its call alone.
    let beside = Beside::default();
    let petition = Petition::new(live, &gateway.desk, (call, &beside), tool, decision)?;
    let approval = gateway.desk.find(id).await.map_err(unavailable)?.ok_or_else(needed)?;
    let expected =
        Expected { digest: &petition.digest, principal: &call.request.caller.principal, demands: &decision.demands };
    let approval = match job.redeems().filter(|_| !is_redeemed_by(&approval, job)) {
        Some(_) => redeem_for(gateway, live, job, &approval, expected).await?,
        None => approval,
    };
    let redeemed = stands(&approval, expected, |roles| live.snapshot.policy.closure(roles));
    let redeemed = redeemed.map_err(|refusal| {
        Rejection::Review(Box::new(match refusal {
            Refusal::ApproversLost => Told::ApproversLost,
            _ => Told::Mismatch,
        }))
    })?;
    decision.permit_job(job, redeemed).ok_or_else(needed)
}

/// Redeems `approval` for `job`, which has waited for it; as it is then.
async fn redeem_for(
    gateway: &Gateway,
    live: &Live,
    job: &Job,
    approval: &Approval,
    expected: Expected<'_>,
) -> Result<Approval, Rejection> {
    let (desk, policy) = (&gateway.desk, &live.snapshot.policy);
    let redeemed = desk.redeem(approval, expected, |roles| policy.closure(roles), job.id.as_str()).await;
    match redeemed {
        // Where another call was faster, or a worker of this job that is lost, the store says which.
        Ok(_) | Err(RedeemError::Refused(Refusal::State(State::Redeemed))) => {}
        Err(RedeemError::Store(error)) => return Err(unavailable(error)),
        Err(error) => return Err(refused(desk, approval, error).await),
    }
    let found = desk.find(&approval.id).await.map_err(unavailable)?;
    let used = || told(Told::Over(State::Redeemed));
    found.filter(|approval| is_redeemed_by(approval, job)).ok_or_else(used)
}

/// Whether a worker of `job` has redeemed `approval`. That the call leaves once is for the job to see to.
fn is_redeemed_by(approval: &Approval, job: &Job) -> bool {
    approval.state == State::Redeemed && approval.call.as_deref() == Some(job.id.as_str())
}
