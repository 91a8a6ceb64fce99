//! From the documents to a `Snapshot`: what the schema can't say is checked here, and every problem is collected, so
//! that nobody mends a configuration one error at a time.

mod console;
mod fixed;
mod gateway;
mod issuers;
mod listen;
mod sinks;
mod tls;
mod transport;
mod upstreams;
mod url;
mod work;

pub use gateway::beside_journal;

use crate::config::document::PolicyDocument;
use crate::config::document::gateway::GatewayDocument;
use crate::config::document::upstreams::UpstreamsDocument;
use crate::config::files::Files;
use crate::config::node::Node;
use crate::config::report::Finding;
use crate::config::snapshot::Snapshot;
use crate::config::source::Source;
use crate::config::{Process, Three};
use portcullis_core::limit::LimitSet;
use portcullis_core::policy::document::PayloadDocument;
use portcullis_core::policy::{Inventory, PolicySet};
use portcullis_core::problem::{Path, Problem, Segment};
use portcullis_core::redact::Redactor;
use portcullis_core::route::INVOKE;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The version of the documents that is read here.
const VERSION: u32 = 1;

/// Compiles what of the three files can be; what is wrong is added to them. The snapshot is `None` where a part is
/// missing; where there is one, the files may still have findings.
pub fn compile(three: &mut Three, files: &mut Files, process: &Process<'_>) -> (Option<Snapshot>, Vec<Finding>) {
    let gateway: Option<GatewayDocument> = three.gateway.document();
    let upstreams: Option<UpstreamsDocument> = three.upstreams.document();
    let policy: Option<PolicyDocument> = three.policy.document();
    let mut warnings = Vec::new();

    let gateway = gateway.as_ref().and_then(|document| {
        draft(&mut three.gateway, &mut warnings, document.version, |draft| {
            let gateway = gateway::compile(document, draft, &process.own, files)?;
            if let Some(running) = process.running {
                fixed::compare(&gateway, running, draft);
            }
            Some(gateway)
        })
    });
    let upstreams = upstreams.as_ref().and_then(|document| {
        draft(&mut three.upstreams, &mut warnings, document.version, |draft| upstreams::compile(document, draft, files))
    });
    let inventory = three.upstreams.tree.as_ref().map(inventory);
    let digest_key = gateway.as_ref().map_or(&process.own.digest_key, |gateway| &gateway.digest_key).expose().clone();
    let judgement = policy.as_ref().and_then(|document| {
        draft(&mut three.policy, &mut warnings, document.version, |draft| {
            judgement(document, draft, inventory.as_ref(), &digest_key)
        })
    });

    let revision = revision([&three.gateway.bytes, &three.upstreams.bytes, &three.policy.bytes]);
    let snapshot = gateway.zip(upstreams).zip(judgement).map(|((gateway, (upstreams, routes)), judgement)| {
        let Judgement { policy, limits, payload, redactor } = judgement;
        Snapshot { revision, gateway, upstreams, routes, policy, shadow: None, limits, payload, redactor }
    });
    (snapshot, warnings)
}

/// Compiles a policy that stands beside the live one; what is wrong is added to its file.
pub fn candidate(source: &mut Source, inventory: &Inventory, warnings: &mut Vec<Finding>) -> Option<PolicySet> {
    let document: PolicyDocument = source.document()?;
    let judged = draft(source, warnings, document.version, |draft| judgement(&document, draft, Some(inventory), &[]));
    judged.map(|judgement| judgement.policy).filter(|_| source.findings.is_empty())
}

