//! Whose a session with an upstream is. It opens none, and keeps none.

use crate::upstream::caller::Caller;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::mcp::version::Version;
use portcullis_core::principal::Principal;
use uuid::Uuid;

/// Whose session it is, and what its upstream is told that it can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub(super) who: Who,
    /// The principal's identity, whose share of the sessions that are kept it takes.
    pub(super) principal: Vec<u8>,
    /// What the owner can be asked for while its calls run.
    pub capabilities: Capabilities,
    /// The newest revision that the owner speaks: an upstream must not do what its caller could not follow.
    pub version: Version,
    /// Who it is, as upstreams are told; `None` where it can't be written into a header.
    pub(super) caller: Option<Caller>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// All calls of the principal that have no session of their own.
    Principal,
    /// The session of a client, by its number.
    Client(Uuid),
}

impl Owner {
    /// All calls of `principal` that have no session of their own.
    pub fn principal(principal: &Principal, capabilities: Capabilities) -> Self {
        Self::of(principal, Who::Principal, capabilities, Version::LATEST_LEGACY)
    }

    /// The session `id` of a client of `principal`. Its sessions with upstreams live until [`Sessions::end`].
    pub fn client(principal: &Principal, id: Uuid, capabilities: Capabilities, version: Version) -> Self {
        Self::of(principal, Who::Client(id), capabilities, version)
    }

    fn of(principal: &Principal, who: Who, capabilities: Capabilities, version: Version) -> Self {
        Self { who, principal: principal.identity(), capabilities, version, caller: Caller::of(principal) }
    }
}
