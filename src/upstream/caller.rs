//! What upstreams are shown of whoever is behind a request. Credentials are no part of it.

use crate::upstream::adapter;
use crate::upstream::pool::Pool;
use http::{HeaderName, HeaderValue};
use portcullis_core::principal::Principal;

const USER_ID: HeaderName = HeaderName::from_static("x-user-id");

/// Who calls, as upstreams are told. The gateway's own requests show nobody.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    user: HeaderValue,
    /// By which adapters tell one caller from another.
    digest: HeaderValue,
}

impl Caller {
    /// `principal`; `None` where its subject can't be written into a header.
    pub fn of(principal: &Principal) -> Option<Self> {
        let user = HeaderValue::from_str(&principal.subject).ok()?;
        Some(Self { user, digest: HeaderValue::from_str(&adapter::principal(principal)).ok()? })
    }

    /// The fields of each request to the upstream of `pool`: `X-User-ID`, and before an adapter also whose process or
    /// session it is about.
    pub fn headers(&self, pool: &Pool) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let digest = pool.adapter.is_some().then(|| (adapter::PRINCIPAL, self.digest.clone()));
        std::iter::once((USER_ID, self.user.clone())).chain(digest)
    }
}
