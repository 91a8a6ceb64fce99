//! From an endpoint and a tool's visible name to the upstream and the upstream's own name, and back.

use crate::tool::ToolName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the plain REST interface where policy and audit speak of endpoints.
pub const INVOKE: &str = "mcp";

/// First path segments that are the gateway's own, and so refused as endpoint names.
pub const RESERVED: &[&str] =
    &["mcp", "jobs", "healthz", "readyz", "metrics", "api", "console", "approvals", ".well-known"];

/// The path of a job, before its id.
pub const JOBS: &str = "/jobs/";

/// What tools of the gateway's own are called before the dot: no upstream may be called so.
pub const OWN: &str = "portcullis";

/// What an endpoint lists while nothing is known of one of its upstreams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Partial {
    /// What the others offer.
    #[default]
    Allow,
    /// Nothing: the list is refused, so that nobody takes a part for the whole.
    Refuse,
}

/// A virtual MCP server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, the first segment of its path.
    pub name: String,
    /// The upstreams whose tools it shows, in the order of `upstreams.yaml`. Never empty.
    pub upstreams: Vec<String>,
    /// What it lists while nothing is known of one of them.
    pub partial: Partial,
}

impl Endpoint {
    /// Whether tools are called `upstream.tool` here.
    pub fn is_aggregate(&self) -> bool {
        self.upstreams.len() > 1
    }

    /// The tool that clients of this endpoint call `visible`; `None` where no upstream of it can be meant.
    pub fn resolve(&self, visible: &str) -> Option<ToolName> {
        match self.upstreams.as_slice() {
            [only] => (!visible.is_empty()).then(|| ToolName::new(only, visible)),
            several => ToolName::parse(visible).filter(|name| several.contains(&name.upstream)),
        }
    }

    /// What clients of this endpoint call `tool`.
    pub fn visible_name(&self, tool: &ToolName) -> String {
        if self.is_aggregate() { tool.to_string() } else { tool.tool.clone() }
    }
}

/// All endpoints, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(pub BTreeMap<String, Arc<Endpoint>>);

/// What a path of the ingress asks for. Paths match exactly: nothing is decoded, normalised or trimmed, so that no
/// spelling reaches an endpoint that another layer would read otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// `/{endpoint}/mcp`, or its alias `/{endpoint}/sse`.
    Endpoint(&'a Arc<Endpoint>),
    /// `/mcp/invoke`.
    Invoke,
    /// `/jobs/{id}`.
    Job,
    /// `/healthz`.
    Health,
    /// `/.well-known/oauth-protected-resource/{endpoint}/mcp` (RFC 9728 section 3.1), or without an endpoint.
    Metadata(Option<&'a Arc<Endpoint>>),
}

/// The path of the protected-resource metadata (RFC 9728 section 3.1), before that of the resource.
pub const METADATA: &str = "/.well-known/oauth-protected-resource";

impl Routes {
    /// What `path` asks for; `None` where there is nothing.
    pub fn place(&self, path: &str) -> Option<Place<'_>> {
        match path {
            "/mcp/invoke" => return Some(Place::Invoke),
            "/healthz" => return Some(Place::Health),
            METADATA => return Some(Place::Metadata(None)),
            _ => {}
        }
        if path.starts_with(JOBS) {
            return Some(Place::Job);
        }
        if let Some(path) = path.strip_prefix(METADATA) {
            return self.endpoint(path).map(|endpoint| Place::Metadata(Some(endpoint)));
        }
        self.endpoint(path).map(Place::Endpoint)
    }

    /// Whether any endpoint shows the tools of `upstream`.
    pub fn shows(&self, upstream: &str) -> bool {
        self.0.values().any(|endpoint| endpoint.upstreams.iter().any(|shown| shown == upstream))
    }

    fn endpoint(&self, path: &str) -> Option<&Arc<Endpoint>> {
        let (name, rest) = path.strip_prefix('/')?.split_once('/')?;
        if matches!(rest, "mcp" | "sse") { self.0.get(name) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let endpoint = |name: &str, upstreams: &[&str]| Endpoint {
            name: name.into(),
            upstreams: upstreams.iter().map(|upstream| (*upstream).to_owned()).collect(),
            partial: Partial::default(),
        };
        let all = [endpoint("calculator", &["calculator"]), endpoint("work", &["crm", "files"])];
        Routes(all.into_iter().map(|endpoint| (endpoint.name.clone(), Arc::new(endpoint))).collect())
    }

    #[test]
    fn only_the_exact_path_is_an_endpoint() {
        let routes = routes();
        assert!(matches!(routes.place("/work/mcp"), Some(Place::Endpoint(endpoint)) if endpoint.name == "work"));
        assert!(matches!(routes.place("/work/sse"), Some(Place::Endpoint(endpoint)) if endpoint.name == "work"));
        assert_eq!(routes.place("/mcp/invoke"), Some(Place::Invoke));
        assert_eq!(routes.place(METADATA), Some(Place::Metadata(None)));
        assert!(matches!(routes.place(&format!("{METADATA}/work/mcp")), Some(Place::Metadata(Some(_)))));
        assert!(routes.shows("crm") && !routes.shows("billing"));
        for path in [
            "/",
            "",
            "/work",
            "/work/",
            "/work/MCP",
            "/work//mcp",
            "//work/mcp",
            "/work/mcp/",
            "/w%6frk/mcp",
            "/work/../work/mcp",
        ] {
            assert_eq!(routes.place(path), None, "{path}");
        }
    }

    #[test]
    fn an_aggregate_names_the_upstream_first() {
        let routes = routes();
        let work = &routes.0["work"];
        assert_eq!(work.resolve("crm.get.user"), Some(ToolName::new("crm", "get.user")));
        assert_eq!(work.resolve("calculator.add"), None);
        assert_eq!(work.resolve("get"), None);
        assert_eq!(work.visible_name(&ToolName::new("crm", "get")), "crm.get");
        let calculator = &routes.0["calculator"];
        assert_eq!(calculator.resolve("calculator.add"), Some(ToolName::new("calculator", "calculator.add")));
        assert_eq!(calculator.visible_name(&ToolName::new("calculator", "add")), "add");
    }
}
