//! What all pages have: head, navigation, and how a refusal looks to a person.

use crate::admin::auth::Visitor;
use crate::admin::problem::Problem;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use portcullis_core::policy::Power;

/// A whole page.
pub type Page = Html<String>;

/// The parts of the console: path, name, and what it takes to see it; `None` where everybody who is logged in may.
const PARTS: &[(&str, &str, Option<Power>)] = &[
    ("/approvals", "Approvals", None),
    ("/jobs", "Jobs", Some(Power::Read)),
    ("/audit", "Audit", Some(Power::Read)),
    ("/catalogue", "Catalogue", Some(Power::Read)),
    ("/explain", "Explain", Some(Power::Read)),
];

/// A page of somebody who is logged in; `here` is the part of the console that it belongs to.
pub fn page(visitor: &Visitor, here: &str, title: &str, body: &Markup) -> Page {
    let operator = &visitor.operator;
    let parts = PARTS.iter().filter(|(_, _, power)| power.is_none_or(|power| operator.may(power)));
    let bar = html! {
        header class="bar" {
            a class="brand" href="/" { "Portcullis" }
            nav aria-label="Console" {
                @for (path, name, _) in parts {
                    a href=(path) aria-current=[(*path == here).then_some("page")] { (name) }
                }
            }
            form class="who" method="post" action="/logout" {
                (csrf(visitor))
                span title=(operator.principal.issuer) {
                    (operator.principal.subject)
                    @if let Some(tenant) = &operator.principal.tenant { span class="quiet" { " · " (tenant) } }
                }
                button class="plain" { "Log out" }
            }
        }
    };
    document(title, &bar, body)
}

/// A page of nobody in particular.
pub fn document(title: &str, bar: &Markup, body: &Markup) -> Page {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Portcullis" }
                link rel="stylesheet" href="/console.css";
                link rel="icon" type="image/svg+xml" href="/console.svg";
                script src="/console.js" defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to content" }
                (bar)
                main id="main" { h1 { (title) } (body) }
            }
        }
    };
    Html(whole.into_string())
}

/// What shows that a form is one of ours.
pub fn csrf(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="csrf" value=(visitor.session.csrf); }
}

/// A refusal as a page.
pub struct Sorry(pub Problem);

impl From<Problem> for Sorry {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Sorry {
    fn into_response(self) -> Response {
        let status = self.0.status;
        let title = status.canonical_reason().unwrap_or("Not done");
        let bar = html! { header class="bar" { a class="brand" href="/" { "Portcullis" } } };
        let body = html! {
            p class="notice bad" role="alert" { (self.0.detail) "." }
            p { a href="/" { "Back to the console" } }
        };
        (status, document(title, &bar, &body)).into_response()
    }
}
