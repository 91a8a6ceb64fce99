//! `upstreams.yaml`: where tools live, and under which endpoints they are seen.

use crate::config::compile::url::{authority, is_name, web_url};
use crate::config::compile::{Draft, transport};
use crate::config::document::upstreams::{Cataloguing, EndpointDocument, Pinning, UpstreamDocument, UpstreamsDocument};
use crate::config::files::Files;
use crate::config::nearest::suggest;
use crate::config::snapshot::{Replica, Transport, Upstream};
use portcullis_core::network::Network;
use portcullis_core::problem::Path;
use portcullis_core::route::{Endpoint, OWN, RESERVED, Routes};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use url::{Position, Url};

/// Compiles `upstreams.yaml`. What has a problem is left out: the configuration is refused anyway.
pub fn compile(
    document: &UpstreamsDocument,
    draft: &mut Draft<'_>,
    files: &mut Files,
) -> Option<(BTreeMap<String, Arc<Upstream>>, Routes)> {
    let mut upstreams = BTreeMap::new();
    for (name, entry) in &document.upstreams {
        let at = Path::root().then("upstreams").then(name.as_str());
        refuse_name(name, draft, &at);
        if name == OWN {
            draft.refuse(&at, "this name is the gateway's own", "give the upstream another name");
        }
        if let Some(upstream) = upstream(name, entry, draft, &at, files) {
            upstreams.insert(name.clone(), Arc::new(upstream));
        }
    }
    let mut routes = BTreeMap::new();
    for (name, entry) in &document.endpoints {
        let at = Path::root().then("endpoints").then(name.as_str());
        refuse_name(name, draft, &at);
        if RESERVED.contains(&name.as_str()) {
            draft.refuse(&at, "this name is the gateway's own", "give the endpoint another name");
        }
        members(entry, draft, &at.then("upstreams"), &document.upstreams);
        let endpoint = Endpoint { name: name.clone(), upstreams: entry.upstreams.clone(), partial: entry.partial };
        routes.insert(name.clone(), Arc::new(endpoint));
    }
    if routes.is_empty() {
        draft.warn(&Path::root(), "there is no endpoint, so every call is answered with 404", "write `endpoints`");
    }
    Some((upstreams, Routes(routes)))
}

fn refuse_name(name: &str, draft: &mut Draft<'_>, at: &Path) {
    if !is_name(name) {
        let hint = "use 1 to 64 lower-case letters, digits, `-` and `_`: the name stands in paths and tool names";
        draft.refuse(at, "this name can't be used", hint);
    }
}

fn members(entry: &EndpointDocument, draft: &mut Draft<'_>, at: &Path, known: &BTreeMap<String, UpstreamDocument>) {
    if entry.upstreams.is_empty() {
        draft.refuse(at, "the endpoint shows no upstream", "name at least one, or remove the endpoint");
    }
    let mut seen = BTreeSet::new();
    for (index, name) in entry.upstreams.iter().enumerate() {
        let path = at.then(index);
        if !seen.insert(name) {
            draft.refuse(&path, format!("{} is here a second time", draft.quote(&path)), "remove it");
        }
        if !known.contains_key(name) {
            let near = suggest(name, known.keys().map(String::as_str)).filter(|_| draft.is_literal(&path));
            let hint = near.unwrap_or_else(|| "write it under `upstreams`".into());
            draft.refuse(&path, format!("unknown upstream {}", draft.quote(&path)), hint);
        }
    }
}

fn upstream(
    name: &str,
    document: &UpstreamDocument,
    draft: &mut Draft<'_>,
    at: &Path,
    files: &mut Files,
) -> Option<Upstream> {
    let zeros = [
        ("health_interval", document.health_interval.0.is_zero()),
        ("timeout", document.timeout.0.is_zero()),
        ("connect_timeout", document.connect_timeout.0.is_zero()),
        ("refresh", document.refresh.0.is_zero()),
    ];
    draft.refuse_zero(at, &zeros);
    if let Some(path) = &document.health {
        health(path, draft, &at.then("health"));
    }
    let transport = transport::compile(document, draft, at);
    let urls = urls(document, draft, at);
    let tls = urls.first().or(event_stream(&transport)).is_some_and(|url| url.scheme() == "https");
    let authority = document.ca.as_ref().filter(|_| !matches!(transport, None | Some(Transport::Stdio(_))));
    let ca = authority.and_then(|file| authority_file(file, tls, draft, &at.then("ca"), files));
    let transport = transport?;
    if document.catalogue == Cataloguing::PerUser && matches!(transport, Transport::Stdio(_)) {
        let hint = "remove it: a program is not told who calls, so its lists can't depend on it";
        draft.refuse(&at.then("catalogue"), "`per_user` is of no use with `stdio`", hint);
    }
    let path = match &transport {
        Transport::Http => urls.first().map(path_of)?,
        Transport::Stdio(_) | Transport::Sse(_) => String::new(),
    };
    Some(Upstream {
        name: name.to_owned(),
        transport,
        replicas: urls.iter().filter_map(replica).collect(),
        addresses: networks(&document.addresses, draft, &at.then("addresses")),
        tls,
        path,
        health: document.health.clone(),
        health_interval: document.health_interval.0,
        timeout: document.timeout.0,
        connect_timeout: document.connect_timeout.0,
        http: document.http,
        ca,
        refresh: document.refresh.0,
        pinning: document.pinning == Pinning::On,
        per_user: document.catalogue == Cataloguing::PerUser,
    })
}

