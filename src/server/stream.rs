//! Writes what a feed says to its client: a whole answer, or events as they come, with signs of life between them; and sees
//! that a client leaves for whom nothing is written yet.

use crate::pipeline::feed::{Feed, Nature, Word};
use crate::pipeline::presence::Presence;
use crate::pipeline::reply::Reply;
use crate::server::drain::{Drain, Phase};
use crate::server::reply::Head;
use bytes::Bytes;
use pingora::Result;
use pingora::proxy::Session;
use portcullis_core::mcp::sse::SIGN_OF_LIFE;
use portcullis_core::reject::Rejection;
use std::time::{Duration, Instant};

/// What the server does next.
enum Turn {
    Say(Option<Word>),
    Silent,
    Left,
    Stop(Rejection),
}

/// Writes all that `feed` says. `pause` is the longest silence.
///
/// # Errors
/// The client has left.
pub async fn write(
    session: &mut Session,
    head: &Head,
    mut feed: Feed,
    drain: &Drain,
    pause: Duration,
) -> Result<Option<Reply>> {
    let mut begun = false;
    let mut stopped = false;
    loop {
        match turn(session, &mut feed, drain, pause, stopped).await {
            Turn::Say(Some(Word::Whole(reply))) if !begun => return Ok(Some(reply)),
            Turn::Say(Some(Word::Events(events))) => {
                begin(session, head, &mut begun).await?;
                body(session, events, false).await?;
            }
            Turn::Say(None) if begun => return body(session, Bytes::new(), true).await.map(|()| None),
            // It broke down before it said anything.
            Turn::Say(_) => return Ok(Some(crate::pipeline::reply::Form::Rpc(None).refusal(&Rejection::Internal))),
            Turn::Silent if begun => body(session, Bytes::from_static(SIGN_OF_LIFE), false).await?,
            Turn::Silent => {}
            Turn::Left => return pingora::Error::e_explain(pingora::ErrorType::ConnectionClosed, "the client left"),
            Turn::Stop(why) => {
                feed.stop(why);
                stopped = true;
            }
        }
    }
}

/// Runs `stages`, and tells them that the client has left, where they want to know.
pub async fn attended<T>(session: &mut Session, presence: &Presence, stages: impl Future<Output = T>) -> T {
    let mut stages = std::pin::pin!(stages);
    tokio::select! {
        biased;
        done = &mut stages => return done,
        () = presence.asked() => {}
    }
    tokio::select! {
        biased;
        done = &mut stages => return done,
        // As in `turn`.
        _ = session.downstream_session.read_body_or_idle(true) => presence.leave(),
    }
    // Whatever came, the connection is not at the beginning of a request.
    session.set_keepalive(None);
    stages.await
}

async fn turn(session: &mut Session, feed: &mut Feed, drain: &Drain, pause: Duration, stopped: bool) -> Turn {
    let phase = if feed.nature == Nature::Standing { Phase::Ending } else { Phase::Cutting };
    let until = feed.until;
    tokio::select! {
        biased;
        word = feed.next() => Turn::Say(word),
        // What is read here can only be the connection's end: the request's body was read before.
        _ = session.downstream_session.read_body_or_idle(true) => Turn::Left,
        () = drain.reached(phase), if !stopped => Turn::Stop(Rejection::ShuttingDown),
        () = at(until), if !stopped => Turn::Stop(Rejection::Unauthenticated { reason: "expired" }),
        () = tokio::time::sleep(pause) => Turn::Silent,
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

async fn begin(session: &mut Session, head: &Head, begun: &mut bool) -> Result<()> {
    if !*begun {
        session.downstream_session.write_response_header(Box::new(head.events())).await.map_err(|e| e.into_down())?;
        *begun = true;
    }
    Ok(())
}

async fn body(session: &mut Session, bytes: Bytes, end: bool) -> Result<()> {
    session.downstream_session.write_response_body(bytes, end).await.map_err(|e| e.into_down())
}
