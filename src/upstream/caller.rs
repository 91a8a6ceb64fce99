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
    /// All that tells one caller from another; adapters are shown its digest.
    identity: Vec<u8>,
}

impl Caller {
    /// `principal`; `None` where its subject can't be written into a header.
    pub fn of(principal: &Principal) -> Option<Self> {
        let user = HeaderValue::from_str(&principal.subject).ok()?;
        Some(Self { user, identity: principal.identity() })
    }

    /// The fields of each request to the upstream of `pool`: `X-User-ID`, and before an adapter also whose process or
    /// session it is about.
    pub fn headers(&self, pool: &Pool) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let digest = || HeaderValue::from_str(&adapter::principal(&self.identity)).ok();
        let digest = pool.adapter.as_ref().and_then(|_| digest());
        std::iter::once((USER_ID, self.user.clone())).chain(digest.map(|digest| (adapter::PRINCIPAL, digest)))
    }
}
