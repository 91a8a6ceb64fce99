//! What people are asked: the inbox, and the page of one approval, which is where links in mails and clients lead. Looking
//! decides nothing (abuse case 157).

use crate::admin::Admin;
use crate::admin::api::approvals::{self as api, ApprovalView, ListQuery, visible};
use crate::admin::auth::Visitor;
use crate::admin::console::page::{Page, Sorry, csrf, page};
use crate::admin::console::reading::{badge, foreign, spelled_json};
use crate::admin::problem::Problem;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, SecondsFormat};
use futures::stream;
use maud::{Markup, html};
use portcullis_core::approval::{State as Standing, Verdict};
use portcullis_core::time::Timestamp;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;

/// How often a page looks again where nothing is said: other replicas decide too, and times run out.
const LOOK: Duration = Duration::from_secs(15);

/// How many are in each list.
const PAGE: u32 = 100;

/// Which of those that are decided.
#[derive(Default, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    before: Option<String>,
}

/// `GET /approvals`: all that waits, and what was before, newest first.
pub async fn list(State(admin): State<Admin>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Page, Sorry> {
    let pending = ListQuery { state: Some(Standing::Pending), limit: Some(PAGE), before: None };
    let waits = visible(&admin, &visitor.operator, &pending).await?;
    let all = ListQuery { state: None, limit: Some(PAGE), before: wanted.before };
    let all = visible(&admin, &visitor.operator, &all).await?;
    let open = &waits.approvals;
    let closed: Vec<_> = all.approvals.iter().filter(|view| view.state != Standing::Pending).collect();
    let body = html! {
        div id="inbox" data-refresh="/approvals/changes" {
            section aria-labelledby="waiting" {
                h2 id="waiting" { "Waiting " span class="count" { (open.len()) @if waits.next.is_some() { "+" } } }
                @if open.is_empty() { p class="empty" { "Nobody waits for an answer." } }
                @for view in open { (waiting(view)) }
                @if waits.next.is_some() { p class="quiet" { "Older ones are shown as these are decided." } }
            }
            section aria-labelledby="decided" {
                h2 id="decided" { "Before" }
                @if closed.is_empty() { p class="empty" { "Nothing yet." } } @else { (before(&closed)) }
                @if let Some(next) = &all.next {
                    p { a class="button" rel="next" href=(format!("/approvals?before={next}")) { "Older" } }
                }
            }
        }
    };
    Ok(page(&visitor, "/approvals", "Approvals", &body))
}

fn waiting(view: &ApprovalView) -> Markup {
    let approval = &view.approval;
    html! {
        article class="card" {
            h3 {
                a href=(format!("/approvals/{}", approval.id)) { code { (foreign(&approval.matter.tool)) } }
                " " (badge(view.state.as_str()))
            }
            p class="quiet small" {
                "for " b { (foreign(&approval.requester.subject)) }
                @for demand in &approval.terms.demands {
                    " · rule " code { (foreign(&demand.rule)) }
                    @if demand.quorum > 1 { ", " (approval.agreed(demand)) " of " (demand.quorum) " agreed" }
                }
                " · until " (moment(approval.expires))
                @if view.is_own { " · your own call: somebody else must decide" }
            }
        }
    }
}

fn before(closed: &[&ApprovalView]) -> Markup {
    html! {
        div class="table" tabindex="0" role="region" aria-label="Approvals that are decided" {
            table {
                thead { tr { th { "What" } th { "For" } th { "State" } th { "Decided by" } th { "Asked" } } }
                tbody {
                    @for view in closed {
                        tr {
                            td { a href=(format!("/approvals/{}", view.approval.id)) { code { (foreign(&view.approval.matter.tool)) } } }
                            td { (foreign(&view.approval.requester.subject)) }
                            td { (badge(view.state.as_str())) }
                            td { (foreign(&view.approval.votes.iter().map(|vote| vote.subject.as_str()).collect::<Vec<_>>().join(", "))) }
                            td { (moment(view.approval.created)) }
                        }
                    }
                }
            }
        }
    }
}

/// `GET /approvals/{id}`.
pub async fn show(State(admin): State<Admin>, visitor: Visitor, Path(id): Path<String>) -> Result<Page, Sorry> {
    let view = api::find(&admin, &visitor.operator, &id).await?;
    let (approval, matter) = (&view.approval, &view.approval.matter);
    let body = html! {
        div id="approval" data-refresh=[(view.state == Standing::Pending && !view.may_decide).then_some("/approvals/changes")] {
            p { (badge(view.state.as_str())) " " span class="quiet" { "asked " (moment(approval.created)) ", open until " (moment(approval.expires)) } }
            dl class="facts" {
                dt { "Tool" } dd { code { (foreign(&matter.tool)) } }
                dt { "Class" } dd { (matter.class.as_str()) ", severity " (matter.severity.as_str()) }
                dt { "For" } dd {
                    b { (foreign(&approval.requester.subject)) }
                    @if let Some(agent) = &approval.requester.agent { " through " code { (foreign(agent)) } }
                    @if let Some(tenant) = &approval.requester.tenant { " of " (foreign(tenant)) }
                    div class="quiet small" { (foreign(&approval.requester.issuer)) }
                }
                dt { "Endpoint" } dd { (matter.endpoint) }
                @for demand in &approval.terms.demands {
                    dt { "Rule" } dd {
                        code { (foreign(&demand.rule)) }
                        @if let Some(why) = &demand.why { ": " (foreign(why)) }
                        div class="quiet small" { "configuration " code { (approval.terms.revision) } }
                    }
                    dt { "Who may decide" } dd {
                        (demand.approvers.join(", "))
                        @if demand.quorum > 1 { " — " (demand.quorum) " must agree" }
                    }
                }
            }
            h2 { "Arguments" }
            (spelled_json(&matter.arguments))
            @if let Some(answers) = &matter.answers { h2 { "Answers that the client brings" } (spelled_json(answers)) }
            @if let Some(preview) = &matter.preview { h2 { "Preview" } (spelled_json(preview)) }
            (votes(&view))
            (decide(&visitor, &view))
        }
    };
    Ok(page(&visitor, "/approvals", "Approval", &body))
}

fn votes(view: &ApprovalView) -> Markup {
    let approval = &view.approval;
    html! {
        @if !approval.votes.is_empty() || approval.closing.is_some() {
            h2 { "What was said" }
            ul {
                @for vote in &approval.votes {
                    li {
                        b { (foreign(&vote.subject)) } @if vote.verdict == Verdict::Approve { " agreed " } @else { " refused " }
                        (moment(vote.at))
                        @if let Some(reason) = &vote.reason { ": " q { (foreign(reason)) } }
                    }
                }
                @if let Some(closing) = &approval.closing {
                    li {
                        "Taken back " (moment(closing.at)) " by " b { (foreign(closing.subject.as_deref().unwrap_or("the gateway"))) }
                        @if let Some(reason) = &closing.reason { ": " q { (foreign(reason)) } }
                    }
                }
                @if let Some(call) = &approval.call { li { "Used by the call " code { (call) } } }
            }
        }
    }
}

fn decide(visitor: &Visitor, view: &ApprovalView) -> Markup {
    let (principal, approval) = (&visitor.operator.principal, &view.approval);
    let voted = approval.votes.iter().any(|vote| vote.issuer == principal.issuer && vote.subject == principal.subject);
    let path = |word: &str| format!("/approvals/{}/{word}", approval.id);
    html! {
        @if view.state == Standing::Pending {
            @if view.may_decide && !voted {
                h2 { "Decide" }
                form class="decide" method="post" {
                    (csrf(visitor))
                    label { "Reason (who called reads it when you refuse)" textarea name="reason" rows="2" maxlength="500" {} }
                    div {
                        button formaction=(path("approve")) { "Approve" }
                        button class="danger" formaction=(path("deny")) { "Deny" }
                    }
                }
            } @else if voted {
                p class="notice" { "You have decided. Others must agree too." }
            } @else if view.is_own {
                p class="notice" { "This is your own call: somebody else must decide." }
                form method="post" action=(path("withdraw")) { (csrf(visitor)) button class="plain" { "Take it back" } }
            } @else {
                p class="notice" { "Your roles are not among those that may decide." }
            }
        }
    }
}

/// The form.
#[derive(Deserialize)]
pub struct Said {
    csrf: String,
    #[serde(default)]
    reason: String,
}

/// `POST /approvals/{id}/{word}`.
pub async fn say(
    State(admin): State<Admin>,
    visitor: Visitor,
    Path((id, word)): Path<(String, String)>,
    Form(said): Form<Said>,
) -> Result<Redirect, Sorry> {
    visitor.check(&said.csrf)?;
    let what = match word.as_str() {
        "approve" => api::Said::Verdict(Verdict::Approve),
        "deny" => api::Said::Verdict(Verdict::Deny),
        "withdraw" => api::Said::Withdraw,
        _ => return Err(Sorry(Problem::not_found())),
    };
    let view = api::say(&admin, &visitor.operator, &id, what, Some(&said.reason)).await?;
    Ok(Redirect::to(&format!("/approvals/{}", view.approval.id)))
}

/// `GET /approvals/changes`: an event whenever the page should look again. It says nothing but that.
pub async fn changes(State(admin): State<Admin>, visitor: Visitor) -> Result<Response, Sorry> {
    let busy = || Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many watch already; close a page that does");
    let place = admin.changes.take(&visitor.operator.principal).ok_or_else(busy)?;
    let seen = admin.gateway.desk.changes();
    let news =
        stream::unfold((admin, visitor.operator, seen, place), |(admin, operator, mut seen, place)| async move {
            // In time or not, the page looks again; the desk's end is the process's.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, seen.changed()).await {
                return None;
            }
            let operator = operator.again(&admin)?;
            Some((Ok::<_, Infallible>(Event::default().data("look")), (admin, operator, seen, place)))
        });
    Ok(Sse::new(news).keep_alive(KeepAlive::default()).into_response())
}

/// A time, which scripts turn into one of the reader's zone.
fn moment(at: Timestamp) -> Markup {
    let text =
        DateTime::from_timestamp_millis(at.millis()).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true);
    html! { time datetime=(text) { (text) } }
}
