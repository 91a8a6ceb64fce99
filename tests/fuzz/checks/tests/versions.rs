//! What is fuzzed is what is shipped: each library in the version that the gateway has.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_checks_are_built_from_the_versions_of_the_gateway() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let gateway = packages(&here.join("../../../Cargo.lock"));
    let names: BTreeSet<_> = gateway.iter().map(|(name, _)| name).collect();
    let ours = packages(&here.join("../Cargo.lock"));
    let shared = ours.iter().filter(|(name, _)| names.contains(name));
    let other: Vec<_> = shared.clone().filter(|package| !gateway.contains(*package)).collect();
    assert!(shared.count() > 50 && other.is_empty(), "not the gateway's: {other:?}; copy Cargo.lock to tests/fuzz");
}

/// Name and version of each package in a lock file.
fn packages(file: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_matches([' ', '=', '"']).to_owned())
    };
    text.split("[[package]]").filter_map(|block| Some((value(block, "name")?, value(block, "version")?))).collect()
}
