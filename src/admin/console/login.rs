//! Logging in and out: by OpenID Connect where `console.issuer` says so, else with a token that is meant for the console.
//!
//! Between the browser's leaving for the issuer and its coming back, what must be remembered is kept by the browser itself,
//! sealed: so strangers can't fill our memory, and a login can come back to another replica than it began at.

use crate::admin::Admin;
use crate::admin::auth::{self, Peer, Visitor};
use crate::admin::console::page::{Page, Sorry, document};
use crate::admin::problem::Problem;
use crate::admin::session::{cookie, cookie_name, is_secure, secret, set_cookie};
use crate::admin::trace;
use crate::config::snapshot::{Console, Login};
use crate::identity::login::Attempt;
use crate::pipeline::{Live, clock};
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use maud::html;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How long a person may take at the issuer.
const AT_ISSUER: Duration = Duration::from_secs(600);
/// What the seal is for.
const PURPOSE: &str = "console login";
/// The longest address to go back to that is kept.
const NEXT: usize = 1024;

/// Where to go afterwards.
#[derive(Deserialize)]
pub struct Wish {
    #[serde(default)]
    next: String,
}

/// The form for a token.
#[derive(Deserialize)]
pub struct Shown {
    token: String,
    #[serde(default)]
    next: String,
}

/// The form that logs out.
#[derive(Deserialize)]
pub struct Leave {
    csrf: String,
}

