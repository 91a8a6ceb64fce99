//! The preview of a call: its read-only twin is called with the same arguments, as the requester and through all stages of a
//! call of its own, and whoever decides sees what it answered.

use crate::pipeline::arrival::{Arrival, Ids};
use crate::pipeline::authorise::{self, Leave};
use crate::pipeline::converse::reading::{Heard, Reading};
use crate::pipeline::forward::{self, Prepared, PreparedCall};
use crate::pipeline::limit::Admitted;
use crate::pipeline::parse::Request;
use crate::pipeline::record::{Ending, Origin, Record};
use crate::pipeline::review::Reviewed;
use crate::pipeline::route::Call;
use crate::pipeline::validate::Valid;
use crate::pipeline::{Gateway, Live, journal, limit, validate};
use bytes::Bytes;
use http::HeaderValue;
use portcullis_core::audit::Outcome;
use portcullis_core::jsonrpc::{self, Answer, Limits};
use portcullis_core::layout::decoded;
use portcullis_core::mcp::headers::McpHeaders;
use portcullis_core::mcp::version::Version;
use portcullis_core::mcp::{self, Body, rewrite};
use portcullis_core::redact::Counts;
use portcullis_core::reject::Rejection;
use portcullis_core::tool::ToolName;
use portcullis_core::visible::unmistakable;
use std::sync::Arc;
use std::time::Instant;

/// The raw id of the preview's request.
const ID: &[u8] = b"\"preview\"";

/// The longest preview that people are shown, in characters; the rest is cut off and said to be.
const LONGEST: usize = 16_000;

/// A preview that was made. It is a call of its own, whose record is open until it is known whether people are asked.
pub(super) struct Previewed {
    /// What it answered, for people to read; `None` where it failed.
    pub(super) shown: Option<String>,
    record: Record,
    outcome: Outcome,
    rejection: Option<Rejection>,
    redactions: Option<Counts>,
}

impl Previewed {
    /// Closes its record, which names the `approval` that people are asked for.
    pub(super) fn close(mut self, approval: Option<&str>) {
        if let Some(id) = approval {
            self.record.approval(id);
        }
        let plain = Ending::plain(self.outcome, 0, 0);
        let (rejection, redactions) = (self.rejection.as_ref(), self.redactions.as_ref());
        self.record.close(&Ending { rejection, redactions, status: None, ..plain });
    }
}

/// What `tool` answers to the arguments of `call`; `None` where there is no such tool to ask.
pub(super) async fn preview(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    (call, tool): (&Call, &ToolName),
) -> Option<Previewed> {
    let twin = twin(live, call, tool)?;
    let ids = twin.request.ids.clone();
    let origin =
        Origin { ids: &ids, peer: arrival.peer, endpoint: Some(call.request.target.name()), at: Instant::now() };
    let mut record = Record::open(gateway, live, &origin);
    record.caller(&call.request.caller);
    record.method(&twin.request.frame.method);
    record.protocol(twin.request.protocol());
    record.tool(tool);
    record.arguments(&live.snapshot, twin.arguments());
    let run = Run { gateway, live, arrival };
    let mut filtered = None;
    let answered = run.make(twin, &mut record, &mut filtered).await;
    let redactions = filtered.as_ref().map(|call| call.filter.counts().clone());
    let (outcome, rejection) = match &answered {
        Ok(_) if filtered.as_ref().is_some_and(|call| call.filter.tool_error()) => (Outcome::ToolError, None),
        Ok(_) => (Outcome::Ok, None),
        Err(rejection) if filtered.is_none() => (Outcome::Refused, Some(rejection.clone())),
        Err(rejection) => (Outcome::Failed, Some(rejection.clone())),
    };
    let message = answered.ok().filter(|_| outcome == Outcome::Ok);
    let shown = message.and_then(|message| shown(live, &message));
    Some(Previewed { shown, record, outcome, rejection, redactions })
}

