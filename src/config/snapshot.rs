//! The configuration as the process uses it: compiled, immutable, loaded once per request.

use crate::config::document::gateway::{Algorithm, ClaimsDocument, Durability, EdgeDocument, TelemetryDocument};
use crate::config::document::upstreams::{HttpVersion, Sharing};
use crate::config::document::work::JobsDocument;
use crate::config::report::Report;
use crate::secrets::Secret;
use portcullis_core::limit::LimitSet;
use portcullis_core::network::Network;
use portcullis_core::policy::PolicySet;
use portcullis_core::policy::document::PayloadDocument;
use portcullis_core::redact::Redactor;
use portcullis_core::route::Routes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything a request is judged by.
pub struct Snapshot {
    /// The first 12 hex digits of SHA-256 over the three files' bytes. It is in each audit entry.
    pub revision: String,
    /// How the process runs.
    pub gateway: Gateway,
    /// Where tools live, by name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// Virtual MCP servers.
    pub routes: Routes,
    /// Who may do what.
    pub policy: PolicySet,
    /// What would be said by a policy that is only being tried, or why that can't be asked; `None` where there is none.
    pub shadow: Option<Result<PolicySet, Report>>,
    /// How often.
    pub limits: LimitSet,
    /// How large.
    pub payload: PayloadDocument,
    /// What is not seen in answers.
    pub redactor: Redactor,
}

/// How the process runs. What a reload can't change is marked.
pub struct Gateway {
    /// Where clients call; fixed at start.
    pub ingress: SocketAddr,
    /// Where operators look; fixed at start.
    pub admin: SocketAddr,
    /// The URL under which clients reach the ingress, without a slash at the end.
    pub public_url: String,
    /// Certificate chain and key, known to belong together; whether there is TLS is fixed at start.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Accepted values of `Host`, in lower case.
    pub hosts: Vec<String>,
    /// Accepted values of `Origin`.
    pub origins: Vec<String>,
    /// Whose tokens are accepted.
    pub issuers: Vec<Issuer>,
    /// Value of `X-Gateway-Auth`.
    pub gateway_secret: Option<Secret<String>>,
    /// The key of keyed digests.
    pub digest_key: Secret<Vec<u8>>,
    /// The record of every call; fixed at start.
    pub journal: Journal,
    /// The state database; fixed at start.
    pub state_path: PathBuf,
    /// Where approvals and jobs are kept; fixed at start.
    pub work_store: WorkStore,
    /// Whether it is the same in the next run.
    pub digest_key_stays: bool,
    /// Calls that run when their callers do not wait; workers and lease are fixed at start.
    pub jobs: JobsDocument,
    /// How people are asked.
    pub approvals: Approvals,
    /// Where copies of the record go. No two have one name.
    pub sinks: Vec<Arc<Sink>>,
    /// Bounds on what clients may send; those of connections are fixed at start.
    pub edge: EdgeDocument,
    /// The console and the admin API.
    pub console: Console,
    /// Logs; fixed at start.
    pub telemetry: TelemetryDocument,
    /// How long calls may take when the process ends; fixed at start.
    pub drain: Duration,
    /// Threads that serve calls; fixed at start.
    pub threads: usize,
}

/// The console and the admin API.
pub struct Console {
    /// The origin under which people reach it, without a slash at the end.
    pub public_url: String,
    /// Accepted values of `aud`. Never empty.
    pub audiences: Vec<String>,
    /// How people log in, where it is not with a token.
    pub login: Option<Login>,
    /// How long a login holds.
    pub session: Duration,
}

/// Logging in by OpenID Connect.
pub struct Login {
    /// The issuer, one of those whose tokens are accepted.
    pub issuer: Issuer,
    /// The same, as the URL where its metadata is.
    pub url: url::Url,
    /// What it calls the console.
    pub client_id: String,
    /// The client's secret, where it has one.
    pub client_secret: Option<Secret<String>>,
    /// With spaces between (RFC 6749 section 3.3).
    pub scopes: String,
}

/// The record of every call: where it is, how it is written, and how long it is kept.
pub struct Journal {
    /// The file.
    pub path: PathBuf,
    /// When a record counts as written.
    pub durability: Durability,
    /// How long a call may wait for its record.
    pub deadline: Duration,
    /// How large the file may become.
    pub max_bytes: Option<u64>,
    /// How long records are kept at least.
    pub keep: Option<Duration>,
    /// The file that checkpoints are appended to.
    pub checkpoint_file: Option<PathBuf>,
    /// The key that signs them, as PEM; known to be one.
    pub checkpoint_key: Option<Secret<String>>,
}

/// How people are asked to agree to calls.
pub struct Approvals {
    /// The most approvals of one user that wait at a time.
    pub pending: u32,
    /// Who is told of new ones.
    pub webhook: Option<ApprovalWebhook>,
}

/// Who is told of new approvals.
pub struct ApprovalWebhook {
    /// Where.
    pub url: url::Url,
    /// What signs it; none for Slack.
    pub key: Option<Secret<Vec<u8>>>,
    /// Whether it is a message for Slack.
    pub slack: bool,
}

