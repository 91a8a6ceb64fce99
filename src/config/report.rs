//! What is wrong with a configuration, told as a compiler tells it: every problem of every file at once, each with its
//! place and the next thing to do.

use crate::config::node::{Node, Position, presentable};
use portcullis_core::problem::{Path, Problem, Segment};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};

/// A problem with its place in a file.
#[derive(Debug)]
pub struct Fault {
    /// The place.
    pub at: Position,
    /// The problem.
    pub problem: Problem,
}

/// One problem of one file. It never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// The way to the value, such as `rules[1].roles[0]`; empty for the whole document.
    pub path: String,
    /// The id of the policy rule that the value belongs to.
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    /// A problem of a whole file.
    pub fn of_file(file: &FilePath, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            path: String::new(),
            rule: None,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// A problem of the document `tree`, at its value or the nearest one around it.
    pub fn of_problem(file: &FilePath, tree: Option<&Node>, problem: Problem) -> Self {
        let at = tree.map(|tree| tree.locate(&problem.path));
        Self::placed(file, tree, at, problem)
    }

    /// A problem whose place is known.
    pub fn of_fault(file: &FilePath, tree: Option<&Node>, fault: Fault) -> Self {
        Self::placed(file, tree, Some(fault.at), fault.problem)
    }

    fn placed(file: &FilePath, tree: Option<&Node>, at: Option<Position>, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            path: show(&problem.path),
            rule: problem.rule.or_else(|| rule_around(tree?, &problem.path)),
            message: problem.message,
            hint: problem.hint,
        }
    }
}

/// The path for a message, without keys that may be a secret gone astray.
fn show(path: &Path) -> String {
    let shown = path.0.iter().map(|segment| match segment {
        Segment::Key(key) => Segment::from(presentable(key).unwrap_or("…")),
        Segment::Index(index) => Segment::Index(*index),
    });
    Path(shown.collect()).to_string()
}

/// The id of the rule that `path` goes into, where it goes into one.
fn rule_around(tree: &Node, path: &Path) -> Option<String> {
    let [Segment::Key(rules), index @ Segment::Index(_), ..] = path.0.as_slice() else { return None };
    let rule = tree.find(&Path(vec![Segment::Key(rules.clone()), index.clone()]))?;
    let id = &rule.entry("id").filter(|_| rules == "rules")?.value;
    presentable(id.text().filter(|_| !id.hidden)?).map(str::to_owned)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        f.write_str(": ")?;
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule}: ")?;
        }
        f.write_str(&self.message)?;
        if !self.path.is_empty() {
            write!(f, " ({})", self.path)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Every problem of a configuration. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The problems, by file and line.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Sorts the problems.
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort();
        findings.dedup();
        Self { findings }
    }

    /// How many problems in which files, in one line: `3 problems in policy.yaml, upstreams.yaml`.
    pub fn summary(&self) -> String {
        let files: BTreeSet<String> = self.findings.iter().map(|finding| finding.file.display().to_string()).collect();
        let files: Vec<String> = files.into_iter().collect();
        let plural = if self.findings.len() == 1 { "" } else { "s" };
        format!("{} problem{plural} in {}", self.findings.len(), files.join(", "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        f.write_str(&self.summary())
    }
}

impl std::error::Error for Report {}
