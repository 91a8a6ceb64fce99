//! The call of a job, as it is kept, and the same call once more: to be run, or to judge and filter what came of it.

use crate::pipeline::Live;
use crate::pipeline::arrival::{Arrival, Ids, Target};
use crate::pipeline::authenticate::Caller;
use crate::pipeline::parse::Request;
use crate::pipeline::route;
use portcullis_core::job::Job;
use portcullis_core::jsonrpc::{self, Limits};
use portcullis_core::mcp::headers::McpHeaders;
use portcullis_core::mcp::version::Version;
use portcullis_core::mcp::{self, Body, rewrite};
use portcullis_core::principal::Principal;
use portcullis_core::route::INVOKE;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The id of the call towards its upstream, and of what came of it.
pub const ID: &[u8] = b"1";

/// What is kept of a call beside what is in the job.
#[derive(Serialize, Deserialize)]
pub struct Call {
    /// The arguments, as they were sent.
    arguments: Box<RawValue>,
    /// What the caller calls the tool.
    name: String,
    /// The revision that the caller spoke.
    version: String,
    /// From where it came.
    client: Option<IpAddr>,
    /// The roles of the token.
    roles: BTreeSet<String>,
    /// Its scopes.
    scopes: BTreeSet<String>,
    /// Its claims.
    claims: Map<String, Value>,
}

impl Call {
    /// Of `call`, which came as `arrival`; `None` where it can't be kept.
    pub fn of(call: &route::Call, arrival: &Arrival) -> Option<Self> {
        let arguments = match call.arguments() {
            [] => "{}".to_owned(),
            raw => std::str::from_utf8(raw).ok()?.to_owned(),
        };
        let principal = &call.request.caller.principal;
        Some(Self {
            arguments: RawValue::from_string(arguments).ok()?,
            name: call.asked.name.clone(),
            version: call.request.message.version.as_str().to_owned(),
            client: arrival.peer,
            roles: principal.roles.clone(),
            scopes: principal.scopes.clone(),
            claims: principal.claims.clone(),
        })
    }

    /// Who called, with the roles that they had then, as `live` reads them.
    pub fn caller(&self, live: &Live, job: &Job) -> Caller {
        let owner = &job.owner;
        let principal = Principal {
            issuer: owner.issuer.clone(),
            subject: owner.subject.clone(),
            tenant: owner.tenant.clone(),
            agent: owner.agent.clone(),
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            claims: self.claims.clone(),
            // It is not the token that runs the job, but policy.
            expires_at: None,
        };
        let roles = live.snapshot.policy.roles(&principal);
        Caller { principal: Arc::new(principal), roles }
    }

    /// From where it came.
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The revision that the caller spoke.
    pub fn version(&self) -> Version {
        Version::parse(&self.version).unwrap_or(Version::LATEST_LEGACY)
    }

    /// The call of `job` by `caller`, as part of the exchange `ids`: to an older upstream or a newer one, it goes as one of
    /// a client that can be asked for nothing. `None` where the endpoint or the upstream is gone.
    pub fn again(&self, live: &Live, job: &Job, caller: Arc<Caller>, ids: Ids) -> Option<route::Call> {
        let tool = job.tool.full();
        let target = target(live, job)?;
        let pool = Arc::clone(live.pools.0.get(&tool.upstream)?);
        let arguments = self.arguments.get().as_bytes();
        let body = rewrite::tools_call_request(ID, &self.name, arguments, Version::LATEST_LEGACY, b"{}");
        let frame = jsonrpc::parse(&body, &Limits::default()).ok()?;
        let mut message = mcp::classify(&body, &frame, &McpHeaders::default()).ok()?;
        // Policy asks which revision the caller spoke. The era stays: there are no headers of a newer call here.
        message.version = self.version();
        let Body::Ask(asked) = message.body.clone() else { return None };
        let request = Request { caller, target, body: body.into(), frame, message, ids, session: None };
        Some(route::Call { request, asked, tool, task: None, edits: Vec::new(), pool })
    }
}

/// Where `job` was called, where that still shows its upstream.
fn target(live: &Live, job: &Job) -> Option<Target> {
    let (routes, upstream) = (&live.snapshot.routes, &job.tool.upstream);
    if job.endpoint == INVOKE {
        return routes.shows(upstream).then_some(Target::Invoke);
    }
    let endpoint = routes.0.get(&job.endpoint)?;
    endpoint.upstreams.contains(upstream).then(|| Target::Endpoint(Arc::clone(endpoint)))
}
