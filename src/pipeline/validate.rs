//! Stage 6: the arguments against the schema that the upstream's catalogue has for the tool, and the headers that repeat
//! arguments against them.

use crate::pipeline::arrival::Arrival;
use crate::pipeline::limit::Admitted;
use crate::pipeline::record::Record;
use crate::pipeline::task;
use crate::pipeline::{Gateway, Live};
use portcullis_core::catalog::{Absent, Tool};
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
/// [`Rejection::UnknownTool`] and its like where the upstream has no such thing, the same as [`Rejection::Quarantined`] where
/// it is held back, [`Rejection::UpstreamUnavailable`] where the upstream was never reached and so nothing is known of it, [`Rejection::InvalidArguments`] with the path that failed, [`Rejection::HeaderMismatch`]
/// for a header `Mcp-Param-*` that contradicts its argument (abuse case 32).
pub async fn step(
    gateway: &Gateway,
    live: &Live,
    arrival: &Arrival,
    admitted: Admitted,
    record: &mut Record,
) -> Result<Valid, Rejection> {
    let call = &admitted.authorised.call;
    let upstream = std::slice::from_ref(&call.tool.upstream);
    let asked_of = if call.asked.kind == Kind::Resource { &[] } else { upstream };
    let catalog = gateway.catalog_of(live, asked_of, &call.request.caller.principal).await;
    let era = catalog.era(&call.tool.upstream).ok_or(Rejection::UpstreamUnavailable)?;
    let absent = |absent| match absent {
        Absent::NeverListed => Rejection::UpstreamUnavailable,
        Absent::Unknown => call.unknown(),
        Absent::Quarantined => Rejection::Quarantined(Box::new(call.unknown())),
    };
    let tool = match call.asked.kind {
        Kind::Tool => catalog.tool(&call.tool).map_err(absent)?,
        Kind::Prompt => {
            catalog.prompt(&call.tool).map_err(absent)?;
            return Ok(Valid { admitted, era, tool: None });
        }
        // A resource need not be listed to be read.
        Kind::Resource => return Ok(Valid { admitted, era, tool: None }),
    };
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
    check(tool, call.arguments())?;
    let tool = Some(Arc::clone(tool));
    Ok(Valid { admitted, era, tool })
}

/// Checks arguments against the schema. One that is `null` counts as absent where the schema does not know what to do with
/// it: many clients write what is not given so, and MCP's own headers take it so (MCP 2026-07-28 "Custom Headers").
fn check(tool: &Tool, raw: &[u8]) -> Result<(), Rejection> {
    let mut arguments = match raw {
        [] => Value::Object(Map::new()),
        raw => serde_json::from_slice(raw).map_err(|_| Rejection::InvalidArguments {
            pointer: String::new(),
            problem: "a number in them is too large".into(),
        })?,
    };
    let mut valid = tool.validator.validate(&arguments);
    if valid.is_err()
        && let Some(members) = arguments.as_object_mut()
        && members.values().any(Value::is_null)
    {
        members.retain(|_, value| !value.is_null());
        valid = tool.validator.validate(&arguments);
    }
    valid.map_err(|violation| Rejection::InvalidArguments { pointer: violation.pointer, problem: violation.problem })
}
