//! What a sink is to those who ship to it: it takes a batch whole, or says why not.

use super::file::{LinesFile, Output};
use super::otlp::Otlp;
use super::postgres::Postgres;
use super::webhook::Webhook;
use crate::config::snapshot::Target;
use portcullis_core::audit::row::Stored;
use std::time::Duration;

/// What is handed over at once: rows, or checkpoints of rows that were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    /// The journal they are of.
    pub(super) instance: &'a str,
    /// In their order.
    pub(super) rows: &'a [Stored],
    /// In their order.
    pub(super) checkpoints: &'a [Checkpoint],
}

/// A signed checkpoint of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// How many rows it speaks of.
    pub(super) size: i64,
    /// Its line in an export.
    pub(super) line: String,
}

impl Batch<'_> {
    /// The lines of an export.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(Stored::json_line).chain(self.checkpoints.iter().map(|checkpoint| checkpoint.line.clone()))
    }
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may be taken later: nothing is wrong with the rows.
    Later {
        /// Why not now.
        reason: String,
        /// When the sink wants to be asked again.
        after: Option<Duration>,
    },
    /// Something is wrong with one of the rows; none was taken.
    Refused {
        /// What.
        reason: String,
    },
    /// Some rows were taken, and the sink does not say which; it must not be asked again.
    Partly {
        /// What was wrong with the others.
        reason: String,
    },
    /// The sink wants nothing any more.
    Gone {
        /// What it said.
        reason: String,
    },
}

impl Failure {
    /// To be tried again, whenever that suits.
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), after: None }
    }
}

/// A place that takes batches.
pub(super) enum Sink {
    Postgres(Postgres),
    File(LinesFile),
    Stdout(Output),
    Otlp(Otlp),
    Webhook(Webhook),
}

impl Sink {
    /// The place that `target` says; it is not reached for before the first batch.
    pub(super) fn of(target: &Target) -> Self {
        match target {
            Target::Postgres(url) => Self::Postgres(Postgres::new(url.clone())),
            Target::File(path) => Self::File(LinesFile::new(path.clone())),
            Target::Stdout => Self::Stdout(Output::new()),
            Target::Otlp(url) => Self::Otlp(Otlp::new(url.clone())),
            Target::Webhook(url, key) => Self::Webhook(Webhook::new(url.clone(), key.clone())),
        }
    }

    /// The most rows of a batch.
    pub(super) fn most_rows(&self) -> i64 {
        match self {
            Self::Postgres(_) | Self::File(_) | Self::Stdout(_) => 500,
            Self::Otlp(_) => 200,
            Self::Webhook(_) => 100,
        }
    }

    /// Whether a delivery may be given up half-way: a file is written to its end, lest two write it.
    pub(super) fn may_be_left(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Stdout(_))
    }

    /// Hands over. When this returns well, the sink has the batch.
    pub(super) async fn deliver(&mut self, batch: Batch<'_>) -> Result<(), Failure> {
        match self {
            Self::Postgres(postgres) => postgres.deliver(batch).await,
            Self::File(file) => file.deliver(batch).await,
            Self::Stdout(output) => output.deliver(batch).await,
            Self::Otlp(otlp) => otlp.deliver(batch).await,
            Self::Webhook(webhook) => webhook.deliver(batch).await,
        }
    }

    /// Lets go of what a delivery that was left half-way has left behind.
    pub(super) fn reset(&mut self) {
        if let Self::Postgres(postgres) = self {
            postgres.disconnect();
        }
    }
}
