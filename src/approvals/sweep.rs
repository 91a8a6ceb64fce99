//! What happens to approvals by themselves: their time runs out, other gateways change them, and old ones are forgotten.

use super::{Desk, now};
use crate::store::work::WorkError;
use std::sync::Weak;
use std::time::Duration;

/// How often it is looked.
const PAUSE: Duration = Duration::from_secs(1);

/// How long closed approvals are kept to be looked at; the record of calls keeps what was decided.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Looks after the approvals until the desk is gone.
pub(super) async fn run(desk: Weak<Desk>) {
    let (mut mark, mut failing) = ((0, 0), false);
    loop {
        let Some(held) = desk.upgrade() else { return };
        let swept = held.sweep(&mut mark).await;
        if let (Err(error), false) = (&swept, failing) {
            tracing::error!(%error, "the store of approvals can't be asked; calls that need one are refused");
        }
        failing = swept.is_err();
        drop(held);
        tokio::time::sleep(PAUSE).await;
    }
}

impl Desk {
    async fn sweep(&self, mark: &mut (i64, i64)) -> Result<(), WorkError> {
        let now = now();
        for approval in self.work.overdue_approvals(now).await? {
            self.expire(&approval, now).await?;
        }
        self.metrics.approvals_pending(self.work.pending_approvals(now).await?);
        self.work.forget_approvals(now.minus(KEPT)).await?;
        // The command line and other gateways change approvals too.
        let latest = self.work.approvals_mark().await?;
        if std::mem::replace(mark, latest) != latest {
            self.changed();
        }
        Ok(())
    }
}
