//! A group of abuse cases as it is written. Every key is documented here; what is left out is as in a call that is in order.

use super::frames::Frames;
use super::words::Person;
use crate::support::peers::repository;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A file: one group of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The file, for messages.
    #[serde(skip)]
    pub file: String,
    /// Its letter.
    pub group: char,
    /// What it is about.
    pub about: String,
    /// Gateways other than the usual one, by name; each runs for the cases that name it.
    #[serde(default)]
    pub stages: BTreeMap<String, Setting>,
    /// People besides the usual ones.
    #[serde(default)]
    pub people: BTreeMap<String, Person>,
    pub cases: Vec<Case>,
}

/// How a gateway differs from the usual one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setting {
    /// `policy.yaml`.
    pub policy: Option<String>,
    /// Merged into `gateway.yaml`.
    pub gateway: Value,
    /// Merged into each upstream of `upstreams.yaml`.
    pub upstream: Value,
}

/// An attack, or several that must come to the same end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The number in the list.
    pub case: u16,
    /// The attack and its end, as a sentence.
    pub says: String,
    /// Where the list leaves a choice, or we end it otherwise: what was decided, and why.
    pub decision: Option<String>,
    /// The stage; without it, the usual one.
    pub stage: Option<String>,
    /// How the wire is spoken.
    #[serde(default = "http1")]
    pub over: Vec<Wire>,
    /// What `{each}` in `send` stands for, one after the other.
    #[serde(default = "once")]
    pub each: Vec<String>,
    /// What is sent. A case without any is not played: others show it (`shown`), or it is decided and not met.
    #[serde(default)]
    pub send: Vec<Send>,
    /// Tests elsewhere that show it, each as `file::name`; they run with the others, and the list says whether they are there.
    #[serde(default)]
    pub shown: Vec<String>,
    /// What the upstream answers; without it, one text.
    pub upstream: Option<Script>,
    /// Its end: one of `outcomes.yaml`.
    #[serde(default)]
    pub expect: String,
    /// What of its end is not as there, or is beside it.
    #[serde(default)]
    pub also: Outcome,
}

/// How the wire is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    H1,
    H2,
}

/// One request. `raw` or `h2` is all of it; otherwise it is the call that is in order, but for what is said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Send {
    /// Its bytes over HTTP/1.1. Each line of the YAML text ends with CRLF; other line ends are written as `{hex:0a}`.
    pub raw: Option<String>,
    /// Its frames over HTTP/2.
    pub h2: Option<Frames>,

    /// Who calls; without it dora, a developer. `nobody` sends no token.
    #[serde(rename = "as")]
    pub caller: Option<String>,
    /// A token made for the case, instead of the caller's.
    pub token: Option<Token>,
    /// The HTTP method.
    pub verb: Option<String>,
    /// The path; without it `/crm/mcp`.
    pub path: Option<String>,
    /// The JSON-RPC method; without it `tools/call`.
    pub method: Option<String>,
    /// The tool, in body and header.
    pub tool: Option<String>,
    /// Its arguments, as JSON.
    pub arguments: Option<String>,
    /// The members of `params`, as JSON without the braces; `_meta` comes behind them where it is not among them.
    pub params: Option<String>,
    /// The members of the message behind `method`, as JSON without the braces.
    pub members: Option<String>,
    /// The whole body.
    pub body: Option<String>,
    /// Whether it speaks an older revision: no `_meta`, none of the fields that mirror the body.
    pub legacy: bool,
    /// Fields that are set, or left out where null.
    pub headers: BTreeMap<String, Option<String>>,
    /// Fields beside those, each `name: value`, also of names that are there already.
    pub lines: Vec<String>,
}

