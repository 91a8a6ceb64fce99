//! The page of the catalogue: what is held back, how it changed, and the button that trusts it; then all the rest.

use crate::admin::Admin;
use crate::admin::api::catalogue::{self, Accepting, state};
use crate::admin::auth::Visitor;
use crate::admin::console::page::{Page, Sorry, csrf, page};
use crate::admin::console::reading::{badge, foreign};
use crate::store::pins::Row;
use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use portcullis_core::catalog::{About, changes};
use portcullis_core::policy::Power;
use serde::Deserialize;

/// `GET /catalogue`.
pub async fn show(visitor: Visitor) -> Result<Page, Sorry> {
    let mut rows = catalogue::read(&visitor.operator).await?;
    // That an upstream says nothing of itself is remembered, and says nothing to people.
    rows.retain(|row| row.found.is_some() || *row.pinned.text != *About::default().canonical().text);
    let (held, rest): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.found.is_some());
    let body = html! {
        section aria-labelledby="held" {
            h2 id="held" { "Held back " span class="count" { (held.len()) } }
            @if held.is_empty() {
                p class="empty" { "Every definition is the one that was pinned." }
            } @else {
                p class="quiet" {
                    "These definitions changed after they were first seen. Calls of them are refused until somebody accepts the change."
                }
            }
            @for row in held { (change(&visitor, row)) }
        }
        section aria-labelledby="rest" {
            h2 id="rest" { "Definitions " span class="count" { (rest.len()) } }
            div class="table" tabindex="0" role="region" aria-label="Definitions" {
                table {
                    thead { tr { th { "Name" } th { "Kind" } th { "State" } th { "Since" } th { "Digest" } } }
                    tbody {
                        @for row in rest {
                            tr {
                                td { code { (foreign(&row.title())) } }
                                td { (row.kind.as_str()) }
                                td { (badge(state(row))) }
                                td { time datetime=(row.pinned.since) { (row.pinned.since) } }
                                td { code class="quiet" { (short(&row.pinned.digest)) } }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(page(&visitor, "/catalogue", "Catalogue", &body))
}

/// How a definition that is held back differs from the trusted one, and the form that accepts it.
fn change(visitor: &Visitor, row: &Row) -> Markup {
    let Some(found) = &row.found else { return html! {} };
    html! {
        article class="card" {
            h3 { code { (foreign(&row.title())) } " " (badge("quarantined")) }
            p class="quiet small" { (row.kind.as_str()) " · changed " time datetime=(found.since) { (found.since) } " · trusted since " (row.pinned.since) }
            dl class="diff" {
                @for change in changes(&row.pinned.text, &found.text) {
                    dt { code { (foreign(&change.at)) } }
                    @if let Some(before) = &change.before { dd class="before" { del { (foreign(before)) } } }
                    @if let Some(after) = &change.after { dd class="after" { ins { (foreign(after)) } } }
                }
            }
            @if visitor.operator.may(Power::Manage) {
                form method="post" action="/catalogue/accept" {
                    (csrf(visitor))
                    input type="hidden" name="upstream" value=(row.upstream);
                    input type="hidden" name="kind" value=(row.kind.as_str());
                    input type="hidden" name="name" value=(row.name);
                    input type="hidden" name="digest" value=(found.digest);
                    button { "Accept this definition" }
                    span class="quiet small" { " digest " code { (short(&found.digest)) } }
                }
            }
        }
    }
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// The form that accepts.
#[derive(Deserialize)]
pub struct Answered {
    csrf: String,
    upstream: String,
    kind: String,
    name: String,
    digest: String,
}

/// `POST /catalogue/accept`.
pub async fn accept(
    State(admin): State<Admin>,
    visitor: Visitor,
    Form(form): Form<Answered>,
) -> Result<Redirect, Sorry> {
    visitor.check(&form.csrf)?;
    let Answered { upstream, kind, name, digest, .. } = form;
    let wanted = Accepting { upstream, kind, name, digest };
    catalogue::trust(&admin, &visitor.operator, &wanted).await?;
    Ok(Redirect::to("/catalogue"))
}
