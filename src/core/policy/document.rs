//! `policy.yaml` as it is written. Read by `config`, given its meaning by `compile`, `limit` and `redact`.
//!
//! Every key is documented here once: the JSON schema for editors and the configuration reference are made from these
//! types.

use crate::tool::{Class, Mode, Severity};
use crate::units::{Bytes, Rate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who may do what with which tool, how often, and what they may see.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// The version of this file's format: 1.
    pub version: u32,
    /// Every role that tokens may name, with the roles it includes. A role that is not here grants nothing.
    #[serde(default)]
    pub roles: BTreeMap<String, RoleDocument>,
    /// What tools are. The first entry that matches a tool's name describes it; a tool without one counts as
    /// destructive.
    #[serde(default)]
    pub tools: Vec<ToolDocument>,
    /// Who may use which upstream, up to which level.
    #[serde(default)]
    pub access: Vec<AccessDocument>,
    /// Rules for single tools, arguments and conditions. Their order does not matter: deny beats review beats allow.
    #[serde(default)]
    pub rules: Vec<RuleDocument>,
    /// OAuth scopes that tokens must have beside what `access` and `rules` allow. A scope grants nothing by itself.
    #[serde(default)]
    pub scopes: Vec<ScopeDocument>,
    /// How often, and how many at once.
    #[serde(default)]
    pub limits: Vec<LimitDocument>,
    /// How large.
    #[serde(default)]
    pub payload: PayloadDocument,
    /// What is masked, dropped, hashed or blocked in answers.
    #[serde(default)]
    pub redaction: Vec<RedactionDocument>,
    /// Who may use the console and the admin API, and what for. Who may agree to a call is said by its rule's `approvers`.
    #[serde(default)]
    pub operators: OperatorsDocument,
}

/// Who may use the console and the admin API. Without it, nobody but those who may agree to calls, and they see those alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorsDocument {
    /// Roles that may see the record, jobs and approvals of their own tenant, the catalogue, and what policy would say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<String>>,
    /// Roles that may, besides that, accept changed definitions and cancel or requeue jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<Vec<String>>,
}

/// A role.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleDocument {
    /// Roles whose rights this role has too. No circles.
    #[serde(default)]
    pub inherits: Vec<String>,
}

/// What the tools of a name are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolDocument {
    /// `upstream.tool`, or a glob over the whole of it: `*` stands for any characters, `?` for one.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What the tool does to the world.
    pub class: Class,
    /// How bad a wrong call is. Without it: low for read, medium for write, high for destructive.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Its answers hold personal data.
    #[serde(default)]
    pub pii: bool,
    /// How its calls run, where it is not at once and while the caller waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// It may run twice and do what it does once. A job of it is tried again where nobody knows whether it ran; that of
    /// any other tool is then left to a person.
    #[serde(default)]
    pub idempotent: bool,
    /// How often a job of it may be tried, 1 to 20; without it, 3. A tool that is not `idempotent` is tried again only
    /// where nothing of the call has left for the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// A tool of class `read`, as `upstream.tool`, that shows what a call of this one would do. Before people are asked to agree to
    /// a call, it is called with the same arguments and as the same caller, whom policy must allow it, and they see its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<String>,
    /// Whether nobody is asked where that fails: the call is refused then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run_required: bool,
}

/// How far a role may go with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Not at all: denies, whatever another entry or rule allows.
    Disabled,
    /// Tools of class `read`, prompts and resources.
    Read,
    /// Tools of class `read` and `write`, prompts and resources.
    Write,
    /// Tools of every class, prompts and resources.
    Destroy,
}

/// Lets roles use upstreams up to a level.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessDocument {
    /// The roles that this entry is for.
    pub roles: Vec<String>,
    /// The upstreams, by name or glob.
    pub upstreams: Vec<String>,
    /// How far.
    pub level: Level,
}

/// What a rule does when it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The call goes on.
    Allow,
    /// A person must agree first.
    Review,
    /// The call is refused.
    Deny,
}

