//! Stage 11: the record of a request, filled by every stage and closed exactly once, whatever happens.
//!
//! A record that is dropped without being closed (the client left, a filter panicked, the process ends) closes itself.

mod aside;
mod report;

pub use aside::Aside;

use crate::config::snapshot::Snapshot;
use crate::pipeline::arrival::{Arrival, Ids};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::strangers::{Kind, Strangers};
use crate::pipeline::streams::StreamEnd;
use crate::pipeline::{Gateway, Live, clock};
use crate::store::journal::Journal;
use crate::telemetry::metrics::{InFlight, Metrics};
use hmac::{Hmac, KeyInit, Mac};
use portcullis_core::approval::Told;
use portcullis_core::audit::{Entry, EntryKind, Outcome, Termination};
use portcullis_core::job::{Job, JobId};
use portcullis_core::policy::Decision;
use portcullis_core::policy::document::Effect;
use portcullis_core::redact::{Counts, Redactor, Unseen};
use portcullis_core::reject::Rejection;
use portcullis_core::tool::ToolName;
use portcullis_core::units::Rate;
use sha2::Sha256;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The longest text that a caller can put into a field of the record, in bytes.
const FIELD: usize = 256;

/// The longest arguments that are kept, in bytes; of longer ones the digest tells.
const ARGUMENTS: usize = 4096;

/// What stands for arguments that can't be kept, as JSON.
const WITHHELD: &str = "\"[withheld]\"";

/// What says beside the findings of an answer that the arguments are not kept as they were sent.
const ARGUMENTS_CHANGED: &str = "arguments";

/// The open record of a request.
pub struct Record {
    entry: Box<Entry>,
    began: Instant,
    sent: Option<Instant>,
    /// The tool, once it is one of the catalogue: metrics name no other.
    known_tool: Option<ToolName>,
    session: Option<Uuid>,
    /// Whether the arguments are kept as they were sent.
    whole: bool,
    state: State,
    redacted: Counts,
    /// How it ended, where it is a stream that has no other end.
    standing: Option<StreamEnd>,
    redactor: Redactor,
    unseen: Unseen,
    strangers: Arc<Strangers>,
    /// Rows that one address may leave of requests without a known caller.
    refusal_rows: Rate,
    journal: Journal,
    metrics: Arc<Metrics>,
    _in_flight: InFlight,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Intended,
    Closed,
}

/// Where a request comes from and where it wants to go.
pub struct Origin<'a> {
    /// Its ids.
    pub ids: &'a Ids,
    /// From which address it came.
    pub peer: Option<IpAddr>,
    /// The endpoint it is meant for; `None` where that is none of ours.
    pub endpoint: Option<&'a str>,
    /// When it arrived.
    pub at: Instant,
}

impl<'a> Origin<'a> {
    /// Those of `arrival`.
    pub fn of(arrival: &'a Arrival) -> Self {
        Self { ids: &arrival.ids, peer: arrival.peer, endpoint: Some(arrival.target.name()), at: arrival.at }
    }
}

/// How a request ended.
pub struct Ending<'a> {
    /// In a word.
    pub outcome: Outcome,
    /// The HTTP status of the answer, where one was sent.
    pub status: Option<u16>,
    /// The refusal or failure.
    pub rejection: Option<&'a Rejection>,
    /// Bytes of body sent.
    pub bytes_out: u64,
    /// When the upstream began to answer.
    pub answered: Option<Instant>,
    /// What was redacted.
    pub redactions: Option<&'a Counts>,
}

impl Ending<'_> {
    /// An ending without an answer from an upstream.
    pub fn plain(outcome: Outcome, status: u16, bytes_out: usize) -> Self {
        let bytes_out = bytes_out as u64;
        Self { outcome, status: Some(status), rejection: None, bytes_out, answered: None, redactions: None }
    }
}

impl Record {
    /// Opens the record of a request.
    pub fn open(gateway: &Gateway, live: &Live, origin: &Origin<'_>) -> Self {
        let snapshot = &live.snapshot;
        let (journal, metrics) = (gateway.journal.clone(), Arc::clone(&gateway.metrics));
        let entry = Entry {
            request_id: origin.ids.request.to_string(),
            trace_id: origin.ids.trace.clone(),
            client: origin.peer,
            endpoint: origin.endpoint.map(str::to_owned),
            revision: snapshot.revision.clone(),
            ..Entry::new(Uuid::now_v7(), origin.ids.request, clock::now())
        };
        let _in_flight = metrics.begun();
        let (entry, began, redactor) = (Box::new(entry), origin.at, snapshot.redactor.clone());
        let unseen = live.unseen.clone();
        let (sent, known_tool, session, state, standing) = (None, None, None, State::Open, None);
        Self {
            entry,
            began,
            sent,
            known_tool,
            session,
            whole: true,
            state,
            redacted: Counts::default(),
            standing,
            redactor,
            unseen,
            strangers: Arc::clone(&gateway.strangers),
            refusal_rows: snapshot.gateway.edge.refusal_rows,
            journal,
            metrics,
            _in_flight,
        }
    }

