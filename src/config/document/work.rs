//! `work`, `approvals` and `jobs` of `gateway.yaml` as they are written: where approvals and jobs are kept, how people are
//! asked, and how jobs run.

use portcullis_core::units::{Bytes, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where approvals and jobs are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkDocument {
    /// A SQLite file, relative to the working directory, or the URL of a Postgres database,
    /// `postgres://user:password@host/database`, which replicas of the gateway share. The tables are made where they are
    /// missing. Without it, the file `work.db` beside the journal.
    pub store: Option<String>,
}

/// How people are asked to agree to calls. Who is asked, and about which calls, is said by rules of policy.yaml.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsDocument {
    /// The most approvals of one user that wait at a time; calls that would ask for more are refused with 429.
    pub pending: u32,
    /// Who is told of new ones.
    pub webhook: Option<ApprovalWebhookDocument>,
}

impl Default for ApprovalsDocument {
    fn default() -> Self {
        Self { pending: 20, webhook: None }
    }
}

/// Who is told of new approvals. They are told who wants to call what, and where it is decided; never with which arguments.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalWebhookDocument {
    /// An https URL, or http on loopback. Redirects are not followed.
    pub url: String,
    /// `whsec_` and 24 to 64 bytes in base64: `echo whsec_$(openssl rand -base64 32)`. It signs what is sent, as Standard
    /// Webhooks says. Slack takes no signature, and then it may be left out.
    #[serde(default)]
    pub secret: Option<String>,
    /// Whether to send a message for an incoming webhook of Slack.
    #[serde(default)]
    pub slack: bool,
}

/// Calls that run when their callers do not wait: those of tools of `mode: job`, and those of plain REST that ask for it.
/// They are kept in the database of `work.store`, sealed with `digest_key`; without that, with a key that is kept beside
/// them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobsDocument {
    /// How many run at once in this process.
    pub workers: usize,
    /// How many a user may have that have not ended; more are refused with 429.
    pub quota: u32,
    /// How many a user may have at all, those included that have ended and are still kept; more are refused with 429.
    pub kept: u32,
    /// How long a job may wait to be run, and how long its result is kept.
    pub ttl: Span,
    /// How long a job is kept that was given up or waits for a person to look.
    pub keep_dead: Span,
    /// The largest answer of an upstream that is kept as a result; a job with a larger one fails. `payload.response` of the
    /// policy bounds it too.
    pub result_bytes: Bytes,
    /// How many bytes all results may take in the store, sealed as they are there, those of other gateways that share it
    /// included. Where they take more, the oldest are dropped within seconds; their jobs stay, and say so.
    pub keep_bytes: Bytes,
    /// How long a worker tries a job at a time, whatever signs of life its upstream gives. After that the call counts as one
    /// that may have run.
    pub longest: Span,
    /// After how long without a sign of life a job's worker counts as lost, and the job may be another's.
    pub lease: Span,
}

impl Default for JobsDocument {
    fn default() -> Self {
        Self {
            workers: 4,
            quota: 100,
            kept: 2000,
            ttl: Span(Duration::from_hours(24)),
            keep_dead: Span(Duration::from_hours(14 * 24)),
            result_bytes: Bytes(1 << 20),
            keep_bytes: Bytes(1 << 30),
            longest: Span(Duration::from_hours(1)),
            lease: Span(Duration::from_secs(30)),
        }
    }
}
