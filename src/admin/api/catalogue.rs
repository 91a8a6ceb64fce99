//! `/api/catalogue`: what upstreams were seen to offer, what of it is held back, and the acceptance of what is. The
//! catalogue is all tenants' alike.

use crate::admin::Admin;
use crate::admin::auth::Operator;
use crate::admin::problem::Problem;
use crate::admin::trace::{self, Act};
use crate::store::pins::{Ledger, PinsError, Row, Text};
use axum::Json;
use axum::extract::State;
use portcullis_core::catalog::{PinKind, changes};
use portcullis_core::policy::Power;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All that upstreams were seen to offer.
#[derive(Serialize, JsonSchema)]
pub struct Catalogue {
    /// In order of upstream, kind and name.
    definitions: Vec<Definition>,
}

/// A tool, a prompt, or what an upstream says of itself.
#[derive(Serialize, JsonSchema)]
pub struct Definition {
    /// Whose it is.
    upstream: String,
    /// `tool`, `prompt` or `instructions`.
    kind: String,
    /// Its name; empty for instructions.
    name: String,
    /// `trusted`, `quarantined`, or `inactive` where the upstream does not offer it now.
    state: String,
    /// What is trusted.
    trusted: Version,
    /// What the upstream offers instead, and is held back.
    held: Option<Version>,
    /// How the two differ.
    changes: Vec<Difference>,
}

/// A definition as it was at a time.
#[derive(Serialize, JsonSchema)]
pub struct Version {
    /// SHA-256 of its canonical form, in hex.
    digest: String,
    /// Since when, RFC 3339.
    since: String,
    /// The definition.
    definition: Value,
}

/// A place in which two versions differ.
#[derive(Serialize, JsonSchema)]
pub struct Difference {
    /// JSON pointer (RFC 6901).
    at: String,
    /// What stood there, as JSON.
    before: Option<String>,
    /// What stands there now, as JSON.
    after: Option<String>,
}

/// What is to be trusted from now on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accepting {
    /// Whose definition.
    pub upstream: String,
    /// `tool`, `prompt` or `instructions`.
    pub kind: String,
    /// Its name; empty for instructions.
    #[serde(default)]
    pub name: String,
    /// The whole digest of the version that was looked at: if it has changed since, nothing is accepted.
    pub digest: String,
}

/// What was accepted.
#[derive(Serialize, JsonSchema)]
pub struct Accepted {
    /// The digest that is trusted now. Calls are judged by it within two seconds.
    digest: String,
}

impl Definition {
    fn of(row: &Row) -> Self {
        let held = row.found.as_ref();
        Self {
            upstream: row.upstream.clone(),
            kind: row.kind.as_str().to_owned(),
            name: row.name.clone(),
            state: state(row).to_owned(),
            trusted: Version::of(&row.pinned),
            held: held.map(Version::of),
            changes: held.map(|held| differences(&row.pinned.text, &held.text)).unwrap_or_default(),
        }
    }
}

impl Version {
    fn of(text: &Text) -> Self {
        let definition = serde_json::from_str(&text.text).unwrap_or_default();
        Self { digest: text.digest.clone(), since: text.since.clone(), definition }
    }
}

fn differences(before: &str, after: &str) -> Vec<Difference> {
    let of = |change: portcullis_core::catalog::Change| Difference {
        at: change.at,
        before: change.before,
        after: change.after,
    };
    changes(before, after).into_iter().map(of).collect()
}

/// What is thought of a definition.
pub fn state(row: &Row) -> &'static str {
    match (&row.found, &row.gone_at) {
        (Some(_), _) => "quarantined",
        (None, Some(_)) => "inactive",
        (None, None) => "trusted",
    }
}

/// All definitions, for an operator who may read.
///
/// # Errors
/// They may not, or the state database can't be read.
pub async fn read(operator: &Operator) -> Result<Vec<Row>, Problem> {
    operator.require(Power::Read)?;
    let rows = async { Ledger::open(&operator.live.snapshot.gateway.state_path).await?.rows().await };
    rows.await.map_err(|error| Problem::unavailable("catalogue", &error))
}

/// Trusts what is held back, for an operator who may manage. That they want it is in the record before it is so, and what
/// became of it after.
///
/// # Errors
/// They may not, there is nothing of that held back, it has changed, or something can't be written.
pub async fn trust(admin: &Admin, operator: &Operator, wanted: &Accepting) -> Result<Accepted, Problem> {
    let method = "operator/catalogue.accept";
    let named = format!("{} {} {} {}", wanted.kind, wanted.upstream, wanted.name, wanted.digest);
    trace::require_manage(admin, operator, &Act { method, tool: None, detail: &named })?;
    let unavailable = |error: PinsError| Problem::unavailable("catalogue", &error);
    let mut ledger = Ledger::open(&operator.live.snapshot.gateway.state_path).await.map_err(unavailable)?;
    let rows = ledger.rows().await.map_err(unavailable)?;
    let kind = PinKind::parse(&wanted.kind).ok_or_else(Problem::not_found)?;
    let is_meant = |row: &&Row| row.upstream == wanted.upstream && row.kind == kind && row.name == wanted.name;
    let row = rows.iter().find(is_meant).ok_or_else(Problem::not_found)?;
    let changed = || Problem::conflict("This is not what is held back now; look at the change again");
    let found = row.found.as_ref().filter(|found| found.digest == wanted.digest).ok_or_else(changed)?;
    let (title, detail) = (row.title(), format!("{} {} becomes {}", kind.as_str(), row.pinned.digest, found.digest));
    let act = Act { method, tool: Some(&title), detail: &detail };
    let deed = trace::begin(admin, operator, &act, None).await?;
    if ledger.accept(row, &operator.principal.subject).await.map_err(unavailable)? {
        deed.done();
        Ok(Accepted { digest: found.digest.clone() })
    } else {
        deed.refused("definition_changed");
        Err(changed())
    }
}

/// `GET /api/catalogue`.
pub async fn list(operator: Operator) -> Result<Json<Catalogue>, Problem> {
    let definitions = read(&operator).await?.iter().map(Definition::of).collect();
    Ok(Json(Catalogue { definitions }))
}

/// `POST /api/catalogue/accept`.
pub async fn accept(
    State(admin): State<Admin>,
    operator: Operator,
    Json(wanted): Json<Accepting>,
) -> Result<Json<Accepted>, Problem> {
    trust(&admin, &operator, &wanted).await.map(Json)
}
