//! The gateway as an OAuth resource server: its metadata and challenges, audiences, scopes, and clients in browsers.

mod browsers;
mod flow;
mod resource;
mod scopes;

use crate::support::gateway::Setup;
use crate::support::upstream::Upstream;

const POLICY: &str = r#"
version: 1
roles: { viewer: {}, developer: { inherits: [viewer] } }
tools:
  - { match: "*.get", class: read }
  - { match: "*.put", class: write }
access:
  - { roles: [viewer], upstreams: ["*"], level: read }
  - { roles: [developer], upstreams: ["*"], level: write }
scopes:
  - { scope: "mcp:read", classes: [read], initial: true }
  - { scope: "mcp:write", classes: [write, destructive], includes: ["mcp:read"] }
  - { scope: "hr", tools: ["hr.*"] }
"#;

/// The tools of every upstream here.
fn tools() -> Vec<serde_json::Value> {
    ["get", "put"].map(|name| serde_json::json!({"name": name, "inputSchema": {"type": "object"}})).to_vec()
}

/// A gateway's files, with `upstream` behind the endpoints `crm`, `hr` and, twice, `work`.
fn setup(upstream: &Upstream, policy: &str) -> Setup {
    Setup::new(&[("crm", upstream.url()), ("hr", upstream.url())], policy)
}
