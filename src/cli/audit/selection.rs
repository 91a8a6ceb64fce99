//! Which rows of the record are meant.

use crate::pipeline::clock;
use crate::store::journal::JournalError;
use crate::store::journal::read::{Order, Reader};
use crate::store::journal::search::{self, Found, Search};
use portcullis_core::audit::row::Stored;
use portcullis_core::time::Timestamp;

/// Which calls. All that is said must hold.
#[derive(clap::Args)]
pub struct Selection {
    /// Not before this time (`2026-11-20T08:00:00Z`), or this long ago (`7d`).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Before this time, or this long ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// The user, as the issuer names them.
    #[arg(long)]
    pub user: Option<String>,
    /// The tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// The client that acted for the user.
    #[arg(long)]
    pub agent: Option<String>,
    /// The tool, prompt or resource, as `upstream.tool` or a glob over the whole of it.
    #[arg(long, value_name = "GLOB")]
    pub tool: Option<String>,
    /// What policy said: allow, review or deny.
    #[arg(long, value_parser = ["allow", "review", "deny"], hide_possible_values = true)]
    pub decision: Option<String>,
    /// How it ended: ok, tool_error, refused, failed, cancelled or unknown.
    #[arg(long, value_parser = ["ok", "tool_error", "refused", "failed", "cancelled", "unknown"], hide_possible_values = true)]
    pub outcome: Option<String>,
    /// The rule that decided.
    #[arg(long)]
    pub rule: Option<String>,
    /// Text in names, arguments or details; upper and lower case are one.
    #[arg(long)]
    pub text: Option<String>,
}

/// A time, or a length of time before now.
///
/// # Errors
/// It is neither.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    search::moment(text, clock::now())
}

impl Selection {
    /// The first `limit` of the rows in `order` beyond the place `from`.
    ///
    /// # Errors
    /// The journal can't be read.
    pub async fn read(
        &self,
        reader: &mut Reader,
        order: Order,
        from: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Stored>, JournalError> {
        self.search().read(reader, order, from, limit).await
    }

    /// The first `limit` of the rows that come after the place `from`, and how far it was looked.
    ///
    /// # Errors
    /// The journal can't be read.
    pub async fn after(&self, reader: &mut Reader, from: i64, limit: usize) -> Result<Found, JournalError> {
        self.search().look(reader, Order::OldestFirst, Some(from), limit, i64::MAX).await
    }

    fn search(&self) -> Search {
        Search {
            since: self.since,
            until: self.until,
            user: self.user.clone(),
            of_tenant: self.tenant.clone().map(Some),
            agent: self.agent.clone(),
            tool: self.tool.clone(),
            decision: self.decision.clone(),
            outcome: self.outcome.clone(),
            rule: self.rule.clone(),
            text: self.text.clone(),
        }
    }
}
