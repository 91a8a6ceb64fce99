//! The envelope of a message from an upstream.

use super::frame::{Kind, check_id, check_version, kind, read_method};
use super::scan::{Watch, scan};
use super::{Limits, Object, Span, lookalike};
use crate::reject::Rejection;

/// A message from an upstream. Its bytes are proven as strictly as a client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The call's result, always an object.
    Result {
        /// The id as written.
        id: Span,
        /// `result`.
        result: Object,
        /// `result._meta`, where it is there.
        meta: Option<Object>,
    },
    /// The call's error.
    Error {
        /// The id as written; `None` where the upstream could not read ours.
        id: Option<Span>,
        /// `error`.
        error: Object,
    },
    /// A notification.
    Notification {
        /// Its method.
        method: String,
        /// `params`.
        params: Option<Object>,
    },
    /// A request to the client (legacy revisions only).
    Request {
        /// The id as written.
        id: Span,
        /// Its method.
        method: String,
        /// `params`.
        params: Option<Object>,
    },
}

/// Reads a message of an upstream.
///
/// # Errors
/// [`Rejection::ResponseUnreadable`].
pub fn answer(body: &[u8], limits: &Limits) -> Result<Answer, Rejection> {
    read(body, limits).map_err(|rejection| match rejection {
        Rejection::InvalidRequest(reason) => Rejection::ResponseUnreadable(reason),
        Rejection::ParseError => Rejection::ResponseUnreadable("the answer is not JSON"),
        other => other,
    })
}

fn read(body: &[u8], limits: &Limits) -> Result<Answer, Rejection> {
    let found = scan(body, limits, &Watch { child: &["result", "error", "params"], grandchild: "_meta" })?;
    let unreadable = |reason| Err(Rejection::ResponseUnreadable(reason));
    let Some(root) = found.root else { return unreadable("the answer is not an object") };
    check_version(body, &root)?;
    let kind = kind(&root)?;
    let lookalike = root.has_lookalike(lookalike::ENVELOPE)
        || (root.value("result").is_some()
            && found.child.as_ref().is_some_and(|result| result.has_lookalike(lookalike::RESULT)));
    if lookalike {
        return unreadable("a key differs from one of the protocol by case alone");
    }
    // What stands beside the parts that JSON-RPC knows is in no place where policy looks for fields.
    if !only(&root, &["jsonrpc", "id", "result", "error", "method", "params"]) {
        return unreadable("a member that JSON-RPC does not know");
    }
    let id = match root.value("id") {
        Some(id) if kind == Kind::Response && id.of(body) == b"null" => None,
        Some(id) => Some(check_id(id.of(body), limits).map(|()| id)?),
        None => None,
    };
    if kind == Kind::Response {
        let Some(child) = found.child else { return unreadable("result or error is not an object") };
        return match (root.value("result"), id) {
            (Some(_), Some(id)) => Ok(Answer::Result { id, result: child, meta: found.grandchild }),
            (Some(_), None) => unreadable("a result without an id"),
            (None, _) if !only(&child, &["code", "message", "data"]) => {
                unreadable("a member of the error that JSON-RPC does not know")
            }
            (None, id) => Ok(Answer::Error { id, error: child }),
        };
    }
    let params = found.child;
    if root.value("params").is_some() && params.is_none() {
        return unreadable("params is not an object");
    }
    let method = read_method(root.value("method").map_or(&[], |method| method.of(body)))?;
    Ok(match id {
        Some(id) => Answer::Request { id, method, params },
        None => Answer::Notification { method, params },
    })
}

fn only(object: &Object, known: &[&str]) -> bool {
    object.members.iter().all(|member| known.contains(&member.key.as_str()))
}

#[cfg(test)]
mod tests;
