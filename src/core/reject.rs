//! The one table of refusals: cause → HTTP status, JSON-RPC code, public text, label, blame.
//!
//! Nothing else in Portcullis chooses a status or a code for a refusal. The public text never holds internals: no rule,
//! no upstream address, no reason why a token was refused, no value that a detector found.
//!
//! Codes: -32768..-32000 belong to JSON-RPC and MCP (MCP 2026-07-28 "Error Codes" reserves -32020..-32099), so our own
//! start at -31000, and carry the HTTP status in their last digits. A 400 or 404 always has a code of the protocol,
//! because clients take any other 400 for a sign of a legacy server (MCP 2026-07-28 "Backward Compatibility").

use crate::approval::Told;
use std::borrow::Cow;
use std::time::Duration;

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller sent what may not be answered.
    Client,
    /// The MCP server behind the gateway failed.
    Upstream,
    /// The gateway failed.
    Gateway,
}

impl Blame {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// Which family of revisions the request speaks: some refusals look different in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2026-07-28 and later.
    Modern,
    /// 2025-11-25 and earlier.
    Legacy,
}

impl Era {
    /// The metric and audit label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    // Edge.
    /// The HTTP message is not one that can be judged.
    BadRequest(&'static str),
    /// `Host` is not one of ours.
    ForeignHost,
    /// `Origin` is not one of those allowed.
    ForeignOrigin,
    /// No such path.
    NotFound,
    /// The path takes other methods; the value of `Allow`.
    MethodNotAllowed(&'static str),
    /// The request's header is too large.
    HeaderTooLarge,
    /// The request's body is too large; the limit in bytes.
    PayloadTooLarge(u64),
    /// The body is not `application/json`, or is encoded.
    UnsupportedMediaType,
    /// The request took too long to arrive.
    RequestTimeout,
    // Parse.
    /// The body is not JSON (RFC 8259).
    ParseError,
    /// The body is JSON, and not a request that can be judged; the reason.
    InvalidRequest(&'static str),
    /// A header contradicts the body, or is missing.
    HeaderMismatch(&'static str),
    /// The request asks for a revision that we do not speak.
    UnsupportedVersion {
        /// What it asked for, at most 64 characters.
        requested: String,
    },
    /// The parameters do not have the shape that the method demands; the reason.
    InvalidParams(Cow<'static, str>),
    /// No such method here.
    MethodNotFound {
        /// Its era: a legacy client takes 404 for the end of its session.
        era: Era,
    },
    // Authenticate.
    /// No token, or one that was refused. The reason is for the audit alone.
    Unauthenticated {
        /// Why, as a label.
        reason: &'static str,
    },
    /// Too many refused tokens from this address.
    TooManyBadTokens {
        /// When to come back.
        retry_after: Duration,
    },
    /// The issuer's keys can't be had.
    KeysUnavailable,
    // Route, authorise.
    /// The tool does not exist, or may not be known: the two look the same.
    UnknownTool {
        /// The name, as the caller gave it.
        name: String,
    },
    /// The same for a prompt.
    UnknownPrompt {
        /// The name, as the caller gave it.
        name: String,
    },
    /// The same for a resource.
    UnknownResource {
        /// The URI, as the caller gave it.
        uri: String,
        /// Its era: the code changed.
        era: Era,
    },
    /// It exists, and its definition is not the one that was pinned: refused like what it holds, and counted on its own.
    Quarantined(Box<Rejection>),
    /// No session of this caller at this endpoint has this id: it ended, or never was (MCP 2025-11-25 "Session
    /// Management": then the client begins anew).
    UnknownSession,
    /// The session has its stream of news already.
    AlreadyListening,
    /// A response to what was not asked, was answered before, or is not waited for any more. It is taken and thrown away:
    /// the client could do nothing about it, and there are clients that end when they are told.
    UnknownQuestion,
    /// The client took its request back.
    Cancelled,
    /// The request needs an extension that it does not declare; which.
    MissingCapability(&'static str),
    /// Policy would let the call through, and the token lacks a scope that it needs (RFC 6750 section 3.1).
    InsufficientScope {
        /// All scopes that the call needs, with spaces between (RFC 6749 section 3.3).
        scope: String,
    },
    /// The upstream asked for input that the call can't go on without, and got none; why.
    InputMissing(&'static str),
    /// A person must agree first; who may.
    NeedsApproval {
        /// The roles whose members may agree.
        approvers: Vec<String>,
    },
    /// The call waits for people, or was turned down by them.
    Review(Box<Told>),
    // Limit.
    /// The caller has used up a rate.
    RateLimited {
        /// When there is room again.
        retry_after: Duration,
    },
    /// The caller has as many calls running as it may.
    TooManyAtOnce,
    /// The call has to wait for its client, and as many as may do so already.
    TooManyWaiting,
    /// The caller has named another call so.
    JobConflict,
    /// The user has as many open jobs as they may have.
    TooManyJobs,
    /// The caller has named too many ids of approvals or jobs that are not theirs.
    TooManyWrongIds {
        /// When to come back.
        retry_after: Duration,
    },
    /// The store of approvals and jobs can't be used.
    WorkUnavailable,
    // Validate.
    /// The arguments do not fit the tool's schema; which, and where.
    InvalidArguments {
        /// JSON pointer to the argument (RFC 6901).
        pointer: String,
        /// What is wrong there, without its value.
        problem: String,
    },
    // Journal.
    /// The record can't be written, so the call may not run.
    JournalUnavailable,
    // Forward.
    /// The upstream can't be reached, or broke off.
    UpstreamUnavailable,
    /// The upstream took too long.
    UpstreamTimeout,
    /// The upstream did not run the call, since what it calls is another by now than it was when it was last listed.
    UpstreamChanged,
    /// The call can't be carried to this upstream; the reason.
    UpstreamIncompatible(&'static str),
    // Filter.
    /// The answer is too large.
    ResponseTooLarge,
    /// The answer is not one that can be filtered; the reason is for the audit alone.
    ResponseUnreadable(&'static str),
    /// Redaction forbids the answer.
    ResponseBlocked,
    // Anywhere.
    /// The gateway failed.
    Internal,
    /// Calls that are under way take all the places or all the memory there is for them.
    Overloaded,
    /// The gateway is ending.
    ShuttingDown,
}

/// How a refusal looks from outside, and how it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The HTTP status.
    pub status: u16,
    /// The JSON-RPC code.
    pub code: i32,
    /// The metric and audit label. Stable.
    pub label: &'static str,
    /// Whose fault it is.
    pub blame: Blame,
}

impl Rejection {
    /// The table.
    pub fn row(&self) -> Row {
        use Blame::{Client, Gateway, Upstream};
        let (status, code, label, blame) = match self {
            Self::BadRequest(_) => (400, -32600, "bad_request", Client),
            Self::ForeignHost => (403, -31403, "foreign_host", Client),
            Self::ForeignOrigin => (403, -31403, "foreign_origin", Client),
            Self::NotFound => (404, -32601, "not_found", Client),
            Self::MethodNotAllowed(_) => (405, -31405, "method_not_allowed", Client),
            Self::HeaderTooLarge => (431, -31431, "header_too_large", Client),
            Self::PayloadTooLarge(_) => (413, -31413, "payload_too_large", Client),
            Self::UnsupportedMediaType => (415, -31415, "unsupported_media_type", Client),
            Self::RequestTimeout => (408, -31408, "request_timeout", Client),
            Self::ParseError => (400, -32700, "parse_error", Client),
            Self::InvalidRequest(_) => (400, -32600, "invalid_request", Client),
            Self::HeaderMismatch(_) => (400, -32020, "header_mismatch", Client),
            Self::UnsupportedVersion { .. } => (400, -32022, "unsupported_version", Client),
            Self::InvalidParams(_) => (400, -32602, "invalid_params", Client),
            Self::MethodNotFound { era: Era::Modern } => (404, -32601, "method_not_found", Client),
            Self::MethodNotFound { era: Era::Legacy } => (200, -32601, "method_not_found", Client),
            Self::Unauthenticated { .. } => (401, -31401, "unauthenticated", Client),
            Self::TooManyBadTokens { .. } => (429, -31429, "too_many_bad_tokens", Client),
            Self::KeysUnavailable => (503, -31503, "keys_unavailable", Gateway),
            Self::UnknownTool { .. } => (200, -32602, "unknown_tool", Client),
            Self::UnknownPrompt { .. } => (200, -32602, "unknown_prompt", Client),
            Self::UnknownResource { era: Era::Modern, .. } => (200, -32602, "unknown_resource", Client),
            Self::UnknownResource { era: Era::Legacy, .. } => (200, -32002, "unknown_resource", Client),
            Self::Quarantined(unknown) => return Row { label: "quarantined", ..unknown.row() },
            Self::UnknownSession => (404, -31404, "unknown_session", Client),
            Self::MissingCapability(_) => (400, -32021, "missing_capability", Client),
            Self::AlreadyListening => (409, -31409, "already_listening", Client),
            Self::UnknownQuestion => (202, -32600, "unknown_question", Client),
            Self::Cancelled => (200, -31499, "cancelled", Client),
            Self::InsufficientScope { .. } => (403, -31403, "insufficient_scope", Client),
            Self::InputMissing(_) => (200, -31411, "input_missing", Client),
            Self::NeedsApproval { .. } => (200, -31410, "needs_approval", Client),
            Self::Review(told) => {
                let (status, code, label) = told.row();
                (status, code, label, if status == 503 { Gateway } else { Client })
            }
            Self::RateLimited { .. } => (429, -31429, "rate_limited", Client),
            Self::TooManyAtOnce => (429, -31429, "too_many_at_once", Client),
            Self::TooManyWaiting => (429, -31429, "too_many_waiting", Client),
            Self::JobConflict => (409, -31409, "job_conflict", Client),
            Self::TooManyJobs => (429, -31429, "too_many_jobs", Client),
            Self::TooManyWrongIds { .. } => (429, -31429, "too_many_wrong_ids", Client),
            Self::WorkUnavailable => (503, -31503, "work_unavailable", Gateway),
            Self::InvalidArguments { .. } => (200, -32602, "invalid_arguments", Client),
            Self::JournalUnavailable => (503, -31503, "journal_unavailable", Gateway),
            Self::UpstreamUnavailable => (502, -31502, "upstream_unavailable", Upstream),
            Self::UpstreamTimeout => (504, -31504, "upstream_timeout", Upstream),
            Self::UpstreamChanged => (503, -31503, "upstream_changed", Upstream),
            Self::UpstreamIncompatible(_) => (502, -31502, "upstream_incompatible", Upstream),
            Self::ResponseTooLarge => (502, -31502, "response_too_large", Upstream),
            Self::ResponseUnreadable(_) => (502, -31502, "response_unreadable", Upstream),
            Self::ResponseBlocked => (502, -31502, "response_blocked", Upstream),
            Self::Internal => (500, -32603, "internal", Gateway),
            Self::Overloaded => (503, -31503, "overloaded", Gateway),
            Self::ShuttingDown => (503, -31503, "shutting_down", Gateway),
        };
        Row { status, code, label, blame }
    }

    /// What the caller may know of it: nothing of a quarantine.
    pub fn shown(&self) -> &Self {
        if let Self::Quarantined(unknown) = self { unknown } else { self }
    }

    /// What the caller reads.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::BadRequest(reason) | Self::InvalidRequest(reason) => format!("Invalid request: {reason}").into(),
            Self::ForeignHost => "This Host is not served here".into(),
            Self::ForeignOrigin => "This Origin is not allowed".into(),
            Self::NotFound => "No such endpoint; check the path: endpoints are at /NAME/mcp".into(),
            Self::MethodNotAllowed(allow) => format!("Method not allowed; use {allow}").into(),
            Self::HeaderTooLarge => "The request's header is too large".into(),
            Self::PayloadTooLarge(limit) => format!("The request's body is larger than {limit} bytes").into(),
            Self::UnsupportedMediaType => "Send application/json, without a content encoding".into(),
            Self::RequestTimeout => "The request took too long to arrive".into(),
            Self::ParseError => "Parse error: the body is not JSON".into(),
            Self::HeaderMismatch(reason) => format!("Header mismatch: {reason}").into(),
            Self::UnsupportedVersion { .. } => "Unsupported protocol version".into(),
            Self::InvalidParams(reason) => format!("Invalid params: {reason}").into(),
            Self::MethodNotFound { .. } => "Method not found".into(),
            Self::Unauthenticated { .. } => "Authentication is required".into(),
            Self::TooManyBadTokens { retry_after } => {
                format!("Too many refused tokens; try again in {} s", whole_secs(*retry_after)).into()
            }
            Self::KeysUnavailable => "The keys that tokens are checked with can't be had now; try again later".into(),
            Self::UnknownTool { name } => format!("Unknown tool: {name}").into(),
            Self::UnknownPrompt { name } => format!("Unknown prompt: {name}").into(),
            Self::UnknownResource { uri, .. } => format!("Resource not found: {uri}").into(),
            Self::Quarantined(unknown) => unknown.text(),
            Self::UnknownSession => "Session not found; send initialize to begin another".into(),
            Self::MissingCapability(name) => format!("Declare the extension {name} to ask for this").into(),
            Self::AlreadyListening => "This session has a stream already".into(),
            Self::UnknownQuestion => "No question is open that this could answer".into(),
            Self::Cancelled => "The request was cancelled".into(),
            Self::InsufficientScope { scope } => format!("The token lacks a scope that this needs: {scope}").into(),
            Self::InputMissing(reason) => format!("The server behind this tool asked for input: {reason}").into(),
            Self::NeedsApproval { approvers } => needs_approval(approvers).into(),
            Self::Review(told) => told.text(),
            Self::RateLimited { retry_after } => {
                format!("Rate limit reached; try again in {} s", whole_secs(*retry_after)).into()
            }
            Self::TooManyAtOnce => "Too many calls at once; try again when one has ended".into(),
            Self::InvalidArguments { pointer, problem } if pointer.is_empty() => {
                format!("Invalid arguments: {problem}").into()
            }
            Self::InvalidArguments { pointer, problem } => format!("Invalid arguments: {pointer}: {problem}").into(),
            Self::UpstreamUnavailable => "The server behind this tool can't be reached".into(),
            Self::UpstreamTimeout => "The server behind this tool took too long".into(),
            Self::UpstreamChanged => UPSTREAM_CHANGED.into(),
            Self::UpstreamIncompatible(reason) => {
                format!("The server behind this tool can't take this call: {reason}").into()
            }
            Self::ResponseTooLarge => "The answer is larger than policy allows".into(),
            Self::ResponseUnreadable(_) => "The server behind this tool gave an answer that can't be checked".into(),
            Self::ResponseBlocked => "The answer holds what policy forbids to pass on".into(),
            _ => self.own_text().into(),
        }
    }

    /// The same of what lies with the gateway, or with what is kept here for the caller.
    const fn own_text(&self) -> &'static str {
        match self {
            Self::TooManyWaiting => TOO_MANY_WAITING,
            Self::JobConflict => "This idempotency key names another call; choose a new one for a new call",
            Self::TooManyJobs => "You have too many jobs; try again when one has ended, or is forgotten",
            Self::TooManyWrongIds { .. } => "Too many ids that name nothing of yours; wait before you name another",
            Self::WorkUnavailable => "Jobs can't be kept now, so the call was not run; try again later",
            Self::JournalUnavailable => "The call can't be recorded now, so it was not run; try again later",
            Self::Overloaded => "Too many requests are under way; try again later",
            Self::ShuttingDown => "The gateway is ending; try again",
            _ => "Internal error",
        }
    }

    /// When to come back, for `Retry-After` (RFC 9110 section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after }
            | Self::TooManyBadTokens { retry_after }
            | Self::TooManyWrongIds { retry_after } => Some(*retry_after),
            Self::Review(told) if matches!(**told, Told::TooMany) => Some(Duration::from_secs(60)),
            Self::Review(told) if matches!(**told, Told::Unavailable) => Some(Duration::from_secs(1)),
            Self::TooManyAtOnce
            | Self::UpstreamChanged
            | Self::TooManyJobs
            | Self::WorkUnavailable
            | Self::JournalUnavailable
            | Self::KeysUnavailable
            | Self::Overloaded
            | Self::ShuttingDown => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// More for the audit than the label says, where there is more.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::BadRequest(detail)
            | Self::InvalidRequest(detail)
            | Self::HeaderMismatch(detail)
            | Self::UpstreamIncompatible(detail)
            | Self::InputMissing(detail)
            | Self::ResponseUnreadable(detail)
            | Self::Unauthenticated { reason: detail } => Some(detail),
            Self::InvalidParams(detail) => Some(detail),
            Self::InsufficientScope { scope } => Some(scope),
            Self::InvalidArguments { pointer, .. } => Some(pointer),
            _ => None,
        }
    }
}

const TOO_MANY_WAITING: &str = "Too many calls wait for answers to what was asked, so this one was taken back; answer one \
                                of them, or let it end after ten minutes, and call again";
const UPSTREAM_CHANGED: &str = "The server behind this tool has changed it, and did not run the call; list the tools again, \
                                and call as it is described by then";

/// What a caller reads of a call that `approvers` must agree to first.
fn needs_approval(approvers: &[String]) -> String {
    let who = if approvers.is_empty() { String::new() } else { format!(" ({})", approvers.join(", ")) };
    format!("This call needs the approval of a person{who} and was not run. Do not retry it unchanged.")
}

/// `duration` in seconds, rounded up: a client that waits so long has waited long enough.
pub fn whole_secs(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
