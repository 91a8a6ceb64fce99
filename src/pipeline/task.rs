//! Tasks of upstreams (SEP-2663): a client holds a seal in place of the upstream's id, which says whose task it is and of
//! which tool. What is asked about a task goes through the same stages as the call that began it.

use crate::pipeline::Live;
use crate::secrets::seal::Seal;
use portcullis_core::mcp::extension::{self, TASKS};
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::tool::ToolName;

/// What the seal of a task's id is for.
const PURPOSE: &str = "task";

/// The task of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The tool that was called.
    pub tool: ToolName,
    /// The upstream's own id.
    pub id: String,
}

/// Seals the ids of the tasks that one tool gives out to one caller.
#[derive(Clone)]
pub struct TaskSeal {
    seal: Seal,
    identity: Vec<u8>,
    endpoint: String,
    tool: ToolName,
}

impl TaskSeal {
    /// For tasks that `tool` gives to `principal` at `endpoint`.
    pub fn new(live: &Live, principal: &Principal, endpoint: &str, tool: &ToolName) -> Self {
        Self::of(live.seal.clone(), principal.identity(), endpoint, tool)
    }

    /// The same, with what it is made from.
    pub fn of(seal: Seal, identity: Vec<u8>, endpoint: &str, tool: &ToolName) -> Self {
        Self { seal, identity, endpoint: endpoint.to_owned(), tool: tool.clone() }
    }

    /// The id that the client gets for the upstream's `id`.
    pub fn seal(&self, id: &str) -> Option<String> {
        let text = serde_json::to_vec(&(&self.tool.upstream, &self.tool.tool, id)).ok()?;
        self.seal.seal(PURPOSE, &[&self.identity, self.endpoint.as_bytes()], &text)
    }
}

/// The task that `principal` knows as `sealed` at `endpoint`.
///
/// # Errors
/// [`Rejection::InvalidParams`]: the spec's answer for a task that does not exist, and so ours for one of somebody else.
pub fn open(live: &Live, principal: &Principal, endpoint: &str, sealed: &str) -> Result<Task, Rejection> {
    let text = live.seal.open(PURPOSE, &[&principal.identity(), endpoint.as_bytes()], sealed).ok_or_else(unknown)?;
    let (upstream, tool, id): (String, String, String) = serde_json::from_slice(&text).map_err(|_| unknown())?;
    Ok(Task { tool: ToolName::new(upstream, tool), id })
}

/// How a task is refused that the caller may not know of.
pub fn unknown() -> Rejection {
    Rejection::InvalidParams("unknown task".into())
}

/// Whether a request whose `_meta` says `capabilities` may be about tasks.
///
/// # Errors
/// [`Rejection::MissingCapability`].
pub fn check_declared(capabilities: &[u8]) -> Result<(), Rejection> {
    if extension::is_declared(capabilities, TASKS) { Ok(()) } else { Err(Rejection::MissingCapability(TASKS)) }
}
