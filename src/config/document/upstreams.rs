//! `upstreams.yaml` as it is written: where tools live. Each key is documented here once.

use portcullis_core::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where tools live.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamsDocument {
    /// The version of this file's format: 1.
    pub version: u32,
    /// The MCP servers behind the gateway, by name: lower-case letters, digits, `-` and `_`.
    #[serde(default)]
    pub upstreams: BTreeMap<String, UpstreamDocument>,
    /// The virtual MCP servers that clients call at `/{endpoint}/mcp`, by name: lower-case letters, digits, `-` and `_`.
    #[serde(default)]
    pub endpoints: BTreeMap<String, EndpointDocument>,
}

/// How requests reach an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/2 where TLS negotiates it, HTTP/1.1 otherwise.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// An MCP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamDocument {
    /// Its MCP endpoint. Either this or `urls`.
    #[serde(default)]
    pub url: Option<String>,
    /// The MCP endpoints of its replicas, among which calls are spread. They must be alike but for host and port.
    #[serde(default)]
    pub urls: Vec<String>,
    /// A path that answers a GET with 200 while the server is well. Without it, a connection that opens is enough.
    #[serde(default)]
    pub health: Option<String>,
    /// How often each replica is checked.
    #[serde(default = "five_seconds")]
    pub health_interval: Span,
    /// How long a call may take; a call that takes longer is answered with 504. For streams it is the time between two
    /// events.
    #[serde(default = "thirty_seconds")]
    pub timeout: Span,
    /// How long connecting may take.
    #[serde(default = "five_seconds")]
    pub connect_timeout: Span,
    /// How requests reach it.
    #[serde(default)]
    pub http: HttpVersion,
    /// A PEM file with the certificate authority that its TLS certificate must come from, instead of the public ones.
    #[serde(default)]
    pub ca: Option<String>,
    /// How often its list of tools is asked for again.
    #[serde(default = "one_minute")]
    pub refresh: Span,
}

/// A virtual MCP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointDocument {
    /// The upstreams whose tools it shows. With one, tools keep their names; with several they are called
    /// `upstream.tool`.
    pub upstreams: Vec<String>,
}

const fn five_seconds() -> Span {
    Span(Duration::from_secs(5))
}

const fn thirty_seconds() -> Span {
    Span(Duration::from_secs(30))
}

const fn one_minute() -> Span {
    Span(Duration::from_secs(60))
}
