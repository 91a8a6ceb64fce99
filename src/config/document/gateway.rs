//! `conf/gateway.yaml` as it is written: how the process runs. Each key is documented here once.

use crate::config::document::work::{ApprovalsDocument, JobsDocument, WorkDocument};
use portcullis_core::units::{Bytes, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the process runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayDocument {
    /// The version of this file's format: 1.
    #[serde(default = "one")]
    pub version: u32,
    /// Where the process listens.
    #[serde(default)]
    pub listen: ListenDocument,
    /// The file that says where tools live; relative to this file.
    #[serde(default = "upstreams_file")]
    pub upstreams: String,
    /// The file that says who may do what; relative to this file.
    #[serde(default = "policy_file")]
    pub policy: String,
    /// A second policy, relative to this file, that is asked about each call beside the one that decides: where it says
    /// something else, a metric and the record tell, and the caller never does. One that can't be read stops nothing.
    #[serde(default)]
    pub shadow_policy: Option<String>,
    /// Whose tokens are accepted.
    pub identity: IdentityDocument,
    /// The secret that upstreams find in `X-Gateway-Auth`, so that they can refuse whoever does not come through the
    /// gateway. Without it the header is not sent.
    #[serde(default)]
    pub gateway_secret: Option<String>,
    /// The key of the keyed digests in audit and redaction (`hash`). Without it one is made at each start, and digests
    /// of different runs can't be compared.
    #[serde(default)]
    pub digest_key: Option<String>,
    /// The record of every call.
    #[serde(default)]
    pub journal: JournalDocument,
    /// What is remembered from run to run.
    #[serde(default)]
    pub state: StateDocument,
    /// Where approvals and jobs are kept.
    #[serde(default)]
    pub work: WorkDocument,
    /// Calls that run when their callers do not wait.
    #[serde(default)]
    pub jobs: JobsDocument,
    /// How people are asked to agree to calls.
    #[serde(default)]
    pub approvals: ApprovalsDocument,
    /// Bounds on what clients may send and how long they may take.
    #[serde(default)]
    pub edge: EdgeDocument,
    /// The console and the admin API, both on `listen.admin`.
    #[serde(default)]
    pub console: ConsoleDocument,
    /// Logs.
    #[serde(default)]
    pub telemetry: TelemetryDocument,
    /// How long calls that run may still take when the process is asked to end.
    #[serde(default = "thirty_seconds")]
    pub drain: Span,
    /// Threads that serve calls. Without it, one for each core.
    #[serde(default)]
    pub threads: Option<usize>,
}

/// Where the process listens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenDocument {
    /// Where clients call.
    pub ingress: String,
    /// Where operators look: metrics and readiness. Keep it on loopback or an internal network.
    pub admin: String,
    /// The URL under which clients reach the ingress: the audience of tokens and the base of metadata. Without it,
    /// `http://` and the ingress address.
    pub public_url: Option<String>,
    /// Serve TLS with this certificate and key. Without it, plain HTTP/1.1 and HTTP/2.
    pub tls: Option<TlsDocument>,
    /// Values of `Host` that are accepted. Without it: the public URL's host, the ingress address and, where that is a
    /// loopback address, `localhost` with its port.
    pub hosts: Option<Vec<String>>,
    /// Values of `Origin` that are accepted from browsers: their preflights are answered, and their pages may read answers
    /// (CORS). Requests without `Origin` are not concerned.
    pub origins: Vec<String>,
}

