//! `journal.sinks`: where copies of the record go. Whether a place can be reached is not asked here: it may come later.

use crate::config::compile::Draft;
use crate::config::compile::gateway::warn_literal;
use crate::config::compile::url::{is_local, is_name, web_url};
use crate::config::document::gateway::{SinkDocument, WebhookDocument};
use crate::config::snapshot::{Sink, Target};
use crate::secrets::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_core::problem::Path;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use url::{Host, Url};

/// Bytes of a key that Standard Webhooks allows.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Compiles the list.
pub fn compile(documents: &[SinkDocument], draft: &mut Draft<'_>, at: &Path) -> Vec<Arc<Sink>> {
    let mut names = BTreeSet::new();
    let mut sinks: Vec<Arc<Sink>> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let at = at.then(index);
        if !is_name(&document.name) {
            let message = format!("{} can't name a sink", draft.quote(&at.then("name")));
            draft.refuse(&at.then("name"), message, "write 1 to 64 of a-z, 0-9, `-` and `_`");
        } else if !names.insert(&document.name) {
            draft.refuse(&at.then("name"), "another sink has this name", "give each a name of its own");
        }
        let Some(target) = target(document, draft, &at) else { continue };
        let is_place = matches!(target, Target::File(_) | Target::Stdout);
        if is_place && sinks.iter().any(|sink| sink.target == target) {
            draft.refuse(&at.then("file"), "another sink writes there", "give each a file of its own");
        }
        sinks.push(Arc::new(Sink { name: document.name.clone(), target }));
    }
    sinks
}

fn target(document: &SinkDocument, draft: &mut Draft<'_>, at: &Path) -> Option<Target> {
    match document {
        SinkDocument { postgres: Some(url), file: None, otlp: None, webhook: None, .. } => {
            postgres(url, draft, &at.then("postgres")).map(Target::Postgres)
        }
        SinkDocument { postgres: None, file: Some(path), otlp: None, webhook: None, .. } => {
            file(path, draft, &at.then("file"))
        }
        SinkDocument { postgres: None, file: None, otlp: Some(url), webhook: None, .. } => {
            otlp(url, draft, &at.then("otlp"))
        }
        SinkDocument { postgres: None, file: None, otlp: None, webhook: Some(webhook), .. } => {
            self::webhook(webhook, draft, &at.then("webhook"))
        }
        _ => {
            let message = "a sink is one of `postgres`, `file`, `otlp` and `webhook`";
            draft.refuse(at, message, "write exactly one of them; two places are two sinks");
            None
        }
    }
}

/// The URL of a database. It is kept as it is written: what reads it knows more parameters than are judged here.
pub fn postgres(text: &str, draft: &mut Draft<'_>, at: &Path) -> Option<Secret<String>> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(url) = url else {
        let hint = "write postgres://user:password@host/database; encode special characters of the password as %XX";
        draft.refuse(at, "this is not the URL of a Postgres database", hint);
        return None;
    };
    if url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password") {
        warn_literal(draft, at);
    }
    let says =
        |name: &str, values: &[&str]| url.query_pairs().any(|(key, value)| key == name && values.contains(&&*value));
    let is_encrypted = ["sslmode", "ssl-mode"].iter().any(|name| says(name, &["require", "verify-ca", "verify-full"]));
    // A path in `host` is a socket on this machine.
    let is_socket = url.query_pairs().any(|(key, value)| key == "host" && value.starts_with('/'));
    if !is_here(&url) && !is_socket && !is_encrypted {
        let message = "the record and the password may cross the network unencrypted";
        draft.warn(at, message, "add ?sslmode=verify-full to the URL, or sslmode=require");
    }
    Some(Secret::new(text.to_owned()))
}

/// The same as `is_local`, for schemes whose hosts are not parsed.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            name == "localhost" || name.is_empty() || address.is_ok_and(|address| address.is_loopback())
        }
        Some(_) => is_local(url),
        None => true,
    }
}

fn file(text: &str, draft: &mut Draft<'_>, at: &Path) -> Option<Target> {
    match text {
        "" => {
            draft.refuse(at, "the path is empty", "write one such as data/audit.jsonl, or `-` for standard output");
            None
        }
        "-" => Some(Target::Stdout),
        path => Some(Target::File(PathBuf::from(path))),
    }
}

fn otlp(text: &str, draft: &mut Draft<'_>, at: &Path) -> Option<Target> {
    let mut url = url(text, draft, at)?;
    if url.path() == "/" {
        url.set_path("/v1/logs");
    }
    if url.scheme() == "http" && !is_local(&url) {
        draft.warn(at, "the record crosses the network unencrypted", "use an https URL");
    }
    Some(Target::Otlp(url))
}

fn webhook(document: &WebhookDocument, draft: &mut Draft<'_>, at: &Path) -> Option<Target> {
    let url = receiver(&document.url, draft, &at.then("url"));
    let key = signing_key(&document.secret, draft, &at.then("secret"))?;
    Some(Target::Webhook(url?, key))
}

/// The URL of who gets what others may not read on its way.
pub fn receiver(text: &str, draft: &mut Draft<'_>, at: &Path) -> Option<Url> {
    let url = url(text, draft, at)?;
    if url.scheme() == "http" && !is_local(&url) {
        draft.refuse(at, "the record would cross the network unencrypted", "use an https URL");
    }
    Some(url)
}

/// A key that Standard Webhooks signs with.
pub fn signing_key(text: &str, draft: &mut Draft<'_>, at: &Path) -> Option<Secret<Vec<u8>>> {
    let key = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let Some(key) = key.filter(|key| KEY_BYTES.contains(&key.len())) else {
        let hint = "make one: echo whsec_$(openssl rand -base64 32)";
        draft.refuse(at, "the secret is not `whsec_` and 24 to 64 bytes in base64", hint);
        return None;
    };
    warn_literal(draft, at);
    Some(Secret::new(key))
}

fn url(text: &str, draft: &mut Draft<'_>, at: &Path) -> Option<Url> {
    web_url(text).map_err(|(message, hint)| draft.refuse(at, message, hint)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_this_machine_are_here() {
        for (text, expected) in [
            ("postgres://u:p@localhost/x", true),
            ("postgres://u:p@127.0.0.1:5432/x", true),
            ("postgres://u:p@[::1]/x", true),
            ("postgres:///x", true),
            ("postgres://u:p@db.example.com/x", false),
            ("postgres://u:p@10.0.0.1/x", false),
            ("postgres://u:p@127.example.com/x", false),
        ] {
            assert_eq!(is_here(&Url::parse(text).unwrap()), expected, "{text}");
        }
    }
}