/// Where approvals and jobs are kept.
pub enum WorkStore {
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In the Postgres database at this URL.
    Postgres(Secret<String>),
}

impl PartialEq for WorkStore {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => one == other,
            (Self::Postgres(one), Self::Postgres(other)) => one.expose() == other.expose(),
            _ => false,
        }
    }
}

/// A place that copies of the record go to.
#[derive(PartialEq)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Which place it is.
    pub target: Target,
}

/// Which place copies of the record go to.
pub enum Target {
    /// A database at this URL.
    Postgres(Secret<String>),
    /// A file that lines are appended to.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// A receiver of OpenTelemetry logs.
    Otlp(url::Url),
    /// A receiver of signed batches, and the key they are signed with.
    Webhook(url::Url, Secret<Vec<u8>>),
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Postgres(one), Self::Postgres(other)) => one.expose() == other.expose(),
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Stdout, Self::Stdout) => true,
            (Self::Otlp(one), Self::Otlp(other)) => one == other,
            (Self::Webhook(one, key), Self::Webhook(other, other_key)) => {
                one == other && key.expose() == other_key.expose()
            }
            _ => false,
        }
    }
}

/// An issuer of tokens.
#[derive(Clone)]
pub struct Issuer {
    /// The exact value of `iss`.
    pub issuer: String,
    /// The algorithms its tokens may be signed with. Never empty.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// Accepted values of `aud`, where [`ENDPOINT`] stands for the name of the endpoint that is called. Never empty.
    pub audiences: Vec<String>,
    /// The claims that say who calls.
    pub claims: ClaimsDocument,
    /// The greatest age by `iat`; zero for any, and for tokens without `iat`.
    pub max_token_age: Duration,
    /// How far clocks may differ.
    pub clock_skew: Duration,
}

/// What stands for an endpoint's name in an audience.
pub const ENDPOINT: &str = "{endpoint}";

impl Issuer {
    /// Whether a token for `audience` is good at `endpoint`; `None` for what is no endpoint.
    pub fn accepts(&self, audience: &str, endpoint: Option<&str>) -> bool {
        self.audiences.iter().any(|accepted| match accepted.split_once(ENDPOINT) {
            None => accepted == audience,
            Some((before, after)) => {
                let name = audience.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                name.is_some() && name == endpoint
            }
        })
    }
}

/// Where an issuer's keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// A shared secret, for HS256.
    Secret(Secret<Vec<u8>>),
    /// A public key in PEM.
    Pem(String),
    /// A key set at this URL.
    Jwks(url::Url),
    /// A key set that the issuer's metadata names.
    Discovery(url::Url),
}

/// An MCP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// How it is spoken to.
    pub transport: Transport,
    /// Its replicas. Never empty where `transport` is [`Transport::Http`]; the others have none until an adapter stands
    /// before them.
    pub replicas: Vec<Replica>,
    /// Where its replicas may be; empty for anywhere that a server can be.
    pub addresses: Vec<Network>,
    /// Scheme `https`.
    pub tls: bool,
    /// Path and query of its MCP endpoint.
    pub path: String,
    /// A path that answers a GET with 200 while a replica is well.
    pub health: Option<String>,
    /// How often each replica is checked.
    pub health_interval: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How requests reach it.
    pub http: HttpVersion,
    /// The bytes of a PEM file with its certificate authority.
    pub ca: Option<Vec<u8>>,
    /// How often its lists are asked for again at least.
    pub refresh: Duration,
    /// Whether definitions that change are held back.
    pub pinning: bool,
    /// Whether each caller has lists of their own.
    pub per_user: bool,
}

/// How an upstream is spoken to.
#[derive(Debug, Clone, PartialEq)]
pub enum Transport {
    /// By Streamable HTTP, at its replicas.
    Http,
    /// By the standard input and output of a program.
    Stdio(Stdio),
    /// By HTTP+SSE of MCP 2024-11-05; this is where its event stream is.
    Sse(url::Url),
}

/// A program that speaks MCP on its standard input and output.
#[derive(Debug, Clone, PartialEq)]
pub struct Stdio {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, by name.
    pub env: BTreeMap<String, Variable>,
    /// Its working directory, where it is not the gateway's.
    pub cwd: Option<PathBuf>,
    /// Who shares a process.
    pub per: Sharing,
    /// How long a process lives that nobody calls.
    pub idle: Duration,
    /// The most processes at once.
    pub max_processes: usize,
}

/// The value of a variable of a program's environment.
#[derive(Clone)]
pub struct Variable {
    /// The value.
    pub value: Secret<String>,
    /// It came from a reference, and is long enough to be told from other text: it must be seen nowhere.
    pub hidden: bool,
}

impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.hidden == other.hidden && self.value.expose() == other.value.expose()
    }
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Variable")
    }
}

impl Stdio {
    /// The values that must be seen nowhere.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        self.env.values().filter(|variable| variable.hidden).map(|variable| variable.value.expose().as_str())
    }
}

/// Host and port of one server behind an upstream's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica {
    /// A DNS name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What `Host` says: the authority of the URL as written.
    pub authority: String,
}