/// What comes back from the issuer (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Deserialize)]
pub struct Back {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// What the browser keeps meanwhile.
#[derive(Serialize, Deserialize)]
struct Kept {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    until: i64,
}

/// `GET /login`.
pub async fn show(State(admin): State<Admin>, peer: Peer, headers: HeaderMap, Query(wish): Query<Wish>) -> Response {
    let next = local(&wish.next);
    if Visitor::of(&admin, &headers, peer).is_some() {
        return Redirect::to(next).into_response();
    }
    let live = admin.gateway.live.load();
    form(&live.snapshot.gateway.console, next, None).into_response()
}

fn form(console: &Console, next: &str, wrong: Option<&str>) -> Page {
    let bar = html! { header class="bar" { span class="brand" { "Portcullis" } } };
    let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let body = html! {
        @if let Some(wrong) = wrong { p class="notice bad" role="alert" { (wrong) } }
        @if let Some(login) = &console.login {
            p { "You will be sent to " b { (login.issuer.issuer) } " and back." }
            p { a class="button" href=(format!("/login/start?next={query}")) { "Log in" } }
        } @else {
            p { "Paste a token that is meant for this console. For development: " code { "portcullis token --console --user NAME --role ROLE" } }
            form class="login" method="post" action="/login/token" {
                input type="hidden" name="next" value=(next);
                label { "Token" input type="password" name="token" required autofocus autocomplete="off" spellcheck="false"; }
                button { "Log in" }
            }
        }
    };
    document("Log in", &bar, &body)
}

/// `POST /login/token`.
pub async fn with_token(State(admin): State<Admin>, peer: Peer, Form(shown): Form<Shown>) -> Result<Response, Sorry> {
    let live = admin.gateway.live.load_full();
    let console = &live.snapshot.gateway.console;
    if console.login.is_some() {
        return Err(Sorry(Problem::forbidden("People log in at the issuer here, not with a token")));
    }
    match auth::verify(&admin, &live, shown.token.trim(), peer).await {
        Ok(principal) => let_in(&admin, &live, peer, principal, local(&shown.next)).await,
        Err(rejection) => {
            refuse(&admin, &live, peer, rejection.row().label);
            let problem = Problem::from(rejection);
            let text = match problem.status {
                StatusCode::UNAUTHORIZED => "This token is not accepted, or not meant for the console.",
                _ => &problem.detail,
            };
            Ok((problem.status, form(console, local(&shown.next), Some(text))).into_response())
        }
    }
}

/// `GET /login/start`: off to the issuer.
pub async fn start(
    State(admin): State<Admin>,
    peer: Peer,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Result<Response, Sorry> {
    let live = admin.gateway.live.load_full();
    let console = &live.snapshot.gateway.console;
    let login = console.login.as_ref().ok_or_else(|| Sorry(Problem::not_found()))?;
    // The browser comes back to the public URL, and has its cookie for that alone.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let query: String = url::form_urlencoded::byte_serialize(local(&wish.next).as_bytes()).collect();
    if !console.public_url.ends_with(&format!("://{host}")) {
        return Ok(Redirect::to(&format!("{}/login?next={query}", console.public_url)).into_response());
    }
    let kept = Kept {
        state: secret(),
        nonce: secret(),
        verifier: secret(),
        next: local(&wish.next).to_owned(),
        until: clock::now().plus(AT_ISSUER).millis(),
    };
    let _place = place(&admin, &live, peer)?;
    let url = live.authenticator.login_url(login, &attempt(console, &kept)).await;
    let url = url.map_err(|error| Sorry(Problem::unavailable("issuer", &error)))?;
    let text = serde_json::to_vec(&kept).unwrap_or_default();
    let sealed =
        live.seal.seal(PURPOSE, &[], &text).ok_or_else(|| Sorry(Problem::bad_request("The address is too long")))?;
    let keep = set_cookie(console, meanwhile(console), &sealed, AT_ISSUER.as_secs());
    Ok((AppendHeaders([(header::SET_COOKIE, keep)]), Redirect::to(url.as_str())).into_response())
}

/// `GET /login/callback`: back from the issuer. It changes nothing but who this browser is logged in as, and only where this
/// browser began it.
pub async fn callback(
    State(admin): State<Admin>,
    peer: Peer,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, Sorry> {
    let live = admin.gateway.live.load_full();
    let console = &live.snapshot.gateway.console;
    let login = console.login.as_ref().ok_or_else(|| Sorry(Problem::not_found()))?;
    let Some(kept) = kept(&live, &headers) else {
        refuse(&admin, &live, peer, "login_not_begun");
        let text = "This login was not begun in this browser, or too long ago. Log in again.";
        return Ok((StatusCode::BAD_REQUEST, form(console, "/", Some(text))).into_response());
    };
    let fits = back.state.as_ref() == Some(&kept.state);
    let of_issuer = back.iss.as_ref().is_none_or(|iss| *iss == login.issuer.issuer);
    let Some(code) = back.code.filter(|_| fits && of_issuer && back.error.is_none()) else {
        refuse(&admin, &live, peer, "issuer_refused");
        let text = "The issuer did not log you in. Try again, or ask who runs it.";
        return Ok((StatusCode::FORBIDDEN, form(console, &kept.next, Some(text))).into_response());
    };
    let _place = place(&admin, &live, peer)?;
    if !admin.spent.spend(&kept.state) {
        refuse(&admin, &live, peer, "login_spent");
        let text = "This login has come back before. Log in again.";
        return Ok((StatusCode::FORBIDDEN, form(console, &kept.next, Some(text))).into_response());
    }
    match identify(&live, login, &kept, &code).await {
        Ok(principal) => let_in(&admin, &live, peer, Arc::new(principal), &kept.next).await,
        Err(text) => {
            if let Peer(Some(peer)) = peer {
                admin.gateway.bad_tokens.refused(peer.ip(), live.snapshot.gateway.edge.bad_tokens);
            }
            refuse(&admin, &live, peer, "issuer_not_accepted");
            Ok((StatusCode::FORBIDDEN, form(console, &kept.next, Some(text))).into_response())
        }
    }
}

/// Counts and records that somebody was not let in.
fn refuse(admin: &Admin, live: &Live, peer: Peer, error: &'static str) {
    let unavailable = error == Rejection::KeysUnavailable.row().label;
    admin.gateway.metrics.login(if unavailable { "unavailable" } else { "refused" });
    trace::login_refused(admin, live, peer, error);
}

/// Room to ask the issuer for whoever comes from `peer`, of whom nobody knows who they are yet.
fn place(admin: &Admin, live: &Live, Peer(peer): Peer) -> Result<OwnedSemaphorePermit, Sorry> {
    if let Some(peer) = peer {
        let checked = admin.gateway.bad_tokens.check(peer.ip(), live.snapshot.gateway.edge.bad_tokens);
        checked.map_err(Problem::from)?;
    }
    let detail = "Too many log in at the same time; try again in a moment";
    let busy = || Problem { retry_after: Some(1), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail) };
    Arc::clone(&admin.at_issuer).try_acquire_owned().map_err(|_| Sorry(busy()))
}

async fn identify(live: &Live, login: &Login, kept: &Kept, code: &str) -> Result<Principal, &'static str> {
    let attempt = attempt(&live.snapshot.gateway.console, kept);
    let found = live.authenticator.log_in(login, &attempt, code, clock::now()).await;
    found.map_err(|error| {
        tracing::warn!(%error, "nobody was logged in to the console");
        "The issuer's answer was not accepted; the gateway's log says why."
    })
}

/// `POST /logout`.
pub async fn out(
    State(admin): State<Admin>,
    headers: HeaderMap,
    visitor: Visitor,
    Form(form): Form<Leave>,
) -> Result<Response, Sorry> {
    visitor.check(&form.csrf)?;
    let live = admin.gateway.live.load();
    let console = &live.snapshot.gateway.console;
    if let Some(key) = cookie(&headers, cookie_name(console)) {
        admin.sessions.close(key);
    }
    let forget = set_cookie(console, cookie_name(console), "", 0);
    Ok((AppendHeaders([(header::SET_COOKIE, forget)]), Redirect::to("/login")).into_response())
}

/// Logs `principal` in, once that is in the record, and sends them on.
async fn let_in(
    admin: &Admin,
    live: &Live,
    peer: Peer,
    principal: Arc<Principal>,
    next: &str,
) -> Result<Response, Sorry> {
    let recorded = trace::login(admin, live, &principal, peer).await;
    admin.gateway.metrics.login(if recorded.is_ok() { "ok" } else { "unavailable" });
    recorded?;
    let (now, console) = (clock::now(), &live.snapshot.gateway.console);
    let longest = now.plus(console.session);
    // The end of an ID token says how long it may be shown, not how long a login holds.
    let end = principal.expires_at.filter(|_| console.login.is_none());
    let until = end.map_or(longest, |end| end.min(longest));
    let seconds = until.secs().saturating_sub(now.secs());
    let (issuer, subject) = (&principal.issuer, &principal.subject);
    tracing::info!(issuer, subject, "somebody logged in to the console");
    let key = admin.sessions.open(Arc::clone(&principal), until, now);
    let keep = set_cookie(console, cookie_name(console), &key, u64::try_from(seconds).unwrap_or_default());
    let forget = set_cookie(console, meanwhile(console), "", 0);
    let cookies = AppendHeaders([(header::SET_COOKIE, keep), (header::SET_COOKIE, forget)]);
    Ok((cookies, Redirect::to(next)).into_response())
}

fn attempt(console: &Console, kept: &Kept) -> Attempt {
    Attempt {
        redirect_uri: format!("{}/login/callback", console.public_url),
        state: kept.state.clone(),
        nonce: kept.nonce.clone(),
        verifier: kept.verifier.clone(),
    }
}

fn kept(live: &Live, headers: &HeaderMap) -> Option<Kept> {
    let sealed = cookie(headers, meanwhile(&live.snapshot.gateway.console))?;
    let kept: Kept = serde_json::from_slice(&live.seal.open(PURPOSE, &[], sealed)?).ok()?;
    (clock::now() < Timestamp::from_millis(kept.until)).then_some(kept)
}

/// The cookie of a login that is under way.
fn meanwhile(console: &Console) -> &'static str {
    if is_secure(console) { "__Host-portcullis-login" } else { "portcullis-login" }
}

/// An address of ours: a path, and none that a browser takes for another host.
fn local(next: &str) -> &str {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let ours = next.starts_with('/') && !next.starts_with("//");
    if ours && plain && next.len() <= NEXT { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_logging_in() {
        for good in ["/", "/audit?text=a%20b", "/approvals/0123"] {
            assert_eq!(local(good), good);
        }
        for bad in ["", "//evil.example", "/\\evil.example", "https://evil.example", "audit", "/a b", "/\r\nx: y", "/é"]
        {
            assert_eq!(local(bad), "/", "{bad}");
        }
        assert_eq!(local(&format!("/{}", "a".repeat(NEXT))), "/");
    }
}
