//! What a client says within its session that is no call: answers to what it was asked, that a request is taken back, that
//! its roots have changed, which log messages it wants.
//!
//! It is for upstreams with which the session has sessions, and recorded as every exchange is: before it leaves, and after.

use crate::pipeline::parse::Request;
use crate::pipeline::record::Record;
use crate::pipeline::reply::{Reply, rpc_response};
use crate::pipeline::session::ClientSession;
use crate::pipeline::session::questions::{Asker, Question};
use crate::pipeline::session::running::Order;
use crate::pipeline::session::standing::open_sessions;
use crate::pipeline::session::wishes::set_level;
use crate::pipeline::{Gateway, Live, limit};
use crate::upstream::session::Session;
use bytes::Bytes;
use futures::future::join_all;
use portcullis_core::jsonrpc::Span;
use portcullis_core::mcp::Body;
use portcullis_core::mcp::rewrite::splice;
use portcullis_core::reject::Rejection;
use serde_json::json;
use std::sync::Arc;

/// Whether `request` is for here.
pub fn is_said(request: &Request) -> bool {
    match &request.message.body {
        Body::Response | Body::SetLevel { .. } => true,
        Body::Notification { method } => request.session.is_some() && is_passed_on(method),
        _ => false,
    }
}

fn is_passed_on(notification: &str) -> bool {
    matches!(notification, CANCELLED | ROOTS_CHANGED)
}

const CANCELLED: &str = "notifications/cancelled";
const ROOTS_CHANGED: &str = "notifications/roots/list_changed";

/// Passes on what is said.
///
/// # Errors
/// As the limits say, [`Rejection::UnknownQuestion`], [`Rejection::InvalidParams`], [`Rejection::JournalUnavailable`],
/// [`Rejection::UpstreamUnavailable`] where it does not arrive.
pub async fn step(gateway: &Gateway, live: &Live, request: Request, record: &mut Record) -> Result<Reply, Rejection> {
    limit::message(gateway, live, &request.caller, request.target.name())?;
    let session = request.session.clone();
    match (&request.message.body, session) {
        (Body::Response, Some(session)) => answer(live, &session, &request, record).await,
        (Body::Response, None) => Err(Rejection::InvalidRequest("no request is open that this could answer")),
        (Body::SetLevel { level }, Some(session)) => log_from(gateway, &session, level, &request, record).await,
        (Body::SetLevel { .. }, None) => Err(Rejection::InvalidRequest("send initialize first; this is of a session")),
        (Body::Notification { method }, Some(session)) if method == CANCELLED => {
            cancel(&session, &request, record).await
        }
        (Body::Notification { .. }, Some(session)) if session.capabilities.roots_changed => {
            let open = open_sessions(gateway, request.target.name(), &session);
            let sent = open.into_iter().map(|upstream| (upstream, request.body.clone())).collect();
            post_all(sent, record).await.map(|()| Reply::empty(202))
        }
        _ => Ok(Reply::empty(202)),
    }
}

/// The answer to a question goes to whoever asked it, once.
async fn answer(
    live: &Live,
    session: &ClientSession,
    request: &Request,
    record: &mut Record,
) -> Result<Reply, Rejection> {
    let id = request.frame.id.ok_or(Rejection::UnknownQuestion)?;
    if live.unseen.is_in(&request.body) {
        return Err(Rejection::InvalidRequest("it holds what may not be passed on"));
    }
    let question = session.questions.take(id.of(&request.body)).ok_or(Rejection::UnknownQuestion)?;
    let Question { method, asker, .. } = question;
    record.method(&method);
    match asker {
        Asker::Task(task) => {
            // Where the task has ended, it does not wait any more.
            task.send(request.body.clone()).map_err(|_| Rejection::UnknownQuestion)?;
        }
        Asker::Upstream { session: upstream, id: theirs } => {
            let message = renamed(request, id, &theirs);
            post_all(vec![(upstream, message)], record).await?;
        }
    }
    Ok(Reply::empty(202))
}

/// A client takes back what it asked for itself, in this session.
async fn cancel(session: &ClientSession, request: &Request, record: &mut Record) -> Result<Reply, Rejection> {
    let id = request.frame.params.as_ref().and_then(|params| params.value("requestId"));
    let id = id.ok_or(Rejection::InvalidParams("requestId is missing".into()))?;
    let runs = session.running.with_id(id.of(&request.body));
    let upstream = |run: &Arc<super::running::Run>| {
        let upstream = run.upstream.lock().clone()?;
        Some((upstream, renamed(request, id, &run.upstream_id)))
    };
    let told = post_all(runs.iter().filter_map(upstream).collect(), record).await;
    for run in runs {
        run.order(Order::Cancel);
        drop(session.keep.take(run.stream));
    }
    told.map(|()| Reply::empty(202))
}

async fn log_from(
    gateway: &Gateway,
    session: &ClientSession,
    level: &str,
    request: &Request,
    record: &mut Record,
) -> Result<Reply, Rejection> {
    if !session.wishes.log_from(level) {
        return Err(Rejection::InvalidParams("no such level".into()));
    }
    let open = open_sessions(gateway, request.target.name(), session).into_iter().filter(|upstream| upstream.logs);
    post_all(open.map(|upstream| (upstream, set_level(level))).collect(), record).await?;
    Ok(Reply::json(200, rpc_response(request.id().as_deref(), "result", &json!({}))))
}

/// The request's bytes with `with` in the place of `span`.
fn renamed(request: &Request, span: Span, with: &Bytes) -> Bytes {
    splice(&request.body, vec![(span, with.to_vec())]).into()
}

/// Sends each message, once the record says so.
async fn post_all(messages: Vec<(Arc<Session>, Bytes)>, record: &mut Record) -> Result<(), Rejection> {
    if messages.is_empty() {
        return Ok(());
    }
    if let [(upstream, _)] = messages.as_slice() {
        record.upstream(&upstream.pool().upstream.name);
    }
    record.intend().await?;
    record.sent();
    let sent = messages.into_iter().map(|(upstream, message)| async move { post(&upstream, message).await });
    join_all(sent).await.into_iter().collect()
}

async fn post(upstream: &Session, message: Bytes) -> Result<(), Rejection> {
    match upstream.post(message).await {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        answer => {
            let (upstream, status) = (&upstream.pool().upstream.name, answer.map(|answer| answer.status).ok());
            tracing::warn!(upstream, status, "a message of a client's was not taken");
            Err(Rejection::UpstreamUnavailable)
        }
    }
}
