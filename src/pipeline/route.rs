//! Stage 3: from an endpoint and a visible name to an upstream and the upstream's own name, or to an answer of our own.

use crate::identity::Refusal;
use crate::pipeline::arrival::Target;
use crate::pipeline::authenticate::Caller;
use crate::pipeline::job::{Inquiry, TOOL};
use crate::pipeline::parse::Request;
use crate::pipeline::record::Record;
use crate::pipeline::session::said;
use crate::pipeline::task::{self, Task};
use crate::pipeline::{Gateway, Live, forward};
use crate::upstream::pool::Pool;
use portcullis_core::jsonrpc::Span;
use portcullis_core::mcp::asked::Asked;
use portcullis_core::mcp::{Body, TaskAsked};
use portcullis_core::principal::Principal;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::{Kind, ToolName};
use std::sync::Arc;
use std::time::Instant;

/// Where a request goes.
pub enum Routed {
    /// Nowhere: the gateway answers it.
    Local(Request),
    /// To those who wait for it in the session of its client.
    Said(Request),
    /// To a job.
    Job(Box<(Request, Inquiry)>),
    /// Nowhere yet: it waits for what comes.
    News(Request),
    /// To an upstream, if all goes well.
    Call(Box<Call>),
}

/// A use of a tool, prompt or resource that may exist.
pub struct Call {
    /// The request.
    pub request: Request,
    /// What it asks for, and with what.
    pub asked: Asked,
    /// What it means: the upstream, and the upstream's own name or URI.
    pub tool: ToolName,
    /// The task that it is about, where it is not the call itself.
    pub task: Option<Task>,
    /// The replicas of the upstream.
    pub pool: Arc<Pool>,
    /// What of the body is not for the upstream, with what stands in its place.
    pub edits: Vec<(Span, Vec<u8>)>,
}

impl Call {
    /// The arguments' bytes; empty where there are none.
    pub fn arguments(&self) -> &[u8] {
        self.asked.arguments.map_or(&[], |span| span.of(&self.request.body))
    }

    /// What limits and redaction know it by. A prompt or a resource is no tool, even where it is called like one: a caller
    /// may write any URI.
    pub fn named(&self) -> (Kind, &ToolName) {
        (self.asked.kind, &self.tool)
    }

    /// Who makes it.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.request.caller.principal
    }

    /// Has it judged from here on by what is `live` now, with the roles that its caller has there: it has waited.
    ///
    /// # Errors
    /// [`Rejection::Unauthenticated`] where its token's time is over, [`Rejection::UnknownTool`] and its like where its endpoint
    /// is gone, or has its upstream no more, or where that is another one.
    pub fn renew(&mut self, live: &Live) -> Result<(), Rejection> {
        let principal = Arc::clone(self.principal());
        if forward::expiry(live, &principal).is_some_and(|end| end <= Instant::now()) {
            return Err(Refusal::Expired.into());
        }
        let roles = live.snapshot.policy.roles(&principal);
        self.request.caller = Arc::new(Caller { principal, roles });
        if self.is_served(live) { Ok(()) } else { Err(self.unknown()) }
    }

    /// Whether its endpoint is there and has its upstream, which is the one that knows the call.
    fn is_served(&self, live: &Live) -> bool {
        let (endpoint, upstream) = (self.request.target.name(), &self.tool.upstream);
        let pool = live.pools.0.get(upstream);
        let shown = match &self.request.target {
            Target::Endpoint(_) => {
                live.snapshot.routes.0.get(endpoint).is_some_and(|endpoint| endpoint.upstreams.contains(upstream))
            }
            Target::Invoke => live.snapshot.routes.shows(upstream),
        };
        shown && pool.is_some_and(|pool| Arc::ptr_eq(pool, &self.pool))
    }

    /// Whether this is the use itself, with its arguments, or about one that was or may be.
    pub fn is_use(&self) -> bool {
        !self.asked.completes && self.task.is_none()
    }

    /// How it is refused to a caller that may not know of what it asks for.
    pub fn unknown(&self) -> Rejection {
        if self.task.is_some() {
            return task::unknown();
        }
        unknown(&self.asked, self.request.message.era)
    }
}

fn unknown(asked: &Asked, era: Era) -> Rejection {
    let name = asked.name.clone();
    match asked.kind {
        Kind::Tool => Rejection::UnknownTool { name },
        Kind::Prompt => Rejection::UnknownPrompt { name },
        Kind::Resource => Rejection::UnknownResource { uri: name, era },
    }
}

