//! Durable jobs: what is known of a call that runs when its caller does not wait, and which of its states follows which.
//!
//! A transition takes the record, what happened and the time, and gives the next record or says why there is none. Each
//! raises the record's version by one: a store that replaces a record only where its version is still the one that was
//! read gives every race one winner. Nothing here stores, seals, waits or runs.
//!
//! A call that may have reached its upstream is run again only where its tool is declared idempotent. Any other is left
//! to a person ([`State::NeedsReview`]).

mod step;

#[cfg(test)]
mod tests;

pub use step::{Ending, Keep, Refusal, backoff};

use crate::approval::Approval;
use crate::policy::{Decision, Permit};
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::tool::ToolName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What the ids of jobs begin with.
const PREFIX: &str = "job_";

/// The id of a job: `job_` and 128 random bits in hex. It opens nothing by itself: who asks must own the job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// The id made from `random`.
    pub fn new(random: u128) -> Self {
        Self(format!("{PREFIX}{random:032x}"))
    }

    /// The id of the job that waits for `approval`: there is but one, however often and wherever its call is made again.
    pub fn of(approval: &Approval) -> Option<Self> {
        Self::parse(&format!("{PREFIX}{}", approval.id))
    }

    /// Reads an id; `None` where `text` can't be one. The id of an upstream's task, which is a seal, never is.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let is_hex = digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| Self(text.to_owned()))
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The token's issuer.
    pub issuer: String,
    /// The user.
    pub subject: String,
    /// The user's tenant.
    pub tenant: Option<String>,
    /// The client that acts for the user.
    pub agent: Option<String>,
}

impl Owner {
    /// `principal`, as an owner.
    pub fn of(principal: &Principal) -> Self {
        Self {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            tenant: principal.tenant.clone(),
            agent: principal.agent.clone(),
        }
    }

    /// A text that no other owner has: what jobs are looked up by.
    pub fn key(&self) -> String {
        written(&[Some(&self.issuer), Some(&self.subject), self.tenant.as_ref(), self.agent.as_ref()])
    }

    /// The same for the user, whichever client acts for them: what quotas count by.
    pub fn person(&self) -> String {
        written(&[Some(&self.issuer), Some(&self.subject), self.tenant.as_ref()])
    }
}

/// Each part with its length before it, so that no two lists of parts read the same.
fn written(parts: &[Option<&String>]) -> String {
    let write = |part: &Option<&String>| part.map_or_else(|| "-".into(), |part| format!("{}:{part}", part.len()));
    parts.iter().map(write).collect::<Vec<_>>().join(",")
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// People are asked about its call.
    Waiting {
        /// Until when they may answer.
        until: Timestamp,
    },
    /// It waits to be run.
    Queued {
        /// Not before.
        due: Timestamp,
    },
    /// A worker has it.
    Running {
        /// Until when, unless it says that it still lives.
        until: Timestamp,
        /// Whether the call may have left for the upstream.
        sent: bool,
    },
    /// The upstream answered, be it that the tool failed; the answer is kept.
    Done,
    /// It was refused, or what the upstream answered can't be kept. It is not run again.
    Failed,
    /// Its owner or an operator ended it.
    Cancelled,
    /// It may have run, nobody knows, and to run it twice could do harm: a person must look.
    NeedsReview,
    /// It was tried as often as it may be: a dead letter.
    Dead,
}

impl State {
    /// The name in the store, the API and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Queued { .. } => "queued",
            Self::Running { .. } => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::NeedsReview => "needs_review",
            Self::Dead => "dead",
        }
    }

    /// All names.
    pub const NAMES: [&'static str; 8] =
        ["waiting", "queued", "running", "done", "failed", "cancelled", "needs_review", "dead"];

    /// Whether it waits or runs.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Queued { .. } | Self::Running { .. })
    }
}

/// How often a job may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whether its tool may run twice and do what it does once.
    pub idempotent: bool,
    /// How often it may be tried, the first time included. At least one.
    pub attempts: u32,
}

impl Terms {
    /// Where policy says nothing: a few tries to reach the upstream, and none once the call may have.
    pub const DEFAULT: Self = Self { idempotent: false, attempts: 3 };
}

