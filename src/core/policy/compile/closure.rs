//! What names that include one another include in the end: roles, and scopes.

use std::collections::{BTreeMap, BTreeSet};

/// For each name all that it includes, directly or not. A name is in its own set only where it is in a circle; names that
/// are not declared are left out.
pub(super) fn closure(includes: &BTreeMap<&str, &[String]>) -> BTreeMap<String, BTreeSet<String>> {
    includes.keys().map(|name| ((*name).to_owned(), below(name, includes))).collect()
}

fn below(name: &str, includes: &BTreeMap<&str, &[String]>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        for included in includes.get(name).copied().into_iter().flatten() {
            if includes.contains_key(included.as_str()) && found.insert(included.clone()) {
                open.push(included);
            }
        }
    }
    found
}
