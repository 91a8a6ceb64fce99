//! What people are asked: the call as they read it, and the digest by which it is known again.

use super::state::Beside;
use crate::approvals::Desk;
use crate::pipeline::Live;
use crate::pipeline::route::Call;
use portcullis_core::approval::{Approval, Demand, Matter, Requester, State, Terms, Told, canonical};
use portcullis_core::catalog::Tool;
use portcullis_core::layout::decoded;
use portcullis_core::policy::Decision;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use portcullis_core::visible::unmistakable;
use std::time::Duration;

/// The largest arguments that a person is asked to read, in bytes.
const LARGEST: usize = 64 << 10;

/// How long an approval stays open where its rule says nothing.
const TTL: Duration = Duration::from_secs(15 * 60);

/// What stands for arguments that nobody may see.
const WITHHELD: &str = "[withheld]";

/// What would be asked about a call.
pub(super) struct Petition<'a> {
    live: &'a Live,
    call: &'a Call,
    beside: &'a Beside,
    tool: &'a Tool,
    /// By which the call is known again: no other call, and nobody else's, has it.
    pub(super) digest: String,
}

impl<'a> Petition<'a> {
    /// Of `call`, which calls `tool`, has `beside` its arguments what its upstream may act on as well, and of which policy says
    /// `decision`.
    pub(super) fn new(
        live: &'a Live,
        desk: &Desk,
        (call, beside): (&'a Call, &'a Beside),
        tool: &'a Tool,
        decision: &Decision,
    ) -> Result<Self, Rejection> {
        let answers = beside.answers.as_deref().unwrap_or_default();
        if call.arguments().len() + answers.len() > LARGEST {
            return Err(Rejection::Review(Box::new(Told::Unreadable)));
        }
        let arguments = canonical(call.arguments()).ok_or(Rejection::Internal)?;
        let answers =
            beside.answers.as_deref().map(|raw| canonical(raw.as_bytes()).ok_or(Rejection::Internal)).transpose()?;
        let identity = call.request.caller.principal.identity();
        let rules: Vec<&str> = decision.demands.iter().map(|demand| demand.rule.as_str()).collect();
        // A rule's id holds no control character.
        let rules = rules.join("\n");
        let digest = desk.digest(&[
            &identity,
            call.request.target.name().as_bytes(),
            call.tool.upstream.as_bytes(),
            call.tool.tool.as_bytes(),
            tool.canonical.digest.as_bytes(),
            rules.as_bytes(),
            arguments.as_bytes(),
            answers.as_deref().unwrap_or_default().as_bytes(),
            beside.state.as_deref().unwrap_or_default().as_bytes(),
        ]);
        Ok(Self { live, call, beside, tool, digest: digest.ok_or(Rejection::Internal)? })
    }

    /// A new approval, asked for at `now`.
    pub(super) fn approval(&self, decision: &Decision, now: Timestamp) -> Approval {
        let random: [u8; 16] = rand::random();
        Approval {
            id: hex::encode(random),
            version: 1,
            state: State::Pending,
            digest: self.digest.clone(),
            requester: Requester::of(&self.call.request.caller.principal),
            matter: self.matter(decision),
            terms: Terms {
                revision: self.live.snapshot.revision.clone(),
                demands: decision.demands.iter().map(|demand| Demand::clone(demand)).collect(),
            },
            created: now,
            expires: now.plus(decision.ttl.unwrap_or(TTL)),
            votes: Vec::new(),
            closing: None,
            call: None,
        }
    }

    fn matter(&self, decision: &Decision) -> Matter {
        Matter {
            endpoint: self.call.request.target.name().to_owned(),
            upstream: self.call.tool.upstream.clone(),
            tool: self.call.tool.to_string(),
            definition: self.tool.canonical.digest.clone(),
            class: decision.tool.class,
            severity: decision.tool.severity,
            arguments: self.shown(match self.call.arguments() {
                [] => b"{}",
                raw => raw,
            }),
            answers: self.beside.answers.as_deref().map(|raw| self.shown(raw.as_bytes())),
            preview: None,
        }
    }

    /// Arguments as people may read them: redacted as in the record of calls, and with everything that could be overlooked or
    /// mistaken spelled out.
    fn shown(&self, raw: &[u8]) -> String {
        if self.live.unseen.is_in(raw) {
            return WITHHELD.to_owned();
        }
        match self.live.snapshot.redactor.unconditional().value(raw) {
            // What is marked are characters, and escapes of JSON would hide them.
            Ok(redacted) => {
                let read = std::str::from_utf8(&redacted.bytes).ok().and_then(decoded);
                read.map_or_else(|| WITHHELD.to_owned(), |text| unmistakable(&text))
            }
            Err(_) => WITHHELD.to_owned(),
        }
    }
}
