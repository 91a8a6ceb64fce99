//! What an older upstream asks outside of a call, in a session that is not a client's own: there is nobody to be asked, and
//! it is told so, lest it wait.

use super::parking::Held;
use crate::pipeline::record::Aside;
use crate::upstream::client::Stream;
use crate::upstream::session::Session;
use bytes::Bytes;
use portcullis_core::jsonrpc::{self, Answer, Limits};
use portcullis_core::mcp::sse;
use portcullis_core::reject::{Era, Rejection};
use serde_json::json;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The largest event that is read, in bytes.
const EVENT: usize = 256 << 10;
/// The pause before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause: each is twice the last.
const LONGEST: Duration = Duration::from_secs(60);

/// Attends to what the upstream of `session` asks outside of calls, until the session ends. Once is enough: all of it is
/// written down by `aside`, that of the first call which needs it. The process waits for `held` to be dropped.
pub fn attend(session: &Arc<Session>, aside: &Aside, held: impl FnOnce() -> Held) {
    if session.is_unattended() {
        tokio::spawn(listen(Arc::downgrade(session), aside.clone(), held()));
    }
}

async fn listen(session: Weak<Session>, aside: Aside, _held: Held) {
    let mut pause = PAUSE;
    while let Some(held) = session.upgrade() {
        let (stream, ended) = (held.listen(None).await, held.ended());
        // Nobody else may keep it by listening to it.
        drop(held);
        match stream {
            Ok(stream) if stream.status == 200 => {
                tokio::select! {
                    () = refuse_all(&session, stream, &aside) => pause = PAUSE,
                    // Its upstream need not end the stream then, or know of the end.
                    () = ended => return,
                }
            }
            // It has no such stream (MCP 2025-11-25 "Listening for Messages"), or does not know the session.
            Ok(_) => return,
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

async fn refuse_all(session: &Weak<Session>, mut stream: Stream, aside: &Aside) {
    let mut parser = sse::Parser::new(EVENT);
    while let Ok(Some(chunk)) = stream.chunk().await {
        let mut events = Vec::new();
        let parsed = parser.push(&chunk, &mut events);
        for data in events.into_iter().filter_map(|event| event.data) {
            let Ok(Answer::Request { id, method, .. }) = jsonrpc::answer(data.as_bytes(), &Limits::ANSWER) else {
                continue;
            };
            let id = id.of(data.as_bytes());
            let Some(session) = session.upgrade() else { return };
            let said = if method == "ping" {
                alive(id)
            } else {
                let rejection = Rejection::MethodNotFound { era: Era::Legacy };
                aside.refused_outside(&method, &session.pool().upstream.name, &rejection);
                refusal(id)
            };
            if let Err(failure) = session.post(said).await {
                tracing::debug!(upstream = session.pool().upstream.name, %failure, "an upstream could not be refused");
            }
        }
        if parsed.is_err() {
            return;
        }
    }
}

fn alive(id: &[u8]) -> Bytes {
    crate::pipeline::reply::rpc_response(Some(id), "result", &json!({}))
}

/// The refusal of the upstream's request with the raw id `id`.
pub fn refusal(id: &[u8]) -> Bytes {
    let error = json!({ "code": -32601, "message": "The client can't be asked for this" });
    crate::pipeline::reply::rpc_response(Some(id), "error", &error)
}
