//! Roles and what they include.

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
    let below: BTreeMap<_, _> = documents.keys().map(|name| (name.clone(), below(name, documents))).collect();
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

/// All that a role inherits, directly or not. Holds the role itself only where it is in a circle.
fn below(role: &str, documents: &BTreeMap<String, RoleDocument>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![role];
    while let Some(name) = open.pop() {
        for inherited in documents.get(name).into_iter().flat_map(|document| &document.inherits) {
            if documents.contains_key(inherited) && found.insert(inherited.clone()) {
                open.push(inherited);
            }
        }
    }
    found
}

/// The roles of each circle, in order.
fn circles(below: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reaches = |from: &str, to: &str| below.get(from).is_some_and(|included| included.contains(to));
    let within = below.keys().filter(|name| reaches(name, name));
    within
        .map(|name| below.keys().filter(|other| reaches(name, other) && reaches(other, name)).cloned().collect())
        .collect()
}
