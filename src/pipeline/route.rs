//! Stage 3: from an endpoint and a tool's name to an upstream and the upstream's own name, or to an answer of our own.

use crate::pipeline::Live;
use crate::pipeline::arrival::Target;
use crate::pipeline::parse::Request;
use crate::pipeline::record::Record;
use crate::upstream::pool::Pool;
use portcullis_core::mcp::Body;
use portcullis_core::mcp::tool::ToolCall;
use portcullis_core::reject::Rejection;
use portcullis_core::tool::ToolName;
use std::sync::Arc;

/// Where a request goes.
pub enum Routed {
    /// Nowhere: the gateway answers it.
    Local(Request),
    /// To an upstream, if all goes well.
    Call(Call),
}

/// A call of a tool that may exist.
pub struct Call {
    /// The request.
    pub request: Request,
    /// What it calls, and with what.
    pub asked: ToolCall,
    /// The tool it means.
    pub tool: ToolName,
    /// The replicas of the tool's upstream.
    pub pool: Arc<Pool>,
}

impl Call {
    /// The arguments' bytes; empty where there are none.
    pub fn arguments(&self) -> &[u8] {
        self.asked.arguments.map_or(&[], |span| span.of(&self.request.body))
    }

    /// How the tool is refused to a caller that may not know of it.
    pub fn unknown(&self) -> Rejection {
        Rejection::UnknownTool { name: self.asked.name.clone() }
    }
}

/// Routes.
///
/// # Errors
/// [`Rejection::UnknownTool`] where no upstream can be meant, [`Rejection::MethodNotFound`] for a method not served here.
pub fn step(live: &Live, request: Request, record: &mut Record) -> Result<Routed, Rejection> {
    let asked = match &request.message.body {
        Body::ToolsCall(asked) => asked.clone(),
        Body::Unknown { .. } => return Err(Rejection::MethodNotFound { era: request.message.era }),
        _ => return Ok(Routed::Local(request)),
    };
    if asked.has_task {
        return Err(Rejection::InvalidParams("tasks are not served here".into()));
    }
    let tool = resolve(live, &request.target, &asked.name);
    let found = tool.and_then(|tool| Some((live.pools.0.get(&tool.upstream).cloned()?, tool)));
    let (pool, tool) = found.ok_or_else(|| Rejection::UnknownTool { name: asked.name.clone() })?;
    record.tool(&tool);
    let call = Call { request, asked, tool, pool };
    record.arguments(&live.snapshot, call.arguments());
    Ok(Routed::Call(call))
}

fn resolve(live: &Live, target: &Target, name: &str) -> Option<ToolName> {
    match target {
        Target::Endpoint(endpoint) => endpoint.resolve(name),
        // An upstream that no endpoint shows is not shown by REST either.
        Target::Invoke => ToolName::parse(name).filter(|tool| live.snapshot.routes.shows(&tool.upstream)),
    }
}
