//! What an HTTP/1.1 connection is doing, told by the proxy and read by the listener that watches it; and why it is refused,
//! told by the wire and read by the proxy.
//!
//! Both run in the connection's own task, so that what they share lives there. Requests of HTTP/2 run in tasks of their own
//! and tell nothing.

use portcullis_core::reject::Rejection;
use std::cell::{Cell, RefCell};
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
    static REFUSAL: RefCell<Option<Rejection>>;
    static LAST: Cell<bool>;
}

/// Runs `serving` as a connection that is watched.
pub async fn watched<T>(serving: impl Future<Output = T>) -> T {
    let refused = REFUSAL.scope(RefCell::new(None), LAST.scope(Cell::new(false), serving));
    STATE.scope(Cell::new(State::New(Instant::now())), refused).await
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

/// Something was sent behind a request that is not answered yet: the connection ends with that request.
pub fn end_soon() {
    let _ = LAST.try_with(|last| last.set(true));
}

/// Whether the connection ends with the request that it serves.
pub fn ends_soon() -> bool {
    LAST.try_with(Cell::get).unwrap_or_default()
}

/// Its bytes are in disorder: nothing that comes can be trusted from here on.
pub fn refuse(rejection: Rejection) {
    let _ = REFUSAL.try_with(|refusal| *refusal.borrow_mut() = Some(rejection));
}

/// Why what it sends is refused.
pub fn refusal() -> Option<Rejection> {
    REFUSAL.try_with(|refusal| refusal.borrow().clone()).unwrap_or_default()
}
