//! Stage 7: where policy wants a person to agree, an approval is found, asked for, waited for, or redeemed. Whoever comes here has
//! passed limits and validation: nobody is asked about a call that could not be made.
//!
//! A client that can open a page for its user is asked to (by a result in 2026-07-28, by an error in 2025-11-25). One that knows
//! tasks gets a task, and its call goes on by itself (`job::waiting`). Any other gets a result that says where people decide.
//! The same call made again, by the same principal and with the same arguments, redeems what was approved. What a client of
//! 2026-07-28 brings back is a pointer, not a permission: all is looked up and checked anew.

mod again;
mod matter;
mod preview;
mod state;

pub use again::permit_job;
pub use state::is_ours;

use crate::approvals::{Desk, RedeemError, crash};
use crate::pipeline::arrival::Arrival;
use crate::pipeline::authorise::{self, Leave};
use crate::pipeline::job::{self, waiting};
use crate::pipeline::limit::Admitted;
use crate::pipeline::record::Record;
use crate::pipeline::reply::Reply;
use crate::pipeline::route::Call;
use crate::pipeline::state::Asked;
use crate::pipeline::validate::{self, Valid};
use crate::pipeline::{Gateway, Live, clock};
use crate::store::limits::local::Admission;
use crate::store::work::WorkError;
use crate::store::work::approvals::Opened;
use matter::Petition;
use portcullis_core::approval::{Approval, Expected, Invitation, Refusal, State, Told, Way};
use portcullis_core::catalog::Tool;
use portcullis_core::job::Job;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::Version;
use portcullis_core::policy::{Decision, Permit, Preview};
use portcullis_core::reject::{Era, Rejection};
use state::{Beside, Brought};
use std::sync::Arc;
use std::time::Duration;

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

/// What becomes of a call that policy does not deny.
pub enum Course {
    /// It may be made. Where people had to agree, what was live then comes with it: the rest of the call goes by that.
    Goes(Box<Reviewed>, Option<Arc<Live>>),
    /// It is a job that waits for people, and its caller is told so.
    Kept(Reply),
}

/// Reviews.
///
/// # Errors
/// [`Rejection::Review`] where it waits, or was turned down; or as in `authorise`, where policy changed while it waited.
pub async fn step(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    valid: Valid,
    record: &mut Record,
) -> Result<Course, Rejection> {
    let Valid { admitted: Admitted { authorised, admission }, era, tool, state, asked } = valid;
    let (mut call, leave) = (authorised.call, authorised.leave);
    let (brought, beside) = state::take(live, &gateway.desk, &mut call, era);
    let decision = match leave {
        Leave::Permit(permit) => {
            return Ok(Course::Goes(Box::new(Reviewed { call, admission, permit, era, tool, state }), None));
        }
        Leave::Review(decision) => decision,
    };
    let tool = tool.ok_or(Rejection::Internal)?;
    // What the upstream of a call that people have agreed to asks for, the client answers by itself; a job has no more than its
    // arguments.
    let beside = if decision.tool.job || asked.is_some() { Beside::default() } else { beside };
    let brought = asked.map_or(brought, Brought::Answer);
    let review = Review { gateway, live, arrival, call: &call, beside: &beside, tool: &tool };
    let agreed = match Box::pin(review.run(&decision, brought, record)).await? {
        Passage::Open(agreed) => *agreed,
        Passage::Later(job) => {
            record.job(&job.id);
            return Ok(Course::Kept(job::announce(&call, &job)));
        }
    };
    let live = gateway.live.load_full();
    let permit = Box::pin(redeem(gateway, &live, arrival, (&mut call, &tool), agreed, record)).await?;
    Ok(Course::Goes(Box::new(Reviewed { call, admission, permit, era, tool: Some(tool), state }), Some(live)))
}

/// Where a review leads that is not a refusal.
enum Passage {
    /// People have agreed.
    Open(Box<Agreed>),
    /// A job makes it.
    Later(Box<Job>),
}