/// The call of `tool` with the arguments of `call`, by the same caller at the same place.
fn twin(live: &Live, call: &Call, tool: &ToolName) -> Option<Call> {
    let pool = Arc::clone(live.pools.0.get(&tool.upstream)?);
    let arguments = match call.arguments() {
        [] => b"{}",
        raw => raw,
    };
    let body = rewrite::tools_call_request(ID, &tool.tool, arguments, Version::LATEST_LEGACY, b"{}");
    let frame = jsonrpc::parse(&body, &Limits::default()).ok()?;
    let mut message = mcp::classify(&body, &frame, &McpHeaders::default()).ok()?;
    // Policy asks which revision the caller spoke. The era stays: there are no headers of a newer call here.
    message.version = call.request.message.version;
    let Body::Ask(asked) = message.body.clone() else { return None };
    let parent = HeaderValue::from_str(&call.request.ids.traceparent).ok();
    let request = Request {
        caller: Arc::clone(&call.request.caller),
        target: call.request.target.clone(),
        body: body.into(),
        frame,
        message,
        ids: Ids::new(parent.as_slice()),
        session: None,
    };
    Some(Call { request, asked, tool: tool.clone(), task: None, pool, edits: Vec::new() })
}

struct Run<'a> {
    gateway: &'a Arc<Gateway>,
    live: &'a Live,
    arrival: &'a Arrival,
}

impl Run<'_> {
    /// Through all stages; the message that answers it. `sent` becomes what was sent, where anything was.
    async fn make(
        &self,
        twin: Call,
        record: &mut Record,
        sent: &mut Option<Box<PreparedCall>>,
    ) -> Result<Bytes, Rejection> {
        let Self { gateway, live, arrival } = *self;
        let authorised = authorise::step(live, arrival, twin, record)?;
        let admitted = limit::within(gateway, live, authorised)?;
        let Valid { admitted: Admitted { authorised, admission }, era, tool, state, .. } =
            validate::step(gateway, live, arrival, admitted, record).await?;
        // People are asked about the call itself, not about looking at what it would do.
        let Leave::Permit(permit) = authorised.leave else {
            return Err(Rejection::NeedsApproval { approvers: Vec::new() });
        };
        let reviewed = Reviewed { call: authorised.call, admission, permit, era, tool, state };
        let journaled = journal::step(reviewed, record).await?;
        match forward::step(gateway, live, arrival, journaled, record).await? {
            Prepared::Call(call) => self.send(sent.insert(call)).await,
            Prepared::Done(_) => Err(Rejection::Internal),
        }
    }

    async fn send(&self, call: &mut PreparedCall) -> Result<Bytes, Rejection> {
        let timeout = call.pool.upstream.timeout;
        let answered = tokio::time::timeout(timeout, self.read(call)).await;
        answered.unwrap_or(Err(Rejection::UpstreamTimeout))
    }

    async fn read(&self, call: &mut PreparedCall) -> Result<Bytes, Rejection> {
        let client = &self.gateway.client;
        let stream = match &call.session {
            Some(session) => session.call(&call.headers, call.body.clone()).await,
            None => client.open_any(&call.pool, &call.headers, call.body.clone()).await.map(|(_, stream)| stream),
        };
        let stream = stream.map_err(Rejection::from)?;
        let form = call.filter.start(stream.status, &stream.headers)?;
        let mut reading = Reading::start(Arc::clone(client), stream, form, call.filter.limit());
        loop {
            match reading.next().await?.ok_or(Rejection::UpstreamUnavailable)? {
                Heard::Place(_) | Heard::Alive => {}
                Heard::Whole(body) => return call.filter.whole(&body).map(|(_, message)| message),
                Heard::Message(message) => {
                    if let Some(message) = call.filter.pass(&message)?
                        && call.filter.is_answered()
                    {
                        return Ok(message.into());
                    }
                }
            }
        }
    }
}

/// The result of `message` for people to read, redacted for everybody and not for the requester alone.
fn shown(live: &Live, message: &[u8]) -> Option<String> {
    let result = match jsonrpc::answer(message, &Limits::ANSWER) {
        Ok(Answer::Result { result, .. }) => result.span.of(message),
        Ok(_) => return None,
        // By plain REST the answer is the result alone.
        Err(_) => message,
    };
    let redacted = live.snapshot.redactor.unconditional().value(result).ok()?;
    let raw = String::from_utf8_lossy(&redacted.bytes);
    let text = unmistakable(&decoded(&raw).unwrap_or_else(|| raw.into_owned()));
    let cut: String = text.chars().take(LONGEST).collect();
    Some(if cut.len() < text.len() { format!("{cut} [cut]") } else { cut })
}