impl Default for ListenDocument {
    fn default() -> Self {
        Self {
            ingress: "127.0.0.1:8000".into(),
            admin: "127.0.0.1:9000".into(),
            public_url: None,
            tls: None,
            hosts: None,
            origins: Vec::new(),
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsDocument {
    /// The certificate chain, a PEM file.
    pub certificate: String,
    /// Its private key, a PEM file.
    pub key: String,
}

/// Whose tokens are accepted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityDocument {
    /// The issuers. A token of any other is refused.
    pub issuers: Vec<IssuerDocument>,
}

/// An issuer of tokens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerDocument {
    /// The exact value of the claim `iss`. Keys are found at `{issuer}/.well-known/openid-configuration` or
    /// `/.well-known/oauth-authorization-server` unless `jwks_url`, `secret` or `public_key` says otherwise.
    pub issuer: String,
    /// The algorithms that its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// A shared secret, for HS256. At least 32 bytes.
    #[serde(default)]
    pub secret: Option<String>,
    /// A public key in PEM, for the others, instead of a key set.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Where the key set is, instead of by discovery.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Accepted values of the claim `aud`. `{endpoint}` in one stands for the name of the endpoint that is called, so that a
    /// token for one endpoint is refused at the others. Without it: the public URL, for everything, and
    /// `{public_url}/{endpoint}/mcp`, as a client that follows MCP asks for its tokens.
    #[serde(default)]
    pub audiences: Option<Vec<String>>,
    /// The claims that say who calls.
    #[serde(default)]
    pub claims: ClaimsDocument,
    /// A token older than this, by its `iat`, is refused. `0s` accepts any age, and tokens without `iat`.
    #[serde(default = "one_hour")]
    pub max_token_age: Span,
    /// How far the clocks of issuer and gateway may differ.
    #[serde(default = "thirty_seconds")]
    pub clock_skew: Span,
}

/// A signature algorithm (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// The claims that say who calls. A dot goes into an object: `realm_access.roles`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimsDocument {
    /// The user. It must say the same of a person at all clients of the issuer, or nobody can tell that who decides on a call is
    /// who made it: where `sub` does not (Microsoft Entra ID), `oid` or `email`.
    pub user: String,
    /// The roles: a list of strings, or one string with spaces between.
    pub roles: String,
    /// The tenant.
    pub tenant: String,
    /// The agent: the client that acts for the user.
    pub agent: String,
    /// The scopes: one string with spaces between, or a list of strings. `scope` means `scp` too, where a token has that
    /// instead.
    pub scopes: String,
}

impl Default for ClaimsDocument {
    fn default() -> Self {
        Self {
            user: "sub".into(),
            roles: "roles".into(),
            tenant: "tid".into(),
            agent: "azp".into(),
            scopes: "scope".into(),
        }
    }
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Calls do not wait for their record. A crash may lose the last ones.
    Async,
    /// Calls wait until their record survives the end of the process.
    Journaled,
    /// Calls wait until their record survives the loss of power.
    Synced,
}

/// The record of every call.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalDocument {
    /// The SQLite file, relative to the working directory; its folder is made where it is missing.
    pub path: String,
    /// When a record counts as written.
    pub durability: Durability,
    /// How long a call may wait for its record before it is refused.
    pub deadline: Span,
    /// How large the file may become, its log beside it not counted. At four fifths `portcullis_audit_nearly_full` is 1 and
    /// the log says so; at the whole, calls are refused until there is room. Without it, the disk is the bound.
    pub max_bytes: Option<Bytes>,
    /// Records older than this are removed, in whole signed parts; what is left can still be checked. Without it, they are
    /// kept for ever.
    pub keep: Option<Span>,
    /// The signed checkpoints by which the record can be checked.
    pub checkpoints: CheckpointsDocument,
    /// Where copies of the record go. Each takes it in order, at least once and in its own time; none holds a call up.
    pub sinks: Vec<SinkDocument>,
}

/// The signed checkpoints by which the record can be checked: one every 1,000 entries, or after ten seconds with fewer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointsDocument {
    /// A file that checkpoints are appended to, beside the journal and the log; only what is kept where the journal's
    /// writers can't reach shows that its end was cut off. Relative to the working directory; its folder must be there.
    pub file: Option<String>,
    /// The Ed25519 key that signs them, in PEM: `openssl genpkey -algorithm ed25519`. Without it, one is made beside the
    /// journal.
    pub key: Option<String>,
}

/// Where copies of the record go: one of `postgres`, `file`, `otlp` and `webhook`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkDocument {
    /// What it is called in metrics, in the log, and where its position is kept: under a new name it gets the whole record
    /// once more.
    pub name: String,
    /// A database's URL: `postgres://user:password@host/database`. `portcullis audit schema` prints the tables; the gateway
    /// makes them itself where its role may.
    #[serde(default)]
    pub postgres: Option<String>,
    /// A file that lines of JSON are appended to, relative to the working directory, each batch forced to the disk; it may be
    /// renamed at any time. `-` is standard output.
    #[serde(default)]
    pub file: Option<String>,
    /// Where OpenTelemetry logs are taken (OTLP over HTTP, in JSON). A URL without a path gets `/v1/logs`.
    #[serde(default)]
    pub otlp: Option<String>,
    /// A receiver of signed batches.
    #[serde(default)]
    pub webhook: Option<WebhookDocument>,
}

/// A receiver of batches that are signed as Standard Webhooks says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookDocument {
    /// An https URL, or http on loopback. Redirects are not followed.
    pub url: String,
    /// `whsec_` and 24 to 64 bytes in base64: `echo whsec_$(openssl rand -base64 32)`.
    pub secret: String,
}