/// Why a job that ran has no result any more.
pub const RESULT_DROPPED: &str = "result_dropped";

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Raised by every transition.
    pub version: u64,
    /// Whose it is.
    pub owner: Owner,
    /// The endpoint it was called at.
    pub endpoint: String,
    /// The tool.
    pub tool: Tool,
    /// What tells a call from any other: a keyed digest (hex) of endpoint, tool and arguments.
    pub digest: String,
    /// The caller's own name for the call, where it gave one.
    pub key: Option<String>,
    /// The approval that its call needs.
    approval: Option<String>,
    /// Whether whoever runs it has to redeem that first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redeems: bool,
    /// The rule that let it in.
    rule: String,
    /// The revision of the configuration that let it in.
    pub revision: String,
    /// `traceparent` of the request that made it.
    pub traceparent: String,
    /// How often it may be tried.
    pub terms: Terms,
    /// Whether an earlier try of it may have run, of which no person has taken note yet.
    #[serde(default)]
    pub may_have_run: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// From when on it is forgotten; where it still waits then, it fails first.
    pub expires: Timestamp,
    /// How often a worker has taken it, since it was made or last put back by an operator.
    pub attempts: u32,
    /// Raised whenever a worker takes it: what a worker says that had it before is not heard.
    pub fence: u64,
    /// Where it stands.
    pub state: State,
    /// Why, as the label of a refusal or failure, where something went wrong.
    pub reason: Option<String>,
    /// What there is to tell its owner of that: where people decide, or what they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The two parts of a tool's name, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The upstream.
    pub upstream: String,
    /// The upstream's own name for it.
    pub name: String,
}

impl Tool {
    /// `tool`, to be stored.
    pub fn of(tool: &ToolName) -> Self {
        Self { upstream: tool.upstream.clone(), name: tool.tool.clone() }
    }

    /// As everywhere else.
    pub fn full(&self) -> ToolName {
        ToolName::new(&self.upstream, &self.name)
    }
}

/// On which grounds a job is there.
struct Grounds {
    approval: Option<String>,
    redeems: bool,
    rule: String,
    terms: Terms,
}

/// What there is to say of a job that is about to be made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: String,
    /// The tool.
    pub tool: Tool,
    /// See [`Job::digest`].
    pub digest: String,
    /// See [`Job::key`].
    pub key: Option<String>,
    /// See [`Job::revision`].
    pub revision: String,
    /// See [`Job::traceparent`].
    pub traceparent: String,
}

impl Job {
    /// A job of a call that may be made, as `permit` proves; it waits from `now` on, and is kept for `keep`.
    pub fn new(draft: Draft, permit: &Permit, now: Timestamp, keep: Duration) -> Self {
        let grounds = Grounds {
            approval: permit.approval().map(str::to_owned),
            redeems: false,
            rule: permit.rule().to_owned(),
            terms: permit.tool().tries,
        };
        Self::on(grounds, draft, State::Queued { due: now }, now, now.plus(keep))
    }

    /// A job of a call that may be made if people agree, as `decision` wants it: it waits for `approval`, and has `keep` to run
    /// after that. It tells its owner `note` meanwhile.
    pub fn waiting(
        draft: Draft,
        decision: &Decision,
        approval: &Approval,
        note: String,
        now: Timestamp,
        keep: Duration,
    ) -> Self {
        let grounds = Grounds {
            approval: Some(approval.id.clone()),
            redeems: true,
            rule: decision.rule.to_string(),
            terms: decision.tool.tries,
        };
        let until = approval.expires;
        Self { note: Some(note), ..Self::on(grounds, draft, State::Waiting { until }, now, until.plus(keep)) }
    }

    fn on(grounds: Grounds, draft: Draft, state: State, now: Timestamp, expires: Timestamp) -> Self {
        let Grounds { approval, redeems, rule, terms } = grounds;
        let Draft { id, owner, endpoint, tool, digest, key, revision, traceparent } = draft;
        Self {
            id,
            version: 1,
            owner,
            endpoint,
            tool,
            digest,
            key,
            approval,
            redeems,
            rule,
            revision,
            traceparent,
            terms: Terms { attempts: terms.attempts.max(1), ..terms },
            may_have_run: false,
            created: now,
            updated: now,
            expires,
            attempts: 0,
            fence: 0,
            state,
            reason: None,
            note: None,
        }
    }

    /// The approval that its call needs, where people had to agree.
    pub fn approval(&self) -> Option<&str> {
        self.approval.as_deref()
    }

    /// The same where policy says `live` of its tool by now: it may run twice where that was and is so.
    #[must_use]
    pub fn under(&self, live: Terms) -> Self {
        let idempotent = self.terms.idempotent && live.idempotent;
        Self { terms: Terms { idempotent, ..self.terms }, ..self.clone() }
    }

    /// That approval, where whoever runs the job has to redeem it.
    pub fn redeems(&self) -> Option<&str> {
        self.approval().filter(|_| self.redeems)
    }

    /// The rule that let it in.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Whether it ran, and what came of it was thrown away to make room for newer results.
    pub fn has_lost_result(&self) -> bool {
        self.state == State::Done && self.reason.as_deref() == Some(RESULT_DROPPED)
    }

    /// When something must be done about it: when it may be run, when its worker counts as lost, or when it is forgotten.
    pub fn due(&self) -> Timestamp {
        match self.state {
            State::Waiting { until } => until,
            State::Queued { due } => due.min(self.expires),
            State::Running { until, .. } => until,
            _ => self.expires,
        }
    }
}
