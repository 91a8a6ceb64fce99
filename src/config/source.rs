//! A file on its way from bytes to a document: parsed, its references resolved, held against its schema.
//! Each step adds what it finds, and a step that can't run leaves the rest to those that can.

use crate::config::check::check;
use crate::config::files::Files;
use crate::config::node::{Content, Node};
use crate::config::parse::parse;
use crate::config::report::{Fault, Finding};
use crate::secrets::resolve::resolve;
use portcullis_core::problem::{Path, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

/// A file, what stands in it and what is wrong with it.
pub struct Source {
    /// Its path as people read it.
    pub file: PathBuf,
    /// Its bytes; none where it can't be read.
    pub bytes: Arc<[u8]>,
    /// What stands in it; `None` where it can't be read or is not YAML.
    pub tree: Option<Node>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

impl Source {
    /// Reads and parses one of the three files.
    pub fn open(path: &FilePath, files: &mut Files) -> Self {
        Self::open_or(path, files, "all three files must be there: gateway.yaml names the other two")
    }

    /// Reads and parses a file; `hint` says what to do where it can't be read.
    pub fn open_or(path: &FilePath, files: &mut Files, hint: &str) -> Self {
        let file = presentable(path);
        match files.read(path) {
            Ok(bytes) => {
                let parsed = parse(&bytes);
                let mut source = Self { file, bytes, tree: parsed.tree, findings: Vec::new() };
                source.add(parsed.faults);
                source
            }
            Err(why) => {
                let findings = vec![Finding::of_file(&file, why, hint)];
                Self { file, bytes: Arc::default(), tree: None, findings }
            }
        }
    }

    /// Puts the values of references in their places.
    pub fn resolve(&mut self, environment: &dyn Fn(&str) -> Option<String>, files: &mut Files) {
        let mut faults = Vec::new();
        let mut read = |path: &FilePath| {
            let bytes = files.read(path)?;
            std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| "the file is not UTF-8".to_owned())
        };
        if let Some(tree) = &mut self.tree {
            resolve_tree(tree, &Path::root(), &mut faults, &mut |text| {
                resolve(text, environment, &mut read).map_err(|error| (error.to_string(), error.hint()))
            });
        }
        self.add(faults);
    }

    /// Holds the document against its schema.
    pub fn check(&mut self, schema: &Value) {
        let faults = self.tree.as_ref().map(|tree| check(tree, schema)).unwrap_or_default();
        self.add(faults);
    }

    /// The document, where nothing was found wrong so far.
    pub fn document<T: DeserializeOwned>(&mut self) -> Option<T> {
        let tree = self.tree.as_ref().filter(|_| self.findings.is_empty())?;
        let document = serde_json::from_value(tree.to_value()).ok();
        if document.is_none() {
            // The reader's own words may quote a value.
            let message = "the document does not fit its schema, in a way that has no place";
            self.findings.push(Finding::of_file(&self.file, message, "compare it with the examples under conf/"));
        }
        document
    }

    /// Adds problems of the document's meaning.
    pub fn problems(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.findings.push(Finding::of_problem(&self.file, self.tree.as_ref(), problem));
        }
    }

    fn add(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            self.findings.push(Finding::of_fault(&self.file, self.tree.as_ref(), fault));
        }
    }
}

/// What a text becomes, or a message and a hint.
type Resolution = Result<Option<String>, (String, String)>;

fn resolve_tree(node: &mut Node, path: &Path, faults: &mut Vec<Fault>, resolve: &mut dyn FnMut(&str) -> Resolution) {
    match &mut node.content {
        Content::Text(text) => match resolve(text) {
            Ok(None) => {}
            Ok(Some(resolved)) => {
                node.content = Content::Text(resolved);
                node.hidden = true;
            }
            Err((message, hint)) => {
                faults.push(Fault { at: node.at, problem: Problem::new(path.clone(), message).hint(hint) });
                node.content = Content::Unreadable;
            }
        },
        Content::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                resolve_tree(item, &path.then(index), faults, resolve);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                resolve_tree(&mut entry.value, &path.then(entry.key.as_str()), faults, resolve);
            }
        }
        _ => {}
    }
}

/// `conf/../policy.yaml` as `policy.yaml`, where that is the same file: a link may make it another.
pub fn presentable(path: &FilePath) -> PathBuf {
    let mut short = PathBuf::new();
    for component in path.components() {
        match (component, short.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                short.pop();
            }
            _ => short.push(component),
        }
    }
    let real = |path: &FilePath| path.parent().and_then(|folder| folder.join(".").canonicalize().ok());
    let short_parent =
        if short.parent() == Some(FilePath::new("")) { FilePath::new(".").join(&short) } else { short.clone() };
    if real(&short_parent) == real(path) && real(path).is_some() { short } else { path.to_owned() }
}
