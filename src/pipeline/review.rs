//! Stage 7: where policy wants a person to agree, an approval is found, asked for, waited for, or redeemed. Whoever comes here has
//! passed limits and validation: nobody is asked about a call that could not be made.
//!
//! A client that can open a page for its user is asked to (by a result in 2026-07-28, by an error in 2025-11-25); any other
//! gets a result that says where people decide. In either case the same call made again, by the same principal and with the
//! same arguments, redeems what was approved. What a client of 2026-07-28 brings back is a pointer, not a permission: all is
//! looked up and checked anew.

mod matter;
mod preview;
mod state;

pub use state::is_ours;

use crate::approvals::{Desk, RedeemError};
use crate::pipeline::arrival::Arrival;
use crate::pipeline::authorise::{self, Leave};
use crate::pipeline::limit::Admitted;
use crate::pipeline::record::Record;
use crate::pipeline::route::Call;
use crate::pipeline::validate::{self, Valid};
use crate::pipeline::{Gateway, Live, clock};
use crate::store::limits::local::Admission;
use crate::store::work::WorkError;
use crate::store::work::approvals::Opened;
use matter::Petition;
use portcullis_core::approval::{Approval, Expected, Invitation, Refusal, State, Told, Way};
use portcullis_core::catalog::Tool;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::Version;
use portcullis_core::policy::{Decision, Permit, Preview};
use portcullis_core::reject::{Era, Rejection};
use state::Brought;
use std::sync::Arc;

/// What people read where the preview of a call failed that could do without.
const NO_PREVIEW: &str = "[the preview failed]";

/// A call that may be made.
pub struct Reviewed {
    /// The call.
    pub call: Call,
    /// Its places.
    pub admission: Admission,
    /// The proof that policy, or people, allowed it.
    pub permit: Permit,
    /// What its upstream speaks.
    pub era: Era,
    /// The tool as its upstream describes it; `None` for a prompt or a resource.
    pub tool: Option<Arc<Tool>>,
    /// The state that its upstream gave out and its client brought back, a raw JSON string.
    pub state: Option<Vec<u8>>,
}

/// Reviews. Where people had to agree, what was live then comes with it: the rest of the call goes by that.
///
/// # Errors
/// [`Rejection::Review`] where it waits, or was turned down; or as in `authorise`, where policy changed while it waited.
pub async fn step(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    valid: Valid,
    record: &mut Record,
) -> Result<(Reviewed, Option<Arc<Live>>), Rejection> {
    let Valid { admitted: Admitted { authorised, admission }, era, tool, state } = valid;
    let (mut call, leave) = (authorised.call, authorised.leave);
    let brought = state::take(live, &gateway.desk, &mut call, era);
    let decision = match leave {
        Leave::Permit(permit) => return Ok((Reviewed { call, admission, permit, era, tool, state }, None)),
        Leave::Review(decision) => decision,
    };
    let tool = tool.ok_or(Rejection::Internal)?;
    let review = Review { gateway, live, arrival, call: &call, tool: &tool };
    let agreed = Box::pin(review.run(&decision, brought, record)).await?;
    let live = gateway.live.load_full();
    let permit = Box::pin(redeem(gateway, &live, arrival, (&mut call, &tool), agreed, record)).await?;
    Ok((Reviewed { call, admission, permit, era, tool: Some(tool), state }, Some(live)))
}

/// What people agreed to.
struct Agreed {
    approval: Approval,
    /// Of the call that it is for.
    digest: String,
}

/// Redeems what people `agreed` to, by what is `live` now: they may have taken long, and what the call was let this far by
/// need not hold any more, from its token to the tool that it calls.
async fn redeem(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    (call, tool): (&mut Call, &Tool),
    agreed: Agreed,
    record: &mut Record,
) -> Result<Permit, Rejection> {
    let Agreed { approval, digest } = agreed;
    call.renew(live)?;
    let catalog = gateway.catalog_of(live, std::slice::from_ref(&call.tool.upstream), call.principal()).await;
    let offered = validate::offered(&catalog, call)?.ok_or(Rejection::Internal)?;
    if offered.canonical.digest != tool.canonical.digest {
        return Err(told(Told::Mismatch));
    }
    let decision = authorise::decision(live, arrival.peer, call);
    record.decision_of(&live.snapshot.revision, &decision);
    let decision = match authorise::leave(call, decision)? {
        Leave::Permit(permit) => return Ok(permit),
        Leave::Review(decision) => decision,
    };
    let expected = Expected { digest: &digest, principal: call.principal(), demands: &decision.demands };
    let (desk, policy) = (&gateway.desk, &live.snapshot.policy);
    match desk.redeem(&approval, expected, |roles| policy.closure(roles), &record.call().to_string()).await {
        Ok(redeemed) => decision.permit_by(redeemed).ok_or(Rejection::Internal),
        Err(error) => Err(refused(desk, &approval, error).await),
    }
}

