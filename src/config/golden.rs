//! For tests: files of the repository that are made from the code.

/// Fails where the file at `path` is not `expected`, unless `UPDATE=1` asks to write it.
pub fn compare(path: &str, expected: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, expected, "{path} is stale: run the tests with UPDATE=1 and look at the difference");
}
