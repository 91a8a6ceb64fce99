//! What a request asks of one thing that an upstream offers: to call a tool, to fetch a prompt, to read a resource, or to
//! complete an argument of one.

use super::TaskAsked;
use super::method::Method;
use crate::jsonrpc::{Frame, Limits, Object, Span, parse_value, string};
use crate::reject::Rejection;
use crate::tool::Kind;

/// The longest name of a tool or prompt, in bytes. MCP asks for at most 128; a virtual endpoint puts the upstream's name
/// before.
pub const NAME_BYTES: usize = 256;
/// The longest URI of a resource, in bytes.
pub const URI_BYTES: usize = 4096;

/// The parameters of `tools/call`, `prompts/get`, `resources/read` or `completion/complete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it is asked of.
    pub kind: Kind,
    /// Its name, or its URI: not empty, of bounded length, no control characters.
    pub name: String,
    /// Where the name stands, quotes included.
    pub name_span: Span,
    /// The arguments, always an object; `None` where they are absent, and for a completion.
    pub arguments: Option<Span>,
    /// Whether an argument of it is to be completed: what that shows is what the thing itself would.
    pub completes: bool,
    /// Whether it asks to run as a task, as 2025-11-25 has it.
    pub has_task: bool,
    /// Answers to an earlier `input_required`, always an object (MCP 2026-07-28 "Multi Round-Trip Requests").
    pub input_responses: Option<Span>,
    /// The state that an earlier `input_required` gave out, always a string. The caller may have made it up.
    pub request_state: Option<Span>,
    /// The token that progress is to be reported with.
    pub progress_token: Option<Span>,
}

impl Asked {
    /// From the parameters of `frame`, whose method is one of those that ask for something; `None` for any other.
    pub(super) fn read(body: &[u8], frame: &Frame, method: &Method) -> Option<Result<Self, Rejection>> {
        let kind = match method {
            Method::ToolsCall => Kind::Tool,
            Method::PromptsGet => Kind::Prompt,
            Method::ResourcesRead => Kind::Resource,
            Method::Complete => return Some(params(frame).and_then(|params| Self::completion(body, frame, params))),
            _ => return None,
        };
        Some(params(frame).and_then(|params| Self::of(kind, body, frame, params)))
    }

    /// What is asked about a task of the tool `name`: nothing of the call itself is in it.
    pub fn about_task(name: &str, task: &TaskAsked) -> Self {
        Self {
            kind: Kind::Tool,
            name: name.to_owned(),
            name_span: task.span,
            arguments: None,
            completes: false,
            has_task: false,
            input_responses: None,
            request_state: None,
            progress_token: None,
        }
    }

    /// The resource that `frame` names in `uri`.
    pub(super) fn resource(body: &[u8], frame: &Frame) -> Result<Self, Rejection> {
        params(frame).and_then(|params| Self::of(Kind::Resource, body, frame, params))
    }

    fn of(kind: Kind, body: &[u8], frame: &Frame, params: &Object) -> Result<Self, Rejection> {
        let (name, name_span) = read_name(body, params, kind)?;
        Ok(Self {
            kind,
            name,
            name_span,
            arguments: member(body, params, "arguments", b'{', "arguments must be an object")?,
            completes: false,
            has_task: params.value("task").is_some(),
            input_responses: member(body, params, "inputResponses", b'{', "inputResponses must be an object")?,
            request_state: member(body, params, "requestState", b'"', "requestState must be a string")?,
            progress_token: frame.meta.as_ref().and_then(|meta| meta.value("progressToken")),
        })
    }

    /// What is completed is named in `ref` (MCP "Completion").
    fn completion(body: &[u8], frame: &Frame, params: &Object) -> Result<Self, Rejection> {
        let refuse = || Rejection::InvalidParams("ref must name a prompt or a resource".into());
        let span = params.value("ref").ok_or_else(refuse)?;
        let raw = span.of(body);
        // Read on its own: its members must be as unambiguous as those of the envelope.
        let object = parse_value(raw, &Limits::default())?.ok_or_else(refuse)?;
        let kind = object.value("type").and_then(|kind| string(kind.of(raw))).ok_or_else(refuse)?;
        let kind = match kind.as_ref() {
            "ref/prompt" => Kind::Prompt,
            "ref/resource" => Kind::Resource,
            _ => return Err(refuse()),
        };
        let (name, at) = read_name(raw, &object, kind)?;
        Ok(Self {
            kind,
            name,
            name_span: Span { start: span.start + at.start, end: span.start + at.end },
            arguments: None,
            completes: true,
            has_task: false,
            input_responses: None,
            request_state: None,
            progress_token: frame.meta.as_ref().and_then(|meta| meta.value("progressToken")),
        })
    }
}

fn params(frame: &Frame) -> Result<&Object, Rejection> {
    frame.params.as_ref().ok_or(Rejection::InvalidParams("params is missing".into()))
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

fn read_name(body: &[u8], params: &Object, kind: Kind) -> Result<(String, Span), Rejection> {
    let (key, longest, otherwise) = match kind {
        Kind::Tool | Kind::Prompt => ("name", NAME_BYTES, "name must be a short string without control characters"),
        Kind::Resource => ("uri", URI_BYTES, "uri must be a string without control characters, of bounded length"),
    };
    let refuse = || Rejection::InvalidParams(otherwise.into());
    let span = params.value(key).ok_or_else(refuse)?;
    let name = string(span.of(body)).ok_or_else(refuse)?;
    // A reader in C would take the name to end there, and run another tool.
    if name.contains('\0') {
        return Err(Rejection::InvalidRequest("a name holds NUL"));
    }
    if name.is_empty() || name.len() > longest || name.contains(char::is_control) {
        return Err(refuse());
    }
    Ok((name.into_owned(), span))
}
