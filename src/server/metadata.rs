//! What an OAuth client must know of us as a protected resource (RFC 9728), and the challenges that lead it there.
//!
//! An endpoint is a resource of its own, by the URL that was dialled: a client refuses metadata of any other (RFC 9728
//! section 3.3). What upstreams say of themselves in these matters never reaches a client.

use crate::config::snapshot::Snapshot;
use crate::identity::Refusal;
use crate::pipeline::reply::Reply;
use http::header;
use portcullis_core::reject::Rejection;
use portcullis_core::route::{Endpoint, INVOKE, METADATA, Place};
use serde_json::json;
use std::sync::Arc;

/// The metadata of the resource at `path`, or of the gateway where that is empty.
pub fn document(snapshot: &Snapshot, path: &str) -> Reply {
    // An issuer that is no URL (a development secret) can't be asked for tokens.
    let servers = snapshot.gateway.issuers.iter().map(|issuer| &issuer.issuer);
    let servers: Vec<_> = servers.filter(|issuer| issuer.starts_with("http")).collect();
    let resource = Resource::at(snapshot, path);
    let mut document = json!({
        "resource": format!("{}{}", snapshot.gateway.public_url, resource.path),
        "authorization_servers": servers,
        "bearer_methods_supported": ["header"],
        "resource_name": resource.endpoint.map_or("Portcullis", |endpoint| &endpoint.name),
    });
    let scopes = resource.scopes();
    if let (Some(document), false) = (document.as_object_mut(), scopes.is_empty()) {
        document.insert("scopes_supported".into(), scopes.into());
    }
    Reply::json(200, document.to_string().into())
}

/// `reply` to a request for `path`, with the challenge that a refusal of the caller's identity or scopes must carry (RFC 6750
/// section 3, RFC 9728 section 5.1). It does not say what is wrong with a token.
pub fn challenge(snapshot: &Snapshot, path: &str, rejection: &Rejection, reply: Reply) -> Reply {
    let resource = Resource::at(snapshot, path);
    let mut parameters = match rejection {
        Rejection::Unauthenticated { reason } => {
            let sent = *reason != Refusal::NoToken.label();
            let error = sent.then(|| "error=\"invalid_token\"".to_owned());
            error.into_iter().chain(scope(&resource.initial_scopes().join(" "))).collect::<Vec<_>>()
        }
        Rejection::InsufficientScope { scope: needed } => {
            let error = ["error=\"insufficient_scope\"".to_owned(), format!("error_description=\"{LACKING}\"")];
            error.into_iter().chain(scope(needed)).collect()
        }
        _ => return reply,
    };
    let url = format!("{}{METADATA}{}", snapshot.gateway.public_url, resource.path);
    parameters.push(format!("resource_metadata=\"{url}\""));
    reply.with(header::WWW_AUTHENTICATE, &format!("Bearer {}", parameters.join(", ")))
}

/// What a client that was granted too little is told, in words.
const LACKING: &str = "ask for a token with these scopes";

/// Scopes as a parameter; those of a policy hold nothing that would end the quotes.
fn scope(scopes: &str) -> Option<String> {
    (!scopes.is_empty()).then(|| format!("scope=\"{scopes}\""))
}

/// A protected resource: an endpoint, or the gateway as a whole, which plain REST reaches.
struct Resource<'a> {
    snapshot: &'a Snapshot,
    endpoint: Option<&'a Arc<Endpoint>>,
    /// As it was dialled; empty for the gateway.
    path: &'a str,
}

impl<'a> Resource<'a> {
    fn at(snapshot: &'a Snapshot, path: &'a str) -> Self {
        match snapshot.routes.place(path) {
            Some(Place::Endpoint(endpoint)) => Self { snapshot, endpoint: Some(endpoint), path },
            _ => Self { snapshot, endpoint: None, path: "" },
        }
    }

    fn scopes(&self) -> Vec<&'a str> {
        let (endpoint, upstreams) = self.place();
        self.snapshot.policy.scopes(endpoint, &upstreams)
    }

    fn initial_scopes(&self) -> Vec<&'a str> {
        let (endpoint, upstreams) = self.place();
        self.snapshot.policy.initial_scopes(endpoint, &upstreams)
    }

    /// What policy calls it, and the upstreams that it shows.
    fn place(&self) -> (&'a str, Vec<String>) {
        match self.endpoint {
            Some(endpoint) => (&endpoint.name, endpoint.upstreams.clone()),
            None => (INVOKE, self.snapshot.upstreams.keys().cloned().collect()),
        }
    }
}
