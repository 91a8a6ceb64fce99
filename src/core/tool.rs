//! What a tool is called and what policy says it is; prompts and resources are named and judged in the same way.

use crate::job::Terms;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an upstream offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A tool, which is called.
    Tool,
    /// A prompt, which is fetched. It reads.
    Prompt,
    /// A resource, or a template of resources, which is read.
    Resource,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tool, Self::Prompt, Self::Resource];

    /// The name in policy, audit and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        }
    }

    /// The method by which one is used. Whoever asks whether one is visible asks as if it were used.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/call",
            Self::Prompt => "prompts/get",
            Self::Resource => "resources/read",
        }
    }
}

/// A tool's name in policy and audit: the upstream's configured name and the upstream's own name of the tool. A prompt is
/// named in the same way, and so is a resource or a template, whose own name is its URI.
///
/// The upstream comes first and never holds a dot (checked at load), so `upstream.tool` reads one way only, whatever
/// dots the upstream's own name holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolName {
    /// The upstream, as `upstreams.yaml` names it.
    pub upstream: String,
    /// The tool, as its upstream names it.
    pub tool: String,
}

impl ToolName {
    /// The tool `tool` of `upstream`.
    pub fn new(upstream: impl Into<String>, tool: impl Into<String>) -> Self {
        Self { upstream: upstream.into(), tool: tool.into() }
    }

    /// Reads `upstream.tool`; `None` where either part is missing.
    pub fn parse(qualified: &str) -> Option<Self> {
        let (upstream, tool) = qualified.split_once('.')?;
        (!upstream.is_empty() && !tool.is_empty()).then(|| Self::new(upstream, tool))
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.upstream, self.tool)
    }
}

/// What a tool does to the world. Said by policy; an upstream's annotations are hints and never trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Changes nothing.
    Read,
    /// Changes something that can be changed back.
    Write,
    /// Destroys something. A tool that policy does not classify counts as this.
    Destructive,
}

impl Class {
    /// The name in policy, audit and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

/// How bad it is when a call of the tool was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The default of class `read`.
    Low,
    /// The default of class `write`.
    Medium,
    /// The default of class `destructive`.
    High,
    /// Never a default.
    Critical,
}

impl Severity {
    /// The name in policy and audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How calls of a tool run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each becomes a durable job, which the caller asks for later.
    Job,
}

/// What policy says a tool is. Prompts and resources are what [`Traits::READS`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// What it does to the world.
    pub class: Class,
    /// How bad a wrong call is.
    pub severity: Severity,
    /// Its answers hold personal data.
    pub pii: bool,
    /// Whether policy classifies it; if not, the values above are the strictest defaults.
    pub classified: bool,
    /// Whether each call of it becomes a job.
    pub job: bool,
    /// How often a job of it may be tried.
    pub tries: Terms,
}

impl Traits {
    /// What prompts and resources are: MCP has no way for them to change anything.
    pub const READS: Self = Self {
        class: Class::Read,
        severity: Severity::Low,
        pii: false,
        classified: true,
        job: false,
        tries: Terms::DEFAULT,
    };
}
