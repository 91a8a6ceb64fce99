//! The page that asks policy about a call. Nothing is called. The question travels in a form's body: its arguments have no
//! place in an address.

use crate::admin::api::explain::Asked;
use crate::admin::auth::Visitor;
use crate::admin::console::page::{Page, Sorry, csrf, page};
use crate::admin::console::reading::{badge, foreign};
use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use portcullis_core::approval::approvers;
use portcullis_core::policy::{Explanation, Power};
use portcullis_core::principal::Principal;
use serde::Deserialize;
use serde_json::Map;

/// The form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Question {
    csrf: String,
    name: String,
    kind: String,
    user: String,
    roles: String,
    scopes: String,
    tenant: String,
    agent: String,
    endpoint: String,
    arguments: String,
}

/// `GET /explain`.
pub async fn show(visitor: Visitor) -> Result<Page, Sorry> {
    visitor.operator.require(Power::Read)?;
    Ok(page(&visitor, "/explain", "Explain", &form(&visitor, &Question::default())))
}

/// `POST /explain`.
pub async fn ask(visitor: Visitor, Form(question): Form<Question>) -> Result<Response, Sorry> {
    visitor.check(&question.csrf)?;
    visitor.operator.require(Power::Read)?;
    let (status, answer) = match explained(&visitor, &question) {
        Ok(explanation) => (StatusCode::OK, shown(&explanation)),
        Err(Sorry(problem)) => (problem.status, html! { p class="notice bad" role="alert" { (problem.detail) "." } }),
    };
    let body = html! { (form(&visitor, &question)) (answer) };
    Ok((status, page(&visitor, "/explain", "Explain", &body)).into_response())
}

fn explained(visitor: &Visitor, question: &Question) -> Result<Explanation, Sorry> {
    let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let words = |text: &str| text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let (name, kind) = (question.name.trim().to_owned(), said(&question.kind));
    let asked = Asked::of(name, kind.as_deref(), said(&question.endpoint), said(&question.arguments))?;
    let principal = Principal {
        issuer: "explain".into(),
        subject: said(&question.user).unwrap_or_else(|| "someone".into()),
        tenant: said(&question.tenant),
        agent: said(&question.agent),
        roles: words(&question.roles),
        scopes: words(&question.scopes),
        claims: Map::new(),
        expires_at: None,
    };
    Ok(asked.explain(&visitor.operator, principal, None)?)
}

fn form(visitor: &Visitor, question: &Question) -> Markup {
    let field = |name: &str, label: &str, example: &str, value: &str| {
        html! {
            label { (label) input name=(name) value=(value) placeholder=(example) autocomplete="off" spellcheck="false"; }
        }
    };
    let kinds = ["tool", "prompt", "resource"];
    html! {
        p class="quiet" { "Ask what policy would say of a call, and why. Nothing is called." }
        form class="ask" method="post" action="/explain" {
            (csrf(visitor))
            label {
                "Kind"
                select name="kind" {
                    @for kind in kinds { option selected[question.kind == kind] { (kind) } }
                }
            }
            label {
                "Name"
                input name="name" value=(question.name) placeholder="crm.update_customer" required autocomplete="off" spellcheck="false";
            }
            (field("user", "User", "ana", &question.user))
            (field("roles", "Roles", "developer oncall", &question.roles))
            (field("tenant", "Tenant", "acme", &question.tenant))
            (field("agent", "Agent", "client id", &question.agent))
            (field("scopes", "Scopes", "mcp:read", &question.scopes))
            (field("endpoint", "Endpoint", "the closest", &question.endpoint))
            label class="wide" {
                "Arguments, as JSON; without them: whether there are any with which the call may pass"
                textarea name="arguments" rows="4" spellcheck="false" placeholder="{\"id\": 7}" { (question.arguments) }
            }
            button { "Ask policy" }
        }
    }
}

fn shown(explanation: &Explanation) -> Markup {
    html! {
        section aria-live="polite" {
            h2 { (badge(explanation.effect.as_str())) " " code { (foreign(&explanation.tool)) } }
            p {
                "Decided by the rule " code { (explanation.rule) } ". The " (explanation.kind.as_str()) " is of class "
                b { (explanation.class.as_str()) } "."
                @let approvers = approvers(&explanation.demands);
                @if !approvers.is_empty() { " Who may agree: " b { (approvers.join(", ")) } "." }
                @if !explanation.lacking.is_empty() {
                    " The token lacks the scopes " b { (explanation.lacking.join(" ")) } ", so the call would not run."
                }
            }
            div class="table" tabindex="0" role="region" aria-label="Rules" {
                table {
                    thead { tr { th { "Rule" } th { "Effect" } th { "Matched" } th { "Why" } } }
                    tbody {
                        @for rule in &explanation.examined {
                            tr class=[rule.matched.then_some("matched")] {
                                td { code { (rule.id) } }
                                td { (badge(rule.effect.as_str())) }
                                td { @if rule.matched { "yes" } @else { span class="quiet" { "no" } } }
                                td { (foreign(&rule.reason)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
