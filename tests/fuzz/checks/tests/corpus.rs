//! The corpora through the checks, without a fuzzer: what was found once is held in every run.

use std::path::Path;

#[test]
fn nothing_in_the_corpora_breaks_a_check() {
    let checks: [(&str, fn(&[u8])); 6] = [
        ("jsonrpc", portcullis_checks::jsonrpc::check),
        ("sse", portcullis_checks::sse::check),
        ("token", portcullis_checks::token::check),
        ("policy", portcullis_checks::policy::check),
        ("redact", portcullis_checks::redact::check),
        ("config", portcullis_checks::configuration::check),
    ];
    for (name, check) in checks {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
        let mut count = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let held = std::panic::catch_unwind(|| check(&std::fs::read(&path).unwrap()));
            assert!(held.is_ok(), "{} breaks the check", path.display());
            count += 1;
        }
        assert!(count > 5, "the corpus of {name} is gone");
    }
}
