//! An approval as it is kept and shown.

use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use crate::tool::{Class, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// People are asked.
    #[default]
    Pending,
    /// Enough people agreed; the call may be made, once.
    Approved,
    /// Somebody refused.
    Denied,
    /// Its time ran out.
    Expired,
    /// It was taken back.
    Withdrawn,
    /// The call was let through. Whether it ran to its end, the record of calls says.
    Redeemed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Withdrawn, Self::Redeemed];

    /// The name in the store, the API and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Redeemed => "redeemed",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether anything can still become of it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved)
    }
}

/// Who wants to call. Issuer and subject are the person; the agent is the client that acts for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requester {
    /// Who says who it is.
    pub issuer: String,
    /// Who it is.
    pub subject: String,
    /// Of which tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Through which client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

impl Requester {
    /// The caller `principal`.
    pub fn of(principal: &Principal) -> Self {
        Self {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            tenant: principal.tenant.clone(),
            agent: principal.agent.clone(),
        }
    }

    /// Whether `principal` is the same human, through whichever client.
    pub fn is(&self, principal: &Principal) -> bool {
        self.issuer == principal.issuer && self.subject == principal.subject
    }

    /// Whether `principal` may be the same human: two issuers that know somebody by one name mean one person more often than
    /// not, and whoever decides must be another one.
    pub fn may_be(&self, principal: &Principal) -> bool {
        self.subject == principal.subject
    }
}

/// What is to be called, with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Matter {
    /// Through which endpoint.
    pub endpoint: String,
    /// Of which upstream.
    pub upstream: String,
    /// `upstream.tool`.
    pub tool: String,
    /// SHA-256 of the tool's definition, in hex: what it said it does when it was asked for.
    pub definition: String,
    /// The tool's class.
    pub class: Class,
    /// How bad a wrong call is.
    pub severity: Severity,
    /// The arguments for people to read: JSON, redacted as in the record of calls.
    pub arguments: String,
    /// What the client has to say beside them, as to arguments: its answers to what the upstream asked in the middle of a call,
    /// or to what it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// What the read-only preview of the call answered, redacted, where the tool has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

/// What a rule wants of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Demand {
    /// The id of the rule.
    pub rule: String,
    /// Why the rule asks, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The roles whose members may decide.
    pub approvers: Vec<String>,
    /// How many of them must agree.
    pub quorum: u32,
}

impl Demand {
    /// Whether somebody with `roles`, inherited ones included, may decide.
    pub fn asks(&self, roles: &RoleSet) -> bool {
        roles.contains_any(&self.approvers)
    }

    /// Whether it is met where `agreed` of those who may decide have agreed.
    pub fn is_met(&self, agreed: usize) -> bool {
        agreed >= usize::try_from(self.quorum.max(1)).unwrap_or(usize::MAX)
    }
}

/// On which terms it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Terms {
    /// The revision of the configuration.
    pub revision: String,
    /// What each rule wants that asks for it, the one that the record names first; all of them must be met.
    pub demands: Vec<Demand>,
}

impl Terms {
    /// The rule that the record names.
    pub fn rule(&self) -> &str {
        self.demands.first().map_or("", |demand| &demand.rule)
    }

    /// The roles whose members may decide under one rule or another, each once.
    pub fn approvers(&self) -> Vec<String> {
        approvers(&self.demands)
    }
}

/// The roles whose members may decide under one of `demands`, each once.
pub fn approvers<'a>(demands: impl IntoIterator<Item = &'a Demand>) -> Vec<String> {
    let mut all = Vec::new();
    for role in demands.into_iter().flat_map(|demand| &demand.approvers) {
        if !all.contains(role) {
            all.push(role.clone());
        }
    }
    all
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The call may be made.
    Approve,
    /// It may not.
    Deny,
}

impl Verdict {
    /// The name in the record and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    /// Who says who it was.
    pub issuer: String,
    /// Who it was.
    pub subject: String,
    /// Their roles then, as their token named them.
    pub roles: Vec<String>,
    /// The rules under which these let them decide.
    pub rules: Vec<String>,
    /// What they said.
    pub verdict: Verdict,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// How it was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closing {
    /// By whom; the gateway itself where it says nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// 128 random bits, in hex.
    pub id: String,
    /// Counts its changes. Kept beside the record.
    #[serde(skip)]
    pub version: u64,
    /// Where it stands. Kept beside the record.
    #[serde(skip)]
    pub state: State,
    /// A keyed digest of requester, endpoint, upstream, tool, its definition, canonical arguments, answers and rules: no other call
    /// has it. Kept beside the record.
    #[serde(skip)]
    pub digest: String,
    /// Who wants to call.
    pub requester: Requester,
    /// What.
    pub matter: Matter,
    /// By which rules people are asked.
    pub terms: Terms,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ends, decided or not.
    pub expires: Timestamp,
    /// What was said, in order.
    #[serde(default)]
    pub votes: Vec<Vote>,
    /// How it was taken back, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// The `call_id` of the call that it was redeemed by, or the id of the job; of the last one, where the upstream asked for
    /// something in the middle of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

impl Approval {
    /// Where it stands at `now`, whether the store knows that its time is over or not.
    pub fn state_at(&self, now: Timestamp) -> State {
        if self.state.is_open() && self.expires <= now { State::Expired } else { self.state }
    }

    /// How many agreed of those who may decide under the rule of `demand`.
    pub fn agreed(&self, demand: &Demand) -> usize {
        let counts = |vote: &&Vote| vote.verdict == Verdict::Approve && vote.rules.contains(&demand.rule);
        self.votes.iter().filter(counts).count()
    }

    /// Whether enough people agreed, by every rule that asked for it.
    pub fn is_agreed(&self) -> bool {
        let demands = &self.terms.demands;
        !demands.is_empty() && demands.iter().all(|demand| demand.is_met(self.agreed(demand)))
    }

    /// The reason of the one who refused, where they gave one.
    pub fn denial(&self) -> Option<&str> {
        self.votes.iter().find(|vote| vote.verdict == Verdict::Deny)?.reason.as_deref()
    }
}
