//! What a decision is asked about.

use crate::policy::arguments::CallArguments;
use crate::policy::uri::Uri;
use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use crate::tool::{Kind, ToolName, Traits};
use std::cell::OnceCell;
use std::net::IpAddr;

/// How the request came.
///
/// A list must show what a use could do: whoever asks for visibility passes the context of the request that would follow
/// ([`Kind::method`]), not that of the listing.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// The JSON-RPC method.
    pub method: &'a str,
    /// The MCP revision.
    pub protocol: &'a str,
    /// The caller's address, where it is known.
    pub client: Option<IpAddr>,
}

/// The arguments that a decision is about.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// Not known yet: could there be a call that is not denied? For lists of tools. A condition on arguments counts as
    /// met for review and allow rules, and as not met for deny rules.
    Any,
    /// Those of this call, or of this prompt; a resource has none.
    Of(&'a CallArguments<'a>),
}

/// One question to the policy.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// The principal's roles as [`PolicySet::roles`](crate::policy::PolicySet::roles) gives them.
    pub roles: &'a RoleSet,
    /// What kind of thing is asked for.
    pub kind: Kind,
    /// Which one: a tool or prompt by name, a resource or template by URI.
    pub tool: &'a ToolName,
    /// With what.
    pub arguments: Arguments<'a>,
    /// Through what.
    pub context: &'a Context<'a>,
}

/// A question and what follows from it, worked out once for all rules.
pub(super) struct Facts<'a> {
    pub request: &'a AccessRequest<'a>,
    /// `upstream.tool`, as patterns see it.
    pub name: String,
    /// For a resource: its URI, as patterns see it.
    pub uri: Option<Uri>,
    pub traits: Traits,
    pub now: Timestamp,
    /// The principal as conditions see it; made when the first one asks.
    pub principal: OnceCell<cel::Value>,
}

impl<'a> Facts<'a> {
    pub fn new(request: &'a AccessRequest<'a>, name: String, traits: Traits, now: Timestamp) -> Self {
        let uri = (request.kind == Kind::Resource).then(|| Uri::new(&request.tool.tool));
        Self { request, name, uri, traits, now, principal: OnceCell::new() }
    }
}
