//! Asks the core alone what policy says of a case. No gateway runs; whether one obeys is `run`'s business.

use crate::cases::case::Case;
use portcullis_core::policy::document::PolicyDocument;
use portcullis_core::policy::{
    AccessRequest, Arguments, CallArguments, Context, Decision, Inventory, PolicySet, decide,
};
use portcullis_core::principal::Principal;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Kind, ToolName};
use serde_json::Map;
use std::collections::BTreeSet;

/// What policy says of the case's call.
pub fn decision(case: &Case) -> Decision {
    let document: PolicyDocument = serde_saphyr::from_str(&case.policy()).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let inventory = Inventory { upstreams: names(&["crm", "files"]), endpoints: names(&["crm", "files", "work"]) };
    let policy = PolicySet::compile(&document, &inventory).unwrap_or_else(|problems| panic!("{problems:?}"));
    let principal = Principal {
        issuer: "dev".into(),
        subject: case.subject().to_owned(),
        tenant: Some("acme".into()),
        agent: Some("agent-1".into()),
        roles: case.roles().iter().cloned().collect(),
        scopes: BTreeSet::new(),
        claims: Map::new(),
        expires_at: None,
    };
    let visible = case.tool.as_deref().unwrap();
    let tool = match case.endpoint.as_str() {
        "work" => ToolName::parse(visible).unwrap(),
        upstream => ToolName::new(upstream, visible),
    };
    let arguments = case.arguments.as_ref().map(ToString::to_string).unwrap_or_default();
    let request = AccessRequest {
        principal: &principal,
        roles: &policy.roles(&principal),
        kind: Kind::Tool,
        tool: &tool,
        arguments: Arguments::Of(&CallArguments::new(arguments.as_bytes())),
        context: &Context { endpoint: &case.endpoint, method: "tools/call", protocol: "2026-07-28", client: None },
    };
    decide(&policy, &request, Timestamp::from_secs(1_800_000_000))
}
