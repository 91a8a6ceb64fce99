//! Stage 6: the arguments against the schema that the upstream's catalogue has for the tool, and the headers that repeat
//! arguments against them.

use crate::pipeline::Gateway;
use crate::pipeline::arrival::Arrival;
use crate::pipeline::limit::Admitted;
use crate::pipeline::record::Record;
use crate::pipeline::task;
use portcullis_core::catalog::Tool;
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::Kind;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A call whose arguments fit.
pub struct Valid {
    /// The call.
    pub admitted: Admitted,
    /// What its upstream speaks.
    pub era: Era,
    /// The tool as its upstream describes it; `None` for a prompt or a resource.
    pub tool: Option<Arc<Tool>>,
}

/// Validates.
///
/// # Errors
/// [`Rejection::UnknownTool`] where the upstream has no such tool, [`Rejection::UpstreamUnavailable`] where it was never
/// reached and so nothing is known of its tools, [`Rejection::InvalidArguments`] with the path that failed, [`Rejection::HeaderMismatch`]
/// for a header `Mcp-Param-*` that contradicts its argument (abuse case 32).
pub fn step(gateway: &Gateway, arrival: &Arrival, admitted: Admitted, record: &mut Record) -> Result<Valid, Rejection> {
    let call = &admitted.authorised.call;
    let catalog = gateway.catalog.load();
    let upstream = catalog.upstreams.get(&call.tool.upstream).ok_or(Rejection::UpstreamUnavailable)?;
    let era = upstream.era;
    let Kind::Tool = call.asked.kind else { return Ok(Valid { admitted, era, tool: None }) };
    let tool = upstream.tools.get(&call.tool.tool).ok_or_else(|| call.unknown())?;
    record.catalogued(&call.tool);
    if call.task.is_some() && era == Era::Legacy {
        return Err(task::unknown());
    }
    if !call.is_use() {
        let tool = Some(Arc::clone(tool));
        return Ok(Valid { admitted, era, tool });
    }
    // Older revisions have no such headers, and nothing of what their clients send in one goes on.
    if call.request.message.era == Era::Modern {
        tool.mirrored.check(&arrival.mcp_headers()?, call.arguments())?;
    }
    let arguments = match call.arguments() {
        [] => Value::Object(Map::new()),
        raw => serde_json::from_slice(raw).map_err(|_| Rejection::InvalidArguments {
            pointer: String::new(),
            problem: "a number in them is too large".into(),
        })?,
    };
    tool.validator
        .validate(&arguments)
        .map_err(|violation| Rejection::InvalidArguments { pointer: violation.pointer, problem: violation.problem })?;
    let tool = Some(Arc::clone(tool));
    Ok(Valid { admitted, era, tool })
}
