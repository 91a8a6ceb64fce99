//! What an HTTP/1.1 connection is doing, told by the proxy and read by the listener that watches it.
//!
//! Both run in the connection's own task, so that what they share lives there. Requests of HTTP/2 run in tasks of their own
//! and tell nothing.

use std::cell::Cell;
use tokio::time::Instant;

/// What a connection is doing.
#[derive(Debug, Clone, Copy)]
pub enum State {
    /// It has not had a request since it was opened, then.
    New(Instant),
    /// It serves a request.
    Serving,
    /// It has had no request since then.
    Idle(Instant),
}

tokio::task_local! {
    static STATE: Cell<State>;
}

/// Runs `serving` as a connection that is watched.
pub async fn watched<T>(serving: impl Future<Output = T>) -> T {
    STATE.scope(Cell::new(State::New(Instant::now())), serving).await
}

/// What the connection of this task is doing.
pub fn state() -> State {
    STATE.try_with(Cell::get).unwrap_or(State::Serving)
}

/// A request's header is here.
pub fn request_began() {
    let _ = STATE.try_with(|state| state.set(State::Serving));
}

/// The request was answered.
pub fn request_ended() {
    let _ = STATE.try_with(|state| state.set(State::Idle(Instant::now())));
}
