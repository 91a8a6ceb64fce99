//! The architecture, held by a test: which module may import which, who may name pingora, what the core may not know,
//! and how files look. All violations are reported at once, with file and line. DESIGN.md section 4 has the reasons.

use crate::support::peers::repository;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Who may import whom in the binary: a module may name itself, the core and those listed. Every top-level module of
/// `src/` has a line.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("secrets", &[]),
    ("config", &["secrets"]),
    ("telemetry", ADAPTERS_USE),
    ("store", ADAPTERS_USE),
    ("identity", ADAPTERS_USE),
    ("upstream", ADAPTERS_USE),
    ("ship", &["config", "secrets", "telemetry", "store"]),
    ("catalogue", &["config", "secrets", "telemetry", "store", "upstream"]),
    ("approvals", &["config", "secrets", "telemetry", "store"]),
    ("pipeline", &["config", "secrets", "telemetry", "store", "identity", "upstream", "catalogue", "approvals"]),
    ("jobs", &["store", "upstream", "approvals", "pipeline"]),
    ("server", FRONTS_USE),
    ("admin", ADMIN_USES),
    (
        "app",
        &[
            "config",
            "secrets",
            "telemetry",
            "store",
            "identity",
            "upstream",
            "catalogue",
            "approvals",
            "pipeline",
            "jobs",
            "server",
            "ship",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "secrets",
            "telemetry",
            "store",
            "identity",
            "upstream",
            "pipeline",
            "server",
            "ship",
            "admin",
            "app",
        ],
    ),
    ("main", &["cli"]),
];

const ADAPTERS_USE: &[&str] = &["config", "secrets", "telemetry"];
const FRONTS_USE: &[&str] =
    &["config", "secrets", "telemetry", "store", "identity", "upstream", "approvals", "pipeline"];
const ADMIN_USES: &[&str] =
    &["config", "secrets", "telemetry", "store", "identity", "upstream", "catalogue", "approvals", "pipeline", "jobs"];

/// Where pingora may be named.
const PINGORA: &[&str] = &["src/server/", "src/server.rs", "src/upstream/client.rs", "src/upstream/pool.rs"];

/// What the core may not name: anything that reads, waits, or differs from run to run.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "pingora",
    "axum",
    "reqwest",
    "sqlx",
    "tracing",
    "rand",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "std::os",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// The same, for names that come after a type.
const NO_CALL_IN_CORE: &[&str] =
    &["Instant::now", "SystemTime::now", "Utc::now", "Local::now", "Uuid::new_v4", "Uuid::now_v7"];

/// Names that attract whatever has no place.
const NO_MODULE: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "types", "prelude"];

const LINES: usize = 450;
const LINES_WITH_TESTS: usize = 700;

/// One Rust file.
struct Source {
    /// From the repository's root.
    path: String,
    text: String,
    /// The text with comments, literals and test modules blanked out; lines stay where they are.
    code: String,
}

fn sources(root: &Path, folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    walk(&root.join(folder), &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = without_tests(&without_comments(&text));
        Source { path: path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), text, code }
    };
    files.into_iter().map(read).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `text` with every comment and the inside of every literal blanked out.
fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut code[at..end.max(at)] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).unwrap()
}

/// Where the comment or literal that begins at `at` ends; `at` where none begins.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let until = |start: usize, end: &[u8]| {
        let found = rest[start..].windows(end.len()).position(|window| window == end);
        at + found.map_or(rest.len(), |position| start + position + end.len())
    };
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => until(2, b"*/"),
        [b'r', b'"' | b'#', ..] if !in_word => raw_end(rest, 1).map_or(at, |end| at + end),
        [b'b', b'r', b'"' | b'#', ..] if !in_word => raw_end(rest, 2).map_or(at, |end| at + end),
        [b'"', ..] => at + 1 + quoted_end(&rest[1..]),
        [b'\'', b'\\', ..] => until(2, b"'").max(at + 4),
        [b'\'', _, b'\'', ..] => at + 3,
        [b'\'', first, ..] if !first.is_ascii() => until(1, b"'"),
        _ => at,
    }
}

