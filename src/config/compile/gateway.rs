//! `gateway.yaml`, but for `listen` and `identity.issuers`.

use crate::config::Own;
use crate::config::compile::{Draft, console, issuers, listen, sinks, work};
use crate::config::document::gateway::{EdgeDocument, GatewayDocument, JournalDocument, StateDocument};
use crate::config::files::Files;
use crate::config::nearest::suggest;
use crate::config::snapshot::{Gateway, Journal};
use crate::secrets::Secret;
use portcullis_core::audit::key::SigningKey;
use portcullis_core::problem::Path;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// The least that a journal may be bounded to.
const MIN_JOURNAL: u64 = 1 << 20;

/// Compiles `gateway.yaml`.
pub fn compile(document: &GatewayDocument, draft: &mut Draft<'_>, own: &Own, files: &mut Files) -> Option<Gateway> {
    let root = Path::root();
    let listen = listen::compile(&document.listen, draft, own.bound, files);
    let public_url = listen.as_ref().map_or("", |listen| listen.public_url.as_str());
    let issuers = issuers::compile(&document.identity, draft, public_url);
    let admin = listen.as_ref().map(|listen| listen.admin);
    let console = console::compile(&document.console, draft, admin, &issuers);
    let gateway_secret = document.gateway_secret.as_deref().map(|secret| {
        gateway_secret(secret, draft, &root.then("gateway_secret"));
        Secret::new(secret.to_owned())
    });
    let digest_key = document.digest_key.as_deref().map(|key| {
        refuse_short_key(key, draft, &root.then("digest_key"));
        Secret::new(key.as_bytes().to_vec())
    });
    let journal = &document.journal;
    let state_path = state(&document.state, &journal.path, draft, &root.then("state").then("path"));
    let approvals = work::approvals(&document.approvals, draft, &root.then("approvals"));
    let work_store =
        work::store(&document.work, [&journal.path, &state_path.to_string_lossy()], draft, &root.then("work"));
    let sinks = sinks::compile(&journal.sinks, draft, &root.then("journal").then("sinks"));
    let journal = self::journal(journal, draft, &root.then("journal"));
    work::jobs(&document.jobs, draft, &root.then("jobs"));
    edge(&document.edge, draft, &root.then("edge"));
    level(&document.telemetry.level, draft, &root.then("telemetry").then("level"));
    let threads = document.threads.unwrap_or(own.threads);
    if !(1..=1024).contains(&threads) {
        draft.refuse(&root.then("threads"), "this number of threads can't serve", "write 1 to 1024, or remove the key");
    }
    let listen = listen?;
    Some(Gateway {
        ingress: listen.ingress,
        admin: listen.admin,
        public_url: listen.public_url,
        tls: listen.tls,
        hosts: listen.hosts,
        origins: listen.origins,
        issuers,
        gateway_secret,
        digest_key_stays: digest_key.is_some(),
        digest_key: digest_key.unwrap_or_else(|| own.digest_key.clone()),
        jobs: document.jobs.clone(),
        journal,
        state_path,
        work_store: work_store?,
        approvals,
        sinks,
        edge: document.edge.clone(),
        console: console?,
        telemetry: document.telemetry.clone(),
        drain: document.drain.0,
        threads,
    })
}

/// The journal.
fn journal(document: &JournalDocument, draft: &mut Draft<'_>, path: &Path) -> Journal {
    if document.path.is_empty() {
        draft.refuse(&path.then("path"), "the path is empty", "write one such as data/journal.db");
    }
    let keep_nothing = document.keep.is_some_and(|keep| keep.0.is_zero());
    draft.refuse_zero(path, &[("deadline", document.deadline.0.is_zero()), ("keep", keep_nothing)]);
    if document.max_bytes.is_some_and(|bytes| bytes.0 < MIN_JOURNAL) {
        draft.refuse(&path.then("max_bytes"), "this is too little for a journal", "write 1MiB or more");
    }
    let checkpoints = &document.checkpoints;
    if let Some(key) = &checkpoints.key {
        let at = path.then("checkpoints").then("key");
        if let Err(reason) = SigningKey::from_pem(key) {
            draft.refuse(&at, format!("this key can't be used: {reason}"), "openssl genpkey -algorithm ed25519");
        }
        warn_literal(draft, &at);
    }
    Journal {
        path: PathBuf::from(&document.path),
        durability: document.durability,
        deadline: document.deadline.0,
        max_bytes: document.max_bytes.map(|bytes| bytes.0),
        keep: document.keep.map(|keep| keep.0),
        checkpoint_file: checkpoints.file.as_ref().map(PathBuf::from),
        checkpoint_key: checkpoints.key.clone().map(Secret::new),
    }
}

