//! What is answered: status, headers and body, before any of it has a wire form; and how a refusal is put into words.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use portcullis_core::approval::{Invitation, Told, Way};
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::{Rejection, whole_secs};
use serde_json::{Value, json};

/// The key under which the page of an approval is asked for, which no upstream's own keys are told apart from: such a result
/// holds no other.
pub const APPROVAL_KEY: &str = "portcullis.approval";

/// The key of `_meta` that names the approval a call waits for.
pub const META_APPROVAL: &str = "portcullis/approval";

/// MCP 2025-11-25 "URL Elicitation Required Error".
const PAGE_REQUIRED: i32 = -32042;

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Its fields, but for framing and the ids that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// An answer with a JSON body.
    pub fn json(status: u16, body: Bytes) -> Self {
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers: vec![content_type], body }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// The same with one more field; a value that can't be one is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

/// How the caller talks to us, and so how refusals must look.
#[derive(Debug, Clone)]
pub enum Form {
    /// JSON-RPC, with the raw id of the request where it was read.
    Rpc(Option<Bytes>),
    /// Plain REST.
    Rest,
}

impl Form {
    /// `rejection`, as this caller can read it.
    pub fn refusal(&self, rejection: &Rejection) -> Reply {
        let rejection = rejection.shown();
        let row = rejection.row();
        let reply = match self {
            Self::Rpc(id) => Reply::json(row.status, rpc_refusal(id.as_deref(), rejection)),
            Self::Rest => {
                let mut error = json!({ "code": row.label, "message": rejection.text() });
                if let (Some(invitation), Some(error)) = (invitation(rejection), error.as_object_mut()) {
                    error.insert("approval".into(), about(invitation));
                }
                Reply::json(rest_status(rejection), json!({ "error": error }).to_string().into())
            }
        };
        match rejection {
            // Nothing is expected in answer to a response.
            Rejection::UnknownQuestion => Reply::empty(row.status),
            Rejection::MethodNotAllowed(allow) => reply.with(header::ALLOW, allow),
            _ => match rejection.retry_after() {
                Some(after) => reply.with(header::RETRY_AFTER, &whole_secs(after).to_string()),
                None => reply,
            },
        }
    }
}

/// REST callers read the status first, so what JSON-RPC says with 200 has a status of its own here.
fn rest_status(rejection: &Rejection) -> u16 {
    match rejection {
        Rejection::UnknownTool { .. } | Rejection::UnknownPrompt { .. } | Rejection::UnknownResource { .. } => 404,
        Rejection::InvalidArguments { .. } | Rejection::InputMissing(_) => 422,
        Rejection::NeedsApproval { .. } => 403,
        Rejection::Review(told) if told.is_result() => 403,
        _ => rejection.row().status,
    }
}

/// A refusal as a JSON-RPC response to the request with the raw id `id`.
pub fn rpc_refusal(id: Option<&[u8]>, rejection: &Rejection) -> Bytes {
    let text = rejection.text();
    if let Some(Invitation { id: approval, link, way, .. }) = invitation(rejection) {
        match way {
            Way::Result => {}
            Way::Input(state) => return input_required(id, link, &text, state),
            Way::Page => return page_required(id, approval, link, &text),
        }
    }
    // A call that only a person can let through is a result that the model reads, not an error of the protocol.
    let is_result = match rejection {
        Rejection::NeedsApproval { .. } => true,
        Rejection::Review(told) => told.is_result(),
        _ => false,
    };
    if is_result {
        let mut result =
            json!({ "content": [{ "type": "text", "text": text }], "isError": true, "resultType": "complete" });
        if let (Some(invitation), Some(result)) = (invitation(rejection), result.as_object_mut()) {
            result.insert("_meta".into(), json!({ META_APPROVAL: about(invitation) }));
        }
        return rpc_response(id, "result", &result);
    }
    let mut error = json!({ "code": rejection.row().code, "message": text });
    if let Some(data) = data(rejection)
        && let Some(error) = error.as_object_mut()
    {
        error.insert("data".into(), data);
    }
    rpc_response(id, "error", &error)
}

fn invitation(rejection: &Rejection) -> Option<&Invitation> {
    match rejection {
        Rejection::Review(told) => match &**told {
            Told::Pending(invitation) => Some(invitation),
            _ => None,
        },
        _ => None,
    }
}

/// An approval for programs to read.
fn about(invitation: &Invitation) -> Value {
    json!({ "id": invitation.id, "url": invitation.link })
}

/// Asks a client of 2026-07-28 to open the page, and to call once more with `state`.
fn input_required(id: Option<&[u8]>, link: &str, text: &str, state: &str) -> Bytes {
    let params = json!({ "mode": "url", "url": link, "message": text });
    let question = json!({ "method": "elicitation/create", "params": params });
    let result = json!({
        "resultType": "input_required",
        "inputRequests": { APPROVAL_KEY: question },
        "requestState": state,
    });
    rpc_response(id, "result", &result)
}

/// The same for a client of 2025-11-25, which then makes the call anew.
fn page_required(id: Option<&[u8]>, approval: &str, link: &str, text: &str) -> Bytes {
    let page = json!({ "mode": "url", "elicitationId": approval, "url": link, "message": text });
    let error = json!({ "code": PAGE_REQUIRED, "message": text, "data": { "elicitations": [page] } });
    rpc_response(id, "error", &error)
}

fn data(rejection: &Rejection) -> Option<Value> {
    match rejection {
        Rejection::UnsupportedVersion { requested } => {
            Some(json!({ "supported": Version::ALL.map(Version::as_str), "requested": requested }))
        }
        Rejection::MissingCapability(name) => Some(json!({ "requiredCapabilities": { "extensions": { *name: {} } } })),
        Rejection::RateLimited { retry_after } => Some(json!({ "retryAfter": whole_secs(*retry_after) })),
        Rejection::InvalidArguments { pointer, .. } => Some(json!({ "path": pointer })),
        _ => None,
    }
}

/// A JSON-RPC response to the request with the raw id `id`, whose `member` (`result` or `error`) is `value`.
pub fn rpc_response(id: Option<&[u8]>, member: &str, value: &Value) -> Bytes {
    rpc_response_raw(id, member, value.to_string().as_bytes())
}

/// The same for a value that is JSON text already.
pub fn rpc_response_raw(id: Option<&[u8]>, member: &str, value: &[u8]) -> Bytes {
    let id = id.unwrap_or(b"null");
    let mut out = Vec::with_capacity(value.len() + id.len() + 48);
    for part in [&b"{\"jsonrpc\":\"2.0\",\"id\":"[..], id, b",\"", member.as_bytes(), b"\":", value, b"}"] {
        out.extend_from_slice(part);
    }
    out.into()
}