/// What people agreed to.
struct Agreed {
    approval: Approval,
    /// Of the call that it is for.
    digest: String,
    /// The call that was let through by it already, where this one brings what that was asked by its upstream.
    asked: Option<Asked>,
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
    let Agreed { approval, digest, asked } = agreed;
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
    let (roles, own) = (|roles: &[String]| policy.closure(roles), record.call().to_string());
    let redeemed = match &asked {
        None => desk.redeem(&approval, expected, roles, &own).await,
        Some(asked) => desk.carry_on(&approval, expected, roles, (&asked.call, &own)).await,
    };
    match redeemed {
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
    beside: &'a Beside,
    tool: &'a Tool,
}

impl Review<'_> {
    async fn run(&self, decision: &Decision, brought: Brought, record: &mut Record) -> Result<Passage, Rejection> {
        let desk = &self.gateway.desk;
        let petition = Petition::new(self.live, desk, (self.call, self.beside), self.tool, decision)?;
        if let Brought::Answer(asked) = brought {
            return self.answered(petition, asked, record).await.map(Box::new).map(Passage::Open);
        }
        let by_task = waiting::is_for(self.call);
        // Where calls become jobs anyway, the one that waits is the call's.
        let by_job = by_task || decision.tool.job;
        let approval = match &brought {
            Brought::Ours(id) => self.brought(&petition, id).await?,
            Brought::Nothing | Brought::Answer(_) => self.find_or_ask(&petition, decision).await?,
            Brought::Forged => return Err(told(Told::Mismatch)),
        };
        record.approval(&approval.id);
        if by_job && let Some(job) = waiting::of_approval(self.gateway, &approval).await? {
            return Ok(Passage::Later(Box::new(job)));
        }
        let approval = match decision.wait {
            Some(longest) => self.wait(approval, longest).await?,
            None => approval,
        };
        match approval.state_at(clock::now()) {
            State::Pending => self.ask_back(&approval, decision, by_task).await,
            State::Approved => Ok(Passage::Open(Box::new(Agreed { approval, digest: petition.digest, asked: None }))),
            State::Denied => {
                let reason = approval.denial().map(str::to_owned);
                Err(told(Told::Denied { id: approval.id, reason }))
            }
            over => Err(told(Told::Over(over))),
        }
    }

    /// The approval of the call that was `asked` what this one brings.
    async fn answered(&self, petition: Petition<'_>, asked: Asked, record: &mut Record) -> Result<Agreed, Rejection> {
        record.approval(&asked.approval);
        let found = self.gateway.desk.find(&asked.approval).await.map_err(unavailable)?;
        let approval = found.ok_or_else(|| told(Told::Over(State::Expired)))?;
        Ok(Agreed { approval, digest: petition.digest, asked: Some(asked) })
    }

    /// `approval` once it is decided, or after `longest`. People go on being asked where the client leaves: its next call finds
    /// what they said.
    async fn wait(&self, approval: Approval, longest: Duration) -> Result<Approval, Rejection> {
        tokio::select! {
            biased;
            waited = self.gateway.desk.wait(approval, longest) => waited.map_err(unavailable),
            () = self.arrival.presence.left() => Err(told(Told::Left)),
        }
    }

    /// The client is told to wait for `approval`, which is pending.
    async fn ask_back(&self, approval: &Approval, decision: &Decision, by_task: bool) -> Result<Passage, Rejection> {
        let invitation = self.invitation(approval);
        if by_task {
            let (call, asked) = ((self.call, decision), (approval, &invitation));
            if let Some(job) = waiting::keep(self.gateway, self.live, self.arrival, call, asked).await? {
                crash::here("job_waits");
                return Ok(Passage::Later(Box::new(job)));
            }
        }
        Err(told(Told::Pending(invitation)))
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
        let (mut approval, mut previewed) = (petition.approval(decision, now), None);
        if let Some(Preview { tool, required }) = self.live.snapshot.policy.preview(&self.call.tool) {
            previewed = preview::preview(self.gateway, self.live, self.arrival, (self.call, tool)).await;
            let shown = previewed.as_mut().and_then(|previewed| previewed.shown.take());
            if shown.is_none() && *required {
                previewed.into_iter().for_each(|previewed| previewed.close(None));
                return Err(told(Told::NoPreview));
            }
            approval.matter.preview = Some(shown.unwrap_or_else(|| NO_PREVIEW.to_owned()));
        }
        let most = self.live.snapshot.gateway.approvals.pending;
        let opened = desk.ask(&approval, most, &self.link(&approval.id)).await;
        if let Some(previewed) = previewed {
            previewed.close(matches!(opened, Ok(Opened::New)).then_some(approval.id.as_str()));
        }
        match opened.map_err(unavailable)? {
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
