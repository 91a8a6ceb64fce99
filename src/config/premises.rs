//! What policies are judged by where no gateway runs: the names of a configuration's upstreams and endpoints, and where
//! its files are.
//!
//! It needs no secret: a reference that can't be resolved is passed over. Whether the configuration can be served is
//! `load`'s business.

use crate::config::document::gateway::JournalDocument;
use crate::config::document::policy_test::PolicyTestDocument;
use crate::config::files::Files;
use crate::config::node::{Content, Node};
use crate::config::report::{Finding, Report};
use crate::config::source::{Source, presentable};
use crate::config::{Environment, beside, compile, schema};
use portcullis_core::policy::{Inventory, PolicySet};
use portcullis_core::problem::{Path as Place, Problem};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The names that policies of one configuration may use.
pub struct Premises {
    /// The names, as policies are compiled with.
    pub inventory: Inventory,
    /// Each endpoint, with the upstreams that it shows.
    pub endpoints: BTreeMap<String, Vec<String>>,
    /// The policy that the configuration names.
    pub policy: PathBuf,
}

impl Premises {
    /// Those of the configuration in `gateway_file`.
    ///
    /// # Errors
    /// What can't be read of `gateway.yaml` and `upstreams.yaml`.
    pub fn of(gateway_file: &Path, environment: &Environment<'_>) -> Result<Self, Report> {
        let mut files = Files::default();
        let mut gateway = Source::open(gateway_file, &mut files);
        refuse_unreadable(&gateway)?;
        gateway.resolve(environment, &mut files);
        let schema = schema::gateway();
        let (Some(upstreams), Some(policy)) =
            (beside(gateway_file, &gateway, "upstreams", &schema), beside(gateway_file, &gateway, "policy", &schema))
        else {
            gateway.check(&schema);
            return Err(Report::new(gateway.findings));
        };
        let upstreams = Source::open(&upstreams, &mut files);
        refuse_unreadable(&upstreams)?;
        let tree = upstreams.tree.as_ref();
        Ok(Self {
            inventory: tree.map(compile::inventory).unwrap_or_default(),
            endpoints: tree.map(endpoints).unwrap_or_default(),
            policy: presentable(&policy),
        })
    }

    /// Reads and compiles a policy.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn compile(&self, file: &Path) -> Result<PolicySet, Report> {
        let mut source = Source::open_or(file, &mut Files::default(), "name a policy that is there");
        source.check(&schema::policy());
        match compile::candidate(&mut source, &self.inventory, &mut Vec::new()) {
            Some(policy) => Ok(policy),
            None => Err(Report::new(source.findings)),
        }
    }
}

/// The journal's file, as the configuration in `gateway_file` names it.
///
/// # Errors
/// What can't be read of `gateway.yaml`.
pub fn journal(gateway_file: &Path, environment: &Environment<'_>) -> Result<PathBuf, Report> {
    let mut files = Files::default();
    let hint = "name the gateway's configuration with --config FILE, or the journal itself with --journal FILE";
    let mut gateway = Source::open_or(gateway_file, &mut files, hint);
    refuse_unreadable(&gateway)?;
    gateway.resolve(environment, &mut files);
    let written = path_in(&mut gateway, "journal")?;
    Ok(written.unwrap_or_else(|| JournalDocument::default().path.into()))
}

/// The state database's file, as the configuration in `gateway_file` names it.
///
/// # Errors
/// What can't be read of `gateway.yaml`.
pub fn state(gateway_file: &Path, environment: &Environment<'_>) -> Result<PathBuf, Report> {
    let mut files = Files::default();
    let hint = "name the gateway's configuration with --config FILE";
    let mut gateway = Source::open_or(gateway_file, &mut files, hint);
    refuse_unreadable(&gateway)?;
    gateway.resolve(environment, &mut files);
    if let Some(written) = path_in(&mut gateway, "state")? {
        return Ok(written);
    }
    let journal = path_in(&mut gateway, "journal")?;
    Ok(compile::beside_journal(&journal.unwrap_or_else(|| JournalDocument::default().path.into())))
}

/// The path that `section` of the gateway's document names; `None` where it names none.
fn path_in(gateway: &mut Source, section: &str) -> Result<Option<PathBuf>, Report> {
    let written = gateway.tree.as_ref().and_then(|tree| tree.entry(section)?.value.entry("path"));
    match written.map(|path| path.value.text()) {
        None => Ok(None),
        Some(Some(path)) if !path.is_empty() => Ok(Some(path.into())),
        Some(_) => {
            gateway.check(&schema::gateway());
            Err(Report::new(gateway.findings.clone()))
        }
    }
}

/// A file of policy tests.
pub struct PolicyTests {
    source: Source,
    /// What stands in it.
    pub document: PolicyTestDocument,
}

impl PolicyTests {
    /// Reads `file`.
    ///
    /// # Errors
    /// Every problem of the file's form.
    pub fn read(file: &Path) -> Result<Self, Report> {
        let mut source = Source::open_or(file, &mut Files::default(), "name a file that is there");
        source.check(&schema::policy_test());
        match source.document::<PolicyTestDocument>() {
            Some(document) if document.version != 1 => {
                let problem = Problem::new(Place::root().then("version"), "this version is unknown");
                Err(Report::new(Self { source, document }.findings([problem.hint("write `version: 1`")])))
            }
            Some(document) => Ok(Self { source, document }),
            None => Err(Report::new(source.findings)),
        }
    }

    /// `problems` with their places in the file.
    pub fn findings(mut self, problems: impl IntoIterator<Item = Problem>) -> Vec<Finding> {
        self.source.problems(problems);
        self.source.findings
    }

    /// The policy that is tested.
    pub fn policy(&self, premises: &Premises) -> PathBuf {
        let folder = self.source.file.parent().unwrap_or(Path::new(""));
        let named = self.document.policy.as_ref();
        named.map_or_else(|| premises.policy.clone(), |name| presentable(&folder.join(name)))
    }

    /// The file and the line of the test number `index`, from 0.
    pub fn place(&self, index: usize) -> String {
        let path = Place::root().then("tests").then(index);
        let line = self.source.tree.as_ref().map_or(1, |tree| tree.locate(&path).line);
        format!("{}:{line}", self.source.file.display())
    }
}

fn refuse_unreadable(source: &Source) -> Result<(), Report> {
    if source.tree.is_some() && source.findings.is_empty() { Ok(()) } else { Err(Report::new(source.findings.clone())) }
}

/// Each endpoint with its upstreams, as far as the document says.
fn endpoints(upstreams: &Node) -> BTreeMap<String, Vec<String>> {
    let shown = |endpoint: &Node| match endpoint.entry("upstreams").map(|entry| &entry.value.content) {
        Some(Content::List(names)) => names.iter().filter_map(Node::text).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    match upstreams.entry("endpoints").map(|entry| &entry.value.content) {
        Some(Content::Map(entries)) => entries.iter().map(|entry| (entry.key.clone(), shown(&entry.value))).collect(),
        _ => BTreeMap::new(),
    }
}