    /// The number of the call that it is of.
    pub fn call(&self) -> Uuid {
        self.entry.call_id
    }

    /// The approval that it waits for, or was redeemed with.
    pub fn approval(&mut self, id: &str) {
        self.entry.approval_id = Some(id.to_owned());
    }

    /// The approval that the call of `job` was redeemed with, if any.
    pub fn approval_of(&mut self, job: &Job) {
        self.entry.approval_id = job.approval().map(str::to_owned);
    }

    /// The request goes on with the call `call`, which has an intent of its own.
    pub fn part_of(&mut self, call: Uuid) {
        self.entry.call_id = call;
    }

    /// The tool is one of the catalogue.
    pub fn catalogued(&mut self, tool: &ToolName) {
        self.known_tool = Some(tool.clone());
    }

    /// Who calls.
    pub fn caller(&mut self, caller: &Caller) {
        let principal = &caller.principal;
        self.entry.issuer = Some(principal.issuer.clone());
        self.entry.subject = Some(principal.subject.clone());
        self.entry.tenant.clone_from(&principal.tenant);
        self.entry.agent.clone_from(&principal.agent);
        self.entry.roles = serde_json::to_string(&principal.roles).ok();
        self.entry.scopes = serde_json::to_string(&principal.scopes).ok();
    }

    /// The trace that it is part of.
    pub fn trace(&mut self, trace: &str) {
        trace.clone_into(&mut self.entry.trace_id);
    }

    /// That trace.
    pub fn trace_id(&self) -> &str {
        &self.entry.trace_id
    }

    /// The body's length.
    pub fn body(&mut self, bytes: usize) {
        self.entry.bytes_in = bytes as u64;
    }

    /// What is asked for.
    pub fn method(&mut self, method: &str) {
        self.entry.method = Some(cut(method));
    }

    /// In which revision, or by plain REST.
    pub fn protocol(&mut self, protocol: &str) {
        self.entry.protocol = Some(protocol.to_owned());
    }

    /// The tool, prompt or resource as the caller named it, before it is known whether there is one.
    pub fn asked(&mut self, name: &str) {
        self.entry.tool = Some(cut(name));
    }

    /// The tool, where it may be meant.
    pub fn tool(&mut self, tool: &ToolName) {
        self.entry.tool = Some(cut(&tool.to_string()));
        self.entry.upstream = Some(tool.upstream.clone());
    }

    /// The job that it is about, or became.
    pub fn job(&mut self, job: &JobId) {
        self.entry.job_id = Some(job.to_string());
    }

    /// What was redacted in what the gateway itself answers.
    pub fn redacted(&mut self, counts: &Counts) {
        self.redacted.merge(counts);
    }

    /// The upstream, where it is not that of a tool.
    pub fn upstream(&mut self, upstream: &str) {
        self.entry.upstream = Some(upstream.to_owned());
    }

    /// The session that it is part of; its number, which opens nothing.
    pub fn session(&mut self, session: Uuid) {
        self.session = Some(session);
    }

    /// What writes down what happens beside it.
    pub fn aside(&self) -> Aside {
        Aside::new((*self.entry).clone(), self.journal.clone(), Arc::clone(&self.metrics))
    }

    /// The arguments: redacted as far as policy can find anything, and a keyed digest of what they were, since the plain
    /// digest of a short secret could be guessed. What can't be redacted is not kept at all.
    pub fn arguments(&mut self, snapshot: &Snapshot, arguments: &[u8]) {
        let arguments = if arguments.is_empty() { b"{}" } else { arguments };
        self.entry.arguments_digest = digest(snapshot.gateway.digest_key.expose(), arguments);
        self.entry.arguments = Some(if self.unseen.is_in(arguments) {
            WITHHELD.into()
        } else if arguments.len() > ARGUMENTS {
            format!("\"[{} bytes]\"", arguments.len())
        } else {
            match snapshot.redactor.unconditional().value(arguments) {
                Ok(redacted) => String::from_utf8_lossy(&redacted.bytes).into_owned(),
                Err(_) => WITHHELD.into(),
            }
        });
        self.whole = self.entry.arguments.as_ref().is_some_and(|kept| kept.as_bytes() == arguments);
    }

    /// Arguments that are not kept as they were are no ground to decide on again, and some redaction leaves no trace.
    fn mark_arguments(&mut self) {
        if self.entry.arguments.is_some() && !self.whole {
            *self.entry.redactions.entry(ARGUMENTS_CHANGED.to_owned()).or_default() += 1;
        }
    }

    /// What policy said.
    pub fn decision(&mut self, decision: &Decision) {
        let effect = match decision.effect {
            Effect::Allow => "allow",
            Effect::Review => "review",
            Effect::Deny => "deny",
        };
        self.entry.decision = Some(effect);
        self.entry.rule = Some(decision.rule.to_string());
        self.entry.class = Some(decision.tool.class);
        self.metrics.decided(decision.effect);
    }

    /// What policy said later, in the configuration with this `revision`.
    pub fn decision_of(&mut self, revision: &str, decision: &Decision) {
        revision.clone_into(&mut self.entry.revision);
        self.decision(decision);
    }

