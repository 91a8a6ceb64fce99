//! A call of a tool, as its parameters give it.

use crate::jsonrpc::{Frame, Object, Span, string};
use crate::reject::Rejection;

/// The longest name of a tool, in bytes. MCP asks for at most 128; a virtual endpoint puts the upstream's name before.
pub const NAME_BYTES: usize = 256;

/// The parameters of `tools/call`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name: not empty, at most [`NAME_BYTES`] bytes, no control characters.
    pub name: String,
    /// Where the name stands, quotes included.
    pub name_span: Span,
    /// The arguments, always an object; `None` where they are absent.
    pub arguments: Option<Span>,
    /// Whether it asks to run as a task, as 2025-11-25 has it.
    pub has_task: bool,
    /// Answers to an earlier `input_required`, always an object (MCP 2026-07-28 "Multi Round-Trip Requests").
    pub input_responses: Option<Span>,
    /// The state that an earlier `input_required` gave out, always a string. The caller may have made it up.
    pub request_state: Option<Span>,
    /// The token that progress is to be reported with.
    pub progress_token: Option<Span>,
}

impl ToolCall {
    /// From the parameters of `frame`.
    pub(super) fn read(body: &[u8], frame: &Frame) -> Result<Self, Rejection> {
        let Some(params) = &frame.params else { return Err(Rejection::InvalidParams("params is missing".into())) };
        let (name, name_span) = read_name(body, params)?;
        Ok(Self {
            name,
            name_span,
            arguments: member(body, params, "arguments", b'{', "arguments must be an object")?,
            has_task: params.value("task").is_some(),
            input_responses: member(body, params, "inputResponses", b'{', "inputResponses must be an object")?,
            request_state: member(body, params, "requestState", b'"', "requestState must be a string")?,
            progress_token: frame.meta.as_ref().and_then(|meta| meta.value("progressToken")),
        })
    }
}

/// The member `key`, which begins with `first` or is absent.
fn member(
    body: &[u8],
    params: &Object,
    key: &str,
    first: u8,
    otherwise: &'static str,
) -> Result<Option<Span>, Rejection> {
    match params.value(key) {
        Some(value) if value.of(body).first() != Some(&first) => Err(Rejection::InvalidParams(otherwise.into())),
        value => Ok(value),
    }
}

fn read_name(body: &[u8], params: &Object) -> Result<(String, Span), Rejection> {
    let refuse = || Rejection::InvalidParams("name must be a short string without control characters".into());
    let span = params.value("name").ok_or_else(refuse)?;
    let name = string(span.of(body)).ok_or_else(refuse)?;
    // A reader in C would take the name to end there, and run another tool.
    if name.contains('\0') {
        return Err(Rejection::InvalidRequest("a name holds NUL"));
    }
    if name.is_empty() || name.len() > NAME_BYTES || name.contains(char::is_control) {
        return Err(refuse());
    }
    Ok((name.into_owned(), span))
}
