//! Who calls. Made by `identity` from a verified token, read by policy, limits and the audit; never made from a header.

use crate::time::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The verified caller of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// `iss` of the token, as configured; a subject means nothing without it.
    pub issuer: String,
    /// The issuer's stable name of the user (claim `sub` unless mapped otherwise). Never empty, printable ASCII.
    pub subject: String,
    /// The customer or organisation the user belongs to, where the issuer says.
    pub tenant: Option<String>,
    /// The client that acts for the user (claim `azp` or `client_id` unless mapped otherwise).
    pub agent: Option<String>,
    /// Roles as the token names them; inheritance is policy's business.
    pub roles: BTreeSet<String>,
    /// OAuth scopes of the token.
    pub scopes: BTreeSet<String>,
    /// All claims of the token, for conditions.
    pub claims: Map<String, Value>,
    /// When the token ends (claim `exp`, or earlier, where it gets too old); streams and logins must not outlive it.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// The user whom `issuer` calls `subject`, of whom nothing else is said.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            subject: subject.into(),
            tenant: None,
            agent: None,
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            claims: Map::new(),
            expires_at: None,
        }
    }

    /// All that tells one caller from another, as bytes that no other caller has.
    pub fn identity(&self) -> Vec<u8> {
        let (tenant, agent) = (self.tenant.as_deref(), self.agent.as_deref());
        let [tenant, agent] = [tenant, agent].map(|part| part.map_or(("", ""), |part| ("=", part)));
        let parts = [("", &*self.issuer), ("", &*self.subject), tenant, agent];
        let mut out = Vec::with_capacity(parts.iter().map(|(mark, part)| 8 + mark.len() + part.len()).sum());
        for (mark, part) in parts {
            out.extend_from_slice(&((mark.len() + part.len()) as u64).to_be_bytes());
            out.extend_from_slice(mark.as_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        out
    }
}

/// Role names, inherited ones included: what rules, limits and redaction ask about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleSet(BTreeSet<String>);

impl RoleSet {
    /// The role itself, not by inheritance.
    pub fn contains(&self, role: &str) -> bool {
        self.0.contains(role)
    }

    /// Whether any of `roles` is in the set.
    pub fn contains_any<'a>(&self, roles: impl IntoIterator<Item = &'a String>) -> bool {
        roles.into_iter().any(|role| self.contains(role))
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for RoleSet {
    fn from_iter<T: IntoIterator<Item = String>>(roles: T) -> Self {
        Self(roles.into_iter().collect())
    }
}
