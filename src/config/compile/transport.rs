//! How an upstream is spoken to: Streamable HTTP, a program's standard input and output, or HTTP+SSE of 2024-11-05.

use crate::config::compile::Draft;
use crate::config::compile::url::web_url;
use crate::config::document::upstreams::{HttpVersion, StdioDocument, UpstreamDocument};
use crate::config::node::names_secret;
use crate::config::snapshot::{Stdio, Transport, Variable};
use crate::secrets::Secret;
use portcullis_core::problem::Path;
use std::collections::BTreeMap;
use url::Url;

/// What is shorter is not looked for in logs and answers: it would be found where nobody meant it.
const SHORTEST_HIDDEN: usize = 12;

/// The transport that the keys of `document` name; `None` where they name none, or several.
pub fn compile(document: &UpstreamDocument, draft: &mut Draft<'_>, at: &Path) -> Option<Transport> {
    let url = if document.url.is_some() { "url" } else { "urls" };
    let http = document.url.is_some() || !document.urls.is_empty();
    let written = [(url, http), ("stdio", document.stdio.is_some()), ("sse", document.sse.is_some())];
    let mut written = written.into_iter().filter_map(|(key, there)| there.then_some(key));
    let Some(first) = written.next() else {
        let hint = "write `url`, such as http://127.0.0.1:8091/mcp, or `stdio` with the `command` of a program";
        draft.refuse(at, "the upstream has no URL", hint);
        return None;
    };
    let others: Vec<_> = written.collect();
    for other in &others {
        let message = format!("`{first}` and `{other}` are both here");
        draft.refuse(&at.then(*other), message, "keep one: an upstream is one server");
    }
    if !others.is_empty() {
        return None;
    }
    match (&document.stdio, &document.sse) {
        (Some(written), _) => stdio(document, written, draft, at).map(Transport::Stdio),
        (None, Some(url)) => sse(document, url, draft, at).map(Transport::Sse),
        (None, None) => Some(Transport::Http),
    }
}

fn sse(document: &UpstreamDocument, url: &str, draft: &mut Draft<'_>, at: &Path) -> Option<Url> {
    let useless = [("http", document.http != HttpVersion::Auto), ("addresses", !document.addresses.is_empty())];
    refuse_useless(draft, at, "sse", &useless);
    let refused = |(message, hint): (&'static str, &'static str)| draft.refuse(&at.then("sse"), message, hint);
    web_url(url).map_err(refused).ok()
}

fn stdio(
    document: &UpstreamDocument,
    written: &StdioDocument,
    draft: &mut Draft<'_>,
    upstream: &Path,
) -> Option<Stdio> {
    let useless = [
        ("health", document.health.is_some()),
        ("http", document.http != HttpVersion::Auto),
        ("ca", document.ca.is_some()),
        ("addresses", !document.addresses.is_empty()),
    ];
    refuse_useless(draft, upstream, "stdio", &useless);
    let at = upstream.then("stdio");
    let max_processes = usize::try_from(written.max_processes).unwrap_or(usize::MAX);
    draft.refuse_zero(&at, &[("idle", written.idle.0.is_zero()), ("max_processes", max_processes == 0)]);
    if let Some(cwd) = &written.cwd {
        plain(cwd, draft, &at.then("cwd"));
    }
    let (program, arguments) = command(written, draft, &at.then("command"))?;
    Some(Stdio {
        program,
        arguments,
        env: environment(written, draft, &at.then("env")),
        cwd: written.cwd.clone().map(Into::into),
        per: written.per,
        idle: written.idle.0,
        max_processes,
    })
}

fn refuse_useless(draft: &mut Draft<'_>, at: &Path, transport: &str, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, there)| *there) {
        draft.refuse(&at.then(*key), format!("`{key}` is of no use with `{transport}`"), "remove it");
    }
}

fn command(written: &StdioDocument, draft: &mut Draft<'_>, at: &Path) -> Option<(String, Vec<String>)> {
    let program = written.command.first().filter(|program| !program.is_empty());
    let Some(program) = program else {
        let hint = "write the program and its arguments, such as [mcp-server-filesystem, /srv/docs]";
        draft.refuse(at, "the command names no program", hint);
        return None;
    };
    for (index, word) in written.command.iter().enumerate() {
        let path = at.then(index);
        plain(word, draft, &path);
        if !draft.is_literal(&path) {
            let hint = "every user of the machine can read arguments (ps): if it is a secret, hand it over in `env`";
            draft.warn(&path, "a reference stands in an argument", hint);
        }
    }
    Some((program.clone(), written.command.iter().skip(1).cloned().collect()))
}

fn environment(written: &StdioDocument, draft: &mut Draft<'_>, at: &Path) -> BTreeMap<String, Variable> {
    let mut variables = BTreeMap::new();
    for (name, value) in &written.env {
        let path = at.then(name.as_str());
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !name.bytes().all(word) || name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            draft.refuse(&path, "this can't be the name of a variable", "use letters, digits and `_`");
        }
        plain(value, draft, &path);
        let literal = draft.is_literal(&path);
        if literal && names_secret(name) {
            draft.warn(&path, "a secret stands in the file itself", "write ${env:NAME} or ${file:/path} instead");
        }
        let hidden = !literal && value.len() >= SHORTEST_HIDDEN;
        variables.insert(name.clone(), Variable { value: Secret::new(value.clone()), hidden });
    }
    variables
}

/// What the system passes to a program ends at the first NUL.
fn plain(text: &str, draft: &mut Draft<'_>, at: &Path) {
    if text.contains('\0') {
        draft.refuse(at, "the text holds a NUL character", "remove it");
    }
}