fn event_stream(transport: &Option<Transport>) -> Option<&Url> {
    match transport {
        Some(Transport::Sse(url)) => Some(url),
        _ => None,
    }
}

/// The replicas' URLs, alike but for host and port. None where the upstream is not spoken to by Streamable HTTP.
fn urls(document: &UpstreamDocument, draft: &mut Draft<'_>, at: &Path) -> Vec<Url> {
    let written: Vec<(Path, &String)> = match (&document.url, document.urls.as_slice()) {
        (Some(url), []) => vec![(at.then("url"), url)],
        (None, urls) if !urls.is_empty() => {
            urls.iter().enumerate().map(|(index, url)| (at.then("urls").then(index), url)).collect()
        }
        (Some(_), _) => {
            draft.refuse(
                &at.then("urls"),
                "`url` and `urls` are both here",
                "keep one: `urls` where there are replicas",
            );
            return Vec::new();
        }
        (None, _) => return Vec::new(),
    };
    let mut urls: Vec<Url> = Vec::new();
    for (path, text) in written {
        match web_url(text) {
            Err((message, hint)) => draft.refuse(&path, message, hint),
            Ok(url) => {
                let unlike =
                    urls.first().is_some_and(|first| first.scheme() != url.scheme() || path_of(first) != path_of(&url));
                if unlike {
                    let hint = "replicas differ in host and port alone: make another upstream of it";
                    draft.refuse(&path, "this replica has another scheme or path than the first", hint);
                }
                if urls.contains(&url) {
                    draft.refuse(&path, "this replica is here a second time", "remove it");
                }
                urls.push(url);
            }
        }
    }
    urls
}

fn path_of(url: &Url) -> String {
    url[Position::BeforePath..Position::AfterQuery].to_owned()
}

fn replica(url: &Url) -> Option<Replica> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Replica { host, port: url.port_or_known_default()?, authority: authority(url) })
}

fn networks(written: &[String], draft: &mut Draft<'_>, at: &Path) -> Vec<Network> {
    let mut networks = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(()) => {
                let hint = "write one such as 10.0.0.7, 10.0.0.0/8 or fd00::/8, with no bit set behind the prefix";
                draft.refuse(&at.then(index), "this is neither an address nor a network", hint);
            }
        }
    }
    networks
}

fn health(path: &str, draft: &mut Draft<'_>, at: &Path) {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains(['#', '\\']);
    if !path.starts_with('/') || path.starts_with("//") || !plain {
        draft.refuse(at, "this is not a path", "write one such as /health: it is asked for at each replica");
    }
}

fn authority_file(file: &str, tls: bool, draft: &mut Draft<'_>, at: &Path, files: &mut Files) -> Option<Vec<u8>> {
    if !tls {
        draft.refuse(at, "a certificate authority is of no use without https", "use https in the URL, or remove `ca`");
        return None;
    }
    match files.read(std::path::Path::new(file)) {
        Err(why) => draft.refuse(at, why, "write the path of a PEM file; it is relative to the working directory"),
        Ok(bytes) if !holds_roots(&bytes) => {
            draft.refuse(at, "the file holds no certificate", "write the path of a PEM file with BEGIN CERTIFICATE");
        }
        Ok(bytes) => return Some(bytes.to_vec()),
    }
    None
}

/// Whether there is a certificate that can be a root: without one the public roots would be trusted instead.
fn holds_roots(pem: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).any(|certificate| roots.add(certificate).is_ok())
}
