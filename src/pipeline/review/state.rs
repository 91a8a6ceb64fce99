//! The state that a client of 2026-07-28 keeps while people decide: which approval it waits for, sealed for this caller, endpoint
//! and tool, and what it had to bring to the upstream already. None of it reaches the upstream.

use crate::approvals::Desk;
use crate::pipeline::Live;
use crate::pipeline::route::Call;
use crate::pipeline::state::StateSeal;
use portcullis_core::jsonrpc;
use portcullis_core::mcp::rewrite::change;
use portcullis_core::reject::Era;
use serde::{Deserialize, Serialize};

/// What our states begin with; sealed states have no dot.
const OURS: &str = "approval.";

/// What a request brings.
pub(super) enum Brought {
    /// No state of ours.
    Nothing,
    /// Ours, of the approval with this id.
    Ours(String),
    /// What looks like ours and is not, or was given to somebody else, or for another tool.
    Forged,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    /// The raw state that the upstream had given to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// The raw answers that the client had for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<String>,
}

/// Whether `raw`, a JSON string, looks like a state of ours.
pub fn is_ours(raw: &[u8]) -> bool {
    jsonrpc::string(raw).is_some_and(|state| state.starts_with(OURS))
}

/// What the client is to bring back for the approval `id`; `None` where it would be too long.
pub(super) fn give(desk: &Desk, call: &Call, id: &str) -> Option<String> {
    let raw = |span: jsonrpc::Span| String::from_utf8(span.of(&call.request.body).to_vec()).ok();
    // What it brought of ours, it brought in place of these.
    let foreign = call.asked.request_state.filter(|span| !is_ours(span.of(&call.request.body)));
    let (state, answers) = match (foreign, call.asked.request_state) {
        (Some(state), _) => (Some(raw(state)?), call.asked.input_responses.and_then(raw)),
        (None, None) => (None, call.asked.input_responses.and_then(raw)),
        (None, Some(ours)) => {
            let kept = open(desk, call, ours)?;
            (kept.state, kept.answers)
        }
    };
    let text = serde_json::to_vec(&Kept { id: id.to_owned(), state, answers }).ok()?;
    let sealed = desk.seal(&bound(call, &call.request.caller.principal.identity()), &text)?;
    Some(format!("{OURS}{sealed}"))
}

/// What `call` brings; from here on it is without it, and with what its upstream, which is of the era `upstream`, had given out.
pub(super) fn take(live: &Live, desk: &Desk, call: &mut Call, upstream: Era) -> Brought {
    let Some(span) = call.asked.request_state.filter(|span| is_ours(span.of(&call.request.body))) else {
        return Brought::Nothing;
    };
    let kept = open(desk, call, span).and_then(|kept| unsealed(live, call, upstream, kept));
    let (state, answers) = kept.as_ref().map_or((None, None), |kept| (kept.state.as_deref(), kept.answers.as_deref()));
    if let Some(params) = &call.request.frame.params {
        let members = [("requestState", state), ("inputResponses", answers)];
        let set: Vec<_> = members.iter().filter_map(|(key, raw)| Some((*key, raw.as_ref()?.as_bytes()))).collect();
        let gone: Vec<_> = members.iter().filter(|(_, raw)| raw.is_none()).map(|(key, _)| *key).collect();
        call.edits.extend(change(params, &set, &gone));
    }
    kept.map_or(Brought::Forged, |kept| Brought::Ours(kept.id))
}

/// The same with the state as the upstream gave it out: the client had a seal of it.
fn unsealed(live: &Live, call: &Call, upstream: Era, kept: Kept) -> Option<Kept> {
    let state = match (kept.state, StateSeal::new(live, call, upstream)) {
        (Some(sealed), Some(states)) => Some(String::from_utf8(states.open(sealed.as_bytes()).ok()?).ok()?),
        (state, _) => state,
    };
    Some(Kept { state, ..kept })
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
