//! `console`: under which URL operators find their side, whose tokens are meant for it, and how people log in.

use crate::config::compile::Draft;
use crate::config::compile::gateway::warn_literal;
use crate::config::compile::url::{authority, is_local, web_url};
use crate::config::document::gateway::ConsoleDocument;
use crate::config::snapshot::{Console, ENDPOINT, Issuer, KeySource, Login};
use crate::secrets::Secret;
use portcullis_core::problem::Path;
use std::net::SocketAddr;

/// Compiles `console`; `None` where it can't be served.
pub fn compile(
    document: &ConsoleDocument,
    draft: &mut Draft<'_>,
    admin: Option<SocketAddr>,
    issuers: &[Issuer],
) -> Option<Console> {
    let at = Path::root().then("console");
    draft.refuse_zero(&at, &[("session", document.session.0.is_zero())]);
    let public_url = public_url(document, draft, &at.then("public_url"), admin)?;
    let audiences = audiences(document, draft, &at.then("audiences"), &public_url);
    let login = login(document, draft, &at, issuers);
    Some(Console { public_url, audiences, login, session: document.session.0 })
}

fn public_url(
    document: &ConsoleDocument,
    draft: &mut Draft<'_>,
    at: &Path,
    admin: Option<SocketAddr>,
) -> Option<String> {
    let Some(text) = &document.public_url else {
        // A listener on all addresses is on loopback too.
        let admin = admin?;
        let known = !admin.ip().is_unspecified();
        return Some(if known { format!("http://{admin}") } else { format!("http://127.0.0.1:{}", admin.port()) });
    };
    let url = match web_url(text) {
        Ok(url) => url,
        Err((message, hint)) => {
            draft.refuse(at, message, hint);
            return None;
        }
    };
    if url.path() != "/" || url.query().is_some() {
        draft.refuse(at, "the console's URL has a path", "remove what follows the host and port");
    }
    if url.scheme() == "http" && !is_local(&url) {
        draft.warn(at, "logins cross the network unencrypted", "put a server with TLS in front of the admin listener");
    }
    Some(format!("{}://{}", url.scheme(), authority(&url)))
}

fn audiences(document: &ConsoleDocument, draft: &mut Draft<'_>, at: &Path, public_url: &str) -> Vec<String> {
    let Some(written) = &document.audiences else {
        // Programs that normalise URLs give an origin a path (RFC 3986 section 6.2.3).
        return vec![public_url.to_owned(), format!("{public_url}/")];
    };
    if written.is_empty() {
        let hint = "name one, or remove the key for the console's public URL";
        draft.refuse(at, "no audience is accepted, so no token is", hint);
    }
    for (index, audience) in written.iter().enumerate() {
        if audience.is_empty() {
            draft.refuse(&at.then(index), "the audience is empty", "write the exact value of the claim `aud`");
        } else if audience.contains(ENDPOINT) {
            draft.refuse(&at.then(index), "the console is no endpoint", "write the audience without `{endpoint}`");
        }
    }
    written.clone()
}

fn login(document: &ConsoleDocument, draft: &mut Draft<'_>, at: &Path, issuers: &[Issuer]) -> Option<Login> {
    let (issuer, client_id) = match (&document.issuer, &document.client_id) {
        (None, None) => {
            if document.client_secret.is_some() {
                let hint = "write `issuer` and `client_id` too, or remove it";
                draft.refuse(&at.then("client_secret"), "nobody logs in with this secret", hint);
            }
            return None;
        }
        (Some(issuer), Some(client_id)) => (issuer, client_id),
        (Some(_), None) => {
            let hint = "write `client_id`: what the issuer calls the console";
            draft.refuse(&at.then("issuer"), "the issuer does not know who asks", hint);
            return None;
        }
        (None, Some(_)) => {
            let hint = "write `issuer`: one of identity.issuers";
            draft.refuse(&at.then("client_id"), "this client has no issuer", hint);
            return None;
        }
    };
    if client_id.is_empty() {
        draft.refuse(&at.then("client_id"), "the client's id is empty", "write what the issuer calls the console");
    }
    if document.client_secret.is_some() {
        warn_literal(draft, &at.then("client_secret"));
    }
    scopes(document, draft, &at.then("scopes"));
    let found = issuers.iter().find(|known| known.issuer == *issuer);
    let Some(found) = found else {
        draft.refuse(&at.then("issuer"), "this is none of identity.issuers", "add it there, or name one of them");
        return None;
    };
    let KeySource::Discovery(url) = &found.keys else {
        let hint = "remove `secret`, `public_key` or `jwks_url` from the issuer, or let people log in with tokens";
        draft.refuse(&at.then("issuer"), "this issuer's metadata is not asked for, so nobody can log in there", hint);
        return None;
    };
    Some(Login {
        issuer: found.clone(),
        url: url.clone(),
        client_id: client_id.clone(),
        client_secret: document.client_secret.clone().map(Secret::new),
        scopes: document.scopes.join(" "),
    })
}

fn scopes(document: &ConsoleDocument, draft: &mut Draft<'_>, at: &Path) {
    if !document.scopes.iter().any(|scope| scope == "openid") {
        draft.refuse(at, "without `openid` there is no login", "add openid (OpenID Connect Core section 3.1.2.1)");
    }
    for (index, scope) in document.scopes.iter().enumerate() {
        // RFC 6749 section 3.3.
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if scope.is_empty() || !scope.bytes().all(fits) {
            draft.refuse(&at.then(index), "this is not a scope", "write one without spaces and quotes");
        }
    }
}
