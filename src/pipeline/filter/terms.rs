//! What an answer is judged by.

use super::Asker;
use crate::pipeline::session::line::Line;
use crate::pipeline::state::StateSeal;
use crate::pipeline::task::TaskSeal;
use bytes::Bytes;
use portcullis_core::catalog::Tool;
use portcullis_core::mcp::level::Level;
use portcullis_core::redact::{Plan, Unseen};
use portcullis_core::reject::Era;
use portcullis_core::tool::ToolName;
use std::sync::Arc;

/// Which families of revisions the two sides speak.
#[derive(Debug, Clone, Copy)]
pub struct Eras {
    /// The caller's.
    pub caller: Era,
    /// The upstream's.
    pub upstream: Era,
}

/// What an answer is judged by.
pub struct Terms {
    /// What is redacted.
    pub plan: Plan,
    /// What it may not hold at all.
    pub unseen: Unseen,
    /// The most bytes that it, or an event of it, may have.
    pub limit: usize,
    /// The raw id of the request.
    pub id: Bytes,
    /// How the caller talks to us.
    pub asker: Asker,
    /// What the two sides speak.
    pub eras: Eras,
    /// What was asked for.
    pub name: ToolName,
    /// The tool that was called, where it is one.
    pub tool: Option<Arc<Tool>>,
    /// What the caller says it can do, a raw object; `None` where it can't be asked for anything.
    pub capabilities: Option<Bytes>,
    /// What it may say of tasks.
    pub tasks: Tasks,
    /// What seals its state, where the caller gets one.
    pub states: Option<StateSeal>,
    /// What it may say before it is complete.
    pub talk: Talk,
    /// What passes beside it between the two sides, where the upstream speaks an older revision.
    pub line: Option<Line>,
    /// Whether a resource was read.
    pub reads: bool,
}

/// What an answer may say of tasks (SEP-2663).
pub enum Tasks {
    /// Nothing: the caller does not know of them.
    None,
    /// That the call has become one.
    Begun(TaskSeal),
    /// How one is.
    About(TaskSeal),
}

/// The news of a call that its caller asked for.
#[derive(Default)]
pub struct Talk {
    /// The raw token of its progress; `None` where no progress is to be told.
    pub progress: Option<Bytes>,
    /// The raw token by which the upstream knows it: the same, but for a call that goes on with another request of its
    /// caller's.
    pub known: Option<Bytes>,
    /// From which level on log messages are wanted; `None` where none are. An older client says so for its whole session,
    /// and an older upstream knows.
    pub logs: Option<Level>,
}

impl Talk {
    /// News of a call whose raw token of progress is `progress`, and log messages from `logs` on.
    pub fn of(progress: Option<Bytes>, logs: Option<Level>) -> Self {
        Self { known: progress.clone(), progress, logs }
    }
}
