//! `/api/approvals`: what people are asked, and what they say. Who may not know of an approval is told that there is none.

use crate::admin::Admin;
use crate::admin::auth::Operator;
use crate::admin::named::named;
use crate::admin::problem::Problem;
use crate::approvals::{DeskError, Person};
use crate::store::work::approvals::Selection;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use portcullis_core::approval::{Approval, Refusal, State as Standing, Verdict};
use portcullis_core::policy::Power;
use portcullis_core::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// What ids here are of.
const WHAT: &str = "an approval";

/// The most approvals in an answer.
const MOST: u32 = 200;

/// How often the store is asked for one answer, for [`MOST`] each time: whoever may not see all of their tenant may find few
/// of their own among them.
const LOOKS: u32 = 10;

/// An approval as somebody sees it.
#[derive(Serialize, JsonSchema)]
pub struct ApprovalView {
    /// Where it stands.
    pub state: Standing,
    /// The rest.
    #[serde(flatten)]
    pub approval: Approval,
    /// Whether whoever asks could decide on it, were it pending.
    pub may_decide: bool,
    /// Whether they asked for it.
    pub is_own: bool,
}

impl ApprovalView {
    /// `approval` as `person` sees it at `now`.
    pub fn new(approval: Approval, person: Person<'_>, now: Timestamp) -> Self {
        let (may_decide, is_own) = (person.may_decide(&approval), person.asked(&approval));
        Self { state: approval.state_at(now), approval, may_decide, is_own }
    }
}

/// A list of approvals.
#[derive(Serialize, JsonSchema)]
pub struct ApprovalList {
    /// Newest first.
    pub approvals: Vec<ApprovalView>,
    /// What to give as `before` to go on; none at the end. An answer that has it may have few approvals, or none.
    pub next: Option<String>,
}

/// Which approvals are listed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// In this state alone.
    pub state: Option<Standing>,
    /// Those that were asked for before this one.
    pub before: Option<String>,
    /// At most so many; without it, 50, and never more than 200.
    pub limit: Option<u32>,
}

