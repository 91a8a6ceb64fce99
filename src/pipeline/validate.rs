//! Stage 6: the arguments against the schema that the upstream's catalogue has for the tool, and the headers that repeat
//! arguments against them.

use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::limit::Admitted;
use crate::pipeline::record::Record;
use crate::pipeline::route::Call;
use crate::pipeline::state::Asked;
use crate::pipeline::task;
use crate::pipeline::{Gateway, Live};
use portcullis_core::catalog::{Absent, Catalog, Tool};
use portcullis_core::mcp::Body;
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
    /// The state that its upstream gave out and its client brought back, a raw JSON string.
    pub state: Option<Vec<u8>>,
    /// The call that its upstream asked what it brings, where people have agreed to that.
    pub asked: Option<Asked>,
}

/// Validates.
///
/// # Errors
/// [`Rejection::UnknownTool`] and its like where the upstream has no such thing, the same as [`Rejection::Quarantined`] where
/// it is held back, [`Rejection::UpstreamUnavailable`] where the upstream was never reached and so nothing is known of it, [`Rejection::InvalidArguments`] with the path that failed, [`Rejection::HeaderMismatch`]
/// for a header `Mcp-Param-*` that contradicts its argument (abuse case 32), [`Rejection::MethodNotFound`] for a subscription to
/// what no news come of.
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
    // Whatever it would answer: nothing would ever come of it.
    if matches!(call.request.message.body, Body::Subscribe { on: true, .. })
        && !catalog.upstreams.get(&call.tool.upstream).is_some_and(|upstream| upstream.about.offers().subscribe)
    {
        return Err(Rejection::MethodNotFound { era: call.request.message.era });
    }
    let Some(tool) = offered(&catalog, call)? else {
        return Ok(Valid { admitted, era, tool: None, state: None, asked: None });
    };
    record.catalogued(&call.tool);
    if call.task.is_some() && era == Era::Legacy {
        return Err(task::unknown());
    }
    if !call.is_use() {
        return Ok(Valid { admitted, era, tool: Some(tool), state: None, asked: None });
    }
    // Older revisions have no such headers, and nothing of what their clients send in one goes on.
    match (call.request.message.era, &call.request.target) {
        (_, Target::Invoke) => {}
        (Era::Modern, _) => tool.mirrored.check(&arrival.mcp_headers()?, call.arguments())?,
        (Era::Legacy, _) => tool.mirrored.check_given(&arrival.mcp_headers()?, call.arguments())?,
    }
    check(&tool, call.arguments())?;
    Ok(Valid { admitted, era, tool: Some(tool), state: None, asked: None })
}

/// What `call` calls, as `catalog` has it; `None` for a prompt or a resource.
///
/// # Errors
/// As [`step`], where it is not to be had.
pub fn offered(catalog: &Catalog, call: &Call) -> Result<Option<Arc<Tool>>, Rejection> {
    let absent = |absent| match absent {
        Absent::NeverListed => Rejection::UpstreamUnavailable,
        Absent::Unknown => call.unknown(),
        Absent::Quarantined => Rejection::Quarantined(Box::new(call.unknown())),
    };
    match call.asked.kind {
        Kind::Tool => catalog.tool(&call.tool).map(|tool| Some(Arc::clone(tool))).map_err(absent),
        Kind::Prompt => catalog.prompt(&call.tool).map(|_| None).map_err(absent),
        // A resource need not be listed to be read.
        Kind::Resource => Ok(None),
    }
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
