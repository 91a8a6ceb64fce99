//! What MCP says of a message: its era, its revision, what it asks for, and whether its headers agree with it.
//!
//! The body is the truth. Headers can refuse a request and never decide anything else.

pub mod asked;
pub mod asking;
pub mod capabilities;
mod classify;
pub mod extension;
pub mod headers;
pub mod level;
pub mod method;
pub mod mirror;
pub mod news;
pub mod rewrite;
pub mod rounds;
pub mod sse;
pub mod version;

#[cfg(test)]
mod tests;

pub use classify::classify;

use crate::jsonrpc::Span;
use crate::reject::Era;
use asked::Asked;
use version::Version;

/// The key of `_meta` that names the revision.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The key of `_meta` that says what the client can do.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The key of `_meta` that says what the server is called.
pub const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
/// The key of `_meta` that says from which level on log messages are wanted.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// The key of `_meta` that says what the client is called. Never proof of who calls.
pub const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";

/// A message whose meaning is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its era.
    pub era: Era,
    /// Its revision: what the body says, else what the header says, else [`Version::ASSUMED`].
    pub version: Version,
    /// The id as written; `None` in a notification.
    pub id: Option<Span>,
    /// What the client says it can do, an object: of `_meta` in a modern request, of `params` in `initialize`.
    pub capabilities: Option<Span>,
    /// What it asks for.
    pub body: Body,
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The handshake, legacy.
    Initialize {
        /// The revision that the client would like; see [`version::negotiate`].
        requested: String,
    },
    /// A sign of life, legacy.
    Ping,
    /// What the server is and can do, modern.
    Discover,
    /// The tools.
    ToolsList {
        /// Where to go on.
        cursor: Option<String>,
    },
    /// The prompts.
    PromptsList {
        /// Where to go on.
        cursor: Option<String>,
    },
    /// The resources.
    ResourcesList {
        /// Where to go on.
        cursor: Option<String>,
    },
    /// The templates of resources.
    TemplatesList {
        /// Where to go on.
        cursor: Option<String>,
    },
    /// To use one thing that an upstream offers.
    Ask(Asked),
    /// News of one's own choice, modern.
    Listen,
    /// News of one resource, legacy.
    Subscribe {
        /// The resource.
        asked: Asked,
        /// Whether news are wanted, or not any more.
        on: bool,
    },
    /// Which log messages are wanted, legacy.
    SetLevel {
        /// From which level on.
        level: String,
    },
    /// Something about a task.
    Task(TaskAsked),
    /// An answer to what the upstream asked the client, legacy.
    Response,
    /// A notification.
    Notification {
        /// Its method; begins with `notifications/`.
        method: String,
    },
    /// Any other request.
    Unknown {
        /// Its method.
        method: String,
    },
}

/// What is asked about a task (SEP-2663).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAsked {
    /// The task's id. The caller may have made it up.
    pub id: String,
    /// Where it stands, quotes included.
    pub span: Span,
}
