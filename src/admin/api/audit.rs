//! `/api/audit`: the record of the own tenant, searched and followed. That somebody looked is in the record too.

use crate::admin::Admin;
use crate::admin::auth::Operator;
use crate::admin::problem::Problem;
use crate::admin::tail::{self, Tail};
use crate::admin::trace::{self, Act};
use crate::pipeline::clock;
use crate::store::journal::JournalError;
use crate::store::journal::read::{Order, Reader};
use crate::store::journal::search::{Found, Search, moment};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use portcullis_core::audit::row::Stored;
use portcullis_core::policy::Power;
use portcullis_core::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most rows of an answer.
const MOST: usize = 500;
/// How many there are, where nothing is said.
const USUAL: usize = 50;
/// Rows that are looked at for an answer.
const LOOKED_AT: i64 = 200_000;

/// Which rows. All that is said must hold; what is empty is not said.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Not before this time (`2026-11-20T08:00:00Z`), or this long ago (`7d`).
    pub since: Option<String>,
    /// Before this time, or this long ago.
    pub until: Option<String>,
    /// The user, as the issuer names them.
    pub user: Option<String>,
    /// The client that acted for the user.
    pub agent: Option<String>,
    /// The tool, prompt or resource, as `upstream.tool` or a glob over the whole of it.
    pub tool: Option<String>,
    /// What policy said: `allow`, `review` or `deny`.
    pub decision: Option<String>,
    /// How it ended: `ok`, `tool_error`, `refused`, `failed`, `cancelled` or `unknown`.
    pub outcome: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Text in names, arguments or details; upper and lower case are one.
    pub text: Option<String>,
    /// The rows before this one: the `next` of the page before.
    pub before: Option<String>,
    /// For the tail: the rows after this one, rather than those that come from now on. `Last-Event-ID` goes before it.
    pub after: Option<String>,
    /// At most so many rows, and never more than 500.
    pub limit: Option<String>,
}

/// Rows of the record, newest first.
#[derive(Serialize, JsonSchema)]
pub struct Rows {
    /// Each with all columns, as in an export.
    rows: Vec<Value>,
    /// The `before` of the next page, where there may be one. A search ends after 200,000 rows, whatever it has found.
    next: Option<i64>,
}

/// A page of the record.
pub struct Page {
    /// Newest first.
    pub rows: Vec<Stored>,
    /// The `before` of the next one.
    pub next: Option<i64>,
    /// The newest place that was looked at, where it began at the end: the `after` of a tail that misses nothing.
    pub seen: i64,
}

impl Wanted {
    /// The same without what is empty: a form sends all its fields.
    fn said(field: &Option<String>) -> Option<String> {
        field.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// What is looked for, in the tenant of `operator`.
    ///
    /// # Errors
    /// 400: a time that is none.
    pub fn search(&self, operator: &Operator) -> Result<Search, Problem> {
        let time = |name: &str, field: &Option<String>| -> Result<Option<Timestamp>, Problem> {
            let read = Self::said(field).map(|text| moment(&text, clock::now())).transpose();
            read.map_err(|wrong| Problem::bad_request(format!("`{name}`: {wrong}")))
        };
        Ok(Search {
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
            user: Self::said(&self.user),
            of_tenant: Some(operator.principal.tenant.clone()),
            agent: Self::said(&self.agent),
            tool: Self::said(&self.tool),
            decision: Self::said(&self.decision),
            outcome: Self::said(&self.outcome),
            rule: Self::said(&self.rule),
            text: Self::said(&self.text),
        })
    }

    /// What is looked for, in words for the record.
    fn words(&self) -> String {
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return String::new() };
        let said = fields.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        let said = said.filter(|(_, value)| !value.is_empty());
        said.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    fn number<T: std::str::FromStr>(name: &str, field: &Option<String>) -> Result<Option<T>, Problem> {
        let read = Self::said(field).map(|text| text.parse()).transpose();
        read.map_err(|_| Problem::bad_request(format!("`{name}` must be a number")))
    }
}

/// Reads a page for `operator`, who must be one that may read, and records that.
///
/// # Errors
/// They may not, it makes no sense, or the record can't be read or written.
pub async fn read(admin: &Admin, operator: &Operator, wanted: &Wanted) -> Result<Page, Problem> {
    operator.require(Power::Read)?;
    let search = wanted.search(operator)?;
    let before = Wanted::number("before", &wanted.before)?;
    let limit = Wanted::number("limit", &wanted.limit)?.unwrap_or(USUAL).clamp(1, MOST);
    if Wanted::said(&wanted.after).is_some() {
        return Err(Problem::bad_request("`after` is for /api/audit/tail"));
    }
    let act = Act { method: "operator/audit.read", tool: None, detail: &wanted.words() };
    trace::record(admin, operator, &act).await?;
    let path = &operator.live.snapshot.gateway.journal.path;
    let found = async {
        // The semaphore is never closed.
        let _turn = admin.searches.acquire().await;
        let mut reader = Reader::open(path).await?;
        let seen = reader.last().await?;
        let found = search.look(&mut reader, Order::NewestFirst, before, limit, LOOKED_AT).await?;
        Ok((seen, found))
    };
    let found: Result<_, JournalError> = found.await;
    let (seen, Found { rows, to, whole }) = found.map_err(|error| Problem::unavailable("record", &error))?;
    let seen = rows.first().map_or(seen, |first| first.seq.max(seen));
    Ok(Page { rows, next: (!whole).then_some(to), seen })
}

/// Opens the rows that come to `operator`, who must be one that may read, and records that. A browser that has lost its
/// connection says in `headers` which row it had last (HTML "Server-sent events").
///
/// # Errors
/// As [`read`].
pub async fn follow(admin: &Admin, operator: Operator, headers: &HeaderMap, wanted: &Wanted) -> Result<Tail, Problem> {
    operator.require(Power::Read)?;
    let search = wanted.search(&operator)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = last.or(Wanted::number("after", &wanted.after)?);
    let act = Act { method: "operator/audit.follow", tool: None, detail: &wanted.words() };
    trace::record(admin, &operator, &act).await?;
    Tail::open(admin, operator, search, after).await
}

/// `GET /api/audit`.
pub async fn list(
    State(admin): State<Admin>,
    operator: Operator,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Rows>, Problem> {
    let page = read(&admin, &operator, &wanted).await?;
    let rows = page.rows.iter().filter_map(|row| serde_json::from_str(&row.json_line()).ok()).collect();
    Ok(Json(Rows { rows, next: page.next }))
}

/// `GET /api/audit/tail`: an event for each row, its place the id.
pub async fn follow_api(
    State(admin): State<Admin>,
    operator: Operator,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let tail = follow(&admin, operator, &headers, &wanted).await?;
    Ok(tail::events(tail, Stored::json_line))
}
