//! Calls in which the upstream asks back, where the two sides have different words for that.
//!
//! An older client is asked by a request on the stream of its call, and answers by a message of its own; a modern upstream
//! asks by a result, and is answered by the same call once more: `rounds`. A modern client is asked by the answer to its
//! call, and answers by the same call once more; an older upstream asks on the stream of the call, which waits meanwhile:
//! `parked`, in the places of `parking`.
//!
//! Either way it is one call: one intent and one outcome in the record, and the same filter for all that comes of it.
//! Where both sides speak of one era, nothing of this is needed.

mod again;
mod exchange;
mod line;
mod parked;
pub mod parking;
pub mod reading;
mod resumption;
mod rounds;
mod unasked;
mod unheard;

use crate::pipeline::arrival::Target;
use crate::pipeline::feed::Speaker;
use crate::pipeline::forward::{self, PreparedCall};
use crate::pipeline::record::Record;
use crate::pipeline::review;
use crate::pipeline::route::Call;
use crate::pipeline::session::{ClientSession, carry};
use crate::pipeline::state::StateSeal;
use crate::pipeline::validate::Valid;
use crate::pipeline::{Gateway, Live, Verdict};
use again::Again;
use bytes::Bytes;
use parking::Binding;
use portcullis_core::jsonrpc;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::rewrite;
use portcullis_core::mcp::rounds::responses;
use portcullis_core::reject::{Era, Rejection};
use std::net::IpAddr;
use std::sync::Arc;

/// How a call is carried whose upstream may ask back.
pub enum Manner {
    /// The client is asked within its session.
    Session(Arc<ClientSession>),
    /// The client can't be asked, and may leave.
    Alone,
    /// The client is asked by an answer, and the call waits.
    Parked(Parked),
}

/// How a call is carried, with what that takes.
pub enum Way {
    /// The client is asked within its session, where it has one, and the call is sent again.
    Rounds(Option<Arc<ClientSession>>, Box<Again>),
    /// The client is asked by an answer, and the call waits.
    Parked(Parked, Box<Again>),
}

impl Manner {
    /// The way of `call`, which came from `client`.
    pub fn carry(self, gateway: &Arc<Gateway>, call: Call, client: Option<IpAddr>) -> Way {
        let again = Box::new(Again::new(gateway, call, client));
        match self {
            Self::Session(session) => Way::Rounds(Some(session), again),
            Self::Alone => Way::Rounds(None, again),
            Self::Parked(parked) => Way::Parked(parked, again),
        }
    }
}

/// What a call needs that may have to wait for its client.
pub struct Parked {
    /// What the client can be asked for.
    pub capabilities: Capabilities,
    /// What its state is bound to.
    pub binding: Binding,
}

/// What is done with a call that has passed all stages before it is recorded.
pub enum Course {
    /// It is a call of its own.
    Goes(Box<Valid>),
    /// It goes on with one that waits.
    Resumes(Speaker),
}

/// How `call` is carried to an upstream of the era `era`; `None` where nobody can be asked back on its way.
pub fn manner(call: &Call, era: Era) -> Option<Manner> {
    // Also where it can be asked nothing: a connection that it loses ends no call.
    let is_older = call.request.message.era == Era::Legacy && matches!(call.request.target, Target::Endpoint(_));
    if is_older && era == Era::Modern && call.is_use() {
        return Some(call.request.session.clone().map_or(Manner::Alone, Manner::Session));
    }
    let capabilities = askable(call, era)?;
    Some(Manner::Parked(Parked { capabilities, binding: Binding::of(call) }))
}

/// The session within which the client is asked what a modern upstream asks for.
pub fn session(call: &Call, era: Era) -> Option<&Arc<ClientSession>> {
    let session = call.request.session.as_ref()?;
    (era == Era::Modern && call.is_use() && !session.capabilities.is_empty()).then_some(session)
}

/// What the modern client of `call` can be asked for by an older upstream, where it is one; `None` where it is nothing.
pub fn askable(call: &Call, era: Era) -> Option<Capabilities> {
    if (call.request.message.era, era) != (Era::Modern, Era::Legacy) || !call.is_use() {
        return None;
    }
    let declared = Capabilities::read(call.request.capabilities());
    // It has no session in which it could tell of a change.
    let declared = Capabilities { roots_changed: false, ..declared };
    (!declared.is_empty()).then_some(declared)
}

/// Whether `valid` is a call of its own, or brings what another was waiting for.
///
/// # Errors
/// [`Rejection::InvalidParams`] for a state that was not given to this caller for this request, or is of no call that waits
/// for them.
pub fn step(gateway: &Gateway, live: &Live, mut valid: Valid, record: &mut Record) -> Result<Course, Rejection> {
    let call = &valid.admitted.authorised.call;
    // In older revisions it means nothing, and `forward` keeps it from upstreams to which it would.
    let Some(state) = call.asked.request_state.filter(|_| call.request.message.era == Era::Modern) else {
        return Ok(Course::Goes(Box::new(valid)));
    };
    let body = &call.request.body;
    if review::is_ours(state.of(body)) {
        return Ok(Course::Goes(Box::new(valid)));
    }
    // Of an upstream that speaks as the client does, the state is its own.
    if let Some(states) = StateSeal::new(live, call, valid.era) {
        let opened = states.open(state.of(body))?;
        (valid.state, valid.asked) = (opened.state, opened.asked);
        if valid.state.is_none() {
            // It is the gateway's own: the upstream gave none.
            let call = &mut valid.admitted.authorised.call;
            let gone =
                call.request.frame.params.iter().flat_map(|params| rewrite::change(params, &[], &["requestState"]));
            call.edits.extend(gone);
        }
        return Ok(Course::Goes(Box::new(valid)));
    }
    let state = jsonrpc::string(state.of(body)).ok_or_else(parking::unknown)?;
    let answers = call.asked.input_responses.map(|span| span.of(body)).unwrap_or_default();
    if live.unseen.is_in(answers) {
        return Err(Rejection::InvalidParams("inputResponses hold what may not be passed on".into()));
    }
    let waiting = gateway.parking.take(&live.seal, &Binding::of(call), &state)?;
    record.part_of(waiting.call);
    let answers = responses(answers);
    let expires = forward::expiry(live, &call.request.caller.principal);
    let filter = forward::filter(live, call, Bytes::new(), valid.era, valid.tool.clone(), None);
    let places = valid.admitted.admission;
    Ok(Course::Resumes(waiting.resume(filter, places, answers, expires)))
}

/// What becomes of a call that is ready to be sent.
pub fn verdict(gateway: &Gateway, live: &Live, mut call: PreparedCall) -> Verdict {
    if let (Some(upstream), Some(within)) = (call.session.clone(), call.within.take()) {
        return Verdict::Speak(carry::speaker(Arc::clone(&gateway.sessions), call, upstream, within));
    }
    match call.way.take() {
        None => Verdict::Forward(Box::new(call)),
        Some(Way::Rounds(session, again)) => Verdict::Speak(rounds::speaker(gateway, call, session, again)),
        Some(Way::Parked(parked, again)) => Verdict::Speak(parked::speaker(gateway, live, call, parked, again)),
    }
}