/// Runs one file's compiler, and puts what it finds where it belongs.
fn draft<T>(
    source: &mut Source,
    warnings: &mut Vec<Finding>,
    version: u32,
    compile: impl FnOnce(&mut Draft<'_>) -> Option<T>,
) -> Option<T> {
    let tree = source.tree.as_ref()?;
    let mut draft = Draft { tree, problems: Vec::new(), warnings: Vec::new() };
    if version != VERSION {
        let hint = format!("this program reads version {VERSION}");
        draft.refuse(&Path::root().then("version"), format!("unknown version {version}"), hint);
    }
    let compiled = compile(&mut draft);
    let Draft { problems, warnings: warned, .. } = draft;
    warnings.extend(warned.into_iter().map(|problem| Finding::of_problem(&source.file, Some(tree), problem)));
    source.problems(problems);
    compiled
}

/// What `policy.yaml` says.
struct Judgement {
    policy: PolicySet,
    limits: LimitSet,
    payload: PayloadDocument,
    redactor: Redactor,
}

/// Compiles the policy. Without an inventory, what it says about upstreams and endpoints can't be judged, only the rest.
fn judgement(
    document: &PolicyDocument,
    draft: &mut Draft<'_>,
    inventory: Option<&Inventory>,
    digest_key: &[u8],
) -> Option<Judgement> {
    let payload = document.payload.clone();
    let zeros = [
        ("request", payload.request.0 == 0),
        ("response", payload.response.0 == 0),
        ("text_chars", payload.text_chars == 0),
    ];
    draft.refuse_zero(&Path::root().then("payload"), &zeros);
    let text_chars = usize::try_from(payload.text_chars).unwrap_or(usize::MAX);
    let mut keep = |section: &str, problems: Vec<Problem>| {
        draft.problems.extend(problems.into_iter().map(|problem| rooted(section, problem)));
    };
    // A policy of another version can't be judged, and one word about that is enough.
    let inventory = inventory.filter(|_| document.version == VERSION);
    let policy = inventory.map(|inventory| PolicySet::compile(document, inventory));
    let policy = policy.transpose().map_err(|problems| keep("rules", problems));
    let limits = LimitSet::compile(&document.limits).map_err(|problems| keep("limits", problems));
    let redactor =
        Redactor::compile(&document.redaction, text_chars, digest_key).map_err(|problems| keep("redaction", problems));
    Some(Judgement { policy: policy.ok()??, limits: limits.ok()?, payload, redactor: redactor.ok()? })
}

/// A problem whose path begins at the document, where its compiler only saw a list of it.
fn rooted(section: &str, mut problem: Problem) -> Problem {
    if let Some(Segment::Index(_)) = problem.path.0.first() {
        problem.path.0.insert(0, section.into());
    }
    problem
}

/// The names that a policy may refer to, even where the entries behind them are wrong.
pub fn inventory(upstreams: &Node) -> Inventory {
    let names = |key| {
        let section = upstreams.entry(key).map(|entry| &entry.value);
        section.into_iter().flat_map(Node::keys).map(str::to_owned).collect()
    };
    // Plain REST is an endpoint to rules, though nobody configures it.
    let mut endpoints: BTreeSet<String> = names("endpoints");
    endpoints.insert(INVOKE.to_owned());
    Inventory { upstreams: names("upstreams"), endpoints }
}

/// The first 12 hex digits of SHA-256 over the files, one after the other: `cat` and `sha256sum` give the same.
fn revision(files: [&[u8]; 3]) -> String {
    let mut all = Sha256::new();
    for bytes in files {
        all.update(bytes);
    }
    hex::encode(all.finalize()).chars().take(12).collect()
}

/// One document while it is compiled.
pub struct Draft<'a> {
    tree: &'a Node,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Draft<'_> {
    /// The value at `path` can't be served.
    pub fn refuse(&mut self, path: &Path, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::new(path.clone(), message).hint(hint));
    }

    /// The value at `path` is allowed, but seldom meant.
    pub fn warn(&mut self, path: &Path, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(Problem::new(path.clone(), message).hint(hint));
    }

    /// The text at `path` for a message: quoted, unless it may be secret.
    pub fn quote(&self, path: &Path) -> String {
        self.tree.quote(path)
    }

    /// Whether the text at `path` stands in the file as it is, rather than behind a reference.
    pub fn is_literal(&self, path: &Path) -> bool {
        self.tree.find(path).is_some_and(|node| !node.hidden)
    }

    /// Refuses each of these quantities that is zero.
    pub fn refuse_zero(&mut self, path: &Path, quantities: &[(&str, bool)]) {
        for (key, zero) in quantities {
            if *zero {
                self.refuse(&path.then(*key), format!("`{key}` is zero"), "write more than zero");
            }
        }
    }
}