/// Where the state database is whose path is not written: beside `journal`.
pub fn beside_journal(journal: &std::path::Path) -> PathBuf {
    journal.with_file_name("portcullis.db")
}

/// Where the state database is: beside the journal, if nothing else is said.
fn state(document: &StateDocument, journal: &str, draft: &mut Draft<'_>, path: &Path) -> PathBuf {
    let Some(written) = &document.path else { return beside_journal(journal.as_ref()) };
    if written.is_empty() {
        draft.refuse(path, "the path is empty", "write one such as data/portcullis.db, or remove the key");
    } else if written == journal {
        draft.refuse(path, "this is the journal's file", "give the state database a file of its own");
    }
    PathBuf::from(written)
}

/// Refuses a key that could be guessed: HMAC-SHA-256 wants as many bytes as it gives (RFC 2104 section 3, RFC 7518
/// section 3.2). Says so where it stands in the file for all to read.
pub fn refuse_short_key(key: &str, draft: &mut Draft<'_>, path: &Path) {
    if key.len() < 32 {
        draft.refuse(path, "the key is too short", "give it at least 32 bytes: openssl rand -hex 32");
    }
    warn_literal(draft, path);
}

/// Warns of a secret that stands in the file for all to read.
pub fn warn_literal(draft: &mut Draft<'_>, path: &Path) {
    if draft.is_literal(path) {
        draft.warn(path, "a secret stands in the file itself", "write ${env:NAME} or ${file:/path} instead");
    }
}

fn gateway_secret(secret: &str, draft: &mut Draft<'_>, path: &Path) {
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let hint = "use printable ASCII without spaces: openssl rand -hex 32";
        draft.refuse(path, "the secret can't be sent in a header", hint);
    } else if secret.len() < 16 {
        draft.warn(
            path,
            "the secret is short enough to be guessed",
            "give it at least 16 characters: openssl rand -hex 32",
        );
    }
    warn_literal(draft, path);
}

fn edge(edge: &EdgeDocument, draft: &mut Draft<'_>, path: &Path) {
    let zeros = [
        ("connections", edge.connections == 0),
        ("calls", edge.calls == 0),
        ("header_count", edge.header_count == 0),
        ("header_bytes", edge.header_bytes.0 == 0),
        ("header_deadline", edge.header_deadline.0.is_zero()),
        ("body_deadline", edge.body_deadline.0.is_zero()),
        ("write_timeout", edge.write_timeout.0.is_zero()),
        ("keepalive", edge.keepalive.0.is_zero()),
        ("stream_silence", edge.stream_silence.0.is_zero()),
        ("streams", edge.streams == 0),
    ];
    draft.refuse_zero(path, &zeros);
}

/// A filter of log lines. A bare word that is no level would be taken for the name of a module and silence the rest.
fn level(text: &str, draft: &mut Draft<'_>, path: &Path) {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let words = text.split(',').map(str::trim);
    let levels = words.filter(|word| !word.contains(['[', '{'])).map(|word| word.rsplit('=').next().unwrap_or(word));
    let wrong = levels.into_iter().find(|word| !LEVELS.contains(&word.to_ascii_lowercase().as_str()));
    let forgotten_comma = text.split(',').any(|part| part.trim().contains(char::is_whitespace));
    if wrong.is_some() || forgotten_comma || EnvFilter::builder().parse(text).is_err() {
        let message = format!("{} is not a log level or filter", draft.quote(path));
        let near = wrong.filter(|_| draft.is_literal(path)).and_then(|word| suggest(word, LEVELS));
        draft.refuse(path, message, near.unwrap_or_else(|| "write one such as info or info,portcullis=debug".into()));
    }
}