impl Default for JournalDocument {
    fn default() -> Self {
        Self {
            path: "data/journal.db".into(),
            durability: Durability::Journaled,
            deadline: Span(Duration::from_secs(2)),
            max_bytes: None,
            keep: None,
            checkpoints: CheckpointsDocument::default(),
            sinks: Vec::new(),
        }
    }
}

/// What is remembered from run to run: the definitions that are trusted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateDocument {
    /// The SQLite file, relative to the working directory; its folder is made where it is missing. Without it,
    /// `portcullis.db` beside the journal.
    pub path: Option<String>,
}

/// Bounds on what clients may send and how long they may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeDocument {
    /// Connections at the same time; more are closed at once.
    pub connections: usize,
    /// Calls under way at the same time, streams of news aside; more are refused with 503 before their token or body is
    /// looked at.
    pub calls: usize,
    /// Header fields of a request.
    pub header_count: usize,
    /// Bytes of a request's header.
    pub header_bytes: Bytes,
    /// Time for a request's header, from its first byte or the connection's start.
    pub header_deadline: Span,
    /// Time for a request's body.
    pub body_deadline: Span,
    /// Time a client may take to accept a part of an answer.
    pub write_timeout: Span,
    /// Time a connection may stay open without a request.
    pub keepalive: Span,
    /// The longest silence on a stream of events, before a comment is sent to keep it open.
    pub stream_silence: Span,
    /// Streams of news that one caller may have open at the same time.
    pub streams: usize,
    /// Refused tokens that one address may send before it is asked to wait.
    pub bad_tokens: portcullis_core::units::Rate,
    /// Ids of approvals and jobs that one user may name, as a caller or as an operator, that are not theirs or that nothing
    /// has, before they are asked to wait.
    pub wrong_ids: portcullis_core::units::Rate,
    /// Rows of the journal that refusals without a known caller may leave for one address, and for all addresses together
    /// ten times that; what is more is counted.
    pub refusal_rows: portcullis_core::units::Rate,
}

impl Default for EdgeDocument {
    fn default() -> Self {
        Self {
            connections: 10_000,
            calls: 2000,
            header_count: 64,
            header_bytes: Bytes(16 << 10),
            header_deadline: Span(Duration::from_secs(10)),
            body_deadline: Span(Duration::from_secs(30)),
            write_timeout: Span(Duration::from_secs(30)),
            keepalive: Span(Duration::from_secs(60)),
            stream_silence: Span(Duration::from_secs(15)),
            streams: 16,
            bad_tokens: portcullis_core::units::Rate { events: 120, period: Duration::from_secs(60) },
            wrong_ids: portcullis_core::units::Rate { events: 60, period: Duration::from_secs(60) },
            refusal_rows: portcullis_core::units::Rate { events: 600, period: Duration::from_secs(60) },
        }
    }
}

/// The console and the admin API: where people find them, and how they log in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleDocument {
    /// The URL under which people reach the console, without a path: links to approvals begin with it. Without it, `http://`
    /// and the admin address.
    pub public_url: Option<String>,
    /// Accepted values of the claim `aud` in tokens for the admin API and in tokens that people paste to log in. Without it,
    /// the console's public URL: what an agent holds for the gateway is no key to its operators' side.
    pub audiences: Option<Vec<String>>,
    /// People log in with this one of `identity.issuers`, by OpenID Connect; its keys must come by discovery. Register
    /// `{public_url}/login/callback` with it. Without it, people log in with a token.
    pub issuer: Option<String>,
    /// What the issuer calls the console.
    pub client_id: Option<String>,
    /// The client's secret. Without it, it is a public client, and the code exchange is protected by PKCE alone.
    pub client_secret: Option<String>,
    /// The scopes that are asked for; `openid` must be among them.
    pub scopes: Vec<String>,
    /// How long a login holds; a pasted token's own end comes before it.
    pub session: Span,
}

impl Default for ConsoleDocument {
    fn default() -> Self {
        Self {
            public_url: None,
            audiences: None,
            issuer: None,
            client_id: None,
            client_secret: None,
            scopes: vec!["openid".into()],
            session: Span(Duration::from_secs(8 * 3600)),
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Logs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryDocument {
    /// How log lines are written, to standard error.
    pub log: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,portcullis=debug`.
    pub level: String,
}

impl Default for TelemetryDocument {
    fn default() -> Self {
        Self { log: LogFormat::Json, level: "info".into() }
    }
}

const fn one() -> u32 {
    1
}

fn upstreams_file() -> String {
    "../upstreams.yaml".into()
}

fn policy_file() -> String {
    "../policy.yaml".into()
}

const fn one_hour() -> Span {
    Span(Duration::from_secs(3600))
}

const fn thirty_seconds() -> Span {
    Span(Duration::from_secs(30))
}