/// What is said with a decision.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    /// Why; whoever called sees the reason of a refusal.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Operator {
    /// The same at the desk of approvals.
    pub fn at_the_desk(&self) -> Person<'_> {
        Person {
            principal: &self.principal,
            roles: &self.roles,
            policy: &self.live.snapshot.policy,
            sees_all: self.may(Power::Read),
            manages: self.may(Power::Manage),
            revision: &self.live.snapshot.revision,
            client: self.address(),
        }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let DeskError::Refused(refusal) = &error else { return Self::unavailable("approvals", &error) };
        let status = match refusal {
            Refusal::Unknown => return Self::not_found(),
            Refusal::OwnRequest | Refusal::NotApprover => StatusCode::FORBIDDEN,
            Refusal::State(Standing::Expired) => StatusCode::GONE,
            Refusal::Voted | Refusal::State(_) | Refusal::Mismatch | Refusal::ApproversLost => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

/// Lists.
///
/// # Errors
/// There is no approval `before`, or the store can't be asked.
pub async fn list(
    State(admin): State<Admin>,
    operator: Operator,
    Query(query): Query<ListQuery>,
) -> Result<Json<ApprovalList>, Problem> {
    visible(&admin, &operator, &query).await.map(Json)
}

/// The approvals that `operator` may see and that `query` is about.
///
/// # Errors
/// As [`list`].
pub async fn visible(admin: &Admin, operator: &Operator, query: &ListQuery) -> Result<ApprovalList, Problem> {
    let (person, now) = (operator.at_the_desk(), now());
    let most = query.limit.unwrap_or(50).min(MOST) as usize;
    let mut selection = Selection {
        state: query.state.map(|state| (state, now)),
        tenant: Some(person.principal.tenant.clone()),
        before: match &query.before {
            Some(id) => Some(place(admin, operator, id).await?),
            None => None,
        },
    };
    let mut approvals = Vec::new();
    for _ in 0..LOOKS {
        let found = admin.gateway.desk.list(&selection, MOST).await;
        let found = found.map_err(|error| Problem::unavailable("approvals", &error))?;
        let whole = found.len() < MOST as usize;
        for approval in found {
            if approvals.len() == most {
                return Ok(ApprovalList { approvals, next: selection.before.map(|(_, id)| id) });
            }
            selection.before = Some((approval.created, approval.id.clone()));
            if person.sees(&approval) {
                approvals.push(ApprovalView::new(approval, person, now));
            }
        }
        if whole {
            return Ok(ApprovalList { approvals, next: None });
        }
    }
    Ok(ApprovalList { approvals, next: selection.before.map(|(_, id)| id) })
}

/// Where the approval `id` of the operator's own tenant stands in the list. It may be one that they may not know of, where
/// their page ended with it; nothing is told of it but that.
async fn place(admin: &Admin, operator: &Operator, id: &str) -> Result<(Timestamp, String), Problem> {
    let look = async {
        let found = admin.gateway.desk.find(id).await.map_err(|error| Problem::unavailable("approvals", &error))?;
        let found = found.filter(|approval| approval.requester.tenant == operator.principal.tenant);
        found.map(|approval| (approval.created, approval.id)).ok_or_else(Problem::not_found)
    };
    named(admin, operator, WHAT, look).await
}

/// Shows one.
///
/// # Errors
/// There is none that they may know of.
pub async fn show(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, Problem> {
    find(&admin, &operator, &id).await.map(Json)
}

/// The approval `id` as `operator` sees it.
///
/// # Errors
/// As [`show`].
pub async fn find(admin: &Admin, operator: &Operator, id: &str) -> Result<ApprovalView, Problem> {
    let person = operator.at_the_desk();
    let look = async { admin.gateway.desk.show(person, id).await.map_err(Problem::from) };
    let approval = named(admin, operator, WHAT, look).await?;
    Ok(ApprovalView::new(approval, person, now()))
}

/// Agrees.
///
/// # Errors
/// They may not, or it is decided.
pub async fn approve(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
    Json(body): Json<DecisionBody>,
) -> Result<Json<ApprovalView>, Problem> {
    say(&admin, &operator, &id, Said::Verdict(Verdict::Approve), body.reason.as_deref()).await.map(Json)
}

/// Refuses.
///
/// # Errors
/// They may not, or it is decided.
pub async fn deny(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
    Json(body): Json<DecisionBody>,
) -> Result<Json<ApprovalView>, Problem> {
    say(&admin, &operator, &id, Said::Verdict(Verdict::Deny), body.reason.as_deref()).await.map(Json)
}

/// Takes it back.
///
/// # Errors
/// They may not, or it is closed.
pub async fn withdraw(
    State(admin): State<Admin>,
    operator: Operator,
    Path(id): Path<String>,
    Json(body): Json<DecisionBody>,
) -> Result<Json<ApprovalView>, Problem> {
    say(&admin, &operator, &id, Said::Withdraw, body.reason.as_deref()).await.map(Json)
}

/// What an operator says of an approval.
#[derive(Clone, Copy)]
pub enum Said {
    /// That the call may be made, or not.
    Verdict(Verdict),
    /// That nobody needs to decide any more.
    Withdraw,
}

/// Says it; the approval as `operator` sees it then.
///
/// # Errors
/// As [`approve`] and [`withdraw`].
pub async fn say(
    admin: &Admin,
    operator: &Operator,
    id: &str,
    said: Said,
    reason: Option<&str>,
) -> Result<ApprovalView, Problem> {
    let (desk, person) = (&admin.gateway.desk, operator.at_the_desk());
    let saying = async {
        let done = match said {
            Said::Verdict(verdict) => desk.decide(person, id, verdict, reason).await,
            Said::Withdraw => desk.withdraw(person, id, reason).await,
        };
        done.map_err(Problem::from)
    };
    let approval = named(admin, operator, WHAT, saying).await?;
    Ok(ApprovalView::new(approval, person, now()))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(0).plus(since)
}