fn quoted_end(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The end of a raw string whose hashes or quote begin at `start`; `None` where it is a raw identifier.
fn raw_end(rest: &[u8], start: usize) -> Option<usize> {
    let hashes = rest[start..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(start + hashes) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = start + hashes + 1;
    let end = rest[body..].windows(close.len()).position(|window| window == close)?;
    Some(body + end + close.len())
}

/// `code` with each item under `#[cfg(test)]` blanked out.
fn without_tests(code: &str) -> String {
    let mut kept = code.as_bytes().to_vec();
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let body = start + mark.len();
        let open = code[body..].find(['{', ';']).map_or(code.len() - 1, |at| body + at);
        let mut depth = 0;
        let mut end = open;
        for (at, byte) in code.bytes().enumerate().skip(open) {
            depth += i32::from(byte == b'{') - i32::from(byte == b'}');
            end = at;
            if depth <= 0 {
                break;
            }
        }
        for byte in &mut kept[start..=end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(kept).unwrap()
}

/// Every path in `code`, with the line it begins in: those of `use` trees one by one, and the others as they stand.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let bytes = code.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let line = 1 + code[..at].matches('\n').count();
        let word =
            code[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').map_or(code.len(), |end| at + end);
        if &code[at..word] == "use" {
            let end = code[word..].find(';').map_or(code.len(), |end| word + end);
            let tree: String =
                code[word..end].split_whitespace().filter(|part| *part != "as").collect::<Vec<_>>().join(" ");
            expand("", &tree, &mut |path| found.push((line, path)));
            at = end;
            continue;
        }
        found.push((line, code[at..word].trim_end_matches(':').to_owned()));
        at = word.max(at + 1);
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The paths of a `use` tree.
fn expand(prefix: &str, tree: &str, found: &mut impl FnMut(String)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(' ').next().unwrap_or_default();
        if !path.is_empty() {
            found(format!("{prefix}{path}").trim_start_matches("::").to_owned());
        }
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inside[start..at], found);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &inside[start..], found);
}

/// The segments of a file's module path: `src/store/limits/local.rs` is `store`, `limits`, `local`.
fn module(path: &str) -> Vec<&str> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| *part != "mod").collect()
}

/// The top-level module that `path` names when `module` says it; `None` for names of other crates.
fn target<'a>(path: &'a str, module: &[&str]) -> Option<&'a str> {
    let mut segments = path.split("::");
    let first = segments.next()?;
    match first {
        "crate" => segments.next(),
        "super" => {
            let climbs = 1 + segments.clone().take_while(|segment| *segment == "super").count();
            (climbs >= module.len()).then(|| segments.find(|segment| *segment != "super"))?
        }
        _ => None,
    }
}

fn starts_with(path: &str, forbidden: &str) -> bool {
    path.strip_prefix(forbidden).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with("::") || !forbidden.contains("::") && rest.starts_with('_')
    })
}

fn check_imports(source: &Source, complain: &mut dyn FnMut(usize, String)) {
    let module = module(&source.path);
    let here = module[0];
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == here) else {
        return complain(1, format!("module `{here}` has no place in MAY_IMPORT"));
    };
    let known: BTreeSet<_> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    for (line, path) in paths(&source.code) {
        if let Some(other) = target(&path, &module)
            && known.contains(other)
            && other != here
            && !allowed.contains(&other)
        {
            complain(line, format!("`{here}` may not import `{other}`: imports point from outside to the core"));
        }
    }
}

fn check_core(source: &Source, complain: &mut dyn FnMut(usize, String)) {
    for (line, path) in paths(&source.code) {
        let impure = NOT_IN_CORE.iter().any(|forbidden| starts_with(&path, forbidden))
            || NO_CALL_IN_CORE.iter().any(|call| path == *call || path.ends_with(&format!("::{call}")));
        if impure {
            complain(
                line,
                format!("the core may not name `{path}`: it has no effects, and time and chance are arguments"),
            );
        }
    }
}

fn check_pingora(source: &Source, complain: &mut dyn FnMut(usize, String)) {
    if PINGORA.iter().any(|place| source.path.starts_with(place)) {
        return;
    }
    for (line, path) in paths(&source.code) {
        if starts_with(&path, "pingora") && !path.starts_with("pingora_")
            || path.starts_with("pingora_") && path.contains("::")
        {
            complain(line, format!("`{path}`: pingora is named in {} alone", PINGORA.join(", ")));
        }
    }
}

fn check_globs(source: &Source, complain: &mut dyn FnMut(usize, String)) {
    for (line, path) in paths(&source.code) {
        if path.ends_with("::*") {
            complain(line, format!("`use {path}`: name what is imported"));
        }
    }
}

