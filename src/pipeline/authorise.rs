//! Stage 4: asks the policy decision point, and does as it says.

use crate::pipeline::authenticate::Caller;
use crate::pipeline::record::Record;
use crate::pipeline::route::Call;
use crate::pipeline::{Live, arrival::Arrival, clock};
use portcullis_core::policy::document::Effect;
use portcullis_core::policy::{AccessRequest, Arguments, CallArguments, Context, Permit, decide};
use portcullis_core::reject::Rejection;
use portcullis_core::tool::{Kind, ToolName};
use std::net::IpAddr;

/// A call that policy allows.
pub struct Authorised {
    /// The call.
    pub call: Call,
    /// The proof.
    pub permit: Permit,
}

/// Decides.
///
/// # Errors
/// [`Rejection::UnknownTool`] where policy denies, so that what is forbidden looks like what does not exist;
/// [`Rejection::InsufficientScope`] where only the token's scopes stand in the way; [`Rejection::NeedsApproval`] where a
/// person must agree.
pub fn step(live: &Live, arrival: &Arrival, call: Call, record: &mut Record) -> Result<Authorised, Rejection> {
    let caller = &call.request.caller;
    let arguments = CallArguments::new(call.arguments());
    let context = Context {
        endpoint: call.request.target.name(),
        method: if call.is_use() { &call.request.frame.method } else { call.asked.kind.method() },
        protocol: call.request.protocol(),
        client: arrival.peer,
    };
    let request = AccessRequest {
        principal: &caller.principal,
        roles: &caller.roles,
        kind: call.asked.kind,
        tool: &call.tool,
        // Of what is completed, or about a task, the arguments are not here.
        arguments: if call.is_use() { Arguments::Of(&arguments) } else { Arguments::Any },
        context: &context,
    };
    let now = clock::now();
    let decision = decide(&live.snapshot.policy, &request, now);
    record.decision(&decision);
    if let Some(Ok(shadow)) = &live.snapshot.shadow {
        let roles = shadow.roles(&caller.principal);
        let said = decide(shadow, &AccessRequest { roles: &roles, ..request }, now);
        record.shadow(&decision, &said);
    }
    match (decision.permit(), decision.effect) {
        (Some(permit), _) => Ok(Authorised { call, permit }),
        (None, Effect::Deny) => Err(call.unknown()),
        (None, _) if !decision.scopes.is_empty() => {
            Err(Rejection::InsufficientScope { scope: decision.scopes.join(" ") })
        }
        (None, Effect::Review) => Err(Rejection::NeedsApproval { approvers: decision.approvers.to_vec() }),
        (None, _) => Err(call.unknown()),
    }
}

/// Somebody who looks at what there is, at one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// At which endpoint.
    pub endpoint: &'a str,
    /// In which revision.
    pub protocol: &'a str,
    /// From which address.
    pub client: Option<IpAddr>,
}

impl Viewer<'_> {
    /// Whether the thing called `name` may be known to them: whether there is a use of it that is not denied, by the same
    /// decision as that use, with the arguments left open.
    pub fn sees(&self, live: &Live, kind: Kind, name: &ToolName) -> bool {
        let context =
            Context { endpoint: self.endpoint, method: kind.method(), protocol: self.protocol, client: self.client };
        let request = AccessRequest {
            principal: &self.caller.principal,
            roles: &self.caller.roles,
            kind,
            tool: name,
            arguments: Arguments::Any,
            context: &context,
        };
        decide(&live.snapshot.policy, &request, clock::now()).effect != Effect::Deny
    }
}