/// A call under review.
struct Review<'a> {
    gateway: &'a Arc<Gateway>,
    live: &'a Live,
    arrival: &'a Arrival,
    call: &'a Call,
    tool: &'a Tool,
}

impl Review<'_> {
    async fn run(&self, decision: &Decision, brought: Brought, record: &mut Record) -> Result<Agreed, Rejection> {
        let desk = &self.gateway.desk;
        let petition = Petition::new(self.live, desk, self.call, self.tool, decision)?;
        let approval = match &brought {
            Brought::Ours(id) => self.brought(&petition, id).await?,
            Brought::Nothing => self.find_or_ask(&petition, decision).await?,
            Brought::Forged => return Err(told(Told::Mismatch)),
        };
        record.approval(&approval.id);
        let approval = match decision.wait {
            Some(longest) => desk.wait(approval, longest).await.map_err(unavailable)?,
            None => approval,
        };
        match approval.state_at(clock::now()) {
            State::Pending => Err(told(Told::Pending(self.invitation(&approval)))),
            State::Approved => Ok(Agreed { approval, digest: petition.digest }),
            State::Denied => {
                let reason = approval.denial().map(str::to_owned);
                Err(told(Told::Denied { id: approval.id, reason }))
            }
            over => Err(told(Told::Over(over))),
        }
    }

    /// The approval that the client brought back, where it is of this very call.
    async fn brought(&self, petition: &Petition<'_>, id: &str) -> Result<Approval, Rejection> {
        let found = self.gateway.desk.find(id).await.map_err(unavailable)?;
        let approval = found.ok_or_else(|| told(Told::Over(State::Expired)))?;
        if approval.digest == petition.digest { Ok(approval) } else { Err(told(Told::Mismatch)) }
    }

    /// The approval that there is for this call; a new one where there is none. A refusal stands as long as the approval
    /// would have: asking again at once is no way around it.
    async fn find_or_ask(&self, petition: &Petition<'_>, decision: &Decision) -> Result<Approval, Rejection> {
        let desk = &self.gateway.desk;
        let now = clock::now();
        let last = desk.last(&petition.digest).await.map_err(unavailable)?;
        let stands = |approval: &Approval| match approval.state_at(now) {
            State::Pending | State::Approved => true,
            State::Denied => approval.expires > now,
            State::Expired | State::Withdrawn | State::Redeemed => false,
        };
        if let Some(last) = last.filter(stands) {
            return Ok(last);
        }
        let mut approval = petition.approval(decision, now);
        if let Some(Preview { tool, required }) = self.live.snapshot.policy.preview(&self.call.tool) {
            let shown = preview::preview(self.gateway, self.live, self.arrival, (self.call, tool), &approval.id).await;
            if shown.is_none() && *required {
                return Err(told(Told::NoPreview));
            }
            approval.matter.preview = Some(shown.unwrap_or_else(|| NO_PREVIEW.to_owned()));
        }
        let most = self.live.snapshot.gateway.approvals.pending;
        match desk.ask(&approval, most, &self.link(&approval.id)).await.map_err(unavailable)? {
            Opened::New => Ok(approval),
            Opened::Found(found) => Ok(*found),
            Opened::Full => Err(told(Told::TooMany)),
        }
    }

    fn invitation(&self, approval: &Approval) -> Invitation {
        Invitation {
            id: approval.id.clone(),
            link: self.link(&approval.id),
            approvers: approval.terms.approvers(),
            way: self.way(&approval.id),
        }
    }

    fn link(&self, id: &str) -> String {
        format!("{}/approvals/{id}", self.live.snapshot.gateway.console.public_url)
    }

    /// How the client can be told. One that has a state of its upstream's to bring back can't bring back two.
    fn way(&self, id: &str) -> Way {
        let request = &self.call.request;
        match (request.message.era, &request.session) {
            (Era::Modern, _) if Capabilities::read(request.capabilities()).url => {
                let state = state::give(&self.gateway.desk, self.call, id);
                state.map_or(Way::Result, Way::Input)
            }
            (Era::Legacy, Some(session)) if session.capabilities.url && session.version >= Version::V2025_11_25 => {
                Way::Page
            }
            _ => Way::Result,
        }
    }
}

async fn refused(desk: &Desk, approval: &Approval, error: RedeemError) -> Rejection {
    match error {
        RedeemError::Store(error) => unavailable(error),
        RedeemError::Refused(Refusal::ApproversLost) => {
            match desk.void(approval, "those who agreed may not do so any more").await {
                Ok(()) => told(Told::ApproversLost),
                Err(error) => unavailable(error),
            }
        }
        RedeemError::Refused(Refusal::State(state)) => told(Told::Over(state)),
        RedeemError::Refused(_) => told(Told::Mismatch),
    }
}

fn told(told: Told) -> Rejection {
    Rejection::Review(Box::new(told))
}

fn unavailable(error: WorkError) -> Rejection {
    tracing::error!(%error, "an approval can't be looked up or kept; the call is refused");
    told(Told::Unavailable)
}
