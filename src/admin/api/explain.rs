//! `/api/explain`: what policy would say of a call, and why. Nothing is called, and nobody is asked.

use crate::admin::auth::Operator;
use crate::admin::problem::Problem;
use crate::pipeline::clock;
use axum::Json;
use portcullis_core::jsonrpc::{Limits, parse_value};
use portcullis_core::mcp::version::Version;
use portcullis_core::policy::question::{Question, endpoint, name};
use portcullis_core::policy::{Explanation, Power};
use portcullis_core::principal::Principal;
use portcullis_core::tool::Kind;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Who calls.
    #[serde(default)]
    pub user: String,
    /// Their roles, as a token names them.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// The OAuth scopes of their token.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// Their tenant.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The client that acts for them.
    #[serde(default)]
    pub agent: Option<String>,
    /// `tool`, `prompt` or `resource`.
    #[serde(default)]
    pub kind: Option<String>,
    /// What is called, as `upstream.tool`.
    pub name: String,
    /// The arguments. Without them: whether there are any with which the call may pass.
    #[serde(default)]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub arguments: Option<Box<RawValue>>,
    /// The endpoint that is called. Without it, the one that shows the upstream and the fewest others.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The address that the call comes from.
    #[serde(default)]
    pub client: Option<IpAddr>,
}

/// What policy says of it to an operator who may read.
///
/// # Errors
/// They may not, or it makes no sense.
pub fn answer(operator: &Operator, call: Described) -> Result<Explanation, Problem> {
    // As they are written: numbers that are read and printed anew may be others.
    let arguments = call.arguments.map(|arguments| arguments.get().to_owned());
    let asked = Asked::of(call.name, call.kind.as_deref(), call.endpoint, arguments)?;
    let principal = Principal {
        issuer: "explain".into(),
        subject: if call.user.is_empty() { "someone".into() } else { call.user },
        tenant: call.tenant,
        agent: call.agent,
        roles: call.roles,
        scopes: call.scopes,
        claims: Map::new(),
        expires_at: None,
    };
    asked.explain(operator, principal, call.client)
}

/// What is called, and how.
pub struct Asked {
    kind: Kind,
    name: String,
    endpoint: Option<String>,
    /// As JSON, as they are written.
    arguments: Option<String>,
}

impl Asked {
    /// A call; `arguments` as JSON.
    ///
    /// # Errors
    /// 400: no such kind.
    pub fn of(
        name: String,
        kind: Option<&str>,
        endpoint: Option<String>,
        arguments: Option<String>,
    ) -> Result<Self, Problem> {
        let kind = match kind {
            None | Some("tool") => Kind::Tool,
            Some("prompt") => Kind::Prompt,
            Some("resource") => Kind::Resource,
            Some(_) => return Err(Problem::bad_request("`kind` must be tool, prompt or resource")),
        };
        Ok(Self { kind, name, endpoint, arguments })
    }

    /// What policy says of it, where `principal` calls.
    ///
    /// # Errors
    /// The operator may not ask, or it makes no sense.
    pub fn explain(
        self,
        operator: &Operator,
        principal: Principal,
        client: Option<IpAddr>,
    ) -> Result<Explanation, Problem> {
        operator.require(Power::Read)?;
        let snapshot = &operator.live.snapshot;
        let tool = name(self.kind, &self.name).map_err(|wrong| Problem::bad_request(format!("The name {wrong}")))?;
        if !snapshot.upstreams.contains_key(&tool.upstream) {
            return Err(Problem::bad_request(format!("There is no upstream `{}`", tool.upstream)));
        }
        let endpoints: BTreeMap<_, _> =
            snapshot.routes.0.iter().map(|(name, endpoint)| (name.clone(), endpoint.upstreams.clone())).collect();
        let endpoint = endpoint(self.endpoint.as_deref(), &endpoints, &tool.upstream).map_err(Problem::bad_request)?;
        let arguments = self.arguments.or_else(|| (self.kind == Kind::Resource).then(|| "{}".to_owned()));
        if let Some(arguments) = &arguments {
            match parse_value(arguments.as_bytes(), &Limits::default()) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(Problem::bad_request("The arguments must be a JSON object")),
                Err(refusal) => return Err(Problem::bad_request(format!("The arguments: {}", refusal.text()))),
            }
        }
        let question = Question {
            principal,
            kind: self.kind,
            tool,
            arguments,
            endpoint: endpoint.to_owned(),
            protocol: Version::LATEST.as_str().to_owned(),
            client,
            now: clock::now(),
        };
        Ok(question.explain(&snapshot.policy))
    }
}

/// `POST /api/explain`.
pub async fn ask(operator: Operator, Json(call): Json<Described>) -> Result<Json<Explanation>, Problem> {
    answer(&operator, call).map(Json)
}
