//! The `scopes` of a policy.

use crate::policy::compile::closure::closure;
use crate::policy::compile::names::Names;
use crate::policy::document::ScopeDocument;
use crate::policy::scope::{Entry, ScopeSet};
use crate::policy::subject::Subject;
use crate::problem::{Path, Problem};
use std::collections::BTreeMap;

/// The longest name of a scope that a token can be found to have.
const LONGEST: usize = 256;

/// All entries; those with problems among them, which `names` then holds.
pub(super) fn compile(documents: &[ScopeDocument], names: &mut Names<'_>) -> ScopeSet {
    let mut includes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for document in documents {
        includes.entry(&document.scope).or_default().extend(document.includes.iter().cloned());
    }
    for (position, document) in documents.iter().enumerate() {
        check(&Path::root().then("scopes").then(position), document, &includes, names);
    }
    let borrowed = includes.iter().map(|(scope, included)| (*scope, included.as_slice())).collect();
    ScopeSet { entries: documents.iter().map(entry).collect(), includes: closure(&borrowed) }
}

fn entry(document: &ScopeDocument) -> Entry {
    let ScopeDocument { tools, prompts, resources, .. } = document;
    Entry {
        scope: document.scope.clone(),
        subject: Subject::new(tools.as_deref(), prompts.as_deref(), resources.as_deref()),
        classes: document.classes.clone(),
        endpoints: document.endpoints.as_ref().map(|names| names.iter().cloned().collect()),
        initial: document.initial,
    }
}

fn check(path: &Path, document: &ScopeDocument, known: &BTreeMap<&str, Vec<String>>, names: &mut Names<'_>) {
    if let Some(message) = flaw(&document.scope) {
        let hint = "write it as the issuer does, such as mcp:read";
        names.report(Problem::new(path.then("scope"), message).hint(hint));
    }
    names.tools(&path.then("tools"), document.tools.as_deref());
    names.prompts(&path.then("prompts"), document.prompts.as_deref());
    names.resources(&path.then("resources"), document.resources.as_deref());
    names.not_empty(&path.then("classes"), document.classes.as_deref());
    names.endpoints(&path.then("endpoints"), document.endpoints.as_deref());
    for (position, included) in document.includes.iter().enumerate() {
        names.scope(&path.then("includes").then(position), included, known.keys().copied());
    }
    let names_none = document.tools.is_none() && document.prompts.is_none() && document.resources.is_none();
    if names_none && document.classes.is_none() {
        check_without_need(path, document, names);
    }
}

fn check_without_need(path: &Path, document: &ScopeDocument, names: &mut Names<'_>) {
    if document.includes.is_empty() {
        let hint = "say for what with `tools`, `prompts`, `resources` or `classes`";
        names.report(Problem::new(path.clone(), "this scope is needed for nothing and includes nothing").hint(hint));
    }
    for (key, stated) in [("endpoints", document.endpoints.is_some()), ("initial", document.initial)] {
        if stated {
            let message = format!("`{key}` means nothing for a scope that is needed for nothing");
            names.report(Problem::new(path.then(key), message).hint("remove it"));
        }
    }
}

/// RFC 6749 section 3.3: what a scope may hold, so that a list of them reads in one way. `offline_access` is the client's to
/// ask for, and never a server's (MCP 2026-07-28 \"Authorization\").
fn flaw(scope: &str) -> Option<&'static str> {
    let is_token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if scope.is_empty() || scope.len() > LONGEST || !scope.bytes().all(is_token) {
        return Some("this is not a scope: it is empty, too long, or holds a space, a quote or a backslash");
    }
    (scope == "offline_access").then_some("this scope lets a client renew its token, and is no right of its own")
}
