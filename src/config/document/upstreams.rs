//! `upstreams.yaml` as it is written: where tools live. Each key is documented here once.

use portcullis_core::route::Partial;
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
    /// Its MCP endpoint. Exactly one of this, `urls`, `stdio` and `sse` is there.
    #[serde(default)]
    pub url: Option<String>,
    /// The MCP endpoints of its replicas, among which calls are spread. They must be alike but for host and port.
    #[serde(default)]
    pub urls: Vec<String>,
    /// A program that speaks MCP on its standard input and output. The gateway starts it when it is needed.
    #[serde(default)]
    pub stdio: Option<StdioDocument>,
    /// The event stream of a server that speaks HTTP+SSE as of MCP 2024-11-05, such as `http://old:8080/sse`.
    #[serde(default)]
    pub sse: Option<String>,
    /// The addresses and networks, such as `10.0.0.0/8`, that the hosts of `url` and `urls` may stand for. A name is looked
    /// up every ten seconds, and an address outside of them is not connected to. Without it that is any address but
    /// link-local, multicast and unspecified ones, and those at which clouds keep credentials.
    #[serde(default)]
    pub addresses: Vec<String>,
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
    /// How often its lists are asked for again, unless it says itself how long they last; that is never waited for
    /// longer than this. A list that it says has changed is asked for at once.
    #[serde(default = "one_minute")]
    pub refresh: Span,
    /// Whether a tool, prompt or instructions whose definition changes after it was first seen is held back until a
    /// person accepts it with `portcullis catalogue accept`.
    #[serde(default)]
    pub pinning: Pinning,
    /// Whether its lists are the same for all callers. With `per_user` they are asked for as the caller, whom
    /// `X-User-ID` names, and kept for that caller alone, for as long as `refresh` says at most.
    #[serde(default)]
    pub catalogue: Cataloguing,
}

/// Whose the lists of an upstream are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cataloguing {
    /// They are the same for all callers, and are asked for in the background.
    #[default]
    Shared,
    /// Each caller has their own. Pins are shared: of one name, the definition that was seen first, or was accepted, is
    /// trusted, and a caller who is shown another is not offered it.
    PerUser,
}

/// What becomes of a definition that changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pinning {
    /// It is held back until a person accepts it.
    #[default]
    On,
    /// It is trusted as it comes.
    Off,
}

/// Who shares a process of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Nobody: each session, and each caller of the modern revisions, has a process of its own.
    #[default]
    Principal,
    /// All callers. Only for programs that keep nothing of one call for the next. Its questions to clients (sampling,
    /// elicitation, roots), its log messages and `resources/updated` are for nobody, since they could be about anybody.
    Shared,
}

/// A program that speaks MCP on its standard input and output.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdioDocument {
    /// The program and its arguments, such as `[mcp-server-filesystem, /srv/docs]`. No shell reads it. A name without a
    /// slash is looked for in the `PATH` that the program gets.
    pub command: Vec<String>,
    /// Its environment. It gets nothing else of the gateway's but `PATH`, `HOME` and `LANG`. A value that comes from a
    /// reference is masked in the log, and an answer that holds it is withheld.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Its working directory, instead of the gateway's.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Who shares a process.
    #[serde(default)]
    pub per: Sharing,
    /// How long a process lives that nobody calls.
    #[serde(default = "ten_minutes")]
    pub idle: Span,
    /// The most processes at once. Beyond it, the caller who has the most of them loses the one that was not called for
    /// longest; where all are at work, calls are refused.
    #[serde(default = "thirty_two")]
    pub max_processes: u32,
}

/// A virtual MCP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointDocument {
    /// The upstreams that it shows. With one, tools and prompts keep their names; with several they are called
    /// `upstream.tool`. Resources keep their URIs; a URI that several have is that of the first.
    pub upstreams: Vec<String>,
    /// What it lists while nothing is known of one of them, because it was not reached since the start: what the others
    /// offer, or nothing, with an error. One that was reached before keeps what it last showed in either case.
    #[serde(default)]
    pub partial: Partial,
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

const fn ten_minutes() -> Span {
    Span(Duration::from_secs(600))
}

const fn thirty_two() -> u32 {
    32
}
