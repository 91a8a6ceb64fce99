//! What a command that describes a call must find in the configuration.

use crate::config::premises::Premises;
use portcullis_core::tool::ToolName;

/// # Errors
/// There is no such upstream.
pub fn check_upstream(tool: &ToolName, premises: &Premises) -> Result<(), String> {
    let known = &premises.inventory.upstreams;
    if known.contains(&tool.upstream) {
        return Ok(());
    }
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    Err(format!("there is no upstream `{}`; there are: {}", tool.upstream, known.join(", ")))
}
