//! The page of the record: search it, and see it grow.

use crate::admin::Admin;
use crate::admin::api::audit::{self, Wanted};
use crate::admin::auth::Visitor;
use crate::admin::console::page::{Page, Sorry, page};
use crate::admin::console::reading::entry;
use crate::admin::tail;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};

const DECISIONS: [&str; 3] = ["allow", "review", "deny"];
const OUTCOMES: [&str; 6] = ["ok", "tool_error", "refused", "failed", "cancelled", "unknown"];

/// `GET /audit`.
pub async fn show(State(admin): State<Admin>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Page, Sorry> {
    let found = audit::read(&admin, &visitor.operator, &wanted).await?;
    let live = wanted.before.as_ref().is_none_or(String::is_empty);
    let body = html! {
        (form(&wanted))
        div class="table" tabindex="0" role="region" aria-label="Rows of the record" {
            table {
                thead {
                    tr {
                        th { "#" } th { "When" } th { "Who" } th { "What" } th { "Policy" } th { "Rule" } th { "Outcome" }
                    }
                }
                tbody data-stream=[live.then(|| format!("/audit/tail?{}", query(&wanted, ("after", found.seen))))] {
                    @for row in &found.rows { (entry(row)) }
                }
            }
        }
        @if found.rows.is_empty() {
            p class="empty" {
                @if found.next.is_some() { "Nothing in the part of the record that was looked at fits." }
                @else { "Nothing in the record fits." }
            }
        }
        @if let Some(next) = found.next {
            p { a class="button" rel="next" href=(format!("/audit?{}", query(&wanted, ("before", next)))) { "Older" } }
        }
    };
    Ok(page(&visitor, "/audit", "Audit", &body))
}

/// `GET /audit/tail`: an event for each row, as a row of the table.
pub async fn tail(
    State(admin): State<Admin>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Sorry> {
    let tail = audit::follow(&admin, visitor.operator, &headers, &wanted).await?;
    Ok(tail::events(tail, |row| entry(row).into_string().replace(['\n', '\r'], "&#10;")))
}

/// The same search as the query of a link, from another place on.
fn query(wanted: &Wanted, (name, place): (&str, i64)) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    let fields = [
        ("since", &wanted.since),
        ("until", &wanted.until),
        ("user", &wanted.user),
        ("agent", &wanted.agent),
        ("tool", &wanted.tool),
        ("decision", &wanted.decision),
        ("outcome", &wanted.outcome),
        ("rule", &wanted.rule),
        ("text", &wanted.text),
    ];
    for (field, value) in fields {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            out.append_pair(field, value);
        }
    }
    out.append_pair(name, &place.to_string()).finish()
}

fn form(wanted: &Wanted) -> Markup {
    html! {
        form class="search" method="get" action="/audit" role="search" {
            (field("text", "Text", "anything", &wanted.text))
            (field("user", "User", "ana", &wanted.user))
            (field("tool", "Tool", "crm.*", &wanted.tool))
            (choice("decision", "Policy", &DECISIONS, &wanted.decision))
            (choice("outcome", "Outcome", &OUTCOMES, &wanted.outcome))
            (field("rule", "Rule", "rule id", &wanted.rule))
            (field("since", "Since", "7d", &wanted.since))
            (field("until", "Until", "1h", &wanted.until))
            button { "Search" }
        }
    }
}

fn field(name: &str, label: &str, example: &str, value: &Option<String>) -> Markup {
    html! {
        label { (label) input name=(name) value=[value.as_deref()] placeholder=(example) autocomplete="off" spellcheck="false"; }
    }
}

fn choice(name: &str, label: &str, words: &[&str], value: &Option<String>) -> Markup {
    html! {
        label {
            (label)
            select name=(name) {
                option value="" { "any" }
                @for word in words { option value=(word) selected[value.as_deref() == Some(*word)] { (word) } }
            }
        }
    }
}
