//! Previews: read-only tools that show what another would do, so that whoever agrees to a call sees more than its arguments.

use crate::glob::Glob;
use crate::policy::document::ToolDocument;
use crate::tool::ToolName;

/// What is called, with the same arguments, before people are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The tool; of class `read`.
    pub tool: ToolName,
    /// Whether nobody is asked without its result.
    pub required: bool,
}

/// The previews of all tools.
#[derive(Debug, Default)]
pub struct Previews(Vec<(Glob, Option<Preview>)>);

impl Previews {
    /// As written. What names no tool is none here: the compiler of the policy reports it.
    pub(super) fn new(documents: &[ToolDocument]) -> Self {
        let preview = |document: &ToolDocument| {
            let tool = ToolName::parse(document.dry_run.as_deref()?)?;
            Some(Preview { tool, required: document.dry_run_required })
        };
        Self(documents.iter().map(|document| (Glob::new(&document.pattern), preview(document))).collect())
    }

    /// That of `tool`: the first entry that matches describes it, in this too.
    pub fn of(&self, tool: &ToolName) -> Option<&Preview> {
        let name = tool.to_string();
        self.0.iter().find(|(glob, _)| glob.matches(&name))?.1.as_ref()
    }
}
