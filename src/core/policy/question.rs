//! A call that somebody describes, to ask policy about it. What is said of it to whom is others' business.

use crate::policy::document::Effect;
use crate::policy::{AccessRequest, Arguments, CallArguments, Context, Explanation, PolicySet, decide, explain};
use crate::principal::Principal;
use crate::route::INVOKE;
use crate::time::Timestamp;
use crate::tool::{Kind, ToolName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A call.
pub struct Question {
    /// Who calls.
    pub principal: Principal,
    /// What kind of thing.
    pub kind: Kind,
    /// Which one.
    pub tool: ToolName,
    /// With which arguments, as JSON; `None` for any.
    pub arguments: Option<String>,
    /// Through which endpoint; empty for none.
    pub endpoint: String,
    /// In which revision of MCP.
    pub protocol: String,
    /// From which address.
    pub client: Option<IpAddr>,
    /// When.
    pub now: Timestamp,
}

impl Question {
    /// What `policy` decides, and why.
    pub fn explain(&self, policy: &PolicySet) -> Explanation {
        let arguments = self.arguments.as_ref().map(|arguments| CallArguments::new(arguments.as_bytes()));
        self.ask(policy, arguments.as_ref().map_or(Arguments::Any, Arguments::Of), explain)
    }

    /// Whether the caller sees it in lists.
    pub fn is_listed(&self, policy: &PolicySet) -> bool {
        self.ask(policy, Arguments::Any, decide).effect != Effect::Deny
    }

    fn ask<T>(
        &self,
        policy: &PolicySet,
        arguments: Arguments<'_>,
        answer: impl FnOnce(&PolicySet, &AccessRequest<'_>, Timestamp) -> T,
    ) -> T {
        let context = Context {
            endpoint: &self.endpoint,
            method: self.kind.method(),
            protocol: &self.protocol,
            client: self.client,
        };
        let request = AccessRequest {
            principal: &self.principal,
            roles: &policy.roles(&self.principal),
            kind: self.kind,
            tool: &self.tool,
            arguments,
            context: &context,
        };
        answer(policy, &request, self.now)
    }
}

/// Reads `upstream.name`.
///
/// # Errors
/// What is wrong with it, to be said after the name of what holds it.
pub fn name(kind: Kind, name: &str) -> Result<ToolName, String> {
    let example = match kind {
        Kind::Tool => "crm.get_customer",
        Kind::Prompt => "crm.summarise",
        Kind::Resource => "docs.file:///srv/docs/a.txt",
    };
    ToolName::parse(name).ok_or_else(|| format!("must have its upstream before it, such as {example}"))
}

/// The endpoint that is meant: the one that is wanted, or the one that shows the upstream and the fewest others; empty
/// where none shows it.
///
/// # Errors
/// The endpoint that is wanted does not show it.
pub fn endpoint<'a>(
    wanted: Option<&str>,
    endpoints: &'a BTreeMap<String, Vec<String>>,
    upstream: &str,
) -> Result<&'a str, String> {
    let shows = |upstreams: &[String]| upstreams.iter().any(|name| name == upstream);
    let Some(wanted) = wanted else {
        let showing = endpoints.iter().filter(|(_, upstreams)| shows(upstreams));
        let closest = showing.min_by_key(|(_, upstreams)| upstreams.len());
        return Ok(closest.map_or("", |(name, _)| name));
    };
    match endpoints.get_key_value(wanted) {
        Some((name, upstreams)) if shows(upstreams) => Ok(name),
        // Plain REST is an endpoint to policy, and shows what any other shows.
        None if wanted == INVOKE => Ok(INVOKE),
        Some(_) => Err(format!("the endpoint `{wanted}` does not show `{upstream}`")),
        None => {
            let known: Vec<_> = endpoints.keys().map(String::as_str).collect();
            Err(format!("there is no endpoint `{wanted}`; there are: {}", known.join(", ")))
        }
    }
}
