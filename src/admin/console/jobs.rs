//! The page of jobs: what runs, what waits for an operator, and the buttons that end a job or try it once more. Arguments and
//! results are their owners' and not shown.

use crate::admin::Admin;
use crate::admin::api::jobs::{Change, JobQuery, JobView, change, visible};
use crate::admin::auth::Visitor;
use crate::admin::console::page::{Page, Sorry, csrf, page};
use crate::admin::console::reading::{badge, foreign};
use crate::admin::problem::Problem;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use portcullis_core::job::State as Standing;
use portcullis_core::policy::Power;
use serde::Deserialize;

/// How many are on a page.
const PAGE: u32 = 100;

/// Which jobs.
#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default)]
    state: String,
    #[serde(default)]
    before: String,
}

/// `GET /jobs`.
pub async fn show(State(admin): State<Admin>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Page, Sorry> {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let query = JobQuery { state: said(&wanted.state), before: said(&wanted.before), limit: Some(PAGE) };
    let jobs: Vec<_> = visible(&admin, &visitor.operator, &query).await?.iter().map(JobView::new).collect();
    let body = html! {
        form class="search" method="get" action="/jobs" role="search" {
            label {
                "State"
                select name="state" {
                    option value="" { "any" }
                    @for name in Standing::NAMES { option value=(name) selected[wanted.state == name] { (name) } }
                }
            }
            button { "Show" }
        }
        @if jobs.is_empty() { p class="empty" { "No job fits." } } @else { (table(&visitor, &jobs)) }
        @if let Some(last) = jobs.last().filter(|_| jobs.len() == PAGE as usize) {
            p { a class="button" rel="next" href=(format!("/jobs?state={}&before={}", wanted.state, last.id)) { "Older" } }
        }
    };
    Ok(page(&visitor, "/jobs", "Jobs", &body))
}

fn table(visitor: &Visitor, jobs: &[JobView]) -> Markup {
    html! {
        div class="table" tabindex="0" role="region" aria-label="Jobs" {
            table {
                thead { tr { th { "Job" } th { "Tool" } th { "For" } th { "State" } th { "Tries" } th { "Changed" } th { "" } } }
                tbody { @for job in jobs { (row(visitor, job)) } }
            }
        }
    }
}

fn row(visitor: &Visitor, job: &JobView) -> Markup {
    html! {
        tr {
            td { code class="small" { (job.id) } }
            td {
                code { (foreign(&job.tool)) }
                div class="quiet small" {
                    "rule " (job.rule)
                    @if let Some(approval) = &job.approval { " · " a href=(format!("/approvals/{approval}")) { "approval" } }
                }
            }
            td { (foreign(&job.subject)) }
            td {
                (badge(&job.state))
                @if let Some(reason) = &job.reason { div class="quiet small" { (foreign(reason)) } }
            }
            td class="number" { (job.attempts) " of " (job.most_attempts) }
            td { time datetime=(job.updated) { (job.updated) } }
            td { @if visitor.operator.may(Power::Manage) { (buttons(visitor, job)) } }
        }
    }
}

fn buttons(visitor: &Visitor, job: &JobView) -> Markup {
    let waits = matches!(job.state.as_str(), "dead" | "needs_review");
    let open = matches!(job.state.as_str(), "waiting" | "queued" | "running");
    html! {
        @if waits || open {
            form method="post" {
                (csrf(visitor))
                @if waits { button class="plain" formaction=(format!("/jobs/{}/requeue", job.id)) { "Try again" } }
                @if open { button class="plain" formaction=(format!("/jobs/{}/cancel", job.id)) { "Cancel" } }
            }
        }
    }
}

/// The form.
#[derive(Deserialize)]
pub struct Said {
    csrf: String,
}

/// `POST /jobs/{id}/{word}`.
pub async fn say(
    State(admin): State<Admin>,
    visitor: Visitor,
    Path((id, word)): Path<(String, String)>,
    Form(said): Form<Said>,
) -> Result<Redirect, Sorry> {
    visitor.check(&said.csrf)?;
    let wanted = match word.as_str() {
        "cancel" => Change::Cancel,
        "requeue" => Change::Requeue,
        _ => return Err(Sorry(Problem::not_found())),
    };
    change(&admin, &visitor.operator, &id, wanted).await?;
    Ok(Redirect::to("/jobs"))
}