fn check_looks(source: &Source, complain: &mut dyn FnMut(usize, String)) {
    let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if !first.starts_with("//!") {
        complain(1, "the file does not begin by saying what it is and what it is not (`//!`)".into());
    }
    let name = Path::new(&source.path).components();
    for part in name.filter_map(|part| part.as_os_str().to_str()) {
        if NO_MODULE.contains(&part.trim_end_matches(".rs")) {
            complain(1, format!("`{part}` says nothing: name the concept"));
        }
    }
    let lines = source.text.lines().count();
    let tests_begin = source.text.lines().position(|line| line.trim() == "#[cfg(test)]");
    let own =
        if source.path.starts_with("tests/") || source.path.ends_with("/tests.rs") || source.path.contains("/tests/") {
            0
        } else {
            tests_begin.unwrap_or(lines)
        };
    if own > LINES || lines > LINES_WITH_TESTS {
        let message =
            format!("{own} lines, {lines} with tests; at most {LINES} and {LINES_WITH_TESTS}: split it by concept");
        complain(lines, message);
    }
}

type Check = fn(&Source, &mut dyn FnMut(usize, String));

/// Runs `check` on every file under `folders`, and fails with all that it complains of.
fn hold(folders: &[&str], concerns: impl Fn(&Source) -> bool, check: Check) {
    let root = repository();
    let mut complaints = Vec::new();
    for source in folders.iter().flat_map(|folder| sources(&root, folder)).filter(|source| concerns(source)) {
        check(&source, &mut |line, message| complaints.push(format!("{}:{line}: {message}", source.path)));
    }
    assert!(complaints.is_empty(), "{} violations\n{}", complaints.len(), complaints.join("\n"));
}

fn is_test_file(source: &Source) -> bool {
    source.path.starts_with("tests/")
        || source.path.ends_with("/tests.rs")
        || source.path.contains("/tests/")
        || source.path.starts_with("tests/")
}

#[test]
fn imports_point_one_way() {
    let concerns = |source: &Source| !source.path.starts_with("src/core/") && !is_test_file(source);
    hold(&["src"], concerns, check_imports);
}

#[test]
fn the_core_is_pure() {
    hold(&["src/core"], |source| !is_test_file(source), check_core);
}

#[test]
fn pingora_stays_behind_the_server() {
    hold(&["src"], |_| true, check_pingora);
}

#[test]
fn imports_are_by_name() {
    hold(&["src", "backends"], |source| !is_test_file(source), check_globs);
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    hold(&["src", "backends", "tests/it", "tests/fuzz"], |_| true, check_looks);
}

/// A test that never fails proves nothing: this is what the checks must see.
#[test]
fn the_checks_see_violations() {
    let source = |path: &str, text: &str| {
        let text = format!("//! x\n{text}");
        Source { path: path.into(), code: without_tests(&without_comments(&text)), text }
    };
    let complaints = |path: &str, text: &str, check: Check| {
        let mut all = Vec::new();
        check(&source(path, text), &mut |line, message| all.push((line, message)));
        all
    };
    for (path, text) in [
        ("src/store/journal.rs", "use crate::{\n config, pipeline::Order};"),
        ("src/store/mod.rs", "fn f() { super::server::run() }"),
        ("src/store/limits/local.rs", "use super::super::super::admin;"),
        ("src/config/mod.rs", "let x: crate::store::Journal;"),
        ("src/novel/mod.rs", ""),
    ] {
        assert_eq!(complaints(path, text, check_imports).len(), 1, "{path}: {text}");
    }
    for text in [
        "use std::{fmt, fs};",
        "use std::time::{Duration, Instant};",
        "fn f() { std::env::var(x) }",
        "use tokio::time;",
        "fn f() { let t = chrono::Utc::now(); }",
        "use pingora_core::x;",
        "fn f<R: rand::Rng>() {}",
    ] {
        assert_eq!(complaints("src/core/x.rs", text, check_core).len(), 1, "{text}");
    }
    for text in [
        "use std::fmt;",
        "// tokio::x",
        r#"let a = "tokio::x \" std::fs";"#,
        "let a = r#\"tokio::a\"#; 'b'; '\\''",
        "#[cfg(test)]\nmod tests { use std::fs; }",
        "use std::net::IpAddr;",
        "let randomness = 1;",
    ] {
        assert_eq!(complaints("src/core/x.rs", text, check_core), [], "{text}");
    }
    assert_eq!(complaints("src/admin/x.rs", "use pingora::x;", check_pingora).len(), 1);
    assert_eq!(complaints("src/upstream/client.rs", "use pingora::x;", check_pingora), []);
    assert_eq!(
        complaints("src/admin/x.rs", "use a::b::*;", check_globs),
        [(2, "`use a::b::*`: name what is imported".into())]
    );
    assert_eq!(complaints("src/admin/x.rs", "#[cfg(test)]\nmod tests {\n use super::*;\n}", check_globs), []);
    assert_eq!(complaints("src/admin/utils.rs", "", check_looks).len(), 1);
    assert_eq!(complaints("src/admin/x.rs", &"\n".repeat(460), check_looks).len(), 1);
}
