//! Roles and what they include.

use crate::policy::compile::closure::closure;
use crate::policy::compile::names::Names;
use crate::policy::document::RoleDocument;
use crate::problem::{Path, Problem};
use std::collections::{BTreeMap, BTreeSet};

/// Each role with all that it includes, itself among them.
pub(super) fn compile(
    documents: &BTreeMap<String, RoleDocument>,
    names: &mut Names<'_>,
) -> BTreeMap<String, BTreeSet<String>> {
    for (name, document) in documents {
        let path = Path::root().then("roles").then(name.as_str());
        if name.trim().is_empty() {
            names.report(Problem::new(path.clone(), "a role has no name").hint("name it, or remove it"));
        }
        if !document.inherits.is_empty() {
            names.roles(&path.then("inherits"), Some(&document.inherits));
        }
    }
    let inherits = documents.iter().map(|(name, document)| (name.as_str(), document.inherits.as_slice()));
    let below = closure(&inherits.collect());
    for circle in circles(&below) {
        let first = circle.first().map(String::as_str).unwrap_or_default();
        let members = circle.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let path = Path::root().then("roles").then(first).then("inherits");
        let problem = Problem::new(path, format!("roles include one another in a circle: {members}"));
        names.report(problem.hint("remove one `inherits` of the circle"));
    }
    let with_itself = |(name, mut included): (String, BTreeSet<String>)| {
        included.insert(name.clone());
        (name, included)
    };
    below.into_iter().map(with_itself).collect()
}

/// The roles of each circle, in order.
fn circles(below: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reaches = |from: &str, to: &str| below.get(from).is_some_and(|included| included.contains(to));
    let within = below.keys().filter(|name| reaches(name, name));
    within
        .map(|name| below.keys().filter(|other| reaches(name, other) && reaches(other, name)).cloned().collect())
        .collect()
}