/// A rule. It matches a call of a tool, the use of a prompt or the reading of a resource when all that it states is true of it; what it does not state does not matter.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleDocument {
    /// The rule's name in the audit; unique.
    pub id: String,
    /// What it does.
    pub effect: Effect,
    /// Tools, as `upstream.tool` or a glob over the whole of it. Case matters. A rule that has `tools`, `prompts` or
    /// `resources` speaks of these alone; one that has none of the three speaks of all kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Prompts, as `upstream.prompt`; globs may stand on either side of the first dot. Case matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Vec<String>>,
    /// Resources and templates, as `upstream.uri`, such as `docs.file:///srv/docs/*`; globs may stand on either side of
    /// the first dot, and `*` stands for slashes too. An allow rule takes the URI as it is written. A deny or review
    /// rule takes it without regard to case and percent-encoding, with and without its query. A URI that can be read
    /// in two ways (dot segments, doubled slashes, encoded dots or slashes, backslashes) makes an allow rule not match and
    /// a deny or review rule match, unless the rule names it exactly or says `upstream.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// Classes of tools. Prompts and resources are of class `read` and of low severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// Exactly this severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// This severity or a higher one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// This severity or a lower one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_severity: Option<Severity>,
    /// Endpoints through which the call came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// Roles of the caller, inherited ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Users, by subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<String>>,
    /// Tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<String>>,
    /// Agents, by client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Vec<String>>,
    /// Constraints on arguments, by name (`a.b` for the member `b` of the object `a`). On a missing or odd-typed
    /// argument a deny or review rule matches and an allow rule does not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, ArgumentDocument>,
    /// A CEL expression over `args`, `principal`, `tool` and `request`. `tool` has `kind` (`tool`, `prompt` or `resource`),
    /// `name` (`upstream.tool`, `upstream.prompt` or `upstream.uri`), `upstream`, `class`, `severity` and `pii`. An error makes a deny or review rule match and
    /// an allow rule not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// For `review`: the roles whose members may agree. The requester never may. Without it, nobody may. Where several review
    /// rules match, people must agree by each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Vec<String>>,
    /// For `review`: how long an approval stays open, from the first call on, and how long a refusal stands. Without it, 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// For `review`: how many people must agree. Without it, 1. One who refuses is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// For `review`: how long a call waits for a decision before its client is told to come back; at most 1m. Without it, it does
    /// not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
    /// For `review`: why a person is asked, for that person to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A scope, and what it is needed for. All that is stated must be true of a use for it to need the scope; where several
/// entries speak of it, it needs all their scopes. A caller who may do something but for a scope is told which scopes it
/// needs, so that the client can ask for them; to anyone else it looks as if it did not exist.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeDocument {
    /// The scope, as tokens name it.
    pub scope: String,
    /// The tools it is needed for, as in `rules`. An entry without `tools`, `prompts`, `resources` and `classes` makes its
    /// scope needed for nothing, and only says what it includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// The prompts it is needed for, as in `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Vec<String>>,
    /// The resources and templates it is needed for, as in `rules`. Read as a deny rule reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// The classes it is needed for. Prompts and resources are of class `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// The endpoints it is needed at; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// Scopes that a token with this one need not have: it stands for them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<String>,
    /// Clients without a token are told to ask for it at once. Without such a scope they are told none, and ask for all that
    /// the endpoint's metadata lists.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
}

/// How an argument's text is made canonical before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentType {
    /// An absolute path: `.`, `..`, doubled slashes and backslashes are resolved or refused first.
    Path,
    /// An http or https URL: host in lower case, default port and dot segments removed; user info, private,
    /// loopback and link-local addresses in any spelling are refused.
    Url,
}

/// What must be true of one argument. All that is stated must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgumentDocument {
    /// Makes the text canonical first.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ArgumentType>,
    /// Exactly this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<serde_json::Value>,
    /// One of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<serde_json::Value>>,
    /// Text that begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Text that matches this regular expression as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A number not below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<serde_json::Number>,
    /// A number not above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<serde_json::Number>,
    /// Text of at most so many characters, or a list of at most so many members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_len: Option<u64>,
}

