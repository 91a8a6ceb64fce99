//! The state that a client of 2026-07-28 keeps while people decide: which approval it waits for, sealed for this caller, endpoint
//! and tool, and what it had to bring to the upstream already. None of it reaches the upstream.

use crate::approvals::Desk;
use crate::pipeline::Live;
use crate::pipeline::route::Call;
use crate::pipeline::state::{Asked, StateSeal};
use portcullis_core::jsonrpc;
use portcullis_core::mcp::rewrite::change;
use portcullis_core::reject::Era;
use serde::{Deserialize, Serialize};

/// What our states begin with; sealed states have no dot.
const OURS: &str = "approval.";

/// What a call has beside its arguments for its upstream to act on, as raw JSON: people agree to that, too.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Beside {
    /// The state that the upstream had given to the client, as the client has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    /// The answers that the client has for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answers: Option<String>,
}

/// What a request brings.
pub(super) enum Brought {
    /// No state of ours.
    Nothing,
    /// Ours, of the approval with this id.
    Ours(String),
    /// What its upstream asked for in the middle of this call.
    Answer(Asked),
    /// What looks like ours and is not, or was given to somebody else, or for another tool.
    Forged,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    #[serde(flatten)]
    beside: Beside,
}

/// Whether `raw`, a JSON string, looks like a state of ours.
pub fn is_ours(raw: &[u8]) -> bool {
    jsonrpc::string(raw).is_some_and(|state| state.starts_with(OURS))
}

/// What the client is to bring back for the approval `id`; `None` where it would be too long.
pub(super) fn give(desk: &Desk, call: &Call, id: &str) -> Option<String> {
    // What it brought of ours, it brought in place of these.
    let beside = match ours(call) {
        Some(ours) => open(desk, call, ours)?.beside,
        None => brought(call)?,
    };
    let text = serde_json::to_vec(&Kept { id: id.to_owned(), beside }).ok()?;
    let sealed = desk.seal(&bound(call, &call.request.caller.principal.identity()), &text)?;
    Some(format!("{OURS}{sealed}"))
}

/// The state that `call` brings, where it looks like one of ours.
fn ours(call: &Call) -> Option<jsonrpc::Span> {
    call.asked.request_state.filter(|span| is_ours(span.of(&call.request.body)))
}

/// What `call` itself has beside its arguments; `None` where that is no text.
fn brought(call: &Call) -> Option<Beside> {
    let raw = |span: jsonrpc::Span| String::from_utf8(span.of(&call.request.body).to_vec()).ok();
    let raw = |span: Option<jsonrpc::Span>| span.map_or(Some(None), |span| raw(span).map(Some));
    Some(Beside { state: raw(call.asked.request_state)?, answers: raw(call.asked.input_responses)? })
}

/// What `call` brings, and what it has beside its arguments; from here on it is without ours, and with what its upstream,
/// which is of the era `upstream`, had given out.
pub(super) fn take(live: &Live, desk: &Desk, call: &mut Call, upstream: Era) -> (Brought, Beside) {
    let Some(span) = ours(call) else {
        return brought(call).map_or((Brought::Forged, Beside::default()), |beside| (Brought::Nothing, beside));
    };
    let kept = open(desk, call, span)
        .and_then(|kept| unsealed(live, call, upstream, kept.beside.state.as_deref()).map(|state| (kept, state)));
    let (state, answers) =
        kept.as_ref().map_or((None, None), |(kept, state)| (state.as_deref(), kept.beside.answers.as_deref()));
    if let Some(params) = &call.request.frame.params {
        let members = [("requestState", state), ("inputResponses", answers)];
        let set: Vec<_> = members.iter().filter_map(|(key, raw)| Some((*key, raw.as_ref()?.as_bytes()))).collect();
        let gone: Vec<_> = members.iter().filter(|(_, raw)| raw.is_none()).map(|(key, _)| *key).collect();
        call.edits.extend(change(params, &set, &gone));
    }
    kept.map_or((Brought::Forged, Beside::default()), |(kept, _)| (Brought::Ours(kept.id), kept.beside))
}

/// `sealed`, a state as its client has it, as the upstream gave it out; `None` where it was not given out here, for this.
fn unsealed(live: &Live, call: &Call, upstream: Era, sealed: Option<&str>) -> Option<Option<String>> {
    match (sealed, StateSeal::new(live, call, upstream)) {
        (Some(sealed), Some(states)) => {
            let opened = states.open(sealed.as_bytes()).ok()?;
            opened.state.map(String::from_utf8).transpose().ok()
        }
        (state, _) => Some(state.map(str::to_owned)),
    }
}

fn open(desk: &Desk, call: &Call, span: jsonrpc::Span) -> Option<Kept> {
    let state = jsonrpc::string(span.of(&call.request.body))?;
    let identity = call.request.caller.principal.identity();
    let text = desk.unseal(&bound(call, &identity), state.strip_prefix(OURS)?)?;
    serde_json::from_slice(&text).ok()
}

fn bound<'a>(call: &'a Call, identity: &'a [u8]) -> [&'a [u8]; 4] {
    let tool = &call.tool;
    [identity, call.request.target.name().as_bytes(), tool.upstream.as_bytes(), tool.tool.as_bytes()]
}
