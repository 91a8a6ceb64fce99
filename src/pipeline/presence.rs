//! Whether the client of a request is still there while the gateway has nothing to say to it. The connection is the server's,
//! which looks at it only where a stage asks: most requests are answered before anybody could leave.

use std::sync::Arc;
use tokio::sync::watch;

/// What is known of a client. Clones are of the same one.
#[derive(Debug, Clone)]
pub struct Presence(Arc<watch::Sender<Known>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// Nobody asks.
    Nothing,
    /// A stage wants to know.
    Asked,
    /// It has left.
    Left,
}

impl Presence {
    /// Waits until the client has left.
    pub async fn left(&self) {
        self.become_at_least(Known::Asked);
        self.reached(Known::Left).await;
    }

    /// Waits until a stage wants to know when the client leaves.
    pub async fn asked(&self) {
        self.reached(Known::Asked).await;
    }

    /// The client has left.
    pub fn leave(&self) {
        self.become_at_least(Known::Left);
    }

    fn become_at_least(&self, known: Known) {
        self.0.send_if_modified(|now| {
            let is_news = *now < known;
            *now = known.max(*now);
            is_news
        });
    }

    async fn reached(&self, known: Known) {
        // An error would mean that nobody can tell any more, which `self` could.
        let _ = self.0.subscribe().wait_for(|now| *now >= known).await;
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Known::Nothing)))
    }
}
