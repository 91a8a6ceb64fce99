//! Whether a call may be sent once more. A person may take long to answer, and what was allowed when the call came may not be
//! by then: each time is judged like the first, by the configuration and the catalogue of its moment.

use crate::pipeline::filter::Filter;
use crate::pipeline::record::Record;
use crate::pipeline::route::Call;
use crate::pipeline::{Gateway, authorise, validate};
use portcullis_core::policy::Permit;
use portcullis_core::reject::Rejection;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// A call that may be sent again.
pub struct Again {
    gateway: Arc<Gateway>,
    call: Call,
    client: Option<IpAddr>,
}

/// Says when a call may be judged otherwise than before.
pub struct Changes {
    renewals: watch::Receiver<u64>,
    catalog: watch::Receiver<u64>,
}

impl Changes {
    /// Waits for the next one; for ever where there is none any more.
    pub async fn next(&mut self) {
        tokio::select! {
            Ok(()) = self.renewals.changed() => {}
            Ok(()) = self.catalog.changed() => {}
            else => std::future::pending().await,
        }
    }
}

impl Again {
    /// Of `call`, which came from `client`.
    pub fn new(gateway: &Arc<Gateway>, call: Call, client: Option<IpAddr>) -> Self {
        Self { gateway: Arc::clone(gateway), call, client }
    }

    /// Who called.
    pub fn principal(&self) -> Vec<u8> {
        self.call.request.caller.principal.identity()
    }

    /// Says from now on when policy or the catalogue have changed.
    pub fn changes(&self) -> Changes {
        let (mut renewals, mut catalog) = (self.gateway.renewals.subscribe(), self.gateway.catalog_changes.clone());
        // Whatever changed since the call was judged is judged at once.
        renewals.mark_changed();
        catalog.mark_unchanged();
        Changes { renewals, catalog }
    }

    /// Judges it by what is live now, though people need not agree once more to what they did for `earlier`. What comes of it passes `filter` as that is now, too.
    ///
    /// # Errors
    /// Why it may not be sent: where policy does not allow it, what it calls is not there or is another thing, or where its
    /// upstream is. `record` says by which rule.
    pub async fn judge(
        &mut self,
        earlier: &Permit,
        filter: &mut Filter,
        record: &mut Record,
    ) -> Result<Permit, Rejection> {
        let live = self.gateway.live.load_full();
        self.call.renew(&live)?;
        let decision = authorise::decision(&live, self.client, &self.call);
        let again = decision.permit_again(earlier).map(Ok);
        let permit = again
            .unwrap_or_else(|| authorise::permit(&self.call, &decision))
            .inspect_err(|_| record.decision_of(&live.snapshot.revision, &decision))?;
        let upstream = std::slice::from_ref(&self.call.tool.upstream);
        let catalog = self.gateway.catalog_of(&live, upstream, &self.call.request.caller.principal).await;
        validate::offered(&catalog, &self.call)?;
        let plan = live.snapshot.redactor.plan(&self.call.request.caller.roles, Some(self.call.named()));
        filter.renew(plan, live.unseen.clone());
        Ok(permit)
    }
}
