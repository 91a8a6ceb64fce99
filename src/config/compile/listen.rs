//! `listen`: addresses, the public URL, and which `Host` and `Origin` are ours.

use crate::config::Bound;
use crate::config::compile::url::{authority, is_local, web_url};
use crate::config::compile::{Draft, tls};
use crate::config::document::gateway::ListenDocument;
use crate::config::files::Files;
use portcullis_core::problem::Path;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;

/// `listen`, compiled.
pub struct Listen {
    /// Where clients call.
    pub ingress: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    /// The origin under which clients reach the ingress.
    pub public_url: String,
    /// Certificate chain and key.
    pub tls: Option<Arc<ServerConfig>>,
    /// Accepted values of `Host`, in lower case.
    pub hosts: Vec<String>,
    /// Accepted values of `Origin`.
    pub origins: Vec<String>,
}

/// Compiles `listen`.
pub fn compile(
    document: &ListenDocument,
    draft: &mut Draft<'_>,
    bound: Option<Bound>,
    files: &mut Files,
) -> Option<Listen> {
    let at = Path::root().then("listen");
    let ingress = taken(address(&document.ingress, draft, &at.then("ingress")), bound.map(|bound| bound.ingress));
    let admin = taken(address(&document.admin, draft, &at.then("admin")), bound.map(|bound| bound.admin));
    if ingress.is_some() && ingress == admin && ingress.is_some_and(|ingress| ingress.port() != 0) {
        draft.refuse(&at.then("admin"), "ingress and admin are the same address", "give admin a port of its own");
    }
    if admin.is_some_and(|admin| admin.ip().is_unspecified()) {
        let hint = "listen on loopback or an internal address, or keep the port behind a firewall";
        draft.warn(&at.then("admin"), "whoever reaches this machine reaches the admin listener", hint);
    }
    let tls = document.tls.as_ref().and_then(|tls| tls::compile(tls, draft, &at.then("tls"), files));
    let public_url = public_url(document, draft, &at, ingress);
    let hosts = match &document.hosts {
        Some(hosts) => written_hosts(hosts, draft, &at.then("hosts")),
        None => default_hosts(public_url.as_deref(), ingress),
    };
    let origins = origins(&document.origins, draft, &at.then("origins"));
    Some(Listen { ingress: ingress?, admin: admin?, public_url: public_url?, tls, hosts, origins })
}

/// The address that was taken, where the written one left the port open.
fn taken(written: Option<SocketAddr>, bound: Option<SocketAddr>) -> Option<SocketAddr> {
    written.map(|written| bound.filter(|_| written.port() == 0).unwrap_or(written))
}

fn address(text: &str, draft: &mut Draft<'_>, path: &Path) -> Option<SocketAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("{} is not an address and a port", draft.quote(path));
        draft.refuse(
            path,
            message,
            "write numbers such as 127.0.0.1:8000, [::1]:8000 or 0.0.0.0:8000: names are not looked up",
        );
    }
    address
}

fn public_url(
    document: &ListenDocument,
    draft: &mut Draft<'_>,
    at: &Path,
    ingress: Option<SocketAddr>,
) -> Option<String> {
    let scheme = if document.tls.is_some() { "https" } else { "http" };
    let Some(text) = &document.public_url else {
        if ingress?.ip().is_unspecified() {
            let hint = "write listen.public_url, such as https://gateway.example.com: tokens are meant for it";
            draft.refuse(
                &at.then("ingress"),
                "on every address, clients do not know what this gateway is called",
                hint,
            );
        }
        return Some(format!("{scheme}://{}", ingress?));
    };
    let path = at.then("public_url");
    let url = match web_url(text) {
        Ok(url) => url,
        Err((message, hint)) => {
            draft.refuse(&path, message, hint);
            return None;
        }
    };
    if url.path() != "/" || url.query().is_some() {
        let hint = "remove what follows the host and port: endpoints are at the root, /{endpoint}/mcp";
        draft.refuse(&path, "the public URL has a path", hint);
    }
    if url.scheme() == "http" && !is_local(&url) {
        draft.warn(&path, "tokens cross the network unencrypted", "serve https, here or in front of the gateway");
    }
    Some(format!("{}://{}", url.scheme(), authority(&url)))
}

