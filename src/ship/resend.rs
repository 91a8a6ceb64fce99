//! Rows that a sink refused for what they are (`set_aside`): what they are, and another try, once a person has mended what
//! was wrong with the sink. A gateway may ship to it meanwhile.

pub use super::book::Aside;
use super::book::{self, Book};
use super::shipper::DEADLINE;
use super::sink::{Batch, Failure, Sink};
use crate::config::snapshot::Sink as Settings;
use portcullis_core::audit::row::Stored;
use std::path::Path;

/// What a further try came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resent {
    /// Rows that the sink has now.
    pub taken: u64,
    /// Rows that it refused again; they stay set aside.
    pub refused: u64,
}

/// Rows that are looked at once.
const PAGE: usize = 500;

/// Hands each row that is set aside for the sink `name` to `see`, in the order of the record.
///
/// # Errors
/// In words, why the sinks' positions can't be read.
pub async fn list(journal: &Path, name: &str, mut see: impl FnMut(&Aside)) -> Result<(), String> {
    let Some(mut book) = book(journal, name).await? else { return Ok(()) };
    let mut last = None;
    loop {
        let page = book.aside(last.as_ref(), PAGE).await.map_err(|error| error.to_string())?;
        let Some(end) = page.last().cloned() else { return Ok(()) };
        page.iter().for_each(&mut see);
        last = Some(end);
    }
}

/// Sends the rows once more that are set aside for `sink`, one by one in the order of the record, and tells `see` of each
/// why it was refused again, or that it was not. What is taken is set aside no more.
///
/// # Errors
/// In words, why the sink takes nothing now, or why its rows can't be read.
pub async fn resend(
    journal: &Path,
    sink: &Settings,
    mut see: impl FnMut(&Aside, Option<&str>),
) -> Result<Resent, String> {
    let mut resent = Resent::default();
    let Some(mut book) = book(journal, &sink.name).await? else { return Ok(resent) };
    let mut target = Sink::of(&sink.target);
    let mut last = None;
    loop {
        let page = book.aside(last.as_ref(), PAGE).await.map_err(|error| error.to_string())?;
        let Some(end) = page.last().cloned() else { return Ok(resent) };
        for aside in &page {
            match send(&mut target, aside).await? {
                None => {
                    book.take_back(&aside.event_id).await.map_err(|error| error.to_string())?;
                    resent.taken += 1;
                    see(aside, None);
                }
                Some(reason) => {
                    resent.refused += 1;
                    see(aside, Some(&reason));
                }
            }
        }
        last = Some(end);
    }
}

/// Why the sink refuses the row, where it does.
async fn send(sink: &mut Sink, aside: &Aside) -> Result<Option<String>, String> {
    let row = Stored::parse_line(&aside.line);
    let row = row.map_err(|why| format!("the row {} that was set aside can't be read: {why}", aside.event_id))?;
    let batch = Batch { instance: &aside.instance, rows: std::slice::from_ref(&row), checkpoints: &[] };
    let delivered = tokio::time::timeout(DEADLINE, sink.deliver(batch)).await;
    match delivered.unwrap_or_else(|_| Err(Failure::later("no answer within 30 s"))) {
        Ok(()) => Ok(None),
        Err(Failure::Refused { reason } | Failure::Partly { reason }) => Ok(Some(reason)),
        Err(Failure::Later { reason, .. } | Failure::Gone { reason }) => Err(reason),
    }
}

/// The sinks' positions; `None` where there was never a sink.
async fn book(journal: &Path, name: &str) -> Result<Option<Book>, String> {
    if !book::path(journal).exists() {
        return Ok(None);
    }
    // Rows of whichever journal are meant, not a place in one.
    Book::open(journal, name, "").await.map(Some)
}