/// Routes.
///
/// # Errors
/// [`Rejection::UnknownTool`] and its like where no upstream can be meant, [`Rejection::MethodNotFound`] for a method not
/// served here.
pub async fn step(gateway: &Gateway, live: &Live, request: Request, record: &mut Record) -> Result<Routed, Rejection> {
    let asked = match &request.message.body {
        Body::Ask(asked) if is_of_jobs(&request, asked) => {
            let inquiry = Inquiry::of_tool(&request, asked)?;
            return Ok(Routed::Job(Box::new((request, inquiry))));
        }
        Body::Ask(asked) => asked.clone(),
        Body::Task(asked) => {
            let asked = asked.clone();
            if let Some(inquiry) = Inquiry::of_task(&asked, &request.frame.method) {
                task::check_declared(request.capabilities())?;
                return Ok(Routed::Job(Box::new((request, inquiry))));
            }
            return about_task(live, request, &asked, record).map(Box::new).map(Routed::Call);
        }
        Body::Subscribe { asked, .. } if request.session.is_some() => asked.clone(),
        Body::Subscribe { .. } => return Err(Rejection::InvalidRequest("send initialize first; this is of a session")),
        Body::Listen => return Ok(Routed::News(request)),
        Body::Unknown { .. } => return Err(Rejection::MethodNotFound { era: request.message.era }),
        _ if said::is_said(&request) => return Ok(Routed::Said(request)),
        _ => return Ok(Routed::Local(request)),
    };
    // A later revision has no such parameter, and so nothing to say of it (`forward` keeps it from older upstreams).
    if asked.has_task && request.message.era == Era::Legacy {
        return Err(Rejection::InvalidParams("tasks are not served here".into()));
    }
    let tool = resolve(gateway, live, &request, &asked).await;
    let found = tool.and_then(|tool| Some((live.pools.0.get(&tool.upstream).cloned()?, tool)));
    let (pool, tool) = found.ok_or_else(|| unknown(&asked, request.message.era))?;
    record.tool(&tool);
    let call = Call { request, asked, tool, task: None, pool, edits: Vec::new() };
    record.arguments(&live.snapshot, call.arguments());
    Ok(Routed::Call(Box::new(call)))
}

/// Whether it calls the gateway's own tool, which no upstream has: none may be called like the gateway.
fn is_of_jobs(request: &Request, asked: &Asked) -> bool {
    asked.kind == Kind::Tool && !asked.completes && asked.name == TOOL && matches!(request.target, Target::Endpoint(_))
}

/// What is asked about a task is asked of the tool that began it.
fn about_task(live: &Live, request: Request, asked: &TaskAsked, record: &mut Record) -> Result<Call, Rejection> {
    task::check_declared(request.capabilities())?;
    let Target::Endpoint(endpoint) = &request.target else { return Err(task::unknown()) };
    let found = task::open(live, &request.caller.principal, &endpoint.name, &asked.id)?;
    let tool = found.tool.clone();
    let shown = endpoint.upstreams.contains(&tool.upstream);
    let pool = live.pools.0.get(&tool.upstream).filter(|_| shown).cloned().ok_or_else(task::unknown)?;
    record.tool(&tool);
    let asked = Asked::about_task(&tool.tool, asked);
    Ok(Call { request, asked, tool, task: Some(found), pool, edits: Vec::new() })
}

async fn resolve(gateway: &Gateway, live: &Live, request: &Request, asked: &Asked) -> Option<ToolName> {
    match (&request.target, asked.kind) {
        // A URI has no room for the name of an upstream.
        (Target::Endpoint(endpoint), Kind::Resource) => {
            // Whose it is, where there is but one, needs no list of it.
            let asked_of = if endpoint.is_aggregate() { endpoint.upstreams.as_slice() } else { &[] };
            let catalog = gateway.catalog_of(live, asked_of, &request.caller.principal).await;
            catalog.resource_owner(endpoint, &asked.name).map(|owner| ToolName::new(owner, &asked.name))
        }
        (Target::Endpoint(endpoint), Kind::Tool | Kind::Prompt) => endpoint.resolve(&asked.name),
        // An upstream that no endpoint shows is not shown by REST either.
        (Target::Invoke, _) => ToolName::parse(&asked.name).filter(|tool| live.snapshot.routes.shows(&tool.upstream)),
    }
}