/// What clients write in `Host`: without the port where it is the scheme's own. An unspecified address is left out, because
/// in browsers pages of strangers can reach `0.0.0.0`.
fn default_hosts(public_url: Option<&str>, ingress: Option<SocketAddr>) -> Vec<String> {
    let public = public_url.and_then(|url| url.split_once("://")).map(|(_, authority)| authority.to_owned());
    let address = ingress.filter(|ingress| !ingress.ip().is_unspecified()).map(|ingress| ingress.to_string());
    let loopback = ingress.filter(|ingress| ingress.ip().is_loopback());
    let local = loopback.map(|ingress| format!("localhost:{}", ingress.port()));
    let mut hosts: Vec<String> = Vec::new();
    for host in [public, address, local].into_iter().flatten() {
        let host = [":80", ":443"].iter().find_map(|port| host.strip_suffix(port)).unwrap_or(&host).to_owned();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

fn written_hosts(written: &[String], draft: &mut Draft<'_>, at: &Path) -> Vec<String> {
    if written.is_empty() {
        draft.refuse(
            at,
            "no host is accepted, so no request is",
            "name the hosts that clients call, or remove the key",
        );
    }
    let mut hosts = Vec::new();
    for (index, host) in written.iter().enumerate() {
        let host = host.to_ascii_lowercase();
        // Compared with its port as written, because clients of odd ports send it and those of 80 and 443 do not.
        let plain = !host.contains(['*', '/', '?', '#', '%']) && web_url(&format!("http://{host}/")).is_ok();
        if plain {
            hosts.push(host);
        } else {
            let path = at.then(index);
            let message = format!("{} is not a host", draft.quote(&path));
            draft.refuse(
                &path,
                message,
                "write host or host:port, such as gateway.example.com; there are no wildcards",
            );
        }
    }
    hosts
}

fn origins(written: &[String], draft: &mut Draft<'_>, at: &Path) -> Vec<String> {
    let mut origins = Vec::new();
    for (index, text) in written.iter().enumerate() {
        match origin(text) {
            Some(origin) => origins.push(origin),
            None => {
                let path = at.then(index);
                let message = format!("{} is not an origin", draft.quote(&path));
                draft.refuse(
                    &path,
                    message,
                    "write scheme://host or scheme://host:port; there are no wildcards, and no `null`",
                );
            }
        }
    }
    origins
}

/// An origin as browsers write it (RFC 6454 section 6.2); schemes of applications such as `vscode-webview` too.
fn origin(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if matches!(scheme, "http" | "https") {
        let url = web_url(text).ok()?;
        let bare = !rest.contains(['/', '?', '*']);
        return bare.then(|| format!("{scheme}://{}", authority(&url)));
    }
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
    };
    (word(scheme) && word(rest)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_follow_from_the_public_url_and_the_address() {
        let hosts = |url, ingress: &str| default_hosts(Some(url), ingress.parse().ok());
        assert_eq!(hosts("http://127.0.0.1:8000", "127.0.0.1:8000"), ["127.0.0.1:8000", "localhost:8000"]);
        assert_eq!(hosts("https://gw.example.com", "0.0.0.0:8000"), ["gw.example.com"]);
        assert_eq!(hosts("https://gw.example.com", "10.0.0.7:8000"), ["gw.example.com", "10.0.0.7:8000"]);
        assert_eq!(hosts("http://[::1]:8000", "[::1]:8000"), ["[::1]:8000", "localhost:8000"]);
        assert_eq!(hosts("http://127.0.0.1:80", "127.0.0.1:80"), ["127.0.0.1", "localhost"]);
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for (text, expected) in [
            ("https://App.example.com", Some("https://app.example.com")),
            ("https://app.example.com:443", Some("https://app.example.com")),
            ("http://localhost:5173", Some("http://localhost:5173")),
            ("vscode-webview://abc123", Some("vscode-webview://abc123")),
            ("https://app.example.com/", None),
            ("https://*.example.com", None),
            ("null", None),
            ("*", None),
            ("file://", None),
            ("app.example.com", None),
        ] {
            assert_eq!(origin(text).as_deref(), expected, "{text}");
        }
    }
}
