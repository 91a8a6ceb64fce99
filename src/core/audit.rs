//! What the record says of a call, and the mathematics by which it can be checked. The journal in `store` writes it;
//! nothing here does.

pub mod chain;
pub mod checkpoint;
pub mod key;
pub mod retention;
pub mod row;
pub mod tree;
pub mod verify;

use crate::reject::Rejection;
use crate::time::Timestamp;
use crate::tool::Class;
use std::collections::BTreeMap;
use std::net::IpAddr;
use uuid::Uuid;

/// What an entry of the journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A call is about to reach an upstream. Written before it does.
    Intent,
    /// How a call of an earlier intent ended.
    Outcome,
    /// A request that reached no upstream: a refusal, or an answer of the gateway's own. Complete in itself.
    Event,
}

impl EntryKind {
    /// The name in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Event => "event",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The caller has the whole answer.
    Ok,
    /// The caller has the whole answer, and it says that the tool failed or that the upstream refused.
    ToolError,
    /// Portcullis refused the request; nothing reached an upstream.
    Refused,
    /// The upstream failed, or its answer could not be passed on.
    Failed,
    /// The caller left before the end.
    Cancelled,
    /// The gateway can't say: it failed or ended while the call ran.
    Unknown,
}

impl Outcome {
    /// The name in the journal and the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// Why the exchange with the caller ended. `Outcome` says what came of the call; this says who or what ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Termination {
    /// All was said.
    Complete,
    /// Portcullis refused the request; nothing reached an upstream.
    Refused,
    /// The caller left, or took the request back.
    ClientClosed,
    /// The upstream could not be reached, or broke off.
    UpstreamClosed,
    /// The time of the call was up.
    Timeout,
    /// The caller's token expired while the answer was under way.
    Expired,
    /// The gateway was asked to end.
    Shutdown,
    /// Portcullis stopped an answer that it could not pass on.
    Stopped,
    /// Nobody saw the end: the gateway failed, or its process ended while the call ran.
    Lost,
}

impl Termination {
    /// The name in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::ClientClosed => "client_closed",
            Self::UpstreamClosed => "upstream_closed",
            Self::Timeout => "timeout",
            Self::Expired => "expired",
            Self::Shutdown => "shutdown",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }

    /// What ended a request with this outcome, where nothing else is known than why it was refused or failed.
    pub fn of(outcome: Outcome, rejection: Option<&Rejection>) -> Self {
        match outcome {
            Outcome::Ok | Outcome::ToolError => Self::Complete,
            Outcome::Refused => Self::Refused,
            Outcome::Cancelled => Self::ClientClosed,
            Outcome::Unknown => Self::Lost,
            Outcome::Failed => match rejection {
                Some(Rejection::UpstreamTimeout | Rejection::RequestTimeout) => Self::Timeout,
                Some(Rejection::UpstreamUnavailable) | None => Self::UpstreamClosed,
                Some(Rejection::Unauthenticated { .. }) => Self::Expired,
                Some(Rejection::ShuttingDown) => Self::Shutdown,
                Some(Rejection::Cancelled) => Self::ClientClosed,
                Some(_) => Self::Stopped,
            },
        }
    }
}

/// One entry of the journal. Fields that do not apply are `None`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// UUIDv7; unique.
    pub event_id: Uuid,
    /// The same for the intent and the outcome of one call.
    pub call_id: Uuid,
    /// What this entry is.
    pub kind: EntryKind,
    /// When.
    pub at: Timestamp,
    /// `X-Request-ID` of the exchange.
    pub request_id: String,
    /// W3C trace id of the exchange, 32 hex digits.
    pub trace_id: String,
    /// Who called.
    pub issuer: Option<String>,
    /// Who called.
    pub subject: Option<String>,
    /// Who called.
    pub tenant: Option<String>,
    /// Through which client.
    pub agent: Option<String>,
    /// With which roles, as the token names them: a JSON array in order.
    pub roles: Option<String>,
    /// With which scopes: a JSON array in order.
    pub scopes: Option<String>,
    /// From which address.
    pub client: Option<IpAddr>,
    /// Through which endpoint.
    pub endpoint: Option<String>,
    /// To which upstream.
    pub upstream: Option<String>,
    /// The JSON-RPC method.
    pub method: Option<String>,
    /// `upstream.tool`, or the name as given where there is no such tool.
    pub tool: Option<String>,
    /// The tool's class.
    pub class: Option<Class>,
    /// The arguments as JSON, redacted and cut to a bound.
    pub arguments: Option<String>,
    /// A keyed digest (HMAC-SHA-256, hex) of the arguments' original bytes.
    pub arguments_digest: Option<String>,
    /// `allow`, `review` or `deny`.
    pub decision: Option<&'static str>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The revision of the configuration that decided.
    pub revision: String,
    /// What the shadow policy said, where it said something else: `allow`, `review`, `deny`, or `scope` where it misses a
    /// scope in the token.
    pub shadow_decision: Option<&'static str>,
    /// The rule of the shadow policy that said so.
    pub shadow_rule: Option<String>,
    /// The approval that the call waits for or was redeemed with.
    pub approval_id: Option<String>,
    /// The job that the call became or is part of.
    pub job_id: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What ended it.
    pub termination: Option<Termination>,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// The label of the refusal or failure (`reject`).
    pub error: Option<&'static str>,
    /// More about the refusal, for the operator alone.
    pub detail: Option<String>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body, as sent to the caller.
    pub bytes_out: u64,
    /// From the request's first byte to the answer's last, in microseconds.
    pub latency_us: Option<u64>,
    /// The part of it in which the upstream was waited for, in microseconds.
    pub upstream_us: Option<u64>,
    /// Findings by kind; never their values.
    pub redactions: BTreeMap<String, u64>,
    /// The MCP revision the request spoke.
    pub protocol: Option<String>,
}

impl Entry {
    /// An event of the call `call_id` of which nothing else is known yet.
    pub fn new(event_id: Uuid, call_id: Uuid, at: Timestamp) -> Self {
        Self {
            event_id,
            call_id,
            kind: EntryKind::Event,
            at,
            request_id: String::new(),
            trace_id: String::new(),
            issuer: None,
            subject: None,
            tenant: None,
            agent: None,
            roles: None,
            scopes: None,
            client: None,
            endpoint: None,
            upstream: None,
            method: None,
            tool: None,
            class: None,
            arguments: None,
            arguments_digest: None,
            decision: None,
            rule: None,
            revision: String::new(),
            shadow_decision: None,
            shadow_rule: None,
            approval_id: None,
            job_id: None,
            outcome: None,
            termination: None,
            status: None,
            error: None,
            detail: None,
            bytes_in: 0,
            bytes_out: 0,
            latency_us: None,
            upstream_us: None,
            redactions: BTreeMap::new(),
            protocol: None,
        }
    }
}
