//! The configuration: three files as written (`document`), checked and compiled (`compile`) into one immutable
//! `Snapshot`, and replaced while the process runs (`reload`).
//!
//! A configuration with a problem is no configuration: nothing here has a fallback, at the start and on a reload alike.

pub mod document;
pub mod premises;
pub mod reference;
pub mod reload;
pub mod report;
pub mod schema;
pub mod snapshot;

mod check;
mod compile;
mod files;
mod nearest;
mod node;
mod parse;
mod source;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod tests;

use crate::config::files::{Files, Fingerprint};
use crate::config::report::{Finding, Report};
use crate::config::snapshot::{Gateway, Snapshot};
use crate::config::source::Source;
use crate::secrets::Secret;
use portcullis_core::policy::{Inventory, PolicySet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads one variable of the environment; `None` where it is not set.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + Send + 'a;

/// A configuration that can be served.
pub struct Loaded {
    /// What it means.
    pub snapshot: Snapshot,
    /// Where it came from; `reload::Watcher` needs it.
    pub sources: Sources,
    /// What is allowed, but seldom meant.
    pub warnings: Vec<Finding>,
}

/// Where a configuration came from.
#[derive(Clone)]
pub struct Sources {
    /// `gateway.yaml`.
    pub gateway: PathBuf,
    /// `upstreams.yaml`, as `gateway.yaml` names it.
    pub upstreams: PathBuf,
    /// `policy.yaml`, as `gateway.yaml` names it.
    pub policy: PathBuf,
    /// Files that values refer to: secrets and certificate authorities.
    pub others: Vec<PathBuf>,
    /// What the files held.
    fingerprint: Fingerprint,
    /// What the process made up for itself.
    own: Arc<Own>,
}

/// What stands in for keys that are not there. Made once, so that a reload does not change it.
struct Own {
    digest_key: Secret<Vec<u8>>,
    threads: usize,
    bound: Option<Bound>,
}

/// The addresses that were taken. They stand in for written ones that leave the port open (`127.0.0.1:0`).
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Of the ingress.
    pub ingress: SocketAddr,
    /// Of the admin listener.
    pub admin: SocketAddr,
}

impl Own {
    fn new() -> Self {
        Self {
            digest_key: Secret::new(rand::random::<[u8; 32]>().to_vec()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            bound: None,
        }
    }
}

/// Reads and compiles the configuration that `gateway_file` and the two files it names make.
///
/// # Errors
/// Every problem of all three files.
pub fn load(gateway_file: &Path, environment: &Environment<'_>) -> Result<Loaded, Report> {
    let process = Process { environment, own: Arc::new(Own::new()), running: None };
    assemble(gateway_file, &mut Files::default(), &process)
}

/// The same, once the addresses that it leaves open are taken.
///
/// # Errors
/// As [`load`].
pub fn load_bound(gateway_file: &Path, environment: &Environment<'_>, bound: Bound) -> Result<Loaded, Report> {
    let own = Own { bound: Some(bound), ..Own::new() };
    let process = Process { environment, own: Arc::new(own), running: None };
    assemble(gateway_file, &mut Files::default(), &process)
}

/// What the process brings to a load.
struct Process<'a> {
    environment: &'a Environment<'a>,
    own: Arc<Own>,
    /// What runs already, where this is a reload.
    running: Option<&'a Gateway>,
}

/// The three files, read as far as each can be.
struct Three {
    gateway: Source,
    upstreams: Source,
    policy: Source,
}

fn assemble(gateway_file: &Path, files: &mut Files, process: &Process<'_>) -> Result<Loaded, Report> {
    let mut gateway = Source::open(gateway_file, files);
    gateway.resolve(process.environment, files);
    let schema = schema::gateway();
    gateway.check(&schema);
    let beside = |key| beside(gateway_file, &gateway, key, &schema);
    let (Some(upstreams_file), Some(policy_file)) = (beside("upstreams"), beside("policy")) else {
        return Err(Report::new(gateway.findings));
    };
    let shadow_file = beside("shadow_policy");
    let mut upstreams = Source::open(&upstreams_file, files);
    upstreams.resolve(process.environment, files);
    upstreams.check(&schema::upstreams());
    let mut policy = Source::open(&policy_file, files);
    policy.check(&schema::policy());

    let mut three = Three { gateway, upstreams, policy };
    let (mut snapshot, mut warnings) = compile::compile(&mut three, files, process);
    let Three { gateway, upstreams, policy } = three;
    if let (Some(snapshot), Some(tree)) = (&mut snapshot, &upstreams.tree) {
        snapshot.shadow = shadow_file.map(|file| shadow(&file, &compile::inventory(tree), files, &mut warnings));
    }
    let findings: Vec<Finding> = [gateway.findings, upstreams.findings, policy.findings].concat();
    match snapshot.filter(|_| findings.is_empty()) {
        None => Err(Report::new(findings)),
        Some(snapshot) => {
            let named = [gateway_file, &upstreams_file, &policy_file];
            let others = files.paths().filter(|path| !named.contains(&path.as_path())).cloned().collect();
            let sources = Sources {
                gateway: gateway_file.to_owned(),
                upstreams: upstreams_file,
                policy: policy_file,
                others,
                fingerprint: files.fingerprint(),
                own: Arc::clone(&process.own),
            };
            Ok(Loaded { snapshot, sources, warnings })
        }
    }
}

/// The policy that is asked beside the live one. What is wrong with it is no problem of the configuration.
fn shadow(
    file: &Path,
    inventory: &Inventory,
    files: &mut Files,
    warnings: &mut Vec<Finding>,
) -> Result<PolicySet, Report> {
    let mut source = Source::open_or(file, files, "write it, or remove `shadow_policy` from gateway.yaml");
    source.check(&schema::policy());
    match compile::candidate(&mut source, inventory, warnings) {
        Some(policy) => Ok(policy),
        None => Err(Report::new(source.findings)),
    }
}

/// The file that `key` of the gateway's document names, relative to it; `None` where that can't be known.
fn beside(gateway_file: &Path, gateway: &Source, key: &str, schema: &serde_json::Value) -> Option<PathBuf> {
    let name = match gateway.tree.as_ref()?.entry(key) {
        Some(entry) => entry.value.text()?,
        None => schema.get("properties")?.get(key)?.get("default")?.as_str()?,
    };
    Some(gateway_file.parent().unwrap_or(Path::new("")).join(name))
}