    /// What the shadow policy would have said in place of `live`.
    pub fn shadow(&mut self, live: &Decision, shadow: &Decision) {
        if live.word() != shadow.word() {
            self.entry.shadow_decision = Some(shadow.word());
            self.entry.shadow_rule = Some(shadow.rule.to_string());
            self.metrics.shadow_differs(live.word(), shadow.word());
        }
    }

    /// Writes the intent and waits until it is as durable as configured: nothing may leave before.
    ///
    /// # Errors
    /// [`Rejection::JournalUnavailable`]: then nothing may leave at all.
    pub async fn intend(&mut self) -> Result<(), Rejection> {
        self.entry.kind = EntryKind::Intent;
        self.mark_arguments();
        // From here on the outcome closes an intent, even one that could not be confirmed: it may have been written.
        self.state = State::Intended;
        self.journal.record(&self.entry).await.map_err(|error| {
            tracing::error!(%error, "the journal can't be written; calls are refused");
            Rejection::JournalUnavailable
        })
    }

    /// The request is about to leave for the upstream.
    pub fn sent(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// The request was a stream of news, which ended as `ended` says: how long it lasted says nothing of how fast anything
    /// is.
    pub fn standing(&mut self, ended: StreamEnd) {
        self.standing = Some(ended);
    }

    /// Closes the record with a refusal that was answered with `status`.
    pub fn refuse(&mut self, rejection: &Rejection, status: u16, bytes_out: usize) {
        let outcome = match rejection {
            Rejection::Review(told) if **told == Told::Left => Outcome::Cancelled,
            _ if self.sent.is_some() => Outcome::Failed,
            _ => Outcome::Refused,
        };
        self.close(&Ending { rejection: Some(rejection), ..Ending::plain(outcome, status, bytes_out) });
    }

    /// Names that are not of the catalogue are the caller's own words, which may hold anything: a token that was put into
    /// the wrong field must not be kept either. So may a path into the arguments.
    fn redact_names(&mut self) {
        let plan = self.redactor.unconditional();
        let redact = |field: &mut Option<String>| {
            let Some(text) = field.as_deref() else { return };
            let withheld = || WITHHELD.trim_matches('"').to_owned();
            let kept = plan.text(text).ok().filter(|_| !self.unseen.is_in(text.as_bytes()));
            *field = Some(kept.map_or_else(withheld, |redacted| redacted.text.into_owned()));
        };
        redact(&mut self.entry.detail);
        if self.known_tool.is_none() {
            redact(&mut self.entry.tool);
            redact(&mut self.entry.method);
        }
    }

    /// Closes the record.
    pub fn close(&mut self, ending: &Ending<'_>) {
        let opened_intent = match self.state {
            State::Closed => return,
            State::Intended => true,
            State::Open => false,
        };
        self.state = State::Closed;
        self.entry.event_id = Uuid::now_v7();
        self.entry.at = clock::now();
        self.entry.kind = if opened_intent { EntryKind::Outcome } else { EntryKind::Event };
        self.entry.outcome = Some(ending.outcome);
        let by_outcome = || Termination::of(ending.outcome, ending.rejection);
        self.entry.termination = Some(self.standing.map_or_else(by_outcome, StreamEnd::termination));
        self.entry.status = ending.status;
        self.entry.error = ending.rejection.map(|rejection| rejection.row().label);
        let session = || self.session.map(|session| format!("session {session}"));
        let detail = ending.rejection.and_then(Rejection::detail).or(self.standing.map(StreamEnd::words));
        self.entry.detail = detail.map(cut).or_else(session);
        self.redact_names();
        self.entry.bytes_out = ending.bytes_out;
        let latency = self.began.elapsed();
        self.entry.latency_us = Some(micros(latency));
        let upstream =
            self.sent.map(|sent| ending.answered.unwrap_or_else(Instant::now).saturating_duration_since(sent));
        self.entry.upstream_us = upstream.map(micros);
        let counts = ending.redactions.into_iter().chain([&self.redacted]).flat_map(Counts::iter);
        self.entry.redactions = counts.map(|(kind, count)| (kind.to_owned(), count)).collect();
        self.report(ending, latency, upstream);
        if self.is_beyond_room() {
            return self.metrics.summarised();
        }
        self.mark_arguments();
        self.journal.submit(&self.entry);
    }

    /// Whether it is of a stranger who has left rows enough. It is counted then.
    fn is_beyond_room(&self) -> bool {
        let Entry { kind: EntryKind::Event, outcome: Some(outcome), error, subject: None, client, .. } = *self.entry
        else {
            return false;
        };
        !self.strangers.has_room(&Kind { client, outcome, error }, self.refusal_rows)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.close(&Ending { status: None, ..Ending::plain(Outcome::Unknown, 0, 0) });
    }
}

fn digest(key: &[u8], bytes: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(bytes);
    Some(hex::encode(mac.finalize().into_bytes()))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `text`, cut to what a field of the record holds.
fn cut(text: &str) -> String {
    let mut end = text.len().min(FIELD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