/// A token made for a case: the claims of a good one of the caller, and what differs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// The header, instead of HS256 and JWT.
    pub header: Option<Value>,
    /// Claims that are set, or left out where null. `{now}`, `{now+60}` and `{now-60}` stand for seconds.
    pub claims: Map<String, Value>,
    /// How it is signed; without it, as its issuer does.
    pub signed: Signed,
    /// The whole token, where `{good}` stands for one made so.
    pub text: Option<String>,
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signed {
    /// By its issuer.
    #[default]
    Well,
    /// With another secret.
    Otherwise,
    /// Not at all.
    Not,
}

/// What the upstream answers. At most one of `text`, `json`, `events` and `raw`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// A result with this one text.
    pub text: Option<String>,
    /// A whole message; `$ID` stands for the request's id.
    pub json: Option<String>,
    /// A stream of these messages.
    pub events: Option<Vec<String>>,
    /// These bytes of the type `type`.
    pub raw: Option<String>,
    /// Bytes in each piece of a stream.
    pub cut: Option<usize>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<u16>,
    /// Fields beside those.
    pub headers: BTreeMap<String, String>,
    /// Instead of an answer: `closed` or `silent`.
    pub fault: Option<String>,
}

/// What must come of an attack. What is left out does not matter, but for `label`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outcome {
    /// The HTTP status.
    pub status: Option<u16>,
    /// The JSON-RPC code; 0 for an answer without an error.
    pub code: Option<i64>,
    /// The error in the audit row. Without it the call runs.
    pub label: Option<String>,
    /// Whether the upstream sees the call, once, although it ends with an error; without it, only a call that runs.
    pub reaches: Option<bool>,
    /// Whether the connection is closed after it.
    pub closed: Option<bool>,
    /// Whether there is no answer: the connection, or the stream of HTTP/2, is only closed.
    pub unanswered: Option<bool>,
    /// Audit rows; without it one.
    pub rows: Option<usize>,
    /// Columns of the row, null for those that must be empty.
    pub row: Map<String, Value>,
    /// Fields of the answer, null for those that must not be there.
    pub headers: BTreeMap<String, Option<String>>,
    /// What the answer's body holds.
    pub holds: Vec<String>,
    /// What the answer, header and body, must not hold.
    pub lacks: Vec<String>,
    /// What the upstream sees.
    pub seen: Option<Sight>,
}

/// What the upstream sees of a call that runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sight {
    /// Whether the body is the client's, byte for byte.
    pub same_body: bool,
    /// The body's members, null for those that must not be there, by JSON pointer.
    pub members: BTreeMap<String, Value>,
    /// Fields, null for those that must not be there. A field is there once.
    pub headers: BTreeMap<String, Option<String>>,
}

fn http1() -> Vec<Wire> {
    vec![Wire::H1]
}

fn once() -> Vec<String> {
    vec![String::new()]
}

impl Outcome {
    /// This, with what `other` says instead or beside.
    pub fn but(&self, other: &Self) -> Self {
        let mut both = self.clone();
        let other = other.clone();
        both.status = other.status.or(both.status);
        both.code = other.code.or(both.code);
        both.label = other.label.or(both.label);
        both.reaches = other.reaches.or(both.reaches);
        both.closed = other.closed.or(both.closed);
        both.unanswered = other.unanswered.or(both.unanswered);
        both.rows = other.rows.or(both.rows);
        both.row.extend(other.row);
        both.headers.extend(other.headers);
        both.holds.extend(other.holds);
        both.lacks.extend(other.lacks);
        both.seen = other.seen.or(both.seen);
        both
    }

    /// Whether the call reaches the upstream.
    pub fn reaches(&self) -> bool {
        self.reaches.unwrap_or(self.label.is_none() && self.unanswered != Some(true))
    }
}

/// The outcomes that cases name.
pub fn outcomes() -> BTreeMap<String, Outcome> {
    read("outcomes.yaml")
}

/// All groups that there are, in order.
pub fn groups() -> Vec<Group> {
    let folder = repository().join("tests/cases/abuse");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|file| file != "outcomes.yaml");
    files.sort();
    let group = |file: &String| Group { file: file.clone(), ..read(file) };
    files.iter().map(group).collect()
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = repository().join("tests/cases/abuse").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}
