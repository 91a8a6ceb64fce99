//! Remembers which URIs of an endpoint several upstreams have, so that each is told of once.

use portcullis_core::catalog::Catalog;
use portcullis_core::route::Routes;
use std::collections::{BTreeMap, BTreeSet};

/// How many are told of one by one at a time.
const TOLD: usize = 10;

/// The clashes that are known, by endpoint.
#[derive(Default)]
pub struct Clashes(BTreeMap<String, BTreeSet<String>>);

impl Clashes {
    /// Tells of those in `catalog` that are new.
    pub fn warn(&mut self, catalog: &Catalog, routes: &Routes) {
        self.0.retain(|endpoint, _| routes.0.contains_key(endpoint));
        for endpoint in routes.0.values().filter(|endpoint| endpoint.is_aggregate()) {
            let found = catalog.clashes(endpoint);
            let known = self.0.remove(&endpoint.name).unwrap_or_default();
            let new: Vec<_> = found.iter().filter(|(uri, _)| !known.contains(**uri)).collect();
            for (uri, upstreams) in new.iter().take(TOLD) {
                let (endpoint, others) = (&endpoint.name, upstreams.get(1..).unwrap_or_default().join(", "));
                let owner = upstreams.first().copied().unwrap_or_default();
                tracing::warn!(
                    endpoint,
                    uri,
                    owner,
                    others,
                    "several upstreams have this resource; the first one's counts"
                );
            }
            if new.len() > TOLD {
                let (endpoint, more) = (&endpoint.name, new.len() - TOLD);
                tracing::warn!(endpoint, more, "and more resources that several upstreams have");
            }
            self.0.insert(endpoint.name.clone(), found.into_keys().map(str::to_owned).collect());
        }
    }
}
