//! Stage 4: asks the policy decision point, and does as it says.

use crate::pipeline::authenticate::Caller;
use crate::pipeline::record::Record;
use crate::pipeline::route::Call;
use crate::pipeline::{Live, arrival::Arrival, clock};
use portcullis_core::catalog::UpstreamCatalog;
use portcullis_core::mcp::version::Version;
use portcullis_core::policy::document::Effect;
use portcullis_core::policy::{AccessRequest, Arguments, CallArguments, Context, Decision, Permit, decide};
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::tool::{Kind, ToolName};
use std::net::IpAddr;
use std::sync::Arc;

/// A call that policy does not deny.
pub struct Authorised {
    /// The call.
    pub call: Call,
    /// On which condition.
    pub leave: Leave,
}

/// On which condition a call may go on.
pub enum Leave {
    /// None: here is the proof.
    Permit(Permit),
    /// A person must agree.
    Review(Box<Decision>),
}

/// Decides.
///
/// # Errors
/// [`Rejection::UnknownTool`] where policy denies, so that what is forbidden looks like what does not exist;
/// [`Rejection::InsufficientScope`] where only the token's scopes stand in the way; [`Rejection::NeedsApproval`] where a
/// person would have to agree to what is no call of a tool.
pub fn step(live: &Live, arrival: &Arrival, call: Call, record: &mut Record) -> Result<Authorised, Rejection> {
    let now = clock::now();
    let (decision, shadow) = judge(arrival.peer, &call, |request| {
        let decision = decide(&live.snapshot.policy, &request, now);
        let Some(Ok(shadow)) = &live.snapshot.shadow else { return (decision, None) };
        let roles = shadow.roles(&call.request.caller.principal);
        (decision, Some(decide(shadow, &AccessRequest { roles: &roles, ..request }, now)))
    });
    record.decision(&decision);
    if let Some(shadow) = shadow {
        record.shadow(&decision, &shadow);
    }
    let leave = leave(&call, decision)?;
    Ok(Authorised { call, leave })
}

/// On which condition `decision` lets `call` go on.
///
/// # Errors
/// As [`step`].
pub fn leave(call: &Call, decision: Decision) -> Result<Leave, Rejection> {
    match permit(call, &decision) {
        Ok(permit) => Ok(Leave::Permit(permit)),
        // What is no tool has no arguments that a person could judge, and answers in no words that ask for one.
        Err(_) if decision.needs_review() && call.asked.kind == Kind::Tool && call.is_use() => {
            Ok(Leave::Review(Box::new(decision)))
        }
        Err(rejection) => Err(rejection),
    }
}

/// What policy says of `call`, which came from `client`, as it is in `live`.
pub fn decision(live: &Live, client: Option<IpAddr>, call: &Call) -> Decision {
    judge(client, call, |request| decide(&live.snapshot.policy, &request, clock::now()))
}

/// What `ask` says of `call`, which came from `client`.
fn judge<T>(client: Option<IpAddr>, call: &Call, ask: impl FnOnce(AccessRequest<'_>) -> T) -> T {
    let caller = &call.request.caller;
    let arguments = CallArguments::new(call.arguments());
    let context = Context {
        endpoint: call.request.target.name(),
        method: if call.is_use() { &call.request.frame.method } else { call.asked.kind.method() },
        protocol: call.request.protocol(),
        client,
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
    ask(request)
}

/// The proof that `decision` allows `call`.
///
/// # Errors
/// As [`step`].
pub fn permit(call: &Call, decision: &Decision) -> Result<Permit, Rejection> {
    let permit = if call.task.is_some() { decision.permit_about_task() } else { decision.permit() };
    match (permit, decision.effect) {
        (Some(permit), _) => Ok(permit),
        (None, Effect::Deny) => Err(call.unknown()),
        (None, _) if !decision.scopes.is_empty() => {
            Err(Rejection::InsufficientScope { scope: decision.scopes.join(" ") })
        }
        (None, Effect::Review) => Err(Rejection::NeedsApproval { approvers: decision.approvers() }),
        (None, _) => Err(call.unknown()),
    }
}

/// Whether `principal` may know of a thing at any endpoint that has its upstream. The address they call from is left out, so
/// what only a rule on it allows counts as unknown to them.
pub fn knows(live: &Live, principal: &Principal) -> impl Fn(Kind, &ToolName) -> bool + Send + Sync {
    let caller = Caller { principal: Arc::new(principal.clone()), roles: live.snapshot.policy.roles(principal) };
    move |kind, name| {
        let mut endpoints =
            live.snapshot.routes.0.values().filter(|endpoint| endpoint.upstreams.contains(&name.upstream));
        endpoints.any(|endpoint| {
            let viewer =
                Viewer { caller: &caller, endpoint: &endpoint.name, protocol: Version::LATEST.as_str(), client: None };
            viewer.sees(live, kind, name)
        })
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
        self.effect_of(live, kind, name) != Effect::Deny
    }

    /// Whether anything of `upstream` may be known to them.
    pub fn sees_any(&self, live: &Live, upstream: &UpstreamCatalog) -> bool {
        upstream.tools.offered().any(|tool| self.sees(live, Kind::Tool, &tool.name))
            || upstream.prompts.offered().any(|prompt| self.sees(live, Kind::Prompt, &prompt.name))
            || upstream.resources.offered().any(|resource| self.sees(live, Kind::Resource, &resource.name))
            || upstream.templates.offered().any(|template| self.sees(live, Kind::Resource, &template.name))
    }

    /// Whether they may read the resource `name` now, by the same decision as when they do: nobody need agree first.
    pub fn may_read(&self, live: &Live, name: &ToolName) -> bool {
        self.effect(live, Kind::Resource, name, Arguments::Of(&CallArguments::new(b""))) == Effect::Allow
    }

    /// Whether there is a use of the thing called `name` that is allowed to them.
    pub fn may_use(&self, live: &Live, kind: Kind, name: &ToolName) -> bool {
        self.effect_of(live, kind, name) == Effect::Allow
    }

    /// What policy says of a use of the thing called `name`, with the arguments left open.
    pub fn effect_of(&self, live: &Live, kind: Kind, name: &ToolName) -> Effect {
        self.effect(live, kind, name, Arguments::Any)
    }

    fn effect(&self, live: &Live, kind: Kind, name: &ToolName, arguments: Arguments<'_>) -> Effect {
        let context =
            Context { endpoint: self.endpoint, method: kind.method(), protocol: self.protocol, client: self.client };
        let request = AccessRequest {
            principal: &self.caller.principal,
            roles: &self.caller.roles,
            kind,
            tool: name,
            arguments,
            context: &context,
        };
        decide(&live.snapshot.policy, &request, clock::now()).effect
    }
}
