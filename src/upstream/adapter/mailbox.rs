//! Messages that wait for whoever reads a stream: few, by their bytes, since nobody may fill the memory by reading slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The most bytes that wait. A message that finds none before it may be larger.
const WAITING: usize = 8 << 20;

/// Where messages are put.
#[derive(Clone)]
pub struct Outbox {
    sender: UnboundedSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

/// Where they are read. When it is gone, nothing can be put any more.
pub struct Inbox {
    receiver: UnboundedReceiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

/// An empty mailbox.
pub fn mailbox() -> (Outbox, Inbox) {
    let (sender, receiver) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Outbox { sender, waiting: Arc::clone(&waiting) }, Inbox { receiver, waiting })
}

impl Outbox {
    /// Whether the message was taken. It is not where too much waits, or where nobody reads.
    pub fn put(&self, message: Vec<u8>) -> bool {
        let (length, before) = (message.len(), self.waiting.load(Ordering::Acquire));
        if before != 0 && before.saturating_add(length) > WAITING {
            return false;
        }
        self.waiting.fetch_add(length, Ordering::AcqRel);
        self.sender.send(message).is_ok()
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Inbox {
    /// The next message; `None` when there will be none.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.receiver.recv().await?;
        self.waiting.fetch_sub(message.len(), Ordering::AcqRel);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_bounded_by_its_bytes() {
        let (outbox, mut inbox) = mailbox();
        assert!(outbox.put(vec![0; WAITING + 1]), "one message always fits");
        assert!(!outbox.put(vec![0]));
        assert_eq!(inbox.next().await.unwrap().len(), WAITING + 1);
        assert!(outbox.put(vec![0; WAITING]) && !outbox.put(vec![0]));
        drop(inbox);
        assert!(outbox.is_closed());
    }

    #[tokio::test]
    async fn messages_that_wait_are_read_after_the_sender_is_gone() {
        let (outbox, mut inbox) = mailbox();
        assert!(outbox.put(b"a".to_vec()) && outbox.put(b"b".to_vec()));
        drop(outbox);
        assert_eq!(inbox.next().await.unwrap(), b"a");
        assert_eq!(inbox.next().await.unwrap(), b"b");
        assert!(inbox.next().await.is_none());
    }
}
