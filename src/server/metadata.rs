//! What an OAuth client must know of us as a protected resource (RFC 9728), and the challenges that lead it there.

use crate::config::snapshot::Snapshot;
use crate::pipeline::arrival::Target;
use crate::pipeline::reply::Reply;
use http::header;
use portcullis_core::reject::Rejection;
use portcullis_core::route::METADATA;
use serde_json::json;

/// The metadata of the resource at `path`, or of the gateway where that is empty.
pub fn document(snapshot: &Snapshot, path: &str) -> Reply {
    // An issuer that is no URL (a development secret) can't be asked for tokens.
    let servers = snapshot.gateway.issuers.iter().map(|issuer| &issuer.issuer);
    let servers: Vec<_> = servers.filter(|issuer| issuer.starts_with("http")).collect();
    let document = json!({
        "resource": format!("{}{path}", snapshot.gateway.public_url),
        "authorization_servers": servers,
        "bearer_methods_supported": ["header"],
        "resource_name": "Portcullis",
    });
    Reply::json(200, document.to_string().into())
}

/// `reply`, with the challenge that a refusal of the caller's identity must carry (RFC 6750 section 3, RFC 9728 section 5.1).
/// It does not say what is wrong with the token.
pub fn challenge(snapshot: &Snapshot, target: &Target, rejection: &Rejection, reply: Reply) -> Reply {
    if !matches!(rejection, Rejection::Unauthenticated { .. }) {
        return reply;
    }
    let path = match target {
        Target::Endpoint(endpoint) => format!("/{}/mcp", endpoint.name),
        Target::Invoke => String::new(),
    };
    let url = format!("{}{METADATA}{path}", snapshot.gateway.public_url);
    reply.with(header::WWW_AUTHENTICATE, &format!("Bearer resource_metadata=\"{url}\""))
}
