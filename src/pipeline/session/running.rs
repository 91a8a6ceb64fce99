//! The calls of a session that run: found by the ids that their client gave them, so that it can take one back.

use crate::pipeline::session::ClientSession;
use crate::upstream::session::Session;
use bytes::Bytes;
use parking_lot::Mutex;
use portcullis_core::jsonrpc;
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// The calls of a session that run.
#[derive(Default)]
pub struct Running(Mutex<Vec<Arc<Run>>>);

/// What is to become of a call that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It goes on.
    GoOn,
    /// Its stream is taken over by another request of its client.
    LetGo,
    /// Its client took it back.
    Cancel,
}

/// A call that runs.
pub struct Run {
    /// The number of its stream.
    pub stream: u64,
    /// The raw id that its client gave it.
    pub id: Bytes,
    /// The raw id under which the upstream knows it.
    pub upstream_id: Bytes,
    /// The raw token of its progress.
    pub progress: Option<Bytes>,
    /// The session with the upstream that it is part of; `None` where there is none to be told that it is taken back.
    pub upstream: Mutex<Option<Arc<Session>>>,
    order: watch::Sender<Order>,
}

impl Run {
    /// A call whose client gave it the raw id `id` and the raw progress token `progress`.
    pub fn new(id: Bytes, upstream_id: Bytes, progress: Option<Bytes>, upstream: Option<Arc<Session>>) -> Self {
        // Zero is the stream of news.
        let stream = rand::random::<u64>().max(1);
        let order = watch::Sender::new(Order::GoOn);
        Self { stream, id, upstream_id, progress, upstream: Mutex::new(upstream), order }
    }

    /// Says what is to become of it. Where its client took it back, that stays.
    pub fn order(&self, order: Order) {
        self.order.send_if_modified(|last| {
            let changes = *last != Order::Cancel;
            if changes {
                *last = order;
            }
            changes
        });
    }
}

/// A call's place among those that run, until it is dropped.
pub struct Ticket {
    client: Weak<ClientSession>,
    /// The call.
    pub run: Arc<Run>,
}

impl Ticket {
    /// The call `run` of `client` runs.
    pub fn new(client: &Arc<ClientSession>, run: Run) -> Self {
        let run = Arc::new(run);
        client.running.0.lock().push(Arc::clone(&run));
        Self { client: Arc::downgrade(client), run }
    }

    /// Waits until it is not to go on.
    pub fn ordered(&self) -> impl Future<Output = Order> + Send + use<> {
        let mut orders = self.run.order.subscribe();
        async move {
            let order = orders.wait_for(|order| *order != Order::GoOn).await.map(|order| *order);
            match order {
                Ok(order) => order,
                // Whoever could give an order is gone.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// It was let go of, and goes on.
    pub fn go_on(&self) {
        self.run.order(Order::GoOn);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(client) = self.client.upgrade() {
            client.running.0.lock().retain(|run| !Arc::ptr_eq(run, &self.run));
        }
    }
}

impl Running {
    /// The calls with the raw id `id`. There is one, unless the client numbers its requests badly.
    pub fn with_id(&self, id: &[u8]) -> Vec<Arc<Run>> {
        self.0.lock().iter().filter(|run| jsonrpc::same_id(&run.id, id)).cloned().collect()
    }

    /// The call whose stream has the number `stream`.
    pub fn on_stream(&self, stream: u64) -> Option<Arc<Run>> {
        self.0.lock().iter().find(|run| run.stream == stream).cloned()
    }

    /// Whether one of them wants to hear of its progress under the raw token `token`.
    pub fn wants_progress(&self, token: &[u8]) -> bool {
        let wants = |run: &Arc<Run>| run.progress.as_ref().is_some_and(|asked| jsonrpc::same_id(asked, token));
        self.0.lock().iter().any(wants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_client_took_back_does_not_go_on() {
        let run = Arc::new(Run::new(Bytes::from_static(b"1"), Bytes::from_static(b"\"u\""), None, None));
        let ticket = Ticket { client: Weak::new(), run: Arc::clone(&run) };
        run.order(Order::LetGo);
        assert_eq!(ticket.ordered().await, Order::LetGo);
        ticket.go_on();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), ticket.ordered()).await.is_err());
        // Between the two streams of a call, as well.
        run.order(Order::LetGo);
        run.order(Order::Cancel);
        ticket.go_on();
        assert_eq!(ticket.ordered().await, Order::Cancel);
        run.order(Order::LetGo);
        assert_eq!(ticket.ordered().await, Order::Cancel);
    }
}