/// What a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Issuer and subject.
    User,
    /// The client that acts for the user.
    Agent,
    /// The tenant.
    Tenant,
    /// `upstream.tool`. Whatever is no tool counts as one.
    Tool,
    /// The endpoint.
    Endpoint,
}

/// A limit. All limits that apply to a call must have room for it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitDocument {
    /// One budget for each combination of these; an empty list is one budget for all.
    pub per: Vec<Dimension>,
    /// The tools it applies to, as `upstream.tool` or globs. A limit that has `tools`, `prompts` or `resources` applies to
    /// calls of these alone; one that has none of the three to every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// The prompts it applies to, as in `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Vec<String>>,
    /// The resources and templates it applies to, as in `rules`. Read as a deny rule reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// The roles it applies to; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Calls in a length of time, such as `600/m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may come at once before the rate holds. Without it, the rate's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Calls that may run at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// How large requests and answers may be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PayloadDocument {
    /// The largest request body; a larger one is answered with 413.
    pub request: Bytes,
    /// The largest answer, and the largest single event of a stream; a larger one is answered with 502.
    pub response: Bytes,
    /// The longest text content, in characters; the rest is cut off and said to be.
    pub text_chars: u64,
}

impl Default for PayloadDocument {
    fn default() -> Self {
        Self { request: Bytes(1 << 20), response: Bytes(8 << 20), text_chars: 100_000 }
    }
}

/// What redaction can find by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// E-mail addresses.
    Email,
    /// Telephone numbers: E.164, and national ones beside a word that says so.
    Phone,
    /// International bank account numbers (ISO 13616, checked).
    Iban,
    /// Payment card numbers (ISO/IEC 7812, checked).
    Card,
    /// US social security numbers: by their form, and nine bare digits beside their name.
    Ssn,
    /// Swiss social security numbers (checked).
    Ahv,
    /// German tax ids (checked): eleven bare digits beside their name, grouped ones anywhere.
    SteuerId,
    /// Dutch citizen service numbers (checked), beside their name.
    Bsn,
    /// Spanish DNI and NIE (checked).
    Dni,
    /// Italian codici fiscali (checked).
    CodiceFiscale,
    /// French social security numbers (checked).
    Nir,
    /// Polish PESEL numbers (checked), beside their name.
    Pesel,
    /// British NHS numbers (checked), beside their name.
    Nhs,
    /// Brazilian CPF (checked): with dots and dash anywhere, otherwise beside their name.
    Cpf,
    /// IPv4 and IPv6 addresses.
    Ip,
    /// Hardware addresses (EUI-48).
    Mac,
    /// Codes of banks (ISO 9362), beside their name.
    Bic,
    /// Passport numbers, beside their name.
    Passport,
    /// Dates of birth, beside a word that says so.
    BirthDate,
    /// JWTs, private keys, credentials in headers and URLs, and the API keys of well-known services.
    Secret,
}

/// What is done with what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedactionAction {
    /// Left as it is, for the roles, tools, prompts and resources of this entry, whatever other entries say.
    Allow,
    /// Replaced by a keyed digest, the same for the same value.
    Hash,
    /// Replaced by a word that says what stood there.
    Mask,
    /// Removed: the text that was found, or the whole field.
    Drop,
    /// The whole answer is refused.
    Block,
}

/// What to look for in answers, and what to do with it. Where several entries speak of the same finding, `allow` wins,
/// then `block`, `drop`, `mask`, `hash`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedactionDocument {
    /// What to find.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detect: Vec<Detector>,
    /// Own patterns, by name: regular expressions that match what is to be found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patterns: BTreeMap<String, String>,
    /// Fields, as JSONPath of the form `$.a.b[*]['c']` or `$..name`, from the root of a tool's result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What to do with it.
    pub action: RedactionAction,
    /// The tools it applies to, as `upstream.tool` or globs. An entry that has `tools`, `prompts` or `resources` applies to
    /// answers of these alone; one that has none of the three to every answer, lists and news too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// The prompts it applies to, as in `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Vec<String>>,
    /// The resources and templates it applies to, as in `rules`. Where the action is `allow` they are read as an allow rule
    /// reads them, else as a deny rule does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// The callers' roles it applies to, inherited ones included; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
}
